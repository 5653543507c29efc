from __future__ import annotations

from streamd.services.bounds.log_lines import SOURCES_MAX, LineBudget


class TestLineBudget:
    def test_one_source_has_its_lines_and_another_has_its_own(self) -> None:
        budget = LineBudget(per_source=2, in_all=100)
        assert [budget.may_log("a", 0.0) for _ in range(4)] == [True, True, False, False]
        assert budget.may_log("b", 0.0)
        assert budget.suppressed == 2

    def test_all_sources_together_are_bounded(self) -> None:
        budget = LineBudget(per_source=2, in_all=5)
        assert sum(budget.may_log(str(number), 0.0) for number in range(100)) == 5

    def test_a_new_minute_begins_anew(self) -> None:
        budget = LineBudget(per_source=1, in_all=1)
        assert budget.may_log("a", 0.0)
        assert not budget.may_log("a", 59.9)
        assert budget.may_log("a", 60.0)

    def test_sources_without_number_are_forgotten(self) -> None:
        budget = LineBudget(per_source=1, in_all=10)
        for number in range(3 * SOURCES_MAX):
            budget.may_log(str(number), 0.0)
        assert len(budget._lines) <= SOURCES_MAX
