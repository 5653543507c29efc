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
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from streamd.keys.guessing import source_of

if TYPE_CHECKING:
    import ssl

MakeProtocol: TypeAlias = Callable[[], asyncio.BaseProtocol]
Accept: TypeAlias = Callable[..., Coroutine[Any, Any, object]]
"""Shakes hands on a socket, with the arguments of ``loop.connect_accepted_socket``."""

log = logging.getLogger(__name__)

# What TLS itself still holds when a connection closes, 64 kB at the most, has this long to be taken.
SHUTDOWN_TIMEOUT_S = 10.0


class TlsGuard(Protocol):
    """What a listener puts before its protocols: ``TlsHandshakes.guard`` with a certificate."""

    def __call__(self, make_protocol: MakeProtocol, accept: Accept | None = None, /) -> MakeProtocol:
        """As ``TlsHandshakes.guard``."""


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

    def guard(
        self, context: ssl.SSLContext, make_protocol: MakeProtocol, accept: Accept | None = None, /
    ) -> MakeProtocol:
        """Put TLS before the protocols that a listener makes.

        Args:
            context: The certificate.
            make_protocol: Makes the protocol of a connection that is through.
            accept: Shakes hands; None for the loop's own TLS.

        Returns:
            What a listener of plain connections is given in place of ``make_protocol``.
        """
        return lambda: _Accepted(self, context, make_protocol, accept)

    def begin(
        self,
        sock: socket.socket,
        address: str,
        context: ssl.SSLContext,
        make_protocol: MakeProtocol,
        accept: Accept | None = None,
    ) -> None:
        """Shake hands on an accepted socket, which is ours from here on; or close it, where that is one too many."""
        source = source_of(address)
        if (limit := self._passed_limit(source)) is not None:
            self._count_limit(limit)
            log.debug("tls.refused", extra={"peer": address, "in_progress": self.in_progress, "limit": limit})
            sock.close()
            return
        task = asyncio.create_task(self._shake_hands(sock, address, context, make_protocol, accept))
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
        self,
        sock: socket.socket,
        address: str,
        context: ssl.SSLContext,
        make_protocol: MakeProtocol,
        accept: Accept | None,
    ) -> None:
        try:
            await (accept or asyncio.get_running_loop().connect_accepted_socket)(
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

    def __init__(
        self, handshakes: TlsHandshakes, context: ssl.SSLContext, make_protocol: MakeProtocol, accept: Accept | None
    ) -> None:
        self._handshakes = handshakes
        self._context = context
        self._make_protocol = make_protocol
        self._accept = accept

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
            self._handshakes.begin(sock, address, self._context, self._make_protocol, self._accept)
        plain.abort()
