"""Bounds of a process: descriptors, memory, processor time (``man 2 setrlimit``)."""

from __future__ import annotations

import os
import resource

# Descriptors from here on are closed; the process keeps the three before it.
FIRST_OTHER_DESCRIPTOR = 3
# Linux's own bound of descriptors (fs.nr_open), for a system that names none.
DESCRIPTORS_MAX = 1 << 20


def close_other_descriptors(kept: int = 0) -> None:
    """Close every descriptor but standard input, output and error.

    Args:
        kept: How many behind these stay.
    """
    bound = os.sysconf("SC_OPEN_MAX")
    os.closerange(FIRST_OTHER_DESCRIPTOR + kept, bound if bound > 0 else DESCRIPTORS_MAX)


def limit(*, memory_bytes: int, cpu_s: int | None, open_files: int, may_fork: bool, file_bytes: int = 0) -> None:
    """Bound the resources of this process for good: the limits cannot be raised again.

    Args:
        memory_bytes: Addresses, which is more than memory.
        cpu_s: Processor time since the process began; None for any.
        open_files: Descriptors above this are not given out; those that are open stay.
        may_fork: Whether it may start copies of itself.
        file_bytes: How long a file may become; at 0 none has content.
    """
    # No dump of its memory is written, whatever the length of a file.
    bounds = {resource.RLIMIT_FSIZE: file_bytes, resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: open_files}
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
