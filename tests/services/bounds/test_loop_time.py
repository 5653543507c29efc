from __future__ import annotations

from streamd.services.bounds.loop_time import ADDRESSES_MAX, AddressBudgets, LoopTimeBudget, LoopTimeLimit

LIMIT = LoopTimeLimit(seconds_per_second=0.1, burst_s=0.2, overdue_s=5.0)


class TestLoopTimeBudget:
    def test_a_burst_costs_no_pause(self) -> None:
        budget = LoopTimeBudget(LIMIT, 10.0)
        assert budget.spend(10.0, 0.2) == 0.0

    def test_a_debt_is_paused_until_it_has_come_back(self) -> None:
        budget = LoopTimeBudget(LIMIT, 10.0)
        pause_s = budget.spend(10.0, 0.3)
        assert round(pause_s, 6) == 1.0
        assert budget.spend(10.0 + pause_s, 0.0) < 1e-9

    def test_rest_refills_no_more_than_the_burst(self) -> None:
        budget = LoopTimeBudget(LIMIT, 10.0)
        budget.spend(10.0, 0.2)
        assert budget.spend(1000.0, 0.2) == 0.0
        assert budget.spend(1000.0, 0.01) > 0.0

    def test_who_takes_their_share_for_ever_is_never_overdue(self) -> None:
        budget = LoopTimeBudget(LIMIT, 0.0)
        for second in range(1, 1000):
            assert budget.spend(float(second), 0.1) == 0.0
            assert not budget.is_overdue(float(second))

    def test_who_goes_on_after_each_pause_is_overdue_in_time(self) -> None:
        budget = LoopTimeBudget(LIMIT, 0.0)
        now, overdue_at = 0.0, None
        for _ in range(100):
            now += budget.spend(now, 0.25)
            if budget.is_overdue(now):
                overdue_at = now
                break
        assert overdue_at is not None
        assert 5.0 < overdue_at < 9.0

    def test_one_long_pause_alone_is_not_overdue_after_a_rest(self) -> None:
        budget = LoopTimeBudget(LIMIT, 0.0)
        budget.spend(0.0, 0.4)
        assert not budget.is_overdue(4.0)
        assert not budget.is_overdue(100.0)

    def test_a_rested_budget_is_as_good_as_a_new_one(self) -> None:
        budget = LoopTimeBudget(LIMIT, 0.0)
        budget.spend(0.0, 0.05)
        assert not budget.is_rested(0.1)
        assert budget.is_rested(1.0)

    def test_a_clock_that_stands_still_gives_nothing_back(self) -> None:
        budget = LoopTimeBudget(LIMIT, 5.0)
        budget.spend(5.0, 0.3)
        assert budget.spend(5.0, 0.0) == budget.pause_s > 0.0


class TestAddressBudgets:
    def test_an_address_has_one_budget_and_another_its_own(self) -> None:
        budgets = AddressBudgets(LIMIT)
        budgets.of("a", 0.0).spend(0.0, 0.3)
        assert budgets.of("a", 0.1).has_debt(0.1)
        assert not budgets.of("b", 0.1).has_debt(0.1)

    def test_full_ones_are_forgotten(self) -> None:
        budgets = AddressBudgets(LIMIT)
        for number in range(100):
            budgets.of(str(number), 0.0).spend(0.0, 0.1)
        for number in range(100):
            budgets.of(str(1000 + number), 1000.0)
        assert len(budgets) <= 2

    def test_addresses_without_number_are_forgotten(self) -> None:
        budgets = AddressBudgets(LIMIT)
        for number in range(ADDRESSES_MAX + 100):
            budgets.of(str(number), 0.0).spend(0.0, 0.2)
        assert len(budgets) <= ADDRESSES_MAX
