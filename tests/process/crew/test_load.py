"""Who gets the next broadcaster."""

from __future__ import annotations

from streamd.process.crew.load import Loads


def three() -> Loads:
    loads = Loads()
    for number in range(3):
        loads.add(number)
    return loads


def test_connections_go_to_each_in_turn_while_nothing_else_is_known() -> None:
    loads = three()
    assert [loads.choose() for _ in range(6)] == [0, 1, 2, 0, 1, 2]


def test_the_worker_with_the_fewest_is_chosen() -> None:
    loads = three()
    loads.note(0, connections=5, taken=0)
    loads.note(1, connections=2, taken=0)
    loads.note(2, connections=4, taken=0)
    assert [loads.choose() for _ in range(4)] == [1, 1, 1, 2]


def test_those_on_their_way_are_counted_until_the_worker_has_them() -> None:
    loads = three()
    for _ in range(9):
        loads.choose()
    # Two of its three have come, and one of these has left.
    loads.note(0, connections=1, taken=2)
    assert loads.expected() == {0: 2, 1: 3, 2: 3}
    loads.note(0, connections=2, taken=3)
    assert loads.expected() == {0: 2, 1: 3, 2: 3}


def test_one_that_is_gone_gets_none_and_a_new_one_begins_with_none() -> None:
    loads = three()
    for _ in range(6):
        loads.choose()
    loads.remove(1)
    loads.note(1, connections=0, taken=0)
    assert loads.expected() == {0: 2, 2: 2}
    loads.add(1)
    assert [loads.choose() for _ in range(3)] == [1, 1, 0]


def test_without_workers_nobody_is_chosen() -> None:
    assert Loads().choose() is None
