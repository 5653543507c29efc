"""What a process may use up: descriptors, memory, processor time (``man 2 setrlimit``)."""

from __future__ import annotations

import os
import resource

# Descriptors from here on are closed; the three before are whatever the process was started with.
FIRST_OTHER_DESCRIPTOR = 3
# Where the system knows no bound of descriptors: Linux's own (fs.nr_open).
DESCRIPTORS_MAX = 1 << 20


def close_other_descriptors() -> None:
    """Close every descriptor but standard input, output and error."""
    bound = os.sysconf("SC_OPEN_MAX")
    os.closerange(FIRST_OTHER_DESCRIPTOR, bound if bound > 0 else DESCRIPTORS_MAX)


def limit(*, memory_bytes: int, cpu_s: int | None, open_files: int, may_fork: bool) -> None:
    """Bound what this process uses, for good: none of the limits can be raised again.

    Args:
        memory_bytes: Addresses, which is more than memory.
        cpu_s: Processor time since the process began; None for any.
        open_files: Descriptors above this are not given out; those that are open stay.
        may_fork: Whether it may start copies of itself.
    """
    # A file of no length: a dump of its memory is none either.
    bounds = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: open_files}
    bounds[resource.RLIMIT_AS] = memory_bytes
    if cpu_s is not None:
        bounds[resource.RLIMIT_CPU] = cpu_s
    if not may_fork:
        # The kernel does not hold root to this one: for root, seccomp does.
        bounds[resource.RLIMIT_NPROC] = 0
    for which, bound in bounds.items():
        _, hard = resource.getrlimit(which)
        lowered = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(which, (lowered, lowered))
