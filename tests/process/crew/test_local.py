"""What the workers share, over real lines: the directory's buckets, acts, questions, feeds and relayed connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from streamd.errors import ClusterUnavailableError, ConflictError, FeedError
from streamd.formats.feed import End, Hello, Ping, Record, State
from streamd.process.crew import link as lines
from streamd.process.crew import web_relay
from streamd.process.crew.link import Link, close_all
from streamd.process.crew.local import LocalPeers, LocalServer, LocalValues, LocalWire, worker_of
from streamd.process.crew.seat import Seat
from streamd.process.crew.switchboard import Switchboard
from streamd.services.cluster.act import Act, ActKind, NodeAnswer
from streamd.services.cluster.entries import NodeEntry
from streamd.services.cluster.feed import FeedOutput, Follower
from streamd.services.cluster.key_value import Kept

pytestmark = pytest.mark.asyncio
ACT = Act(ActKind.KICK, "alice", "0" * 32, "w0")


def node(number: int) -> NodeEntry:
    return NodeEntry(node=f"w{number}", session=f"{number:016x}", advertise="")


class Crew:
    """A switchboard with the seats of a few workers."""

    def __init__(self) -> None:
        self.board = Switchboard(lambda _, __: None)
        self.seats: list[Seat] = []
        self._links: list[Link] = []

    async def add(self) -> Seat:
        number = len(self.seats)
        ours, theirs = lines.pair()

        def hear(message: dict[str, Any], files: list[int]) -> None:
            close_all(self.board.hear(number, message, files))

        link = Link(ours, hear)
        link.begin()
        link.send({"do": "welcome", "number": number, "count": 2, "rtmp": "", "rtmps": "", "http": "h:1", "admin": ""})
        seat = Seat(theirs)
        await seat.open()
        self.board.join(number, link)
        seat.begin()
        self.seats.append(seat)
        self._links.append(link)
        return seat

    def close(self) -> None:
        for seat in self.seats:
            seat.close()
        for link in self._links:
            link.close()


@contextlib.asynccontextmanager
async def two() -> AsyncIterator[tuple[Crew, Seat, Seat]]:
    crew = Crew()
    try:
        async with asyncio.timeout(20):
            yield crew, await crew.add(), await crew.add()
    finally:
        crew.close()


async def test_each_knows_who_it_is() -> None:
    async with two() as (_, first, second):
        assert (first.welcome.number, first.welcome.node, first.welcome.is_first) == (0, "w0", True)
        assert (second.welcome.number, second.welcome.node, second.welcome.is_first) == (1, "w1", False)
        assert worker_of(node(12)) == 12


async def test_a_bucket_is_one_for_all_and_each_is_told_of_changes() -> None:
    async with two() as (_, first, second):
        here, there = LocalValues(first, "streams"), LocalValues(second, "streams")
        told: list[tuple[str, Kept | None]] = []
        there.watch(lambda key, kept: told.append((key, kept)))
        revision = await here.create("alice", b"one")
        with pytest.raises(ConflictError):
            await there.create("alice", b"two")
        assert await there.get("alice") == Kept(b"one", revision)
        assert await there.get("bob") is None
        later = await there.update("alice", b"two", revision)
        with pytest.raises(ConflictError):
            await here.update("alice", b"three", revision)
        assert await here.all() == {"alice": Kept(b"two", later)}
        with pytest.raises(ConflictError):
            await here.delete("alice", revision)
        await here.delete("alice", later)
        await there.get("alice")
        assert told == [("alice", Kept(b"one", revision)), ("alice", Kept(b"two", later)), ("alice", None)]


async def test_without_a_supervisor_nothing_can_be_asked() -> None:
    async with two() as (_, first, _second):
        first.close()
        with pytest.raises(ClusterUnavailableError):
            await LocalValues(first, "streams").get("alice")
        with pytest.raises(ClusterUnavailableError):
            await LocalWire(first).publish("subject", b"text")
        assert await LocalPeers(first).tell(node(1), ACT) is None


async def test_messages_reach_those_who_listen_for_their_subject() -> None:
    async with two() as (_, first, second):
        heard: list[tuple[str, bytes]] = []
        both = asyncio.Event()

        async def hear(subject: str, data: bytes) -> None:
            heard.append((subject, data))
            if len(heard) == 2:
                both.set()

        wire = LocalWire(second)
        wire.subscribe("streamd.v1.control.>", hear)
        wire.subscribe("streamd.v1.answer.7", hear)
        sender = LocalWire(first)
        for subject in ("streamd.v1.answer.8", "streamd.v1.control.kick", "streamd.v1.answer.7"):
            await sender.publish(subject, subject.encode())
        await both.wait()
        assert [subject for subject, _ in heard] == ["streamd.v1.control.kick", "streamd.v1.answer.7"]


class FakeOutput:
    """The owner's end of a feed."""

    is_full = False

    def __init__(self) -> None:
        self.followers: list[Follower] = []
        self.left = asyncio.Event()

    def follow(self, follower: Follower, from_part: int) -> Callable[[], None]:
        self.followers.append(follower)
        follower.take(State(f"from {from_part}".encode()))
        return self.left.set


def serve(seat: Seat, output: FakeOutput) -> LocalServer:
    async def do(act: Act) -> NodeAnswer:
        return NodeAnswer.DONE if act.subject == "alice" else NodeAnswer.FAILED

    async def give(name: str, key_id: str) -> bool:
        return (name, key_id) == ("alice", "k1")

    return LocalServer(
        seat,
        "w1",
        find=lambda name: (cast("FeedOutput", output), 7) if name == "alice" else None,
        do=do,
        give=give,
    )


async def test_one_worker_is_asked_to_act_and_to_give_a_channel() -> None:
    async with two() as (_, first, second):
        serve(second, FakeOutput())
        peers = LocalPeers(first)
        assert await peers.tell(node(1), ACT) is NodeAnswer.DONE
        assert await peers.tell(node(1), Act(ActKind.KICK, "bob", "0" * 32, "w0")) is NodeAnswer.FAILED
        assert await peers.ask_to_yield(node(1), "alice", "k1") is True
        assert await peers.ask_to_yield(node(1), "alice", "k2") is False
        assert await peers.ask_to_yield(node(5), "alice", "k1") is None


async def test_a_feed_goes_from_worker_to_worker_until_one_lets_go() -> None:
    async with two() as (_, first, second):
        output = FakeOutput()
        server = serve(second, output)
        records: list[Record] = []
        async with LocalPeers(first).open(node(1), "alice", from_part=30, epoch_min=7) as batches:
            async for batch in batches:
                records += batch
                if len(records) >= 2:
                    break
            assert server.followers == 1
            output.followers[0].take(Ping())
            async for batch in batches:
                records += batch
                break
        assert records == [Hello("alice", "w1", 7), State(b"from 30"), Ping()]
        await output.left.wait()
        assert server.followers == 0


async def test_a_feed_ends_with_its_stream() -> None:
    async with two() as (_, first, second):
        output = FakeOutput()
        serve(second, output)
        records: list[Record] = []
        async with LocalPeers(first).open(node(1), "alice", from_part=0, epoch_min=0) as batches:
            async for batch in batches:
                records += batch
                if isinstance(records[-1], State):
                    output.followers[0].take(End("ended"))
                    output.followers[0].close()
        assert records[-1] == End("ended")


async def test_a_worker_that_has_no_such_stream_sends_nothing() -> None:
    async with two() as (_, first, second):
        serve(second, FakeOutput())
        async with LocalPeers(first).open(node(1), "bob", from_part=0, epoch_min=0) as batches:
            assert [batch async for batch in batches] == []


async def test_an_owner_of_an_earlier_epoch_is_not_heard() -> None:
    async with two() as (_, first, second):
        serve(second, FakeOutput())
        async with LocalPeers(first).open(node(1), "alice", from_part=0, epoch_min=8) as batches:
            with pytest.raises(FeedError, match="epoch 7"):
                async for _batch in batches:
                    pass


class Echo(asyncio.Protocol):
    """The first worker's side: says who asks, echoes, and closes at ``bye``."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        peer, tls = (self.transport.get_extra_info(name) for name in ("peername", "sslcontext"))
        self.transport.write(f"{peer[0]} {bool(tls)} {self.transport.can_write_eof()} ".encode() + data)
        if data.endswith(b"bye"):
            self.transport.close()


class Viewer(asyncio.Protocol):
    """The door of the worker that a viewer reached: hands the connection on with its first bytes."""

    def __init__(self, line: socket.socket, closed: asyncio.Event) -> None:
        self._line = line
        self._closed = closed
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.task = web_relay.relay(self._transport, data, False, self._line, self._closed.set)


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_connection_that_is_handed_on_is_the_viewers(is_tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_relay, "LINGER_S", 0.01)
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    client, accepted = socket.socketpair()
    for each in (here, there, client, accepted):
        each.setblocking(False)
    closed = asyncio.Event()
    with client:
        async with asyncio.timeout(20):
            await web_relay.take(there, {"peer": ["192.0.2.7", 4711], "tls": is_tls}, Echo())
            await loop.connect_accepted_socket(lambda: Viewer(here, closed), accepted)
            await loop.sock_sendall(client, b"first")
            assert await loop.sock_recv(client, 100) == f"192.0.2.7 {is_tls} {not is_tls} first".encode()
            await loop.sock_sendall(client, b"bye")
            said = b""
            while data := await loop.sock_recv(client, 100):
                said += data
            assert said.endswith(b" bye")
            await closed.wait()
