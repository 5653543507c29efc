from __future__ import annotations

import pytest

from streamd.clock import ManualClock
from streamd.services.cluster.permit import DATABASE_POLL_S, GRACE_S, READ_GOOD_S, Permit, Standing

LEASE_S = 6.0


class Node:
    def __init__(self, *, keeps_on: bool = False) -> None:
        self.clock = ManualClock()
        self.permit = Permit(self.clock, lease_s=LEASE_S, isolation_s=30, keeps_on=keeps_on)

    def beat(self, *, renews: bool = True, reads: bool = True) -> Standing:
        began_at = self.permit.begin_try()
        if renews:
            self.permit.note_renewed(began_at)
        if reads:
            self.permit.note_read(began_at)
        self.permit.note_tried(began_at)
        return self.permit.standing


def test_a_new_node_serves_nothing_before_it_has_read() -> None:
    node = Node()
    assert (node.permit.standing, node.permit.may_serve) == (Standing.NONE, False)
    assert node.beat(reads=False) is not Standing.LEASED
    assert node.beat() is Standing.LEASED
    assert node.permit.may_serve


def test_it_goes_on_for_a_moment_beyond_its_lease_and_owns_nothing_then() -> None:
    node = Node()
    node.beat()
    node.clock.advance(LEASE_S - 0.1)
    owned = [node.permit.lease_is_good]
    node.clock.advance(0.1)
    owned.append(node.permit.lease_is_good)
    standings = [node.permit.standing]
    node.clock.advance(GRACE_S)
    standings.append(node.permit.standing)
    assert (owned, standings) == ([True, False], [Standing.LEASED, Standing.NONE])


def test_a_node_that_was_stopped_reads_before_it_serves() -> None:
    node = Node()
    node.beat()
    node.clock.advance(LEASE_S + 1)
    assert not node.permit.may_serve
    # Renewed, and not read.
    began_at = node.permit.begin_try()
    node.permit.note_renewed(began_at)
    assert not node.permit.may_serve
    node.permit.note_read(began_at)
    assert node.permit.standing is Standing.LEASED


def test_a_node_that_reaches_the_database_alone_reads_it_again_and_again() -> None:
    node = Node()
    node.beat()
    node.clock.advance(LEASE_S)
    assert node.beat(renews=False) is Standing.LEASED
    node.clock.advance(DATABASE_POLL_S)
    assert node.beat(renews=False) is Standing.DATABASE
    for _ in range(3):
        node.clock.advance(DATABASE_POLL_S)
        node.beat(renews=False, reads=False)
    assert node.permit.standing is Standing.ALONE
    assert READ_GOOD_S <= 3 * DATABASE_POLL_S


@pytest.mark.parametrize(("keeps_on", "then"), [(True, Standing.ALONE), (False, Standing.NONE)])
def test_the_operator_decides_what_a_node_does_that_reaches_nothing(keeps_on: bool, then: Standing) -> None:
    node = Node(keeps_on=keeps_on)
    node.beat()
    for _ in range(10):
        node.clock.advance(4)
        node.beat(renews=False, reads=False)
    assert node.permit.standing is then


def test_acts_may_have_been_missed_while_the_connection_was_lost() -> None:
    node = Node()
    node.beat()
    node.clock.advance(1)
    node.permit.note_deaf()
    assert node.permit.has_missed
    assert node.permit.standing is not Standing.LEASED
    assert node.beat() is Standing.LEASED


def test_a_renewal_behind_the_end_of_a_lease_is_a_gap() -> None:
    node = Node()
    node.beat()
    at = node.clock.monotonic()
    assert node.permit.had_lease_at(at)
    node.clock.advance(LEASE_S + 1)
    node.beat()
    assert not node.permit.had_lease_at(at)
    assert node.permit.had_lease_at(node.clock.monotonic())
