"""Has the disk keep the bytes that recordings have written: of all of them together, every few seconds.

A file that is synced by itself is a commit of the file system's journal: with twenty streams, forty of them every two
seconds, and each gives the interpreter up and has to win it back from the loop. One call for the whole file system is
one commit, and a fifth of the work. A disk that reports a fault is asked about each recording by itself, as that call
does not say which of them has lost something.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

# Fewer than this are synced by themselves: the whole file system has the writes of other programs, too.
TOGETHER_MIN = 3
# Where a power cut may cost nothing, it costs this many seconds: while media waits for a slow disk, the loop does not
# ask without a pause whether it is written.
PAUSE_S_MIN = 0.05


class Written(Protocol):
    """A recording that has written something."""

    id: str

    @property
    def queued_bytes(self) -> int:
        """Bytes that it has still to write."""

    @property
    def device(self) -> int:
        """The file system that it lies on; 0 where it has written nothing yet."""

    @property
    def path(self) -> Path:
        """Its folder."""

    def sync(self) -> None:
        """Have its own files on the disk, in its turn."""


class DiskSync:
    """Syncs recordings. All calls come from the loop.

    Args:
        every_s: The media that a power cut may cost, seconds.
        sync_all: Has all of the file system of a folder on its disk.
    """

    def __init__(self, every_s: Callable[[], float], sync_all: Callable[[Path], None] | None = None) -> None:
        # Bytes of other programs may take long: no recording waits for them.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recording-sync")
        self._every_s = every_s
        self._sync_all = sync_all or sync_file_system
        self._written: dict[str, Written] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def note(self, recording: Written) -> None:
        """Have what a recording has been given on the disk, soon."""
        self._written[recording.id] = recording
        self._wait()

    async def close(self) -> None:
        """Have all that was written on the disk; called when nothing more comes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        for each in _by_device(self._written.values()).values():
            await self._sync(each[0].path)
        self._written = {}
        self._thread.shutdown(wait=False)

    # -- inside -------------------------------------------------------------------------------------

    def _wait(self) -> None:
        if self._timer is None and self._task is None:
            pause_s = max(self._every_s(), PAUSE_S_MIN)
            self._timer = asyncio.get_running_loop().call_later(pause_s, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._task = asyncio.create_task(self._round())

    async def _round(self) -> None:
        written = self._written
        # Bytes that wait for a thread are written behind this round, and are for the next one.
        self._written = {each.id: each for each in written.values() if each.queued_bytes}
        try:
            for device, of_device in _by_device(written.values()).items():
                is_together = device and len(of_device) >= TOGETHER_MIN
                if not is_together or not await self._sync(of_device[0].path):
                    for each in of_device:
                        each.sync()
        finally:
            self._task = None
            if self._written:
                self._wait()

    async def _sync(self, path: Path) -> bool:
        """Sync a file system; whether it says that all is there."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._sync_all, path)
        except OSError:
            return False
        return True


def _by_device(recordings: Iterable[Written]) -> dict[int, list[Written]]:
    found: dict[int, list[Written]] = {}
    for each in recordings:
        found.setdefault(each.device, []).append(each)
    return found


def sync_file_system(path: Path) -> None:
    """Have all of a file system on its disk; in a thread that may wait for it.

    Args:
        path: A folder that lies there.

    Raises:
        OSError: The disk reports a fault, of whichever file, or the system has no such call.

    Spec: syncfs(2).
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        raise OSError("there is no syncfs")
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if call(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)
