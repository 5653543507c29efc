"""One recording while it is written: its steps wait in a queue, and a thread does them in order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from streamd.errors import RecordingError
from streamd.services.recording.records import RecordingState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.recording.documents import RecordedRendition
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
        on_change: Called when its state or its size has changed; a last time when it is complete.
        all_queued_bytes: Media of all recordings that waits for the disk.

    Attributes:
        state: How far it has come.
        fault: Why it failed; empty where it did not.
        totals: Its size so far.
        queued_bytes: Media that waits for the disk.
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
    ) -> None:
        self.id = recording_id
        self.name = name
        self.state = RecordingState.RECORDING
        self.fault = ""
        self.totals: RecordingTotals = writer.totals
        self.queued_bytes = 0
        self.is_complete = False
        self._writer = writer
        self._pool = pool
        self._clock = clock
        self._on_change = on_change
        self._all_queued_bytes = all_queued_bytes
        self._steps: deque[tuple[Callable[[], None], int]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._is_left = False

    @property
    def is_over(self) -> bool:
        """Whether it takes no more media."""
        return self.state is not RecordingState.RECORDING

    def set_header(self, rendition: RecordedRendition, header: bytes, target_duration_s: int) -> None:
        """Begin a variant, or go on with it under another CMAF header (``RecordingWriter.set_header``)."""
        self._put(lambda: self._writer.set_header(rendition, header, target_duration_s), len(header))

    def append(
        self,
        variant: str,
        parts: Sequence[bytes],
        *,
        duration_us: int,
        program_date_time_ms: int,
        is_discontinuous: bool,
    ) -> None:
        """Append one whole segment (``RecordingWriter.append``)."""
        self._put(
            lambda: self._writer.append(
                variant,
                parts,
                duration_us=duration_us,
                program_date_time_ms=program_date_time_ms,
                is_discontinuous=is_discontinuous,
            ),
            sum(map(len, parts)),
        )

    def finish(self) -> None:
        """End it: its files are completed once all media before is written."""
        if self.state is RecordingState.RECORDING:
            self.state = RecordingState.FINALIZING
            self._on_change(self)
            self._run()

    def leave(self) -> None:
        """Leave it unfinished, for another server to go on with; media that waits is written."""
        self._is_left = True
        self._run()

    async def wait(self) -> None:
        """Wait until all that waits for the disk is done."""
        while self._task is not None:
            await asyncio.shield(self._task)

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
        self.queued_bytes += size_bytes
        self._steps.append((step, size_bytes))
        self._run()

    def _run(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        try:
            while self._steps:
                steps = tuple(self._steps)
                self._steps.clear()
                await self._try(partial(self._do, steps))
                self.queued_bytes -= sum(size_bytes for _, size_bytes in steps)
            if self.state in (RecordingState.FINALIZING, RecordingState.FAILED):
                fault = self.fault
                await self._try(lambda: self._complete(self._clock.now()))
                if self.fault != fault:
                    # It may be one file that the disk does not take: the document of the end says so.
                    await self._try(lambda: self._complete(self._clock.now()))
                if self.state is RecordingState.FINALIZING:
                    self.state = RecordingState.PARTIAL if self._writer.has_gap else RecordingState.READY
            if self.is_over or self._is_left:
                await self._try(self._writer.close)
                self.is_complete = True
        finally:
            self._task = None
        self._on_change(self)

    async def _try(self, work: Callable[[], None]) -> None:
        """Do work that waits for the disk; its failure ends the recording."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except (OSError, RecordingError) as exc:
            self._fail(_reason(exc))
        except Exception:
            # A fault of ours ends this recording, and nothing else.
            log.exception("recording.broken", extra={"stream": self.name, "recording_id": self.id})
            self._fail("internal error")

    def _do(self, steps: Sequence[tuple[Callable[[], None], int]]) -> None:
        for step, _ in steps:
            step()
        self._writer.sync(self._clock.monotonic())
        self.totals = self._writer.totals

    def _complete(self, now: datetime) -> None:
        """Complete the files; of a failed recording as far as the disk lets us."""
        self.totals = self._writer.finish(now, self.fault)

    def _fail(self, reason: str) -> None:
        if self.fault:
            return
        self.fault = reason
        self.state = RecordingState.FAILED
        self.queued_bytes -= sum(size_bytes for _, size_bytes in self._steps)
        self._steps.clear()
        log.error("recording.failed", extra={"stream": self.name, "recording_id": self.id, "reason": reason})
        self._on_change(self)
        self._run()


def _reason(exc: Exception) -> str:
    """A fault of the disk in its own words, without a path."""
    return (exc.strerror or "the disk reports an error") if isinstance(exc, OSError) else str(exc)
