from __future__ import annotations

import pytest

from streamd.clock import ManualClock
from streamd.services.live.previews import LIFETIME_S, Previews


def test_a_ticket_is_for_one_channel_and_a_minute() -> None:
    clock = ManualClock()
    previews = Previews(clock)
    ticket = previews.ticket("alice")
    assert previews.is_good("alice", ticket)
    assert not previews.is_good("bob", ticket)
    clock.advance(LIFETIME_S + 1)
    assert not previews.is_good("alice", ticket)


def test_tickets_of_before_are_none_when_all_are_ended() -> None:
    previews = Previews(ManualClock())
    ticket = previews.ticket("alice")
    previews.end_all()
    assert not previews.is_good("alice", ticket)
    assert previews.is_good("alice", previews.ticket("alice"))


def test_another_server_knows_none_of_ours() -> None:
    clock = ManualClock()
    assert not Previews(clock).is_good("alice", Previews(clock).ticket("alice"))


@pytest.mark.parametrize(
    "made_up", ["", "-", "1", "99999999999-", "9" * 5000, "-1-" + "a" * 32, "²-" + "a" * 32, "999999-" + "é" * 32]
)
def test_what_somebody_made_up_is_none(made_up: str) -> None:
    assert not Previews(ManualClock()).is_good("alice", made_up)


def test_a_ticket_that_was_made_longer_lived_is_none() -> None:
    previews = Previews(ManualClock())
    _, _, mark = previews.ticket("alice").partition("-")
    assert not previews.is_good("alice", f"99999999-{mark}")
