"""Bounds of a process: descriptors, memory, processor time (``man 2 setrlimit``)."""

from __future__ import annotations

import os
import resource

# Descriptors from here on are closed; the process keeps the three before it.
FIRST_OTHER_DESCRIPTOR = 3
# Linux's own bound of descriptors (fs.nr_open), for a system that names none.
DESCRIPTORS_MAX = 1 << 20


def close_other_descriptors() -> None:
    """Close every descriptor but standard input, output and error."""
    bound = os.sysconf("SC_OPEN_MAX")
    os.closerange(FIRST_OTHER_DESCRIPTOR, bound if bound > 0 else DESCRIPTORS_MAX)


def limit(*, memory_bytes: int, cpu_s: int | None, open_files: int, may_fork: bool) -> None:
    """Bound the resources of this process for good: the limits cannot be raised again.

    Args:
        memory_bytes: Addresses, which is more than memory.
        cpu_s: Processor time since the process began; None for any.
        open_files: Descriptors above this are not given out; those that are open stay.
        may_fork: Whether it may start copies of itself.
    """
    # No file may have content, a dump of its memory included.
    bounds = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: open_files}
    bounds[resource.RLIMIT_AS] = memory_bytes
    if cpu_s is not None:
        bounds[resource.RLIMIT_CPU] = cpu_s
    if not may_fork:
        # The kernel exempts root from this limit: seccomp holds root.
        bounds[resource.RLIMIT_NPROC] = 0
    for which, bound in bounds.items():
        _, hard = resource.getrlimit(which)
        lowered = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(which, (lowered, lowered))
