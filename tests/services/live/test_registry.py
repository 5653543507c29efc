from __future__ import annotations

import asyncio

import pytest

from streamd.errors import PublishError
from streamd.media.packager.chunk import PlaylistTiming
from streamd.media.packager.numbering import Numbering
from streamd.services.keys.admission import Admission
from streamd.services.live.channel_numbers import NUMBERS_AHEAD_S_MAX
from streamd.services.live.live_stream import LiveStream
from streamd.services.live.publisher import EndReason
from streamd.services.live.registry import SWEEP_STEP_S
from streamd.services.live.restart_record import RestartRecord, StreamRecord
from tests.support.ingest import IngestRoom

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

    def charge(self, step_s: float) -> None:
        raise AssertionError("nothing is done")

    def kick(self, error: PublishError) -> None:
        raise AssertionError("nobody is kicked")

    async def wait_closed(self) -> None:
        raise AssertionError("nobody is waited for")


class KickedPublisher(IdlePublisher):
    """A connection that is closed by the server."""

    def __init__(self) -> None:
        self.errors: list[PublishError] = []

    def kick(self, error: PublishError) -> None:
        self.errors.append(error)


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


class Places:
    """Room for so many streams."""

    def __init__(self, count: int) -> None:
        self.free = count

    def take(self) -> Places | None:
        if self.free == 0:
            return None
        self.free -= 1
        return self

    def release(self) -> None:
        self.free += 1


class TestPlaces:
    @pytest.mark.parametrize("reason", list(EndReason))
    async def test_whoever_ends_a_stream_gives_its_place_back(self, reason: EndReason) -> None:
        places = Places(1)
        room = IngestRoom(take_place=places.take)
        stream = room.registry.begin(Admission("key", "alice"), IdlePublisher())
        assert places.free == 0
        with pytest.raises(PublishError):
            room.registry.begin(Admission("other", "bob"), IdlePublisher())
        for _ in range(2):
            room.registry.end(stream, reason)
        assert places.free == 1
        assert room.registry.begin(Admission("other", "bob"), IdlePublisher()).is_live

    async def test_who_is_refused_takes_none(self) -> None:
        places = Places(5)
        room = IngestRoom(take_place=places.take, streams_max=1)
        room.registry.begin(Admission("key", "alice"), IdlePublisher())
        for admission in (Admission("key", "alice"), Admission("other", "bob")):
            with pytest.raises(PublishError):
                room.registry.begin(admission, IdlePublisher())
        assert places.free == 4

    async def test_who_goes_on_after_a_restart_takes_one_and_goes_on_without(self) -> None:
        timing = PlaylistTiming(2, 500)
        room = IngestRoom()
        record = StreamRecord("alice", "key", room.clock.now(), timing, ("main",), (), 0)
        for count in (1, 0):
            places = Places(count)
            room = IngestRoom(take_place=places.take)
            room.registry.restore(RestartRecord((record,)))
            for _ in range(3):
                publisher = IdlePublisher()
                stream = room.registry.begin(Admission("key", "alice"), publisher)
                assert places.free == 0
                room.registry.leave(stream, publisher, EndReason.CONNECTION_LOST)
            for stream in [*room.registry.live()]:
                room.registry.end(stream, EndReason.CONNECTION_LOST)
            assert places.free == count


class TestMediaFasterThanTime:
    async def test_ends_a_stream_that_has_used_a_days_numbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        room = IngestRoom(streams_max=2)
        publisher = KickedPublisher()
        fast = room.registry.begin(Admission("key", "alice"), publisher)
        far = Numbering(fast.next_numbering.msn + NUMBERS_AHEAD_S_MAX + 60, 0, 0)
        monkeypatch.setattr(fast, "_numbering", far)
        other = room.registry.begin(Admission("other", "bob"), IdlePublisher())
        await room.registry.sweep()
        assert (fast.end_reason, other.end_reason) == (EndReason.MEDIA_ERROR, None)
        assert [str(error) for error in publisher.errors] == [
            "The stream has ended: media comes much faster than time passes"
        ]
        room.registry.end(other, EndReason.GOODBYE)
        # Nobody but that channel has to wait for the clock.
        now = Numbering.at(room.clock.now())
        assert room.registry.begin(Admission("other", "bob"), IdlePublisher()).next_numbering == now
        with pytest.raises(PublishError, match="faster than time"):
            room.registry.begin(Admission("key", "alice"), IdlePublisher())
        room.clock.advance(60)
        assert room.registry.begin(Admission("key", "alice"), IdlePublisher()).next_numbering.msn == far.msn
