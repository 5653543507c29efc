from __future__ import annotations

import pytest

from streamd.clock import ManualClock
from streamd.doors.web import request_budget
from streamd.doors.web.request_budget import BURST_S, MEDIA_COST, RequestBudget

ADDRESS = "192.0.2.1"
PER_SECOND = 10


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def budget(clock: ManualClock) -> RequestBudget:
    return RequestBudget(PER_SECOND, clock)


def spent(budget: RequestBudget, address: str = ADDRESS, cost: float = 1.0, most: int = 10_000) -> int:
    """How many requests in a row there are tokens for."""
    return next(count for count in range(most) if not budget.spend(address, cost))


class TestSpending:
    def test_a_quiet_address_may_ask_a_lot_at_once(self, budget: RequestBudget) -> None:
        assert not budget.is_overdrawn(ADDRESS)
        assert spent(budget) == pytest.approx(PER_SECOND * BURST_S, abs=1)
        assert budget.is_overdrawn(ADDRESS)

    def test_tokens_come_back_evenly_whatever_is_refused_meanwhile(
        self, budget: RequestBudget, clock: ManualClock
    ) -> None:
        spent(budget)
        clock.advance(0.5)
        assert not budget.is_overdrawn(ADDRESS)
        assert spent(budget) == pytest.approx(PER_SECOND / 2, abs=1)

    def test_one_address_takes_nothing_of_anothers(self, budget: RequestBudget) -> None:
        spent(budget)
        assert budget.spend("192.0.2.2")

    def test_an_ipv6_site_is_one(self, budget: RequestBudget) -> None:
        spent(budget, "2001:db8::1")
        assert budget.is_overdrawn("2001:db8::ffff")
        assert not budget.is_overdrawn("2001:db8:0:1::1")

    def test_media_counts_less(self, budget: RequestBudget) -> None:
        assert spent(budget, cost=MEDIA_COST) == pytest.approx(PER_SECOND * BURST_S / MEDIA_COST, rel=0.1)

    def test_another_share_is_taken_at_once(self, budget: RequestBudget) -> None:
        budget.configure(1000)
        assert spent(budget, most=100_000) == pytest.approx(1000 * BURST_S, abs=1)


class TestQueueing:
    def test_whoever_is_past_the_budget_waits_longer_each_time_and_then_does_not(self, clock: ManualClock) -> None:
        budget = RequestBudget(PER_SECOND, clock, burst_s=0.2)
        waits = [budget.queue(ADDRESS, 0.35) for _ in range(7)]
        assert waits[:5] == pytest.approx([0, 0, 0.1, 0.2, 0.3])
        assert waits[5:] == [None, None]

    def test_what_was_not_taken_is_not_owed(self, clock: ManualClock) -> None:
        budget = RequestBudget(PER_SECOND, clock, burst_s=0.2)
        for _ in range(100):
            budget.queue(ADDRESS, 0.3)
        clock.advance(0.5)
        assert budget.queue(ADDRESS, 0.3) == pytest.approx(0)


class TestMemory:
    def test_a_full_budget_is_forgotten(self, budget: RequestBudget, clock: ManualClock) -> None:
        for number in range(100):
            budget.spend(f"192.0.2.{number}")
        clock.advance(1)
        for _ in range(50):
            budget.spend(ADDRESS)
        assert len(budget) == 1

    def test_there_is_a_bound(self, budget: RequestBudget, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(request_budget, "SOURCES_MAX", 10)
        for number in range(100):
            budget.spend(f"192.0.2.{number}")
        assert len(budget) == 10
