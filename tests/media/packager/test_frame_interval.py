from __future__ import annotations

from streamd.media.packager.frame_interval import STEADY_INTERVALS, FrameInterval

TOLERANCE, TICKS_MAX = 180, 90_000


def after(*times: int, frame_ticks: int = 0) -> FrameInterval:
    interval = FrameInterval(frame_ticks, TOLERANCE, TICKS_MAX)
    for time in times:
        interval.add(time)
    return interval


def test_before_the_first_frame_nothing_is_known() -> None:
    interval = after()
    assert (interval.has_begun, interval.ticks, interval.is_steady()) == (False, 0, False)
    assert after(5).has_begun


def test_it_is_steady_once_enough_intervals_agree() -> None:
    times = [3000 * index for index in range(STEADY_INTERVALS + 1)]
    assert not after(*times[:-1]).is_steady()
    interval = after(*times)
    assert interval.is_steady()
    assert (interval.ticks, interval.end) == (3000, times[-1] + 3000)


def test_what_the_wire_rounds_the_mean_does_not() -> None:
    times_ms = [int(index * 1000 / 30) for index in range(301)]
    interval = after(*(90 * time_ms for time_ms in times_ms))
    assert interval.ticks == 3000
    assert interval.ticks_min() == 3000, "300 steps leave no tick of the rounding"


def test_the_true_interval_may_be_less_by_the_rounding_over_all_steps() -> None:
    interval = after(0, 3000, 6000)
    assert interval.ticks_min() == 3000 - TOLERANCE // 2
    assert after(0).ticks_min() == 0


def test_another_interval_begins_the_count_anew() -> None:
    interval = after(*range(0, 30_000, 3000))
    interval.add(27_000 + 6000)
    assert (interval.ticks, interval.end, interval.is_steady()) == (6000, 39_000, False)


def test_a_pause_says_nothing_of_the_frames_after_it() -> None:
    interval = after(*range(0, 30_000, 3000))
    interval.add(27_000 + TICKS_MAX + 1)
    assert (interval.ticks, interval.is_steady()) == (3000, False)
    interval.add(27_000 + TICKS_MAX + 1 + 3000)
    assert interval.ticks == 3000


def test_counted_audio_is_steady_from_its_first_frame_on() -> None:
    interval = after(7000, frame_ticks=1024)
    assert (interval.is_steady(), interval.end, interval.ticks) == (True, 8024, 1024)
