"""When a bucket that failed is asked again."""

from __future__ import annotations

from streamd.clock import ManualClock
from streamd.services.storage.backoff import LAST_S, Backoff


def test_the_time_doubles_up_to_a_minute_and_a_success_ends_it() -> None:
    clock = ManualClock()
    backoff = Backoff(clock, lambda: 1.0)
    waited = []
    for _ in range(9):
        backoff.note_failure()
        assert backoff.has_failed
        seconds = 0
        while not backoff.is_due:
            clock.advance(1)
            seconds += 1
        waited.append(seconds)
    assert waited == [1, 2, 4, 8, 16, 32, LAST_S, LAST_S, LAST_S]
    backoff.note_success()
    assert backoff.is_due
    assert not backoff.has_failed
    backoff.note_failure()
    clock.advance(1)
    assert backoff.is_due


def test_servers_do_not_come_back_together() -> None:
    clock = ManualClock()
    early, late = Backoff(clock, lambda: 0.0), Backoff(clock, lambda: 1.0)
    for backoff in (early, late):
        backoff.note_failure()
    clock.advance(0.5)
    assert early.is_due
    assert not late.is_due
