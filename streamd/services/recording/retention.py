"""The end of recordings: by age, by their bytes together, by the space on the disk, and by hand.

The oldest go first, and never one that is pinned, by hand or by a clip, or written or watched; by hand any goes that is
not written. Clips of viewers pin against age alone, and for a time: with a button at every player they would hold the
whole disk. A deletion is noted in the index and the audit log before the files go, so that nobody is sent half of a
recording.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from streamd.errors import RecordingError
from streamd.limits import CLIPS, RECORDING
from streamd.services.audit.records import SERVER, Actor, AuditEntry
from streamd.services.events.event import Event, EventType
from streamd.services.recording.elsewhere import NowhereElse
from streamd.services.recording.folder import free_bytes, remove_folder, remove_media
from streamd.services.recording.index import Clipped
from streamd.services.recording.records import RecordingFilter, RecordingRecord, RecordingState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from streamd.clock import Clock
    from streamd.services.events.event import EventSink
    from streamd.services.recording.elsewhere import Elsewhere
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.index import RecordingIndex

log = logging.getLogger(__name__)

# Recordings are looked at a page at a time.
_PAGE = 100
# By one rule, so many in one application: where a hundred thousand are pinned, or lie in a bucket, the rule goes on
# behind these a minute later. They are half a second of the loop and of a thread.
LOOKED_AT_MAX = 2000
# A recording that is being written is left alone.
_OPEN = frozenset({RecordingState.RECORDING, RecordingState.FINALIZING})


@dataclass(frozen=True, slots=True)
class RetentionOptions:
    """How long recordings stay."""

    keep_days: int = RECORDING.keep_days
    """0: until space is short."""
    max_bytes: int = RECORDING.max_bytes
    """All of them together; 0: no bound."""
    min_free_bytes: int = RECORDING.min_free_bytes
    """Space that stays free on the disk."""
    viewers_pin_days: int = CLIPS.viewers_pin_days
    """A clip of a viewer keeps its recording from ``keep_days`` for so long."""


@dataclass
class _Walk:
    """How far a rule has come; from the oldest on, and behind that once it has seen all."""

    after: str = ""
    """Id of the recording that it looked at last; empty for none."""


class Retention:
    """Deletes recordings.

    Args:
        index: The index of all recordings.
        folder: The files of a recording.
        clock: For dates.
        tell: Receives the events of deletions.
        is_watched: Says of an id whether somebody is watching the recording.

    Attributes:
        elsewhere: The bucket that keeps recordings too, or nothing.
        on_deleted: Called with the id of each recording that is deleted, before its files go.
    """

    def __init__(
        self,
        index: RecordingIndex,
        folder: Callable[[RecordingRecord], RecordingFolder],
        clock: Clock,
        tell: EventSink,
        is_watched: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._index = index
        self._folder = folder
        self._clock = clock
        self._tell = tell
        self._is_watched = is_watched
        self.elsewhere: Elsewhere = NowhereElse()
        self.on_deleted: Callable[[str], None] = lambda _: None
        self._by_age, self._by_bytes, self._by_space = _Walk(), _Walk(), _Walk()

    async def delete(self, record: RecordingRecord, actor: Actor, reason: str) -> None:
        """Delete a recording: nobody finds it from here on, and its files go.

        Args:
            record: The recording. Of one that is deleted already, files that were left are removed.
            actor: The person or rule that deletes it, for the audit log.
            reason: Likewise.

        Raises:
            RecordingError: It is still written.
            StoreUnavailableError: It could not be noted; the recording stays.
        """
        if record.state is RecordingState.DELETED:
            await self._remove_files(record)
            return
        if record.state in _OPEN:
            raise RecordingError("it is still being recorded: stop it first")
        await self._note_and_remove(record, actor, reason)

    async def _delete_by_rule(self, record: RecordingRecord, rule: str, spared: Clipped) -> None:
        """Delete a recording, unless somebody has made a clip of it since it was looked at."""
        await self._note_and_remove(record, SERVER, rule, spared=spared)

    async def _note_and_remove(
        self, record: RecordingRecord, actor: Actor, reason: str, *, spared: Clipped | None = None
    ) -> None:
        entry = AuditEntry(
            self._clock.now(),
            actor.name,
            "recording.deleted",
            actor.address,
            user=record.user,
            stream=record.user,
            reason=reason,
        )
        if not await self._index.note_deleted(record.id, reason, entry, spared=spared):
            return
        await self.remove_noted(record, reason)

    async def remove_noted(self, record: RecordingRecord, reason: str) -> None:
        """Remove the files of a recording that has just been noted as deleted, and tell of it.

        Raises:
            StoreUnavailableError: It could not be noted that they are gone.
        """
        self.on_deleted(record.id)
        await self._remove_files(record)
        now = self._clock.now()
        log.info("recording.deleted", extra={"recording_id": record.id, "stream": record.user, "reason": reason})
        self._tell(
            Event(EventType.RECORDING_DELETED, now, {"user": record.user, "recording_id": record.id, "reason": reason})
        )

    async def apply(self, options: RetentionOptions) -> None:
        """Delete what its time or its space is over for; called about once a minute.

        Raises:
            StoreUnavailableError: The index cannot be asked.
        """
        for record in await self._index.with_files_left(_PAGE):
            await self._remove_files(record)
        if options.keep_days:
            await self._apply_age(options)
        if options.max_bytes:
            await self._apply_bytes(options.max_bytes)
        await self._apply_space(options.min_free_bytes)

    async def _apply_age(self, options: RetentionOptions) -> None:
        now = self._clock.now()
        before = now - timedelta(days=options.keep_days)
        spared = Clipped(now - timedelta(days=options.viewers_pin_days))
        async for record in self._oldest(self._by_age, spared):
            if record.started_at >= before:
                self._by_age.after = ""
                break
            await self._delete_by_rule(record, "keep_days", spared)

    async def _apply_bytes(self, max_bytes: int) -> None:
        excess = await self._index.size_bytes() - max_bytes
        if excess <= 0:
            self._by_bytes.after = ""
            return
        async for record in self._oldest(self._by_bytes, Clipped()):
            await self._delete_by_rule(record, "max_bytes", Clipped())
            excess -= record.size_bytes
            if excess <= 0:
                self._by_bytes.after = ""
                break

    async def _apply_space(self, min_free_bytes: int) -> None:
        async for record in self._oldest(self._by_space, Clipped()):
            if await asyncio.to_thread(self._free_bytes, record) >= min_free_bytes:
                if not self.elsewhere.is_there:
                    self._by_space.after = ""
                # A recording in a bucket is passed over next time: no disk is freed by looking at it again.
                break
            if not await self.elsewhere.make_room(record):
                await self._delete_by_rule(record, "min_free_bytes", Clipped())

    async def _oldest(self, walk: _Walk, spared: Clipped) -> AsyncIterator[RecordingRecord]:
        """Recordings that may go, the oldest first, behind those that the walk has seen; some of them."""
        looked_at = 0
        while looked_at < LOOKED_AT_MAX:
            page = await self._index.page(RecordingFilter(), before=walk.after, limit=_PAGE, is_oldest_first=True)
            clipped = await self._index.clipped([record.id for record in page.items], spared)
            looked_at += len(page.items)
            for record in page.items:
                is_spared = (
                    record.is_kept or record.id in clipped or record.state in _OPEN or self._is_watched(record.id)
                )
                if not is_spared and await self._is_ours(record):
                    yield record
                walk.after = record.id
            if not page.has_more:
                walk.after = ""
                return

    async def _is_ours(self, record: RecordingRecord) -> bool:
        """Whether the files of a recording are here, and not on the disk of another server on the same database."""
        return not self._index.is_shared or await asyncio.to_thread(self._folder(record).path.exists)

    async def _remove_files(self, record: RecordingRecord) -> None:
        """Remove the files of a recording that is noted as deleted; the next look removes what is left."""
        is_gone_elsewhere = await self.elsewhere.remove(record)
        if not await self._is_ours(record):
            return
        try:
            if not is_gone_elsewhere:
                # The folder says whose it is to try again.
                await asyncio.to_thread(remove_media, self._folder(record))
                return
            await asyncio.to_thread(remove_folder, self._folder(record).path)
        except OSError as exc:
            reason = exc.strerror or "the folder is a link"
            log.warning("recording.files_left", extra={"recording_id": record.id, "reason": reason})
            return
        await self._index.note_files_gone(record.id)

    def _free_bytes(self, record: RecordingRecord) -> int:
        """Space on the disk of a recording; unlimited where the disk does not answer: then nothing is deleted."""
        try:
            return free_bytes(self._folder(record).path)
        except OSError:
            return 1 << 62
