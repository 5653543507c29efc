"""Connections that come through a TCP proxy: each begins with a header that says who the client is.

Headers are read from proxies that the operator names, and from nobody else: otherwise every peer could choose the
address that limits count it by. A connection from elsewhere is a client's own, to which a header is a fault of its
protocol. From a named proxy the header is asked for: without one nobody knows who its client is.

The header stands before TLS, so it is read from the bare socket, and not a byte behind it.

Spec: "The PROXY protocol, versions 1 & 2" (``streamd.formats.proxy_protocol``).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from streamd.errors import ProxyProtocolError
from streamd.formats.proxy_protocol import HEADER_BYTES_MAX, Peer, read_header
from streamd.services.bounds.log_lines import LineBudget

if TYPE_CHECKING:
    from streamd.doors.tls.handshakes import MakeProtocol

log = logging.getLogger(__name__)

# Headers that are waited for. A proxy sends its own at once, so that there are more of them only where one does not.
PENDING_MAX = 1000
# Lines a minute about one proxy, and about all: one that is told to send no header does so for every connection, and so
# does whoever else is in its network.
LINES_PER_PROXY_MAX = 5
LINES_MAX = 60

GoOn: TypeAlias = "Callable[[socket.socket, str, MakeProtocol], None]"
"""What is behind the header: given the socket, the client's address, and what makes its protocol."""


class ProxyHeaders:
    """The headers of connections that come from proxies.

    Args:
        trusts: Whether an address is a proxy's.
        timeout_s: Seconds for a header, which comes with the connection.
        count_limit: Told the name of a limit when it acts.
    """

    def __init__(self, trusts: Callable[[str], bool], timeout_s: float, count_limit: Callable[[str], None]) -> None:
        self._trusts = trusts
        self.timeout_s = timeout_s
        self._count_limit = count_limit
        # The sockets whose header is waited for, in the order in which they came.
        self._pending: dict[asyncio.Task[None], socket.socket] = {}
        self._connecting: set[asyncio.Task[Any]] = set()
        self._lines = LineBudget(LINES_PER_PROXY_MAX, LINES_MAX)

    @property
    def pending(self) -> int:
        """Headers that are waited for now."""
        return len(self._pending)

    def trusts(self, address: str) -> bool:
        """Whether an address is a proxy's."""
        return self._trusts(address)

    def guard(self, go_on: GoOn | None, make_protocol: MakeProtocol) -> MakeProtocol:
        """Put the header before the protocols that a listener makes.

        Args:
            go_on: What is behind the header, TLS for one; None for the protocol itself.
            make_protocol: Makes the protocol of a connection.

        Returns:
            What a listener of plain connections is given in place of ``make_protocol``.
        """
        return lambda: _Accepted(self, go_on, make_protocol)

    def begin(self, sock: socket.socket, proxy: str, go_on: GoOn | None, make_protocol: MakeProtocol) -> None:
        """Read the header of an accepted socket, which is ours from here on, and have the connection go on.

        For one too many goes the one that came first.

        Args:
            sock: From a proxy; nothing has been read of it.
            proxy: The proxy's address.
            go_on: What is behind the header.
            make_protocol: Makes the protocol of the connection.
        """
        while len(self._pending) >= PENDING_MAX:
            oldest, its_socket = next(iter(self._pending.items()))
            del self._pending[oldest]
            oldest.cancel()
            # Not before the loop looks at it no more.
            oldest.add_done_callback(partial(_close, its_socket))
        task = asyncio.create_task(self._run(sock, proxy, go_on or self._connect, make_protocol))
        self._pending[task] = sock
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        """Close the socket of a task, if it is still ours."""
        sock = self._pending.pop(task, None)
        if sock is not None:
            sock.close()

    async def _run(self, sock: socket.socket, proxy: str, go_on: GoOn, make_protocol: MakeProtocol) -> None:
        try:
            async with asyncio.timeout(self.timeout_s):
                client = await _read_client(sock)
        except TimeoutError:
            self._count_limit("proxy_header_timeout_s")
            self.warn("proxy.header_missing", proxy, f"none within {self.timeout_s:g} s")
        except ProxyProtocolError as exc:
            self.warn("proxy.header_missing", proxy, str(exc))
        except OSError as exc:
            # A proxy that looks whether we are there closes the connection again.
            log.debug("proxy.header_missing", extra={"peer": proxy, "reason": str(exc)})
        else:
            task = asyncio.current_task()
            assert task is not None, "it runs as a task"
            if self._pending.pop(task, None) is None:
                return
            if client is None:
                go_on(sock, proxy, make_protocol)
            else:
                go_on(sock, client.address, lambda: _Proxied(make_protocol(), client))

    def warn(self, event: str, address: str, reason: str) -> None:
        """Write a line about a connection, if there have not been too many just now."""
        if self._lines.may_log(address, asyncio.get_running_loop().time()):
            log.warning(event, extra={"peer": address, "reason": reason})

    def _connect(self, sock: socket.socket, _: str, make_protocol: MakeProtocol) -> None:
        """Have a connection go on without TLS."""
        task = asyncio.ensure_future(asyncio.get_running_loop().connect_accepted_socket(make_protocol, sock))
        self._connecting.add(task)

        def end(task: asyncio.Task[Any]) -> None:
            self._connecting.discard(task)
            if not task.cancelled() and (fault := task.exception()) is not None:
                log.debug("proxy.failed", extra={"reason": str(fault)})

        task.add_done_callback(end)


async def _read_client(sock: socket.socket) -> Peer | None:
    """Read a header off a socket, and nothing of what follows it.

    Returns:
        The client; None where the header names none.

    Raises:
        ProxyProtocolError: It is no header.
        OSError: The connection is gone.
    """
    held = b""
    while True:
        await _wait_readable(sock)
        try:
            peeked = sock.recv(HEADER_BYTES_MAX - len(held), socket.MSG_PEEK)
        except BlockingIOError:
            continue
        if not peeked:
            raise ConnectionResetError("closed without a header")
        header = read_header(held + peeked)
        if header is not None:
            sock.recv(header.size - len(held))
            return header.client
        held += sock.recv(len(peeked))


async def _wait_readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = loop.create_future()
    loop.add_reader(sock, _set, readable)
    try:
        await readable
    finally:
        loop.remove_reader(sock)


def _close(sock: socket.socket, _: object) -> None:
    sock.close()


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Accepted(asyncio.Protocol):
    """A connection at the moment when it is accepted: a proxy's, or a client's own."""

    def __init__(self, headers: ProxyHeaders, go_on: GoOn | None, make_protocol: MakeProtocol) -> None:
        self._headers = headers
        self._go_on = go_on
        self._make_protocol = make_protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket, and leave the transport before it has read anything; or go on with the transport."""
        plain = cast("asyncio.Transport", transport)
        peername = plain.get_extra_info("peername")
        address = peername[0] if peername else "unknown"
        is_proxy = self._headers.trusts(address)
        if not is_proxy and self._go_on is None:
            protocol = self._make_protocol()
            plain.set_protocol(protocol)
            protocol.connection_made(plain)
            return
        try:
            # The transport closes its own descriptor of it.
            sock = socket.socket(fileno=os.dup(plain.get_extra_info("socket").fileno()))
        except OSError as exc:  # no descriptor is left
            self._headers.warn("proxy.failed", address, str(exc))
        else:
            sock.setblocking(False)
            if is_proxy:
                self._headers.begin(sock, address, self._go_on, self._make_protocol)
            elif self._go_on is not None:
                self._go_on(sock, address, self._make_protocol)
        plain.abort()


class _Proxied(asyncio.Protocol):
    """The protocol of a connection through a proxy until there is one: then its own takes over.

    Args:
        protocol: Its own.
        client: Who connected to the proxy.
    """

    def __init__(self, protocol: asyncio.BaseProtocol, client: Peer) -> None:
        self._protocol = protocol
        self._client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the transport on, with the client's address."""
        plain = cast("asyncio.Transport", transport)
        plain.set_protocol(self._protocol)
        self._protocol.connection_made(cast("asyncio.Transport", ProxiedTransport(plain, self._client)))


class ProxiedTransport:
    """A transport whose peer is the client of a proxy; all else is the transport's own.

    Args:
        transport: The connection from the proxy.
        client: Who connected to the proxy.
    """

    def __init__(self, transport: asyncio.Transport, client: Peer) -> None:
        self._transport = transport
        self._client = client

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection (``asyncio.BaseTransport``)."""
        return tuple(self._client) if name == "peername" else self._transport.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:
        """Whatever a transport has and does; found once."""
        value = getattr(self._transport, name)
        self.__dict__[name] = value
        return value
