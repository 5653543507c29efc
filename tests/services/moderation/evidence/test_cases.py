"""What evidence asks the table of cases."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert

from streamd.services.moderation.categories import Keyword
from streamd.services.moderation.evidence.cases import EvidenceCases
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.store.schema import appeals, cases, decisions, takedowns
from tests.support.enforcement import STATEMENT

if TYPE_CHECKING:
    from sqlalchemy import Table

    from streamd.services.keys.key_store import KeyStore
    from streamd.services.moderation.statement import Statement

pytestmark = pytest.mark.asyncio

BEFORE = datetime(2026, 6, 1, tzinfo=UTC)
OLD, NEW = BEFORE - timedelta(days=1), BEFORE + timedelta(days=1)


def case(name: str, state: str) -> dict[str, Any]:
    return {
        **{"id": name, "target_kind": "channel", "target_id": "alice", "channel": "alice", "category": "VIOLENCE"},
        **{"source_type": "", "state": state, "is_restricted": name == "restricted", "is_on_top": False},
        **{"priority": 0, "reports": 1, "reports_kept": 1, "reporters": 1, "records": 1, "has_flagger": False},
        **{"viewers": 0, "machine_factor": 1, "machine_summary": "", "opened_at": OLD, "last_report_at": OLD},
        "claimed_by": "",
    }


def decision(name: str, at: datetime) -> dict[str, Any]:
    return {
        **{"id": f"dec_{name}", "case_id": name, "at": at, "actor": "mo", "outcome": "no_action", "reason": ""},
        **{"statement": "", "takedown_id": "", "is_unfounded": False},
    }


def appeal(name: str, state: str, at: datetime | None) -> dict[str, Any]:
    return {
        **{"id": f"apl_{name}", "decision_id": f"dec_{name}", "case_id": name, "party": "reporter", "appellant": "x"},
        **{"text": "", "received_at": OLD, "state": state, "decided_by": "", "decided_at": at, "reason": ""},
    }


async def test_a_case_needs_its_evidence_until_long_after_its_last_decision(store: KeyStore) -> None:
    rows: list[tuple[Table, list[dict[str, Any]]]] = [
        (
            cases,
            [
                case("open", "open"), case("claimed", "claimed"), case("old", "decided"), case("new", "decided"),
                case("complained", "decided"), case("answered", "decided"), case("settled", "decided"),
            ],
        ),
        (
            decisions,
            [
                decision("old", OLD), decision("new", NEW), decision("complained", OLD), decision("answered", OLD),
                decision("settled", OLD),
            ],
        ),
        (
            appeals,
            [
                appeal("complained", "open", None), appeal("answered", "upheld", NEW), appeal("settled", "upheld", OLD),
            ],
        ),
    ]  # fmt: skip
    async with store.database.writing() as connection:
        for table, values in rows:
            for value in values:
                await connection.execute(insert(table).values(value))
    found = EvidenceCases(store.database)
    asked = {"open", "claimed", "old", "new", "complained", "answered", "settled", "none"}
    assert await found.needed_among(asked, BEFORE) == {"open", "claimed", "new", "complained", "answered"}
    assert await found.needed_among({"old", "none"}, BEFORE) == set()


async def test_of_what_a_case_is(store: KeyStore) -> None:
    async with store.database.writing() as connection:
        await connection.execute(insert(cases).values(case("restricted", "open")))
    found = EvidenceCases(store.database)
    assert await found.about("restricted") == ("VIOLENCE", True)
    assert await found.about("none") == ("", False)
    assert await found.restricted_among({"restricted", "none"}) == {"restricted"}


async def test_a_takedown_without_a_case_stands_for_one(store: KeyStore) -> None:
    """Nobody has reported it: what is kept of it is kept for as long, and restricted by its statement alone."""
    now = BEFORE + timedelta(days=2)
    ids = [new_id(IdKind.TAKEDOWN, now + timedelta(seconds=number)) for number in range(5)]
    new, old, restored, complained, never_written = ids
    abuse = replace(STATEMENT, category_specification=(Keyword.CHILD_SEXUAL_ABUSE_MATERIAL.value,))
    row = {"kind": "channel", "target": "alice", "channel": "alice", "made_by": "mo"}
    times: dict[str, tuple[datetime, datetime | None, Statement]] = {
        new: (NEW, None, abuse),
        old: (OLD, None, STATEMENT),
        restored: (OLD, NEW, STATEMENT),
        complained: (OLD, None, STATEMENT),
    }
    async with store.database.writing() as connection:
        for name, (made_at, restored_at, statement) in times.items():
            values = {"made_at": made_at, "restored_at": restored_at, "statement": json.dumps(statement.as_json())}
            await connection.execute(insert(takedowns).values(id=name, **row, **values))
        await connection.execute(insert(decisions).values(decision("a", OLD) | {"takedown_id": complained}))
        await connection.execute(insert(appeals).values(appeal("a", "open", None)))
    found = EvidenceCases(store.database)
    assert await found.needed_among({*ids}, BEFORE) == {new, restored, complained}
    assert await found.about(new) == ("VIOLENCE", True)
    assert await found.about(old) == ("VIOLENCE", False)
    assert await found.about(never_written) == ("", False)
    assert await found.restricted_among({*ids, "case_1"}) == {new}
