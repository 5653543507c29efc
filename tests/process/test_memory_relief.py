from __future__ import annotations

import pytest

from streamd.clock import ManualClock
from streamd.process.memory_relief import PUBLISHERS_FROM, REST_S, MemoryRelief
from streamd.process.resources import MemoryCeiling
from streamd.services.bounds.memory_accounts import MemoryAccounts, Standing

CEILING = 1_000_000_000


class Peer:
    def __init__(self, room: Room, standing: Standing, held_bytes: int) -> None:
        self._room = room
        self.standing = standing
        self.held_bytes = held_bytes
        self.opened_at = 0.0
        self.is_shed = False

    def shed(self) -> None:
        self.is_shed = True
        self._room.freed += self.held_bytes
        self.held_bytes = 0


class Room:
    """A process of some size, whose free memory is in its size until it is given back."""

    def __init__(self, used: int, **held: int) -> None:
        self.clock = ManualClock()
        self.used, self.freed = used, 0
        self.peers = {name: Peer(self, Standing[name.upper()], size) for name, size in held.items()}
        accounts = MemoryAccounts()
        accounts.add(self)
        ceiling = MemoryCeiling(CEILING, now=self.clock.monotonic, used_bytes=lambda: self.used)
        self.relief = MemoryRelief(ceiling, accounts, give_back=self.give_back, now=self.clock.monotonic)

    def holders(self) -> list[Peer]:
        return list(self.peers.values())

    def give_back(self) -> None:
        self.used -= self.freed
        self.freed = 0

    def gone(self) -> set[str]:
        return {name for name, peer in self.peers.items() if peer.is_shed}


def test_below_the_ceiling_everybody_stays() -> None:
    room = Room(CEILING, stranger=1000)
    room.relief.look()
    assert room.gone() == set()


def test_what_is_only_not_given_back_closes_nobody() -> None:
    room = Room(CEILING + 500, stranger=1000)
    room.freed = 600
    room.relief.look()
    assert room.gone() == set()
    assert room.used < CEILING


def test_strangers_go_and_it_is_waited_for_what_that_brings() -> None:
    room = Room(CEILING + 500, stranger=600, viewer=600)
    room.relief.look()
    assert room.gone() == {"stranger"}
    room.clock.advance(1)
    room.relief.look()
    assert room.gone() == {"stranger"}
    room.clock.advance(REST_S)
    room.relief.look()
    assert room.gone() == {"stranger"}
    assert room.used < CEILING


def test_viewers_go_where_strangers_do_not_suffice() -> None:
    room = Room(CEILING + 1000, stranger=600, viewer=600)
    room.relief.look()
    assert room.gone() == {"stranger", "viewer"}


@pytest.mark.parametrize(("past", "gone"), [(0.99, set()), (1.01, {"publisher"})])
def test_publishers_go_where_the_process_is_well_past_its_ceiling(past: float, gone: set[str]) -> None:
    room = Room(int(CEILING * PUBLISHERS_FROM * past), publisher=CEILING)
    room.relief.look()
    assert room.gone() == gone


def test_the_log_says_when_memory_is_short_and_when_it_is_not_any_more(caplog: pytest.LogCaptureFixture) -> None:
    room = Room(CEILING)
    caplog.set_level("INFO")
    for used in (CEILING, CEILING, 0, 0):
        room.used = used
        room.relief.look()
    assert [record.message for record in caplog.records] == ["memory.short", "memory.eased"]
