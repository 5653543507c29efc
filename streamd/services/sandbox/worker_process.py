"""A process beside the server that does one kind of work, kept for as long as there is work.

Reading hostile bytes, or taking a processor for long, is no work for the loop's process: a crash, an endless loop or
a hunger for memory ends one process, which is started anew for the next order. A thread would share all of that with
every stream. The process confines itself (``services/sandbox``), and names the layers that hold it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import TYPE_CHECKING, TypeVar

from streamd.errors import PictureError, PictureWorkerRestsError
from streamd.services.sandbox import Layer

if TYPE_CHECKING:
    from asyncio import StreamReader
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from streamd.clock import Clock

log = logging.getLogger(__name__)

# A worker that fails is replaced at once, for the picture may have been to blame. A worker that fails again and again
# rests, twice as long each time, until an order succeeds: a start takes 0.2 s of a processor, and more with models.
REST_S = 1.0
REST_S_MAX = 60.0

_Answer = TypeVar("_Answer")


class WorkerProcess:
    """Carries out one order at a time.

    Args:
        command: The worker and its arguments.
        environment: Its whole environment; ours is not inherited, and no secret belongs there.
        clock: Measures the rest of a worker that failed.
        name: The noun of its log lines.
        answer_timeout_s: How long an order may take.
        idle_timeout_s: The process ends after this time without an order.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        clock: Clock,
        *,
        name: str,
        answer_timeout_s: float,
        idle_timeout_s: float,
    ) -> None:
        self._command = tuple(command)
        self._environment = dict(environment)
        self._clock = clock
        self._locked_event = f"{name}.locked"
        self._answer_timeout_s = answer_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._failures = 0
        self._rests_until = 0.0
        self._layers: Layer | None = None
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """End the process."""
        async with self._turn:
            await self._stop()

    async def _ask(self, order: Sequence[bytes], read: Callable[[StreamReader], Awaitable[_Answer]]) -> _Answer:
        """Have the worker carry out an order, and wait for its turn before.

        Args:
            order: What is written to it.
            read: Reads the answer; raises ``EOFError`` (``asyncio.IncompleteReadError``) where it is none.

        Raises:
            PictureError: The process did not start, died, took too long or answered nonsense.
            PictureWorkerRestsError: It failed several times in a row, and is not started yet.
        """
        async with self._turn:
            if (rest_s := self._rests_until - self._clock.monotonic()) > 0:
                raise PictureWorkerRestsError(rest_s)
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            try:
                process = await self._running()
                async with asyncio.timeout(self._answer_timeout_s):
                    answer = await self._exchange(process, order, read)
            except (OSError, EOFError, TimeoutError) as exc:
                await self._stop()
                self._note_failure()
                raise PictureError(f"no picture from the worker: {str(exc) or type(exc).__name__}") from exc
            except asyncio.CancelledError:
                await self._stop()
                raise
            self._failures = 0
            self._idle_timer = asyncio.get_running_loop().call_later(self._idle_timeout_s, self._end_idle)
            return answer

    async def _prepare(self, process: Process) -> None:
        """Do what a process needs that has just been started.

        Raises:
            OSError: It cannot be used.
            EOFError: Likewise.
        """

    async def _running(self) -> Process:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=self._environment, start_new_session=True
            )
            await self._prepare(process)
        return process

    @staticmethod
    async def _exchange(
        process: Process, order: Sequence[bytes], read: Callable[[StreamReader], Awaitable[_Answer]]
    ) -> _Answer:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.writelines(order)
        await process.stdin.drain()
        return await read(process.stdout)

    def _note_failure(self) -> None:
        self._failures += 1
        if self._failures > 1:
            rest_s = min(REST_S * 2 ** (self._failures - 2), REST_S_MAX)
            self._rests_until = self._clock.monotonic() + rest_s

    def _note_sandbox(self, layers: Layer) -> None:
        """Log once the layers that hold the worker on this machine."""
        if layers == self._layers:
            return
        self._layers = layers
        missing = ~layers
        level = logging.WARNING if missing & (Layer.CALLS | Layer.FILES) else logging.INFO
        log.log(level, self._locked_event, extra={"layers": layers.words, "missing": missing.words})

    def _end_idle(self) -> None:
        if not self._turn.locked():
            self._stopping = asyncio.ensure_future(self.close())

    async def _stop(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()
        # The failed write is handled already; Pythons before 3.11.5 log it when nothing awaits it.
        with contextlib.suppress(OSError):
            await process.stdin.wait_closed()
