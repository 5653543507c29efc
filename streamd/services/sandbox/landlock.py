"""Landlock: a process gives up files, ports and signals for good, without being root (``man 7 landlock``).

An act that a ruleset handles and no rule allows is refused. There are no rules here: all is refused.
"""

from __future__ import annotations

import os
import struct

from streamd.services.sandbox.kernel import system_call
from streamd.services.sandbox.layer import Layer

# The same numbers on every machine, from the table that all share (asm-generic/unistd.h).
_CREATE_RULESET = 444
_RESTRICT_SELF = 446
_CREATE_RULESET_VERSION = 1

# <linux/landlock.h>: how many rights of files each version of the interface knows, beginning with the lowest bit. The
# second came with REFER, the third with TRUNCATE, the fifth with IOCTL_DEV.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
_NETWORK_SINCE = 4
_BIND_AND_CONNECT_TCP = 0b11
_SCOPE_SINCE = 6
_ABSTRACT_UNIX_SOCKET_AND_SIGNAL = 0b11


def version() -> int:
    """The version of Landlock's interface that this kernel has; 0 for none, or turned off."""
    try:
        return system_call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def ruleset(abi: int) -> tuple[bytes, Layer]:
    """Write ``struct landlock_ruleset_attr``, which handles everything that a version knows.

    Args:
        abi: The version, from 1.

    Returns:
        The structure, as long as the version knows it, and the layers that it makes.
    """
    files = (1 << max(count for since, count in _FILE_RIGHTS.items() if since <= abi)) - 1
    attribute, layers = struct.pack("=Q", files), Layer.FILES
    if abi >= _NETWORK_SINCE:
        attribute += struct.pack("=Q", _BIND_AND_CONNECT_TCP)
        layers |= Layer.NETWORK
    if abi >= _SCOPE_SINCE:
        attribute += struct.pack("=Q", _ABSTRACT_UNIX_SOCKET_AND_SIGNAL)
        layers |= Layer.SIGNALS
    return attribute, layers


def refuse_everything() -> Layer:
    """Give up every right that this kernel's Landlock can take from this thread and its children.

    Returns:
        The layers that hold from now on.
    """
    abi = version()
    if abi == 0:
        return Layer(0)
    attribute, layers = ruleset(abi)
    try:
        descriptor = system_call(_CREATE_RULESET, attribute, len(attribute), 0)
        try:
            system_call(_RESTRICT_SELF, descriptor, 0)
        finally:
            os.close(descriptor)
    except OSError:
        return Layer(0)
    return layers
