"""Steps that wait for the disk: the loop puts them in, and a thread does them in order.

A step costs the loop a few microseconds: nobody is told of one that succeeds. A failure is told of, and so is the end
of all, where somebody waits for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor


class DiskQueue:
    """One writer's steps.

    Args:
        pool: Threads that may wait for the disk. Others share them: after the steps that were there when a thread came,
            it goes to them.
        behind: Done in the thread behind each step.
        on_failure: Called on the loop with what a step raised; those behind it are dropped.
    """

    def __init__(self, pool: Executor, behind: Callable[[], None], on_failure: Callable[[BaseException], None]) -> None:
        self._pool = pool
        self._behind = behind
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        # Guards what stands below it; held for no longer than a few lines.
        self._lock = threading.Lock()
        self._steps: deque[tuple[Callable[[], object], int]] = deque()
        self._is_running = False
        self._waiting: list[asyncio.Future[None]] = []
        self._has_failed = False
        # The loop writes the first, and the thread the second.
        self._put_bytes = 0
        self._done_bytes = 0

    @property
    def queued_bytes(self) -> int:
        """Bytes of the steps that are not done."""
        return self._put_bytes - self._done_bytes

    def put(self, step: Callable[[], object], size_bytes: int) -> None:
        """Have a step done behind all others.

        Args:
            step: The work.
            size_bytes: Memory that it holds.
        """
        with self._lock:
            if self._has_failed:
                return
            self._put_bytes += size_bytes
            self._steps.append((step, size_bytes))
            is_running, self._is_running = self._is_running, True
        if not is_running:
            self._pool.submit(self._run)

    def drop(self) -> None:
        """Do nothing of what waits, and nothing that comes."""
        with self._lock:
            self._drop()

    async def drained(self) -> None:
        """Wait until nothing waits for the disk."""
        with self._lock:
            if not self._is_running:
                return
            future: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(future)
        await future

    # -- in the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        for _ in range(len(self._steps)):
            with self._lock:
                if not self._steps:
                    # They were dropped in the meantime.
                    break
                step, size_bytes = self._steps.popleft()
            try:
                step()
                self._behind()
            except BaseException as exc:  # noqa: BLE001  # it is handed on
                with self._lock:
                    self._drop()
                self._loop.call_soon_threadsafe(self._on_failure, exc)
            # It holds media of the publisher, which is let go before the next one is taken.
            del step
            self._done_bytes += size_bytes
        with self._lock:
            is_running = self._is_running = bool(self._steps)
            waiting: list[asyncio.Future[None]] = []
            if not is_running:
                waiting, self._waiting = self._waiting, waiting
        if is_running:
            self._pool.submit(self._run)
        elif waiting:
            self._loop.call_soon_threadsafe(_wake, waiting)

    def _drop(self) -> None:
        self._has_failed = True
        self._put_bytes -= sum(size_bytes for _, size_bytes in self._steps)
        self._steps.clear()


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(None)
