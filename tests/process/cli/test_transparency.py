from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from streamd.process.cli import EXIT_USAGE
from streamd.services.audit.audit_log import AuditLog
from streamd.services.audit.records import AuditEntry
from streamd.services.keys.key_store import KeyStore
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.acts.takedown import Takedown
from streamd.services.moderation.acts.takedown_store import insert_takedown
from streamd.services.moderation.counts.counts import CSV_HEAD
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.store.database import Database
from tests.support.cli import run
from tests.support.enforcement import ANNA, STATEMENT

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
ACTS = (
    ("report.received", 0, ActDetails("VIOLENCE", "SOURCE_ARTICLE_16"), 3),
    ("report.received", 0, ActDetails("VIOLENCE", "SOURCE_TRUSTED_FLAGGER"), 1),
    ("case.decided", 1, ActDetails("VIOLENCE", "SOURCE_ARTICLE_16", outcome="taken_down", seconds=90), 1),
    ("takedown.made", 1, ActDetails("VIOLENCE", "SOURCE_ARTICLE_16", ("DE",), ground="ILLEGAL_CONTENT"), 1),
    ("takedown.made", 1, ActDetails("SCAMS_AND_FRAUD", "SOURCE_VOLUNTARY", automated_detection=True), 2),
    ("order.received", 2, ActDetails("RISK_FOR_PUBLIC_SECURITY", territorial_scope=("FR",)), 1),
    ("order.answered", 2, ActDetails(seconds=1800), 1),
    ("machine.disagreed", 2, ActDetails(), 1),
)


@pytest.fixture
def log(data_dir: Path) -> Path:
    """A data directory with a log of three days."""

    data_dir.mkdir(exist_ok=True)

    async def write() -> None:
        store = KeyStore(f"sqlite+aiosqlite:///{data_dir / 'streamd.db'}")
        await store.start()
        await AuditLog(store.database).append(
            AuditEntry(NOON - timedelta(days=2 - day), "mo", action, reason=details.text("words"), count=count)
            for action, day, details, count in ACTS
        )
        await store.close()

    asyncio.run(write())
    return data_dir


def test_days_as_json(log: Path) -> None:
    result = run("transparency", data_dir=log)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [day["date"] for day in found["days"]] == ["2026-11-28", "2026-11-29", "2026-11-30"]
    assert found["total"]["reports"]["total"] == 4
    assert found["total"]["takedowns"]["by_country"] == {"DE": 1, "everywhere": 2}
    assert found["total"]["cases_decided"]["median_seconds"] == 90
    assert "words" not in result.stdout


def test_some_days_as_csv(log: Path) -> None:
    result = run("transparency", "--from", "2026-11-29", "--to", "2026-11-29", "--format", "csv", data_dir=log)
    assert result.stdout.startswith(CSV_HEAD)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {row["date"] for row in rows} == {"2026-11-29"}
    assert {row["value"]: row["count"] for row in rows if (row["what"], row["by"]) == ("takedowns", "category")} == {
        "VIOLENCE": "1",
        "SCAMS_AND_FRAUD": "2",
    }


def test_the_report_of_the_law(log: Path) -> None:
    result = run("transparency", "--format", "report", data_dir=log)
    rows = {tuple(row[:4]): int(row[4]) for row in list(csv.reader(io.StringIO(result.stdout)))[1:]}
    assert rows["15(1)(a)", "orders received", "country", "FR"] == 1
    assert rows["15(1)(a)", "median seconds from an order to its answer", "", ""] == 1800
    assert rows["15(1)(b)", "notices received", "", ""] == 4
    assert rows["15(1)(b)", "notices received from trusted flaggers", "", ""] == 1
    assert rows["15(1)(b)", "restrictions on notices", "category", "VIOLENCE"] == 1
    assert rows["15(1)(c)", "restrictions of own initiative", "category", "SCAMS_AND_FRAUD"] == 2
    assert ("15(1)(c)", "restrictions of own initiative", "category", "VIOLENCE") not in rows
    assert rows["15(1)(e)", "findings of automated means that a person disagreed with", "", ""] == 1


def test_statements_for_the_commission_are_lines_of_a_hundred(log: Path) -> None:
    async def write() -> None:
        database = Database(f"sqlite+aiosqlite:///{log / 'streamd.db'}")
        await database.start()
        async with database.writing() as connection:
            for number in range(150):
                at = NOON - timedelta(days=number % 2, seconds=number)
                takedown = Takedown(new_id(IdKind.TAKEDOWN, at), ANNA, STATEMENT, made_at=at, made_by="mo")
                await insert_takedown(connection, takedown)
        await database.close()

    asyncio.run(write())
    result = run("transparency", "--format", "dsa", data_dir=log)
    bodies = [json.loads(line) for line in result.stdout.splitlines()]
    assert [len(body["statements"]) for body in bodies] == [100, 50]
    result = run("transparency", "--format", "dsa", "--from", "2026-11-30", data_dir=log)
    assert len(json.loads(result.stdout)["statements"]) == 75
    assert run("transparency", "--format", "dsa", "--from", "2027-01-01", data_dir=log).stdout == ""


def test_an_empty_log_has_nothing(data_dir: Path) -> None:
    data_dir.mkdir(exist_ok=True)

    async def make() -> None:
        store = KeyStore(f"sqlite+aiosqlite:///{data_dir / 'streamd.db'}")
        await store.start()
        await store.close()

    asyncio.run(make())
    assert json.loads(run("transparency", data_dir=data_dir).stdout)["days"] == []


@pytest.mark.parametrize("options", [("--from", "yesterday"), ("--from", "2026-11-30", "--to", "2026-11-29")])
def test_days_that_are_none(log: Path, options: tuple[str, ...]) -> None:
    assert run("transparency", *options, data_dir=log).exit_code == EXIT_USAGE
