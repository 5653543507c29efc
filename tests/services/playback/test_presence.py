"""Viewings whose number is bounded."""

from __future__ import annotations

import pytest

from streamd.services.playback import presence
from streamd.services.playback.presence import VIEWING_S, Presence
from streamd.services.playback.ticket import NO_DIGEST, Ticket

ALICE, BOB = b"alice---", b"bob-----"


def ticket(who: bytes, session: bytes, viewers_max: int = 1) -> Ticket:
    return Ticket("0" * 8, 1, 1, session, b"a token-", viewer=who, viewers_max=viewers_max)


def test_as_many_as_may() -> None:
    room = Presence()
    assert room.note(ticket(ALICE, b"1", 2), 0.0)
    assert room.note(ticket(ALICE, b"2", 2), 0.0)
    assert not room.note(ticket(ALICE, b"3", 2), 0.0)
    assert room.note(ticket(BOB, b"3", 2), 0.0)
    assert room.note(ticket(ALICE, b"1", 2), 1.0)


def test_a_viewing_that_asks_no_more_makes_room() -> None:
    room = Presence()
    room.note(ticket(ALICE, b"1", 1), 0.0)
    assert not room.note(ticket(ALICE, b"2", 1), VIEWING_S)
    assert room.note(ticket(ALICE, b"2", 1), VIEWING_S + 0.1)
    assert not room.note(ticket(ALICE, b"1", 1), VIEWING_S + 0.2)


def test_one_that_holds_a_connection_stays_until_it_ends() -> None:
    room = Presence()
    room.note(ticket(ALICE, b"1", 1), 0.0)
    room.hold(ticket(ALICE, b"1"))
    assert not room.note(ticket(ALICE, b"2", 1), 1e6)
    room.end(ticket(ALICE, b"1"))
    assert room.note(ticket(ALICE, b"2", 1), 1e6)


def test_one_that_holds_two_connections_stays_until_both_end() -> None:
    room = Presence()
    room.note(ticket(ALICE, b"1", 1), 0.0)
    room.hold(ticket(ALICE, b"1"))
    room.hold(ticket(ALICE, b"1"))
    room.end(ticket(ALICE, b"1"))
    assert not room.note(ticket(ALICE, b"2", 1), 1e6)
    room.end(ticket(ALICE, b"1"))
    assert room.note(ticket(ALICE, b"2", 1), 1e6)


def test_what_is_not_known_is_held_and_ended_without_effect() -> None:
    room = Presence()
    room.hold(ticket(ALICE, b"1"))
    room.end(ticket(ALICE, b"1"))
    assert len(room) == 0


def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "VIEWINGS_MAX", 10)
    room = Presence()
    for number in range(100):
        room.note(ticket(number.to_bytes(8, "big"), b"1"), 0.0)
    assert len(room) == 10
    assert not room.note(ticket((99).to_bytes(8, "big"), b"2", 1), 0.0)
    assert room.note(ticket((1).to_bytes(8, "big"), b"2", 1), 0.0)


def test_a_ticket_without_a_bound_is_not_counted() -> None:
    room = Presence()
    for _ in range(3):
        assert room.note(ticket(ALICE, b"1", 0), 0.0)
    room.hold(ticket(ALICE, b"1", 0))
    room.end(ticket(ALICE, b"1", 0))
    assert len(room) == 0


def test_viewers_without_a_name_are_counted_by_their_token() -> None:
    room = Presence()
    assert room.note(ticket(NO_DIGEST, b"1"), 0.0)
    assert not room.note(ticket(NO_DIGEST, b"2"), 0.0)
    assert room.note(ticket(ALICE, b"3"), 0.0)
