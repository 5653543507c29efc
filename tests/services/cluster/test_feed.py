from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.clock import ManualClock
from streamd.errors import FeedError
from streamd.formats.feed import Body, End, FeedReader, Hello, Part, Ping, Record, SegmentEnd, State, encode
from streamd.media.packager.reload import PartNumber
from streamd.media.packager.rendition import RenditionOptions
from streamd.media.packager.timing import PlaylistTiming
from streamd.services.cluster import feed as feed_module
from streamd.services.cluster.feed import FeedOutput
from streamd.services.cluster.remote_channel import RemoteChannel
from streamd.services.live.hls_output import HlsOutput
from streamd.services.live.outputs import Outputs
from streamd.services.live.waiters import Awaited, WaiterBudget
from streamd.services.metrics import Metrics
from tests.support.chunk_feeder import ChunkFeeder
from tests.support.output_context import output_context, tracks_of

TIMING = PlaylistTiming(2, 500)
NAMES = ("main", "video1", "audio0")


class Wire:
    """A follower whose records go through bytes to a channel at another node."""

    def __init__(self, channel: RemoteChannel, epoch: int = 7) -> None:
        self.channel = channel
        self.reader = FeedReader(channel.name, channel.epoch)
        self.queued_bytes = 0
        self.is_closed = False
        self.records: list[Record] = []
        self.take(Hello(channel.name, "a", epoch))

    def take(self, record: Record) -> None:
        assert not self.is_closed
        self.records.append(record)
        for read in self.reader.receive(encode(record)):
            self.channel.take(read)

    def close(self) -> None:
        self.is_closed = True


class Owner:
    """The playlists of a stream, with its feed."""

    def __init__(self, *names: str, options: RenditionOptions | None = None) -> None:
        self.clock = ManualClock()
        self.outputs = Outputs("anna")
        context = output_context(clock=self.clock, metrics=Metrics(), rendition=options)
        for maker in (HlsOutput, FeedOutput):
            self.outputs.make(maker, context)
        found, feed = self.outputs.find(HlsOutput), self.outputs.find(FeedOutput)
        assert found is not None
        assert feed is not None
        self.hls, self.feed = found, feed
        self.feed.attach(self.outputs)
        self.feeders: dict[str, ChunkFeeder] = {}
        self.names: tuple[str, ...] = ()
        self.start(*names or ("main",))

    def start(self, *names: str, header: bytes = b"header") -> None:
        self.names = names
        self.outputs.start(tracks_of(*names, header=header))

    def add_segment(self, *, ticks: int = 180_000, is_discontinuous: bool = False, ends: bool = False) -> None:
        for name in self.names:
            feeder = self.feeders.setdefault(name, ChunkFeeder())
            for chunk in feeder.segment(ticks, is_discontinuous=is_discontinuous):
                self.outputs.take_part(name, chunk, TIMING)
            if ends:
                self.outputs.end_segment(name)


def remote(clock: ManualClock | None = None) -> RemoteChannel:
    return RemoteChannel(
        "anna",
        datetime(2026, 1, 1, tzinfo=UTC),
        clock=clock or ManualClock(),
        metrics=Metrics(),
        budget=WaiterBudget(100),
        window_bytes_max=64 * 1024 * 1024,
    )


def shown(channel: RemoteChannel | HlsOutput) -> dict[str, object]:
    """All that a viewer can fetch of a channel's playlists."""
    presentation = channel.presentation
    if presentation is None:
        return {}
    multivariant = presentation.multivariant_playlist()
    found: dict[str, object] = {
        "index": multivariant.buffers if multivariant is not None else None,
        "names": presentation.names(),
    }
    for name, rendition in presentation.renditions.items():
        found[name] = rendition.playlist().full.buffers
        for segment in rendition.listed_segments:
            named = rendition.segment(segment.msn)
            assert named is not None
            found[f"{name}/seg{segment.msn}"] = b"".join(named.buffers)
            header = rendition.init(segment.header.number)
            assert header is not None
            found[f"{name}/init{segment.header.number}"] = header.buffers
        open_segment = rendition.open_segment
        for segment in (*rendition.listed_segments, *((open_segment,) if open_segment is not None else ())):
            for number in range(segment.first_part_number, segment.first_part_number + len(segment.chunks)):
                part = rendition.part(number)
                found[f"{name}/part{number}"] = part.buffers if part is not None else None
        found[f"{name} ends"] = rendition.is_ended
    return found


class TestSameBytes:
    def test_a_follower_from_the_start_shows_what_the_owner_shows(self) -> None:
        owner, channel = Owner(), remote()
        owner.feed.follow(Wire(channel), 0)
        for _ in range(12):
            owner.add_segment()
            assert shown(channel) == shown(owner.hls) != {}

    def test_one_that_comes_later_has_all_that_is_listed(self) -> None:
        owner, channel = Owner("main", "video1", "audio0"), remote()
        for _ in range(12):
            owner.add_segment()
        owner.feed.follow(Wire(channel), 0)
        assert shown(channel) == shown(owner.hls)
        assert channel.live_since.year == 2026

    def test_bytes_that_are_held_are_not_sent_again(self) -> None:
        owner, channel = Owner(), remote()
        for _ in range(4):
            owner.add_segment()
        leave = owner.feed.follow(Wire(channel), 0)
        leave()
        leave()
        owner.add_segment()
        again = Wire(channel)
        owner.feed.follow(again, channel.next_part)
        assert shown(channel) == shown(owner.hls)
        bodies = [record for record in again.records if isinstance(record, Body)]
        assert 0 < len(bodies) <= 4

    def test_more_followers_have_the_same(self) -> None:
        owner, first, second = Owner(), remote(), remote()
        owner.feed.follow(Wire(first), 0)
        owner.add_segment()
        owner.feed.follow(Wire(second), 0)
        owner.start("main", header=b"other")
        owner.add_segment()
        assert owner.feed.followers == 2
        assert shown(first) == shown(second) == shown(owner.hls)

    def test_a_follower_that_comes_back_takes_again_what_a_rendition_that_rests_makes_the_owner_send(self) -> None:
        owner, channel = Owner(), remote()
        owner.start("main", "audio0")
        owner.add_segment()
        owner.start("main")
        leave = owner.feed.follow(Wire(channel), channel.next_part)
        owner.add_segment()
        leave()
        owner.add_segment(ticks=45_000)
        owner.feed.follow(Wire(channel), channel.next_part)
        assert shown(channel) == shown(owner.hls)

    @given(st.data())
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_whatever_happens_to_a_stream(self, data: st.DataObject) -> None:
        owner, channel = Owner(), remote()
        wire: Wire | None = None
        leave = None
        for _ in range(data.draw(st.integers(1, 14))):
            act = data.draw(
                st.sampled_from(["segment", "end", "leap", "tracks", "header", "captions", "cut", "follow"])
            )
            if act == "segment":
                owner.add_segment(ticks=data.draw(st.sampled_from([45_000, 180_000, 200_000])))
            elif act == "end":
                owner.add_segment(ends=True)
            elif act == "leap":
                owner.outputs.note_leap(
                    datetime(2026, 1, 2, tzinfo=UTC) + timedelta(hours=data.draw(st.integers(0, 9)))
                )
                owner.add_segment(is_discontinuous=True)
            elif act == "tracks":
                names = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
                if names == ["audio0"]:
                    names = ["main"]
                owner.start(*sorted(names, key=NAMES.index))
                owner.add_segment()
            elif act == "header":
                owner.start(*owner.names, header=data.draw(st.sampled_from([b"one", b"two"])))
                owner.add_segment()
            elif act == "captions":
                owner.outputs.note_captions(frozenset(["CC1"]))
                owner.add_segment()
            elif act == "cut" and leave is not None:
                leave()
                channel.lose_owner()
                wire = leave = None
            elif act == "follow" and wire is None:
                wire = Wire(channel)
                leave = owner.feed.follow(wire, channel.next_part)
            if wire is not None and not owner.feed._is_stale:
                assert shown(channel) == shown(owner.hls)
        if wire is not None:
            owner.add_segment()
            assert shown(channel) == shown(owner.hls)
            owner.outputs.end()
            assert not channel.is_live
            assert shown(channel) == shown(owner.hls)


class TestOwner:
    def test_the_end_is_told(self) -> None:
        owner, channel = Owner(), remote()
        wire = Wire(channel)
        owner.feed.follow(wire, 0)
        owner.add_segment()
        owner.outputs.end()
        assert isinstance(wire.records[-1], End)
        assert wire.is_closed
        late = remote()
        owner.feed.follow(Wire(late), 0)
        assert not late.is_live
        assert shown(late) == shown(owner.hls)

    def test_a_stream_that_is_given_away_ends_without_a_word(self) -> None:
        owner, channel = Owner(), remote()
        wire = Wire(channel)
        owner.feed.follow(wire, 0)
        owner.add_segment()
        owner.feed.give_away()
        owner.outputs.end()
        assert wire.is_closed
        assert channel.is_live

    def test_a_server_that_stops_closes_its_followers(self) -> None:
        owner, channel = Owner(), remote()
        wire = Wire(channel)
        owner.feed.follow(wire, 0)
        owner.outputs.dismiss_viewers()
        assert wire.is_closed
        assert owner.feed.followers == 0
        owner.outputs.release()
        owner.feed.take_part("main", next(ChunkFeeder().segment(180_000).__iter__()), TIMING)

    def test_a_follower_that_takes_nothing_is_let_go(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feed_module, "FOLLOWER_BYTES_MAX", 10)
        owner, channel = Owner(), remote()
        owner.add_segment()
        wire = Wire(channel)
        owner.feed.follow(wire, 0)
        wire.queued_bytes = 11
        owner.add_segment()
        assert wire.is_closed
        assert owner.feed.followers == 0
        assert not owner.feed.is_full


@pytest.mark.asyncio
class TestRemoteChannel:
    async def test_requests_wait_and_wake(self) -> None:
        owner, channel = Owner(), remote()
        woken: list[str] = []
        opening = Awaited("", PartNumber(0))
        channel.waiters.subscribe(opening, lambda _: woken.append("open"))
        owner.feed.follow(Wire(channel), 0)
        await asyncio.sleep(0)
        assert woken == []
        owner.add_segment()
        await asyncio.sleep(0)
        assert woken == ["open"]
        channel.waiters.subscribe(Awaited("main", PartNumber(channel.next_part)), lambda _: woken.append("part"))
        owner.add_segment()
        await asyncio.sleep(0)
        assert woken == ["open", "part"]

    async def test_an_owner_that_is_gone_leaves_requests_waiting(self) -> None:
        owner, channel = Owner(), remote()
        owner.feed.follow(Wire(channel), 0)
        owner.add_segment()
        woken: list[str] = []
        channel.waiters.subscribe(Awaited("main", PartNumber(channel.next_part)), lambda _: woken.append("part"))
        channel.lose_owner()
        await asyncio.sleep(0)
        assert not woken
        assert channel.media_at == float("-inf")
        assert channel.is_live
        channel.end()
        channel.end()
        await asyncio.sleep(0)
        assert woken == ["part"]
        presentation = channel.presentation
        assert presentation is not None
        assert b"ENDLIST" in presentation.renditions["main"].playlist().full.buffers[0]
        assert channel.forget_at < float("inf")

    async def test_viewers_are_counted(self) -> None:
        clock = ManualClock()
        channel = remote(clock)
        channel.note_viewer("203.0.113.7", "a")
        assert dict(channel.viewers) == {"hls": 1}
        channel.note_viewer("203.0.113.8", "a")
        channel.look()
        assert dict(channel.viewers) == {"hls": 2}
        clock.advance(1000)
        channel.look()
        assert dict(channel.viewers) == {"hls": 0}
        assert (channel.fanout("flv"), channel.push_codecs) == (None, ())

    async def test_what_was_released_holds_nothing(self) -> None:
        owner, channel = Owner(), remote()
        owner.feed.follow(Wire(channel), 0)
        owner.add_segment()
        assert channel.held_bytes > 0
        channel.release()
        assert (channel.held_bytes, channel.presentation, channel.waiters.is_closed) == (0, None, True)


class TestLies:
    """What an owner sends that it should not."""

    def lied(self, *records: Record, segments: int = 3) -> str:
        owner, channel = Owner(), remote()
        wire = Wire(channel)
        owner.feed.follow(wire, 0)
        for _ in range(segments):
            owner.add_segment()
        before = shown(channel)
        for record in records[:-1]:
            channel.take(record)
        with pytest.raises(FeedError) as caught:
            channel.take(records[-1])
        # A viewer is shown nothing of it.
        assert channel.presentation is None or before.keys() <= shown(channel).keys() | before.keys()
        return str(caught.value)

    def part(self, **changes: object) -> Part:
        values: dict[str, object] = {
            "rendition": 0,
            "number": 1,
            "start_ticks": 0,
            "duration_ticks": 45_000,
            "timescale": 90_000,
            "is_independent": True,
            "starts_segment": True,
            "is_discontinuous": False,
            "msn": 1,
            "program_date_time_ms": 0,
            "content": b"x",
        }
        return Part(**{**values, **changes})  # type: ignore[arg-type]

    def test_an_epoch_that_runs_back(self) -> None:
        assert "has been heard" in self.lied(Hello("anna", "b", 6))

    def test_a_part_that_does_not_follow(self) -> None:
        assert "does not follow" in self.lied(self.part())
        assert "nothing was said of" in self.lied(self.part(rendition=3))

    def test_a_segment_that_does_not_follow(self) -> None:
        assert "does not follow" in self.lied(SegmentEnd(0, 1))

    def test_bytes_that_nobody_spoke_of(self) -> None:
        assert "nothing was said of" in self.lied(Body(0, 1, b"x"))

    def test_a_state_that_is_none(self) -> None:
        assert "cannot be read" in self.lied(State(b"{}"))
        assert "cannot be read" in self.lied(State(b"[" * 100_000))

    def test_numbers_that_run_back(self) -> None:
        owner, channel = Owner(), remote()
        owner.feed.follow(Wire(channel), 0)
        for _ in range(3):
            owner.add_segment()
        earlier = Owner()
        earlier.add_segment()
        with pytest.raises(FeedError, match="run back"):
            earlier.feed.follow(Wire(channel, 8), 0)

    def test_media_behind_the_end(self) -> None:
        owner, channel = Owner(), remote()
        owner.feed.follow(Wire(channel), 0)
        owner.add_segment()
        channel.end()
        with pytest.raises(FeedError):
            channel.take(self.part())

    def test_a_word_of_life_is_no_lie(self) -> None:
        remote().take(Ping())
