"""Viewings whose number is bounded."""

from __future__ import annotations

import pytest

from streamd.services.playback import presence
from streamd.services.playback.presence import VIEWING_S, Presence

ALICE, BOB = b"alice", b"bob"


def test_as_many_as_may() -> None:
    room = Presence()
    assert room.note(ALICE, b"1", 2, 0.0)
    assert room.note(ALICE, b"2", 2, 0.0)
    assert not room.note(ALICE, b"3", 2, 0.0)
    assert room.note(BOB, b"3", 2, 0.0)
    assert room.note(ALICE, b"1", 2, 1.0)


def test_a_viewing_that_asks_no_more_makes_room() -> None:
    room = Presence()
    room.note(ALICE, b"1", 1, 0.0)
    assert not room.note(ALICE, b"2", 1, VIEWING_S)
    assert room.note(ALICE, b"2", 1, VIEWING_S + 0.1)
    assert not room.note(ALICE, b"1", 1, VIEWING_S + 0.2)


def test_one_that_holds_a_connection_stays_until_it_ends() -> None:
    room = Presence()
    room.note(ALICE, b"1", 1, 0.0)
    room.hold(ALICE, b"1")
    assert not room.note(ALICE, b"2", 1, 1e6)
    room.end(ALICE, b"1")
    assert room.note(ALICE, b"2", 1, 1e6)


def test_one_that_holds_two_connections_stays_until_both_end() -> None:
    room = Presence()
    room.note(ALICE, b"1", 1, 0.0)
    room.hold(ALICE, b"1")
    room.hold(ALICE, b"1")
    room.end(ALICE, b"1")
    assert not room.note(ALICE, b"2", 1, 1e6)
    room.end(ALICE, b"1")
    assert room.note(ALICE, b"2", 1, 1e6)


def test_what_is_not_known_is_held_and_ended_without_effect() -> None:
    room = Presence()
    room.hold(ALICE, b"1")
    room.end(ALICE, b"1")
    assert len(room) == 0


def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "VIEWINGS_MAX", 10)
    room = Presence()
    for number in range(100):
        room.note(number.to_bytes(2, "big"), b"1", 1, 0.0)
    assert len(room) == 10
    assert not room.note((99).to_bytes(2, "big"), b"2", 1, 0.0)
    assert room.note((1).to_bytes(2, "big"), b"2", 1, 0.0)
