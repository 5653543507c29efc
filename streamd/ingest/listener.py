"""The RTMP listeners: accept connections within bounds and watch their time limits."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamd.errors import PublishError
from streamd.ingest.protocol import IngestOptions, RtmpProtocol
from streamd.ingest.wake_threshold import WakeClock
from streamd.keys.guessing import source_of
from streamd.rtmp.connection import ConnectionOptions, ServerConnection

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.ingest.protocol import PublishGate
    from streamd.keys.verifier import KeyVerifier
    from streamd.live.registry import LiveRegistry
    from streamd.metrics import Metrics
    from streamd.tls.handshakes import TlsGuard

log = logging.getLogger(__name__)

# Connections that wait in the kernel while we accept others: encoders of a whole server reconnect in one second.
ACCEPT_BACKLOG = 1024
# 128 bits: what makes one handshake unlike the next; the 1528 random bytes are stretched from it.
NONCE_BYTES = 16
# The most that is read at once: as much as uvloop reads for others, and what half a second has at 4 Mb/s.
READ_BYTES_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """How many connections there may be at once; one more is closed at once. The reasons stand in ``[limits]``."""

    connections_max: int = 2000
    connections_per_address_max: int = 64
    """From one IPv4 address, or from one /64 of IPv6."""
    handshakes_max: int = 1000
    """Of those that have not said ``connect`` yet."""
    unpublished_lines_per_minute_max: int = 300
    """Lines in the log about connections that published nothing."""


class RtmpListener:
    """Accepts RTMP and RTMPS connections.

    Args:
        keys: Says whom a stream key belongs to.
        registry: Where accepted publishes become live streams.
        clock: For time limits.
        metrics: Counted into.
        options: Time limits of each connection.
        connection_options: Limits of the protocol itself.
        limits: How many connections there may be.
        gate: Asked over each publish whose key is good, if there is one.
    """

    def __init__(
        self,
        *,
        keys: KeyVerifier,
        registry: LiveRegistry,
        clock: Clock,
        metrics: Metrics,
        options: IngestOptions,
        connection_options: ConnectionOptions,
        limits: ListenerLimits,
        gate: PublishGate | None = None,
    ) -> None:
        self._keys = keys
        self._registry = registry
        self._clock = clock
        self._metrics = metrics
        self._options = options
        self._connection_options = connection_options
        self._limits = limits
        self._gate = gate
        self._read_buffer = bytearray(READ_BYTES_MAX)
        self._open: set[RtmpProtocol] = set()
        self._in_handshake: set[RtmpProtocol] = set()
        # Lines in the log about connections that published nothing, in the minute that ends then.
        self._lines = 0
        self._lines_until = 0.0
        self._by_address: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []
        self._wake_clock: WakeClock | None = None

    def configure(self, options: IngestOptions, connection_options: ConnectionOptions, limits: ListenerLimits) -> None:
        """Take other limits, for connections that come from now on."""
        self._options = options
        self._connection_options = connection_options
        self._limits = limits

    async def start(self, host: str | None, port: int, tls: TlsGuard | None = None) -> tuple[str, int]:
        """Listen on one address more.

        Args:
            host: Address to bind; None for all interfaces.
            port: Port; 0 for a free one.
            tls: For RTMPS; None for plain RTMP.

        Returns:
            The address and port that are bound.

        Raises:
            OSError: The address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            self.new_protocol if tls is None else tls(self.new_protocol), host, port, backlog=ACCEPT_BACKLOG
        )
        self._servers.append(server)
        address: tuple[str, int] = server.sockets[0].getsockname()[:2]
        return address

    def admit(self, protocol: RtmpProtocol) -> bool:
        """Count a new connection in, or say that it is one too many."""
        if (limit := self._passed_limit(source_of(protocol.address))) is not None:
            self._metrics.rtmp_connections_refused_total.inc()
            self._metrics.limit_hits_total.labels(limit).inc()
            log.debug("connection.refused", extra={"peer": protocol.address, "open": len(self._open), "limit": limit})
            return False
        self._open.add(protocol)
        self._in_handshake.add(protocol)
        self._by_address[source_of(protocol.address)] += 1
        self._metrics.rtmp_connections.set(len(self._open))
        return True

    def _passed_limit(self, source: str) -> str | None:
        """The limit that one more connection would pass."""
        limits = self._limits
        if len(self._open) >= limits.connections_max:
            return "connections_max"
        if self._by_address[source] >= limits.connections_per_address_max:
            return "connections_per_address_max"
        if len(self._in_handshake) >= limits.handshakes_max:
            return "handshakes_max"
        return None

    def may_log(self) -> bool:
        """Whether a connection that published nothing may have its line in the log."""
        now = self._clock.monotonic()
        if now >= self._lines_until:
            self._lines, self._lines_until = 0, now + 60.0
        self._lines += 1
        if self._lines <= self._limits.unpublished_lines_per_minute_max:
            return True
        self._metrics.limit_hits_total.labels("unpublished_lines_per_minute_max").inc()
        return False

    def note_connected(self, protocol: RtmpProtocol) -> None:
        """Note that a connection has said ``connect``."""
        self._in_handshake.discard(protocol)

    def check_deadlines(self) -> None:
        """Close what has used up its time; called about once a second."""
        now = self._clock.monotonic()
        for protocol in list(self._open):
            try:
                protocol.check_deadline(now)
            except Exception:
                # A fault in one connection must not take the others' time limits away.
                log.exception("connection.failed", extra={"peer": protocol.address})
                protocol.abort()

    def stop_accepting(self) -> None:
        """Take no new connection; open ones go on."""
        for server in self._servers:
            server.close()

    async def close(self) -> None:
        """Close every connection and wait until they are gone."""
        self.stop_accepting()
        open_now = list(self._open)
        for protocol in open_now:
            protocol.kick(PublishError("The server is stopping."))
        await asyncio.gather(*(protocol.wait_closed() for protocol in open_now))
        if self._wake_clock is not None:
            self._wake_clock.close()
            self._wake_clock = None

    @property
    def wake_clock(self) -> WakeClock:
        """For the wake thresholds of all connections."""
        if self._wake_clock is None:
            self._wake_clock = WakeClock(asyncio.get_running_loop())
        return self._wake_clock

    def new_protocol(self) -> RtmpProtocol:
        """One for the next connection."""
        return RtmpProtocol(
            ServerConnection(nonce=secrets.token_bytes(NONCE_BYTES), options=self._connection_options),
            read_buffer=self._read_buffer,
            keys=self._keys,
            registry=self._registry,
            options=self._options,
            clock=self._clock,
            metrics=self._metrics,
            listener=self,
            gate=self._gate,
        )

    def forget(self, protocol: RtmpProtocol) -> None:
        """Count a closed connection out."""
        if protocol not in self._open:
            return
        self._open.remove(protocol)
        self._in_handshake.discard(protocol)
        source = source_of(protocol.address)
        self._by_address[source] -= 1
        if not self._by_address[source]:
            del self._by_address[source]
        self._metrics.rtmp_connections.set(len(self._open))
