"""A worker as a node: the others are the workers of the same server, and all goes over their lines."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from streamd import __version__
from streamd.errors import ClusterUnavailableError
from streamd.process.binding import StartError
from streamd.process.cluster import ClusterRoom, keep_beating
from streamd.process.crew.local import LocalPeers, LocalServer, LocalValues, LocalWire
from streamd.process.crew.switchboard import node_name
from streamd.services.cluster.cluster_metrics import ClusterMetrics
from streamd.services.cluster.entries import NodeEntry
from streamd.services.cluster.kv_directory import KvDirectory
from streamd.services.cluster.permit import Permit
from streamd.services.cluster.wire_bus import WireBus

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from streamd.clock import Clock
    from streamd.process.config import Config
    from streamd.process.crew.seat import Seat
    from streamd.services.metrics import Metrics

# A worker that dies is known at once, by its process. One that hangs is another's equal for no longer than this,
# seconds: what the others were told is dark is not shown by it afterwards.
LEASE_S = 6.0


class WorkersRoom(ClusterRoom):
    """This worker's part among the workers.

    Args:
        config: All of the configuration.
        clock: For times.
        metrics: Counted into.
        seat: The line to the supervisor.
        number: Which worker this is.
    """

    def __init__(self, config: Config, clock: Clock, metrics: Metrics, seat: Seat, number: int) -> None:
        self._config = config
        self._clock = clock
        self._metrics = ClusterMetrics(metrics)
        self._server_metrics = metrics
        self._seat = seat
        self._me = NodeEntry(
            node=node_name(number),
            session=secrets.token_hex(8),
            advertise="",
            version=__version__,
            started_ms=int(clock.now().timestamp() * 1000),
        )
        # All read one database, and the supervisor is there for as long as they are.
        self.permit = Permit(clock, lease_s=LEASE_S, isolation_s=LEASE_S, keeps_on=True)
        self._lease_s = LEASE_S
        self._client = peers = LocalPeers(seat)
        self.directory = KvDirectory(
            self._me,
            nodes=LocalValues(seat, "nodes"),
            streams=LocalValues(seat, "streams"),
            clock=clock,
            permit=self.permit,
            lease_s=LEASE_S,
            reconnect_window_s=config.live.reconnect_window_s,
            ask_to_yield=peers.ask_to_yield,
        )
        self._bus = WireBus(self.directory, LocalWire(seat), peers, clock=clock, metrics=self._metrics)
        self._node = None
        self._server = None
        self._registry = None

    async def open(self, resources: AsyncExitStack) -> None:
        """Join the others.

        Args:
            resources: Closes all of it, the last first; also where this raises.

        Raises:
            StartError: The supervisor does not answer.
        """
        self._bus.listen()
        try:
            self.directory.listen()
            await self.directory.read_all()
        except ClusterUnavailableError as exc:
            raise StartError(f"server.workers: {exc}") from exc
        resources.push_async_callback(self.node.close)
        await self.node.beat()
        keep_beating(self.node, resources)

    async def drain(self, node: str) -> bool | None:
        """Nothing: a worker alone is not drained, as the supervisor would hand it broadcasters all the same."""
        del node
        return None

    def _make_server(self) -> LocalServer:
        return LocalServer(
            self._seat,
            self._me.node,
            find=self._find_feed,
            do=self._bus.do,
            give=self.node.give_to,
        )
