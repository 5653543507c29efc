"""Deletes the objects of recordings that are deleted, and what a request that was cut off leaves behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streamd.errors import StorageError
from streamd.services.storage.failures import tell_failure
from streamd.services.storage.faults import StorageFault, failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamd.clock import Clock
    from streamd.services.metrics import Metrics
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.storage.backoff import Backoff
    from streamd.services.storage.bucket import Bucket

# Ids of recordings that were deleted: what is under way for one ends without a trace.
REMOVED_MAX = 10_000
# A request that was cut off may be carried out by the bucket's service all the same, until then, seconds.
AFTERMATH_S = 240.0

_DOCUMENTS = ("events/recording-started.json", "events/recording-ended.json")


class Removals:
    """Deletes recordings from the bucket.

    Args:
        bucket: The bucket that they are in.
        backoff: When the bucket may be asked, after it has failed.
        clock: Measures the time after a request that was cut off.
        metrics: Counted into.
        stop: Ends what is under way for a recording, by its id; whether something was.
    """

    def __init__(
        self,
        bucket: Bucket,
        backoff: Backoff,
        clock: Clock,
        metrics: Metrics,
        stop: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._bucket = bucket
        self._backoff = backoff
        self._clock = clock
        self._metrics = metrics
        self._stop = stop
        # Whether nothing of one is left, by the id of the recording.
        self._removed: dict[str, bool] = {}
        self._aftermath: list[tuple[float, RecordingRecord]] = []
        self._sweeps: set[asyncio.Task[None]] = set()

    def __contains__(self, recording_id: object) -> bool:
        """Say whether a recording was deleted a while ago."""
        return recording_id in self._removed

    async def remove(self, record: RecordingRecord) -> bool:
        """Delete all objects of a recording that is deleted; what is under way for it ends.

        Returns:
            Whether the bucket has nothing of it any more; it may be called again.
        """
        if self._removed.get(record.id):
            return True
        self._removed[record.id] = False
        while len(self._removed) > REMOVED_MAX:
            del self._removed[next(iter(self._removed))]
        if await self._stop(record.id):
            self._aftermath.append((self._clock.monotonic() + AFTERMATH_S, record))
        if not self._backoff.is_due:
            # An operator who deletes a thousand recordings does not wait a thousand times for a bucket that is away.
            return False
        try:
            await self._delete(record)
        except StorageError as exc:
            tell_failure(self._metrics, "storage.delete_failed", record.id, exc)
            self._backoff.note_failure()
            self._bucket.reopen()
            return False
        self._backoff.note_success()
        self._removed[record.id] = True
        return True

    def look(self) -> None:
        """Do what is due; called about once a second."""
        now = self._clock.monotonic()
        while self._aftermath and self._aftermath[0][0] <= now:
            _, record = self._aftermath.pop(0)
            task = asyncio.create_task(self._sweep(record))
            self._sweeps.add(task)
            task.add_done_callback(self._sweeps.discard)

    async def idle(self) -> None:
        """Wait until all that has begun is done."""
        await asyncio.gather(*self._sweeps, return_exceptions=True)

    async def close(self) -> None:
        """End what is under way."""
        for task in self._sweeps:
            task.cancel()
        await self.idle()

    async def _sweep(self, record: RecordingRecord) -> None:
        """Delete what a request that was cut off has left."""
        self._removed[record.id] = False
        if not await self.remove(record):
            self._aftermath.append((self._clock.monotonic() + AFTERMATH_S, record))

    async def _delete(self, record: RecordingRecord) -> None:
        """Delete, and have the bucket say that it is done.

        Raises:
            StorageError: It does not answer, or not all is gone.
        """
        if not record.path.endswith(f"/{record.id}"):
            raise failure(StorageFault.OTHER, "the index names another folder")
        await self._bucket.delete_under(record.path)
        for path in _DOCUMENTS:
            # A list that was cut short is no reason to forget what it left out.
            if await self._bucket.size_bytes(f"{record.path}/{path}") is not None:
                raise failure(StorageFault.DAMAGED)
