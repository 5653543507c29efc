from __future__ import annotations

from itertools import pairwise

import pytest

from streamd.media.packet import Sample
from streamd.packager.fragmenter import Fragmenter
from tests.support.samples import AUDIO, VIDEO, ReadSample, audio_sample, read_chunk, video_sample

HEADER = b"ftyp and moov"


def fragments(*batches: list[Sample]) -> list[dict[int, list[ReadSample]]]:
    writer = Fragmenter([VIDEO, AUDIO], HEADER)
    return [read_chunk(writer.write(batch)).tracks for batch in batches]


class TestSamples:
    def test_the_cmaf_header_is_the_head(self) -> None:
        writer = Fragmenter([VIDEO, AUDIO], HEADER)
        assert writer.head == HEADER

    def test_are_told_apart(self) -> None:
        writer = Fragmenter([VIDEO, AUDIO], HEADER)
        assert writer.has_video
        assert writer.is_keyframe(video_sample(0, is_keyframe=True))
        assert not writer.is_keyframe(video_sample(0))
        assert not writer.is_keyframe(audio_sample(0))
        assert [writer.is_video(sample) for sample in (video_sample(0), audio_sample(0))] == [True, False]

    def test_time_is_milliseconds_whatever_the_timescale(self) -> None:
        writer = Fragmenter([VIDEO, AUDIO], HEADER)
        assert writer.time_ms(video_sample(1033)) == 1033
        assert writer.time_ms(audio_sample(48)) == 1024

    def test_without_video_there_is_no_keyframe(self) -> None:
        writer = Fragmenter([AUDIO], HEADER)
        assert not writer.has_video
        assert not writer.is_keyframe(audio_sample(0))
        assert not writer.is_video(audio_sample(0))


class TestFragments:
    """ISO/IEC 14496-12 sections 8.8.5 and 8.8.12."""

    def test_are_numbered_without_a_gap(self) -> None:
        writer = Fragmenter([VIDEO], HEADER)
        numbers = [read_chunk(writer.write([video_sample(ms)])).sequence_number for ms in (0, 33, 67)]
        assert numbers == [1, 2, 3]

    def test_a_whole_gop_has_its_own_times(self) -> None:
        gop = [video_sample(ms, is_keyframe=ms == 0, composition_ms=67) for ms in (0, 33, 67, 100)]
        samples = fragments(gop)[0][VIDEO.track_id]
        assert [sample.dts_ticks for sample in samples] == [each.dts_ticks for each in gop]
        assert [sample.pts_ticks for sample in samples] == [each.pts_ticks for each in gop]
        assert [sample.is_sync for sample in samples] == [True, False, False, False]

    def test_tracks_are_sorted_out_of_the_order_of_arrival(self) -> None:
        batch = [audio_sample(0), video_sample(0, is_keyframe=True), audio_sample(1)]
        assert {track_id: len(own) for track_id, own in fragments(batch)[0].items()} == {1: 1, 2: 2}

    def test_a_track_without_samples_is_left_out(self) -> None:
        assert list(fragments([audio_sample(0)])[0]) == [AUDIO.track_id]

    @pytest.mark.parametrize("frames_per_fragment", [1, 2, 7])
    def test_the_end_that_is_predicted_never_overlaps_the_next_fragment(self, frames_per_fragment: int) -> None:
        # 29.97 frames a second as FLV rounds them: steps of 33 and 34 ms.
        samples = [video_sample(index * 1001 // 30) for index in range(70)]
        batches = [samples[i : i + frames_per_fragment] for i in range(0, len(samples), frames_per_fragment)]
        written = [sample for fragment in fragments(*batches) for sample in fragment[VIDEO.track_id]]
        assert [sample.dts_ticks for sample in written] == [sample.dts_ticks for sample in samples]
        for earlier, later in list(pairwise(written))[1:]:
            end = earlier.dts_ticks + earlier.duration_ticks
            assert later.dts_ticks - 90 <= end <= later.dts_ticks

    def test_counted_audio_has_neither_gap_nor_overlap(self) -> None:
        written = [
            sample
            for fragment in fragments(*([audio_sample(index)] for index in range(5)))
            for sample in fragment[AUDIO.track_id]
        ]
        assert [sample.duration_ticks for sample in written] == [1024] * 5

    def test_a_pause_is_told_by_the_next_decode_time(self) -> None:
        first, second = fragments([video_sample(0), video_sample(33)], [video_sample(5000)])
        assert first[VIDEO.track_id][-1].duration_ticks == 33 * 90
        assert second[VIDEO.track_id][0].dts_ticks == 5000 * 90
