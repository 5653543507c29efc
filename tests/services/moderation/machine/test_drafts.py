"""Drafts of statements of reasons."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streamd.errors import StatementError
from streamd.services.moderation.categories import Category
from streamd.services.moderation.machine.drafts import CaseFacts, draft_statement
from streamd.services.moderation.machine.findings import FindingSource, PictureFinding
from streamd.services.moderation.machine.sight import Look
from streamd.services.moderation.statement import FACTS_CHARS_MAX, SourceType, Statement

AT = datetime(2026, 11, 30, 17, 5, 9, tzinfo=UTC)
FACTS = CaseFacts("case_1", "demo", Category.SCAMS_AND_FRAUD, AT, explanations=("asks for\nmoney",), reports=3)
FINDING = PictureFinding(
    "fnd_1", "case_1", "demo", AT, FindingSource.REPORT, Look(words=("SEND", "BITCOIN")), signs=("known picture: x, 2",)
)


def test_a_draft_is_a_statement_but_for_the_ground() -> None:
    draft = draft_statement(FACTS, FINDING)
    assert draft.missing == ("illegal_content_legal_ground", "illegal_content_explanation")
    with pytest.raises(StatementError, match="illegal_content"):
        Statement.of(draft.statement)
    statement = Statement.of(draft.statement | dict.fromkeys(draft.missing, "§ 263 StGB"))
    assert statement.category == "SCAMS_AND_FRAUD"
    assert statement.decision_facts.splitlines() == [
        "The channel demo was reported 3 times since 2026-11-30 17:05 UTC: scams and fraud.",
        'Reporters wrote: "asks for money"',
        "A machine found in a picture of 2026-11-30 17:05:09 UTC: known picture: x, 2.",
        'Words in a picture of 2026-11-30 17:05:09 UTC: "SEND / BITCOIN"',
    ]
    assert not statement.automated_detection, "people reported it"


def test_what_breaks_the_rules_alone_has_the_operators_ground() -> None:
    draft = draft_statement(CaseFacts("case_1", "demo", Category.OTHER_VIOLATION_TC, AT, reports=1), None)
    assert draft.statement["decision_ground"] == "DECISION_GROUND_INCOMPATIBLE_CONTENT"
    assert draft.missing == ("incompatible_content_ground", "incompatible_content_explanation")
    assert Statement.of(draft.statement | dict.fromkeys(draft.missing, "rule 3")).decision_facts.startswith(
        "The channel demo was reported once"
    )


def test_what_nobody_reported_was_found_by_a_machine() -> None:
    facts = CaseFacts("case_1", "demo", Category.PROTECTION_OF_MINORS, AT, SourceType.VOLUNTARY, ("KEYWORD_X",))
    draft = draft_statement(facts, FINDING)
    assert draft.statement["automated_detection"] == "Yes"
    assert draft.statement["category_specification"] == ["KEYWORD_X"]
    assert draft.statement["automated_decision"] == "AUTOMATED_DECISION_NOT_AUTOMATED"


def test_a_crowd_of_words_fits() -> None:
    finding = PictureFinding(
        "f", "c", "demo", AT, FindingSource.SCAN, Look(words=("w" * 200,) * 50), signs=("s" * 100,) * 90
    )
    facts = CaseFacts("case_1", "demo", Category.VIOLENCE, AT, explanations=("x" * 10_000,) * 100, reports=100)
    assert len(draft_statement(facts, finding).statement["decision_facts"]) == FACTS_CHARS_MAX
