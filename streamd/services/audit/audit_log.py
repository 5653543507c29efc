"""The audit log in the database: rows that are added and read, and never changed.

A change adds its row in its own transaction, by ``append_entries``, which makes it a link of the chain (chain.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from streamd.services.audit.chain import SALT_BYTES, address_digest, row_hash
from streamd.services.audit.records import EVERYTHING, Actor, AuditEntry, AuditFilter, AuditRecord
from streamd.services.store.database import Database
from streamd.services.store.page import Page
from streamd.services.store.schema import audit, audit_chain

# The chain's own, which nobody who reads the log asks for.
_HIDDEN = {"hash", "address_salt", "address_digest"}
_SEARCHED = ("action", "actor", "address", "user", "key_id", "stream", "subject", "reason")
_SHOWN = [column for column in audit.c if column.name not in _HIDDEN]


class AuditLog:
    """Changes and refusals, each with its actor.

    Args:
        database: The database that it is in.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entries: Iterable[AuditEntry]) -> None:
        """Add rows that belong to no other change.

        Raises:
            StoreUnavailableError: They could not be written.
        """
        async with self._database.writing() as connection:
            await append_entries(connection, entries)

    async def page(
        self, *, after: int, limit: int, is_newest_first: bool = False, found: AuditFilter = EVERYTHING
    ) -> Page[AuditRecord]:
        """Rows in the order they were written, or from the last back.

        Args:
            after: Only rows that come after the one of this ``sequence`` in that order; 0 for all.
            limit: How many at most.
            is_newest_first: From the last back.
            found: Which rows.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        sequence = audit.c.sequence
        query = select(*_SHOWN).order_by(sequence.desc() if is_newest_first else sequence).limit(limit + 1)
        if found.search:
            texts = [audit.c[name] for name in _SEARCHED]
            # People read in words the reasons that the server writes as names, "rate_limited".
            in_words = func.replace(audit.c.reason, "_", " ")
            matches = [text.icontains(found.search, autoescape=True) for text in (*texts, in_words)]
            query = query.where(or_(*matches, audit.c.action.in_(found.or_actions)))
        if found.action:
            query = query.where(audit.c.action == found.action)
        if found.since is not None:
            query = query.where(audit.c.at >= found.since)
        if found.until is not None:
            query = query.where(audit.c.at < found.until)
        if after:
            query = query.where(sequence < after if is_newest_first else sequence > after)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return Page([_record(row) for row in rows[:limit]], has_more=len(rows) > limit)


async def append_entries(connection: AsyncConnection, entries: Iterable[AuditEntry]) -> None:
    """Add rows within a transaction, each as a link of the chain.

    Others who add rows, also on another server, wait until the transaction has ended: SQLite has one writer, and
    PostgreSQL locks the chain's one row. So it is the last that a transaction does, if it can be.
    """
    rows = [asdict(entry) for entry in entries]
    if not rows:
        return
    end = (await connection.execute(select(audit_chain.c.end_sequence, audit_chain.c.end_hash).with_for_update())).one()
    sequence, last = end.end_sequence, end.end_hash
    for row in rows:
        # Numbers without gaps: nextval leaves one where a transaction fails, and a missing row could pass for it.
        sequence += 1
        row |= {"sequence": sequence, "address_salt": None, "address_digest": None}
        if row["address"]:
            row["address_salt"] = salt = secrets.token_bytes(SALT_BYTES)
            row["address_digest"] = address_digest(salt, row["address"])
        row["hash"] = last = row_hash(last, row)
    await connection.execute(insert(audit), rows)
    await connection.execute(update(audit_chain).values(end_sequence=sequence, end_hash=last))


def entry_of(now: datetime, by: Actor, action: str, **what: Any) -> AuditEntry:
    """Make the row of an act.

    Args:
        now: Time of the act.
        by: The actor.
        action: The act, as ``AuditEntry.action`` says.
        what: Fields of the row that name the key, user or stream.
    """
    return AuditEntry(at=now, actor=by.name, address=by.address, action=action, **what)


def _record(row: Row[Any]) -> AuditRecord:
    values = row._asdict()
    return AuditRecord(sequence=values.pop("sequence"), entry=AuditEntry(**values))
