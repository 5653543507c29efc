"""The machine under a bench: which core does what, and what the kernel says of a process."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

_Process = TypeVar("_Process")

SERVER_CORE, LOAD_CORE = 0, 1


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process on one core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def children(pid: int) -> list[int]:
    """Processes that a process without threads has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """Time that all threads of a process have had a core, as the scheduler counts it."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def tcp_pressure_s() -> float:
    """How long the kernel has been short of memory for sockets since the machine started (tcp(7), ``tcp_mem``).

    It heeds no SO_RCVLOWAT in this time: each message wakes its reader.
    """
    names, values = (
        line.split() for line in Path("/proc/net/netstat").read_text().splitlines() if line.startswith("TcpExt:")
    )
    return int(values[names.index("TCPMemoryPressuresChrono")]) / 1000


def open_descriptors(pid: int) -> int:
    """File descriptors that a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """Children started in the block are pinned to one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def started_on(core: int, process: contextlib.AbstractContextManager[_Process]) -> Iterator[_Process]:
    """What starts a process when it is entered, with that process pinned to one core."""
    with contextlib.ExitStack() as stack:
        with on_core(core):
            started = stack.enter_context(process)
        yield started
