from __future__ import annotations

from streamd.media.packager.segment_bit_rate import SegmentBitRate

SECOND_US = 1_000_000


def measured(target_duration_s: int, segments: list[tuple[int, float]], segments_max: int = 256) -> tuple[int, int]:
    """Peak and average of segments that are given as bytes and seconds."""
    rate = SegmentBitRate(target_duration_s, segments_max)
    for size_bytes, seconds in segments:
        rate.add(size_bytes, round(seconds * SECOND_US))
    return rate.peak, rate.average


def test_before_the_first_segment_nothing_is_known() -> None:
    assert measured(2, []) == (0, 0)


def test_the_peak_is_the_largest_and_the_average_that_of_all() -> None:
    assert measured(2, [(4000, 2), (4000, 2), (8000, 2), (4000, 2)]) == (32_000, 20_000)


def test_a_tiny_segment_is_no_peak_alone() -> None:
    # 1000 bytes in 0.1 s count only with the 2 s beside them.
    peak, _ = measured(2, [(4000, 2), (1000, 0.1), (4000, 2)])
    assert peak == -(-5000 * 8 * 10 // 21)


def test_where_all_is_short_the_average_is_the_peak() -> None:
    assert measured(10, [(1000, 0.5), (1000, 0.5)]) == (16_000, 16_000)


def test_a_set_has_no_more_segments_than_are_listed() -> None:
    # Ten of a tenth of a second make the second from which on a set counts; two do not.
    segments = [(1000, 0.1)] * 10 + [(2, 1.0)] * 10
    assert measured(2, segments)[0] > measured(2, segments, segments_max=2)[0]
