"""Leaps of the publisher's time, ends of segments and repairs, as outputs hear of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from streamd.formats.flv.tag import FlvTag
from streamd.media.packager.ladder import Form
from streamd.media.timeline import START_MS, TRACKS_APART_MS_MAX, Repair
from streamd.services.live.packaging import LEAP_INTERVAL_MS
from tests.support.captions import HI_608, h264_captions
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.flv_media import aac_only, h264_aac, h264_only, is_sequence_header
from tests.support.line_room import (
    HOUR_MS,
    LineRoom,
    assert_is_continuous,
    discontinuities,
    later,
    video_only,
)
from tests.support.samples import read_chunk

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kind")]


class TestLeap:
    @pytest.mark.parametrize("leap_ms", [HOUR_MS, 10 * HOUR_MS, -HOUR_MS, 2**31, -(2**31), 2**32 - 5000])
    async def test_a_leap_is_a_discontinuity_with_the_keyframe_that_follows(self, leap_ms: int) -> None:
        room = LineRoom()
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
        room = LineRoom()
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
        room = LineRoom()
        media = aac_only(seconds=4)
        await room.receive(media)
        room.line.receive(later(media[1:], HOUR_MS))
        room.line.finish()
        (first,) = discontinuities(room.chunks["main"])
        assert first.start_ticks == pytest.approx((START_MS + 4000) * 48, abs=50 * 48)

    async def test_all_renditions_have_the_same_discontinuities(self) -> None:
        room = LineRoom()
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
        room = LineRoom()
        # Keyframes so far apart that the first of them is waited for, as the encoder does not say how far.
        media = [
            replace(tag, payload=bytes(tag.payload).replace(b" keyint=", b" ------="))
            for tag in h264_aac(seconds=6, gop=100)
        ]
        await room.receive([*media[:8], *later(media[8:], HOUR_MS)])
        room.line.finish()
        assert discontinuities(room.chunks["main"]) == []
        assert room.leaps == 0
        assert room.repaired(Repair.JUMP) == 1

    async def test_time_that_leaps_and_leaps_has_a_discontinuity_a_second(self) -> None:
        room = LineRoom()
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
        room = LineRoom()
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
        room = LineRoom()
        await room.receive(media[:60])
        ended: list[int] = []
        for tag in media[60:]:
            room.line.receive([tag])
            ended.append(room.output.ended_segments.get("main", 0))
        room.line.finish()
        chunks = room.chunks["main"]
        starts = [index for index, chunk in enumerate(chunks) if chunk.starts_segment]
        # Each when it had all its chunks, and the next one had none.
        assert sorted(set(ended) - {0}) == starts[1:]


class TestRandomAccess:
    """A part is independent where a decoder can begin in it, whatever the encoder calls its pictures."""

    async def test_recovery_points_begin_segments_and_are_no_keyframes(self) -> None:
        room = LineRoom()
        video_only(room)
        await room.receive(encoded((VideoTrack(has_intra_refresh=True, keyframe_interval=60),), (), seconds=10))
        room.line.finish()
        chunks = room.chunks["main"]
        assert [chunk.is_independent for chunk in chunks] == [True] + [False] * (len(chunks) - 1)
        starts = [chunk.start_ticks for chunk in chunks if chunk.starts_segment]
        assert all(later - earlier < 4 * 90_000 for earlier, later in pairwise(starts))
        synced = [sample.is_sync for chunk in chunks for sample in read_chunk(chunk.content.join()).tracks[1]]
        assert [index for index, is_sync in enumerate(synced) if is_sync] == [0]
        assert room.meter.keyframes_unfit >= 3

    async def test_keyframes_of_an_encoder_that_flags_its_first_alone_are_found(self) -> None:
        room = LineRoom()
        video_only(room)
        seconds = 18
        media = encoded((VideoTrack(keyframe_interval=60),), (), seconds=seconds)
        first_frame = next(index for index, tag in enumerate(media) if bytes(tag.payload).startswith(b"\x17\x01"))
        # FrameType: 1 is a keyframe, 2 another frame.
        unflagged = [
            replace(tag, payload=b"\x27" + bytes(tag.payload)[1:])
            if index > first_frame and bytes(tag.payload).startswith(b"\x17\x01")
            else tag
            for index, tag in enumerate(media)
        ]
        await room.receive(unflagged)
        room.line.finish()
        independent = [chunk.start_ticks // 90_000 for chunk in room.chunks["main"] if chunk.is_independent]
        first = independent[0]
        assert independent == [first, *range(first + 12, first + seconds, 2)]

    @pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
    async def test_keyframes_of_every_codec_are_what_they_are_called(self, encoder: str) -> None:
        room = LineRoom()
        video_only(room)
        await room.receive(encoded((VideoTrack(encoder, keyframe_interval=60),), (), seconds=8))
        room.line.finish()
        chunks = room.chunks["main"]
        starts = [chunk for chunk in chunks if chunk.starts_segment]
        assert len(starts) >= 3
        assert sum(chunk.is_independent for chunk in chunks) == 4
        assert room.meter.keyframes_unfit == 0


class TestCaptions:
    @pytest.mark.parametrize("is_before", [True, False], ids=["before the slices", "behind them, as OBS has it"])
    async def test_they_are_told_of_once(self, is_before: bool) -> None:
        room = LineRoom()
        video_only(room)
        captions = h264_captions([HI_608])
        media = [
            tag
            if is_sequence_header(tag)
            else replace(tag, payload=bytes(tag.payload)[:5] + captions + bytes(tag.payload)[5:])
            if is_before
            else replace(tag, payload=bytes(tag.payload) + captions)
            for tag in h264_only(seconds=4)
        ]
        await room.receive(media)
        assert room.output.captions == [{"CC1"}]

    async def test_where_there_are_none_nothing_is_told(self) -> None:
        room = LineRoom()
        await room.receive(h264_aac(seconds=4))
        assert room.output.captions == []


async def test_repairs_are_counted_while_the_stream_is_live() -> None:
    room = LineRoom()
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


class TestContinuation:
    async def test_there_is_none_before_a_part(self) -> None:
        room = LineRoom()
        room.line.receive(h264_aac(4)[:20])
        await room.settled()
        assert room.line.continuation is None

    @pytest.mark.parametrize(
        ("tracks", "form"),
        [
            (((VideoTrack(),), (AudioTrack(),)), Form.MUXED),
            (((VideoTrack(),), (AudioTrack(), AudioTrack("aac", 880))), Form.PICTURES),
            (((VideoTrack(),), ()), Form.PICTURES),
        ],
        ids=["muxed", "apart", "pictures"],
    )
    async def test_it_says_what_its_renditions_have(
        self, tracks: tuple[tuple[VideoTrack, ...], tuple[AudioTrack, ...]], form: Form
    ) -> None:
        room = LineRoom()
        if not tracks[1]:
            video_only(room)
        await room.receive(encoded(*tracks))
        room.line.finish()
        continuation = room.line.continuation
        assert continuation is not None
        assert continuation.form is form
        assert {continuation.timing} == room.output.timings

    async def test_the_next_line_goes_on_with_it(self) -> None:
        first = LineRoom()
        await first.receive(h264_aac(4))
        first.line.finish()
        room = LineRoom(continuation=first.line.continuation)
        await room.receive(h264_aac(4))
        assert room.output.timings == first.output.timings
        assert room.output.starts[0].begins_anew
        assert room.chunks["main"][0].is_discontinuous
        room.line.receive(later(h264_only(4, width=320), 4_000))
        await room.settled()
        assert [start.begins_anew for start in room.output.starts] == [True, False]


class TestTimeline:
    """Players that take no notice of EXT-X-DISCONTINUITY show nothing while decode times lie behind where they were."""

    async def test_decode_times_go_on_behind_the_line_before(self) -> None:
        first = LineRoom()
        await first.receive(h264_aac(4))
        first.line.finish()
        room = LineRoom(continuation=first.line.continuation)
        await room.receive(later(h264_aac(4), 70_000))
        before, after = first.chunks["main"][-1], room.chunks["main"][0]
        gap_ticks = after.start_ticks - before.start_ticks - before.duration_ticks
        assert 0 < gap_ticks <= (TRACKS_APART_MS_MAX + 100) * 90

    async def test_other_tracks_of_the_same_publisher_go_on_as_their_timestamps_do(self) -> None:
        room = LineRoom()
        await room.receive(h264_aac(4))
        await room.receive(later(h264_only(4, width=320), 4_000))
        await room.receive(later(h264_aac(4), 8_000))
        room.line.finish()
        chunks = room.chunks["main"]
        assert len(discontinuities(chunks)) == 2
        assert_is_continuous(chunks)
        # What follows is dated as it would have been without them, in renditions that begin with them too.
        assert len(room.epochs) == 3
        assert len(set(room.epochs)) == 1

    async def test_media_is_measured_without_what_was_left_out(self) -> None:
        first = LineRoom()
        await first.receive(h264_aac(4))
        await first.receive(later(h264_only(4, width=320), 4_000))
        assert first.line.read().media_ms == pytest.approx(8_000, abs=100)
        first.line.finish()
        room = LineRoom(continuation=first.line.continuation)
        await room.receive(h264_aac(4))
        assert room.line.read().media_ms == pytest.approx(4_000, abs=100)


async def test_the_end_completes_the_segment_of_each_rendition() -> None:
    room = LineRoom()
    await room.receive(encoded((VideoTrack(),), (AudioTrack(), AudioTrack("aac", 880))))
    room.line.finish()
    assert room.output.ended_segments == {name: len(chunks) for name, chunks in room.chunks.items()}
    assert len(room.chunks) == 3
    assert room.output.calls[-3:] == ["end_segment"] * 3
