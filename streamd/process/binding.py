"""Binding a listener: what its address is then, and what the operator reads where it cannot be bound."""

from __future__ import annotations

import errno

from streamd.errors import StreamdError
from streamd.process.config import ListenAddress


class StartError(StreamdError):
    """The server cannot start: its text is the one line that the operator reads."""


def cannot_bind(name: str, listen: ListenAddress, exc: OSError) -> StartError:
    """Say why an address cannot be bound.

    Args:
        name: The setting, for example ``rtmp.listen``.
        listen: Its value.
        exc: What the operating system said.
    """
    match exc.errno:
        case errno.EADDRINUSE:
            why = "is in use by another program; stop it or choose another port"
        case errno.EACCES:
            why = "needs privileges that this user does not have; choose a port above 1023"
        case _:
            why = f"cannot be bound: {exc.strerror or exc}"
    return StartError(f"{name} = {str(listen)!r}: the address {why}")


def bound(listen: ListenAddress, address: tuple[str, int]) -> str:
    """The address as ``host:port``, with the port that the operating system gave where 0 was asked for."""
    return str(ListenAddress(listen.host, address[1]))
