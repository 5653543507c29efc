"""Blocks in the key store's database."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, delete, func, insert, select

from streamd.services.audit.audit_log import append_entries
from streamd.services.moderation.acts.block import Block, BlockKind, BlockScope
from streamd.services.store.schema import blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from streamd.services.audit.records import AuditEntry
    from streamd.services.store.database import Database

# Rows that are written or read at once: they take the loop some milliseconds. PostgreSQL takes 32,767 values in one
# statement, and a block has ten.
_ROWS_PER_STATEMENT = 200


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
        found: list[Block] = []
        async with self._database.scanning() as connection:
            rows = await connection.stream(select(blocks).order_by(blocks.c.id))
            async for part in rows.partitions(_ROWS_PER_STATEMENT):
                found += [_block(row) for row in part]
        return found

    async def fingerprint(self) -> tuple[object, ...]:
        """A value that differs where another server has added or removed one.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        query = select(func.count(), func.max(blocks.c.id), func.min(blocks.c.id))
        async with self._database.reading() as connection:
            return tuple((await connection.execute(query)).one())

    async def remove(self, entries: Mapping[str, AuditEntry]) -> frozenset[str]:
        """Remove blocks, each with its row of the audit log.

        Args:
            entries: The rows, by the id of the block.

        Returns:
            The ids of those that were there; of others, which another server has removed, no row is written.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            chosen = delete(blocks).where(blocks.c.id.in_([*entries])).returning(blocks.c.id)
            removed = frozenset((await connection.execute(chosen)).scalars())
            await append_entries(connection, [entry for block_id, entry in entries.items() if block_id in removed])
        return removed


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
    # Not ``asdict``, which copies each value of a list of ten thousand.
    values = {field.name: getattr(block, field.name) for field in fields(block)}
    return values | {
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
