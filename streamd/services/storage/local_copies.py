"""The media on this machine's disk of recordings that the bucket has; and the walk that finds what the bucket lacks.

Playlists, headers and documents stay on the disk: they are small, and with them a recording is served as before.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from streamd.errors import StoreUnavailableError
from streamd.services.recording.records import RecordingFilter, RecordingState
from streamd.services.recording.recovery import recorded_document
from streamd.services.storage.left import is_inside, left_of
from streamd.services.storage.upload_journal import note_media_deleted, read_journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.index import RecordingIndex
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.storage.uploads import Uploads

log = logging.getLogger(__name__)

T = TypeVar("T")

# All recordings are walked at a start, and this often, seconds: 100,000 of them take a thread some ten seconds.
WALK_S = 3600.0
# The same where a file could not be read.
RETRY_S = 600.0
_PAGE = 200
_OPEN = frozenset({RecordingState.RECORDING, RecordingState.FINALIZING})


@dataclass(frozen=True, slots=True)
class _Standing:
    """The state of a recording of this machine."""

    is_left: bool
    """Something of it is to be sent."""
    stored_at: datetime | None
    """Since when the bucket has it; None where it has not all of it, or the disk has no media of it."""


class LocalCopies:
    """Deletes media that the bucket has.

    Args:
        uploads: Sends what is left.
        folder: The files of a recording.
        index: The index of all recordings.
        threads: Threads that may wait for the disk.
        clock: For dates.
        keep_days: Days for which media stays on the disk once it is in the bucket; None for always.
        is_needed: Says of an id whether the media of a recording is to stay for now.
    """

    def __init__(
        self,
        uploads: Uploads,
        folder: Callable[[RecordingRecord], RecordingFolder],
        index: RecordingIndex,
        threads: Executor,
        clock: Clock,
        keep_days: int | None,
        is_needed: Callable[[str], bool],
    ) -> None:
        self._uploads = uploads
        self._folder = folder
        self._index = index
        self._threads = threads
        self._clock = clock
        self._keep_days = keep_days
        self._is_needed = is_needed
        self._place = str(uploads.bucket.options.place)
        self._walk_due_at = clock.monotonic()
        self._walked_at = float("-inf")
        self._walk: asyncio.Task[None] | None = None
        self._deletions: set[asyncio.Task[None]] = set()

    def look(self) -> None:
        """Walk through all recordings when it is time to; called about once a second."""
        now = self._clock.monotonic()
        is_due = now >= self._walk_due_at or (self._uploads.has_set_aside and now >= self._walked_at + RETRY_S)
        if is_due and self._walk is None:
            self._walk_due_at = now + WALK_S
            self._walked_at = now
            self._walk = asyncio.create_task(self._do_walk())

    def note_stored(self, record: RecordingRecord) -> None:
        """Delete the media of a recording that the bucket has now, if none is to be kept."""
        if self._keep_days == 0:
            task = asyncio.create_task(self._delete_media(record))
            self._deletions.add(task)
            task.add_done_callback(self._deletions.discard)

    async def make_room(self, record: RecordingRecord) -> bool:
        """Delete the media of a recording on a disk that is short of space, if the bucket has it.

        Returns:
            True: a recording that waits for the bucket, or that is there alone, is not deleted for want of space.
        """
        standing = await self._on_disk(partial(self._standing, record))
        if standing.stored_at is not None:
            await self._delete_media(record)
        return True

    async def idle(self) -> None:
        """Wait until all that has begun is done."""
        if self._walk is not None:
            await asyncio.gather(self._walk, return_exceptions=True)
        await asyncio.gather(*self._deletions, return_exceptions=True)

    async def close(self) -> None:
        """End the walk."""
        for task in (self._walk, *self._deletions):
            if task is not None:
                task.cancel()
        await self.idle()

    async def _do_walk(self) -> None:
        try:
            self._uploads.forgive()
            before = ""
            while True:
                page = await self._index.page(RecordingFilter(), before=before, limit=_PAGE)
                for record in page.items:
                    if record.state not in _OPEN:
                        await self._visit(record)
                if not page.has_more or not self._uploads.has_room:
                    return
                before = page.items[-1].id
        except StoreUnavailableError as exc:
            log.warning("storage.walk_failed", extra={"reason": str(exc)})
            self._walk_due_at = self._clock.monotonic() + RETRY_S
        finally:
            self._walk = None

    async def _visit(self, record: RecordingRecord) -> None:
        standing = await self._on_disk(partial(self._standing, record))
        if standing.is_left:
            self._uploads.add(record)
        elif self._is_over(standing.stored_at):
            await self._delete_media(record)

    def _is_over(self, stored_at: datetime | None) -> bool:
        """Whether media that the bucket has since then is not to be kept any more."""
        if stored_at is None or self._keep_days is None:
            return False
        return self._clock.now() - stored_at >= timedelta(days=self._keep_days)

    def _standing(self, record: RecordingRecord) -> _Standing:
        folder = self._folder(record)
        try:
            journal = read_journal(folder, self._place)
            if journal.is_media_deleted and journal.completed_at is not None:
                return _Standing(is_left=False, stored_at=None)
            left = left_of(folder, self._place)
        except OSError:
            return _Standing(is_left=False, stored_at=None)
        if left is None or left.document is None:
            return _Standing(is_left=False, stored_at=None)
        return _Standing(not left.is_completed, journal.completed_at if left.is_completed else None)

    async def _delete_media(self, record: RecordingRecord) -> None:
        if self._uploads.is_removed(record.id) or self._is_needed(record.id):
            return
        deleted = await self._on_disk(partial(self._delete_files, self._folder(record)))
        if deleted:
            log.info("storage.local_media_deleted", extra={"recording_id": record.id, "bytes": deleted})

    def _delete_files(self, folder: RecordingFolder) -> int:
        """Delete the media files that the bucket has with the bytes that the document says."""
        deleted_bytes = 0
        try:
            document = recorded_document(folder)
            journal = read_journal(folder, self._place)
            if document is None or journal.completed_at is None:
                return 0
            for file in document.files:
                sent = journal.files.get(file.path)
                if file.path.endswith(".m4s") and is_inside(file.path) and sent is not None and sent == file:
                    (folder.path / file.path).unlink(missing_ok=True)
                    deleted_bytes += file.bytes
            note_media_deleted(folder, self._place)
        except OSError as exc:
            log.warning("storage.local_media_left", extra={"recording_id": folder.id, "reason": exc.strerror or ""})
        return deleted_bytes

    async def _on_disk(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
