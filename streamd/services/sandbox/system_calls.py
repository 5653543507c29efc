"""The numbers of Linux's system calls on the machines that a filter can be made for, each with its use.

This is a table of our own for the few that are allowed: libseccomp knows all calls, but it is a library that a
container may lack, and its binding for Python would be one more package for forty numbers that never change.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of processor, as the kernel names it to a filter."""

    audit_arch: int
    """<linux/audit.h>: the ELF machine, with a bit for 64 bits and one for little-endian."""
    numbers: dict[str, int]


X86_64 = Machine(
    audit_arch=0xC000_003E,
    numbers={
        **{"read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11},
        **{"brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "sched_yield": 24, "mremap": 25},
        **{"madvise": 28, "dup2": 33, "getpid": 39, "clone": 56, "fork": 57, "exit": 60, "wait4": 61, "uname": 63},
        **{
            "gettimeofday": 96,
            "getrusage": 98,
            "geteuid": 107,
            "getppid": 110,
            "capget": 125,
            "capset": 126,
            "sigaltstack": 131,
        },
        **{"prctl": 157, "gettid": 186, "futex": 202, "restart_syscall": 219, "clock_gettime": 228},
        **{"exit_group": 231, "set_robust_list": 273, "dup3": 292, "pipe2": 293, "prlimit64": 302, "seccomp": 317},
        **{"getrandom": 318, "rseq": 334, "clone3": 435, "close_range": 436},
        **{"landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446},
    },
)
AARCH64 = Machine(
    audit_arch=0xC000_00B7,
    numbers={
        **{
            "dup3": 24,
            "close": 57,
            "pipe2": 59,
            "lseek": 62,
            "read": 63,
            "write": 64,
            "fstat": 80,
            "capget": 90,
            "capset": 91,
        },
        **{"exit": 93, "exit_group": 94, "futex": 98, "set_robust_list": 99, "clock_gettime": 113, "sched_yield": 124},
        **{"restart_syscall": 128, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135},
        **{
            "rt_sigreturn": 139,
            "uname": 160,
            "getrusage": 165,
            "prctl": 167,
            "gettimeofday": 169,
            "getpid": 172,
            "getppid": 173,
        },
        **{"geteuid": 175, "gettid": 178, "brk": 214, "munmap": 215, "mremap": 216, "clone": 220, "mmap": 222},
        **{"mprotect": 226, "madvise": 233, "wait4": 260, "prlimit64": 261, "seccomp": 277, "getrandom": 278},
        **{"rseq": 293, "clone3": 435, "close_range": 436},
        **{"landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446},
    },
)
# By what os.uname() says.
MACHINES = {"x86_64": X86_64, "aarch64": AARCH64}

COMPUTE = (
    # Memory, which the filter keeps from being run.
    *("mmap", "mprotect", "mremap", "munmap", "brk", "madvise"),
    # The pipe that it was handed.
    *("read", "write", "close", "lseek", "fstat"),
    # Locks and handlers of its own, clocks and random bytes, which the C library and Python look at in between.
    *("futex", "sched_yield", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    *("clock_gettime", "gettimeofday", "getrusage", "getrandom", "getpid", "getppid", "gettid", "geteuid"),
    *("exit", "exit_group"),
)
"""Calls of computing, and an exit. None of them opens, connects, starts, signals, or looks at another process."""

FORK = (
    # A copy of itself, to which the filter limits the call, a pipe to the copy, and its end.
    *("clone", "fork", "wait4", "pipe2", "dup2", "dup3", "set_robust_list", "rseq"),
    # The copy gives up its remaining rights.
    *("prctl", "capget", "capset", "prlimit64", "close_range", "uname", "seccomp"),
    *("landlock_create_ruleset", "landlock_restrict_self"),
)
"""Further calls of a process that starts copies of itself, which lock themselves in."""
