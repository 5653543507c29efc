from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from streamd.clock import ManualClock
from streamd.errors import ClusterUnavailableError
from streamd.formats.feed import Hello
from streamd.services.cluster.edges import LET_GO_S, Edges
from streamd.services.cluster.entries import NodeEntry, StreamEntry, Tenure
from streamd.services.live.waiters import WaiterBudget
from streamd.services.metrics import Metrics
from tests.services.cluster.test_feed import Owner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from streamd.formats.feed import Record

pytestmark = pytest.mark.asyncio


def entry_of(node: str, epoch: int, tenure: Tenure = Tenure.LIVE) -> StreamEntry:
    return StreamEntry("anna", node, "0" * 16, epoch, tenure, "key", 5, 1)


class Directory:
    """Says what a test has it say."""

    def __init__(self) -> None:
        self.known: dict[str, StreamEntry] = {}
        self.dead: set[str] = set()
        self._on_change: Callable[[str], None] = lambda _: None

    def watch(self, on_change: Callable[[str], None]) -> None:
        self._on_change = on_change

    def tell(self, entry: StreamEntry) -> None:
        self.known[entry.name] = entry
        self._on_change(entry.name)

    def owner(self, name: str) -> StreamEntry | None:
        return self.known.get(name)

    def entries(self) -> Iterable[StreamEntry]:
        return self.known.values()

    def tenure(self, entry: StreamEntry) -> Tenure:
        return Tenure.LEFT if entry.node in self.dead and entry.tenure is Tenure.LIVE else entry.tenure

    def node_of(self, entry: StreamEntry) -> NodeEntry | None:
        return None if entry.node in self.dead else NodeEntry(entry.node, "0" * 16, "http://x")


class Line:
    """A follower whose records a node's client reads."""

    queued_bytes = 0

    def __init__(self) -> None:
        self.records: asyncio.Queue[Record | None] = asyncio.Queue()

    def take(self, record: Record) -> None:
        self.records.put_nowait(record)

    def close(self) -> None:
        self.records.put_nowait(None)


class Opener:
    """Opens the feeds of owners in memory."""

    def __init__(self) -> None:
        self.owners: dict[str, tuple[Owner, int]] = {}
        self.opened: list[tuple[str, int]] = []

    @contextlib.asynccontextmanager
    async def open(
        self, owner: NodeEntry, name: str, *, from_part: int, epoch_min: int
    ) -> AsyncIterator[AsyncIterator[Sequence[Record]]]:
        if owner.node not in self.owners:
            raise ClusterUnavailableError("gone")
        found, epoch = self.owners[owner.node]
        self.opened.append((owner.node, from_part))
        line = Line()
        line.take(Hello(name, owner.node, epoch))
        leave = found.feed.follow(line, from_part)
        try:
            yield self._read(line)
        finally:
            leave()

    async def _read(self, line: Line) -> AsyncIterator[Sequence[Record]]:
        while (record := await line.records.get()) is not None:
            yield (record,)


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.directory = Directory()
        self.opener = Opener()
        self.here: set[str] = set()
        self.edges = Edges(
            self.directory,  # type: ignore[arg-type]
            self.opener,
            clock=self.clock,
            metrics=Metrics(),
            budget=WaiterBudget(10),
            window_bytes_max=64 * 1024 * 1024,
            channels_max=1,
            is_here=lambda name: name in self.here,
        )

    def begin(self, node: str, epoch: int) -> Owner:
        owner = Owner()
        owner.add_segment()
        self.opener.owners[node] = owner, epoch
        self.directory.tell(entry_of(node, epoch))
        return owner


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_feed_is_opened_when_somebody_asks_and_once_for_all() -> None:
    house = House()
    house.begin("a", 7)
    assert house.opener.opened == []
    channel = house.edges.find("anna")
    assert channel is not None
    assert channel.is_opening
    await turns()
    assert channel.presentation is not None
    assert house.edges.find("anna") is channel
    assert house.opener.opened == [("a", 0)]
    assert (len(house.edges), [*house.edges.names()], [*house.edges.channels()]) == (1, ["anna"], [channel])
    assert house.edges.held_bytes > 0
    await house.edges.close()
    assert house.edges.find("anna") is None


async def test_what_nobody_has_asked_for_is_let_go() -> None:
    house = House()
    owner = house.begin("a", 7)
    house.edges.find("anna")
    await turns()
    house.clock.advance(LET_GO_S - 1)
    house.edges.look()
    assert owner.feed.followers == 1
    house.clock.advance(1)
    house.edges.look()
    await turns()
    assert (len(house.edges), owner.feed.followers) == (0, 0)


async def test_viewers_keep_their_channel_when_the_owner_changes() -> None:
    house = House()
    first = house.begin("a", 7)
    channel = house.edges.find("anna")
    assert channel is not None
    await turns()
    house.directory.dead.add("a")
    house.directory.tell(house.directory.known["anna"])
    await turns()
    assert first.feed.followers == 0
    assert channel.is_live
    house.edges.look()
    # It begins behind the numbers that were used.
    second = house.begin("b", 8)
    for _ in range(3):
        second.add_segment()
    await turns()
    assert house.edges.find("anna") is channel
    assert channel.epoch == 8
    assert house.opener.opened[-1][0] == "b"
    await house.edges.close()


async def test_an_act_ends_a_channel_here_before_its_owner_has() -> None:
    house = House()
    house.begin("a", 7)
    channel = house.edges.find("anna")
    await turns()
    assert house.edges.end_of_key("other") == []
    assert house.edges.end_of_key("key") == ["anna"]
    assert channel is not None
    assert not channel.is_live
    house.clock.advance(100)
    # This broadcast is not opened anew, and the next one is.
    assert house.edges.find("anna") is None
    house.begin("a", 8)
    assert house.edges.find("anna") is not None
    await house.edges.close()


async def test_a_stream_of_this_node_and_one_that_has_ended_have_no_feed() -> None:
    house = House()
    house.here.add("anna")
    house.begin("a", 7)
    assert house.edges.find("anna") is None
    house.here.clear()
    house.directory.tell(entry_of("a", 7, Tenure.ENDED))
    assert house.edges.find("anna") is None
    assert house.edges.find("berta") is None


async def test_an_end_that_nobody_told_is_read_in_the_directory() -> None:
    house = House()
    house.begin("a", 7)
    channel = house.edges.find("anna")
    await turns()
    house.directory.tell(entry_of("a", 7, Tenure.ENDED))
    house.edges.look()
    assert channel is not None
    assert not channel.is_live
    house.edges.dismiss_viewers()
    await house.edges.close()
