"""The sockets that a supervisor has for its workers: those it listens on, and those that keep a port for them."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

from streamd.process.binding import cannot_bind

if TYPE_CHECKING:
    from streamd.process.config import ListenAddress


def listen(name: str, address: ListenAddress, backlog: int) -> list[socket.socket]:
    """Listen on an address, for connections that are handed on.

    Args:
        name: The setting, for example ``rtmp.listen``.
        address: Its value; without a host all interfaces are meant, and with port 0 any port that is free.
        backlog: Connections that wait in the kernel.

    Returns:
        A socket for each family, all with one port.

    Raises:
        StartError: It cannot be bound.
    """
    try:
        sockets = _bind(address, reuse_port=False)
        for each in sockets:
            each.listen(backlog)
    except OSError as exc:
        raise cannot_bind(name, address, exc) from exc
    return sockets


def keep(name: str, address: ListenAddress) -> list[socket.socket]:
    """Keep a port on which several workers are to listen (``SO_REUSEPORT``).

    Args:
        name: The setting.
        address: Its value.

    Returns:
        Sockets that are bound and do not listen: no connection comes to them.

    Raises:
        StartError: It cannot be bound, or another program listens there.
    """
    try:
        # One that is bound without the option is refused where another server of the same user has it with the option.
        first = _bind(address, reuse_port=False)
        port: int = first[0].getsockname()[1]
        for each in first:
            each.close()
        return _bind(type(address)(address.host, port), reuse_port=True)
    except OSError as exc:
        raise cannot_bind(name, address, exc) from exc


def _bind(address: ListenAddress, *, reuse_port: bool) -> list[socket.socket]:
    found = socket.getaddrinfo(
        address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE, proto=socket.IPPROTO_TCP
    )
    port = address.port
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        for family, kind, protocol, _, where in dict.fromkeys(found):
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError:
                # The machine has no such family.
                continue
            stack.callback(sock.close)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((where[0], port, *where[2:]))
            sock.setblocking(False)
            port = sock.getsockname()[1]
            sockets.append(sock)
        if not sockets:
            raise OSError("no address")
        stack.pop_all()
    return sockets
