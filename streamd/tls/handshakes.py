"""TLS handshakes in progress: so many and no more, each for so long.

asyncio shows a listener a TLS connection when its handshake is through. Until then nobody counts it, and one that never
goes through holds a descriptor, OpenSSL's state and our time. So the listeners accept plain connections, count them
here, and only then begin TLS.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from streamd.keys.guessing import source_of

if TYPE_CHECKING:
    import ssl

MakeProtocol: TypeAlias = Callable[[], asyncio.BaseProtocol]
TlsGuard: TypeAlias = Callable[[MakeProtocol], MakeProtocol]
"""What a listener puts before its protocols: ``TlsHandshakes.guard`` with a certificate."""

log = logging.getLogger(__name__)

# What TLS itself still holds when a connection closes, 64 kB at the most, has this long to be taken.
SHUTDOWN_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    """Bounds of the handshakes in progress. The reasons stand in the configuration's ``[limits]``."""

    handshakes_max: int = 1000
    handshakes_per_address_max: int = 250
    timeout_s: float = 10.0


class TlsHandshakes:
    """The TLS handshakes in progress, of all listeners together.

    Args:
        limits: How many there may be, and how long each may take.
        count_limit: Told the name of a limit when it acts.
    """

    def __init__(self, limits: HandshakeLimits, count_limit: Callable[[str], None]) -> None:
        self.limits = limits
        self._count_limit = count_limit
        self._by_source: Counter[str] = Counter()
        self._in_progress: set[asyncio.Task[None]] = set()

    @property
    def in_progress(self) -> int:
        """How many there are now."""
        return len(self._in_progress)

    def guard(self, context: ssl.SSLContext, make_protocol: MakeProtocol) -> MakeProtocol:
        """Put TLS before the protocols that a listener makes.

        Args:
            context: The certificate.
            make_protocol: Makes the protocol of a connection that is through.

        Returns:
            What a listener of plain connections is given in place of ``make_protocol``.
        """
        return lambda: _Accepted(self, context, make_protocol)

    def begin(self, sock: socket.socket, address: str, context: ssl.SSLContext, make_protocol: MakeProtocol) -> None:
        """Shake hands on an accepted socket, which is ours from here on; or close it, where that is one too many."""
        source = source_of(address)
        if (limit := self._passed_limit(source)) is not None:
            self._count_limit(limit)
            log.debug("tls.refused", extra={"peer": address, "in_progress": self.in_progress, "limit": limit})
            sock.close()
            return
        task = asyncio.create_task(self._shake_hands(sock, address, context, make_protocol))
        self._in_progress.add(task)
        self._by_source[source] += 1

        def end(_: object) -> None:
            self._in_progress.discard(task)
            self._by_source[source] -= 1
            if not self._by_source[source]:
                del self._by_source[source]

        task.add_done_callback(end)

    def _passed_limit(self, source: str) -> str | None:
        """The limit that one more handshake would pass."""
        if self.in_progress >= self.limits.handshakes_max:
            return "tls_handshakes_max"
        if self._by_source[source] >= self.limits.handshakes_per_address_max:
            return "tls_handshakes_per_address_max"
        return None

    async def _shake_hands(
        self, sock: socket.socket, address: str, context: ssl.SSLContext, make_protocol: MakeProtocol
    ) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                make_protocol,
                sock,
                ssl=context,
                ssl_handshake_timeout=self.limits.timeout_s,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            )
        except OSError as exc:  # ``ssl.SSLError`` and everything of ``ConnectionError`` among them
            if isinstance(exc, ConnectionAbortedError):
                self._count_limit("tls_handshake_timeout_s")
            log.debug("tls.handshake_failed", extra={"peer": address, "reason": str(exc)})


class _Accepted(asyncio.Protocol):
    """A plain connection at the moment when it is accepted.

    The loop would read the peer's first bytes before TLS could be put in front of a transport that there is already,
    so only the socket goes on.
    """

    def __init__(self, handshakes: TlsHandshakes, context: ssl.SSLContext, make_protocol: MakeProtocol) -> None:
        self._handshakes = handshakes
        self._context = context
        self._make_protocol = make_protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket and leave the transport, before it has read anything."""
        plain = cast("asyncio.Transport", transport)
        peername = plain.get_extra_info("peername")
        address = peername[0] if peername else "unknown"
        try:
            # The transport closes its own descriptor of it.
            sock = socket.socket(fileno=os.dup(plain.get_extra_info("socket").fileno()))
        except OSError as exc:  # no descriptor is left
            log.warning("tls.failed", extra={"peer": address, "reason": str(exc)})
        else:
            sock.setblocking(False)
            self._handshakes.begin(sock, address, self._context, self._make_protocol)
        plain.abort()
