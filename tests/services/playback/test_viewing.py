"""Viewings: what goes on by a ticket is cut when it is over."""

from __future__ import annotations

import pytest

from streamd.clock import ManualClock
from streamd.services.playback.refusal import Refusal
from streamd.services.playback.ticket import Ticket
from streamd.services.playback.viewing import ADDRESSES_PER_VIEWER, SHARING_S, Viewing, Viewings

TICKET = Ticket("0" * 8, 1, 1, b"abcdef", b"12345678")


class Stream:
    """Something that goes on."""

    def __init__(self) -> None:
        self.cuts: list[Refusal] = []

    def cut(self, refusal: Refusal) -> None:
        self.cuts.append(refusal)


class Room:
    def __init__(self, viewings_max: int = 10) -> None:
        self.clock = ManualClock()
        self.viewings = Viewings(self.clock.monotonic, viewings_max)

    def viewing(self, name: str = "a", left_s: float = 10) -> Viewing:
        return self.viewings.add("demo", TICKET, name, self.clock.monotonic() + left_s)


@pytest.mark.asyncio
async def test_what_is_held_is_cut_at_the_look_after_its_end() -> None:
    room, stream = Room(), Stream()
    viewing = room.viewing()
    viewing.hold(stream)
    room.clock.advance(9.9)
    room.viewings.look()
    assert stream.cuts == []
    room.clock.advance(0.1)
    room.viewings.look()
    assert stream.cuts == [Refusal.EXPIRED]
    room.viewings.look()
    assert stream.cuts == [Refusal.EXPIRED]
    room.viewings.close()


@pytest.mark.asyncio
async def test_what_was_let_go_is_not_cut() -> None:
    room, stream = Room(), Stream()
    viewing = room.viewing()
    viewing.hold(stream)
    viewing.let_go(stream)
    viewing.let_go(stream)
    assert not viewing.is_held
    room.clock.advance(20)
    room.viewings.look()
    assert stream.cuts == []
    room.viewings.close()


@pytest.mark.asyncio
async def test_what_waits_again_is_cut_and_between_two_waits_there_is_nothing_to_look_for() -> None:
    room, stream = Room(), Stream()
    viewing = room.viewing()
    for _ in range(3):
        viewing.hold(stream)
        viewing.let_go(stream)
    room.viewings.look()
    assert not room.viewings._watched
    viewing.hold(stream)
    room.clock.advance(10)
    room.viewings.look()
    assert stream.cuts == [Refusal.EXPIRED]
    assert not room.viewings._watched
    room.viewings.close()


@pytest.mark.asyncio
async def test_one_that_was_withdrawn_does_not_expire_as_well() -> None:
    room, stream = Room(), Stream()
    viewing = room.viewing()
    viewing.hold(stream)
    viewing.end(Refusal.REVOKED)
    room.clock.advance(20)
    room.viewings.look()
    assert stream.cuts == [Refusal.REVOKED]
    assert viewing.refusal is Refusal.REVOKED
    room.viewings.close()


@pytest.mark.asyncio
async def test_an_end_cuts_all_of_it_once_and_is_remembered() -> None:
    room, streams = Room(), [Stream(), Stream()]
    viewing = room.viewing()
    for stream in streams:
        viewing.hold(stream)
    viewing.end(Refusal.REVOKED)
    viewing.end(Refusal.REVOKED)
    assert [stream.cuts for stream in streams] == [[Refusal.REVOKED]] * 2
    assert viewing.refusal is Refusal.REVOKED
    room.viewings.close()


@pytest.mark.asyncio
async def test_one_that_is_forgotten_can_still_be_ended() -> None:
    room, stream = Room(viewings_max=2), Stream()
    first = room.viewing("a")
    first.hold(stream)
    room.viewing("b")
    room.viewing("c")
    assert len(room.viewings) == 2
    assert room.viewings.find(("demo", "a")) is None
    assert first in room.viewings.all()
    room.viewings.close()


def test_those_that_are_over_are_forgotten() -> None:
    room = Room()
    room.viewing("a", 1)
    room.viewing("b", 5)
    room.clock.advance(2)
    room.viewings.forget_over()
    assert room.viewings.find(("demo", "a")) is None
    assert room.viewings.find(("demo", "b")) is not None


class TestSharing:
    def test_two_players_with_one_ticket(self) -> None:
        viewing = Room().viewing()
        assert not viewing.is_shared("192.0.2.1", "hls.js", 1, 0)
        assert viewing.is_shared("198.51.100.1", "VLC", 1, SHARING_S)
        assert viewing.is_shared("192.0.2.1", "VLC", 1, SHARING_S)
        assert not viewing.is_shared("192.0.2.1", "hls.js", 1, SHARING_S)
        assert not viewing.is_shared("198.51.100.1", "VLC", 2, SHARING_S)

    def test_the_other_may_go_on_once_the_first_has_stopped(self) -> None:
        viewing = Room().viewing()
        viewing.is_shared("192.0.2.1", "hls.js", 1, 0)
        assert not viewing.is_shared("198.51.100.1", "VLC", 1, SHARING_S + 0.1)
        assert viewing.is_shared("192.0.2.1", "hls.js", 1, SHARING_S + 0.2)

    def test_one_player_whose_network_changes(self) -> None:
        viewing = Room().viewing()
        for number in range(ADDRESSES_PER_VIEWER):
            assert not viewing.is_shared(f"192.0.2.{number}", "phone", 1, 0)
        assert viewing.is_shared("192.0.2.99", "phone", 1, 0)
