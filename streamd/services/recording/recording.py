"""One recording while it is written: what it takes, how it ends, and why it fails."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from streamd.errors import RecordingError
from streamd.services.recording.disk_queue import DiskQueue
from streamd.services.recording.records import RecordingState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from datetime import datetime
    from pathlib import Path

    from streamd.clock import Clock
    from streamd.media.packager.cmaf_chunk import ChunkBytes
    from streamd.services.recording.disk_sync import DiskSync
    from streamd.services.recording.documents import RecordedRendition
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.past import Past
    from streamd.services.recording.recording_writer import RecordingTotals, RecordingWriter

log = logging.getLogger(__name__)

# Media that waits for the disk: some segments of a stream at a usual bit rate, or one of the largest. A disk that is
# further behind ends the recording, as memory is for the living.
QUEUED_BYTES_MAX = 64 * 1024 * 1024
# The same for all recordings of a server: a disk that hangs has them all.
ALL_QUEUED_BYTES_MAX = 256 * 1024 * 1024
# Bytes of a step beside its media.
_STEP_BYTES = 512


class Recording:
    """A recording that goes on.

    Args:
        recording_id: Its id.
        name: Channel name.
        writer: Writes its files.
        pool: Threads that may wait for the disk.
        clock: For dates and durations.
        on_change: Called when its state has changed; a last time when it is complete.
        all_queued_bytes: Media of all recordings that waits for the disk.
        disk_sync: Has what it writes kept by the disk; None: nothing does before it ends.

    Attributes:
        state: Its state.
        fault: The reason why it failed; empty where it did not.
        totals: Its size so far.
        past: The past of its broadcast, which is read from it; None where there is none.
        is_complete: Its files are closed: ready, or failed, or left to another server.
    """

    def __init__(
        self,
        recording_id: str,
        name: str,
        writer: RecordingWriter,
        pool: Executor,
        clock: Clock,
        on_change: Callable[[Recording], None],
        all_queued_bytes: Callable[[], int] = lambda: 0,
        disk_sync: DiskSync | None = None,
    ) -> None:
        self.id = recording_id
        self.name = name
        self.state = RecordingState.RECORDING
        self.fault = ""
        self.totals: RecordingTotals = writer.totals
        self.is_complete = False
        self._writer = writer
        self._pool = pool
        self._clock = clock
        self._on_change = on_change
        self._all_queued_bytes = all_queued_bytes
        self._disk_sync = disk_sync
        self.past: Past | None = None
        self._loop = asyncio.get_running_loop()
        self._queue = DiskQueue(pool, self._note_totals, self._note_failure)
        self._ending: asyncio.Task[None] | None = None
        # The oldest media file of each variant that is there, where older ones were removed.
        self._first_files: dict[str, int] = {}

    @property
    def is_over(self) -> bool:
        """Whether it takes no more media."""
        return self.state is not RecordingState.RECORDING

    def attach(self, past: Past | None) -> None:
        """Have the past of its broadcast be read from it; called before it takes anything."""
        self.past = past
        if past is not None:
            past.restore(self._writer.recovered)

    @property
    def has_gap(self) -> bool:
        """Whether a crash has cost media of it that was recorded."""
        return self._writer.has_gap

    @property
    def folder(self) -> RecordingFolder:
        """Its folder."""
        return self._writer.folder

    @property
    def path(self) -> Path:
        """Of its folder."""
        return self._writer.folder.path

    @property
    def device(self) -> int:
        """The file system that it lies on; 0 before there is something of it."""
        return self._writer.device

    @property
    def queued_bytes(self) -> int:
        """Media that waits for the disk."""
        return self._queue.queued_bytes

    def set_header(self, rendition: RecordedRendition, header: bytes, target_duration_s: int) -> None:
        """Begin a variant, or go on with it under another CMAF header (``RecordingWriter.set_header``)."""
        if self.past is not None:
            self.past.set_target(rendition.path, target_duration_s)
        self._put(lambda: self._writer.set_header(rendition, header, target_duration_s), len(header))

    def append(
        self,
        variant: str,
        parts: Sequence[ChunkBytes],
        *,
        duration_us: int,
        program_date_time_ms: int,
        is_discontinuous: bool,
    ) -> None:
        """Append one whole segment (``RecordingWriter.append``)."""

        def append() -> None:
            # Their frames lie where the publisher's bytes were put, and are written from there.
            pieces: list[bytes | memoryview] = []
            for part in parts:
                pieces += part.pieces()
            segment = self._writer.append(
                variant,
                pieces,
                duration_us=duration_us,
                program_date_time_ms=program_date_time_ms,
                is_discontinuous=is_discontinuous,
            )
            if self.past is not None:
                self._loop.call_soon_threadsafe(self.past.add, variant, segment)

        self._put(append, sum(map(len, parts)))
        if self._disk_sync is not None:
            self._disk_sync.note(self)

    def sync(self) -> None:
        """Have the disk keep all that it was given before."""
        self._put(self._writer.sync, 0)

    def cut(self, variant: str, first_file: int) -> None:
        """Remove the media files of a variant before one (``RecordingWriter.cut``)."""
        if first_file > self._first_files.get(variant, 0):
            self._first_files[variant] = first_file
            self._put(lambda: self._writer.cut(variant, first_file), 0)

    def finish(self) -> None:
        """End it: its files are completed once all media before is written."""
        if self.state is RecordingState.RECORDING:
            self.state = RecordingState.FINALIZING
            self._on_change(self)
            self._end()

    def leave(self) -> None:
        """Leave it unfinished, for another server to go on with; media that waits is written."""
        if self.past is not None:
            self.past.leave()
        self._end()

    async def wait(self) -> None:
        """Wait until all that waits for the disk is done."""
        await self._queue.drained()
        if self._ending is not None:
            await asyncio.shield(self._ending)

    def _put(self, step: Callable[[], None], size_bytes: int) -> None:
        if self.state is not RecordingState.RECORDING:
            return
        size_bytes += _STEP_BYTES
        if self.queued_bytes + size_bytes > QUEUED_BYTES_MAX:
            self._fail(f"the disk is too slow: {self.queued_bytes >> 20} MiB wait for it")
            return
        if self._all_queued_bytes() + size_bytes > ALL_QUEUED_BYTES_MAX:
            self._fail(f"the disk is too slow: {self._all_queued_bytes() >> 20} MiB of all recordings wait for it")
            return
        self._queue.put(step, size_bytes)

    def _note_totals(self) -> None:
        """Note its size behind each step."""
        self.totals = self._writer.totals

    def _end(self) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._complete())

    async def _complete(self) -> None:
        await self._queue.drained()
        if self.is_over and self.past is not None:
            self.past.end()
        if self.is_over:
            fault = self.fault
            await self._try(lambda: self._finish_files(self._clock.now()))
            if self.fault != fault:
                # It may be one file that the disk does not take: the document of the end says so.
                await self._try(lambda: self._finish_files(self._clock.now()))
            if self.state is RecordingState.FINALIZING:
                self.state = RecordingState.PARTIAL if self._writer.has_gap else RecordingState.READY
        await self._try(self._writer.close)
        self.is_complete = True
        self._on_change(self)

    async def _try(self, work: Callable[[], None]) -> None:
        """Do work that waits for the disk; its failure ends the recording."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except Exception as exc:  # noqa: BLE001  # a fault of ours ends this recording, and nothing else
            self._note_failure(exc)

    def _finish_files(self, now: datetime) -> None:
        """Complete the files; of a failed recording as far as the disk lets us."""
        self.totals = self._writer.finish(now, self.fault)

    def _note_failure(self, exc: BaseException) -> None:
        if isinstance(exc, (OSError, RecordingError)):
            self._fail(_reason(exc))
        else:
            log.error("recording.broken", extra={"stream": self.name, "recording_id": self.id}, exc_info=exc)
            self._fail("internal error")

    def _fail(self, reason: str) -> None:
        if self.fault:
            return
        self.fault = reason
        self.state = RecordingState.FAILED
        self._queue.drop()
        log.error("recording.failed", extra={"stream": self.name, "recording_id": self.id, "reason": reason})
        self._on_change(self)
        self._end()


def _reason(exc: OSError | RecordingError) -> str:
    """A fault of the disk in its own words, without a path."""
    return (exc.strerror or "the disk reports an error") if isinstance(exc, OSError) else str(exc)
