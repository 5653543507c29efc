"""A publish over RTMP and a death of its key in the same instant: no stream is left running.

Everything between the socket and the store is the real thing: connection, key service, live registry. The store, and
whoever gives out the names of channels, wait at gates, and each order of their steps is driven, with the loop turned a
different number of times between them.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from streamd.clock import ManualClock
from streamd.doors.ingest.deadlines import IngestOptions
from streamd.doors.ingest.protocol import RtmpProtocol
from streamd.doors.ingest.verdict import PublishJudge
from streamd.formats.rtmp.connection import ServerConnection
from streamd.media.packager.rendition import RenditionOptions
from streamd.media.packager.segmenter import SegmenterOptions
from streamd.services.audit.records import Actor
from streamd.services.keys.admission import Admission
from streamd.services.keys.service import KeyService
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.live.registry import LiveRegistry
from streamd.services.live.stream_options import StreamOptions
from streamd.services.live.waiters import WaiterBudget
from streamd.services.metrics import Metrics
from tests.support.flv_media import h264_aac
from tests.support.gated_store import KEY, GatedStore, Gates
from tests.support.ingest import FakeListener, Peer, RecordingTransport, settle
from tests.support.rtmp_wire import message

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.asyncio

ADMIN = Actor("admin")
STARTED, DENIED = "NetStream.Publish.Start", "NetStream.Publish.Denied"
# Races of each kind of death, over all orders of its steps; chosen so that all of it takes some three seconds.
RACES = 700
TURNS_MAX = 4

KILLERS: dict[str, Callable[[KeyService], Awaitable[object]]] = {
    "revoke": lambda keys: keys.revoke(KEY.key_id, by=ADMIN),
    "rotate": lambda keys: keys.rotate(KEY.key_id, by=ADMIN),
    "suspend": lambda keys: keys.suspend("alice", by=ADMIN),
}


class ClosingTransport(RecordingTransport):
    """A transport that tells its protocol that the connection is lost a turn after it is closed, as real ones do.

    Its peer closes when it has read the last word.
    """

    protocol: RtmpProtocol

    def has_ended(self) -> bool:
        return self.is_closing() or self.is_eof_written

    def close(self) -> None:
        if not self.is_closing():
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)
        super().close()

    def abort(self) -> None:
        if not self.is_closing():
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)
        super().abort()

    def write_eof(self) -> None:
        super().write_eof()
        asyncio.get_running_loop().call_soon(self.close)


class Claim:
    """The name of a channel, until it is given back."""

    left = None
    numbers_until_s = 0

    def __init__(self, claimed: list[Claim]) -> None:
        self._claimed = claimed
        claimed.append(self)

    def release(self) -> None:
        if self in self._claimed:
            self._claimed.remove(self)


class Server:
    """All of a server that a publish passes, but for sockets and database."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.gates = Gates()
        store = GatedStore(self.gates, self.clock.now())
        self.verifier = KeyVerifier(store, self.clock)
        self.keys = KeyService(store, self.clock, self.verifier)
        self.metrics = METRICS
        self.registry = LiveRegistry(
            options=StreamOptions(SegmenterOptions(), RenditionOptions()),
            clock=self.clock,
            metrics=self.metrics,
            budget=WaiterBudget(100),
            streams_max=10,
            reconnect_window_s=30.0,
            is_admissible=self.verifier.admissions.is_admissible,
            ask_for_name=self._give_name,
        )
        self.judge = PublishJudge(keys=self.verifier, registry=self.registry, clock=self.clock, metrics=self.metrics)
        self.claimed: list[Claim] = []
        self.verifier.admissions.attach(self.registry)

    async def _give_name(self, name: str, admission: Admission) -> Claim:
        await self.gates.wait("verify")
        claim = Claim(self.claimed)
        await self.gates.wait("verify")
        return claim

    def connect(self) -> Peer:
        protocol = RtmpProtocol(
            ServerConnection(nonce=bytes(16)),
            options=IngestOptions(),
            clock=self.clock,
            metrics=self.metrics,
            listener=FakeListener(self.judge),
        )
        transport = ClosingTransport()
        transport.protocol = protocol
        peer = Peer(protocol, transport)
        peer.log_in()
        peer.receive()
        return peer

    async def race(self, peers: list[Peer], kill: Awaitable[object], order: tuple[str, ...], turns: int) -> None:
        """Let the steps of publish and death happen in this order; then all are open and all ends."""
        for peer in peers:
            peer.ask_to_publish(KEY.reveal())
        killing = asyncio.ensure_future(kill)
        await turn(turns)
        for task in order:
            self.gates.let_on(task)
            await turn(turns)
            for peer in peers:
                peer.send(MEDIA)  # the publisher sends on, whatever it was told
        self.gates.open()
        await killing
        # The call has returned: here and now nothing runs, and every socket of a publisher that had begun is closed.
        assert not any(self.registry.live())
        for peer in peers:
            codes = peer.status_codes()
            if STARTED in codes:
                assert peer.transport.is_closing()
            assert isinstance(peer.transport, ClosingTransport)
            await settle(peer.transport.has_ended)
            assert (codes + peer.status_codes())[-1] in (DENIED, "NetStream.Publish.BadName")
        assert not any(self.registry.live())
        await settle(lambda: not self.claimed)
        again = self.connect()
        again.ask_to_publish(KEY.reveal())
        await settle(lambda: again.transport.is_eof_written)
        assert again.status_codes() == [DENIED]


# One for all: registering dozens of metrics takes longer than a race.
METRICS = Metrics()
MEDIA = b"".join(message(tag.tag_type, bytes(tag.payload), time_ms=tag.timestamp_ms) for tag in h264_aac(seconds=1)[:3])


async def turn(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def orders(steps: dict[str, int]) -> Iterator[tuple[str, ...]]:
    """Every order of the steps, each once."""
    if not steps:
        yield ()
    for task, count in steps.items():
        left = {**steps, task: count - 1} if count > 1 else {other: n for other, n in steps.items() if other != task}
        yield from ((task, *rest) for rest in orders(left))


@pytest.mark.parametrize("killer", KILLERS)
async def test_in_every_order_nothing_runs_when_the_call_has_returned(killer: str) -> None:
    # verify: before the read and after it, and again where it must read again, and the same with the name; kill: before
    # the commit and after it.
    every_order = [*orders({"verify": 6, "kill": 2})]
    races = itertools.islice(itertools.cycle(itertools.product(every_order, range(TURNS_MAX + 1))), RACES)
    for order, turns in races:
        server = Server()
        await server.race([server.connect()], KILLERS[killer](server.keys), order, turns)


async def test_two_encoders_with_one_key_and_deaths_of_every_kind_at_once() -> None:
    draw = random.Random(20260301)
    for _ in range(RACES):
        server = Server()
        order = tuple(draw.choices(["verify", "kill"], k=draw.randint(0, 10)))
        deaths = asyncio.gather(
            *(draw.choice([*KILLERS.values()])(server.keys) for _ in range(draw.randint(1, 3))), return_exceptions=True
        )
        await server.race([server.connect(), server.connect()], deaths, order, draw.randint(0, TURNS_MAX))
