"""This node among the others: it renews its lease, does what it is told, and gives and takes streams."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from streamd.errors import (
    ClusterUnavailableError,
    ConflictError,
    PlaceTakenError,
    ServerRestartsError,
    StoreUnavailableError,
)
from streamd.services.cluster.act import Act, ActKind
from streamd.services.cluster.feed import FeedOutput
from streamd.services.cluster.kv_directory import StreamNote
from streamd.services.cluster.permit import DATABASE_POLL_S, Standing
from streamd.services.keys.admission import Admission
from streamd.services.live.life import Life
from streamd.services.live.publisher import EndReason
from streamd.services.live.registry import TAKE_OVER_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamd.clock import Clock
    from streamd.services.cluster.bus import Bus
    from streamd.services.cluster.cluster_metrics import ClusterMetrics
    from streamd.services.cluster.edges import Edges
    from streamd.services.cluster.kv_directory import KvDirectory, KvLease
    from streamd.services.cluster.permit import Permit
    from streamd.services.live.live_stream import LiveStream
    from streamd.services.live.registry import LiveRegistry

log = logging.getLogger(__name__)

# All entries are read anew so often, seconds: a watch may be silent without a word.
READ_ALL_S = 30.0
# Between two publishers that a drained node closes: a thousand of them take twenty seconds.
DRAIN_STEP_S = 0.02
# Renewals in a lease: two may be lost.
RENEWALS = 3


class Truth(Protocol):
    """The database, and what this server does by it."""

    async def read(self) -> None:
        """Read what other nodes have changed, and do it.

        Raises:
            StoreUnavailableError: It cannot be read.
        """

    async def dead_keys(self, key_ids: set[str]) -> set[str]:
        """Those of some keys that open no channel any more.

        Raises:
            StoreUnavailableError: It cannot be read.
        """

    async def do(self, act: Act) -> None:
        """Do one act that the database has, or that it does not have yet.

        Raises:
            StoreUnavailableError: It cannot be read.
        """

    def is_dark(self, name: str) -> bool:
        """Whether nothing of a channel is shown."""


class ClusterNode:
    """This node.

    Args:
        directory: Who has what.
        bus: Tells others.
        edges: The channels of others.
        permit: Whether this node may serve.
        registry: The channels of this node.
        truth: The database.
        clock: For times.
        metrics: Counted into.
        lease_s: For how long a renewal is good, seconds.
    """

    def __init__(
        self,
        directory: KvDirectory,
        bus: Bus,
        edges: Edges,
        permit: Permit,
        registry: LiveRegistry,
        truth: Truth,
        *,
        clock: Clock,
        metrics: ClusterMetrics,
        lease_s: float,
    ) -> None:
        self.directory = directory
        self.bus = bus
        self.edges = edges
        self.permit = permit
        self._registry = registry
        self._truth = truth
        self._clock = clock
        self._metrics = metrics
        self._lease_s = lease_s
        self._read_at = float("-inf")
        self._read_all_at = float("-inf")
        self._is_reached = True
        self._standing = Standing.NONE
        self._beating = asyncio.Lock()
        directory.on_lost = self._lose
        bus.hear(self._do)

    # -- the lease ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Beat for ever; cancel to stop."""
        while True:
            # One beat is where the lease ends, should it not be renewed: what was missed is read then.
            left_s = self.permit.leased_until - self._clock.monotonic()
            beat_s = self._lease_s / RENEWALS
            await asyncio.sleep(left_s if 0 < left_s < beat_s else beat_s)
            try:
                await self.beat()
            except Exception:
                # A node that does not beat is gone for the others.
                log.exception("node.beat_failed")

    async def beat(self) -> None:
        """Renew the lease, and read what may have been missed."""
        async with self._beating:
            began_at = self.permit.begin_try()
            # Neither waits for the other's time-outs.
            await asyncio.gather(self._renew(began_at), self._read_database(began_at))
            if self.permit.has_missed:
                await self._read_database(self._clock.monotonic())
            self.permit.note_tried(began_at)
        self.directory.look()
        self._note_standing()

    async def _renew(self, began_at: float) -> None:
        me = self.directory.me
        viewers = sum(sum(channel.viewers.values()) for channel in self._registry.channels())
        viewers += sum(sum(channel.viewers.values()) for channel in self.edges.channels())
        self.directory.me = replace(me, streams=sum(1 for _ in self._registry.live()), viewers=viewers)
        try:
            await self.directory.renew(began_at)
            if self.permit.has_missed or self._clock.monotonic() - self._read_all_at >= READ_ALL_S:
                await self.directory.read_all()
                self._read_all_at = self._clock.monotonic()
        except ConflictError as exc:
            log.error("node.name_taken", extra={"node": me.node, "reason": str(exc)})
        except ClusterUnavailableError as exc:
            if self._is_reached:
                log.warning("cluster.unreachable", extra={"reason": str(exc)})
            self._is_reached = False
        else:
            if not self._is_reached:
                log.info("cluster.reached")
            self._is_reached = True

    async def _read_database(self, now: float) -> None:
        """Read the database where something may have been missed, or nothing is heard."""
        is_due = self.permit.has_missed or (
            not self.permit.lease_is_good and now - self._read_at >= DATABASE_POLL_S - self._lease_s / RENEWALS
        )
        if not is_due:
            return
        try:
            await self._truth.read()
            key_ids = {key_id for name in self.edges.names() if (key_id := self._key_of(name))}
            for key_id in await self._truth.dead_keys(key_ids):
                self.edges.end_of_key(key_id)
            self._end_dark()
        except StoreUnavailableError as exc:
            log.warning("node.database_unread", extra={"reason": str(exc)})
        else:
            self._read_at = now
            self.permit.note_read(now)

    def _key_of(self, name: str) -> str:
        entry = self.directory.owner(name)
        return entry.key_id if entry is not None else ""

    def _note_standing(self) -> None:
        standing = self.permit.standing
        if standing is not self._standing:
            level = logging.INFO if standing is Standing.LEASED else logging.WARNING
            log.log(level, "node.standing", extra={"standing": standing.value, "before": self._standing.value})
            self._standing = standing
        for each in Standing:
            self._metrics.standing.labels(each.value).set(each is standing)
        self._metrics.nodes.set(sum(1 for _ in self.directory.nodes()))
        self._metrics.channels.set(sum(1 for _ in self.directory.streams()))
        self._metrics.feeds.set(len(self.edges))

    # -- acts -----------------------------------------------------------------------------------

    async def tell(self, kind: str, subject: str, is_written: bool) -> Mapping[str, str]:
        """Tell all nodes of an act that was done here.

        Args:
            kind: Of the act (``ActKind``).
            subject: What it is about.
            is_written: The database has it.

        Returns:
            What became of it, by node.
        """
        act_kind = ActKind(kind)
        self._end_remote(act_kind, subject)
        if not is_written and act_kind in (ActKind.TAKEDOWN, ActKind.BLOCK):
            # What it is about stands in the database alone: others read it there when it is written.
            me = self.directory.me.node
            return {node.node: "done" if node.node == me else "failed" for node in self.directory.nodes()}
        answers = await self.bus.tell(act_kind, subject, is_written=is_written)
        return {node: answer.value for node, answer in sorted(answers.items())}

    async def _do(self, act: Act) -> None:
        self._end_remote(act.kind, act.subject)
        if act.kind is ActKind.KICK:
            await self._registry.kick(act.subject)
            return
        await self._truth.do(act)
        self._end_dark()

    def _end_remote(self, kind: ActKind, subject: str) -> None:
        match kind:
            case ActKind.REVOKE:
                self.edges.end_of_key(subject)
            case ActKind.SUSPEND | ActKind.KICK:
                self.edges.end([subject])
            case ActKind.TAKEDOWN | ActKind.BLOCK | ActKind.RELOAD:
                self._end_dark()

    def _end_dark(self) -> None:
        self.edges.end([name for name in self.edges.names() if self._truth.is_dark(name)])

    # -- channels -------------------------------------------------------------------------------

    async def claim(self, name: str, admission: Admission) -> KvLease:
        """Take a channel for a stream that is to begin here (``LiveRegistry``'s ``ask_for_name``)."""
        return await self.directory.claim(name, admission.key_id)

    def note_streams(self) -> None:
        """Tell how this node's streams stand, and what nobody asks for is let go; called about once a second."""
        for stream in self._registry.live():
            self.directory.note(stream.name, _note_of(stream))
        self.edges.look()

    async def give_to(self, name: str, key_id: str) -> bool:
        """Give a channel to a key whose publisher has come to another node, unless its publisher sends here.

        Args:
            name: The channel.
            key_id: Of the key.

        Returns:
            Whether it is free.
        """
        if self.directory.epoch_of(name) is None:
            await self.directory.disown(name)
            return True
        stream = self._registry.find(name)
        if stream is None or not stream.is_live or stream.broadcaster.admission.key_id != key_id:
            return False
        await self._registry.wait_for_silence(Admission(key_id, name))
        publisher = stream.broadcaster.publisher
        if publisher is not None and stream.life is Life.LIVE:
            if publisher.quiet_s() < TAKE_OVER_S:
                return False
            self._registry.leave(stream, publisher, EndReason.CONNECTION_LOST)
            publisher.kick(PlaceTakenError())
        if stream.is_live:
            if stream.life is not Life.AWAY:
                return False
            self._give_away(stream)
        await self.directory.settle()
        return True

    async def give_all_away(self) -> None:
        """Have other nodes go on with this node's streams, whose publishers are closed already: it stops."""
        for stream in [*self._registry.live()]:
            self._give_away(stream)
        self.edges.dismiss_viewers()
        await self.directory.settle()

    def _give_away(self, stream: LiveStream) -> None:
        note = _note_of(stream)
        self._silence(stream)
        self.directory.give_away(stream.name, note)
        self._registry.give_away(stream.name)

    def _lose(self, name: str) -> None:
        """Stop a stream that another node goes on with."""
        self._metrics.lost_total.inc()
        stream = self._registry.find(name)
        if stream is not None:
            self._silence(stream)
            self._registry.give_away(name)

    def _silence(self, stream: LiveStream) -> None:
        feed = stream.outputs.find(FeedOutput)
        if feed is not None:
            feed.give_away()

    async def drain(self) -> None:
        """Take no new publishers, and give this node's streams away; its viewers are served on."""
        self.directory.me = replace(self.directory.me, is_draining=True)
        log.info("node.draining", extra={"node": self.directory.me.node})
        await self.beat()
        for stream in [*self._registry.live()]:
            publisher = stream.broadcaster.publisher
            if publisher is not None and stream.life is Life.LIVE:
                self._registry.leave(stream, publisher, EndReason.CONNECTION_LOST)
                publisher.kick(ServerRestartsError())
            if stream.is_live and stream.life is Life.AWAY:
                self._give_away(stream)
            # Publishers that all come back in one moment would be a crowd at the next node.
            await asyncio.sleep(DRAIN_STEP_S)
        await self.directory.settle()

    async def close(self) -> None:
        """Say that this node is gone, as far as it can be said."""
        await self.edges.close()
        await self.directory.settle()
        try:
            await self.directory.leave()
        except ClusterUnavailableError as exc:
            log.info("cluster.unreachable", extra={"reason": str(exc)})


def _note_of(stream: LiveStream) -> StreamNote:
    codecs = tuple(dict.fromkeys(track.codec for track in stream.tracks))
    return StreamNote(stream.record, stream.used_until_s, codecs)
