from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from streamd.errors import StatementError
from streamd.services.keys.stream_key import StreamKey
from streamd.services.moderation.categories import Category
from streamd.services.moderation.statement import (
    FACTS_CHARS_MAX,
    ITEMS_MAX,
    Ground,
    SourceType,
    Statement,
    Visibility,
)
from streamd.services.moderation.territory import COUNTRIES, EEA, EU, countries_of

ILLEGAL: dict[str, Any] = {
    "decision_visibility": ["CONTENT_REMOVED"],
    "decision_ground": "ILLEGAL_CONTENT",
    "illegal_content_legal_ground": "StGB section 131",
    "illegal_content_explanation": "The broadcast shows it.",
    "decision_facts": "Seen at 12:00.\nAnd at 12:05.",
    "category": "VIOLENCE",
}
RULES: dict[str, Any] = {
    "decision_account": "SUSPENDED",
    "decision_ground": "INCOMPATIBLE_CONTENT",
    "incompatible_content_ground": "Rule 4",
    "incompatible_content_explanation": "No adverts.",
    "decision_facts": "An advert for an hour.",
    "category": "OTHER_VIOLATION_TC",
}
ENDED = {"end_date_account_restriction": "2026-07-27"}


class TestWriting:
    """The object of the DSA Transparency Database."""

    def test_names_have_the_commissions_prefixes(self) -> None:
        given = ILLEGAL | {
            "automated_detection": "Yes",
            "automated_decision": "PARTIALLY",
            "source_type": "TRUSTED_FLAGGER",
            "territorial_scope": ["de", "AT"],
            "content_date": "2026-07-27",
            "category_specification": ["KEYWORD_OTHER"],
            "puid": "tkd_1",
        }
        assert Statement.of(given).as_json() == {
            "decision_visibility": ["DECISION_VISIBILITY_CONTENT_REMOVED"],
            "decision_ground": "DECISION_GROUND_ILLEGAL_CONTENT",
            "illegal_content_legal_ground": "StGB section 131",
            "illegal_content_explanation": "The broadcast shows it.",
            "decision_facts": "Seen at 12:00.\nAnd at 12:05.",
            "category": "STATEMENT_CATEGORY_VIOLENCE",
            "category_specification": ["KEYWORD_OTHER"],
            "territorial_scope": ["AT", "DE"],
            "source_type": "SOURCE_TRUSTED_FLAGGER",
            "automated_detection": "Yes",
            "automated_decision": "AUTOMATED_DECISION_PARTIALLY",
            "content_type": ["CONTENT_TYPE_VIDEO"],
            "content_date": "2026-07-27",
            "puid": "tkd_1",
        }

    @pytest.mark.parametrize("given", [ILLEGAL, RULES])
    def test_what_was_written_reads_as_the_same(self, given: dict[str, Any]) -> None:
        statement = Statement.of(given)
        assert Statement.of(statement.as_json()) == statement

    def test_a_source_by_each_of_its_names(self) -> None:
        for name in ("OTHER_NOTIFICATION", "TYPE_OTHER_NOTIFICATION", "SOURCE_TYPE_OTHER_NOTIFICATION"):
            assert Statement.of(ILLEGAL | {"source_type": name}).source_type is SourceType.OTHER_NOTIFICATION

    def test_each_category_with_its_prefix_and_without(self) -> None:
        for category in Category:
            for text in (category.value, f"STATEMENT_CATEGORY_{category.value}", category.value.lower()):
                statement = Statement.of(ILLEGAL | {"category": text})
                assert statement.category is category
                assert statement.as_json()["category"] == f"STATEMENT_CATEGORY_{category.value}"

    def test_a_thing_that_is_said_twice_is_said_once(self) -> None:
        given = ILLEGAL | {"decision_visibility": ["CONTENT_REMOVED", "DECISION_VISIBILITY_CONTENT_REMOVED"]}
        assert Statement.of(given).decision_visibility == (Visibility.CONTENT_REMOVED,)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("field", "change"),
        [
            ("decision_ground", {"decision_ground": None}),
            ("decision_ground", {"decision_ground": ""}),
            ("decision_ground", {"decision_ground": "BECAUSE"}),
            ("decision_ground", {"decision_ground": ["ILLEGAL_CONTENT"]}),
            ("decision_ground", {"incompatible_content_ground": "Rule 4"}),
            ("illegal_content_legal_ground", {"illegal_content_legal_ground": " "}),
            ("illegal_content_explanation", {"illegal_content_explanation": None}),
            ("decision_facts", {"decision_facts": ""}),
            ("decision_facts", {"decision_facts": "x" * (FACTS_CHARS_MAX + 1)}),
            ("decision_facts", {"decision_facts": "x" * 1_000_000}),
            ("decision_facts", {"decision_facts": 7}),
            ("decision_facts", {"decision_facts": "a\x00b"}),
            ("decision_facts", {"decision_facts": "\ud800"}),
            ("illegal_content_legal_ground", {"illegal_content_legal_ground": "a\nb"}),
            ("category", {"category": None}),
            ("category", {"category": "BAD_TASTE"}),
            ("category", {"category": 3}),
            ("category_specification", {"category_specification": ["<script>"]}),
            ("decision_visibility", {"decision_visibility": []}),
            ("decision_visibility", {"decision_visibility": ["GONE"]}),
            ("decision_visibility", {"decision_visibility": ["CONTENT_REMOVED"] * (ITEMS_MAX + 1)}),
            ("decision_visibility_other", {"decision_visibility": ["OTHER"]}),
            ("content_type_other", {"content_type": ["OTHER"]}),
            ("territorial_scope", {"territorial_scope": ["XX"]}),
            ("territorial_scope", {"territorial_scope": [7]}),
            ("automated_detection", {"automated_detection": "perhaps"}),
            ("content_date", {"content_date": "yesterday"}),
            ("content_date", {"content_date": 5}),
            ("puid", {"puid": "a b"}),
            ("end_date_account_restriction", {"application_date": "2026-07-28", **ENDED}),
            ("decision_taste", {"decision_taste": "bad"}),
        ],
    )  # fmt: skip
    def test_it_names_the_field(self, field: str, change: dict[str, Any]) -> None:
        with pytest.raises(StatementError) as caught:
            Statement.of(ILLEGAL | change)
        assert caught.value.field == field

    def test_a_stream_key_is_not_kept_and_not_repeated(self) -> None:
        key = StreamKey.generate()
        with pytest.raises(StatementError) as caught:
            Statement.of(ILLEGAL | {"decision_facts": f"They used {key.reveal()}."})
        assert key.secret not in str(caught.value)

    def test_a_rule_of_the_operators_needs_its_ground(self) -> None:
        assert Statement.of(RULES).decision_ground is Ground.INCOMPATIBLE_CONTENT
        for name in ("incompatible_content_ground", "incompatible_content_explanation"):
            with pytest.raises(StatementError):
                Statement.of(RULES | {name: ""})


class TestTerritory:
    def test_groups_are_their_countries(self) -> None:
        assert countries_of(["EU"]) == EU
        assert len(EU) == 27
        assert countries_of(["eea"]) == EEA
        assert len(EEA) == 30
        assert EEA < COUNTRIES

    def test_the_commissions_own_codes(self) -> None:
        assert countries_of(["EL", "UK"]) == {"GR", "GB"}

    def test_dates_as_they_are(self) -> None:
        assert Statement.of(ILLEGAL | {"content_date": date(2026, 7, 1)}).content_date == date(2026, 7, 1)
