"""seccomp: a filter for the kernel with the system calls that a process may still make (``man 2 seccomp``).

The program is classic BPF over ``struct seccomp_data``: the call's number, the machine it is of, and six arguments.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from streamd.services.sandbox.kernel import prctl, system_call
from streamd.services.sandbox.system_calls import COMPUTE, FORK, MACHINES, Machine

# <linux/seccomp.h>
_SET_MODE_FILTER = 1
_FILTER_FLAG_TSYNC = 1
_PR_SET_SECCOMP = 22
_MODE_FILTER = 2
_KILL_PROCESS = 0x8000_0000
_ERRNO = 0x0005_0000
_ALLOW = 0x7FFF_0000
# struct seccomp_data
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
# <linux/bpf_common.h>: load a word of the data, jump if it equals, keep bits of it, return.
_LOAD, _JUMP_IF_EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
# struct sock_filter: code, jump distances for true and for false, operand.
_INSTRUCTION = struct.Struct("=HBBI")

_PROT_EXEC = 4
# <linux/sched.h>: where the copy's number is noted in its memory. Threads and namespaces are other flags.
_CLONE_CHILD_SETTID_AND_CLEARTID = 0x0120_0000


@dataclass(frozen=True, slots=True)
class Condition:
    """A call is allowed where an argument, but for some of its bits, is a number."""

    argument: int
    """Which of six, from 0."""
    ignored: int
    """Bits of its lower half that do not matter."""
    value: int
    """Required value of the other bits; less than 2**32."""


# Written memory is never run: a picture that breaks a decoder brings no code of its own.
_NOT_TO_BE_RUN = Condition(argument=2, ignored=0xFFFF_FFFF & ~_PROT_EXEC, value=0)
_CONDITIONS = {
    "mmap": _NOT_TO_BE_RUN,
    "mprotect": _NOT_TO_BE_RUN,
    "clone": Condition(argument=0, ignored=_CLONE_CHILD_SETTID_AND_CLEARTID, value=int(signal.SIGCHLD)),
}


def program(machine: Machine, *, may_fork: bool) -> bytes:
    """Make a filter that allows the calls of computing, refuses others with EPERM, and ends a process of another table.

    Other calls are refused and do not end the process: a C library that tries a newer call first falls back to the
    older one.

    Args:
        machine: The machine whose numbers the calls have.
        may_fork: Whether the process may start copies of itself.

    Returns:
        An array of ``struct sock_filter``.
    """
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in _instructions(machine, may_fork))


def _instructions(machine: Machine, may_fork: bool) -> Iterator[tuple[int, int, int, int]]:
    yield _LOAD, 0, 0, _ARCH_AT
    # The same number is another call in another table (i386's, on x86-64).
    yield _JUMP_IF_EQUAL, 1, 0, machine.audit_arch
    yield _RETURN, 0, 0, _KILL_PROCESS
    yield _LOAD, 0, 0, _NUMBER_AT
    for name in (*COMPUTE, *(FORK if may_fork else ())):
        # A call that a table lacks, such as fork in aarch64's, cannot be made there.
        if (number := machine.numbers.get(name)) is not None:
            allowed = list(_allow(_CONDITIONS.get(name)))
            yield _JUMP_IF_EQUAL, 0, len(allowed), number
            yield from allowed
    if may_fork:
        # Its flags are in memory, where no filter sees them; ENOSYS makes the C library use clone.
        yield _JUMP_IF_EQUAL, 0, 1, machine.numbers["clone3"]
        yield _RETURN, 0, 0, _ERRNO | errno.ENOSYS
    yield _RETURN, 0, 0, _ERRNO | errno.EPERM


def _allow(condition: Condition | None) -> Iterator[tuple[int, int, int, int]]:
    if condition is not None:
        low_at = _ARGUMENTS_AT + 8 * condition.argument  # little-endian, as both machines are
        yield _LOAD, 0, 0, low_at
        yield _AND, 0, 0, 0xFFFF_FFFF & ~condition.ignored
        yield _JUMP_IF_EQUAL, 0, 2, condition.value
        yield _LOAD, 0, 0, low_at + 4
        yield _JUMP_IF_EQUAL, 1, 0, 0
        yield _RETURN, 0, 0, _ERRNO | errno.EPERM
    yield _RETURN, 0, 0, _ALLOW


def allow_little(*, may_fork: bool) -> bool:
    """Refuse this process all other system calls from now on.

    Returns:
        Whether the filter holds: not on a kernel that cannot filter, or on a machine whose numbers are not known here.
    """
    machine = MACHINES.get(os.uname().machine)
    if machine is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    filter_program = program(machine, may_fork=may_fork)
    buffer = ctypes.create_string_buffer(filter_program, len(filter_program))
    # struct sock_fprog: how many instructions, and where.
    pointer = struct.pack("@HP", len(filter_program) // _INSTRUCTION.size, ctypes.addressof(buffer))
    with contextlib.suppress(OSError):
        try:
            # It covers all threads.
            system_call(machine.numbers["seccomp"], _SET_MODE_FILTER, _FILTER_FLAG_TSYNC, pointer)
        except OSError:
            # It covers this one, and is there where a service manager's list lacks the other (systemd before 254).
            prctl(_PR_SET_SECCOMP, _MODE_FILTER, pointer)
        return True
    return False
