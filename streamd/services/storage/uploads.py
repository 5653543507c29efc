"""Sends recordings to the bucket: behind those that go on, and what is left of those that have ended.

A recording gets a turn of a few files at a time, so that a long one does not keep others waiting. Files lie on the disk
until the bucket has them: a bucket that is away costs space and no memory.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from streamd.errors import StorageError
from streamd.services.events.event import Event, EventType
from streamd.services.recording.records import RecordingState
from streamd.services.recording.verify import record_of
from streamd.services.storage.bucket import PART_BYTES, PARTS_AT_ONCE
from streamd.services.storage.failures import tell_failure
from streamd.services.storage.faults import StorageFault, failure
from streamd.services.storage.left import left_of
from streamd.services.storage.upload_journal import note_completed, note_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.events.event import EventSink
    from streamd.services.metrics import Metrics
    from streamd.services.recording.documents import RecordedFile
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.storage.backoff import Backoff
    from streamd.services.storage.bucket import Bucket

log = logging.getLogger(__name__)

T = TypeVar("T")

# Files on their way at once: with two pieces of 8 MiB each, and one that is read, 96 MiB of memory.
UPLOADS_AT_ONCE = 4
# Files of one recording in a turn.
FILES_PER_TURN = 16
# A recording that goes on is looked at for files that are complete this often, seconds.
GOING_S = 10.0
# A bucket that takes nothing for this long is told of where broadcasts are looked at, seconds: services have moments.
DELAY_S = 30.0
# Recordings that wait, in memory; 600 bytes each. The next walk finds the rest (``local_copies``).
WAITING_MAX = 10_000

_OPEN = frozenset({RecordingState.RECORDING, RecordingState.FINALIZING})


@dataclass
class _Waiting:
    """A recording of which something is to be sent."""

    record: RecordingRecord
    since: datetime
    left_bytes: int
    task: asyncio.Task[None] | None = None
    held_bytes: int = 0
    is_asked_again: bool = False
    """Something has come to it since its turn began."""


class Uploads:
    """The recordings on their way to the bucket.

    Args:
        bucket: The bucket that files are sent to.
        folder: The files of a recording.
        threads: Threads that may wait for the disk.
        clock: For dates, and for the time between attempts.
        metrics: Counted into.
        tell: Receives the events of recordings that the bucket has.
        keep: Has the index know of a recording's new state.
        backoff: When the bucket may be asked, after it has failed.
        is_removed: Says of an id whether the recording was deleted a while ago.
        on_stored: Called with a recording when the bucket has all of it.

    Attributes:
        bucket: As given.
        is_removed: As given.
    """

    def __init__(
        self,
        bucket: Bucket,
        folder: Callable[[RecordingRecord], RecordingFolder],
        threads: Executor,
        clock: Clock,
        metrics: Metrics,
        *,
        tell: EventSink,
        keep: Callable[[RecordingRecord], None],
        backoff: Backoff,
        is_removed: Callable[[str], bool],
        on_stored: Callable[[RecordingRecord], None] = lambda _: None,
    ) -> None:
        self.bucket = bucket
        self._place = str(bucket.options.place)
        self._folder = folder
        self._threads = threads
        self._clock = clock
        self._metrics = metrics
        self._tell = tell
        self._keep = keep
        self._on_stored = on_stored
        self._backoff = backoff
        self.is_removed = is_removed
        # By id, the one that has waited longest for a turn first.
        self._waiting: dict[str, _Waiting] = {}
        # A file that cannot be read on this machine: the next walk finds it again.
        self._set_aside: set[str] = set()
        self._turns = 0
        self._going_due_at = float("-inf")
        self._is_closed = False
        # Since when the bucket has taken nothing, and what it says now.
        self._failing_since: float | None = None
        self._fault = ""
        metrics.storage.storage_backlog_bytes.set_function(lambda: self.backlog_bytes)
        metrics.storage.storage_oldest_waiting_seconds.set_function(lambda: self.oldest_waiting_s)

    # -- what waits --------------------------------------------------------------------------------

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait for the bucket."""
        return sum(waiting.left_bytes for waiting in self._waiting.values())

    @property
    def held_bytes(self) -> int:
        """Memory of files on their way, at most, bytes."""
        return sum(waiting.held_bytes for waiting in self._waiting.values() if waiting.task is not None)

    @property
    def oldest_waiting_s(self) -> float:
        """Seconds that the recording which has waited longest has waited."""
        now = self._clock.now()
        # A clock that was set back makes nobody wait for less than no time.
        return max(0.0, max(((now - each.since).total_seconds() for each in self._waiting.values()), default=0.0))

    @property
    def delay(self) -> str:
        """The reason why the bucket has taken nothing for a while; empty where it does, or nothing waits for it."""
        since = self._failing_since
        if since is None or self._clock.monotonic() - since < DELAY_S or not self._waiting:
            return ""
        return self._fault

    def has_ended(self, record: RecordingRecord) -> RecordingRecord:
        """Take a recording whose files are complete; it is uploading from here on, unless it has failed."""
        self.add(record)
        if record.state in (RecordingState.READY, RecordingState.PARTIAL):
            return replace(record, state=RecordingState.UPLOADING)
        return record

    def add(self, record: RecordingRecord) -> None:
        """Send what is left of a recording, soon; again changes nothing."""
        if self.is_removed(record.id) or self._is_closed:
            return
        waiting = self._waiting.get(record.id)
        if waiting is not None:
            # One that goes on grows while the bucket is away; its next turn counts the files that are complete.
            waiting.left_bytes += max(0, record.size_bytes - waiting.record.size_bytes)
            waiting.record = record
            waiting.is_asked_again = True
        elif len(self._waiting) < WAITING_MAX and record.id not in self._set_aside:
            since = min(self._clock.now(), record.ended_at or self._clock.now())
            left_bytes = 0 if record.state in _OPEN else record.size_bytes
            self._waiting[record.id] = _Waiting(record, since, left_bytes)
        self._begin_turns()

    @property
    def has_set_aside(self) -> bool:
        """Whether something could not be read on this machine."""
        return bool(self._set_aside)

    def forgive(self) -> None:
        """Try again what could not be read on this machine."""
        self._set_aside.clear()

    @property
    def has_room(self) -> bool:
        """Whether more may be added."""
        return len(self._waiting) < WAITING_MAX

    def look(self, going: Callable[[], list[RecordingRecord]]) -> None:
        """Do what is due; called about once a second.

        Args:
            going: The recordings that are written.
        """
        now = self._clock.monotonic()
        if now >= self._going_due_at:
            self._going_due_at = now + GOING_S
            for record in going():
                self.add(record)
        self._begin_turns()

    async def stop(self, recording_id: str) -> bool:
        """Send nothing more of a recording; whether something of it was under way."""
        waiting = self._waiting.pop(recording_id, None)
        if waiting is None or waiting.task is None:
            return False
        waiting.task.cancel()
        await asyncio.gather(waiting.task, return_exceptions=True)
        return True

    async def idle(self) -> None:
        """Wait until every turn that has begun is over."""
        while tasks := [waiting.task for waiting in self._waiting.values() if waiting.task is not None]:
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """End what is under way; the next server sends it again."""
        self._is_closed = True
        tasks = [waiting.task for waiting in self._waiting.values() if waiting.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- turns ---------------------------------------------------------------------------------------

    def _begin_turns(self) -> None:
        if self._is_closed or not self._backoff.is_due:
            return
        at_once = 1 if self._backoff.has_failed else UPLOADS_AT_ONCE
        for waiting in self._waiting.values():
            if self._turns >= at_once:
                return
            if waiting.task is None:
                self._turns += 1
                waiting.is_asked_again = False
                waiting.task = asyncio.create_task(self._turn(waiting))

    async def _turn(self, waiting: _Waiting) -> None:
        """Send a few files of one recording, and have it wait behind the others for the next turn."""
        record = waiting.record
        is_done = False
        try:
            is_done = await self._send_some(waiting)
        except StorageError as exc:
            tell_failure(self._metrics, "storage.upload_failed", record.id, exc)
            if exc.reason == StorageFault.LOCAL_FILE:
                # No other recording has a part in it.
                self._set_aside.add(record.id)
                is_done = True
            else:
                self._backoff.note_failure()
                self.bucket.reopen()
                self._fault = str(exc)
                if self._failing_since is None:
                    self._failing_since = self._clock.monotonic()
        except Exception:
            # A fault of ours costs this recording its turn until the next walk, and nothing else.
            log.exception("storage.upload_broken", extra={"recording_id": record.id})
            self._set_aside.add(record.id)
            is_done = True
        finally:
            waiting.task = None
            self._turns -= 1
            if self._waiting.get(record.id) is waiting:
                del self._waiting[record.id]
                if not is_done or waiting.is_asked_again:
                    self._waiting[record.id] = waiting
            if not self._is_closed:
                self._begin_turns()

    async def _send_some(self, waiting: _Waiting) -> bool:
        """Send a few files.

        Returns:
            Whether nothing more is to be sent now.

        Raises:
            StorageError: The bucket, or the disk, did not do what it was asked.
        """
        record = waiting.record
        folder = self._folder(record)
        left = await self._on_disk(partial(left_of, folder, self._place))
        if left is None:
            # Its files are another server's.
            return True
        if left.is_completed:
            self._on_stored(record)
            return True
        waiting.left_bytes = left.size_bytes
        for file in left.files[:FILES_PER_TURN]:
            # One piece more than are under way is read meanwhile.
            waiting.held_bytes = min(file.bytes, (PARTS_AT_ONCE + 1) * PART_BYTES)
            await self._send(folder, record, file)
            waiting.left_bytes -= file.bytes
        if len(left.files) > FILES_PER_TURN:
            return False
        if left.document is None:
            return True
        completed_at = self._clock.now()
        await self._on_disk(partial(note_completed, folder, self._place, completed_at))
        directory = folder.path.parents[record.path.count("/")]
        stored = record_of(left.document, folder, directory)
        self._keep(stored)
        if not left.was_completed:
            self._tell_stored(stored)
        self._on_stored(stored)
        return True

    async def _send(self, folder: RecordingFolder, record: RecordingRecord, file: RecordedFile) -> None:
        size_bytes, sha256 = await self.bucket.put_file(f"{record.path}/{file.path}", folder.path / file.path)
        self._backoff.note_success()
        self._failing_since = None
        self._metrics.storage.storage_uploaded_bytes_total.inc(size_bytes)
        self._metrics.storage.storage_uploads_total.inc()
        if file.sha256 and file.sha256 != sha256:
            # The disk has lost bits: what is there is better than nothing, and verify says so.
            log.warning("storage.file_damaged", extra={"recording_id": record.id, "file": file.path})
        # A file that was sent is noted under the hash that was looked for, so that it is not sent again for ever.
        sent = replace(file, bytes=size_bytes, sha256=file.sha256 or sha256)
        await self._on_disk(partial(note_file, folder, self._place, sent))

    def _tell_stored(self, record: RecordingRecord) -> None:
        where = f"{self._place}/{record.path}"
        log.info("recording.uploaded", extra={"stream": record.user, "recording_id": record.id, "place": where})
        self._tell(
            Event(
                EventType.RECORDING_UPLOADED,
                self._clock.now(),
                {"user": record.user, "recording_id": record.id, "bytes": record.size_bytes, "url": where},
            )
        )

    async def _on_disk(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as exc:
            raise failure(StorageFault.LOCAL_FILE) from exc
