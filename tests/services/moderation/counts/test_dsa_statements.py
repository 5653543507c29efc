"""Statements of reasons, held against the Commission's schema as its documentation lists it (2026-06)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs
import pytest

from streamd.services.moderation.acts.takedown import Takedown
from streamd.services.moderation.acts.takedown_store import insert_takedown
from streamd.services.moderation.categories import Category
from streamd.services.moderation.counts.dsa_statements import STATEMENTS_MAX, dsa_bodies, dsa_statement
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.moderation.statement import (
    Account,
    AutomatedDecision,
    ContentType,
    Ground,
    Provision,
    SourceType,
    Statement,
    Visibility,
)
from tests.support.enforcement import ANNA, ILLEGAL, STATEMENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamd.services.keys.key_store import KeyStore

DAY = date(2026, 11, 30)
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def _one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": [*values]}


def _list_of(*values: str) -> dict[str, Any]:
    return {"type": "array", "items": _one_of(*values), "minItems": 1, "uniqueItems": True}


def _prefixed(prefix: str, names: str) -> Iterable[str]:
    return (prefix + name for name in names.split())


def _text(length_max: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": length_max}


_DATE: Final = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"}
_YES_NO: Final = _one_of("Yes", "No")
_COUNTRIES: Final = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK"
_CATEGORIES: Final = """
    ANIMAL_WELFARE CONSUMER_INFORMATION CYBER_VIOLENCE CYBER_VIOLENCE_AGAINST_WOMEN
    DATA_PROTECTION_AND_PRIVACY_VIOLATIONS ILLEGAL_OR_HARMFUL_SPEECH INTELLECTUAL_PROPERTY_INFRINGEMENTS
    NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS NOT_SPECIFIED_NOTICE OTHER_VIOLATION_TC PROTECTION_OF_MINORS
    RISK_FOR_PUBLIC_SECURITY SCAMS_AND_FRAUD SELF_HARM UNSAFE_AND_PROHIBITED_PRODUCTS VIOLENCE"""
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "decision_visibility": _list_of(
            *_prefixed(
                "DECISION_VISIBILITY_",
                "CONTENT_REMOVED CONTENT_DISABLED CONTENT_DEMOTED CONTENT_AGE_RESTRICTED"
                " CONTENT_INTERACTION_RESTRICTED CONTENT_LABELLED OTHER",
            )
        ),
        "decision_visibility_other": _text(500),
        "decision_provision": _one_of(
            *_prefixed(
                "DECISION_PROVISION_", "PARTIAL_SUSPENSION TOTAL_SUSPENSION PARTIAL_TERMINATION TOTAL_TERMINATION"
            )
        ),
        "decision_account": _one_of(*_prefixed("DECISION_ACCOUNT_", "SUSPENDED TERMINATED")),
        "decision_ground": _one_of(*_prefixed("DECISION_GROUND_", "ILLEGAL_CONTENT INCOMPATIBLE_CONTENT")),
        "illegal_content_legal_ground": _text(500),
        "illegal_content_explanation": _text(2000),
        "incompatible_content_ground": _text(500),
        "incompatible_content_explanation": _text(2000),
        "decision_facts": _text(5000),
        "category": _one_of(*_prefixed("STATEMENT_CATEGORY_", _CATEGORIES)),
        "category_specification": {"type": "array", "items": {"type": "string", "pattern": "^KEYWORD_[A-Z0-9_]+$"}},
        "territorial_scope": _list_of(*_COUNTRIES.split()),
        "source_type": _one_of(
            "SOURCE_ARTICLE_16", "SOURCE_TRUSTED_FLAGGER", "SOURCE_TYPE_OTHER_NOTIFICATION", "SOURCE_VOLUNTARY"
        ),
        "source_identity": _text(500),
        "automated_detection": _YES_NO,
        "automated_decision": _one_of(*_prefixed("AUTOMATED_DECISION_", "FULLY PARTIALLY NOT_AUTOMATED")),
        "content_type": _list_of(
            *_prefixed("CONTENT_TYPE_", "APP AUDIO IMAGE PRODUCT SYNTHETIC_MEDIA TEXT VIDEO OTHER")
        ),
        "content_type_other": _text(500),
        "content_date": _DATE,
        "application_date": _DATE,
        "end_date_visibility_restriction": _DATE,
        "end_date_service_restriction": _DATE,
        "end_date_account_restriction": _DATE,
        "puid": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,500}$"},
    },
    "additionalProperties": False,
    "required": [
        *("decision_ground", "decision_facts", "category", "source_type", "automated_detection", "automated_decision"),
        *("content_type", "content_date", "application_date", "puid"),
    ],
    "anyOf": [{"required": [name]} for name in ("decision_visibility", "decision_provision", "decision_account")],
    "allOf": [
        {
            "if": {"properties": {"decision_ground": {"const": f"DECISION_GROUND_{kind.upper()}"}}},
            "then": {"required": [f"{kind}_{ground}", f"{kind}_explanation"]},
        }
        for kind, ground in (("illegal_content", "legal_ground"), ("incompatible_content", "ground"))
    ]
    + [
        {
            "if": {"required": [name], "properties": {name: {"contains": {"const": other}}}},
            "then": {"required": [f"{name}_other"]},
        }
        for name, other in (
            ("decision_visibility", "DECISION_VISIBILITY_OTHER"),
            ("content_type", "CONTENT_TYPE_OTHER"),
        )
    ],
}
BODY: Final = {
    "type": "object",
    "properties": {"statements": {"type": "array", "items": SCHEMA, "minItems": 1, "maxItems": 100}},
    "additionalProperties": False,
    "required": ["statements"],
}
_VALIDATOR: Final = jsonschema_rs.Draft202012Validator(BODY)


def valid(statement: Statement, takedown_id: str = "tkd_1") -> dict[str, Any]:
    """The Commission's object of a statement; it is asserted that its schema takes it."""
    found = dsa_statement(json.dumps(statement.as_json()), takedown_id, DAY)
    assert found is not None
    _VALIDATOR.validate({"statements": [found]})
    return found


def test_the_schema_refuses_what_lacks_something() -> None:
    found = valid(STATEMENT)
    for name in SCHEMA["required"]:
        assert not _VALIDATOR.is_valid({"statements": [{key: found[key] for key in found if key != name}]}), name
    for wrong in (
        {"category": "VIOLENCE"}, {"automated_detection": True}, {"territorial_scope": ["ID"]}, {"else": ""},
        {"decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT"}, {"content_type": ["CONTENT_TYPE_OTHER"]},
    ):  # fmt: skip
        assert not _VALIDATOR.is_valid({"statements": [found | wrong]}), wrong
    assert not _VALIDATOR.is_valid({"statements": [found] * 101})


def test_what_a_moderator_need_not_say_is_filled_in() -> None:
    found = valid(STATEMENT)
    assert (found["puid"], found["application_date"], found["content_date"]) == ("tkd_1", str(DAY), str(DAY))
    said = replace(STATEMENT, puid="own-7", application_date=DAY - timedelta(days=1), content_date=date(2026, 1, 2))
    found = valid(said)
    assert (found["puid"], found["application_date"], found["content_date"]) == ("own-7", "2026-11-29", "2026-01-02")
    # Nothing is shown first behind the day from which it is dark.
    assert valid(replace(STATEMENT, application_date=DAY - timedelta(days=1)))["content_date"] == "2026-11-29"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("category", [*Category]),
        ("source_type", [*SourceType]),
        ("automated_decision", [*AutomatedDecision]),
        ("decision_provision", [*Provision]),
        ("decision_account", [*Account]),
        ("decision_visibility", [(each,) for each in Visibility]),
        ("content_type", [(each,) for each in ContentType]),
        ("automated_detection", [True, False]),
    ],
)
def test_every_word_that_we_know_is_the_commissions(name: str, values: list[Any]) -> None:
    for value in values:
        valid(replace(STATEMENT, decision_visibility_other="a", content_type_other="b", **{name: value}))


def test_all_of_it_at_once_on_the_other_ground() -> None:
    given = {name: value for name, value in ILLEGAL.items() if not name.startswith("illegal")} | {
        "decision_ground": Ground.INCOMPATIBLE_CONTENT.value,
        "incompatible_content_ground": "Rule 7",
        "incompatible_content_explanation": "x" * 2000,
        "decision_facts": "y" * 5000,
        "category_specification": ["HATE_SPEECH"],
        "territorial_scope": ["EU", "ID"],
        "source_identity": "An association",
        "end_date_visibility_restriction": "2027-01-01",
    }
    found = valid(Statement.of(given))
    assert "ID" not in found["territorial_scope"]
    assert len(found["territorial_scope"]) == 27


def test_what_is_restricted_nowhere_in_the_union_owes_none() -> None:
    text = json.dumps(replace(STATEMENT, territorial_scope=("ID", "US")).as_json())
    assert dsa_statement(text, "tkd_1", DAY) is None


@pytest.mark.asyncio
async def test_bodies_have_a_hundred_and_no_order_is_among_them(store: KeyStore) -> None:
    async with store.database.writing() as connection:
        for number in range(STATEMENTS_MAX + 7):
            at = NOON + timedelta(seconds=number)
            takedown = Takedown(new_id(IdKind.TAKEDOWN, at), ANNA, STATEMENT, made_at=at, made_by="mo")
            await insert_takedown(connection, replace(takedown, order_id="ord_1") if number < 2 else takedown)
    bodies = [body async for body in dsa_bodies(store.database)]
    for body in bodies:
        _VALIDATOR.validate(body)
    assert [len(body["statements"]) for body in bodies] == [STATEMENTS_MAX, 5]
    puids = [statement["puid"] for body in bodies for statement in body["statements"]]
    assert len({*puids}) == STATEMENTS_MAX + 5
    tomorrow = DAY + timedelta(days=1)
    assert [body async for body in dsa_bodies(store.database, tomorrow)] == []
    assert [body async for body in dsa_bodies(store.database, None, DAY - timedelta(days=1))] == []
