from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from streamd.keys.admission import Admission
from streamd.live.live_stream import LiveStream
from streamd.live.publisher import EndReason
from streamd.live.registry import SWEEP_STEP_S
from tests.support.ingest import IngestRoom

if TYPE_CHECKING:
    from streamd.errors import PublishError

pytestmark = pytest.mark.asyncio

STREAMS = 10
# A step's time, and so much more that rounding does not matter.
LOOK_S = 1.1 * SWEEP_STEP_S


class IdlePublisher:
    """A connection on which nothing happens."""

    address = "192.0.2.7"
    encoder = ""

    def hurry(self) -> None:
        raise AssertionError("nobody watches")

    def kick(self, error: PublishError) -> None:
        raise AssertionError("nobody is kicked")

    async def wait_closed(self) -> None:
        raise AssertionError("nobody is waited for")


class TestSweep:
    @pytest.mark.parametrize(("at_once", "turns"), [(1, STREAMS), (5, 2), (STREAMS, 1)])
    async def test_others_go_on_while_streams_are_looked_at(
        self, monkeypatch: pytest.MonkeyPatch, at_once: int, turns: int
    ) -> None:
        room = IngestRoom(streams_max=STREAMS)
        for number in range(STREAMS):
            room.registry.begin(Admission(f"key{number}", f"user{number}"), IdlePublisher())
        looked_at: list[str] = []

        def take_time(stream: LiveStream) -> None:
            looked_at.append(stream.name)
            room.clock.advance(LOOK_S / at_once)

        monkeypatch.setattr(LiveStream, "read_meter", take_time)
        loop = asyncio.get_running_loop()
        seen: set[int] = set()

        def look_on() -> None:
            seen.add(len(looked_at))
            if len(looked_at) < STREAMS:
                loop.call_soon(look_on)

        look_on()
        await room.registry.sweep()
        assert looked_at == [stream.name for stream in room.registry.live()]
        assert len(seen) == turns

    async def test_a_stream_may_end_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        room = IngestRoom(streams_max=2)
        first, second = (
            room.registry.begin(Admission(f"key{name}", name), IdlePublisher()) for name in ("alice", "bob")
        )
        looked_at: list[LiveStream] = []

        def take_time(stream: LiveStream) -> None:
            looked_at.append(stream)
            room.clock.advance(LOOK_S)

        monkeypatch.setattr(LiveStream, "read_meter", take_time)
        asyncio.get_running_loop().call_soon(room.registry.end, second, EndReason.KICKED)
        await room.registry.sweep()
        assert looked_at == [first]
