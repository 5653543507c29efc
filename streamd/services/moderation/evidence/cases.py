"""What evidence has to know of what it is kept for: cases, and takedowns that were made without one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sqlalchemy import or_, select

from streamd.services.moderation.cases.case_records import AppealState, CaseState
from streamd.services.moderation.categories import Keyword, is_restricted
from streamd.services.moderation.ids import IdKind, is_id
from streamd.services.moderation.statement import Statement
from streamd.services.store.schema import appeals, cases, decisions, takedowns

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from streamd.services.store.database import Database

_KEYWORDS: Final = frozenset(Keyword)


class EvidenceCases:
    """Cases, and takedowns without one, as evidence sees them; an id of either stands for a case.

    Args:
        database: The key store's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def about(self, case_id: str) -> tuple[str, bool]:
        """The category of a case, and whether nobody sees its evidence who need not; of none, none.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        query = select(cases.c.category, cases.c.is_restricted).where(cases.c.id == case_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is not None:
            return row.category, row.is_restricted
        statement = (await self._statements([case_id])).get(case_id)
        return ("", False) if statement is None else (statement.category.value, _shows_child_abuse(statement))

    async def restricted_among(self, case_ids: Collection[str]) -> Collection[str]:
        """Those of some cases whose evidence nobody sees who need not.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        query = select(cases.c.id).where(cases.c.id.in_([*case_ids]), cases.c.is_restricted)
        async with self._database.reading() as connection:
            found: set[str] = {*(await connection.execute(query)).scalars()}
        statements = await self._statements(case_ids)
        return found | {each for each, statement in statements.items() if _shows_child_abuse(statement)}

    async def needed_among(self, case_ids: Collection[str], before: datetime) -> Collection[str]:
        """Those of some cases whose evidence is kept.

        Args:
            case_ids: Cases.
            before: What was decided before this, and is not complained about since, is over.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        ids = [*case_ids]
        queries = (
            select(cases.c.id).where(cases.c.id.in_(ids), cases.c.state != CaseState.DECIDED),
            select(decisions.c.case_id).where(decisions.c.case_id.in_(ids), decisions.c.at >= before),
            select(appeals.c.case_id).where(
                appeals.c.case_id.in_(ids), or_(appeals.c.state == AppealState.OPEN, appeals.c.decided_at >= before)
            ),
            select(takedowns.c.id).where(
                takedowns.c.id.in_(ids), or_(takedowns.c.made_at >= before, takedowns.c.restored_at >= before)
            ),
            # A complaint about a takedown without a case has made one.
            select(decisions.c.takedown_id)
            .join(appeals, appeals.c.decision_id == decisions.c.id)
            .where(
                decisions.c.takedown_id.in_(ids),
                or_(appeals.c.state == AppealState.OPEN, appeals.c.decided_at >= before),
            ),
        )
        needed: set[str] = set()
        for query in queries:
            async with self._database.reading() as connection:
                needed.update((await connection.execute(query)).scalars())
        return needed

    async def _statements(self, ids: Collection[str]) -> dict[str, Statement]:
        """The statements of reasons of the takedowns among some ids."""
        named = [each for each in ids if is_id(IdKind.TAKEDOWN, each)]
        if not named:
            return {}
        query = select(takedowns.c.id, takedowns.c.statement).where(takedowns.c.id.in_(named))
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return {row.id: Statement.of(json.loads(row.statement)) for row in rows}


def _shows_child_abuse(statement: Statement) -> bool:
    return any(is_restricted(Keyword(each)) for each in statement.category_specification if each in _KEYWORDS)
