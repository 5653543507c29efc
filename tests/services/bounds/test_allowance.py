from __future__ import annotations

from streamd.services.bounds.allowance import Allowance


class TestAllowance:
    def test_so_many_are_there_at_once(self) -> None:
        allowance = Allowance(2.0, 5, 100.0)
        assert [allowance.take(100.0) for _ in range(7)] == [True] * 5 + [False] * 2

    def test_others_come_with_time(self) -> None:
        allowance = Allowance(2.0, 5, 100.0)
        assert allowance.take(100.0, 5)
        assert allowance.left(100.4) == 0
        assert allowance.left(101.0) == 2
        assert not allowance.take(101.0, 3)
        assert allowance.take(101.0, 2)

    def test_a_long_rest_saves_up_no_more_than_that(self) -> None:
        allowance = Allowance(2.0, 5, 100.0)
        assert allowance.left(10_000.0) == 5

    def test_all_of_it_is_taken_in_whole_ones(self) -> None:
        allowance = Allowance(2.0, 5, 100.0)
        assert allowance.take_all(100.0) == 5
        assert allowance.take_all(100.75) == 1
        assert allowance.take_all(101.0) == 1, "the half was kept"

    def test_time_that_steps_back_brings_nothing(self) -> None:
        allowance = Allowance(2.0, 5, 100.0)
        assert allowance.take_all(100.0) == 5
        assert allowance.left(90.0) == 0
        assert allowance.left(100.5) == 1
