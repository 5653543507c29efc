"""The media line with its real demuxer, and a sink that remembers what came out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import pytest

from streamd.clock import ManualClock
from streamd.errors import DemuxError, MediaLimitError, TrackRefusedError
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media.demux import DemuxerKind, open_demuxer
from streamd.media.demux_native import NativeDemuxer
from streamd.media.demux_pyav import PyavDemuxer
from streamd.media.packager.segmenter import SegmenterOptions
from streamd.media.probe import Probe
from streamd.media.timeline import START_MS, Repair
from streamd.services.live import media_line
from streamd.services.live.media_line import (
    DEMUXER_FAILURES_MAX,
    HELD_BYTES_MAX,
    LEAP_INTERVAL_MS,
    LEAPS_AT_ONCE_MAX,
    OPENINGS_AT_ONCE_MAX,
    PARTS_AT_ONCE_MAX,
    QUEUED_TAGS_AT_ONCE,
    SHARES_AT_ONCE_MAX,
    SILENT_FRAMES_PER_S,
    STRETCH_TAGS,
    MediaLine,
)
from streamd.services.live.meter import StreamMeter
from streamd.services.metrics import Metrics
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.flv_media import aac_only, h264_aac, h264_only
from tests.support.ingest import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from streamd.media.demux import Demuxer
    from streamd.media.intake.actions import Open
    from streamd.media.packager.chunk import CmafChunk, PlaylistTiming
    from streamd.media.packager.ladder import Variant
    from streamd.media.packet import MediaPacket, Sample

pytestmark = pytest.mark.asyncio

HOUR_MS = 3_600_000


@dataclass
class Room:
    """A line, and all that it gave to its sink."""

    clock: ManualClock = field(default_factory=ManualClock)
    metrics: Metrics = field(default_factory=Metrics)
    meter: StreamMeter = field(default_factory=StreamMeter)
    chunks: dict[str, list[CmafChunk]] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    """How many chunks there were of each rendition when its newest segment was said to be complete."""
    epochs: list[datetime] = field(default_factory=list)
    leaps: int = 0
    error: Exception | None = None
    probing: asyncio.Semaphore | None = None
    tags: list[FlvTag] = field(default_factory=list)
    """All that went on, in order."""
    batches: list[int] = field(default_factory=list)
    """How many of them at a time."""
    demuxer: DemuxerKind | None = None
    """None: as ``any_demuxer`` has it."""
    warnings: list[str] = field(default_factory=list)
    charged: list[float] = field(default_factory=list)
    """Processor time, seconds."""
    tag_s: float = 0.0
    """What each that goes on costs."""

    any_demuxer: ClassVar[DemuxerKind] = DemuxerKind.PYAV

    def __post_init__(self) -> None:
        self.line = MediaLine(
            self,
            options=SegmenterOptions(),
            clock=self.clock,
            metrics=self.metrics,
            meter=self.meter,
            probing=self.probing,
            demuxer=self.demuxer or self.any_demuxer,
        )

    def start_tracks(self, variants: Sequence[Variant], direct: Variant, epoch: datetime) -> None:
        for variant in variants:
            self.chunks.setdefault(variant.name, [])
        self.epochs.append(epoch)

    def note_leap(self, epoch: datetime) -> None:
        self.leaps += 1
        self.epochs.append(epoch)

    def add_chunk(self, name: str, chunk: CmafChunk, timing: PlaylistTiming) -> None:
        self.chunks[name].append(chunk)

    def end_segment(self, name: str) -> None:
        self.ended[name] = len(self.chunks[name])

    def add_tags(self, tags: Sequence[FlvTag]) -> None:
        self.tags += tags
        self.batches.append(len(tags))
        self.clock.work(self.tag_s * len(tags))

    def add_samples(self, samples: Sequence[Sample]) -> None: ...

    def warn(self, reason: str, detail: str) -> None:
        self.warnings.append(reason)

    def charge(self, step_s: float) -> None:
        self.charged.append(step_s)

    def fail(self, error: Exception) -> None:
        self.error = error

    async def receive(self, tags: Sequence[FlvTag]) -> None:
        """Give the line tags, the first of which open its demuxer."""
        self.line.receive(tags)
        await eventually(lambda: self.chunks or self.error)
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing is being opened, and nothing queues."""
        await eventually(lambda: not self.line.when_open(lambda: None))

    def repaired(self, repair: Repair) -> float:
        value = self.metrics.registry.get_sample_value("streamd_timestamps_repaired_total", {"reason": repair.value})
        return value or 0.0

    @property
    def is_open(self) -> bool:
        """Whether no demuxer is being opened."""
        return not self.line.when_open(lambda: None)

    def counted(self, name: str, kind: DemuxerKind) -> float:
        return self.metrics.registry.get_sample_value(name, {"demuxer": kind.value}) or 0.0


@pytest.fixture(autouse=True, params=list(DemuxerKind), ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> DemuxerKind:
    """Every line is looked at with every demuxer."""
    found: DemuxerKind = request.param
    monkeypatch.setattr(Room, "any_demuxer", found)
    return found


def later(tags: Iterable[FlvTag], by_ms: int) -> list[FlvTag]:
    return [replace(tag, timestamp_ms=tag.timestamp_ms + by_ms) for tag in tags]


def discontinuities(chunks: Sequence[CmafChunk]) -> list[CmafChunk]:
    return [chunk for chunk in chunks if chunk.is_discontinuous]


def assert_is_continuous(chunks: Sequence[CmafChunk]) -> None:
    """Every chunk starts where the one before it ended, but for sound that went beyond the picture at a leap."""
    end_ticks = chunks[0].start_ticks
    for chunk in chunks:
        if chunk.is_discontinuous:
            assert abs(chunk.start_ticks - end_ticks) <= chunk.timescale // 10
        else:
            assert chunk.start_ticks == end_ticks
        end_ticks = chunk.start_ticks + chunk.duration_ticks


async def test_lines_probe_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Open] = []

    class NotedProbe(Probe):
        def __init__(self, opening: Open) -> None:
            begun.append(opening)
            super().__init__(opening)

    monkeypatch.setattr(media_line, "Probe", NotedProbe)
    probing = asyncio.Semaphore()
    rooms = [Room(probing=probing) for _ in range(2)]
    await probing.acquire()
    for room in rooms:
        room.line.receive(h264_aac(seconds=1))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not begun
    probing.release()
    await eventually(lambda: all(room.epochs for room in rooms))
    assert len(begun) == 2
    assert not probing.locked()


class FailingDemuxer:
    """A demuxer that fails with its ``fails_at``-th batch; ``made`` has all there were."""

    made: ClassVar[list[FailingDemuxer]] = []

    def __init__(self, demuxer: Demuxer, fails_at: int | None) -> None:
        self._demuxer = demuxer
        self.fails_at = fails_at
        self.batches = 0
        self.is_closed = False
        self.made.append(self)

    def demux(self, tags: Sequence[FlvTag]) -> list[MediaPacket]:
        assert not self.is_closed
        self.batches += 1
        if self.batches == self.fails_at:
            raise DemuxError("lost step")
        return self._demuxer.demux(tags)

    def close(self) -> None:
        self.is_closed = True
        self._demuxer.close()


def let_fail(monkeypatch: pytest.MonkeyPatch, *fails_at: int | None) -> list[FailingDemuxer]:
    """Have each demuxer that is opened fail at one of its batches, the last one's standing for all that follow."""
    made: list[FailingDemuxer] = []
    monkeypatch.setattr(FailingDemuxer, "made", made)

    def opened(kind: DemuxerKind, opening: Open) -> FailingDemuxer:
        return FailingDemuxer(open_demuxer(kind, opening), fails_at[min(len(made), len(fails_at) - 1)])

    monkeypatch.setattr(media_line, "open_demuxer", opened)
    return made


class TestDemuxer:
    async def test_the_one_that_is_opened_is_counted(self, kind: DemuxerKind) -> None:
        room = Room()
        await room.receive(h264_aac())
        assert {each: room.counted("streamd_demuxers_opened_total", each) for each in DemuxerKind} == {
            each: each is kind for each in DemuxerKind
        }
        assert isinstance(room.line._demuxer, PyavDemuxer if kind is DemuxerKind.PYAV else NativeDemuxer)
        room.line.finish()

    async def test_all_packets_are_packaged_whatever_the_batches(self) -> None:
        media = h264_aac(seconds=4)
        rooms = [Room(), Room()]
        for room, size in zip(rooms, (1, 500), strict=True):
            await room.receive(media[:40])
            for start in range(40, len(media), size):
                room.line.receive(media[start : start + size])
            room.line.finish()
        first, second = (room.chunks["main"] for room in rooms)
        assert b"".join(chunk.content.join() for chunk in first) == b"".join(chunk.content.join() for chunk in second)

    async def test_one_that_fails_is_opened_anew_at_the_next_keyframe(
        self, monkeypatch: pytest.MonkeyPatch, kind: DemuxerKind
    ) -> None:
        made = let_fail(monkeypatch, 3, None)
        room = Room()
        media = h264_aac(seconds=8, gop=30)
        await room.receive(media[:200])
        for start in range(200, len(media), 10):
            room.line.receive(media[start : start + 10])
            await eventually(lambda: room.is_open)
        room.line.finish()
        chunks = room.chunks["main"]
        (first,) = discontinuities(chunks)
        assert first.is_independent
        # What was lost is the rest of a group of pictures.
        duration_s = sum(chunk.duration_ticks / chunk.timescale for chunk in chunks)
        assert 8 - 1.5 < duration_s < 8
        assert [demuxer.is_closed for demuxer in made] == [True, True]
        assert room.counted("streamd_demuxer_failures_total", kind) == 1
        assert room.warnings == ["demuxer_failed"]
        assert room.error is None

    async def test_one_that_fails_with_its_first_frames_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = let_fail(monkeypatch, 1, None)
        room = Room()
        room.line.receive(h264_aac(seconds=4))
        await eventually(lambda: len(made) == 2 and room.is_open)
        room.line.finish()
        assert room.chunks["main"]
        assert room.warnings == ["demuxer_failed"]
        assert room.error is None

    async def test_stream_ends_where_it_fails_and_fails(
        self, monkeypatch: pytest.MonkeyPatch, kind: DemuxerKind
    ) -> None:
        made = let_fail(monkeypatch, 2)
        room = Room()
        media = h264_aac(seconds=8, gop=10)

        async def broadcast() -> None:
            for start in range(0, len(media), 5):
                room.line.receive(media[start : start + 5])
                await eventually(lambda: room.is_open)
                if room.error is not None:
                    raise room.error

        with pytest.raises(DemuxError, match=rf"has failed {DEMUXER_FAILURES_MAX + 1} times, at last: lost step"):
            await broadcast()
        assert len(made) == DEMUXER_FAILURES_MAX + 1
        assert all(demuxer.is_closed for demuxer in made)
        assert room.counted("streamd_demuxer_failures_total", kind) == DEMUXER_FAILURES_MAX + 1
        room.line.finish()

    async def test_one_that_fails_before_other_tracks_is_not_missed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = let_fail(monkeypatch, None)
        room = Room()
        await room.receive(h264_aac(seconds=2))
        await eventually(lambda: room.is_open)
        made[0].fails_at = made[0].batches + 1
        wider = later(h264_only(seconds=2, width=320), 2000)
        # The sound of the first read is the last batch of the old demuxer.
        room.line.receive([*later(h264_aac(seconds=1)[2:8], 2000), *wider])
        await eventually(lambda: room.is_open and len(made) == 2)
        room.line.receive(later(wider[1:], 2000))
        room.line.finish()
        assert made[0].batches == made[0].fails_at
        assert made[1].batches
        assert room.warnings == ["demuxer_failed"]
        assert room.error is None

    async def test_it_is_closed_with_the_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = let_fail(monkeypatch, None)
        room = Room()
        await room.receive(h264_aac())
        room.line.finish()
        assert [demuxer.is_closed for demuxer in made] == [True]

    async def test_it_is_closed_where_other_tracks_come(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = let_fail(monkeypatch, None)
        room = Room()
        await room.receive(h264_aac(seconds=2))
        room.line.receive(later(h264_only(seconds=2, width=320), 2000))
        await eventually(lambda: len(made) == 2 and room.is_open)
        assert [demuxer.is_closed for demuxer in made] == [True, False]
        room.line.finish()


class TestLeap:
    @pytest.mark.parametrize("leap_ms", [HOUR_MS, 10 * HOUR_MS, -HOUR_MS, 2**31, -(2**31), 2**32 - 5000])
    async def test_a_leap_is_a_discontinuity_with_the_keyframe_that_follows(self, leap_ms: int) -> None:
        room = Room()
        media = h264_aac(seconds=4)
        await room.receive(media)
        room.line.receive(later(media[2:], 4000 + leap_ms))
        room.line.finish()
        chunks = room.chunks["main"]
        (first,) = discontinuities(chunks)
        assert first.starts_segment
        assert first.is_independent
        assert first.start_ticks == pytest.approx((START_MS + 4000) * 90, abs=100 * 90)
        assert_is_continuous(chunks)
        assert room.leaps == 1
        assert room.repaired(Repair.JUMP) == 1
        assert room.error is None

    async def test_a_leap_between_keyframes_is_a_discontinuity_at_the_next_one(self) -> None:
        room = Room()
        media = h264_aac(seconds=6)
        await room.receive(media[:200])
        middle = next(i for i, tag in enumerate(media) if tag.timestamp_ms > 3400)
        room.line.receive(media[200:middle])
        room.line.receive(later(media[middle:], HOUR_MS))
        room.line.finish()
        (first,) = discontinuities(room.chunks["main"])
        assert first.is_independent
        assert first.start_ticks == pytest.approx((START_MS + 4000) * 90, abs=150 * 90)
        assert_is_continuous(room.chunks["main"])

    async def test_sound_alone_goes_on_at_once(self) -> None:
        room = Room()
        media = aac_only(seconds=4)
        await room.receive(media)
        room.line.receive(later(media[1:], HOUR_MS))
        room.line.finish()
        (first,) = discontinuities(room.chunks["main"])
        assert first.start_ticks == pytest.approx((START_MS + 4000) * 48, abs=50 * 48)

    async def test_all_renditions_have_the_same_discontinuities(self) -> None:
        room = Room()
        media = encoded(
            (VideoTrack(), VideoTrack("libx264", 160, 96, keyframe_interval=60)), (AudioTrack(), AudioTrack("aac", 880))
        )
        await room.receive(media)
        for turn in range(1, 4):
            room.line.receive(later(media[4:], turn * HOUR_MS))
        room.line.finish()
        assert {name: len(discontinuities(chunks)) for name, chunks in room.chunks.items()} == dict.fromkeys(
            ("main", "video1", "audio0", "audio1"), 3
        )

    async def test_a_leap_before_anything_is_listed_is_none(self) -> None:
        room = Room()
        # Keyframes so far apart that the first of them is waited for.
        media = h264_aac(seconds=6, gop=100)
        await room.receive([*media[:8], *later(media[8:], HOUR_MS)])
        room.line.finish()
        assert discontinuities(room.chunks["main"]) == []
        assert room.leaps == 0
        assert room.repaired(Repair.JUMP) == 1

    async def test_time_that_leaps_and_leaps_has_a_discontinuity_a_second(self) -> None:
        room = Room()
        media = h264_aac(seconds=8, gop=3)
        await room.receive(media[:100])
        room.line.receive(
            [replace(tag, timestamp_ms=tag.timestamp_ms + index % 7 * HOUR_MS) for index, tag in enumerate(media[100:])]
        )
        room.line.finish()
        cuts = [chunk.start_ticks // 90 for chunk in discontinuities(room.chunks["main"])]
        assert cuts
        assert all(b - a >= LEAP_INTERVAL_MS - 100 for a, b in pairwise(cuts))
        assert room.error is None

    async def test_what_follows_is_dated_by_its_arrival(self) -> None:
        room = Room()
        media = h264_aac(seconds=4)
        await room.receive(media)
        before = room.epochs[-1]
        # Nothing came for a minute, which the timeline closes up.
        room.clock.advance(60)
        room.line.receive(later(media[2:], 60_000))
        (after,) = room.epochs[1:]
        assert (after - before).total_seconds() == pytest.approx(60 - 4, abs=0.1)


class TestSegmentEnd:
    @pytest.mark.parametrize("media", [h264_aac(seconds=4, gop=60), aac_only(seconds=4)], ids=["video", "audio"])
    async def test_it_is_told_as_soon_as_it_is_known(self, media: tuple[FlvTag, ...]) -> None:
        room = Room()
        await room.receive(media[:60])
        ended: list[int] = []
        for tag in media[60:]:
            room.line.receive([tag])
            ended.append(room.ended.get("main", 0))
        room.line.finish()
        chunks = room.chunks["main"]
        starts = [index for index, chunk in enumerate(chunks) if chunk.starts_segment]
        # Each when it had all its chunks, and the next one had none.
        assert sorted(set(ended) - {0}) == starts[1:]


async def test_repairs_are_counted_while_the_stream_is_live() -> None:
    room = Room()
    media = h264_aac(seconds=4)
    await room.receive(media)
    room.line.receive(later(media[2:], HOUR_MS))
    assert room.repaired(Repair.JUMP) == 0
    for _ in range(2):
        room.line.read()
        assert room.repaired(Repair.JUMP) == 1
    room.line.finish()
    assert room.repaired(Repair.JUMP) == 1
    assert room.line.repairs == {Repair.JUMP.value: 1}


AVC_HEADER = FlvTag(
    TagType.VIDEO, 0, b"\x17\x00\x00\x00\x00" + bytes.fromhex("0142c01fffe1000b6742c01fd900780227e54001000568cb83cb20")
)


def another_header(number: int) -> FlvTag:
    """Good, and different from all others in what stands behind its parameter sets."""
    return replace(AVC_HEADER, payload=bytes(AVC_HEADER.payload) + number.to_bytes(4, "big"))


def picture(timestamp_ms: int, *, is_key: bool = False, size: int = 30) -> FlvTag:
    return FlvTag(TagType.VIDEO, timestamp_ms, (b"\x17" if is_key else b"\x27") + b"\x01\x00\x00\x00" + bytes(size))


def video_only(room: Room) -> None:
    room.line.receive_metadata({"hasVideo": True, "hasAudio": False})


def limit_of(error: Exception | None) -> str:
    assert isinstance(error, MediaLimitError)
    return error.limit


class TestQueue:
    """What comes while libavformat is asked about new tracks."""

    async def test_the_order_is_kept_whatever_opens_in_the_middle(self) -> None:
        room = Room()
        video_only(room)
        changes = {251: another_header(1), 401: another_header(2), 701: another_header(3)}
        media = [AVC_HEADER, *(picture(20 * n, is_key=n % 50 == 0) for n in range(1000))]
        sent = [tag for n, tag in enumerate(media) for tag in ((changes[n], tag) if n in changes else (tag,))]
        room.line.receive(sent[:600])
        room.line.receive(sent[600:800])
        room.line.receive(sent[800:])
        await eventually(lambda: len(room.epochs) == 4 and room.tags[-1] == sent[-1])
        assert [tag.timestamp_ms for tag in room.tags] == [20 * n for n in range(1000)]

    async def test_it_is_taken_so_that_the_others_have_their_turn(self) -> None:
        room = Room(probing=asyncio.Semaphore())
        assert room.probing is not None
        await room.probing.acquire()
        video_only(room)
        room.line.receive([AVC_HEADER, picture(0, is_key=True)])
        room.line.receive([picture(n + 1) for n in range(4000)])
        taken: list[int] = []

        async def look_on() -> None:
            while len(room.tags) < 4001:
                taken.append(len(room.tags))
                await asyncio.sleep(0)

        room.probing.release()
        await look_on()
        steps = [b - a for a, b in pairwise([*taken, 4001])]
        assert max(steps) <= QUEUED_TAGS_AT_ONCE + 1
        room.line.receive([picture(5000)])
        assert room.tags[-1] == picture(5000), "nothing queues any more"

    async def test_what_an_opening_and_its_queue_cost_is_charged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class DearProbe(Probe):
            def __init__(self, opening: Open) -> None:
                room.clock.work(0.5)
                super().__init__(opening)

        monkeypatch.setattr("streamd.services.live.media_line.Probe", DearProbe)
        room = Room(tag_s=0.001)
        video_only(room)
        room.line.receive([AVC_HEADER, picture(0, is_key=True)])
        room.line.receive([picture(n + 1) for n in range(999)])
        await room.settled()
        assert len(room.tags) == 1000
        assert sum(room.charged) == pytest.approx(0.5 + 1.0)
        assert max(room.charged[1:]) <= QUEUED_TAGS_AT_ONCE * 0.001 + 1e-6
        # What a read brings later is its owner's to count.
        room.line.receive([picture(5000)])
        assert sum(room.charged) == pytest.approx(0.5 + 1.0)

    async def test_an_opening_that_fails_is_charged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class BrokenProbe:
            def __init__(self, opening: Open) -> None:
                room.clock.work(0.5)
                raise DemuxError("it is not media")

        monkeypatch.setattr("streamd.services.live.media_line.Probe", BrokenProbe)
        room = Room()
        video_only(room)
        room.line.receive([AVC_HEADER, picture(0, is_key=True)])
        await eventually(lambda: room.error)
        assert sum(room.charged) == pytest.approx(0.5)

    async def test_tags_without_number_are_too_many(self) -> None:
        room = Room()
        video_only(room)
        room.line.receive([AVC_HEADER, picture(0, is_key=True)])
        for _ in range(39):
            room.line.receive([picture(1, size=1)] * 1000)
        with pytest.raises(DemuxError, match="while the tracks were probed"):
            room.line.receive([picture(1, size=1)] * 2000)
        assert room.line.held_bytes < 1.1 * HELD_BYTES_MAX


class TestOpenings:
    async def test_tracks_that_change_all_the_time_are_left_out_after_a_while(self) -> None:
        room = Room()
        video_only(room)
        for number in range(60):
            media = [another_header(number), *(picture(2000 * number + 20 * n, is_key=n == 0) for n in range(100))]
            for start in range(0, len(media), 20):
                room.line.receive(media[start : start + 20])
                await room.settled()
        assert len(room.epochs) == OPENINGS_AT_ONCE_MAX
        assert room.error is None
        room.clock.advance(5)
        room.line.receive([another_header(99), *(picture(200_000 + n, is_key=n % 50 == 40) for n in range(60))])
        await eventually(lambda: len(room.epochs) == OPENINGS_AT_ONCE_MAX + 1)

    async def test_a_stream_of_which_no_track_is_fit_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class PickyProbe(Probe):
            def __init__(self, opening: Open) -> None:
                raise TrackRefusedError(0, "unfit")

        monkeypatch.setattr(media_line, "Probe", PickyProbe)
        room = Room()
        video_only(room)
        for number in range(OPENINGS_AT_ONCE_MAX):
            room.line.receive([another_header(number), *(picture(n, is_key=n == 0) for n in range(40))])
            await room.settled()
        with pytest.raises(MediaLimitError) as caught:
            room.line.receive([another_header(99), *(picture(n, is_key=n == 0) for n in range(40))])
        assert limit_of(caught.value) == "openings_max"


class TestMediaTime:
    """Parts and silence are made of media time, which a publisher can have run as fast as they like."""

    async def test_hardly_any_media_to_much_of_its_time_ends_the_stream(self) -> None:
        room = Room()
        video_only(room)
        await room.receive([AVC_HEADER, *(picture(33 * n, is_key=n % 30 == 0) for n in range(150))])
        with pytest.raises(MediaLimitError) as caught:
            room.line.receive([picture(5000 + 1100 * n, is_key=True) for n in range(4000)])
        assert limit_of(caught.value) == "parts_per_second_max"
        assert sum(map(len, room.chunks.values())) < PARTS_AT_ONCE_MAX + 4 * STRETCH_TAGS

    async def test_the_same_in_real_time_goes_on(self) -> None:
        room = Room()
        video_only(room)
        await room.receive([AVC_HEADER, *(picture(33 * n, is_key=n % 30 == 0) for n in range(150))])
        for n in range(2000):
            room.clock.advance(1.1)
            room.line.receive([picture(5000 + 1100 * n, is_key=True)])
        assert len(room.chunks["main"]) > 2000

    async def test_a_file_that_is_sent_at_once_goes_on(self) -> None:
        room = Room()
        media = aac_only(seconds=20)
        await room.receive(media[:50])
        for turn in range(40):
            for start in range(0, len(media), 500):
                tags = later(media[1:][start : start + 500], turn * 20_000)
                room.meter.note_media(tags)
                room.line.receive(tags)
        assert len(room.chunks["main"]) > PARTS_AT_ONCE_MAX

    async def test_leaps_without_end_make_no_more_parts(self) -> None:
        room = Room()
        video_only(room)
        await room.receive([AVC_HEADER, *(picture(33 * n, is_key=n % 30 == 0) for n in range(150))])
        with pytest.raises(MediaLimitError):
            room.line.receive([picture(5000 + HOUR_MS * (n // 2) + 999 * n, is_key=True) for n in range(8000)])
        assert sum(map(len, room.chunks.values())) < PARTS_AT_ONCE_MAX + 4 * STRETCH_TAGS

    async def test_leaps_without_end_are_discontinuities_of_time_that_passes(self) -> None:
        room = Room()
        media = h264_aac(seconds=2)
        await room.receive(media)
        for turn in range(1, 30):
            room.meter.note_media(media)
            room.line.receive(later(media[2:], turn * HOUR_MS))
        assert room.leaps == LEAPS_AT_ONCE_MAX
        room.clock.advance(1)
        room.line.receive(later(media[2:], 31 * HOUR_MS))
        assert room.leaps == LEAPS_AT_ONCE_MAX + 1

    async def test_tracks_of_one_message_are_messages_of_their_own(self) -> None:
        room = Room()
        video_only(room)
        await room.receive([AVC_HEADER, *(picture(33 * n, is_key=n % 30 == 0) for n in range(150))])
        tracks = b"".join(bytes((number, 0, 0, 1)) + b"x" for number in range(8))
        tags = [FlvTag(TagType.AUDIO, 5000 + n, b"\x95\x11mp4a" + tracks) for n in range(SHARES_AT_ONCE_MAX // 8)]
        room.line.receive(tags)
        with pytest.raises(MediaLimitError) as caught:
            room.line.receive(tags[:1])
        assert limit_of(caught.value) == "messages_per_second_max"
        room.clock.advance(1)
        room.line.receive(tags)

    async def test_silence_is_made_of_time_and_not_of_timestamps(self) -> None:
        room = Room()
        sound = FlvTag(TagType.AUDIO, 0, b"\xaf\x01a")
        await room.receive([AVC_HEADER, FlvTag(TagType.AUDIO, 0, b"\xaf\x00\x11\x90"), sound, picture(0, is_key=True)])
        await eventually(lambda: room.epochs)
        room.line.receive([picture(20 * n) for n in range(1, 75)])
        for n in range(300):
            room.line.receive([picture(1500 + 300 * n)])
        silent = sum(tag.tag_type == TagType.AUDIO for tag in room.tags)
        assert silent <= 1_536 + SILENT_FRAMES_PER_S
        assert not room.line.is_silent
