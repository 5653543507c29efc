from __future__ import annotations

from dataclasses import replace

import pytest

from streamd.media.packager.queues import HELD_BYTES_MAX
from streamd.media.packager.timing import (
    DECISION_MS_MAX,
    OPENING_MS,
    TARGET_DURATION_S_MAX,
    PlaylistTiming,
    TimingDecision,
)
from streamd.media.packet import Sample, Track
from tests.support.samples import AUDIO, VIDEO, audio_sample, video_sample

X264 = bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef") + b"x264 - options: keyint=%d min-keyint=1 "


def decision(lead: Track = VIDEO, part_target_ms: int = 500, segment_target_ms: int = 2000) -> TimingDecision:
    return TimingDecision(lead, [lead, AUDIO], part_target_ms, segment_target_ms)


def hold(made: TimingDecision, sample: Sample) -> PlaylistTiming | None:
    made.hold(sample)
    return made.try_with(sample)


def with_frames(
    interval_ms: int, count: int, *, first: bytes = b"v", made: TimingDecision | None = None
) -> TimingDecision:
    """A decision for which so many frames wait already, the first one a keyframe."""
    made = made or decision()
    for index in range(count):
        sample = video_sample(index * interval_ms, is_keyframe=index == 0, payload=first if index == 0 else b"v")
        if index == 0:
            made.begin(sample)
        made.hold(sample)
    return made


class TestTargetDuration:
    """rfc8216bis 4.4.3.1."""

    @pytest.mark.parametrize(
        ("gop_ms", "target_s"), [(0, 2), (2000, 2), (2499, 2), (2500, 3), (4000, 4), (8333, 8), (60_000, 10)]
    )
    def test_it_is_the_longer_of_the_target_and_the_gop_rounded(self, gop_ms: int, target_s: int) -> None:
        assert decision().decide(90 * gop_ms).target_duration_s == target_s

    def test_a_gop_of_unknown_length_may_be_any(self) -> None:
        assert decision().decide(None).target_duration_s == TARGET_DURATION_S_MAX

    def test_the_second_keyframe_tells(self) -> None:
        made = with_frames(40, 50)
        assert hold(made, video_sample(1960)) is None
        assert hold(made, video_sample(3000, is_keyframe=True)) == PlaylistTiming(3, 500)
        assert len(made.samples) == 52

    def test_without_one_it_is_waited_for_a_while(self) -> None:
        made = with_frames(40, 50)
        assert hold(made, video_sample(DECISION_MS_MAX - 1)) is None
        assert hold(made, video_sample(DECISION_MS_MAX)) == PlaylistTiming(TARGET_DURATION_S_MAX, 500)

    def test_audio_is_the_clock_of_a_lead_that_does_not_come(self) -> None:
        made = decision()
        assert hold(made, audio_sample(0)) is None
        assert hold(made, audio_sample(0, start_ms=DECISION_MS_MAX + 999)) is None
        assert hold(made, audio_sample(0, start_ms=DECISION_MS_MAX + 1000)) == PlaylistTiming(10, 500)

    def test_too_many_bytes_decide_at_once(self) -> None:
        made = decision()
        assert hold(made, audio_sample(0)) is None
        assert hold(made, audio_sample(1, payload=bytes(HELD_BYTES_MAX))) == PlaylistTiming(10, 500)
        assert made.room_bytes < 0


class TestPartTarget:
    """rfc8216bis 4.4.3.7 and 4.4.4.9."""

    @pytest.mark.parametrize(
        ("interval_ms", "part_target_ms", "chosen_ms"),
        [
            (40, 500, 500),  # 12 frames fill 96 %
            (200, 500, 400),  # 2 frames fill 80 %
            (500, 500, 500),
            (600, 500, 600),  # not one fits
            (100, 333, 333),
        ],
    )
    def test_it_is_the_wanted_one_unless_frames_fill_it_badly(
        self, interval_ms: int, part_target_ms: int, chosen_ms: int
    ) -> None:
        made = with_frames(interval_ms, 6, made=decision(part_target_ms=part_target_ms))
        assert made.decide(0).part_target_ms == chosen_ms

    def test_dropped_frames_do_not_count(self) -> None:
        made = with_frames(40, 6)
        made.hold(video_sample(5000))
        assert made.decide(0).part_target_ms == 500

    def test_it_is_no_longer_than_a_segment(self) -> None:
        made = with_frames(1700, 3, made=decision(part_target_ms=500, segment_target_ms=1000))
        assert made.decide(0) == PlaylistTiming(1, 1000)

    def test_counted_audio_has_its_interval_beforehand(self) -> None:
        track = replace(AUDIO, timescale=8000)  # 128 ms a frame: 3 fill 77 %
        assert decision(track).decide(0).part_target_ms == 384


class TestEncodersWord:
    def test_it_is_believed_once_the_frame_rate_is_known(self) -> None:
        made = with_frames(40, 10, first=X264 % 50)
        assert made.try_with(made.samples[-1]) is None, "360 ms"
        assert hold(made, video_sample(400)) == PlaylistTiming(2, 500)
        assert made.opening_end == 90 * OPENING_MS

    @pytest.mark.parametrize(("frames", "target_duration_s"), [(75, 3), (100, 4), (240, 10), (250, 10), (99_999, 10)])
    def test_longer_gops_are_not_waited_for_either(self, frames: int, target_duration_s: int) -> None:
        made = with_frames(40, 10, first=X264 % frames)
        assert hold(made, video_sample(400)) == PlaylistTiming(target_duration_s, 500)
        assert made.opening_end == 90 * OPENING_MS

    def test_segments_of_a_second_have_no_opening(self) -> None:
        made = with_frames(40, 10, first=X264 % 25, made=decision(segment_target_ms=1000))
        assert hold(made, video_sample(400)) == PlaylistTiming(1, 500)
        assert made.opening_end is None

    def test_a_lead_that_has_not_begun_has_no_opening(self) -> None:
        made = decision()
        made.begin_with_opening()
        assert made.opening_end is None
