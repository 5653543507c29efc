"""Ids and references: their forms, and what people make of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from streamd.services.moderation.ids import IdKind, id_pattern, is_id, new_id, reference_end, reference_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("kind", list(IdKind))
def test_an_id_says_what_it_is_of(kind: IdKind) -> None:
    made = new_id(kind, NOW)
    assert made.startswith(kind.value)
    assert is_id(kind, made)
    assert re.match(id_pattern(kind), made)
    assert not any(is_id(other, made) for other in IdKind if other is not kind)


@pytest.mark.parametrize("text", ["", "rpt_", "rpt_\n", f"rpt_{'z' * 26}", f"RPT_{'0' * 26}", f"rpt_{'0' * 27}"])
def test_what_is_no_id(text: str) -> None:
    assert not is_id(IdKind.REPORT, text)


class TestReference:
    def test_it_is_short_and_ends_the_id(self) -> None:
        made = new_id(IdKind.REPORT, NOW)
        reference = reference_of(made)
        assert re.fullmatch(r"[0-9A-Z]{4}-[0-9A-Z]{2}", reference)
        end = reference_end(reference)
        assert end is not None
        assert made.endswith(end)

    @pytest.mark.parametrize("typed", ["7F3K-92", " 7f3k-92 ", "7f3k92", "7F3K 92"])
    def test_it_is_read_as_people_type_it(self, typed: str) -> None:
        assert reference_end(typed) == "7f3k92"

    def test_letters_that_look_like_digits_are_those(self) -> None:
        assert reference_end("OIL0-11") == "011011"

    @pytest.mark.parametrize("typed", ["", "7F3K", "7F3K-9U", "7F3K-92-1", "%", "7f3k-9\u0662"])
    def test_anything_else_is_none(self, typed: str) -> None:
        assert reference_end(typed) is None
