"""Statements of reasons as the Commission's database takes them: bodies of its call, at most 100 statements each.

An order is answered to its authority, and no statement is owed for it (article 17(5)); neither is one for what is
restricted in no country of the European Economic Area.

Spec: Regulation (EU) 2022/2065, articles 17 and 24(5); https://transparency.dsa.ec.europa.eu/page/api-documentation.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from streamd.services.moderation.statement import Statement
from streamd.services.moderation.territory import EEA
from streamd.services.store.schema import takedowns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streamd.services.store.database import Database

# "A maximum of 100 statements of reasons" in one call.
STATEMENTS_MAX: Final = 100


async def dsa_bodies(
    database: Database, first: date | None = None, last: date | None = None
) -> AsyncIterator[dict[str, Any]]:
    """The statements of the takedowns of some days, the oldest first, as bodies of calls.

    Args:
        database: Has the takedowns.
        first: Only from this day on (UTC).
        last: Only up to this day.

    Yields:
        ``{"statements": […]}``, with one statement at least.

    Raises:
        StoreUnavailableError: They could not be read.
    """
    table = takedowns.c
    query = select(table.id, table.made_at, table.statement).where(table.order_id.is_(None)).order_by(table.id)
    if first is not None:
        query = query.where(table.made_at >= datetime.combine(first, time.min, UTC))
    if last is not None:
        query = query.where(table.made_at <= datetime.combine(last, time.max, UTC))
    found: list[dict[str, Any]] = []
    async with database.scanning() as connection:
        rows = await connection.stream(query)
        async for row in rows:
            statement = dsa_statement(row.statement, row.id, row.made_at.date())
            if statement is None:
                continue
            found.append(statement)
            if len(found) == STATEMENTS_MAX:
                yield {"statements": found}
                found = []
    if found:
        yield {"statements": found}


def dsa_statement(text: str, takedown_id: str, made_on: date) -> dict[str, Any] | None:
    """One statement with every field that the Commission's schema requires; None where none is owed.

    Args:
        text: JSON of the statement, as it is kept.
        takedown_id: Of the act, by which the statement is known where it has no id of its own.
        made_on: The day of the act. What was shown live was shown first on it, where the statement does not say.
    """
    statement = Statement.of(json.loads(text))
    found = statement.as_json()
    if statement.territorial_scope:
        scope = [country for country in statement.territorial_scope if country in EEA]
        if not scope:
            return None
        found["territorial_scope"] = scope
    found.setdefault("puid", takedown_id)
    found.setdefault("application_date", made_on.isoformat())
    found.setdefault("content_date", min(found["application_date"], made_on.isoformat()))
    return found
