"""The look for space on a disk, by a thread: a disk that hangs gives no answer, and the loop does not wait for one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streamd.services.recording.folder import free_bytes

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

    from streamd.clock import Clock

# It is looked once a second; the answer holds this long, seconds.
KNOWN_S = 5.0


class SpaceLook:
    """Knows whether there was space a moment ago.

    Args:
        pool: Threads that may wait for the disk.
        clock: Measures the moment.
    """

    def __init__(self, pool: Executor, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
        self._seen_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    @property
    def has_found(self) -> bool:
        """Whether there was space."""
        return self._clock.monotonic() - self._seen_at <= KNOWN_S

    def look(self, path: Path, wanted_bytes: int) -> None:
        """Look again, unless the last look goes on.

        Args:
            path: The folder to look at; it need not be there yet.
            wanted_bytes: The space that is wanted, in bytes.
        """
        if self._task is None:
            self._task = asyncio.create_task(self._look(path, wanted_bytes))

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self, path: Path, wanted_bytes: int) -> None:
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._pool, free_bytes, path)
        except OSError:
            found = 0
        finally:
            self._task = None
        self._seen_at = self._clock.monotonic() if found > wanted_bytes else float("-inf")
