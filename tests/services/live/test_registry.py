from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from streamd.errors import AlreadyPublishingError, KeyRejectedError, PublishError
from streamd.media.packager.numbering import Numbering
from streamd.media.packager.timing import PlaylistTiming
from streamd.media.timeline import START_MS, TRACKS_APART_MS_MAX
from streamd.services.keys.admission import Admission
from streamd.services.live.channel_numbers import NUMBERS_AHEAD_S_MAX
from streamd.services.live.live_stream import LiveStream
from streamd.services.live.outputs import OutputContext
from streamd.services.live.publisher import CUT_WAIT_S, EndReason
from streamd.services.live.registry import SWEEP_STEP_S
from streamd.services.live.restart_record import SIGN_OF_LIFE_INTERVAL, RestartRecord, StreamRecord
from streamd.services.live.stream_options import OUTPUTS
from tests.support.flv_media import h264_aac
from tests.support.ingest import IngestRoom, eventually, hls_of, presentation_of
from tests.support.recording_output import RecordingOutput
from tests.support.stand_in_publisher import StandInPublisher

pytestmark = pytest.mark.asyncio

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
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

    def quiet_s(self) -> float:
        return 0.0

    def kick(self, error: PublishError) -> None:
        raise AssertionError("nobody is kicked")

    async def wait_closed(self, within_s: float = CUT_WAIT_S) -> None:
        raise AssertionError("nobody is waited for")


class KickedPublisher(IdlePublisher):
    """A connection that is closed by the server."""

    def __init__(self) -> None:
        self.errors: list[PublishError] = []

    def kick(self, error: PublishError) -> None:
        self.errors.append(error)


class AwaitedPublisher(KickedPublisher):
    """One whose end is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s: list[float] = []

    async def wait_closed(self, within_s: float = CUT_WAIT_S) -> None:
        self.waited_s.append(within_s)


class TestClosing:
    async def test_what_is_taken_down_is_closed_within_what_is_promised(self) -> None:
        """Of the 50 ms until all is dark, an encoder that reads nothing has 10; who is kicked has half a second."""
        room = IngestRoom()
        taken_down, kicked = AwaitedPublisher(), AwaitedPublisher()
        await room.begin(Admission("key", "alice"), taken_down)
        await room.begin(Admission("other", "bob"), kicked)
        assert await room.registry.close_barred(lambda admission: admission.user == "alice") == ["alice"]
        assert await room.registry.kick("bob")
        assert taken_down.waited_s == [0.01]
        assert kicked.waited_s == [0.5]


class TestSweep:
    @pytest.mark.parametrize(("at_once", "turns"), [(1, STREAMS), (5, 2), (STREAMS, 1)])
    async def test_others_go_on_while_streams_are_looked_at(
        self, monkeypatch: pytest.MonkeyPatch, at_once: int, turns: int
    ) -> None:
        room = IngestRoom(streams_max=STREAMS)
        for number in range(STREAMS):
            await room.begin(Admission(f"key{number}", f"user{number}"), IdlePublisher())
        looked_at: list[str] = []

        def take_time(stream: LiveStream) -> None:
            looked_at.append(stream.name)
            room.clock.advance(LOOK_S / at_once)

        monkeypatch.setattr(LiveStream, "look", take_time)
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
        first, second = [await room.begin(Admission(f"key{name}", name), IdlePublisher()) for name in ("alice", "bob")]
        looked_at: list[LiveStream] = []

        def take_time(stream: LiveStream) -> None:
            looked_at.append(stream)
            room.clock.advance(LOOK_S)

        monkeypatch.setattr(LiveStream, "look", take_time)
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
        stream = await room.begin(Admission("key", "alice"), IdlePublisher())
        assert places.free == 0
        with pytest.raises(PublishError):
            await room.begin(Admission("other", "bob"), IdlePublisher())
        for _ in range(2):
            room.registry.end(stream, reason)
        assert places.free == 1
        assert (await room.begin(Admission("other", "bob"), IdlePublisher())).is_live

    async def test_who_is_refused_takes_none(self) -> None:
        places = Places(5)
        room = IngestRoom(take_place=places.take, streams_max=1)
        await room.begin(Admission("key", "alice"), IdlePublisher())
        for admission in (Admission("key", "alice"), Admission("other", "bob")):
            with pytest.raises(PublishError):
                await room.begin(admission, IdlePublisher())
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
                stream = await room.begin(Admission("key", "alice"), publisher)
                assert places.free == 0
                room.registry.leave(stream, publisher, EndReason.CONNECTION_LOST)
            for stream in [*room.registry.live()]:
                room.registry.end(stream, EndReason.CONNECTION_LOST)
            assert places.free == count


class TestMediaFasterThanTime:
    async def test_ends_a_stream_that_has_used_a_days_numbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        room = IngestRoom(streams_max=2)
        publisher = KickedPublisher()
        fast = await room.begin(Admission("key", "alice"), publisher)
        far = Numbering(fast.next_numbering.msn + NUMBERS_AHEAD_S_MAX + 60, 0, 0)
        monkeypatch.setattr(hls_of(fast), "_numbering", far)
        other = await room.begin(Admission("other", "bob"), IdlePublisher())
        await room.registry.sweep()
        assert (fast.end_reason, other.end_reason) == (EndReason.MEDIA_ERROR, None)
        assert [str(error) for error in publisher.errors] == [
            "The stream has ended: media comes much faster than time passes"
        ]
        room.registry.end(other, EndReason.GOODBYE)
        # Nobody but that channel has to wait for the clock.
        now = Numbering.at(room.clock.now())
        assert (await room.begin(Admission("other", "bob"), IdlePublisher())).next_numbering == now
        with pytest.raises(PublishError, match="faster than time"):
            await room.begin(Admission("key", "alice"), IdlePublisher())
        room.clock.advance(60)
        assert (await room.begin(Admission("key", "alice"), IdlePublisher())).next_numbering.msn == far.msn


class TestTimesAfterARestart:
    """They go on forward, whatever the clock says; the hole in decode times is no longer than it has to be."""

    async def test_they_go_on_behind_what_was_sent(self) -> None:
        left = await self._left_after(media_s=8, elapsed_s=8)
        starts_ms = self._starts_ms(left, START + timedelta(seconds=12), alive_at=None)
        assert starts_ms == START_MS + 12_000 + TRACKS_APART_MS_MAX

    async def test_media_that_came_faster_than_time_is_behind_them_too(self) -> None:
        left = await self._left_after(media_s=12, elapsed_s=1)
        starts_ms = self._starts_ms(left, START + timedelta(seconds=1), alive_at=None)
        assert START_MS + 12_000 < starts_ms < START_MS + 12_000 + 6_000

    async def test_media_that_came_far_slower_leaves_no_hole_of_hours(self) -> None:
        left = await self._left_after(media_s=8, elapsed_s=3600)
        starts_ms = self._starts_ms(left, START + timedelta(seconds=3600), alive_at=None)
        assert START_MS + 8_000 < starts_ms < START_MS + 8_000 + 12_000

    @pytest.mark.parametrize("stopped", [False, True])
    async def test_a_clock_that_is_behind_is_not_believed(self, stopped: bool) -> None:
        left = await self._left_after(media_s=8, elapsed_s=8)
        alive_at = START + timedelta(seconds=8)
        if stopped:
            left = replace(left, stopped_at=alive_at)
        starts_ms = self._starts_ms(left, START - timedelta(days=300), alive_at)
        hole_ms = starts_ms - START_MS - 8_000 - TRACKS_APART_MS_MAX
        assert hole_ms == (0 if stopped else SIGN_OF_LIFE_INTERVAL / timedelta(milliseconds=1))

    async def test_a_record_of_an_earlier_version_says_when_the_broadcast_began(self) -> None:
        left = await self._left_after(media_s=8, elapsed_s=8)
        (stream,) = left.streams
        left = replace(left, streams=(replace(stream, timeline_from=None),))
        starts_ms = self._starts_ms(left, START + timedelta(seconds=12), alive_at=None)
        assert starts_ms == START_MS + 12_000 + TRACKS_APART_MS_MAX

    async def test_numbers_are_behind_the_last_sign_of_life_where_the_record_is_damaged(self) -> None:
        room = IngestRoom(start=START)
        room.registry.restore(RestartRecord(), START + timedelta(seconds=30))
        stream = await room.begin(Admission("key", "alice"), StandInPublisher())
        assert stream.next_numbering.msn > Numbering.at(START + timedelta(seconds=40)).msn

    async def _left_after(self, *, media_s: int, elapsed_s: float) -> RestartRecord:
        room = IngestRoom(start=START)
        stream = await room.begin(Admission("key", "alice"), StandInPublisher())
        stream.receive_tags(h264_aac(media_s))
        await eventually(lambda: not stream.when_open(lambda: None))
        room.clock.advance(elapsed_s)
        await room.registry.sweep()
        return room.registry.record()

    def _starts_ms(self, left: RestartRecord, now: datetime, alive_at: datetime | None) -> int:
        room = IngestRoom(start=now)
        room.registry.restore(left, alive_at)
        (stream,) = room.registry.live()
        continuation = stream._line.continuation
        assert continuation is not None
        # A line that has had no media leaves some room, too.
        return continuation.starts_ms - TRACKS_APART_MS_MAX


class Names:
    """Gives out the names of channels, as a cluster would."""

    def __init__(self) -> None:
        self.given: list[Names.Claim] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.is_taken = False

    class Claim:
        left = None
        numbers_until_s = 0

        def __init__(self, names: Names) -> None:
            self._names = names
            names.given.append(self)

        def release(self) -> None:
            if self in self._names.given:
                self._names.given.remove(self)

    async def ask(self, name: str, admission: Admission) -> Claim:
        await self.may_answer.wait()
        if self.is_taken:
            raise AlreadyPublishingError
        return self.Claim(self)


# An hour beyond what its clock says.
USED_S = Numbering.at(START).seconds + 3600


class Left:
    """A name under which another server has left a stream."""

    numbers_until_s = USED_S

    def __init__(self, left: StreamRecord | None) -> None:
        self.left = left
        self.is_released = False

    def release(self) -> None:
        self.is_released = True


class TestAnotherServersStream:
    async def test_it_goes_on_behind_the_numbers_that_were_used(self) -> None:
        elsewhere = IngestRoom(start=START)
        stream = await elsewhere.begin(Admission("key", "alice"), StandInPublisher())
        stream.receive_tags(h264_aac(8))
        await eventually(lambda: not stream.when_open(lambda: None))
        left = stream.record
        assert left is not None
        claim = Left(left)

        async def ask(name: str, admission: Admission) -> Left:
            return claim

        room = IngestRoom(start=START, ask_for_name=ask)
        publisher = StandInPublisher()
        found = await room.begin(Admission("key", "alice"), publisher)
        assert found.live_since == left.live_since
        assert found.broadcaster.publisher is publisher
        found.receive_tags(h264_aac(8))
        await eventually(lambda: not found.when_open(lambda: None))
        rendition = presentation_of(found).renditions["main"]
        assert rendition.timing == left.timing
        assert rendition.first_msn >= USED_S
        first, *_ = rendition.listed_segments
        assert first.is_discontinuous

    async def test_a_stream_that_begins_anew_is_behind_them_too(self) -> None:
        claim = Left(None)

        async def ask(name: str, admission: Admission) -> Left:
            return claim

        room = IngestRoom(start=START, ask_for_name=ask)
        stream = await room.begin(Admission("key", "alice"), StandInPublisher())
        assert stream.next_numbering.msn >= USED_S

    async def test_one_that_is_given_away_shows_no_end(self) -> None:
        room = IngestRoom(start=START)
        publisher = StandInPublisher()
        stream = await room.begin(Admission("key", "alice"), publisher)
        stream.receive_tags(h264_aac(4))
        await eventually(lambda: not stream.when_open(lambda: None))
        channel = room.registry.find_channel("alice")
        assert channel is not None
        waiters = channel.waiters
        assert room.registry.give_away("alice") is stream
        assert (room.registry.find("alice"), room.registry.find_channel("alice")) == (None, None)
        assert waiters.is_closed
        assert len(publisher.kicks) == 1
        assert stream.end_reason is EndReason.GIVEN_AWAY
        assert room.registry.give_away("alice") is None


class TestClaims:
    async def test_whoever_ends_a_stream_gives_its_name_back(self) -> None:
        names = Names()
        room = IngestRoom(ask_for_name=names.ask)
        stream = await room.begin(Admission("key", "alice"), IdlePublisher())
        assert len(names.given) == 1
        for _ in range(2):
            room.registry.end(stream, EndReason.GOODBYE)
        assert names.given == []

    async def test_who_does_not_begin_gives_it_back(self) -> None:
        names = Names()
        room = IngestRoom(ask_for_name=names.ask, streams_max=1)
        await room.begin(Admission("key", "alice"), IdlePublisher())
        room.keys.dead.add("dead")
        for admission in (Admission("key", "alice"), Admission("other", "bob"), Admission("dead", "carol")):
            with pytest.raises(PublishError):
                await room.begin(admission, IdlePublisher())
        assert len(names.given) == 1

    async def test_who_goes_on_has_one(self) -> None:
        names = Names()
        room = IngestRoom(ask_for_name=names.ask)
        record = StreamRecord("alice", "key", room.clock.now(), PlaylistTiming(2, 500), ("main",), (), 0)
        room.registry.restore(RestartRecord((record,)))
        for _ in range(3):
            publisher = IdlePublisher()
            stream = await room.begin(Admission("key", "alice"), publisher)
            assert len(names.given) == 1
            room.registry.leave(stream, publisher, EndReason.CONNECTION_LOST)
        room.clock.advance(60)
        await room.registry.sweep()
        assert names.given == []

    async def test_a_name_that_another_server_has_opens_nothing(self) -> None:
        names = Names()
        names.is_taken = True
        room = IngestRoom(ask_for_name=names.ask)
        with pytest.raises(AlreadyPublishingError):
            await room.begin(Admission("key", "alice"), IdlePublisher())
        assert not any(room.registry.live())

    async def test_a_key_that_dies_while_it_is_asked_for_opens_nothing(self) -> None:
        names = Names()
        names.may_answer.clear()
        room = IngestRoom(ask_for_name=names.ask)
        beginning = asyncio.create_task(room.begin(Admission("key", "alice"), IdlePublisher()))
        await asyncio.sleep(0)
        room.keys.dead.add("key")
        names.may_answer.set()
        with pytest.raises(KeyRejectedError):
            await beginning
        assert names.given == []
        assert not any(room.registry.live())


class TestChannels:
    async def test_doors_find_what_is_live_and_what_has_just_ended(self) -> None:
        room = IngestRoom()
        assert room.registry.find_channel("alice") is None
        stream = await room.begin(Admission("key", "alice"), StandInPublisher())
        stream.receive_tags(h264_aac(3))
        await eventually(lambda: stream.is_playable)
        channel = room.registry.find_channel("alice")
        assert channel is not None
        assert [each.name for each in room.registry.channels()] == ["alice"]
        assert channel is room.registry.find_channel("alice")
        room.registry.end(stream, EndReason.GOODBYE)
        assert room.registry.find_channel("alice") is channel
        assert [*room.registry.channels()] == []
        room.clock.advance(60)
        assert room.registry.find_channel("alice") is None

    async def test_the_next_stream_has_one_of_its_own(self) -> None:
        room = IngestRoom()
        first = await room.begin(Admission("key", "alice"), StandInPublisher())
        before = room.registry.find_channel("alice")
        room.registry.end(first, EndReason.GOODBYE)
        await room.begin(Admission("key", "alice"), StandInPublisher())
        assert room.registry.find_channel("alice") is not before


class TestOutputs:
    async def test_one_more_in_the_list_is_fed_like_the_others(self) -> None:
        made: list[RecordingOutput] = []

        def recording(context: OutputContext) -> RecordingOutput:
            made.append(RecordingOutput(context))
            return made[-1]

        room = IngestRoom(outputs=(*OUTPUTS, recording))
        stream = await room.begin(Admission("key", "alice"), StandInPublisher())
        stream.receive_tags(h264_aac(3))
        await eventually(lambda: stream.is_playable)
        (output,) = made
        assert output.context is not None
        assert (output.context.name, output.context.live_since) == ("alice", stream.live_since)
        presentation = presentation_of(stream)
        assert len(output.parts["main"]) + output.context.numbering.part_number == (
            presentation.renditions["main"].next_part_number
        )
        assert stream.outputs.viewers.keys() == {"hls", "flv", "mp4"}
        room.registry.end(stream, EndReason.GOODBYE)
        assert output.calls[-1] == "end"

    async def test_there_are_streams_without_playlists(self) -> None:
        room = IngestRoom(outputs=())
        stream = await room.begin(Admission("key", "alice"), StandInPublisher())
        stream.receive_tags(h264_aac(3))
        await eventually(lambda: stream.is_playable)
        await room.registry.sweep()
        channel = room.registry.find_channel("alice")
        assert channel is not None
        assert (channel.presentation, channel.fanout("flv"), channel.push_codecs) == (None, None, ())
        assert room.registry.record().streams == ()
        room.registry.end(stream, EndReason.GOODBYE)
        assert not any(room.registry.live())
