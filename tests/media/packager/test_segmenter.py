from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest

from streamd.formats.hls.attribute_list import decimal_seconds
from streamd.media.packager.cadence import KEYFRAME_LATE_MS_MAX
from streamd.media.packager.cmaf_chunk import CmafChunk
from streamd.media.packager.queues import GAP_MS_MAX, HELD_BYTES_MAX, LEAD_LAG_MS_MAX
from streamd.media.packager.segment_starts import SegmentStarts
from streamd.media.packager.segmenter import Irregularity, Segmenter, SegmenterOptions
from streamd.media.packager.timing import PlaylistTiming
from streamd.media.packet import MediaPacket, Sample, Track, TrackKind
from streamd.media.timeline import Timeline
from tests.support.samples import (
    AUDIO,
    AUDIO_44100,
    VIDEO,
    assert_playable,
    audio_packets,
    audio_sample,
    interleave,
    read_chunk,
    read_track,
    segments,
    video_packets,
    video_sample,
)

TIMING = PlaylistTiming(target_duration_s=2, part_target_ms=500)


def samples_of(*streams: Iterable[MediaPacket], tracks: Sequence[Track] = (VIDEO, AUDIO)) -> list[Sample]:
    """Samples as they leave the timeline."""
    timeline = Timeline(tracks)
    return [sample for packet in interleave(*streams) if (sample := timeline.place(packet)) is not None]


def cut(
    samples: Iterable[Sample],
    tracks: Sequence[Track] = (VIDEO, AUDIO),
    options: SegmenterOptions | None = None,
    timing: PlaylistTiming | None = None,
) -> tuple[list[CmafChunk], Segmenter]:
    """Cut a whole stream and check what must always hold."""
    samples = list(samples)
    segmenter = Segmenter(tracks, options or SegmenterOptions(), timing)
    chunks = [chunk for sample in samples for chunk in segmenter.push(sample)] + segmenter.finish()
    assert segmenter.timing is not None
    if Irregularity.BEFORE_KEYFRAME not in segmenter.irregularities:
        assert_playable(samples, chunks, segmenter.timing, tracks)
    return chunks, segmenter


def durations_ms(chunks: Iterable[CmafChunk]) -> list[int]:
    return [round(chunk.duration_ticks * 1000 / chunk.timescale) for chunk in chunks]


def segment_frame_counts(chunks: Sequence[CmafChunk]) -> list[int]:
    """Return the number of video frames in each segment."""
    return [len(read_track(segment, VIDEO.track_id)) for segment in segments(chunks)]


class TestTargetDuration:
    """rfc8216bis 4.4.3.1."""

    @pytest.mark.parametrize(
        ("gop_frames", "segment_target_ms", "target_duration_s"),
        [
            (30, 2000, 2),  # 1 s GOPs: the segment target is longer
            (60, 2000, 2),
            (74, 2000, 2),  # 2.47 s rounds down
            (75, 2000, 3),  # 2.5 s rounds up
            (119, 2000, 4),
            (60, 500, 2),
            (10, 1000, 1),
            (250, 2000, 10),  # OBS's default: not known after 4 s
            (60, 6000, 6),
        ],
    )
    def test_it_is_the_longer_of_the_target_and_the_first_gop(
        self, gop_frames: int, segment_target_ms: int, target_duration_s: int
    ) -> None:
        options = SegmenterOptions(part_target_ms=500, segment_target_ms=segment_target_ms)
        _, segmenter = cut(samples_of(video_packets(30, 14, gop_frames)), options=options)
        assert segmenter.timing is not None
        assert segmenter.timing.target_duration_s == target_duration_s

    def test_it_is_decided_with_the_second_keyframe_and_all_that_waited_is_cut(self) -> None:
        segmenter = Segmenter([VIDEO], SegmenterOptions())
        *before, keyframe = samples_of(video_packets(30, 61 / 30, 60))
        for sample in before:
            assert not segmenter.push(sample)
            assert segmenter.timing is None
        assert len(segmenter.push(keyframe)) == 4
        assert segmenter.timing == TIMING

    def test_without_a_second_keyframe_it_is_decided_after_four_seconds(self) -> None:
        segmenter = Segmenter([VIDEO], SegmenterOptions())
        *before, last = samples_of(video_packets(30, 121 / 30, 250))
        assert [chunk for sample in before for chunk in segmenter.push(sample)] == []
        assert len(segmenter.push(last)) == 8
        assert segmenter.timing == PlaylistTiming(10, 500)

    def test_a_gop_of_exactly_four_seconds_is_known(self) -> None:
        _, segmenter = cut(samples_of(video_packets(Fraction(30000, 1001), 10, 120)))
        assert segmenter.timing == PlaylistTiming(4, 500)

    def test_audio_stands_in_for_the_clock_of_a_video_that_stopped(self) -> None:
        segmenter = Segmenter([VIDEO, AUDIO], SegmenterOptions())
        segmenter.push(video_sample(0, is_keyframe=True))
        chunks = [chunk for index in range(300) for chunk in segmenter.push(audio_sample(index))]
        assert segmenter.timing == PlaylistTiming(10, 500)
        assert chunks

    def test_a_flood_before_the_decision_is_cut_at_once(self) -> None:
        segmenter = Segmenter([VIDEO], SegmenterOptions())
        payload = bytes(HELD_BYTES_MAX // 4)
        for index in range(4):
            segmenter.push(video_sample(index * 33, is_keyframe=index == 0, payload=payload))
        assert segmenter.timing == PlaylistTiming(10, 500)
        assert segmenter.irregularities[Irregularity.HELD_BYTES]

    def test_a_stream_that_ends_before_the_decision_is_cut_too(self) -> None:
        chunks, segmenter = cut([video_sample(0, is_keyframe=True)], tracks=[VIDEO])
        assert durations_ms(chunks) == [500]
        assert segmenter.timing == PlaylistTiming(10, 500)

    def test_nothing_in_gives_nothing_out(self) -> None:
        assert Segmenter([VIDEO, AUDIO], SegmenterOptions()).finish() == []


def saying(keyint: int, samples: Sequence[Sample]) -> list[Sample]:
    """The same from x264, which writes its settings into its first picture."""
    said = bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef") + f"x264 - options: keyint={keyint} ".encode()
    first = next(index for index, sample in enumerate(samples) if sample.track_id == VIDEO.track_id)
    return [*samples[:first], replace(samples[first], payload=said), *samples[first + 1 :]]


class TestEncodersWord:
    """An encoder that tells how far apart its keyframes are is not waited for."""

    @pytest.mark.parametrize("tracks", [[VIDEO], [VIDEO, AUDIO]])
    def test_the_first_segment_is_complete_within_a_second(self, tracks: list[Track]) -> None:
        streams = [video_packets(30, 8, 60), *([audio_packets(duration_s=8)] if AUDIO in tracks else [])]
        segmenter = Segmenter(tracks, SegmenterOptions())
        chunks: list[CmafChunk] = []
        known_ms = 0
        samples = saying(60, samples_of(*streams))
        first_ms = samples[0].dts_ticks // 90
        for sample in samples:
            chunks += segmenter.push(sample)
            if chunks and segmenter.has_complete_segment and not known_ms:
                known_ms = sample.dts_ticks // 90 - first_ms
        assert known_ms == 766
        assert segmenter.timing == TIMING
        chunks += segmenter.finish()
        assert_playable(samples, chunks, TIMING, tracks)
        assert segment_frame_counts(chunks) == [23, 37, 60, 60, 60]
        assert [chunk.is_independent for chunk in chunks if chunk.starts_segment] == [True, False, True, True, True]
        assert not segmenter.irregularities

    @pytest.mark.parametrize(("gop_frames", "frames"), [(15, [23, 67, 60]), (30, [23, 67, 60]), (45, [23, 67, 90])])
    def test_keyframes_more_often_than_segments_bring_no_short_ones(self, gop_frames: int, frames: list[int]) -> None:
        chunks, segmenter = cut(saying(gop_frames, samples_of(video_packets(30, 5, gop_frames))), tracks=[VIDEO])
        assert segment_frame_counts(chunks)[:2] == frames[:2]
        assert not segmenter.irregularities

    def test_obs_with_its_defaults_is_listed_as_soon(self) -> None:
        samples = saying(250, samples_of(video_packets(30, 30, 250)))
        chunks, segmenter = cut(samples, tracks=[VIDEO])
        assert segmenter.timing == PlaylistTiming(8, 500)
        assert_playable(samples, chunks, PlaylistTiming(8, 500), [VIDEO])
        assert segment_frame_counts(chunks) == [23, 227, 250, 250, 150]
        assert [chunk.is_independent for chunk in chunks if chunk.starts_segment] == [True, False, True, True, True]
        assert not segmenter.irregularities

    def test_keyframes_that_come_sooner_than_told_have_segments_of_their_own(self) -> None:
        chunks, told = cut(saying(250, samples_of(video_packets(30, 8, 60))), tracks=[VIDEO])
        assert told.timing == PlaylistTiming(8, 500)
        assert segment_frame_counts(chunks)[2:] == [60, 60]

    def test_segments_of_a_second_are_not_cut_shorter(self) -> None:
        options = SegmenterOptions(part_target_ms=500, segment_target_ms=1000)
        chunks, segmenter = cut(saying(30, samples_of(video_packets(30, 4, 30))), [VIDEO], options)
        assert segmenter.timing == PlaylistTiming(1, 500)
        assert segment_frame_counts(chunks) == [30, 30, 30, 30]

    def test_an_encoder_that_errs_gets_segments_without_keyframes(self) -> None:
        chunks, segmenter = cut(saying(60, samples_of(video_packets(30, 12, 300))), tracks=[VIDEO])
        assert segmenter.timing == TIMING
        assert segmenter.irregularities[Irregularity.LONG_GOP] >= 3
        assert max(durations_ms(chunks)) <= 500

    def test_a_continued_playlist_has_no_opening(self) -> None:
        chunks, segmenter = cut(saying(60, samples_of(video_packets(30, 4, 60))), [VIDEO], timing=TIMING)
        assert not segmenter.has_opening
        assert segment_frame_counts(chunks) == [60, 60]


class TestPartTarget:
    """rfc8216bis 4.4.4.9: at most PART-TARGET, at least 85 % of it."""

    @pytest.mark.parametrize(
        ("frame_rate", "part_target_ms", "decided_ms", "usual_ms"),
        [
            (30, 500, 500, 500),
            (60, 500, 500, 500),
            (25, 500, 500, 480),
            (Fraction(30000, 1001), 500, 500, 467),
            (30, 333, 333, 300),  # ten frames are 333 or 334 ms
            (24, 500, 500, 500),
            (15, 500, 500, 467),
            (10, 500, 500, 500),
            (5, 500, 400, 400),
            (3, 500, 334, 333),
            (2, 500, 500, 500),
            (1, 500, 1000, 1000),
            (30, 200, 200, 200),
        ],
    )
    def test_it_is_the_configured_one_unless_frames_fill_it_badly(
        self, frame_rate: int, part_target_ms: int, decided_ms: int, usual_ms: int
    ) -> None:
        options = SegmenterOptions(part_target_ms=part_target_ms)
        chunks, segmenter = cut(samples_of(video_packets(frame_rate, 30, frame_rate * 2)), [VIDEO], options)
        assert segmenter.timing is not None
        assert segmenter.timing.part_target_ms == decided_ms
        # Once the cadence is known to the tick: not the last part of a segment.
        late = [part for segment in segments(chunks)[4:-1] for part in segment[:-1]]
        assert all(abs(duration - usual_ms) <= 1 for duration in durations_ms(late))

    def test_a_variable_frame_rate_keeps_both_limits(self) -> None:
        steps = [33, 33, 140, 20, 250, 33, 8, 90, 400, 33, 33, 33, 170] * 20
        times = [sum(steps[:index]) for index in range(len(steps))]
        samples = [video_sample(time, is_keyframe=index % 20 == 0) for index, time in enumerate(times)]
        chunks, _ = cut(samples, tracks=[VIDEO])  # assert_playable does the rest
        assert len(chunks) > 20


class TestPart:
    def test_it_is_closed_by_its_own_last_frame(self) -> None:
        segmenter = Segmenter([VIDEO], SegmenterOptions())
        closed_by = []
        for sample in samples_of(video_packets(30, 8, 60)):
            index = int.from_bytes(bytes(sample.payload)[:4], "big")
            closed_by += [index] * len(segmenter.push(sample))
        assert closed_by[4:] == list(range(74, 240, 15))

    def test_audio_goes_where_it_starts_and_late_audio_into_the_next_part(self) -> None:
        segmenter = Segmenter([VIDEO, AUDIO], SegmenterOptions(), TIMING)
        for sample in [audio_sample(index) for index in range(10)]:
            segmenter.push(sample)
        chunks: list[CmafChunk] = []
        for index in range(30):
            chunks += segmenter.push(video_sample(index * 1000 // 30, is_keyframe=index == 0))
        late = audio_sample(10)
        segmenter.push(late)
        chunks += segmenter.finish()
        counts = [len(read_chunk(chunk.content.join()).tracks.get(AUDIO.track_id, ())) for chunk in chunks]
        assert counts == [10, 0, 1]
        assert read_track(chunks, AUDIO.track_id)[-1].dts_ticks == late.dts_ticks

    def test_a_part_is_independent_if_it_begins_with_a_keyframe(self) -> None:
        samples = [video_sample(index * 33, is_keyframe=index in (0, 20)) for index in range(60)]
        chunks, _ = cut(samples, tracks=[VIDEO], timing=TIMING)
        assert [chunk.is_independent for chunk in chunks][:3] == [True, False, False]
        assert [chunk.starts_segment for chunk in chunks][:3] == [True, False, False]

    @pytest.mark.parametrize(("frame_rate", "gop_frames"), [(30, 15), (25, 12), (60, 30), (50, 24), (24, 10)])
    def test_keyframes_each_half_second_begin_a_part_each(self, frame_rate: int, gop_frames: int) -> None:
        samples = samples_of(video_packets(frame_rate, 20, gop_frames))
        chunks, segmenter = cut(samples, tracks=[VIDEO])
        assert segmenter.timing is not None
        assert_playable(samples, chunks, segmenter.timing, [VIDEO])
        begun = sum(chunk.is_independent for chunk in chunks)
        assert begun == sum(sample.is_keyframe for sample in samples)

    def test_b_frames_keep_their_presentation_times(self) -> None:
        samples = samples_of(video_packets(30, 8, 60, composition_ms=133))
        chunks, _ = cut(samples)
        read = read_track(chunks, VIDEO.track_id)
        assert [sample.pts_ticks for sample in read] == [sample.pts_ticks for sample in samples]

    @pytest.mark.parametrize("frame_rate", [25, 30, Fraction(30000, 1001), 60])
    def test_a_stream_without_b_frames_has_no_negative_composition_offset(self, frame_rate: int) -> None:
        chunks, _ = cut(samples_of(video_packets(frame_rate, 8, 60)))
        offsets = {s.pts_ticks - s.dts_ticks for s in read_track(chunks, VIDEO.track_id)}
        assert 0 <= min(offsets) <= max(offsets) <= 2 * 90

    def test_frames_all_at_one_time_cannot_fill_the_memory(self) -> None:
        segmenter = Segmenter([VIDEO], SegmenterOptions(), TIMING)
        payload = bytes(1 << 20)
        chunks: list[CmafChunk] = []
        for index in range(40):
            sample = video_sample(0, is_keyframe=index == 0, payload=payload)
            chunks += segmenter.push(replace(sample, dts_ticks=index))
        assert len(chunks) == 2
        assert segmenter.irregularities[Irregularity.HELD_BYTES] == 2

    def test_sound_all_at_one_time_cannot_fill_the_memory_either(self) -> None:
        segmenter = Segmenter([VIDEO, AUDIO], SegmenterOptions(), TIMING)
        payload = bytes(1 << 20)
        chunks = [chunk for index in range(20) for chunk in segmenter.push(audio_sample(index, payload=payload))]
        assert len(chunks) == 1


class TestSegment:
    """rfc8216bis 6.2.1: each starts with a keyframe where the encoder allows it."""

    @pytest.mark.parametrize(
        ("gop_frames", "segment_frames"),
        [
            (15, 60),
            (24, 72),  # three GOPs of 0.8 s
            (45, 45),  # two would not fit in the target duration of 2 s
            (57, 57),
            (60, 60),
            (74, 74),
        ],
    )
    def test_it_starts_with_a_keyframe_whatever_the_gop(self, gop_frames: int, segment_frames: int) -> None:
        chunks, segmenter = cut(samples_of(video_packets(30, 15, gop_frames)))
        assert segmenter.timing == TIMING
        assert not segmenter.irregularities
        assert set(segment_frame_counts(chunks)[:-1]) == {segment_frames}

    def test_a_scene_cut_right_after_its_start_does_not_start_another(self) -> None:
        keyframes = {0, 60, 65, 120, 125, 180}
        samples = [video_sample(index * 1000 // 30, is_keyframe=index in keyframes) for index in range(200)]
        chunks, _ = cut(samples, tracks=[VIDEO])
        assert segment_frame_counts(chunks)[:-1] == [60] * 3

    def test_a_frame_sooner_than_predicted_stays_before_the_keyframe(self) -> None:
        # The part is closed at 2000 ms by prediction; then one frame comes early and the keyframe on time.
        times = [*range(0, 2000, 40), 1985, *range(2000, 5000, 40)]
        samples = [video_sample(time, is_keyframe=time in (0, 2000, 4000)) for time in times]
        chunks, _ = cut(samples, tracks=[VIDEO], options=SegmenterOptions(part_target_ms=400))
        for segment in segments(chunks):
            assert read_chunk(segment[0].content.join()).tracks[VIDEO.track_id][0].is_sync

    def test_one_second_gops_make_two_second_segments(self) -> None:
        chunks, segmenter = cut(samples_of(video_packets(30, 12, 30), audio_packets(duration_s=12)))
        assert [round(sum(durations_ms(segment)), -1) for segment in segments(chunks)[:-1]] == [2000] * 5
        assert not segmenter.irregularities

    def test_a_keyframe_a_few_milliseconds_early_still_starts_one(self) -> None:
        samples = [video_sample(index * 33, is_keyframe=index % 60 == 0) for index in range(241)]
        chunks, _ = cut(samples, tracks=[VIDEO])
        assert [sum(durations_ms(segment)) for segment in segments(chunks)[:-1]] == [1980] * 4

    def test_the_default_of_obs_is_cut_at_keyframes_alone(self) -> None:
        samples = samples_of(video_packets(30, 40, 250), audio_packets(duration_s=40))
        chunks, segmenter = cut(samples)
        assert not segmenter.irregularities
        for segment in segments(chunks):
            assert read_chunk(segment[0].content.join()).tracks[VIDEO.track_id][0].is_sync
        assert [round(sum(durations_ms(segment)) / 1000, 1) for segment in segments(chunks)[:-1]] == [8.3] * 4

    def test_a_gop_that_grows_past_the_target_is_cut_without_a_keyframe_and_told(self) -> None:
        steady = [video_sample(index * 40, is_keyframe=index % 50 == 0) for index in range(100)]
        long = [video_sample(4000 + index * 40, is_keyframe=index % 150 == 0) for index in range(300)]
        chunks, segmenter = cut(steady + long, tracks=[VIDEO])
        assert segmenter.timing == TIMING
        assert segmenter.irregularities[Irregularity.LONG_GOP] == 4
        starts = {chunk.start_ticks // 90 for chunk in chunks if chunk.starts_segment}
        assert {4000, 10_000} <= starts, "the next keyframe starts a segment again"

    def test_a_continued_playlist_starts_with_a_discontinuous_segment(self) -> None:
        segmenter = Segmenter([VIDEO], SegmenterOptions(), TIMING, starts_discontinuous=True, first_sequence_number=77)
        chunks = [c for s in samples_of(video_packets(30, 3, 60)) for c in segmenter.push(s)]
        assert [chunk.is_discontinuous for chunk in chunks[:3]] == [True, False, False]
        assert chunks[0].starts_segment
        assert read_chunk(chunks[0].content.join()).sequence_number == 77
        assert segmenter.next_sequence_number == 77 + len(chunks)


class TestAudioAlone:
    @pytest.mark.parametrize("track", [AUDIO, AUDIO_44100], ids=["48k", "44k1"])
    def test_it_is_cut_from_the_first_frame_on_at_part_boundaries(self, track: Track) -> None:
        samples = samples_of(audio_packets(track, 30), tracks=[track])
        chunks, segmenter = cut_audio(samples, track)
        assert segmenter.timing == TIMING
        assert not segmenter.irregularities
        assert all(chunk.is_independent for chunk in chunks)
        for segment in segments(chunks)[:-1]:
            assert len({chunk.duration_ticks for chunk in segment}) == 1, "no short last part"
            assert abs(sum(durations_ms(segment)) - 2000) <= 250

    def test_a_part_is_closed_by_its_own_last_frame(self) -> None:
        segmenter = Segmenter([AUDIO], SegmenterOptions())
        closed_by = [index for index in range(100) for _ in segmenter.push(audio_sample(index))]
        assert closed_by == [22, 45, 68, 91]

    def test_without_a_fixed_frame_it_is_cut_by_the_wire(self) -> None:
        track = Track(track_id=2, kind=TrackKind.AUDIO, codec="mp3", timescale=48_000)
        samples = [Sample(2, index * 1152, index * 1152, True, b"a", 0, 0, is_sync=True) for index in range(300)]
        chunks, segmenter = cut_audio(samples, track)
        assert segmenter.timing == TIMING
        assert len(chunks) > 10


def cut_audio(samples: list[Sample], track: Track) -> tuple[list[CmafChunk], Segmenter]:
    return cut(samples, tracks=[track])


class TestPause:
    """A track that stops must not stop the others."""

    def test_parts_go_on_without_audio(self) -> None:
        samples = samples_of(video_packets(30, 10, 60), audio_packets(duration_s=3))
        chunks, segmenter = cut(samples)
        assert not segmenter.irregularities
        assert [len(read_chunk(chunk.content.join()).tracks) for chunk in chunks[:20]] == [2] * 6 + [1] * 14

    def test_parts_go_on_by_the_time_of_audio_when_video_stops(self) -> None:
        samples = samples_of(
            video_packets(30, 4, 60), audio_packets(duration_s=14), video_packets(30, 4, 60, start_ms=9250)
        )
        segmenter = Segmenter([VIDEO, AUDIO], SegmenterOptions())
        chunks: list[CmafChunk] = []
        last_close_ms = None
        for sample in samples:
            closed = segmenter.push(sample)
            chunks += closed
            if closed and sample.track_id == AUDIO.track_id:
                now_ms = sample.dts_ticks / 48
                if last_close_ms is not None:
                    assert now_ms - last_close_ms <= 500 + 22, "one part each PART-TARGET"
                last_close_ms = now_ms
        chunks += segmenter.finish()
        assert segmenter.timing is not None
        assert_playable(samples, chunks, segmenter.timing)
        assert segmenter.irregularities[Irregularity.LEAD_PAUSE] == 1
        assert Irregularity.LONG_GOP not in segmenter.irregularities
        resumed = next(c for c in chunks if c.start_ticks // 90 - 10_000 >= 9250 - 2)
        assert resumed.starts_segment
        assert resumed.is_independent

    def test_a_video_that_never_comes_is_not_waited_for(self) -> None:
        samples = [audio_sample(index) for index in range(600)]
        segmenter = Segmenter([VIDEO, AUDIO], SegmenterOptions())
        chunks = [chunk for sample in samples for chunk in segmenter.push(sample)]
        assert chunks
        assert segmenter.timing is not None
        newest_ms = samples[-1].dts_ticks / 48
        end_ms = (chunks[-1].start_ticks + chunks[-1].duration_ticks) / 90
        assert newest_ms - end_ms < 500
        assert_playable(samples, chunks + segmenter.finish(), segmenter.timing)

    def test_a_video_that_comes_late_starts_a_segment(self) -> None:
        samples = samples_of(audio_packets(duration_s=20), video_packets(30, 8, 60, start_ms=12_000))
        chunks, _ = cut(samples)
        first = next(chunk for chunk in chunks if chunk.is_independent)
        assert first.starts_segment

    def test_audio_that_comes_late_is_taken_in_its_time(self) -> None:
        samples = samples_of(video_packets(30, 16, 60), audio_packets(duration_s=4, start_ms=10_000))
        chunks, _ = cut(samples)
        first = read_track(chunks, AUDIO.track_id)[0]
        assert first.dts_ticks == 20_000 * 48

    def test_audio_ahead_is_held_no_longer_than_the_lag(self) -> None:
        segmenter = Segmenter([VIDEO, AUDIO], SegmenterOptions(), TIMING)
        segmenter.push(video_sample(0, is_keyframe=True))
        index = 0
        while not segmenter.push(audio_sample(index)):
            index += 1
        assert index * 1024 / 48 == pytest.approx(LEAD_LAG_MS_MAX, abs=22)


class TestAnHour:
    """Of frames whose times FLV rounds to milliseconds."""

    @pytest.mark.parametrize("frame_rate", [Fraction(30_000, 1001), Fraction(24_000, 1001)], ids=["29.97", "23.976"])
    def test_durations_add_up_to_the_medias_and_no_part_is_too_short(self, frame_rate: Fraction) -> None:
        hour_s = 3600
        gop_frames = round(2 * frame_rate)
        samples = samples_of(video_packets(frame_rate, hour_s, gop_frames), tracks=[VIDEO])
        segmenter = Segmenter([VIDEO], SegmenterOptions())
        chunks = [chunk for sample in samples for chunk in segmenter.push(sample)] + segmenter.finish()
        assert not segmenter.irregularities
        timing = segmenter.timing
        assert timing is not None

        part_ticks = timing.part_target_ms * 90
        for segment in segments(chunks)[:-1]:
            for chunk in segment[:-1]:
                assert part_ticks * 85 <= chunk.duration_ticks * 100 <= part_ticks * 100
        # As the playlist writes them: five decimals.
        listed_s = sum(
            Fraction(decimal_seconds(sum(chunk.duration_ticks for chunk in segment), 90_000))
            for segment in segments(chunks)
        )
        frames = len(samples)
        assert abs(listed_s - frames / frame_rate) < Fraction(1, 50)
        # At no time are they apart: each segment begins where its keyframe is decoded, good to what a few of FLV's
        # rounded intervals tell of the frame rate.
        starts = [segment[0].start_ticks for segment in segments(chunks)]
        keyframes = [sample.dts_ticks for sample in samples if sample.is_keyframe]
        assert all(abs(start - at) <= 4 * 90 for start, at in zip(starts, keyframes, strict=True))


class TestGap:
    def test_a_short_pause_of_everything_is_bridged_without_a_long_part(self) -> None:
        samples = [
            video_sample(index * 40 + (1200 if index >= 75 else 0), is_keyframe=index % 50 == 0) for index in range(250)
        ]
        chunks, segmenter = cut(samples, tracks=[VIDEO])
        assert segmenter.irregularities[Irregularity.BRIDGED_GAP]
        assert sum(durations_ms(chunks)) == pytest.approx(11_200, abs=2), "the playlist keeps real time"

    @pytest.mark.parametrize("pause_ms", [*range(0, 2500, 100), 2533, 4000, 9000, 11_000])
    @pytest.mark.parametrize("kinds", ["pictures", "sound", "both", "sound first"])
    def test_no_parts_media_is_farther_from_its_place_in_the_playlist_than_the_limit(
        self, pause_ms: int, kinds: str
    ) -> None:
        """4.4.4.9: what DURATION says of a part is what its media lasts."""
        videos = [
            video_sample(index * 40 + (pause_ms if index >= 75 else 0), is_keyframe=index % 50 == 0)
            for index in range(200)
        ]
        sounds = [audio_sample(index, pause_ms if index * 1024 >= 3 * 48_000 else 0) for index in range(375)]
        tracks = {"pictures": [VIDEO], "sound": [AUDIO]}.get(kinds, [VIDEO, AUDIO])
        lag_ms = 300 if kinds == "sound first" else 0
        both = [*(videos if VIDEO in tracks else []), *(sounds if AUDIO in tracks else [])]
        scale = {track.track_id: track.timescale for track in (VIDEO, AUDIO)}
        both.sort(
            key=lambda sample: (
                sample.dts_ticks / scale[sample.track_id] + (lag_ms / 1000 if sample.track_id == VIDEO.track_id else 0)
            )
        )
        chunks, _ = cut(both, tracks=tracks)
        for chunk in chunks:
            start_ms = chunk.start_ticks * 1000 / chunk.timescale
            end_ms = start_ms + chunk.duration_ticks * 1000 / chunk.timescale
            for track in tracks:
                for sample in read_chunk(chunk.content.join()).tracks.get(track.track_id, ()):
                    at_ms = sample.pts_ticks * 1000 / track.timescale
                    assert start_ms - GAP_MS_MAX - lag_ms <= at_ms <= end_ms + GAP_MS_MAX + lag_ms
        steps = any(chunk.is_discontinuous for chunk in chunks)
        if not GAP_MS_MAX < pause_ms <= GAP_MS_MAX + TIMING.part_target_ms:
            assert steps is (pause_ms > GAP_MS_MAX)
        # The part before the step may last as long as PART-TARGET.
        listed_ms = 8000 if steps else 8000 + pause_ms
        assert sum(durations_ms(chunks)) == pytest.approx(listed_ms, abs=TIMING.part_target_ms + len(chunks))

    def test_a_rendition_beside_others_bridges_what_another_may_have(self) -> None:
        """6.2.4: discontinuities are counted alike in all renditions."""
        segmenter = Segmenter([VIDEO], SegmenterOptions(), TIMING, starts=SegmentStarts())
        samples = [
            video_sample(index * 40 + (3000 if index >= 75 else 0), is_keyframe=index % 50 == 0) for index in range(250)
        ]
        chunks = [chunk for sample in samples for chunk in segmenter.push(sample)]
        assert not any(chunk.is_discontinuous for chunk in chunks)

    def test_a_pause_too_long_to_bridge_is_a_discontinuity(self) -> None:
        samples = [
            video_sample(index * 40 + (60_000 if index >= 100 else 0), is_keyframe=index % 50 == 0)
            for index in range(200)
        ]
        segmenter = Segmenter([VIDEO], SegmenterOptions())
        chunks = [chunk for sample in samples for chunk in segmenter.push(sample)]
        (resumed,) = [chunk for chunk in chunks if chunk.is_discontinuous]
        assert resumed.starts_segment
        assert resumed.start_ticks == 64_000 * 90
        assert read_chunk(resumed.content.join()).tracks[VIDEO.track_id][0].dts_ticks == 64_000 * 90
        assert segmenter.irregularities[Irregularity.TIMELINE_GAP]

    def test_sound_alone_is_bridged_too(self) -> None:
        samples = [audio_sample(index + (50 if index >= 100 else 0)) for index in range(300)]
        chunks, segmenter = cut(samples, tracks=[AUDIO])
        assert segmenter.irregularities[Irregularity.BRIDGED_GAP]
        assert sum(durations_ms(chunks)) == pytest.approx(350 * 1024 / 48, abs=len(chunks))

    def test_a_pause_of_both_too_long_to_bridge_goes_on_where_audio_does(self) -> None:
        segmenter = Segmenter([VIDEO, AUDIO], SegmenterOptions(), TIMING)
        chunks: list[CmafChunk] = []
        for start_ms in (0, 60_000):
            for index in range(120):
                chunks += segmenter.push(audio_sample(index, start_ms))
                chunks += segmenter.push(video_sample(start_ms + index * 1024 / 48, is_keyframe=index == 0))
        resumed = next(chunk for chunk in chunks if chunk.is_discontinuous)
        assert resumed.starts_segment
        assert abs(resumed.start_ticks - 60_000 * 90) < 2000 * 90

    def test_video_that_paused_too_long_to_bridge_resumes_at_its_own_decode_time(self) -> None:
        samples = samples_of(
            video_packets(30, 4, 60), audio_packets(duration_s=24), video_packets(30, 4, 60, start_ms=20_000)
        )
        segmenter = Segmenter([VIDEO, AUDIO], SegmenterOptions())
        chunks = [chunk for sample in samples for chunk in segmenter.push(sample)]
        assert not any(chunk.is_discontinuous for chunk in chunks), "the playlist never stopped"
        resumed = read_track(chunks, VIDEO.track_id)[120]
        assert resumed.dts_ticks == resumed.pts_ticks == 30_000 * 90
        assert segmenter.irregularities[Irregularity.TIMELINE_GAP] == 1

    def test_sound_that_skips_while_video_pauses_is_bridged(self) -> None:
        segmenter = Segmenter([VIDEO, AUDIO], SegmenterOptions(), TIMING)
        samples = [video_sample(0, is_keyframe=True), video_sample(33)]
        samples += [audio_sample(index + (200 if index > 100 else 0)) for index in range(600)]
        chunks = [chunk for sample in samples for chunk in segmenter.push(sample)] + segmenter.finish()
        assert_playable(samples, chunks, TIMING)

    def test_sound_of_unknown_frame_length_beside_video(self) -> None:
        track = dataclasses.replace(AUDIO, frame_ticks=0)
        samples = samples_of(video_packets(30, 6, 60), audio_packets(duration_s=6), tracks=[VIDEO, track])
        chunks, segmenter = cut(samples, tracks=[VIDEO, track])
        assert not segmenter.irregularities
        assert len(chunks) == 13

    def test_a_few_dropped_frames_leave_no_trace_in_decode_times(self) -> None:
        packets = [p for i, p in enumerate(video_packets(30, 8, 60)) if i % 37 not in (11, 12, 13)]
        chunks, segmenter = cut(samples_of(packets, audio_packets(duration_s=8)))
        assert not segmenter.irregularities
        for before, after in pairwise(read_track(chunks, VIDEO.track_id)):
            assert after.dts_ticks == before.dts_ticks + before.duration_ticks


class TestBeginning:
    def test_video_before_the_first_keyframe_is_dropped(self) -> None:
        samples = [video_sample(index * 33, is_keyframe=index % 60 == 30) for index in range(200)]
        chunks, segmenter = cut(samples, tracks=[VIDEO])
        assert segmenter.irregularities == {Irregularity.BEFORE_KEYFRAME: 30}
        assert chunks[0].start_ticks == samples[30].dts_ticks
        assert len(read_track(chunks, VIDEO.track_id)) == 170

    @pytest.mark.parametrize("audio_start_ms", [-900, -21, 0, 33, 900])
    def test_either_track_may_be_first(self, audio_start_ms: int) -> None:
        samples = samples_of(video_packets(30, 8, 60), audio_packets(duration_s=8, start_ms=audio_start_ms))
        chunks, segmenter = cut(samples)
        assert not segmenter.irregularities
        assert chunks[0].starts_segment
        assert chunks[0].start_ticks == next(s.dts_ticks for s in samples if s.track_id == VIDEO.track_id)

    @pytest.mark.parametrize(
        ("part_target_ms", "segment_target_ms"), [(0, 2000), (500, 400), (500, 11_000), (-1, 2000)]
    )
    def test_options_that_cannot_be_met_are_a_fault_of_ours(self, part_target_ms: int, segment_target_ms: int) -> None:
        with pytest.raises(AssertionError):
            SegmenterOptions(part_target_ms, segment_target_ms)


class TestClosesIn:
    """When the last frame of a part is to come, by timestamps."""

    def test_it_tells_of_every_part_once_the_cadence_is_known(self) -> None:
        segmenter = Segmenter((VIDEO, AUDIO), SegmenterOptions(), TIMING)
        told_ms: dict[int, int] = {}
        ends_ms: list[int] = []
        frames_before_a_keyframe: list[int] = []
        frame_ms = 0
        for sample in samples_of(video_packets(duration_s=4), audio_packets(duration_s=4)):
            closed = segmenter.push(sample)
            if sample.track_id == VIDEO.track_id:
                if sample.is_keyframe:
                    frames_before_a_keyframe.append(frame_ms)
                frame_ms = sample.dts_ticks * 1000 // VIDEO.timescale
                told_ms[frame_ms] = segmenter.closes_in_ms
                ends_ms += [frame_ms] * len(closed)
        assert len(ends_ms) >= 6
        for frame_ms, closes_in_ms in told_ms.items():
            later = [end_ms for end_ms in ends_ms if end_ms > frame_ms]
            if frame_ms in frames_before_a_keyframe:
                assert closes_in_ms == 0
            elif frame_ms > ends_ms[0] and later:
                assert abs(frame_ms + closes_in_ms - later[0]) <= 1

    @pytest.mark.parametrize(
        ("keyframes", "late_ms_max"),
        [
            (range(0, 600, 66), 40),
            (range(0, 600, 250), 40),
            # Scene cuts: one interval is like no other.
            ([0, 66, 77, 143, 210, 216, 300, 371, 444, 531], KEYFRAME_LATE_MS_MAX + 80),
        ],
        ids=["every 2.2 s", "every 8.3 s", "as they like"],
    )
    def test_who_reads_when_it_says_hears_of_each_part_in_time(
        self, keyframes: Sequence[int], late_ms_max: int
    ) -> None:
        segmenter = Segmenter((VIDEO,), SegmenterOptions(), PlaylistTiming(9, 500))
        packets = [
            replace(packet, is_keyframe=index in keyframes) for index, packet in enumerate(video_packets(duration_s=20))
        ]
        samples = samples_of(packets, tracks=(VIDEO,))
        late_ms: list[int] = []
        newest_ms = seen = 0
        while samples:
            awaited_ms = max(newest_ms + segmenter.closes_in_ms, samples[0].dts_ticks // 90)
            while samples and samples[0].dts_ticks // 90 <= awaited_ms:
                sample = samples.pop(0)
                newest_ms = sample.dts_ticks // 90
                # Until the first interval between keyframes is known, one may come at any time.
                is_known = seen > 1
                seen += sample.is_keyframe
                if segmenter.push(sample) and is_known:
                    late_ms.append(awaited_ms - newest_ms)
        assert len(late_ms) > 20
        assert max(late_ms) <= late_ms_max

    def test_it_is_not_known_before_the_decision_and_while_frames_come_as_they_like(self) -> None:
        undecided = Segmenter((VIDEO,), SegmenterOptions())
        irregular = Segmenter((VIDEO,), SegmenterOptions(), TIMING)
        for number, dts_ms in enumerate((0, 20, 90, 100, 190, 230)):
            sample = video_sample(dts_ms, is_keyframe=number == 0)
            undecided.push(sample)
            irregular.push(sample)
            assert undecided.closes_in_ms == 0
            assert irregular.closes_in_ms == 0
