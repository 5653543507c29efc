"""When a worker that died is started again."""

from __future__ import annotations

from streamd.process.crew.restarts import DELAY_S_MAX, STEADY_S, Restarts


def deaths(restarts: Restarts, *lived_s: float) -> list[float]:
    now, delays = 0.0, []
    for each in lived_s:
        restarts.note_started(now)
        now += each
        delays.append(restarts.delay_s(now))
        now += delays[-1]
    return delays


def test_the_first_time_at_once() -> None:
    assert deaths(Restarts(), 5.0) == [0.0]


def test_later_and_later_where_it_dies_again_and_again() -> None:
    assert deaths(Restarts(), *[1.0] * 9) == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, DELAY_S_MAX, DELAY_S_MAX, DELAY_S_MAX]


def test_one_that_lived_for_long_is_started_at_once() -> None:
    assert deaths(Restarts(), 1.0, 1.0, 1.0, STEADY_S, 1.0) == [0.0, 1.0, 2.0, 0.0, 1.0]


def test_a_thousand_deaths_have_the_longest_delay() -> None:
    assert deaths(Restarts(), *[1.0] * 1000)[-1] == DELAY_S_MAX
