"""A node of a cluster: what of floor 2 and floor 3 is there for the other nodes. A single server imports none of it."""

from __future__ import annotations

import asyncio
import secrets
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from streamd import __version__
from streamd.doors.cluster.channels import ClusterChannels
from streamd.doors.cluster.nats_link import NatsLink, parse_urls
from streamd.doors.cluster.node_client import NodeClient
from streamd.doors.cluster.node_server import NodeServer
from streamd.doors.cluster.proof import SECRET_BYTES_MAX, SECRET_BYTES_MIN, Secret
from streamd.doors.web.models.nodes import Node
from streamd.errors import ClusterUnavailableError, PublishError, ServerRestartsError
from streamd.process.binding import StartError, cannot_bind, try_address
from streamd.services.cluster.act import ActKind, is_node_name
from streamd.services.cluster.cluster_metrics import ClusterMetrics
from streamd.services.cluster.edges import Edges
from streamd.services.cluster.entries import NodeEntry, Role, Tenure
from streamd.services.cluster.feed import FeedOpener, FeedOutput
from streamd.services.cluster.kv_directory import KvDirectory
from streamd.services.cluster.node import ClusterNode
from streamd.services.cluster.permit import Permit
from streamd.services.cluster.wire import Peers
from streamd.services.cluster.wire_bus import WireBus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AsyncExitStack

    from streamd.clock import Clock
    from streamd.process.cluster_truth import ClusterTruth
    from streamd.process.config import Config
    from streamd.services.keys.admission import Admission
    from streamd.services.live.live_stream import NameClaim
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.live.waiters import WaiterBudget
    from streamd.services.metrics import Metrics
    from streamd.services.playback.gate import PlaybackGate


class NodeLink(FeedOpener, Peers, Protocol):
    """What is asked of one node."""


class FeedDoor(Protocol):
    """Where other nodes follow this one's channels."""

    @property
    def followers(self) -> int:
        """Feeds that are followed now."""


EDGE_ONLY = "This server takes no broadcasts. Use the address of the service."


class ClusterRoom:
    """This node's part in the cluster.

    Args:
        config: All of the configuration, with ``cluster.nats_url``.
        clock: For times.
        metrics: Counted into.

    Raises:
        StartError: The secret cannot be read, or is none.
    """

    def __init__(self, config: Config, clock: Clock, metrics: Metrics) -> None:
        cluster = config.cluster
        self._config = config
        self._clock = clock
        self._metrics = ClusterMetrics(metrics)
        self._server_metrics = metrics
        secret = _read_secret(cluster.secret_file)
        name = cluster.node or node_name(socket.gethostname())
        self._me = NodeEntry(
            node=name,
            session=secrets.token_hex(8),
            advertise=cluster.advertise,
            role=Role(cluster.role),
            region=cluster.region,
            version=__version__,
            started_ms=int(clock.now().timestamp() * 1000),
        )
        self.permit = Permit(
            clock,
            lease_s=cluster.lease_s,
            isolation_s=cluster.isolation_s,
            keeps_on=cluster.on_isolation == "keep",
        )
        client = NodeClient(secret, name, clock)
        self._client: NodeLink = client
        self._secret = secret
        self._link = NatsLink(
            parse_urls(cluster.nats_url.get_secret_value()),
            cluster.nats_credentials_file,
            name,
            cluster.lease_s,
            self._note_deaf,
        )
        self.directory = KvDirectory(
            self._me,
            nodes=self._link.nodes,
            streams=self._link.streams,
            clock=clock,
            permit=self.permit,
            lease_s=cluster.lease_s,
            reconnect_window_s=config.live.reconnect_window_s,
            ask_to_yield=client.ask_to_yield,
        )
        self._bus = WireBus(
            self.directory,
            self._link,
            client,
            clock=clock,
            metrics=self._metrics,
        )
        self._node: ClusterNode | None = None
        self._lease_s = cluster.lease_s
        self._server: FeedDoor | None = None
        self._registry: LiveRegistry | None = None

    @property
    def node(self) -> ClusterNode:
        """This node; known once it is attached."""
        assert self._node is not None, "attached"
        return self._node

    async def claim(self, name: str, admission: Admission) -> NameClaim:
        """Take a channel for a stream that is to begin here (``LiveRegistry``).

        Raises:
            PublishError: Another node has it, or this one takes no publishers.
        """
        if self.directory.me.role is Role.EDGE:
            raise PublishError(EDGE_ONLY)
        if self.directory.me.is_draining:
            raise ServerRestartsError
        lease = await self.node.claim(name, admission)
        stream = self.registry.find(name)
        if stream is not None and stream.is_live and lease.left is not None:
            lease.left = None
        return lease

    @property
    def registry(self) -> LiveRegistry:
        """This node's streams; known once it is attached."""
        assert self._registry is not None, "attached"
        return self._registry

    def attach(self, registry: LiveRegistry, truth: ClusterTruth, budget: WaiterBudget) -> None:
        """Know of the streams, and of the database."""
        limits = self._config.limits
        self._registry = registry
        edges = Edges(
            self.directory,
            self._client,
            clock=self._clock,
            metrics=self._server_metrics,
            budget=budget,
            window_bytes_max=limits.window_bytes_max,
            channels_max=limits.streams_max,
            is_here=lambda name: self.directory.epoch_of(name) is not None,
        )
        self._node = ClusterNode(
            self.directory,
            self._bus,
            edges,
            self.permit,
            registry,
            truth,
            clock=self._clock,
            metrics=self._metrics,
            lease_s=self._lease_s,
        )
        self._server = self._make_server()
        self._metrics.followers.set_function(lambda: self._server.followers if self._server is not None else 0)

    @property
    def not_ready_because(self) -> str | None:
        """Why no publisher should come to this node; None where nothing speaks against it."""
        if self.directory.me.is_draining:
            return "the node is drained"
        if not self.permit.lease_is_good:
            return "the node is cut off from the cluster: NATS does not answer"
        return None

    def list_nodes(self) -> list[Node]:
        """The nodes, for the admin API."""
        return [
            Node(
                node=entry.node,
                role=entry.role.value,
                region=entry.region,
                advertise=entry.advertise,
                version=entry.version,
                started_at=datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=entry.started_ms),
                draining=entry.is_draining,
                streams=entry.streams,
                viewers=entry.viewers,
                is_this=entry.session == self._me.session,
            )
            for entry in sorted(self.directory.nodes(), key=lambda entry: entry.node)
        ]

    async def drain(self, node: str) -> bool | None:
        """Drain a node; None where there is none of this name."""
        found = next((entry for entry in self.directory.nodes() if entry.node == node), None)
        if found is None:
            return None
        if found.session == self._me.session:
            await self.node.drain()
            return True
        client = self._client
        assert isinstance(client, NodeClient), "made here"
        return await client.drain(found)

    async def kick_elsewhere(self, name: str) -> Mapping[str, str] | None:
        """Close the publisher of a stream that another node has; None where none has it."""
        entry = self.directory.owner(name)
        if entry is None or self.directory.tenure(entry) is not Tenure.LIVE:
            return None
        return await self.node.tell(ActKind.KICK, name, is_written=True)

    def channels(
        self, is_taken_down: Callable[[str], bool], is_listed: Callable[[str], bool], gate: PlaybackGate
    ) -> ClusterChannels:
        """The channels for this node's public port."""
        return ClusterChannels(
            self.registry,
            is_taken_down,
            is_listed,
            gate,
            permit=self.permit,
            directory=self.directory,
            edges=None if self.directory.me.role is Role.ORIGIN else self.node.edges,
        )

    async def open(self, resources: AsyncExitStack) -> None:
        """Join the cluster.

        Args:
            resources: Closes all of it, the last first; also where this raises.

        Raises:
            StartError: NATS cannot be used, the port is in use, or another node has this one's name.
        """
        listen = self._config.cluster.listen
        assert listen is not None, "the configuration was checked"
        server = self._server
        assert isinstance(server, NodeServer), "attached"
        client = self._client
        assert isinstance(client, NodeClient), "made here"
        await client.start()
        resources.push_async_callback(client.close)
        resources.push_async_callback(server.close)
        try:
            try_address(listen)
            await server.start(listen.host or None, listen.port)
        except OSError as exc:
            raise cannot_bind("cluster.listen", listen, exc) from exc
        self._bus.listen()
        resources.push_async_callback(self._link.close)
        try:
            await self._link.open()
            self.directory.listen()
            await self.directory.read_all()
            other = await self.directory.other_of_my_name()
        except ClusterUnavailableError as exc:
            raise StartError(f"cluster.nats_url: {exc}") from exc
        if other is not None:
            raise StartError(
                f"cluster.node: another node is called {self._me.node}, at {other.advertise}; give each its own name"
            )
        resources.push_async_callback(self.node.close)
        await self.node.beat()
        keep_beating(self.node, resources)

    def _make_server(self) -> FeedDoor:
        return NodeServer(
            self._secret,
            self._me.node,
            self._clock,
            find=self._find_feed,
            do=self._bus.do,
            give=self.node.give_to,
            drain=self.node.drain,
        )

    def look(self) -> None:
        """Do what is due once a second."""
        self.node.note_streams()

    def _find_feed(self, name: str) -> tuple[FeedOutput, int] | None:
        """The feed of a channel of this node, and its epoch; None where it is not this node's."""
        epoch = self.directory.epoch_of(name)
        stream = self.registry.find(name)
        if epoch is None or stream is None or not stream.is_live or not self.permit.may_serve:
            return None
        output = stream.outputs.find(FeedOutput)
        if output is None:
            return None
        output.attach(stream.outputs)
        return output, epoch

    def _note_deaf(self) -> None:
        self.permit.note_deaf()
        self.directory.note_deaf()


def keep_beating(node: ClusterNode, resources: AsyncExitStack) -> None:
    """Have a node renew its lease until it leaves."""
    resources.push_async_callback(_cancel, asyncio.create_task(node.run()))


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def node_name(host: str) -> str:
    """The name of a node that has none of its own: the first label of its machine's."""
    label = "".join(
        letter if letter.isalnum() and letter.isascii() else "-" for letter in host.partition(".")[0].lower()
    )
    name = label.strip("-")[:63]
    return name if is_node_name(name) else "node"


def _read_secret(path: str) -> Secret:
    try:
        data = Path(path).read_bytes()[: SECRET_BYTES_MAX + 1].strip()
    except OSError as exc:
        raise StartError(f"cluster.secret_file: {path} cannot be read: {exc.strerror}") from exc
    if not SECRET_BYTES_MIN <= len(data) <= SECRET_BYTES_MAX:
        raise StartError(f"cluster.secret_file: write {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes into {path}")
    return Secret(data)
