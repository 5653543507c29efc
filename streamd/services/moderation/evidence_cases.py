"""What evidence has to know of cases, from their table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from streamd.services.moderation.case_records import CaseState
from streamd.services.store.schema import cases

if TYPE_CHECKING:
    from collections.abc import Collection

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

    async def open_among(self, case_ids: Collection[str]) -> Collection[str]:
        """Those of some cases that are open.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        query = select(cases.c.id).where(cases.c.id.in_([*case_ids]), cases.c.state != CaseState.DECIDED)
        async with self._database.reading() as connection:
            return {row.id for row in await connection.execute(query)}
