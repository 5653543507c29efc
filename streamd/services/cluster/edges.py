"""The channels of other nodes, as far as anybody asks for them here.

A feed is opened when a viewer asks for a channel, one for all of them, and let go when nobody has asked for a while. It
follows the directory: where the owner changes, the next one's feed is opened, and viewers go on with the same channel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from streamd.errors import ClusterUnavailableError, FeedError
from streamd.formats.feed import Part, State
from streamd.services.cluster.entries import Tenure
from streamd.services.cluster.remote_channel import RemoteChannel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from streamd.clock import Clock
    from streamd.services.cluster.entries import NodeEntry, StreamEntry
    from streamd.services.cluster.feed import FeedOpener
    from streamd.services.cluster.kv_directory import KvDirectory
    from streamd.services.live.waiters import WaiterBudget
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

# A viewer who pauses and comes back within a minute waits for nothing.
LET_GO_S = 60.0
# Between two tries to reach an owner: it is asked at once when the directory tells something new.
BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
# Of one channel that was ended here by an act, until its owner has said so too: no feed is opened anew.
ENDED_HERE_MAX = 4096


class Edge:
    """One channel of another node, and the task that follows it."""

    def __init__(self, channel: RemoteChannel, now: float) -> None:
        self.channel = channel
        self.used_at = now
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Edges:
    """The channels of other nodes.

    Args:
        directory: Knows the owners.
        opener: Opens feeds.
        clock: For time limits.
        metrics: Counted into.
        budget: How many requests may wait in the whole server.
        window_bytes_max: Media of one channel that is held at most.
        channels_max: Channels at once.
        is_here: Whether a channel is this node's own.
    """

    def __init__(
        self,
        directory: KvDirectory,
        opener: FeedOpener,
        *,
        clock: Clock,
        metrics: Metrics,
        budget: WaiterBudget,
        window_bytes_max: int,
        channels_max: int,
        is_here: Callable[[str], bool],
    ) -> None:
        self._directory = directory
        self._opener = opener
        self._clock = clock
        self._metrics = metrics
        self._budget = budget
        self._window_bytes_max = window_bytes_max
        self._channels_max = channels_max
        self._is_here = is_here
        self._edges: dict[str, Edge] = {}
        # By channel: the epoch that was ended here.
        self._ended: dict[str, int] = {}
        self._is_closed = False
        directory.watch(self._note_change)

    def find(self, name: str) -> RemoteChannel | None:
        """The channel of another node, whose feed is opened where it is not; None where there is none."""
        edge = self._edges.get(name)
        if edge is not None:
            if edge.channel.forget_at <= self._clock.monotonic():
                self._let_go(name)
                edge = None
            else:
                edge.used_at = self._clock.monotonic()
                return edge.channel
        entry = self._directory.owner(name)
        if entry is None or self._is_closed or not self._may_follow(entry):
            return None
        if len(self._edges) >= self._channels_max:
            self._metrics.limit_hits_total.labels("streams_max").inc()
            return None
        return self._follow(entry).channel

    def __len__(self) -> int:
        """How many channels are open."""
        return len(self._edges)

    def names(self) -> Iterable[str]:
        """The names of the channels that are open."""
        return [*self._edges]

    def channels(self) -> Iterable[RemoteChannel]:
        """Those that are open and live."""
        return [edge.channel for edge in self._edges.values() if edge.channel.is_live]

    @property
    def held_bytes(self) -> int:
        """Media in memory, bytes."""
        return sum(edge.channel.held_bytes for edge in self._edges.values())

    def end(self, names: Collection[str]) -> None:
        """End channels here, before their owner has said so: what they show is to be seen no more."""
        for name in names:
            entry = self._directory.owner(name)
            edge = self._edges.get(name)
            epoch = max(entry.epoch if entry is not None else 0, edge.channel.epoch if edge is not None else 0)
            self._ended[name] = epoch
            while len(self._ended) > ENDED_HERE_MAX:
                del self._ended[next(iter(self._ended))]
            if edge is not None:
                if edge.task is not None:
                    edge.task.cancel()
                edge.channel.end()

    def end_of_key(self, key_id: str) -> list[str]:
        """End the channels that a key has opened, wherever they are.

        Returns:
            Their names.
        """
        names = [entry.name for entry in self._directory.entries() if entry.key_id == key_id]
        self.end(names)
        return names

    def look(self) -> None:
        """Count viewers, and let go of what nobody has asked for; called about once a second."""
        now = self._clock.monotonic()
        for name, edge in [*self._edges.items()]:
            edge.channel.look()
            if edge.channel.forget_at <= now or (
                now - edge.used_at >= LET_GO_S and not edge.channel.waiters.has_waiting
            ):
                self._let_go(name)
                continue
            entry = self._directory.owner(name)
            if edge.channel.is_live and (entry is None or self._directory.tenure(entry) is Tenure.ENDED):
                # Its owner has not said so, or is gone for longer than a publisher may be.
                self._end_of(name, edge)

    def dismiss_viewers(self) -> None:
        """Answer all waiting requests: the server stops."""
        self._is_closed = True
        for edge in self._edges.values():
            edge.channel.dismiss_viewers()

    async def close(self) -> None:
        """Close every feed."""
        self._is_closed = True
        tasks = [edge.task for edge in self._edges.values() if edge.task is not None]
        for name in [*self._edges]:
            self._let_go(name)
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- inside ---------------------------------------------------------------------------------

    def _may_follow(self, entry: StreamEntry) -> bool:
        """Whether a channel is another node's, and may be live."""
        if self._is_here(entry.name) or entry.epoch <= self._ended.get(entry.name, -1):
            return False
        return self._directory.tenure(entry) is not Tenure.ENDED

    def _follow(self, entry: StreamEntry) -> Edge:
        channel = RemoteChannel(
            entry.name,
            datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=entry.live_since_ms),
            clock=self._clock,
            metrics=self._metrics,
            budget=self._budget,
            window_bytes_max=self._window_bytes_max,
        )
        edge = self._edges[entry.name] = Edge(channel, self._clock.monotonic())
        edge.task = asyncio.create_task(self._run(entry.name, edge))
        return edge

    def _let_go(self, name: str) -> None:
        edge = self._edges.pop(name)
        if edge.task is not None:
            edge.task.cancel()
        edge.channel.release()

    def _end_of(self, name: str, edge: Edge) -> None:
        if edge.task is not None:
            edge.task.cancel()
        edge.channel.end()
        log.info("feed.ended", extra={"stream": name, "epoch": edge.channel.epoch})

    def _note_change(self, name: str) -> None:
        edge = self._edges.get(name)
        if edge is None:
            return
        edge.changed.set()
        if not edge.channel.is_live:
            # The same name goes live again: who asks next follows the new stream.
            entry = self._directory.owner(name)
            if entry is not None and entry.epoch > edge.channel.epoch and self._may_follow(entry):
                edge.channel.forget_at = min(edge.channel.forget_at, self._clock.monotonic())

    async def _run(self, name: str, edge: Edge) -> None:
        """Follow a channel from owner to owner until it has ended."""
        failures = 0
        from_part = 0
        channel = edge.channel
        while channel.is_live:
            edge.changed.clear()
            entry = self._directory.owner(name)
            if entry is not None and self._is_here(name):
                # It came to this node: viewers are served by the stream itself.
                self._edges.pop(name, None)
                channel.release()
                return
            owner = self._directory.node_of(entry) if entry is not None else None
            if entry is not None and owner is not None and entry.tenure is Tenure.LIVE:
                failed = None
                try:
                    if await self._read(edge, entry, from_part):
                        failures = 0
                    from_part = channel.next_part
                except (FeedError, ClusterUnavailableError) as exc:
                    failed = exc
                    from_part = 0 if isinstance(exc, FeedError) else channel.next_part
                except Exception:
                    log.exception("feed.failed", extra={"stream": name})
                    from_part = 0
                channel.lose_owner()
                if failed is not None and not failures:
                    log.info("feed.lost", extra={"stream": name, "node": owner.node, "reason": str(failed)})
            pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
            failures += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await edge.changed.wait()

    async def _read(self, edge: Edge, entry: StreamEntry, from_part: int) -> bool:
        """Read one owner's feed to its end, or until another node is the owner; say whether anything came."""
        owner = self._directory.node_of(entry)
        if owner is None:
            return False
        channel = edge.channel
        has_come = False
        epoch_min = max(entry.epoch, channel.epoch)
        followed = asyncio.ensure_future(self._watch(edge, entry))
        reading = asyncio.ensure_future(self._take_all(edge, owner, from_part, epoch_min))
        try:
            await asyncio.wait({followed, reading}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                has_come = reading.result()
        finally:
            for task in (followed, reading):
                task.cancel()
            await asyncio.gather(followed, reading, return_exceptions=True)
        return has_come

    async def _take_all(self, edge: Edge, owner: NodeEntry, from_part: int, epoch_min: int) -> bool:
        channel = edge.channel
        has_come = False
        async with self._opener.open(owner, channel.name, from_part=from_part, epoch_min=epoch_min) as batches:
            log.info("feed.opened", extra={"stream": channel.name, "node": owner.node, "from_part": from_part})
            async for records in batches:
                for record in records:
                    channel.take(record)
                    has_come = has_come or isinstance(record, Part | State)
                if not channel.is_live:
                    log.info("feed.ended", extra={"stream": channel.name, "epoch": channel.epoch})
                    break
        return has_come

    async def _watch(self, edge: Edge, entry: StreamEntry) -> None:
        """Return when the channel is another owner's."""
        while True:
            edge.changed.clear()
            found = self._directory.owner(entry.name)
            if found is None or found.epoch > entry.epoch or self._directory.node_of(found) is None:
                return
            await edge.changed.wait()
