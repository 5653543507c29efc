from __future__ import annotations

import pytest

from streamd.media.packager.segment_starts import SEGMENT_TOLERANCE_MS, STARTS_KEPT, SegmentStarts


def starts(*times_ms: int) -> SegmentStarts:
    made = SegmentStarts()
    for time_ms in times_ms:
        made.add(time_ms)
    return made


@pytest.mark.parametrize(
    ("time_ms", "since_ms"),
    [(500, None), (980, 0), (1000, 0), (1020, 0), (1021, 21), (2999, 0), (2979, 1979), (4000, 1000)],
)
def test_how_long_ago_the_last_one_started(time_ms: int, since_ms: int | None) -> None:
    assert starts(1000, 3000).since_last(time_ms) == since_ms


def test_before_any_there_is_none() -> None:
    assert starts().since_last(1000) is None
    assert not starts().has_between(0, 10_000)


def test_one_after_a_time_and_not_after_another() -> None:
    known = starts(1000, 3000)
    assert known.has_between(999, 1000)
    assert not known.has_between(1000, 2999)
    assert known.has_between(1000, 3000)


def test_the_same_start_told_twice_is_one() -> None:
    known = starts(1000, 1000 + SEGMENT_TOLERANCE_MS, 1000 - SEGMENT_TOLERANCE_MS)
    assert known.since_last(2000) == 1000


def test_the_oldest_are_forgotten() -> None:
    known = starts(*range(0, 1000 * (STARTS_KEPT + 1), 1000))
    assert known.since_last(500) is None
    assert known.since_last(1500) == 500
