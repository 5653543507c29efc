"""Which recordings the public may see: the index's word, and that of suspensions and takedowns.

A private recording is as none; one that is deleted, and one that was taken down, is gone.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from streamd.errors import StoreUnavailableError
from streamd.services.recording.recording_id import is_recording_id
from streamd.services.recording.records import RecordingState, Visibility

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamd.clock import Clock
    from streamd.services.recording.index import RecordingIndex
    from streamd.services.recording.records import RecordingRecord

# The index's answer about a recording holds for a moment: a player asks for a segment every other second.
KNOWN_S: Final = 1.0
KNOWN_MAX: Final = 1024
# The index is asked for so many recordings at once: a peer that tries thousands of ids holds up nobody's key.
LOOK_UPS_MAX: Final = 32


class RecordingFinder:
    """Finds recordings for the public.

    Args:
        index: The index of all recordings.
        clock: Measures for how long an answer of the index holds.
        is_taken_down: Says whether a channel is dark.
        is_hidden: Says whether a recording was taken down by itself.
    """

    def __init__(
        self,
        index: RecordingIndex,
        clock: Clock,
        is_taken_down: Callable[[str], bool],
        is_hidden: Callable[[str], bool],
    ) -> None:
        self._index = index
        self._clock = clock
        self._is_taken_down = is_taken_down
        self._is_hidden = is_hidden
        self._known: dict[str, tuple[float, RecordingRecord | None]] = {}
        self._edits = index.edits
        # Under way, by the id and by what had been edited when they began.
        self._look_ups: dict[tuple[str, int], asyncio.Task[RecordingRecord | None]] = {}

    async def find(self, recording_id: str) -> RecordingRecord | HTTPStatus:
        """A recording that the public may see, or why there is none."""
        if not is_recording_id(recording_id):
            return HTTPStatus.NOT_FOUND
        if self._edits != self._index.edits:
            # A recording that somebody has deleted or made private is so at once.
            self._edits = self._index.edits
            self._known.clear()
        known_at, record = self._known.get(recording_id, (float("-inf"), None))
        if self._clock.monotonic() - known_at > KNOWN_S:
            try:
                record = await self._look_up(recording_id)
            except StoreUnavailableError:
                return HTTPStatus.SERVICE_UNAVAILABLE
        if record is None or record.visibility is Visibility.PRIVATE:
            return HTTPStatus.NOT_FOUND
        if record.state is RecordingState.DELETED or self._is_dark(record):
            return HTTPStatus.GONE
        return record

    def watch(
        self, record: RecordingRecord, is_gone: Callable[[], Awaitable[bool]] | None = None
    ) -> Callable[[], Awaitable[bool]]:
        """Watch over an answer: what it gives says, each time that it is called, whether nobody may see it any more.

        The first time it asks in any case: what an answer is made of may have come from a bucket, for seconds.

        Args:
            record: The recording that it is of.
            is_gone: Asks in its place, where something was edited; None for the recording itself.
        """
        edits: int | None = None

        async def look() -> bool:
            nonlocal edits
            if edits == self._index.edits and not self._is_dark(record):
                return False
            edits = self._index.edits
            return await (is_gone() if is_gone is not None else self._is_gone(record))

        return look

    def _is_dark(self, record: RecordingRecord) -> bool:
        return self._is_taken_down(record.user) or self._is_hidden(record.id)

    async def _is_gone(self, record: RecordingRecord) -> bool:
        """Whether a recording that is being sent may be seen no more."""
        if self._is_dark(record):
            return True
        found = await self.find(record.id)
        # An index that does not answer takes nothing from anybody.
        return isinstance(found, HTTPStatus) and found is not HTTPStatus.SERVICE_UNAVAILABLE

    async def _look_up(self, recording_id: str) -> RecordingRecord | None:
        """Ask the index, once for all who ask for the same.

        Raises:
            StoreUnavailableError: It could not be asked, or is asked too much.
        """
        key = recording_id, self._index.edits
        task = self._look_ups.get(key)
        if task is None:
            if len(self._look_ups) >= LOOK_UPS_MAX:
                raise StoreUnavailableError(f"{LOOK_UPS_MAX} recordings are being looked up already")
            task = self._look_ups[key] = asyncio.create_task(self._ask(recording_id))
            task.add_done_callback(lambda done: self._end_look_up(key, done))
        return await asyncio.shield(task)

    async def _ask(self, recording_id: str) -> RecordingRecord | None:
        edits = self._index.edits
        record = await self._index.find(recording_id)
        if edits == self._index.edits:
            self._known.pop(recording_id, None)
            while len(self._known) >= KNOWN_MAX:
                del self._known[next(iter(self._known))]
            self._known[recording_id] = self._clock.monotonic(), record
        return record

    def _end_look_up(self, key: tuple[str, int], task: asyncio.Task[RecordingRecord | None]) -> None:
        del self._look_ups[key]
        if not task.cancelled():
            # It is read: all who asked may have left.
            task.exception()
