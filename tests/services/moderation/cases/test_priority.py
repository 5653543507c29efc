"""What comes first."""

from __future__ import annotations

import math

import pytest

from streamd.services.moderation.cases.priority import ON_TOP, Weight, priority_of, record_of
from streamd.services.moderation.categories import SEVERITY, Category


def test_the_formula() -> None:
    weight = Weight(Category.VIOLENCE, reporters=3, records=6.0, viewers=90)
    assert priority_of(weight) == pytest.approx(8 * math.log2(4) * 2.0 * math.log10(100))


def test_one_new_reporter_of_a_channel_that_nobody_watches_counts_by_severity() -> None:
    for category, severity in SEVERITY.items():
        assert priority_of(Weight(category, 1, 1.0)) == pytest.approx(severity)


def test_a_trusted_flagger_comes_before_a_hundred_strangers() -> None:
    flagged = priority_of(Weight(Category.VIOLENCE, 1, 1.0, has_flagger=True))
    assert flagged == pytest.approx(80)
    assert flagged > priority_of(Weight(Category.VIOLENCE, 100, 100.0))


def test_a_crowd_that_is_never_right_weighs_less_than_one_who_is() -> None:
    crowd = priority_of(Weight(Category.VIOLENCE, 1000, 1000 * 0.2))
    assert crowd < priority_of(Weight(Category.VIOLENCE, 2, 2 * 3.0)) * 1.7


def test_what_is_known_comes_before_all_that_is_not() -> None:
    most = Weight(Category.PROTECTION_OF_MINORS, 1000, 3000.0, has_flagger=True, viewers=10**9, machine_factor=5.0)
    least = Weight(Category.OTHER_VIOLATION_TC, 1, 0.2, machine_factor=0.5, is_on_top=True)
    assert priority_of(least) > ON_TOP > priority_of(most)


@pytest.mark.parametrize(("factor", "taken"), [(0.0, 0.5), (-3.0, 0.5), (2.0, 2.0), (1e9, 5.0)])
def test_what_the_machine_makes_of_it_is_bounded(factor: float, taken: float) -> None:
    assert priority_of(Weight(Category.VIOLENCE, 1, 1.0, machine_factor=factor)) == pytest.approx(8 * taken)


@pytest.mark.parametrize(
    ("upheld", "rejected", "record"), [(0, 0, 1.0), (1, 0, 2.0), (2, 0, 3.0), (50, 0, 3.0), (0, 1, 0.5), (0, 100, 0.2)]
)
def test_a_reporters_record(upheld: int, rejected: int, record: float) -> None:
    assert record_of(upheld, rejected) == record
