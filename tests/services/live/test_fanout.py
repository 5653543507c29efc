from __future__ import annotations

from dataclasses import replace

import pytest

from streamd.clock import ManualClock
from streamd.errors import LocalStateError
from streamd.formats.flv.tag import FlvReader, FlvTag, TagType
from streamd.media.packager.flv_writer import FlvWriter
from streamd.media.packager.fragmenter import Fragmenter
from streamd.media.packet import Sample, Track, TrackKind
from streamd.services.live.fanout import BUFFERED_BYTES_MIN, SET_ASIDE_S_MAX, Fanout
from streamd.services.live.gop_cache import GopLimits
from streamd.services.metrics import Metrics
from tests.support import samples

H264 = Track(1, TrackKind.VIDEO, "avc1.64001f", 90_000, b"avcC", width=640, height=360)
OTHER_H264 = Track(1, TrackKind.VIDEO, "avc1.64001f", 90_000, b"AVCC", width=1280, height=720)
AAC = Track(2, TrackKind.AUDIO, "mp4a.40.2", 48_000, b"\x11\x90", channels=2, frame_ticks=1024)
HEADERS = 3
"""Tags before the first frame: onMetaData and two sequence headers."""


def video(ms: int, *, key: bool = False, size: int = 10) -> FlvTag:
    return FlvTag(TagType.VIDEO, ms, (b"\x17" if key else b"\x27") + b"\x01\0\0\0" + bytes(size - 5))


def audio(ms: int) -> FlvTag:
    return FlvTag(TagType.AUDIO, ms, b"\xaf\x01 sound")


def gop(start_ms: int) -> list[FlvTag]:
    """A second of video at 25 frames a second and 20 Mb/s."""
    return [video(ms, key=ms == start_ms, size=100_000) for ms in range(start_ms, start_ms + 1000, 40)]


def timed(*units: Sample) -> list[Sample]:
    return [replace(unit, duration_ticks=1024) for unit in units]


class FakeViewer:
    """A socket that takes everything, or whatever a test says."""

    def __init__(self, *, takes_all: bool = True) -> None:
        self.takes_all = takes_all
        self.writes: list[bytes] = []
        self.waiting_bytes = 0
        self.is_closed = self.is_dropped = False

    def write(self, data: bytes, /) -> None:
        assert not self.is_closed
        self.writes.append(data)
        if not self.takes_all:
            self.waiting_bytes += len(data)

    def offer(self, data: bytes, buffered_bytes_max: int, /) -> int:
        waiting_bytes = self.waiting_bytes
        if waiting_bytes <= buffered_bytes_max:
            self.write(data)
        return waiting_bytes

    def buffered_bytes(self) -> int:
        return self.waiting_bytes

    def close(self) -> None:
        self.is_closed = True

    def drop(self) -> None:
        self.waiting_bytes = 0
        self.is_closed = self.is_dropped = True

    def drain(self) -> None:
        self.waiting_bytes = 0

    @property
    def tags(self) -> list[FlvTag]:
        """All that it got, headers included, read by a strict reader to the last byte."""
        data = b"".join(self.writes)
        tags = FlvReader().receive_data(data)
        assert sum(len(tag.payload) + 15 for tag in tags) + 13 == len(data)
        return tags

    @property
    def frames(self) -> list[FlvTag]:
        """What it got behind the headers with which it began."""
        return self.tags[HEADERS:]


class Room:
    """A fan-out of FLV with video and audio."""

    def __init__(self, tracks: tuple[Track, ...] = (H264, AAC), limits: GopLimits | None = None) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.fanout = Fanout("flv", clock=self.clock, metrics=self.metrics, limits=limits)
        self.fanout.start(FlvWriter(tracks))

    def send(self, *tags: FlvTag) -> None:
        """As one read each, as a publisher in real time does."""
        for tag in tags:
            self.fanout.receive([tag])

    def attach(self, *, takes_all: bool = True, is_preview: bool = False) -> FakeViewer:
        viewer = FakeViewer(takes_all=takes_all)
        self.fanout.attach(viewer, is_preview=is_preview)
        return viewer

    def sample(self, name: str, **labels: str) -> float:
        value = self.metrics.registry.get_sample_value(name, labels)
        assert value is not None
        return value


class TestPreviews:
    """An operator's look: sent what viewers are sent, and counted as none."""

    def test_they_see_what_viewers_see_and_are_not_counted(self) -> None:
        room = Room()
        room.send(video(0, key=True))
        looking, watching = room.attach(is_preview=True), room.attach()
        room.send(video(33))
        assert b"".join(looking.writes) == b"".join(watching.writes)
        assert (room.fanout.viewers, room.fanout.counted) == (2, 1)
        assert room.sample("streamd_viewers", protocol="flv") == 1
        for viewer in (looking, looking, watching):
            room.fanout.detach(viewer)
        assert (room.fanout.viewers, room.fanout.counted) == (0, 0)
        assert room.sample("streamd_viewers", protocol="flv") == 0

    def test_they_are_ended_alone(self) -> None:
        room = Room()
        room.send(video(0, key=True))
        looking, watching = room.attach(is_preview=True), room.attach()
        room.fanout.end_previews()
        room.send(video(33), video(66))
        assert len(looking.tags) < len(watching.tags)
        assert (room.fanout.viewers, room.fanout.counted) == (1, 1)

    def test_the_end_of_the_stream_leaves_no_count_behind(self) -> None:
        room = Room()
        room.send(video(0, key=True))
        room.attach(is_preview=True)
        room.fanout.close()
        assert (room.fanout.viewers, room.fanout.counted) == (0, 0)
        assert room.sample("streamd_viewers", protocol="flv") == 0


class TestStart:
    def test_byte_for_byte_headers_then_everything_since_the_last_keyframe(self) -> None:
        room = Room()
        gop = [video(2000, key=True), audio(2010), video(2033), audio(2031)]
        room.send(video(0, key=True), audio(5), *gop)
        viewer = room.attach()
        writer = FlvWriter((H264, AAC))
        assert b"".join(viewer.writes) == writer.head + writer.write(gop)

    def test_who_joins_in_the_same_gop_shares_its_bytes(self) -> None:
        room = Room()
        room.send(video(0, key=True), video(33))
        first, second = room.attach(), room.attach()
        assert [*map(id, first.writes)] == [*map(id, second.writes)]

    def test_live_follows_where_the_start_ends(self) -> None:
        room = Room()
        room.send(video(0, key=True), video(33))
        early = room.attach()
        room.send(audio(40), video(67))
        late = room.attach()
        room.send(video(100), video(2000, key=True), video(2033))
        times = [tag.timestamp_ms for tag in early.frames]
        assert times == [0, 33, 40, 67, 100, 2000, 2033]
        assert late.frames == early.frames
        # The same objects, but for how the GOP was cut when it was first needed.
        assert [*map(id, late.writes[-3:])] == [*map(id, early.writes[-3:])]

    def test_who_comes_before_the_first_keyframe_has_the_headers_and_waits_for_it(self) -> None:
        room = Room()
        room.send(audio(0))
        viewer = room.attach()
        room.send(audio(64), audio(128))
        assert viewer.frames == []
        room.send(video(150, key=True))
        assert [tag.timestamp_ms for tag in viewer.frames] == [150]

    def test_nobody_can_follow_what_has_not_begun_or_has_ended(self) -> None:
        fanout = Fanout("flv", clock=ManualClock(), metrics=Metrics())
        ended = Room().fanout
        ended.end()
        for closed in (fanout, ended):
            assert not closed.is_open
            with pytest.raises(LocalStateError):
                closed.attach(FakeViewer())

    def test_what_comes_before_the_tracks_or_after_the_end_is_nobodys(self) -> None:
        fanout = Fanout("flv", clock=ManualClock(), metrics=Metrics())
        fanout.receive([video(0, key=True)])
        room = Room()
        room.fanout.end()
        room.send(video(0, key=True))

    def test_audio_alone_starts_anywhere(self) -> None:
        room = Room((AAC,))
        room.send(*(audio(ms) for ms in range(0, 1000, 21)))
        viewer = room.attach()
        assert len(viewer.tags) <= 3  # The script tag, the sequence header, and what came in the last read.
        room.send(*(audio(ms) for ms in range(1000, 1200, 21)))
        assert len(viewer.tags) > 10


class TestMerging:
    def test_one_read_is_one_write(self) -> None:
        room = Room()
        room.send(video(0, key=True))
        viewer = room.attach()
        begun = len(viewer.writes)
        room.fanout.receive([audio(21), video(33), audio(43), video(67)])
        assert len(viewer.writes) == begun + 1

    @pytest.mark.parametrize(("frame_rate", "writes_a_second"), [(24, 24), (30, 30), (50, 25), (60, 30)])
    def test_a_second_of_video_with_audio_costs_few_writes(self, frame_rate: int, writes_a_second: int) -> None:
        room = Room()
        room.send(video(0, key=True))
        viewer = room.attach()
        begun = len(viewer.writes)
        frames = [video(index * 1000 // frame_rate) for index in range(1, 10 * frame_rate + 1)]
        sounds = [audio(index * 64 // 3) for index in range(10 * 47)]
        room.send(*sorted((*frames, *sounds), key=lambda tag: tag.timestamp_ms))
        assert len(viewer.writes) - begun == pytest.approx(10 * writes_a_second, rel=0.03)

    def test_audio_goes_out_without_video_when_video_pauses(self) -> None:
        room = Room()
        room.send(video(0, key=True), audio(0))
        viewer = room.attach()
        room.send(audio(21), audio(43), audio(64))
        assert [tag.timestamp_ms for tag in viewer.frames] == [0, 0, 21, 43, 64]

    @pytest.mark.parametrize("next_ms", [1000, 900, 5])
    def test_time_that_stands_or_steps_back_holds_nothing_up(self, next_ms: int) -> None:
        room = Room()
        room.send(video(1000, key=True))
        viewer = room.attach()
        room.send(video(next_ms))
        assert [tag.timestamp_ms for tag in viewer.frames] == [1000, next_ms]

    def test_a_keyframe_begins_a_write_of_its_own(self) -> None:
        room = Room()
        room.send(video(0, key=True))
        room.attach()
        room.fanout.receive([video(33), audio(40), video(67, key=True)])
        late = room.attach()
        assert late.frames == [video(67, key=True)]


class TestBound:
    @pytest.mark.parametrize("limits", [GopLimits(units_max=5), GopLimits(gop_bytes_max=50)])
    def test_a_gop_beyond_the_limits_is_not_kept(self, limits: GopLimits) -> None:
        room = Room(limits=limits)
        early = room.attach()
        room.send(video(0, key=True), *(video(ms) for ms in range(33, 1000, 33)))
        late = room.attach()
        room.send(video(1023))
        assert len(early.frames) == 32  # Whoever follows misses nothing.
        assert late.frames == []
        room.send(video(1056, key=True))
        assert late.frames == [video(1056, key=True)]

    def test_nothing_gathers_when_nobody_watches_and_no_keyframe_comes(self) -> None:
        room = Room(limits=GopLimits(units_max=5))
        room.send(video(0, key=True), *(video(ms) for ms in range(33, 1000, 33)))
        viewer = room.attach()
        assert viewer.frames == []

    def test_tags_whose_time_never_lets_them_go_are_written_at_the_limit(self) -> None:
        room = Room(limits=GopLimits(units_max=5))
        room.send(video(0, key=True))
        viewer = room.attach()
        room.send(*(video(1) for _ in range(10)))
        assert len(viewer.frames) >= 5


class TestSlowViewers:
    def test_one_that_reads_nothing_holds_a_bounded_backlog_and_is_closed(self) -> None:
        room = Room()
        slow, fast = room.attach(takes_all=False), room.attach()
        most = 0
        for second in range(30):
            room.send(video(second * 1000, key=True, size=100_000), video(second * 1000 + 500, size=100_000))
            room.clock.advance(1.0)
            most = max(most, slow.waiting_bytes)
        gop_bytes = 200_000
        assert most <= 2 * gop_bytes + 100_100 + BUFFERED_BYTES_MIN
        assert slow.is_closed
        assert len(fast.frames) == 60
        assert not fast.is_closed
        assert room.fanout.viewers == 1
        assert room.sample("streamd_push_skips_total", protocol="flv") == 1
        assert room.sample("streamd_push_viewers_too_slow_total", protocol="flv") == 1
        assert room.sample("streamd_viewers", protocol="flv") == 1

    def test_one_that_is_too_slow_is_sent_nothing_of_what_waits(self) -> None:
        room = Room()
        slow = room.attach(takes_all=False)
        for second in range(30):
            room.send(video(second * 1000, key=True, size=300_000))
            room.clock.advance(1.0)
        assert slow.is_dropped

    def test_one_that_catches_up_goes_on_with_the_next_keyframe(self) -> None:
        room = Room()
        viewer = room.attach(takes_all=False)
        room.send(*gop(0), *gop(1000), *gop(2000))
        seen = len(viewer.writes)
        assert viewer.frames[-1].timestamp_ms < 2967  # It was set aside.
        viewer.drain()
        viewer.takes_all = True
        room.send(video(3000), audio(3005))
        assert len(viewer.writes) == seen  # A frame without those before it is of no use.
        room.send(video(3033, key=True), video(3067))
        assert [tag.timestamp_ms for tag in viewer.frames[-2:]] == [3033, 3067]
        assert room.fanout.viewers == 1

    def test_one_that_has_not_caught_up_by_a_keyframe_waits_for_another(self) -> None:
        room = Room()
        viewer = room.attach(takes_all=False)
        room.send(*gop(0), *gop(1000), *gop(2000))
        seen = len(viewer.writes)
        room.send(*gop(3000))
        assert len(viewer.writes) == seen
        room.clock.advance(SET_ASIDE_S_MAX - 1)
        viewer.drain()
        room.send(video(4000, key=True))
        assert viewer.frames[-1].timestamp_ms == 4000
        assert not viewer.is_closed

    def test_the_start_of_a_large_gop_is_no_reason_to_be_set_aside(self) -> None:
        room = Room()
        room.send(video(0, key=True, size=5_000_000))
        viewer = room.attach(takes_all=False)
        room.send(video(33), video(67))
        assert [tag.timestamp_ms for tag in viewer.frames] == [0, 33, 67]

    def test_one_that_waits_for_a_keyframe_is_not_slow(self) -> None:
        room = Room()
        viewer = room.attach()
        room.clock.advance(SET_ASIDE_S_MAX + 1)
        room.send(audio(0), audio(100))
        assert not viewer.is_closed

    def test_bytes_are_counted_once_for_each_viewer(self) -> None:
        room = Room()
        viewers = [room.attach() for _ in range(3)]
        room.send(video(0, key=True), video(33))
        assert room.sample("streamd_http_egress_bytes_total") == sum(len(b"".join(each.writes)) for each in viewers)


class TestAccount:
    def test_the_gop_is_held_once_it_is_written(self) -> None:
        room = Room()
        room.send(*gop(0))
        # Payloads lie where they came.
        assert room.fanout.held_bytes < 25 * 1000
        viewer = room.attach()
        assert room.fanout.held_bytes == sum(len(data) for data in viewer.writes[1:]) > 2_500_000
        room.send(video(1000, key=True))
        assert room.fanout.held_bytes < 1000

    def test_what_a_slow_viewer_has_waiting_is_held(self) -> None:
        room = Room()
        room.send(*gop(0))
        slow = room.attach(takes_all=False)
        for start_ms in range(1000, 8000, 1000):
            room.send(*gop(start_ms))
        room.send(video(8000, key=True), video(8040))
        assert slow.waiting_bytes > 5_000_000
        assert slow.waiting_bytes <= room.fanout.held_bytes <= slow.waiting_bytes + 2000

    def test_what_many_have_waiting_is_held_once(self) -> None:
        room = Room()
        room.send(*gop(0))
        slow = [room.attach(takes_all=False) for _ in range(50)]
        room.send(*gop(1000))
        assert slow[0].waiting_bytes > 5_000_000
        assert room.fanout.held_bytes <= slow[0].waiting_bytes + 100_100
        for viewer in slow:
            viewer.drain()
        room.send(video(2000, key=True), video(2040))
        assert room.fanout.held_bytes < 2000

    def test_those_who_stopped_at_different_times_hold_what_was_sent_since(self) -> None:
        room = Room()
        room.send(*gop(0))
        slow = []
        for start_ms in range(1000, 7000, 1000):
            slow.append(room.attach(takes_all=False))
            room.send(*gop(start_ms))
        room.send(video(7000, key=True), video(7040))
        union = {id(data) for viewer in slow for data in viewer.writes[1:]}
        bytes_of = {id(data): len(data) for viewer in slow for data in viewer.writes}
        kept = sum(bytes_of[each] for each in union)
        assert kept <= room.fanout.held_bytes <= kept * 1.2


class TestLeaving:
    def test_who_leaves_gets_nothing_more(self) -> None:
        room = Room()
        room.send(video(0, key=True))
        viewer = room.attach()
        seen = len(viewer.writes)
        room.fanout.detach(viewer)
        room.send(video(33))
        assert len(viewer.writes) == seen
        assert room.fanout.viewers == 0
        assert room.sample("streamd_viewers", protocol="flv") == 0

    def test_leaving_again_or_without_having_come_changes_nothing(self) -> None:
        room = Room()
        viewer = room.attach()
        room.fanout.detach(viewer)
        room.fanout.detach(viewer)
        room.fanout.detach(FakeViewer())
        assert room.sample("streamd_viewers", protocol="flv") == 0

    def test_the_end_sends_what_is_left_and_closes_everyone(self) -> None:
        room = Room()
        room.send(video(0, key=True))
        viewers = [room.attach(), room.attach(takes_all=False)]
        room.send(audio(10))
        room.fanout.end()
        room.fanout.end()
        assert all(viewer.is_closed for viewer in viewers)
        assert viewers[0].frames[-1] == audio(10)
        assert room.sample("streamd_viewers", protocol="flv") == 0


class TestChangedTracks:
    def test_flv_viewers_get_the_new_headers_before_the_next_keyframe(self) -> None:
        room = Room()
        room.send(video(0, key=True))
        viewer, waiting = room.attach(), room.attach()
        room.send(audio(10))
        room.fanout.start(FlvWriter((OTHER_H264, AAC)))
        room.send(video(100, key=True))
        new_headers = FlvReader().receive_data(FlvWriter((OTHER_H264, AAC)).head)
        assert viewer.frames == [video(0, key=True), audio(10), *new_headers, video(100, key=True)]
        assert waiting.frames == viewer.frames
        assert not viewer.is_closed

    def test_the_same_tracks_again_are_no_change(self) -> None:
        room = Room()
        room.send(video(0, key=True))
        viewer = room.attach()
        room.fanout.start(FlvWriter((H264, AAC)))
        room.send(video(100, key=True))
        assert viewer.frames == [video(0, key=True), video(100, key=True)]

    def test_another_set_of_tracks_ends_flv_streams(self) -> None:
        room = Room((H264,))
        viewer = room.attach()
        room.fanout.start(FlvWriter((H264, AAC)))
        assert viewer.is_closed
        assert room.fanout.is_open

    def test_mp4_streams_end(self) -> None:
        fanout = Fanout("mp4", clock=ManualClock(), metrics=Metrics())
        fanout.start(Fragmenter([samples.VIDEO], b"moov"))
        fanout.receive(timed(samples.video_sample(0, is_keyframe=True)))
        viewer = FakeViewer()
        fanout.attach(viewer)
        fanout.start(Fragmenter([samples.VIDEO], b"moov"))
        assert viewer.is_closed

    def test_nothing_of_the_tracks_before_is_sent_to_who_joins_after(self) -> None:
        room = Room()
        room.send(video(0, key=True))
        room.fanout.start(FlvWriter((OTHER_H264, AAC)))
        assert room.attach().frames == []


class TestCut:
    """The publisher's timestamps leapt."""

    def test_streams_end_and_who_comes_again_begins_with_the_next_keyframe(self) -> None:
        room = Room()
        room.send(video(0, key=True))
        viewer = room.attach()
        room.send(audio(10))
        room.fanout.cut()
        assert viewer.frames == [video(0, key=True), audio(10)]
        assert viewer.is_closed
        again = room.attach()
        room.send(video(3_600_000), video(3_600_033, key=True))
        assert again.frames == [video(3_600_033, key=True)]

    def test_what_has_not_begun_or_has_ended_stays_so(self) -> None:
        room = Room()
        room.fanout.end()
        room.fanout.cut()
        assert not room.fanout.is_open


class TestMp4:
    def test_head_then_the_gop_as_one_fragment_then_a_fragment_for_each_frame(self) -> None:
        fanout = Fanout("mp4", clock=ManualClock(), metrics=Metrics())
        fanout.start(Fragmenter([samples.VIDEO, samples.AUDIO], b"moov"))
        fanout.receive(timed(samples.video_sample(0, is_keyframe=True), samples.audio_sample(0)))
        fanout.receive(timed(samples.video_sample(33), samples.audio_sample(1)))
        viewer = FakeViewer()
        fanout.attach(viewer)
        fanout.receive(timed(samples.video_sample(67), samples.audio_sample(2)))
        fanout.receive(timed(samples.video_sample(100), samples.audio_sample(3)))
        head, *fragments = viewer.writes
        assert head == b"moov"
        read = [samples.read_chunk(fragment) for fragment in fragments]
        assert [[len(own) for own in each.tracks.values()] for each in read] == [[2, 2], [1, 1], [1, 1]]
        assert [each.sequence_number for each in read] == [1, 2, 3]
