"""Connections that come through a TCP proxy: each begins with a header that names its client.

Headers are read only from proxies that the operator names: otherwise every peer could choose the address that limits
count it by. A connection from elsewhere is a client's own, and a header in it breaks its protocol. A named proxy must
send the header, as only the header names its client. The header stands before TLS, so it is read from the bare socket,
and not a byte behind it.

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

# Headers that are waited for. A proxy sends its header at once, so more of them wait only if a proxy sends none.
PENDING_MAX = 1000
# Lines a minute about one proxy, and about all: a proxy that is configured without a header causes one for every
# connection, and so does any other machine in its network.
LINES_PER_PROXY_MAX = 5
LINES_MAX = 60

GoOn: TypeAlias = "Callable[[socket.socket, str, MakeProtocol], None]"
"""The step behind the header: it gets the socket, the client's address, and the maker of its protocol."""


class ProxyHeaders:
    """The headers of connections that come from proxies.

    Args:
        trusts: Tells whether an address is a proxy's.
        timeout_s: Seconds for a header, which comes with the connection.
        count_limit: Gets the name of a limit when it acts.
    """

    def __init__(self, trusts: Callable[[str], bool], timeout_s: float, count_limit: Callable[[str], None]) -> None:
        self._trusts = trusts
        self.timeout_s = timeout_s
        self._count_limit = count_limit
        # The sockets whose header is waited for, the oldest first.
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
            go_on: The step behind the header, TLS for one; None for the protocol itself.
            make_protocol: Makes the protocol of a connection.

        Returns:
            The factory for a listener of plain connections, in place of ``make_protocol``.
        """
        return lambda: _Accepted(self, go_on, make_protocol)

    def begin(self, sock: socket.socket, proxy: str, go_on: GoOn | None, make_protocol: MakeProtocol) -> None:
        """Read the header of an accepted socket, which is ours from here on, and have the connection go on.

        One too many replaces the one that came first.

        Args:
            sock: From a proxy; nothing has been read of it.
            proxy: The proxy's address.
            go_on: The step behind the header.
            make_protocol: Makes the protocol of the connection.
        """
        while len(self._pending) >= PENDING_MAX:
            oldest, its_socket = next(iter(self._pending.items()))
            del self._pending[oldest]
            oldest.cancel()
            # Not before the loop has stopped looking at it.
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
            # The health check of a proxy closes the connection again.
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
        """Log a line about a connection, if its proxy has lines left."""
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
    """Read a header off a socket, and no byte behind it.

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
        client: The peer that connected to the proxy.
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
        client: The peer that connected to the proxy.
    """

    def __init__(self, transport: asyncio.Transport, client: Peer) -> None:
        self._transport = transport
        self._client = client

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Facts about the connection (``asyncio.BaseTransport``)."""
        return tuple(self._client) if name == "peername" else self._transport.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:
        """Any attribute of the transport; a method is looked up once."""
        value = getattr(self._transport, name)
        if callable(value):
            self.__dict__[name] = value
        return value
