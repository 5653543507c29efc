"""What evidence has to know of cases, from their table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from streamd.services.moderation.cases.case_records import AppealState, CaseState
from streamd.services.store.schema import appeals, cases, decisions

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from streamd.services.store.database import Database


class EvidenceCases:
    """Cases, as evidence sees them.

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
        return ("", False) if row is None else (row.category, row.is_restricted)

    async def restricted_among(self, case_ids: Collection[str]) -> Collection[str]:
        """Those of some cases whose evidence nobody sees who need not.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        query = select(cases.c.id).where(cases.c.id.in_([*case_ids]), cases.c.is_restricted)
        async with self._database.reading() as connection:
            return {*(await connection.execute(query)).scalars()}

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
        )
        needed: set[str] = set()
        for query in queries:
            async with self._database.reading() as connection:
                needed.update((await connection.execute(query)).scalars())
        return needed
