from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from streamd.errors import ClipTimesError
from streamd.services.recording.clip_times import (
    CLIP_SEGMENTS_MAX,
    ENDED_SLACK_MS,
    OPEN_SLACK_MS,
    ROUNDING_MS,
    ClipRange,
    ClipTimes,
    choose_segments,
    same_time,
)
from streamd.services.recording.playlist_file import RecordedSegment

if TYPE_CHECKING:
    from collections.abc import Sequence

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEGAN_MS = round(BEGAN.timestamp() * 1000)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def segments(*lengths: float, began: float = 0) -> list[RecordedSegment]:
    """Segments one behind the other, dated so."""
    made: list[RecordedSegment] = []
    place = began
    for number, length in enumerate(lengths):
        made.append(
            RecordedSegment(0, 100 * number, 100, round(length * 1e6), BEGAN_MS + round(place * 1000), 0, False)
        )
        place += length
    return made


TEN = segments(*[2] * 5)


def choose(asked: ClipTimes, among: Sequence[RecordedSegment] = TEN, *, is_open: bool = False) -> ClipRange:
    return choose_segments(among, asked, max_ms=90_000, is_open=is_open)


class TestPlacesInTheRecording:
    @pytest.mark.parametrize(
        ("asked", "chosen", "actual"),
        [
            ((0, 2000), (0, 1), (0, 2000)),
            ((1, 1999), (0, 1), (0, 2000)),
            ((1999, 2001), (0, 2), (0, 4000)),
            ((2000, 4000), (1, 2), (2000, 4000)),
            ((3000, 9000), (1, 5), (2000, 10_000)),
            ((0, 10_000), (0, 5), (0, 10_000)),
            ((9999, 10_000), (4, 5), (8000, 10_000)),
            ((8000, 10_000 + ENDED_SLACK_MS), (4, 5), (8000, 10_000)),
        ],
    )
    def test_are_in_whole_segments(
        self, asked: tuple[int, int], chosen: tuple[int, int], actual: tuple[int, int]
    ) -> None:
        found = choose(ClipTimes(*asked))
        assert (found.first, found.stop) == chosen
        assert (found.start_ms, found.end_ms) == asked
        assert (found.start_actual_ms, found.end_actual_ms) == actual

    @pytest.mark.parametrize(
        ("start", "end", "fault"),
        [
            (-1, 2000, "before the beginning"),
            (2000, 2000, "before end"),
            (4000, 2000, "before end"),
            (-5, -2, "before the beginning"),
            (10_000, 12_000, "start lies behind"),
            (8000, 10_001 + ENDED_SLACK_MS, "end lies behind"),
            (0, 90_001 + ROUNDING_MS, "90 s at most"),
            (10**14, 10**14 + 5, "start lies behind"),
        ],
    )
    def test_that_do_not_fit_are_refused(self, start: int, end: int, fault: str) -> None:
        with pytest.raises(ClipTimesError, match=fault):
            choose(ClipTimes(start, end))

    def test_may_lie_in_what_is_not_whole_yet(self) -> None:
        found = choose(ClipTimes(9000, 10_000 + OPEN_SLACK_MS), is_open=True)
        assert (found.first, found.stop, found.end_actual_ms) == (4, 5, 10_000)
        with pytest.raises(ClipTimesError, match="end lies behind"):
            choose(ClipTimes(9000, 10_001 + OPEN_SLACK_MS), is_open=True)
        with pytest.raises(ClipTimesError, match="start lies behind"):
            choose(ClipTimes(10_000, 12_000), is_open=True)

    def test_need_a_segment(self) -> None:
        with pytest.raises(ClipTimesError, match="nothing is recorded yet"):
            choose(ClipTimes(0, 1000), [])

    def test_of_tiny_segments_have_a_bound(self) -> None:
        tiny = segments(*[0.05] * (CLIP_SEGMENTS_MAX + 1))
        with pytest.raises(ClipTimesError, match="more than a clip has"):
            choose(ClipTimes(0, 50 * (CLIP_SEGMENTS_MAX + 1)), tiny)
        assert choose(ClipTimes(0, 50 * CLIP_SEGMENTS_MAX), tiny).stop == CLIP_SEGMENTS_MAX


class TestTheLastSeconds:
    @pytest.mark.parametrize(
        ("last_ms", "first", "start_ms"), [(1, 4, 9999), (2000, 4, 8000), (2001, 3, 7999), (10_000, 0, 0)]
    )
    def test_end_with_what_is_recorded(self, last_ms: int, first: int, start_ms: int) -> None:
        found = choose(ClipTimes(last_ms=last_ms))
        assert (found.first, found.stop, found.start_ms, found.end_ms) == (first, 5, start_ms, 10_000)

    def test_are_all_there_is_where_that_is_less(self) -> None:
        assert choose(ClipTimes(last_ms=60_000)).first == 0

    def test_are_bounded(self) -> None:
        with pytest.raises(ClipTimesError, match="90 s at most"):
            choose(ClipTimes(last_ms=90_001))


class TestInstants:
    def test_are_those_of_the_pictures(self) -> None:
        found = choose(ClipTimes(at(2.5), at(5.5)))
        assert (found.first, found.stop, found.start_ms, found.end_ms) == (1, 3, 2500, 5500)

    def test_that_are_as_far_apart_as_a_clip_is_long_are_never_too_far(self) -> None:
        # Segments of sound: 2.005333 s, in dates and lengths of whole milliseconds.
        among = segments(*[94 * 1024 / 48000] * 5)
        for begin_ms in range(6000):
            begin = BEGAN + timedelta(milliseconds=begin_ms)
            asked = ClipTimes(begin, begin + timedelta(seconds=4))
            found = choose_segments(among, asked, max_ms=4000, is_open=False)
            assert found.end_ms - found.start_ms == pytest.approx(4000, abs=ROUNDING_MS)

    def test_of_a_viewer_whose_last_seconds_began_before_the_recording_are_from_its_beginning(self) -> None:
        found = choose(ClipTimes(at(-27.5), at(2.5)))
        assert (found.start_ms, found.end_ms, found.first, found.stop) == (0, 2500, 0, 2)
        # Who counts from the beginning knows where it is.
        with pytest.raises(ClipTimesError, match="before the beginning"):
            choose(ClipTimes(-1, 2500))

    def test_may_be_mixed_with_places(self) -> None:
        assert choose(ClipTimes(2000, at(5.5))).stop == 3

    @pytest.mark.parametrize(
        ("start", "end", "fault"),
        [
            (-91, 2, "before the beginning"),
            (-2, 0, "before the beginning"),
            (10, 11, "start lies behind"),
            (8, 12, "end lies behind"),
            (1e9, 1e9 + 1, "start lies behind"),
            (-1e9, 5, "before the beginning"),
        ],
    )
    def test_outside_of_the_recording_are_refused(self, start: float, end: float, fault: str) -> None:
        with pytest.raises(ClipTimesError, match=fault):
            choose(ClipTimes(at(start), at(end)))

    def test_in_a_gap_are_where_it_ends(self) -> None:
        """The encoder was away from 4 to 60."""
        broken = segments(2, 2) + segments(2, 2, began=60)
        found = choose(ClipTimes(at(3), at(61)), broken)
        assert (found.first, found.stop, found.end_ms) == (1, 3, 5000)
        found = choose(ClipTimes(at(30), at(61)), broken)
        assert (found.first, found.stop, found.start_ms) == (2, 3, 4000)
        found = choose(ClipTimes(at(3), at(30)), broken)
        assert (found.first, found.stop, found.end_ms) == (1, 2, 4000)

    def test_that_were_twice_are_the_newer_ones(self) -> None:
        """The clock was set back by an hour."""
        twice = segments(2, 2, 2) + segments(2, 2, 2)
        assert choose(ClipTimes(at(0), at(2)), twice).first == 3

    def test_before_a_clock_that_was_set_back_are_before_the_beginning(self) -> None:
        back = segments(2, 2) + segments(2, 2, began=-3600)
        with pytest.raises(ClipTimesError, match="before the beginning"):
            choose(ClipTimes(at(-7200), 4000), back)
        # Between the two times of the clock there was no picture.
        with pytest.raises(ClipTimesError):
            choose(ClipTimes(at(-1800), 4000 - 1), back)


class TestOtherRenditions:
    def chosen(self, first: int, stop: int) -> ClipRange:
        return ClipRange(first, stop, 0, 0, 2000 * first, 2000 * stop)

    def test_with_the_same_segments_have_the_same(self) -> None:
        assert same_time(TEN, TEN, self.chosen(1, 3)) == (1, 3)

    def test_with_others_have_those_of_the_same_time(self) -> None:
        sound = segments(1.9, 2.1, 1.9, 2.1, 2)
        assert same_time(sound, TEN, self.chosen(1, 3)) == (1, 3)
        halves = segments(*[1] * 10)
        assert same_time(halves, TEN, self.chosen(1, 3)) == (2, 6)

    def test_that_were_not_there_then_have_none(self) -> None:
        first, stop = same_time(segments(2, 2, began=100), TEN, self.chosen(0, 2))
        assert first == stop

    def test_of_a_clock_that_was_set_back_have_the_nearer_ones(self) -> None:
        twice = segments(2, 2, 2) + segments(2, 2, 2)
        assert same_time(twice, twice, self.chosen(1, 2)) == (1, 2)
        assert same_time(twice, twice, self.chosen(4, 5)) == (4, 5)
