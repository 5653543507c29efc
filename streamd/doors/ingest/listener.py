"""The RTMP listeners: accept connections within bounds and watch their time limits."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Any

from streamd.doors.ingest.deadlines import IngestOptions
from streamd.doors.ingest.open_connections import ListenerLimits, OpenConnections
from streamd.doors.ingest.protocol import RtmpProtocol
from streamd.doors.ingest.read_turns import LoopShares, ReadTurns
from streamd.doors.ingest.verdict import PublishJudge
from streamd.doors.ingest.wake_threshold import WakeClock
from streamd.doors.tls.sliced import SlicedTls
from streamd.formats.address import source_of
from streamd.formats.rtmp.connection import ServerConnection
from streamd.formats.rtmp.connection_options import ConnectionOptions

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from streamd.clock import Clock
    from streamd.doors.ingest.verdict import Admitter, PublishGate
    from streamd.doors.tls.handshakes import TlsGuard
    from streamd.errors import PublishError
    from streamd.services.keys.verifier import KeyVerifier
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

# Connections that wait in the kernel while we accept others: encoders of a whole server reconnect in one second.
ACCEPT_BACKLOG = 1024
# 128 bits: what makes one handshake unlike the next; the 1528 random bytes are stretched from it.
NONCE_BYTES = 16


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
        shares: Their share of the loop's time.
        gate: Asked over each publish whose key is good, if there is one.
        decider: Decides over each publish in place of the keys, if there is one.

    Attributes:
        judge: Decides over publishes.
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
        shares: LoopShares | None = None,
        gate: PublishGate | None = None,
        decider: Admitter | None = None,
    ) -> None:
        self.judge = PublishJudge(
            keys=keys, registry=registry, clock=clock, metrics=metrics, gate=gate, decider=decider
        )
        self._clock = clock
        self._metrics = metrics
        self._options = options
        self._connection_options = connection_options
        self._shares = shares or LoopShares()
        self._connections = OpenConnections(limits)
        self._servers: list[asyncio.Server] = []
        # Another process accepts, and hands over.
        self._is_handed_connections = False
        self._taking: set[asyncio.Future[Any]] = set()
        self._wake_clock: WakeClock | None = None
        self._turns: ReadTurns | None = None

    def configure(
        self, options: IngestOptions, connection_options: ConnectionOptions, limits: ListenerLimits, shares: LoopShares
    ) -> None:
        """Take other limits, for connections that come from now on."""
        self._options = options
        self._connection_options = connection_options
        self._connections.limits = limits
        self._shares = shares
        if self._turns is not None:
            self._turns.configure(shares)

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
            self.new_protocol if tls is None else tls(self.new_protocol, SlicedTls().accept),
            host,
            port,
            backlog=ACCEPT_BACKLOG,
        )
        self._servers.append(server)
        address: tuple[str, int] = server.sockets[0].getsockname()[:2]
        return address

    def take_from_elsewhere(self, tls: TlsGuard | None = None) -> Callable[[socket.socket], None]:
        """Begin to take connections that another process has accepted.

        Args:
            tls: For RTMPS; None for plain RTMP.

        Returns:
            Takes one: a socket, ours from then on.
        """
        make_protocol = self.new_protocol if tls is None else tls(self.new_protocol, SlicedTls().accept)
        self._is_handed_connections = True

        def take(sock: socket.socket) -> None:
            if not self._is_handed_connections:
                sock.close()
                return
            task = asyncio.ensure_future(asyncio.get_running_loop().connect_accepted_socket(make_protocol, sock))
            self._taking.add(task)
            task.add_done_callback(self._taken)

        return take

    @property
    def open_connections(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    def _taken(self, task: asyncio.Future[Any]) -> None:
        self._taking.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            # The peer has left meanwhile.
            log.debug("connection.failed", extra={"reason": str(fault)})

    def admit(self, protocol: RtmpProtocol) -> bool:
        """Count a new connection in, where need be in the place of another; or say that it is one too many."""
        now = self._clock.monotonic()
        if not self.turns.take_opening(source_of(protocol.address)):
            # A thousand new connections a second would take a fifth of the loop.
            self._metrics.publishing.rtmp_connections_refused_total.inc()
            self._metrics.limit_hits_total.labels("loop_ms_per_address_max").inc()
            return False
        while (limit := self._connections.passed_limit(protocol.address)) is not None:
            self._metrics.publishing.rtmp_connections_refused_total.inc()
            self._metrics.limit_hits_total.labels(limit).inc()
            other = self._connections.dispensable(limit, now)
            if other is None:
                log.debug(
                    "connection.refused",
                    extra={"peer": protocol.address, "open": len(self._connections), "limit": limit},
                )
                return False
            self.forget(other)
            other.make_way()
        self._connections.add(protocol)
        self._metrics.publishing.rtmp_connections.set(len(self._connections))
        return True

    def note_spoken(self, protocol: RtmpProtocol) -> None:
        """Note that a connection has sent its first bytes."""
        self._connections.note_spoken(protocol)

    def note_connected(self, protocol: RtmpProtocol) -> None:
        """Note that a connection has said ``connect``."""
        self._connections.note_connected(protocol)

    def note_publishing(self, protocol: RtmpProtocol) -> None:
        """Note that a connection's publish was accepted."""
        self._connections.note_publishing(protocol)

    def note_unpublished(self, protocol: RtmpProtocol) -> None:
        """Note that a connection publishes no more, and may publish again."""
        self._connections.note_unpublished(protocol)

    def holders(self) -> Iterable[RtmpProtocol]:
        """All open connections (``HolderSource``)."""
        return self._connections

    def check_deadlines(self) -> None:
        """Close what has used up its time; called about once a second."""
        now = self._clock.monotonic()
        for protocol in list(self._connections):
            try:
                protocol.check_deadline(now)
            except Exception:
                # A fault in one connection must not take the others' time limits away.
                log.exception("connection.failed", extra={"peer": protocol.address})
                protocol.abort()

    @property
    def is_accepting(self) -> bool:
        """Whether every address that was asked for is listened on."""
        if self._is_handed_connections:
            return True
        return bool(self._servers) and all(server.is_serving() for server in self._servers)

    @property
    def is_full_of_publishers(self) -> bool:
        """Whether one more connection would be closed, whatever address it comes from."""
        return self._connections.is_full_of_publishers

    def stop_accepting(self) -> None:
        """Take no new connection; open ones go on."""
        self._is_handed_connections = False
        for server in self._servers:
            server.close()

    async def close(self, error: PublishError) -> None:
        """Close every connection and wait until they are gone.

        Args:
            error: Told to publishers.
        """
        self.stop_accepting()
        open_now = list(self._connections)
        for protocol in open_now:
            protocol.kick(error)
        await asyncio.gather(*(protocol.wait_closed() for protocol in open_now))
        if self._wake_clock is not None:
            self._wake_clock.close()
            self._wake_clock = None
        if self._turns is not None:
            self._turns.close()
            self._turns = None

    @property
    def turns(self) -> ReadTurns:
        """Says which connection is read when."""
        if self._turns is None:
            self._turns = ReadTurns(self._shares, clock=self._clock, timers=asyncio.get_running_loop())
        return self._turns

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
            options=self._options,
            clock=self._clock,
            metrics=self._metrics,
            listener=self,
        )

    def forget(self, protocol: RtmpProtocol) -> None:
        """Count a closed connection out."""
        if self._connections.remove(protocol):
            self._metrics.publishing.rtmp_connections.set(len(self._connections))
