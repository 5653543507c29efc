from __future__ import annotations

from dataclasses import replace

from streamd.media.packager.fragmenter import Fragmenter
from streamd.media.packet import Sample
from tests.support.samples import AUDIO, VIDEO, ReadSample, audio_sample, read_chunk, video_sample

HEADER = b"ftyp and moov"


DURATION = 33 * 90


def timed(sample: Sample, duration_ticks: int = DURATION) -> Sample:
    return replace(sample, duration_ticks=duration_ticks)


def fragments(*batches: list[Sample]) -> list[dict[int, list[ReadSample]]]:
    writer = Fragmenter([VIDEO, AUDIO], HEADER)
    return [read_chunk(writer.write([timed(sample) for sample in batch])).tracks for batch in batches]


class TestSamples:
    def test_the_cmaf_header_is_the_head(self) -> None:
        writer = Fragmenter([VIDEO, AUDIO], HEADER)
        assert writer.head == HEADER

    def test_are_told_apart(self) -> None:
        writer = Fragmenter([VIDEO, AUDIO], HEADER)
        assert writer.has_video
        assert writer.is_keyframe(timed(video_sample(0, is_keyframe=True)))
        assert not writer.is_keyframe(timed(video_sample(0)))
        assert not writer.is_keyframe(timed(audio_sample(0)))
        assert [writer.is_video(timed(sample)) for sample in (video_sample(0), audio_sample(0))] == [True, False]

    def test_time_is_milliseconds_whatever_the_timescale(self) -> None:
        writer = Fragmenter([VIDEO, AUDIO], HEADER)
        assert writer.time_ms(timed(video_sample(1033))) == 1033
        assert writer.time_ms(timed(audio_sample(48))) == 1024

    def test_the_last_keyframe_is_found(self) -> None:
        writer = Fragmenter([VIDEO, AUDIO], HEADER)
        samples = [
            audio_sample(0),
            video_sample(0, is_keyframe=True),
            video_sample(33, is_keyframe=True),
            audio_sample(1),
        ]
        assert [writer.last_keyframe(samples[:count]) for count in range(5)] == [-1, -1, 1, 2, 2]

    def test_viewers_begin_with_a_recovery_point_only_where_there_is_nothing_better(self) -> None:
        writer = Fragmenter([VIDEO, AUDIO], HEADER)
        samples = [
            replace(video_sample(ms, is_keyframe=True), is_sync=ms in (0, 4_000)) for ms in range(0, 20_000, 1_000)
        ]
        assert [ms for ms, each in zip(range(0, 20_000, 1_000), samples, strict=True) if writer.is_keyframe(each)] == [
            0,
            4_000,
            *range(14_000, 20_000, 1_000),
        ]
        assert Fragmenter([VIDEO, AUDIO], HEADER).last_keyframe(samples[:8]) == 4

    def test_payloads_are_summed(self) -> None:
        samples = [video_sample(0, is_keyframe=True), audio_sample(0), video_sample(33)]
        assert Fragmenter([VIDEO, AUDIO], HEADER).payload_bytes(samples) == sum(len(each.payload) for each in samples)

    def test_without_video_there_is_no_keyframe(self) -> None:
        writer = Fragmenter([AUDIO], HEADER)
        assert not writer.has_video
        assert not writer.is_keyframe(timed(audio_sample(0)))
        assert not writer.is_video(timed(audio_sample(0)))


class TestFragments:
    """ISO/IEC 14496-12 sections 8.8.5 and 8.8.12."""

    def test_are_numbered_without_a_gap(self) -> None:
        writer = Fragmenter([VIDEO], HEADER)
        numbers = [read_chunk(writer.write([timed(video_sample(ms))])).sequence_number for ms in (0, 33, 67)]
        assert numbers == [1, 2, 3]

    def test_a_whole_gop_has_its_own_times(self) -> None:
        gop = [video_sample(ms, is_keyframe=ms == 0, composition_ms=67) for ms in (0, 33, 67, 100)]
        writer = Fragmenter([VIDEO, AUDIO], HEADER)
        data = writer.write([timed(sample, ms * 90) for sample, ms in zip(gop, (33, 34, 33, 40), strict=True)])
        samples = read_chunk(data).tracks[VIDEO.track_id]
        assert [sample.duration_ticks // 90 for sample in samples] == [33, 34, 33, 40]
        assert [sample.dts_ticks for sample in samples] == [each.dts_ticks for each in gop]
        assert [sample.pts_ticks for sample in samples] == [each.pts_ticks for each in gop]
        assert [sample.is_sync for sample in samples] == [True, False, False, False]

    def test_tracks_are_sorted_out_of_the_order_of_arrival(self) -> None:
        batch = [audio_sample(0), video_sample(0, is_keyframe=True), audio_sample(1)]
        assert {track_id: len(own) for track_id, own in fragments(batch)[0].items()} == {1: 1, 2: 2}

    def test_a_track_without_samples_is_left_out(self) -> None:
        assert list(fragments([audio_sample(0)])[0]) == [AUDIO.track_id]
