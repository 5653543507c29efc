"""Calls of Linux that Python has no function for, by way of the C library."""

from __future__ import annotations

import ctypes
import errno
import os

Argument = int | bytes | None


def prctl(option: int, argument: int = 0) -> int:
    """Ask something of the kernel for this process (``man 2 prctl``).

    Raises:
        OSError: The kernel refuses, or this is not Linux.
    """
    return _call("prctl", option, argument, 0, 0, 0)


def capset(header: bytes, sets: bytes) -> None:
    """Set the capabilities of this process (``man 2 capset``).

    Raises:
        OSError: The kernel refuses, or this is not Linux.
    """
    _call("capset", header, sets)


def system_call(number: int, *arguments: Argument) -> int:
    """Make a system call by its number in this machine's table.

    Args:
        number: Which.
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
