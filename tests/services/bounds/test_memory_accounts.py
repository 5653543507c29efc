from __future__ import annotations

from dataclasses import dataclass

import pytest

from streamd.services.bounds.memory_accounts import (
    ASKED_AT_LEAST,
    ASKED_AT_ONCE,
    LOOKS_PER_ROUND,
    SHED_AT_ONCE_MAX,
    MemoryAccounts,
    Standing,
)


@dataclass
class Peer:
    standing: Standing
    opened_at: float
    held_bytes: int
    is_shed: bool = False

    def shed(self) -> None:
        self.is_shed = True
        self.held_bytes = 0


class Door:
    def __init__(self, *peers: Peer) -> None:
        self.peers = peers

    def holders(self) -> tuple[Peer, ...]:
        return self.peers


def accounts(*peers: Peer) -> MemoryAccounts:
    made = MemoryAccounts()
    made.add(Door(*peers[::2]))
    made.add(Door(*peers[1::2]))
    return made


class TestMemoryAccounts:
    def test_the_sum_is_told_by_standing(self) -> None:
        made = accounts(Peer(Standing.STRANGER, 0, 1), Peer(Standing.VIEWER, 0, 20), Peer(Standing.VIEWER, 0, 30))
        made.look()
        assert [made.held_bytes(standing) for standing in Standing] == [1, 50, 0]

    @pytest.mark.parametrize(
        ("holders", "looks"),
        [
            (ASKED_AT_LEAST, 1),
            (ASKED_AT_LEAST + 1, 2),
            (LOOKS_PER_ROUND * ASKED_AT_LEAST + 1, LOOKS_PER_ROUND),
            (LOOKS_PER_ROUND * ASKED_AT_ONCE, LOOKS_PER_ROUND),
            (LOOKS_PER_ROUND * ASKED_AT_ONCE + 1, LOOKS_PER_ROUND + 1),
        ],
    )
    def test_a_crowd_is_asked_in_several_looks(self, holders: int, looks: int) -> None:
        made = accounts(*(Peer(Standing.VIEWER, 0, 1) for _ in range(holders)))
        told = []
        for _ in range(looks + 1):
            made.look()
            told.append(made.held_bytes(Standing.VIEWER))
        assert told == [0] * (looks - 1) + [holders] * 2

    def test_publishers_stay_where_they_are_not_asked_for(self) -> None:
        publisher, viewer = Peer(Standing.PUBLISHER, 0, 100), Peer(Standing.VIEWER, 0, 50)
        assert accounts(publisher, viewer).shed(200, up_to=Standing.VIEWER) == 1
        assert (publisher.is_shed, viewer.is_shed) == (False, True)

    def test_strangers_go_before_viewers_and_publishers_go_last(self) -> None:
        publisher = Peer(Standing.PUBLISHER, 0, 100)
        viewer = Peer(Standing.VIEWER, 0, 50)
        stranger = Peer(Standing.STRANGER, 0, 10)
        made = accounts(publisher, viewer, stranger)

        def gone() -> list[bool]:
            return [peer.is_shed for peer in (stranger, viewer, publisher)]

        assert made.shed(10) == 1
        assert gone() == [True, False, False]
        assert made.shed(50) == 1
        assert gone() == [True, True, False]
        assert made.shed(1) == 1
        assert gone() == [True, True, True]

    def test_the_heaviest_goes_first_and_of_equals_the_newest(self) -> None:
        light, old, new = (Peer(Standing.STRANGER, at, size) for at, size in ((9, 5), (1, 10), (2, 10)))
        made = accounts(light, old, new)
        made.shed(10)
        assert (light.is_shed, old.is_shed, new.is_shed) == (False, False, True)

    def test_those_that_hold_nothing_stay(self) -> None:
        idle = Peer(Standing.STRANGER, 0, 0)
        assert accounts(idle).shed(1000) == 0
        assert not idle.is_shed

    def test_nobody_goes_where_it_is_not_they_who_make_memory_short(self) -> None:
        stranger, viewer = Peer(Standing.STRANGER, 0, 30), Peer(Standing.VIEWER, 0, 50)
        assert accounts(stranger, viewer).shed(1000) == 0
        assert accounts(stranger, viewer).shed(700) == 2

    def test_publishers_stay_where_all_together_are_not_enough(self) -> None:
        publisher, viewer = Peer(Standing.PUBLISHER, 0, 100), Peer(Standing.VIEWER, 0, 50)
        assert accounts(publisher, viewer).shed(200) == 1
        assert (publisher.is_shed, viewer.is_shed) == (False, True)

    def test_a_look_lets_go_of_so_many_at_most(self) -> None:
        peers = [Peer(Standing.VIEWER, at, 1) for at in range(2 * SHED_AT_ONCE_MAX)]
        assert accounts(*peers).shed(1000) == SHED_AT_ONCE_MAX

    def test_what_services_keep_is_told_and_goes_with_no_connection(self) -> None:
        made = accounts(Peer(Standing.STRANGER, 0, 1))
        made.add_store(lambda: 100)
        made.add_store(lambda: 20)
        made.look()
        assert made.stored_bytes == 120
        assert [made.held_bytes(standing) for standing in Standing] == [1, 0, 0]
        assert made.shed(120) == 0
