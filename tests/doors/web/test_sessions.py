from __future__ import annotations

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
