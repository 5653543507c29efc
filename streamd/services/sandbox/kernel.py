"""Calls of Linux that Python has no function for, by way of the C library."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

Argument = int | bytes | None

# <linux/capability.h>, version 3: this process; and three sets of 64 capabilities, in two halves.
CAPABILITY_HEADER = struct.Struct("=Ii").pack(0x2008_0522, 0)
CAPABILITY_SETS_BYTES = 24


def prctl(option: int, first: int = 0, second: int | bytes = 0) -> int:
    """Set an attribute of this process (``man 2 prctl``).

    Raises:
        OSError: The kernel refuses, or this is not Linux.
    """
    return _call("prctl", option, first, second, 0, 0)


def has_capabilities() -> bool:
    """Tell whether this process has any capability, or could get it back (``man 2 capget``).

    Raises:
        OSError: The kernel refuses, or this is not Linux.
    """
    sets = ctypes.create_string_buffer(CAPABILITY_SETS_BYTES)
    _call("capget", CAPABILITY_HEADER, ctypes.addressof(sets))
    return any(sets.raw)


def give_up_capabilities() -> None:
    """Give up all capabilities (``man 2 capset``).

    Raises:
        OSError: The kernel refuses, or this is not Linux.
    """
    _call("capset", CAPABILITY_HEADER, bytes(CAPABILITY_SETS_BYTES))


def system_call(number: int, *arguments: Argument) -> int:
    """Make a system call by its number in this machine's table.

    Args:
        number: Number of the call.
        arguments: Integers, and structures that the kernel reads, passed by their address.

    Raises:
        OSError: The kernel refuses, or this is not Linux.
    """
    return _call("syscall", number, *arguments)


def _call(name: str, *arguments: Argument) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "prctl"):
        raise OSError(errno.ENOSYS, "this is not Linux")
    function = libc[name]
    function.restype = ctypes.c_long
    # They are variadic in C: an integer has to be as wide as a register, as a pointer is.
    result = int(
        function(*(ctypes.c_long(each) if isinstance(each, int) else ctypes.c_char_p(each) for each in arguments))
    )
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
