"""What is not media goes on to the first worker: pages, the studio, reports; what they remember is there alone.

A line of bytes for each connection, both ways, with the flow control of both ends. TLS ends where the viewer came in.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

log = logging.getLogger(__name__)

# What waits at either end before the other is told to wait.
WAITING_BYTES_MAX = 64 * 1024
# Seconds for a viewer to take the last answer, and close (RFC 9112 section 9.6).
LINGER_S = 2.0


class Relayed:
    """The transport of a line, as the first worker's door sees it: its peer is the viewer, and TLS is theirs.

    Args:
        transport: Of the line.
        about: What the other worker says of the viewer: ``peer``, address and port; ``tls``.
    """

    def __init__(self, transport: asyncio.Transport, about: dict[str, Any]) -> None:
        self._transport = transport
        # Whoever asks wants to know whether there is TLS, and nothing of it.
        self._facts = {"peername": tuple(about["peer"]), "sslcontext": True if about["tls"] else None}

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Facts about the connection (``asyncio.BaseTransport``)."""
        return self._facts[name] if name in self._facts else self._transport.get_extra_info(name, default)

    def can_write_eof(self) -> bool:
        """Behind TLS there is no half of a connection."""
        return self._facts["sslcontext"] is None

    def __getattr__(self, name: str) -> Any:
        """Any attribute of the transport; a method is looked up once."""
        value = getattr(self._transport, name)
        if callable(value):
            self.__dict__[name] = value
        return value


async def take(sock: socket.socket, about: dict[str, Any], protocol: asyncio.BaseProtocol) -> None:
    """Have a line that another worker begins go on as a connection of ours.

    Args:
        sock: Our end.
        about: What the other says of the viewer.
        protocol: Of the connection.
    """
    await asyncio.get_running_loop().connect_accepted_socket(lambda: _First(protocol, about), sock)


class _First(asyncio.Protocol):
    """The protocol of a line until there is a transport: then the connection's own takes over."""

    def __init__(self, protocol: asyncio.BaseProtocol, about: dict[str, Any]) -> None:
        self._protocol = protocol
        self._about = about

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the transport on."""
        plain = cast("asyncio.Transport", transport)
        plain.set_protocol(self._protocol)
        self._protocol.connection_made(cast("asyncio.Transport", Relayed(plain, self._about)))


def relay(
    transport: asyncio.Transport, data: bytes, is_half_closed: bool, sock: socket.socket, on_closed: Callable[[], None]
) -> asyncio.Task[None]:
    """Have a viewer's connection go on at the other end of a line.

    Args:
        transport: The viewer's.
        data: What was received of it and not answered.
        is_half_closed: The viewer asks no more.
        sock: Our end of the line.
        on_closed: Called when the viewer's connection is closed.
    """
    viewer = _Side(on_closed)
    transport.set_protocol(viewer)
    viewer.connection_made(transport)
    transport.pause_reading()
    transport.set_write_buffer_limits(high=WAITING_BYTES_MAX)

    async def begin() -> None:
        line = _Side(is_line=True)
        viewer.other, line.other = line, viewer
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: line, sock)
        except OSError as exc:
            sock.close()
            log.warning("relay.failed", extra={"reason": str(exc)})
            transport.close()
            return
        assert line.transport is not None, "it is connected"
        line.transport.set_write_buffer_limits(high=WAITING_BYTES_MAX)
        if viewer.is_gone:
            line.transport.close()
            return
        line.transport.write(data)
        if is_half_closed:
            line.transport.write_eof()
        transport.resume_reading()

    return asyncio.create_task(begin())


class _Side(asyncio.Protocol):
    """One of the two connections."""

    def __init__(self, on_closed: Callable[[], None] = lambda: None, *, is_line: bool = False) -> None:
        self._is_line = is_line
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self.is_gone = False
        self._on_closed = on_closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what comes."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Pass on that no more comes. A viewer may be sent more; the first worker hears no more."""
        other = self.other.transport if self.other is not None else None
        if other is None or other.is_closing():
            return False
        if not other.can_write_eof():
            other.close()
            return False
        other.write_eof()
        if self._is_line:
            asyncio.get_running_loop().call_later(LINGER_S, other.close)
            return False
        return self.transport is not None and self.transport.can_write_eof()

    def pause_writing(self) -> None:
        """The peer takes less than it is sent: less is to come."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """More may come."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other one, too, behind what it is still sent."""
        self.is_gone = True
        other = self.other.transport if self.other is not None else None
        if other is not None and not self._is_line:
            other.close()
        elif other is not None and exc is not None:
            other.abort()
        self._on_closed()
