from __future__ import annotations

from dataclasses import replace

import pytest

from streamd.media.packager.cadence import KEYFRAME_LATE_MS_MAX, Cadence
from streamd.media.packager.frame_interval import FrameInterval
from streamd.media.packager.segment_starts import SegmentStarts
from streamd.media.packager.timing import PlaylistTiming
from streamd.media.packet import Track
from tests.support.samples import AUDIO, VIDEO

# Ticks of video: 30 frames a second, parts of half a second, segments of two.
FRAME, PART, SECOND = 3000, 45_000, 90_000


def steady(until: int, step: int = FRAME) -> FrameInterval:
    """Frames up to a time, that one included."""
    interval = FrameInterval(0, 180, SECOND)
    for time in range(until - 10 * step, until + 1, step):
        interval.add(time)
    return interval


def cadence(
    interval: FrameInterval | None = None,
    *,
    track: Track = VIDEO,
    timing: PlaylistTiming | None = None,
    starts: SegmentStarts | None = None,
    opening_end: int | None = None,
    position: int = 0,
) -> Cadence:
    made = Cadence(track, interval or steady(14 * FRAME), 2000, starts)
    made.set_timing(timing or PlaylistTiming(4, 500), opening_end)
    made.open(position)
    return made


class TestPart:
    def test_it_ends_with_its_own_last_frame(self) -> None:
        made = cadence(steady(13 * FRAME))
        assert made.end_with(13 * FRAME, 14) == 0, "there is room for the fifteenth"
        assert cadence(steady(14 * FRAME)).end_with(14 * FRAME, 15) == PART

    def test_it_is_no_longer_than_its_target(self) -> None:
        # Of 12 frames a second six are 1 ms late: they would end 1 ms past the target.
        late = 90
        made = cadence(steady(5 * 7500 + late, step=7500))
        assert made.end_with(5 * 7500 + late, 6) == PART

    def test_where_the_end_cannot_be_told_the_next_frame_is_waited_for(self) -> None:
        interval = steady(14 * FRAME)
        interval.add(14 * FRAME + 4321)
        made = cadence(interval)
        assert made.end_with(14 * FRAME + 4321, 16) == made.position
        assert made.ends_before(14 * FRAME + 4321)

    def test_a_steady_one_does_not_end_before_a_frame(self) -> None:
        assert not cadence().ends_before(14 * FRAME)

    def test_most_frames_are_in_its_middle(self) -> None:
        made = cadence()
        # 85 % of a part are 38,250 ticks.
        assert made.is_mid_part(11 * FRAME)
        assert not made.is_mid_part(12 * FRAME)

    def test_a_frame_that_comes_early_is_given_some_time_in_it(self) -> None:
        made = cadence(position=PART)
        assert made.boundary(PART - 500) == PART + 180
        assert made.boundary(PART + 500) == PART + 500

    def test_what_was_predicted_is_told(self) -> None:
        assert cadence(steady(4 * FRAME)).closes_in_ms(is_empty=False) == 333
        assert cadence(steady(14 * FRAME)).closes_in_ms(is_empty=False) == 0

    def test_where_a_keyframe_may_come_the_next_frame_is_the_one(self) -> None:
        made = cadence(steady(2 * SECOND), position=0)
        made.close(2 * SECOND, starts_with_keyframe=True)
        assert made.closes_in_ms(is_empty=True) == 0
        assert made.closes_in_ms(is_empty=False) > 0

    def test_a_keyframe_is_awaited_when_it_is_due_in_the_middle_of_a_part(self) -> None:
        # Every 2.2 s: the newest frame but three stands before the third.
        newest = 2 * 66 * FRAME - 3 * FRAME
        made = cadence(steady(newest), position=66 * FRAME)
        for keyframe in range(2):
            made.note_keyframe(keyframe * 66 * FRAME)
        made.close(newest - 4 * FRAME, starts_with_keyframe=True)
        assert made.closes_in_ms(is_empty=False) == 100

    def test_one_that_ends_no_segment_is_not(self) -> None:
        made = cadence(steady(10 * FRAME), timing=PlaylistTiming(10, 500))
        for keyframe in range(-16, 2, 8):
            made.note_keyframe(keyframe * FRAME)
        assert made.closes_in_ms(is_empty=False) == 133

    def test_where_they_come_as_they_like_one_is_not_heard_late_by_much(self) -> None:
        made = cadence(steady(2 * SECOND + FRAME))
        for keyframe in (0, 7, 30):
            made.note_keyframe(keyframe * FRAME)
        made.close(2 * SECOND, starts_with_keyframe=True)
        assert made.closes_in_ms(is_empty=False) == 33 + KEYFRAME_LATE_MS_MAX

    def test_the_end_of_the_opening_is_awaited_too(self) -> None:
        made = cadence(steady(16 * FRAME), position=PART, opening_end=SECOND * 3 // 4)
        made.note_keyframe(0)
        # 750 ms lie between the frames at 733 and 767 ms.
        assert made.closes_in_ms(is_empty=False) == 233

    def test_nothing_is_told_before_the_first(self) -> None:
        made = Cadence(VIDEO, steady(0), 2000, None)
        assert made.closes_in_ms(is_empty=True) == 0


class TestSegment:
    @pytest.mark.parametrize(("duration", "is_due"), [(2 * SECOND - 1800, True), (2 * SECOND - 1801, False)])
    def test_a_keyframe_starts_one_from_the_target_on(self, duration: int, is_due: bool) -> None:
        made = cadence(timing=PlaylistTiming(4, 500))
        made.note_keyframe(0)
        assert made.is_segment_due(duration, duration) == is_due

    def test_sooner_where_the_next_keyframe_would_come_too_late(self) -> None:
        made = cadence(timing=PlaylistTiming(2, 500))
        made.note_keyframe(0)
        made.note_keyframe(SECOND)
        assert not made.is_segment_due(SECOND, SECOND)
        made.note_keyframe(SECOND + 3 * SECOND // 2)
        assert made.is_segment_due(SECOND, SECOND)

    def test_sooner_where_the_one_before_has_no_keyframe(self) -> None:
        made = cadence()
        made.close(PART, starts_with_keyframe=False)
        assert made.is_segment_due(PART, PART)
        made.start_segment()
        made.close(2 * PART, starts_with_keyframe=True)
        assert not made.is_segment_due(2 * PART, 2 * PART)

    def test_of_a_second_none_is_cut_short(self) -> None:
        made = Cadence(VIDEO, steady(0), 1000, None)
        made.set_timing(PlaylistTiming(1, 500))
        made.open(0)
        made.close(PART, starts_with_keyframe=False)
        assert not made.is_segment_due(PART, PART)

    def test_one_that_would_be_too_long_is_started_without(self) -> None:
        made = cadence(timing=PlaylistTiming(2, 500))
        assert not made.is_overlong(5 * SECOND), "it starts one already"
        made.close(2 * SECOND, starts_with_keyframe=True)
        assert not made.is_overlong(5 * SECOND // 2 - 1)
        assert made.is_overlong(5 * SECOND // 2), "2.5 s are rounded to 3"
        made.start_segment()
        assert not made.is_overlong(5 * SECOND // 2)

    def test_a_leap_starts_one_where_it_lands(self) -> None:
        made = cadence()
        made.close(PART, starts_with_keyframe=True)
        made.leap(20 * SECOND)
        assert (made.position, made.starts_segment) == (20 * SECOND, True)


class TestOpening:
    def test_the_first_segment_ends_sooner_and_once(self) -> None:
        made = cadence(opening_end=3 * SECOND // 4)
        assert not made.is_opening_over(3 * SECOND // 4 - 1)
        assert made.is_opening_over(3 * SECOND // 4)
        made.end_opening()
        assert not made.is_opening_over(10 * SECOND)

    def test_the_frame_before_its_end_is_in_the_middle_of_a_part(self) -> None:
        made = cadence(opening_end=SECOND // 4)
        assert made.is_mid_part(SECOND // 4 - FRAME - 1)
        assert not made.is_mid_part(SECOND // 4 - FRAME)

    def test_the_segment_behind_it_is_as_good_as_one_with_a_keyframe(self) -> None:
        made = cadence(opening_end=PART)
        made.close(PART, starts_with_keyframe=True)
        made.start_with(PART)
        made.end_opening()
        made.close(2 * PART, starts_with_keyframe=False)
        assert not made.is_segment_due(2 * PART, 2 * PART)


class TestSeveralRenditions:
    def test_a_keyframe_starts_a_segment_where_the_others_did(self) -> None:
        starts = SegmentStarts()
        made, other = cadence(starts=starts), cadence(starts=starts)
        made.start_with(0)
        other.start_with(0)
        made.start_with(5 * SECOND // 4)
        assert other.is_segment_due(5 * SECOND // 4, 5 * SECOND // 4)
        assert not other.is_segment_due(SECOND, SECOND)

    def test_a_start_is_used_once(self) -> None:
        starts = SegmentStarts()
        made = cadence(starts=starts)
        made.start_with(0)
        made.close(FRAME, starts_with_keyframe=True)
        assert not made.is_segment_due(FRAME, 0)

    def test_audio_follows_the_starts_of_the_video(self) -> None:
        starts = SegmentStarts()
        made = cadence(FrameInterval(1024, 96, 48_000), track=AUDIO, starts=starts)
        starts.add(0)
        starts.add(2000)
        made.close(72_000, starts_with_keyframe=True)
        assert not made.starts_segment
        made.close(96_000, starts_with_keyframe=True)
        assert made.starts_segment


class TestAudioAlone:
    def test_a_segment_ends_at_the_part_boundary_nearest_to_its_target(self) -> None:
        made = cadence(FrameInterval(1024, 96, 48_000), track=replace(AUDIO, track_id=1))
        ends = []
        for number in range(1, 9):
            made.close(number * 23_552, starts_with_keyframe=True)
            if made.starts_segment:
                ends.append(number)
        assert ends == [4, 8]
        assert not made.is_segment_due(10 * 48_000, 10 * 48_000)
