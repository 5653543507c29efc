"""Binding a listener: its address, or the operator's message if it cannot be bound."""

from __future__ import annotations

import errno
import socket

from streamd.errors import StreamdError
from streamd.process.config import ListenAddress


class StartError(StreamdError):
    """The server cannot start: its text is the one line that the operator reads.

    Args:
        message: The line.
        why: The fault alone, for a message that names the setting in its own way; the whole line by default.
    """

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why or message


def cannot_bind(name: str, listen: ListenAddress, exc: OSError) -> StartError:
    """Say why an address cannot be bound.

    Args:
        name: The setting, for example ``rtmp.listen``.
        listen: Its value.
        exc: The operating system's error.
    """
    match exc.errno:
        case errno.EADDRINUSE:
            why = "is in use by another program; stop it or choose another port"
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT if ":" in listen.host and not socket.has_dualstack_ipv6():
            why = f"is IPv6, which this machine does not have; write :{listen.port} for all interfaces that there are"
        case errno.EADDRNOTAVAIL:
            why = (
                "is not one of this machine's (ip address lists them); "
                f"write one that is, or :{listen.port} for all interfaces"
            )
        case errno.EACCES:
            why = "needs privileges that this user does not have; choose a port above 1023"
        case _:
            why = f"cannot be bound: {exc.strerror or exc}"
    return StartError(f"{name} = {str(listen)!r}: the address {why}", f"the address {why}")


def try_address(listen: ListenAddress) -> None:
    """Bind any free port of an address for a moment, as a listener is about to bind its own; names are looked up.

    A loop passes over an address of a family that the machine does not have, and then listens nowhere.

    Raises:
        OSError: The machine has no such address.
    """
    if not listen.host:
        return
    failure: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(
        listen.host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        try:
            with socket.socket(family, kind, protocol) as listener:
                listener.bind(address)
        except OSError as exc:
            failure = exc
        else:
            return
    if failure is not None:
        raise failure


def bound(listen: ListenAddress, address: tuple[str, int]) -> str:
    """The address as ``host:port``, with the port that the operating system gave where 0 was asked for."""
    return str(ListenAddress(listen.host, address[1]))
