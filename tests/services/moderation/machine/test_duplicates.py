"""Cases with the same picture."""

from __future__ import annotations

import pytest

from streamd.services.moderation.machine import duplicates as module
from streamd.services.moderation.machine.duplicates import FOUND_MAX, Duplicates
from streamd.services.moderation.machine.findings import Duplicate


def near(bits: int) -> str:
    return f"{(1 << bits) - 1:064x}"


def test_the_same_picture_is_found_in_other_cases_the_nearest_first() -> None:
    known = Duplicates()
    known.load([("case_a", near(31)), ("case_b", near(5)), ("case_c", near(32)), ("case_me", near(0))])
    assert known.find("case_me", near(0)) == (Duplicate("case_b", 5), Duplicate("case_a", 31))


def test_a_case_has_its_last_picture() -> None:
    known = Duplicates()
    known.note("case_a", near(0))
    known.note("case_a", near(200))
    assert known.find("case_b", near(0)) == ()
    assert len(known) == 1


def test_the_oldest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CASES_MAX", 3)
    known = Duplicates()
    for name in ("a", "b", "c", "a", "d"):
        known.note(name, near(0))
    assert {each.case_id for each in known.find("me", near(0))} == {"c", "a", "d"}


def test_so_many_are_named() -> None:
    known = Duplicates()
    known.load((f"case_{number}", near(number % 32)) for number in range(1000))
    found = known.find("me", near(0))
    assert len(found) == FOUND_MAX
    assert {each.distance for each in found} == {0}
