"""Takedowns in the key store's database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, case, func, insert, or_, select, update

from streamd.errors import ModerationStateError, TakedownNotFoundError
from streamd.services.audit.audit_log import append_entries
from streamd.services.moderation.acts.takedown import Hold, Takedown
from streamd.services.moderation.statement import Statement
from streamd.services.moderation.target import Target, TargetKind
from streamd.services.store.page import Page
from streamd.services.store.schema import takedowns

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from streamd.services.audit.records import Actor, AuditEntry
    from streamd.services.store.database import Database

# In the JSON of a statement that does not hold everywhere, or not for ever; in a text of it the quotes are escaped.
SCOPE = '"territorial_scope":'
END = '"end_date_'


class TakedownStore:
    """The takedowns of a server, or of several on one database.

    Args:
        database: The key store's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing(self) -> list[tuple[str, Hold]]:
        """The takedowns that stand, with what they keep dark.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        table = takedowns.c
        # Few have a scope or an end: the statements of the others, some kilobytes each, are not read.
        narrowed = or_(table.statement.contains(SCOPE, autoescape=True), table.statement.contains(END, autoescape=True))
        statement = case((narrowed, table.statement), else_="").label("statement")
        query = select(table.id, table.kind, table.target, table.channel, statement).where(table.restored_at.is_(None))
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        found: list[tuple[str, Hold]] = []
        for row in rows:
            target = Target(TargetKind(row.kind), row.target, row.channel)
            hold = Hold.by(target, Statement.of(json.loads(row.statement))) if row.statement else Hold(target)
            found.append((row.id, hold))
        return found

    async def fingerprint(self) -> tuple[object, ...]:
        """A value that differs where another server has made or restored one.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        table = takedowns.c
        query = select(func.count(), func.max(table.id), func.max(table.restored_at), func.count(table.restored_at))
        async with self._database.reading() as connection:
            return tuple((await connection.execute(query)).one())

    async def find(self, takedown_id: str) -> Takedown:
        """One takedown.

        Raises:
            TakedownNotFoundError: There is none with this id.
            StoreUnavailableError: It could not be read.
        """
        async with self._database.reading() as connection:
            row = (await connection.execute(select(takedowns).where(takedowns.c.id == takedown_id))).one_or_none()
        if row is None:
            raise TakedownNotFoundError(f"there is no takedown {takedown_id}")
        return _takedown(row)

    async def of_case(self, case_id: str, since: datetime) -> Takedown | None:
        """The first takedown that was made for a case since a time; None where there is none.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        table = takedowns.c
        query = select(takedowns).where(table.case_id == case_id, table.made_at >= since).order_by(table.id).limit(1)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _takedown(row)

    async def page(
        self, *, channel: str = "", target: str = "", stands: bool | None = None, before: str = "", limit: int
    ) -> Page[Takedown]:
        """Takedowns, the newest first.

        Args:
            channel: Only those of something of this channel.
            target: Only those of this target.
            stands: Only those that stand, or that were restored; None for all.
            before: Only those that are older than the one of this id; empty for all.
            limit: How many at most.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        table = takedowns.c
        query = select(takedowns).order_by(table.id.desc()).limit(limit + 1)
        if channel:
            query = query.where(table.channel == channel)
        if target:
            query = query.where(table.target == target)
        if stands is not None:
            query = query.where(table.restored_at.is_(None) if stands else table.restored_at.is_not(None))
        if before:
            query = query.where(table.id < before)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return Page([_takedown(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def restore(self, takedown_id: str, *, at: datetime, by: Actor, reason: str, entry: AuditEntry) -> Takedown:
        """Write that a takedown stands no more, with its row of the audit log.

        Raises:
            TakedownNotFoundError: There is none with this id.
            ModerationStateError: It was restored before.
            StoreUnavailableError: It could not be written.
        """
        chosen = takedowns.c.id == takedown_id
        async with self._database.writing() as connection:
            done = await connection.execute(
                update(takedowns)
                .where(chosen, takedowns.c.restored_at.is_(None))
                .values(restored_at=at, restored_by=by.name, restore_reason=reason)
            )
            row = (await connection.execute(select(takedowns).where(chosen))).one_or_none()
            if row is None:
                raise TakedownNotFoundError(f"there is no takedown {takedown_id}")
            if not done.rowcount:
                raise ModerationStateError(
                    f"{takedown_id} was restored at {row.restored_at:%Y-%m-%d %H:%M} UTC by {row.restored_by}"
                )
            await append_entries(connection, [entry])
        return _takedown(row)


async def insert_takedown(connection: AsyncConnection, takedown: Takedown) -> bool:
    """Add a takedown within a transaction; returns whether it was not there before."""
    known = await connection.execute(select(takedowns.c.id).where(takedowns.c.id == takedown.id))
    if known.one_or_none() is not None:
        return False
    await connection.execute(
        insert(takedowns).values(
            id=takedown.id,
            kind=takedown.target.kind.value,
            target=takedown.target.id,
            channel=takedown.target.channel,
            statement=json.dumps(takedown.statement.as_json()),
            made_at=takedown.made_at,
            made_by=takedown.made_by,
            case_id=takedown.case_id,
            order_id=takedown.order_id,
        )
    )
    return True


def _takedown(row: Row[Any]) -> Takedown:
    values = row._asdict()
    target = Target(TargetKind(values.pop("kind")), values.pop("target"), values.pop("channel"))
    statement = Statement.of(json.loads(values.pop("statement")))
    return Takedown(target=target, statement=statement, **values)
