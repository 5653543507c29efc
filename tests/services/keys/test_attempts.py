from __future__ import annotations

from datetime import timedelta

import pytest

from streamd.clock import ManualClock
from streamd.services.keys.attempts import ATTEMPTS_MAX, DETAIL_LENGTH_MAX, KEYS_MAX, LIVE, AttemptLog

KEY = "7k2m9xq4ct"
HERE, THERE = "192.0.2.1", "192.0.2.2"
NOW = ManualClock().now()
LATER = NOW + timedelta(seconds=5)


@pytest.fixture
def attempts() -> AttemptLog:
    return AttemptLog()


def test_refusals_for_one_reason_are_one_with_a_count(attempts: AttemptLog) -> None:
    for address, at in ((HERE, NOW), (THERE, LATER)):
        attempts.refuse(KEY, "revoked", address, at)
    (attempt,) = attempts.of(KEY)
    assert (attempt.result, attempt.count, attempt.at, attempt.address) == ("revoked", 2, LATER, THERE)


def test_whoever_guesses_pushes_nothing_out(attempts: AttemptLog) -> None:
    attempts.refuse(KEY, "busy", HERE, NOW)
    attempts.accept(KEY, HERE, NOW)
    attempts.refuse(KEY, "busy", HERE, NOW)
    for number in range(100):
        for result in ("unknown", "rate_limited"):
            attempts.refuse(KEY, result, f"192.0.2.{number}", LATER)
    assert [(attempt.result, attempt.count) for attempt in attempts.of(KEY)] == [
        ("busy", 1),
        (LIVE, 1),
        ("busy", 1),
        ("unknown", 100),
        ("rate_limited", 100),
    ]


def test_what_was_accepted_is_live_until_it_ends(attempts: AttemptLog) -> None:
    attempt = attempts.accept(KEY, HERE, NOW)
    assert [(one.result, one.ended_at) for one in attempts.of(KEY)] == [(LIVE, None)]
    attempt.end("media_error", "x" * 1000, LATER)
    (ended,) = attempts.of(KEY)
    assert (ended.result, ended.ended_at, ended.detail) == ("media_error", LATER, "x" * DETAIL_LENGTH_MAX)


def test_a_refusal_is_never_counted_into_a_broadcast(attempts: AttemptLog) -> None:
    attempts.accept(KEY, HERE, NOW).end("kicked", "", NOW)
    attempts.refuse(KEY, "kicked", HERE, LATER)
    assert [attempt.count for attempt in attempts.of(KEY)] == [1, 1]


def test_a_key_has_its_last_ones_alone(attempts: AttemptLog) -> None:
    for number in range(ATTEMPTS_MAX + 3):
        attempts.refuse(KEY, str(number), HERE, NOW)
    attempts.refuse("0000000000", "other", HERE, NOW)
    assert [attempt.result for attempt in attempts.of(KEY)] == [str(n) for n in range(3, ATTEMPTS_MAX + 3)]
    assert attempts.of("unknown") == ()


def test_the_keys_that_were_least_lately_tried_are_forgotten(attempts: AttemptLog) -> None:
    for number in range(KEYS_MAX):
        attempts.refuse(str(number), "revoked", HERE, NOW)
    attempts.refuse("0", "revoked", HERE, LATER)
    attempts.refuse("one more", "revoked", HERE, LATER)
    assert len(attempts) == KEYS_MAX
    assert attempts.of("0")
    assert not attempts.of("1")
