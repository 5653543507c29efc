from __future__ import annotations

import itertools
import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from streamd.errors import LocalStateError, MediaLimitError
from streamd.formats.codecs.picture_format import SampleAspect
from streamd.formats.payload import PayloadLog
from streamd.media.packager import window as module
from streamd.media.packager.cmaf_chunk import ChunkBytes, CmafChunk
from streamd.media.packager.named_bytes import BytesKind, NamedBytes
from streamd.media.packager.numbering import Numbering
from streamd.media.packager.presentation import Presentation
from streamd.media.packager.reload import PartNumber, Position
from streamd.media.packager.rendition import Rendition, RenditionOptions
from streamd.media.packager.timing import PlaylistTiming
from streamd.media.packager.window import LISTED_SEGMENTS_MAX
from streamd.media.packet import VIDEO_TIMESCALE, Track
from tests.support.chunk_feeder import AUDIO, EPOCH, HEADER, VIDEO, ChunkFeeder, feed, start_rendition
from tests.support.llhls_checker import PlaylistFollower

US = 1_000_000
# More of them are not kept (formats/memory_c.pxd).
KEPT_SLABS_MAX = 128


def joined(content: NamedBytes | None) -> bytes:
    assert content is not None
    return b"".join(content.buffers)


@dataclass
class Viewers:
    """Reads the playlist after each step as three kinds of viewers do, and fetches all that it lists."""

    rendition: Rendition
    full: PlaylistFollower = field(default_factory=PlaylistFollower)
    delta: PlaylistFollower = field(default_factory=PlaylistFollower)
    segments_only: PlaylistFollower = field(default_factory=PlaylistFollower)
    media_us: int = 0
    """Media time so far."""
    promised: dict[str, int] = field(default_factory=dict)
    """Media time until which each URI seen must be there."""

    def read(self, step: str) -> None:
        snapshot = self.rendition.playlist()
        text = snapshot.full.buffers[0]
        assert self.full.reload(text) == [], f"{step}\n{text.decode()}"
        first = self.delta.current is None
        delta = (snapshot.full if first else snapshot.delta()).buffers[0]
        assert self.delta.reload(delta) == [], f"{step}\n{delta.decode()}"
        assert self.full.current is not None
        assert self.delta.current is not None
        assert self.delta.current.listed == [
            replace(segment, parts=ours.parts)
            for segment, ours in zip(self.full.current.listed, self.delta.current.listed, strict=True)
        ]
        self.read_media()

    def read_media(self) -> None:
        """6.2.2: what was listed stays for its time after it has gone from the playlist."""
        playlist = self.full.current
        assert playlist is not None
        duration_us = int(playlist.duration * US)
        for segment in playlist.listed:
            for part in segment.parts:
                self.promised[part.uri] = self.media_us + 3 * playlist.target_duration * US
            if segment.uri is not None:
                self.promised[segment.uri] = self.media_us + duration_us + int(segment.duration * US)
            assert segment.map_uri is not None
            self.promised[segment.map_uri] = self.promised.get(segment.uri or "", self.media_us)
        for uri, until_us in self.promised.items():
            if until_us >= self.media_us:
                assert self.fetch(uri) is not None, f"{uri} is gone"
        self.promised = {uri: until for uri, until in self.promised.items() if until >= self.media_us}
        if (hint := playlist.hints.get("MAP")) is not None:
            assert self.fetch(hint) is not None

    def fetch(self, uri: str) -> NamedBytes | None:
        variant, _, file = uri.partition("/")
        assert variant == self.rendition.name
        stem, _, suffix = file.partition(".")
        kind = stem.rstrip("0123456789")
        number = int(stem.removeprefix(kind))
        look_up = {"init": self.rendition.init, "seg": self.rendition.segment, "part": self.rendition.part}
        assert suffix == ("mp4" if kind == "init" else "m4s")
        return look_up[kind](number)

    def add(self, chunk: CmafChunk, epoch: datetime | None = None) -> None:
        self.rendition.add(chunk, epoch)
        self.media_us += chunk.duration_ticks * US // chunk.timescale
        self.read(f"after part {self.rendition.next_part_number - 1}")


class TestLongStreams:
    """Every playlist of a stream is judged; every URI that it lists is fetched for as long as it must be there."""

    @pytest.mark.parametrize("low_latency", [True, False])
    def test_two_second_keyframes(self, low_latency: bool) -> None:
        viewers = Viewers(start_rendition(options=RenditionOptions(low_latency=low_latency)))
        feeder = ChunkFeeder()
        for _ in range(40):
            for chunk in feeder.segment(180_000):
                if low_latency or viewers.rendition.edge().last_msn >= 1000:
                    viewers.add(chunk)
                else:
                    viewers.rendition.add(chunk)
        viewers.rendition.end()
        viewers.read("end")

    def test_obs_defaults_with_scene_cuts(self) -> None:
        # A keyframe every 250 frames at 30 fps, and at scene cuts; parts of 15 frames.
        dice = random.Random(20)
        viewers = Viewers(start_rendition(target_duration_s=10))
        feeder = ChunkFeeder()
        for _ in range(40):
            frames = dice.choice([250, 250, dice.randint(60, 250), dice.randint(60, 90)])
            for chunk in feeder.segment(frames * 3000):
                viewers.add(chunk)
        viewers.rendition.end()
        viewers.read("end")

    def test_a_group_of_pictures_longer_than_the_target_is_cut_without_a_keyframe(self) -> None:
        viewers = Viewers(start_rendition(target_duration_s=4))
        feeder = ChunkFeeder()
        for index in range(30):
            for chunk in feeder.segment(4 * 90_000, starts_with_keyframe=index % 3 == 0):
                viewers.add(chunk)

    def test_audio_alone(self) -> None:
        # 23 frames of 1024 samples at 48 kHz are 490.7 ms; 94 are a segment of 2.005 s.
        viewers = Viewers(start_rendition(tracks=[AUDIO]))
        feeder = ChunkFeeder(part_ticks=23 * 1024, timescale=48_000)
        for _ in range(40):
            for chunk in feeder.segment(94 * 1024):
                viewers.add(replace(chunk, is_independent=True))

    def test_early_keyframes_leave_short_last_parts(self) -> None:
        dice = random.Random(21)
        viewers = Viewers(start_rendition())
        feeder = ChunkFeeder(part_ticks=45_000)
        for _ in range(60):
            for chunk in feeder.segment(dice.randint(60, 74) * 3000):
                viewers.add(chunk)

    def test_frames_of_1001_ticks(self) -> None:
        viewers = Viewers(start_rendition())
        feeder = ChunkFeeder(part_ticks=14 * 3003)
        for _ in range(30):
            for chunk in feeder.segment(60 * 3003):
                viewers.add(chunk)

    def test_discontinuities_and_new_headers(self) -> None:
        dice = random.Random(22)
        viewers = Viewers(start_rendition())
        feeder = ChunkFeeder()
        for index in range(60):
            is_discontinuous = index % 5 == 4
            epoch = None
            if is_discontinuous:
                feeder.position = dice.choice([0, feeder.position + 10**6])
                epoch = EPOCH + timedelta(seconds=2 * index + dice.randint(-30, 30))
            if index % 10 == 4:
                viewers.rendition.set_header(HEADER + b"%d" % index, [VIDEO])
                viewers.read("new header")
            for chunk in feeder.segment(dice.randint(15, 66) * 3000, is_discontinuous=is_discontinuous):
                viewers.add(chunk, epoch)
        viewers.rendition.end()
        viewers.read("end")

    def test_segments_whose_end_is_known_with_their_last_part(self) -> None:
        viewers = Viewers(start_rendition())
        feeder = ChunkFeeder()
        for _ in range(20):
            for chunk in feeder.segment(180_000):
                viewers.add(chunk)
            viewers.rendition.end_segment()
            viewers.read("segment ended")

    def test_one_that_rests_reports_on_those_that_go_on(self) -> None:
        main, rests = start_rendition(name="main"), start_rendition(name="audio0")
        Presentation((main,), resting=(rests,))
        for chunk in ChunkFeeder().segment(180_000):
            main.add(chunk)
            edge = main.edge()
            report = f'URI="main.m3u8",LAST-MSN={edge.last_msn + 1},LAST-PART={edge.open_parts - 1}'
            assert report in rests.playlist().full.buffers[0].decode()
            assert b"audio0" not in main.playlist().full.buffers[0]

    def test_rendition_reports_follow_the_other_rendition(self) -> None:
        high, low = start_rendition(name="high"), start_rendition(name="low")
        high.set_siblings([low])
        low.set_siblings([high])
        first, second = ChunkFeeder(), ChunkFeeder()
        follower = PlaylistFollower()
        for _ in range(10):
            for one, two in zip(first.segment(180_000), second.segment(180_000), strict=True):
                high.add(one)
                low.add(two)
                text = high.playlist().full.buffers[0]
                assert follower.reload(text) == []
                edge = low.edge()
                report = f'URI="low.m3u8",LAST-MSN={edge.last_msn + 1},LAST-PART={edge.open_parts - 1}\n'
                assert text.decode().endswith(report)


class TestWindow:
    """rfc8216bis 6.2.2."""

    def listed(self, rendition: Rendition) -> list[float]:
        return [segment.duration_us / US for segment in rendition.playlist().playlist.segments]

    def test_the_playlist_begins_with_the_first_number(self) -> None:
        rendition = start_rendition()
        feed(rendition, ChunkFeeder(), [2, 2])
        playlist = rendition.playlist().playlist
        assert playlist.media_sequence == rendition.first_msn == 1000
        assert playlist.segments[0].uri == "main/seg1000.m4s"
        assert playlist.open_segment is not None
        assert playlist.open_segment.parts[0].uri == "main/part10004.m4s"
        assert playlist.preload_part_uri == "main/part10008.m4s"

    def test_seven_segments_are_listed(self) -> None:
        rendition = start_rendition()
        feed(rendition, ChunkFeeder(), [2] * 20)
        assert self.listed(rendition) == [2] * 7
        assert rendition.playlist().playlist.media_sequence == 1000 + 19 - 7

    def test_short_segments_are_listed_until_they_make_three_target_durations(self) -> None:
        rendition = start_rendition(target_duration_s=10)
        feed(rendition, ChunkFeeder(), [1] * 50)
        assert self.listed(rendition) == [1] * 30

    def test_long_segments_are_listed_seven_deep(self) -> None:
        rendition = start_rendition(target_duration_s=10)
        feed(rendition, ChunkFeeder(), [8] * 20)
        assert self.listed(rendition) == [8] * 7

    def test_parts_are_listed_in_the_last_three_segments(self) -> None:
        rendition = start_rendition()
        feed(rendition, ChunkFeeder(), [2] * 10)
        segments = rendition.playlist().playlist.segments
        assert [len(segment.parts) for segment in segments] == [0, 0, 0, 0, 0, 4, 4]

    def test_an_encoder_that_never_settles_cannot_make_the_playlist_endless(self) -> None:
        rendition = start_rendition(target_duration_s=10)
        feed(rendition, ChunkFeeder(), [0.033] * (LISTED_SEGMENTS_MAX + 50))
        assert len(rendition.playlist().playlist.segments) == LISTED_SEGMENTS_MAX

    def test_media_held_is_bounded_in_bytes(self) -> None:
        rendition = start_rendition(options=RenditionOptions(window_bytes_max=140_000))
        feeder = ChunkFeeder(payload_bytes=5000)
        follower = PlaylistFollower()
        for _ in range(30):
            feed(rendition, feeder, [2])
            assert rendition.held_bytes <= 140_000
            text = rendition.playlist().full.buffers[0]
            assert [fault for fault in follower.reload(text) if not fault.startswith("6.2.2: a live")] == []
        assert len(rendition.playlist().playlist.segments) == 5
        assert rendition.segment(1000) is None
        assert rendition.part(10_000) is None

    def test_a_segment_that_is_open_takes_the_room_of_older_ones(self) -> None:
        rendition = start_rendition(options=RenditionOptions(window_bytes_max=140_000))
        feeder = ChunkFeeder(payload_bytes=5000)
        feed(rendition, feeder, [2] * 20)
        lost = rendition.segments_lost
        for chunk in feeder.segment(10 * feeder.timescale):
            rendition.add(chunk)
        assert rendition.held_bytes <= 140_000
        assert rendition.segments_lost > lost

    def test_a_segment_whose_media_time_stands_still_has_an_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "OPEN_SEGMENT_BYTES_MAX", 100_000)
        rendition = start_rendition(options=RenditionOptions(window_bytes_max=50_000))
        feeder = ChunkFeeder(payload_bytes=5000, part_ticks=1)
        *chunks, last = itertools.islice(feeder.segment(1000), 100_000 // 5512 + 1)
        for chunk in chunks:
            rendition.add(chunk)
        with pytest.raises(MediaLimitError) as caught:
            rendition.add(last)
        assert caught.value.limit == "window_bytes_max"

    def test_what_is_held_is_what_it_takes(self) -> None:
        rendition = start_rendition()
        log = PayloadLog()
        message = bytes(30)
        # Slabs of other tests, which are kept and were there before.
        others = [PayloadLog().append(message, 0, 30, 128) for _ in range(KEPT_SLABS_MAX)]
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for number in range(50):
                # Small frames, as many as would make a part dear.
                payloads = [log.append(message, 0, 30, 128) for _ in range(1000)]
                content = ChunkBytes(bytes(bytearray(16_000)), payloads, [5] * 1000, 25_000)
                rendition.add(CmafChunk(content, 45_000 * number, 45_000, 90_000, True, number == 0, False))
            taken = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert 0.8 * taken < rendition.held_bytes < 1.5 * taken
        assert len(others) == KEPT_SLABS_MAX

    def test_headers_count_as_media(self) -> None:
        rendition = start_rendition()
        feeder = ChunkFeeder()
        feed(rendition, feeder, [2])
        before = rendition.held_bytes
        track = replace(VIDEO, codec_config=bytes(1000))
        rendition.set_header(bytes(2000), [track])
        assert rendition.held_bytes == before + 3000
        rendition.set_header(bytes(2001), [track])
        assert rendition.held_bytes == before + 3001, "nothing was played with the one before"
        feed(rendition, feeder, [2] * 40)
        rendition.set_header(HEADER, [VIDEO])
        feed(rendition, feeder, [2] * 40)
        assert [rendition.init(number) is not None for number in (1000, 1001, 1002, 1041)] == [False] * 3 + [True]
        assert rendition.held_bytes <= (7 + 9 + 1 + 1) * 4 * (100 + 512) + len(HEADER)

    def test_large_headers_push_old_media_out(self) -> None:
        rendition = start_rendition(options=RenditionOptions(window_bytes_max=300_000))
        feeder = ChunkFeeder()
        for number in range(100):
            rendition.set_header(b"%06d" % number + bytes(60_000), [VIDEO])
            feed(rendition, feeder, [2])
            assert rendition.held_bytes <= 300_000 + 70_000
        assert sum(rendition.init(number) is not None for number in range(1000, 1200)) <= 6

    def test_media_is_held_once(self) -> None:
        rendition = start_rendition()
        feeder = ChunkFeeder()
        feed(rendition, feeder, [2, 2])
        segment, part = rendition.segment(1000), rendition.part(10_001)
        assert segment is not None
        assert part is not None
        assert part.buffers[0] is feeder.chunks[1].content.join()
        assert segment.buffers[1] is feeder.chunks[1].content.join()
        assert joined(segment) == b"".join(chunk.content.join() for chunk in feeder.chunks[:4])

    def test_a_part_is_put_together_when_it_is_asked_for(self) -> None:
        rendition = start_rendition()
        for chunk in ChunkFeeder().segment(2 * VIDEO_TIMESCALE):
            rendition.add(replace(chunk, content=ChunkBytes(b"moof", [b"-frame", b"s"], [1, 0], 6)))
        rendition.end_segment()
        part, segment = rendition.part(10_003), rendition.segment(1000)
        assert part is not None
        assert segment is not None
        assert (part.size_bytes, segment.size_bytes) == (10, 40)
        assert part.buffers == (b"moofframes",)
        assert segment.buffers == 4 * part.buffers
        assert segment.buffers[3] is part.buffers[0]

    def test_what_is_asked_for_twice_is_one_object(self) -> None:
        # By it a door knows what it has made ready to send.
        rendition = start_rendition()
        feeder = ChunkFeeder()
        feed(rendition, feeder, [2, 2])
        names = [(rendition.segment, 1000), (rendition.part, 10_001), (rendition.part, 10_007)]
        first = [find(number) for find, number in names]
        feed(rendition, feeder, [2] * 7)
        assert None not in first
        assert [find(number) for find, number in names] == first
        assert [content and content.name for content in first] == ["seg1000", "part10001", "part10007"]

    def test_what_was_asked_for_is_forgotten_with_the_rest(self) -> None:
        rendition = start_rendition()
        feeder = ChunkFeeder()
        feed(rendition, feeder, [2, 2])
        assert rendition.segment(1000) is not None
        assert rendition.part(10_000) is not None
        feed(rendition, feeder, [2] * 20)
        assert rendition.segment(1000) is None
        assert rendition.part(10_000) is None

    @pytest.mark.parametrize("number", [-1, 0, 9_999, 10_008, 10**30])
    def test_there_is_no_part_of_another_number(self, number: int) -> None:
        rendition = start_rendition()
        assert rendition.part(number) is None
        feed(rendition, ChunkFeeder(), [2, 2])
        assert rendition.part(10_007) is not None
        assert rendition.part(number) is None

    @pytest.mark.parametrize("msn", [-1, 0, 999, 1001, 1002, 10**30])
    def test_there_is_no_segment_of_another_number(self, msn: int) -> None:
        rendition = start_rendition()
        assert rendition.segment(msn) is None
        feed(rendition, ChunkFeeder(), [2, 2])
        assert rendition.segment(1000) is not None
        assert rendition.segment(msn) is None

    def test_a_part_has_a_picture_where_the_header_of_its_segment_has(self) -> None:
        rendition = start_rendition(tracks=[AUDIO])
        feeder = ChunkFeeder()
        feed(rendition, feeder, [2])
        rendition.set_header(b"other", [VIDEO, AUDIO])
        feed(rendition, feeder, [2])
        contents = rendition.segment(1000), rendition.part(10_000), rendition.part(10_004)
        assert [content and content.has_video for content in contents] == [False] * 2 + [True]

    def test_nothing_is_kept_for_longer_than_asked(self) -> None:
        rendition = start_rendition()
        feed(rendition, ChunkFeeder(), [2] * 500)
        # Seven in the playlist, and for each that left it its own duration and a playlist of 16 s.
        assert rendition.held_bytes <= (7 + 9 + 1 + 1) * 4 * (100 + 512) + len(HEADER)
        held = [msn for msn in range(1000, 1600) if rendition.segment(msn) is not None]
        assert len(held) <= 7 + 9 + 1
        parts = [number for number in range(10_000, 13_000) if rendition.part(number) is not None]
        assert len(parts) == 4 * len(held) + 4

    def test_a_plain_rendition_offers_no_parts(self) -> None:
        rendition = start_rendition(options=RenditionOptions(low_latency=False))
        feed(rendition, ChunkFeeder(), [2, 2])
        assert rendition.part(10_000) is None
        assert rendition.segment(1000) is not None
        assert rendition.edge().part_target_ms is None
        before = rendition.playlist()
        feeder = ChunkFeeder(position=360_000)
        chunks = list(feeder.segment(180_000))
        rendition.add(chunks[0])
        assert rendition.playlist() is not before  # the segment before it is complete
        before = rendition.playlist()
        rendition.add(chunks[1])
        assert rendition.playlist() is before


class TestHeaders:
    """rfc8216bis 4.4.4.5."""

    def test_the_same_header_again_changes_nothing(self) -> None:
        rendition = start_rendition()
        feed(rendition, ChunkFeeder(), [2, 2])
        before = rendition.playlist()
        rendition.set_header(bytes(HEADER), [VIDEO, AUDIO])
        assert rendition.playlist() is before

    def test_a_new_header_is_hinted_and_makes_a_discontinuity(self) -> None:
        rendition = start_rendition()
        feeder = ChunkFeeder()
        feed(rendition, feeder, [2, 2])
        rendition.set_header(b"other", [VIDEO])
        assert rendition.playlist().playlist.preload_map_uri == "main/init1002.mp4"
        assert joined(rendition.init(1002)) == b"other"
        feed(rendition, feeder, [2])
        playlist = rendition.playlist().playlist
        assert playlist.preload_map_uri is None
        assert playlist.open_segment is not None
        assert playlist.open_segment.map_uri == "main/init1002.mp4"
        assert playlist.open_segment.is_discontinuous
        assert joined(rendition.init(1000)) == HEADER

    def test_a_header_is_forgotten_with_its_last_segment(self) -> None:
        rendition = start_rendition()
        feeder = ChunkFeeder()
        feed(rendition, feeder, [2, 2])
        rendition.set_header(b"other", [VIDEO])
        feed(rendition, feeder, [2] * 30)
        assert rendition.init(1000) is None
        assert joined(rendition.init(1002)) == b"other"

    def test_headers_that_no_segment_used_are_not_collected(self) -> None:
        rendition = start_rendition()
        for index in range(1000):
            rendition.set_header(b"%d" % index, [VIDEO])
        assert sum(rendition.init(number) is not None for number in range(1000, 3000)) == 1

    @pytest.mark.parametrize(("tracks", "has_video"), [([VIDEO, AUDIO], True), ([AUDIO], False)])
    def test_all_media_tells_whether_there_is_video(self, tracks: list[Track], has_video: bool) -> None:
        rendition = start_rendition(tracks=tracks)
        feed(rendition, ChunkFeeder(), [2, 2])
        contents = rendition.init(1000), rendition.segment(1000), rendition.part(10_000)
        assert [content and content.has_video for content in contents] == [has_video] * 3
        assert [content and content.kind for content in contents] == [BytesKind.INIT, BytesKind.SEGMENT, BytesKind.PART]


class TestDates:
    """rfc8216bis 4.4.4.6."""

    def dates(self, rendition: Rendition) -> list[float]:
        playlist = rendition.playlist().playlist
        listed = [*playlist.segments, *([playlist.open_segment] if playlist.open_segment else [])]
        return [segment.program_date_time_ms / 1000 - EPOCH.timestamp() for segment in listed]

    def test_dates_run_with_the_media_from_tick_0(self) -> None:
        rendition = start_rendition()
        feed(rendition, ChunkFeeder(position=90_000), [2, 1.5, 2])
        assert self.dates(rendition) == [1, 3, 4.5]

    @pytest.mark.parametrize(
        ("epoch_s", "start_s", "date"),
        [
            (100, 0, 100),  # a new publisher begins at 0 again
            (100, 5, 105),
            (1, 0, 4),  # dates never go back
            (None, 50, 50),  # the same timeline jumps ahead
            (None, 0, 4),  # and back
        ],
    )
    def test_a_discontinuity_tells_its_date(self, epoch_s: int | None, start_s: int, date: float) -> None:
        rendition = start_rendition()
        feeder = ChunkFeeder()
        feed(rendition, feeder, [2, 2])
        feeder.position = start_s * 90_000
        epoch = None if epoch_s is None else EPOCH + timedelta(seconds=epoch_s)
        for chunk in feeder.segment(180_000, is_discontinuous=True):
            rendition.add(chunk, epoch)
        feed(rendition, feeder, [2])
        assert self.dates(rendition) == [0, 2, date, date + 2]


class TestNextNumbering:
    """No count ever goes back."""

    @pytest.mark.parametrize("ends", [True, False])
    def test_what_follows_begins_after_all_that_was(self, ends: bool) -> None:
        rendition = start_rendition()
        feeder = ChunkFeeder()
        feed(rendition, feeder, [2, 2])
        for chunk in feeder.segment(180_000, is_discontinuous=True):
            rendition.add(chunk)
        if ends:
            rendition.end()
        assert rendition.next_numbering() == Numbering(msn=1003, part_number=10_012, discontinuity_sequence=9)

    def test_a_hinted_header_keeps_its_name(self) -> None:
        rendition = start_rendition()
        feed(rendition, ChunkFeeder(), [2])
        for index in range(3):
            rendition.set_header(b"%d" % index, [VIDEO])
        assert rendition.init(1003) is not None
        assert rendition.next_numbering().msn == 1004


class TestWaiting:
    def test_what_is_waited_for_is_reached_with_its_part(self) -> None:
        rendition = start_rendition()
        chunks: Iterator[CmafChunk] = ChunkFeeder().segment(180_000)
        for awaited in (Position(1000, 0), PartNumber(10_000)):
            assert not rendition.has_reached(awaited)
        rendition.add(next(chunks))
        for awaited in (Position(1000, 0), PartNumber(10_000)):
            assert rendition.has_reached(awaited)
        assert not rendition.has_reached(PartNumber(10_001))
        assert not rendition.has_reached(Position(1000))

    def test_the_end_is_an_answer_to_every_wait(self) -> None:
        rendition = start_rendition()
        rendition.end()
        assert rendition.has_reached(Position(10**9))
        assert rendition.has_reached(PartNumber(10**9))


class TestOutOfTurn:
    def test_a_part_needs_a_header(self) -> None:
        rendition = Rendition("main", PlaylistTiming(2, 500), RenditionOptions(), Numbering(0, 0, 0), EPOCH)
        with pytest.raises(LocalStateError):
            rendition.add(next(ChunkFeeder().segment(180_000)))

    def test_a_part_needs_its_segment(self) -> None:
        chunk = replace(next(ChunkFeeder().segment(180_000)), starts_segment=False)
        with pytest.raises(LocalStateError):
            start_rendition().add(chunk)

    def test_nothing_follows_the_end(self) -> None:
        rendition = start_rendition()
        rendition.end()
        rendition.end()
        assert rendition.is_ended
        with pytest.raises(LocalStateError):
            rendition.add(next(ChunkFeeder().segment(180_000)))
        with pytest.raises(LocalStateError):
            rendition.set_header(b"other", [VIDEO])

    def test_ending_no_segment_changes_nothing(self) -> None:
        rendition = start_rendition()
        before = rendition.playlist()
        rendition.end_segment()
        assert rendition.playlist() is before


class TestPlaylist:
    def test_it_is_rendered_once_for_all_who_read_it(self) -> None:
        rendition = start_rendition()
        feed(rendition, ChunkFeeder(), [2] * 12)
        snapshot = rendition.playlist()
        assert rendition.playlist() is snapshot
        assert snapshot.delta() is snapshot.delta()
        feed(rendition, ChunkFeeder(position=12 * 180_000), [0.5])
        assert rendition.playlist() is not snapshot


class TestVariantStream:
    """rfc8216bis 4.4.6.2."""

    def test_before_the_first_segment_nothing_is_known(self) -> None:
        rendition = start_rendition()
        assert rendition.variant_stream() is None
        feed(rendition, ChunkFeeder(), [2])
        assert rendition.variant_stream() is None

    def test_it_tells_what_was_measured_and_what_the_tracks_are(self) -> None:
        rendition = start_rendition()
        feeder = ChunkFeeder(payload_bytes=1000)
        feed(rendition, feeder, [2, 2])
        feeder.payload_bytes = 2000
        feed(rendition, feeder, [2])
        feeder.payload_bytes = 1000
        feed(rendition, feeder, [2, 2])
        stream = rendition.variant_stream()
        assert stream is not None
        assert (stream.bandwidth, stream.average_bandwidth) == (32_000, 20_000)
        assert stream.codecs == ("avc1.640028", "mp4a.40.2")
        assert (stream.width, stream.height, stream.frame_rate_millihertz) == (1280, 720, 29_970)

    @pytest.mark.parametrize(
        ("hint", "millihertz"),
        [
            (30.0, 30_000),
            (23.976, 23_976),
            (0.0, 0),
            (-30.0, 0),
            (float("nan"), 0),
            (float("inf"), 0),
            (1e300, 0),
        ],
    )
    def test_an_absurd_frame_rate_is_left_out(self, hint: float, millihertz: int) -> None:
        rendition = start_rendition(tracks=[replace(VIDEO, frame_rate_hint=hint)])
        feed(rendition, ChunkFeeder(), [2, 2])
        stream = rendition.variant_stream()
        assert stream is not None
        assert stream.frame_rate_millihertz == millihertz

    def test_resolution_is_that_at_which_the_picture_is_shown(self) -> None:
        """rfc8216bis, 4.4.6.2, RESOLUTION."""
        rendition = start_rendition(tracks=[replace(VIDEO, width=1440, height=1080, aspect=SampleAspect(4, 3))])
        feed(rendition, ChunkFeeder(), [2, 2])
        stream = rendition.variant_stream()
        assert stream is not None
        assert (stream.width, stream.height) == (1920, 1080)

    def test_audio_alone_has_no_picture(self) -> None:
        rendition = start_rendition(tracks=[AUDIO])
        feed(rendition, ChunkFeeder(), [2, 2])
        stream = rendition.variant_stream()
        assert stream is not None
        assert (stream.width, stream.height, stream.codecs) == (0, 0, ("mp4a.40.2",))
