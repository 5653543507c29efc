"""How much a look weighs."""

from __future__ import annotations

import pytest

from streamd.services.moderation.categories import Category
from streamd.services.moderation.machine.findings import (
    DUPLICATE_FACTOR,
    FACTOR_MAX,
    Duplicate,
    MachineRecord,
    Weight,
    flagged,
    weigh,
)
from streamd.services.moderation.machine.sight import Look, Match

HASH = "ab" * 32
RULES = Category.OTHER_VIOLATION_TC


def weight_of(look: Look, *duplicates: Duplicate, labels: tuple[str, ...] = (), threshold: float = 0.6) -> Weight:
    return weigh(look, duplicates, labels, threshold, RULES)


def test_nothing_weighs_nothing() -> None:
    assert weight_of(Look(HASH, 100, scores=(("face", 0.59),), words=("buy now",))) == Weight()


def test_a_known_picture_is_on_top_of_all() -> None:
    matches = (
        Match("rules.txt", RULES, HASH, 1),
        Match("csam.txt", Category.PROTECTION_OF_MINORS, HASH, 12),
    )
    weight = weight_of(Look(HASH, 100, matches))
    assert weight.is_on_top
    assert weight.factor == FACTOR_MAX
    assert weight.category is Category.PROTECTION_OF_MINORS, "the gravest, and not the nearest"
    assert weight.signs[0] == "known picture: rules.txt, 1 of 256 bits off"


@pytest.mark.parametrize(("score", "factor"), [(0.6, 1.0), (0.8, 2.5), (1.0, FACTOR_MAX)])
def test_a_label_weighs_by_how_certain_the_classifier_is(score: float, factor: float) -> None:
    weight = weight_of(Look(HASH, 100, scores=(("x", score),)))
    assert weight.factor == pytest.approx(factor)
    assert (weight.is_on_top, weight.category) == (False, RULES)
    assert weight.signs == (f"x {score:.2f}",)


def test_a_threshold_of_one_divides_by_nothing() -> None:
    assert weight_of(Look(scores=(("x", 1.0),)), threshold=1.0).factor == FACTOR_MAX


def test_only_labels_that_count_are_flagged() -> None:
    look = Look(scores=(("face", 0.99), ("weapon", 0.7)))
    assert flagged(look, ("weapon",), 0.6) == (("weapon", 0.7),)
    assert flagged(look, (), 0.6) == look.scores
    assert weight_of(look, labels=("blood",)) == Weight()


def test_a_picture_of_another_case_weighs_something() -> None:
    weight = weight_of(Look(HASH, 100), Duplicate("case_1", 4))
    assert (weight.factor, weight.signs, weight.category) == (DUPLICATE_FACTOR, ("same picture as case_1",), None)


def test_a_summary_names_the_first_and_counts_the_rest() -> None:
    look = Look(scores=tuple((f"label{number}", 0.9) for number in range(8)))
    assert weight_of(look).summary == "label0 0.90; label1 0.90; label2 0.90; 5 more"


def test_the_error_rate_is_of_those_that_people_judged() -> None:
    assert MachineRecord(waiting=9).error_rate is None
    assert MachineRecord(3, 1, 9).error_rate == 0.25
