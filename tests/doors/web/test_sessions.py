from __future__ import annotations

from datetime import timedelta

import pytest

from streamd.clock import ManualClock
from streamd.doors.web.sessions import SessionLimits, Sessions

LIMITS = SessionLimits(lifetime_s=100, idle_s=10, sessions_max=4, per_name_max=2)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sessions(clock: ManualClock) -> Sessions[str]:
    return Sessions(clock, LIMITS)


def test_a_session_is_found_by_its_token_alone(sessions: Sessions[str]) -> None:
    token = sessions.begin("alice", "holder")
    assert sessions.find(token) == "holder"
    for other in ("", "alice", token[:-1], token + "x", "\udcff"):
        assert sessions.find(other) is None


def test_no_token_is_kept(sessions: Sessions[str]) -> None:
    token = sessions.begin("alice", "holder")
    assert token not in repr(vars(sessions))


def test_it_ends_when_it_is_not_used(sessions: Sessions[str], clock: ManualClock) -> None:
    token = sessions.begin("alice", "holder")
    for _ in range(3):
        clock.advance(LIMITS.idle_s - 1)
        assert sessions.find(token) == "holder"
    clock.advance(LIMITS.idle_s)
    assert sessions.find(token) is None
    assert len(sessions) == 0


def test_it_ends_with_its_lifetime_however_much_it_is_used(sessions: Sessions[str], clock: ManualClock) -> None:
    token = sessions.begin("alice", "holder")
    for _ in range(19):
        clock.advance(5)
        assert sessions.find(token) == "holder"
    clock.advance(5)
    assert sessions.find(token) is None


def test_it_can_be_ended_more_than_once(sessions: Sessions[str]) -> None:
    token = sessions.begin("alice", "holder")
    for _ in range(2):
        sessions.end(token)
        assert sessions.find(token) is None


class TestOverARestart:
    """``restore`` takes what ``records`` gave, in a process whose clock began anew."""

    def go_on(self, before: Sessions[str], clock: ManualClock, secret: str = "") -> Sessions[str]:
        after = Sessions[str](clock, LIMITS)
        after.secret = secret
        after.restore(before.records(), lambda name: f"holder of {name}")
        return after

    def test_whoever_was_signed_in_still_is(self, sessions: Sessions[str], clock: ManualClock) -> None:
        token = sessions.begin("alice", "holder")
        later = ManualClock(clock.now() + timedelta(seconds=3))
        after = self.go_on(sessions, later)
        assert after.find(token) == "holder of alice"
        assert after.find("another") is None

    def test_time_runs_on_meanwhile(self, sessions: Sessions[str], clock: ManualClock) -> None:
        token = sessions.begin("alice", "holder")
        idle = ManualClock(clock.now() + timedelta(seconds=LIMITS.idle_s))
        assert self.go_on(sessions, idle).find(token) is None
        later = ManualClock(clock.now() + timedelta(seconds=LIMITS.idle_s - 1))
        after = self.go_on(sessions, later)
        later.advance(1)
        assert after.find(token) is None
        for _ in range(19):
            clock.advance(5)
            assert sessions.find(token) == "holder"
        later = ManualClock(clock.now() + timedelta(seconds=4))
        after = self.go_on(sessions, later)
        assert after.find(token) == "holder of alice"
        later.advance(1)
        assert after.find(token) is None

    def test_a_clock_that_was_set_back_makes_none_longer(self, sessions: Sessions[str], clock: ManualClock) -> None:
        token = sessions.begin("alice", "holder")
        back = ManualClock(clock.now() - timedelta(days=1))
        after = self.go_on(sessions, back)
        for _ in range(19):
            back.advance(5)
            assert after.find(token) == "holder of alice"
        back.advance(5)
        assert after.find(token) is None

    def test_who_was_signed_out_stays_so(self, sessions: Sessions[str], clock: ManualClock) -> None:
        token = sessions.begin("alice", "holder")
        sessions.end(token)
        assert self.go_on(sessions, clock).find(token) is None

    def test_with_another_secret_none_is_known(self, clock: ManualClock) -> None:
        before = Sessions[str](clock, LIMITS)
        before.secret = "secret"
        token = before.begin("alice", "holder")
        assert self.go_on(before, clock, "secret").find(token) == "holder of alice"
        assert self.go_on(before, clock, "another").find(token) is None

    def test_what_is_kept_signs_nobody_in(self, sessions: Sessions[str], clock: ManualClock) -> None:
        token = sessions.begin("alice", "holder")
        (record,) = sessions.records()
        assert token not in repr(record)
        assert self.go_on(sessions, clock).find(record.mark) is None


class TestLimits:
    def test_one_name_pushes_out_its_own_sessions_only(self, sessions: Sessions[str]) -> None:
        other = sessions.begin("bob", "b")
        tokens = [sessions.begin("alice", str(number)) for number in range(5)]
        assert [sessions.find(token) for token in tokens] == [None, None, None, "3", "4"]
        assert sessions.find(other) == "b"

    def test_beyond_the_number_the_least_lately_used_goes(self, sessions: Sessions[str], clock: ManualClock) -> None:
        tokens = [sessions.begin(str(number), str(number)) for number in range(4)]
        clock.advance(1)
        assert sessions.find(tokens[0]) == "0"
        sessions.begin("one more", "4")
        assert [sessions.find(token) for token in tokens] == ["0", None, "2", "3"]
        assert len(sessions) == 4
