"""Blocks in the key store's database."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, delete, func, insert, select

from streamd.errors import TakedownNotFoundError
from streamd.services.audit.audit_log import append_entries
from streamd.services.moderation.acts.block import Block, BlockKind, BlockScope
from streamd.services.store.schema import blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from streamd.services.audit.records import AuditEntry
    from streamd.services.store.database import Database

# Rows of one statement: PostgreSQL takes 32,767 values in one, and a block has ten.
_ROWS_PER_STATEMENT = 2_000


class BlockStore:
    """The blocks of a server, or of several on one database.

    Args:
        database: The key store's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Block]:
        """Every block, in the order in which they were added.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        async with self._database.reading() as connection:
            return [_block(row) for row in await connection.execute(select(blocks).order_by(blocks.c.id))]

    async def fingerprint(self) -> tuple[object, ...]:
        """What differs where another server has added or removed one.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        query = select(func.count(), func.max(blocks.c.id), func.min(blocks.c.id))
        async with self._database.reading() as connection:
            return tuple((await connection.execute(query)).one())

    async def remove(self, block_ids: Sequence[str], entries: Sequence[AuditEntry]) -> None:
        """Remove blocks, with their rows of the audit log.

        Raises:
            TakedownNotFoundError: The only one that is named is not there.
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            done = await connection.execute(delete(blocks).where(blocks.c.id.in_(block_ids)))
            if len(block_ids) == 1 and not done.rowcount:
                raise TakedownNotFoundError(f"there is no block {block_ids[0]}")
            await append_entries(connection, entries)


async def insert_blocks(connection: AsyncConnection, added: Sequence[Block]) -> bool:
    """Add blocks within a transaction; returns whether they were not there before."""
    known = await connection.execute(select(blocks.c.id).where(blocks.c.id == added[0].id))
    if known.one_or_none() is not None:
        return False
    for start in range(0, len(added), _ROWS_PER_STATEMENT):
        part = added[start : start + _ROWS_PER_STATEMENT]
        await connection.execute(insert(blocks), [_values(block) for block in part])
    return True


def _values(block: Block) -> dict[str, Any]:
    return asdict(block) | {
        "kind": block.kind.value,
        "scope": block.scope.value,
        "countries": " ".join(block.countries),
    }


def _block(row: Row[Any]) -> Block:
    values = row._asdict()
    return Block(
        **values
        | {
            "kind": BlockKind(values["kind"]),
            "scope": BlockScope(values["scope"]),
            "countries": tuple(values["countries"].split()),
        }
    )
