"""Writes an act of moderation in one transaction with its row of the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.services.audit.audit_log import append_entries
from streamd.services.moderation.acts.block_store import insert_blocks
from streamd.services.moderation.acts.takedown_store import insert_takedown

if TYPE_CHECKING:
    from streamd.services.moderation.acts.act_writer import UnwrittenAct
    from streamd.services.store.database import Database


class DatabaseActs:
    """Writes acts into the key store's database (``act_writer.ActStore``).

    Args:
        database: The key store's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, act: UnwrittenAct) -> None:
        """Write an act; one that is there already is left alone.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            is_new = True
            if act.takedown is not None:
                is_new = await insert_takedown(connection, act.takedown)
            if act.blocks:
                is_new = await insert_blocks(connection, act.blocks)
            if is_new:
                await append_entries(connection, [act.entry])
