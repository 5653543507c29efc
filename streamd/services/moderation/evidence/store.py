"""The index of evidence, in the key store's database: a chain of rows, each of which stays when its files go."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, func, insert, select, update

from streamd.errors import EvidenceNotFoundError
from streamd.services.audit.audit_log import append_entries
from streamd.services.moderation.evidence.chain import BEGIN_HASH, EvidenceRecord, link_hash
from streamd.services.store.page import Page
from streamd.services.store.schema import evidence, evidence_chain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from streamd.services.audit.records import AuditEntry
    from streamd.services.store.database import Database

# Rows of one step of the loop.
ROWS_AT_ONCE = 500


class EvidenceStore:
    """The evidence of a server, or of several on one database.

    Args:
        database: The key store's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: EvidenceRecord, entry: AuditEntry) -> EvidenceRecord:
        """Add a piece as the next link of the chain; one that is there already stays as it is.

        Args:
            record: The piece, without its place in the chain.
            entry: The row of the audit log that tells of it.

        Returns:
            The piece with its place in the chain.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            # Held, so that no other server adds a link in this moment.
            end = (await connection.execute(select(evidence_chain).with_for_update())).one()
            known = (await connection.execute(select(evidence).where(evidence.c.id == record.id))).one_or_none()
            if known is not None:
                return _record(known)
            linked = replace(record, sequence=end.end_sequence + 1)
            linked = replace(linked, hash=link_hash(end.end_hash, asdict(linked)))
            await connection.execute(insert(evidence).values(asdict(linked)))
            await connection.execute(update(evidence_chain).values(end_sequence=linked.sequence, end_hash=linked.hash))
            await append_entries(connection, [entry])
        return linked

    async def find(self, evidence_id: str) -> EvidenceRecord:
        """Find a piece.

        Raises:
            EvidenceNotFoundError: There is none.
            StoreUnavailableError: It could not be read.
        """
        async with self._database.reading() as connection:
            row = (await connection.execute(select(evidence).where(evidence.c.id == evidence_id))).one_or_none()
        if row is None:
            raise EvidenceNotFoundError(evidence_id)
        return _record(row)

    async def page(self, *, case_id: str = "", channel: str = "", before: int = 0, limit: int) -> Page[EvidenceRecord]:
        """Pieces, the newest first.

        Args:
            case_id: Only those of this case.
            channel: Only those of this channel.
            before: Only those before this place in the chain; 0 for all.
            limit: How many at most.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        query = select(evidence).order_by(evidence.c.sequence.desc()).limit(limit + 1)
        if case_id:
            query = query.where(evidence.c.case_id == case_id)
        if channel:
            query = query.where(evidence.c.channel == channel)
        if before:
            query = query.where(evidence.c.sequence < before)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return Page([_record(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def count_of(self, case_id: str) -> int:
        """How many pieces a case has, with those whose files are deleted.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        async with self._database.reading() as connection:
            query = select(func.count()).where(evidence.c.case_id == case_id)
            return int((await connection.execute(query)).scalar_one())

    async def old(self, before: datetime, after: int, limit: int) -> list[EvidenceRecord]:
        """Pieces with files that were kept before a time, in the order of the chain.

        Args:
            before: The time.
            after: Only those behind this place in the chain.
            limit: How many at most.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        query = (
            select(evidence)
            .where(evidence.c.kept_at < before, evidence.c.deleted_at.is_(None), evidence.c.sequence > after)
            .order_by(evidence.c.sequence)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            return [_record(row) for row in (await connection.execute(query)).all()]

    async def unstamped(self, since: datetime, limit: int) -> list[EvidenceRecord]:
        """Pieces that were kept since a time and that no authority has stamped, the oldest first.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        query = (
            select(evidence)
            .where(evidence.c.kept_at >= since, evidence.c.stamped_at.is_(None), evidence.c.deleted_at.is_(None))
            .order_by(evidence.c.sequence)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            return [_record(row) for row in (await connection.execute(query)).all()]

    async def note_stamped(self, evidence_id: str, at: datetime) -> None:
        """Note the time that an authority has stamped a piece with.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            await connection.execute(update(evidence).where(evidence.c.id == evidence_id).values(stamped_at=at))

    async def note_deleted(self, record: EvidenceRecord, at: datetime, reason: str, entry: AuditEntry) -> None:
        """Note that the files of a piece are deleted; again changes nothing.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            noted = await connection.execute(
                update(evidence)
                .where(evidence.c.id == record.id, evidence.c.deleted_at.is_(None))
                .values(deleted_at=at, delete_reason=reason)
            )
            if noted.rowcount:
                await append_entries(connection, [entry])

    async def note_read(self, entry: AuditEntry) -> None:
        """Write who reads what, before they do.

        Raises:
            StoreUnavailableError: It could not be written: nothing is to be read.
        """
        async with self._database.writing() as connection:
            await append_entries(connection, [entry])

    async def chain(self) -> AsyncIterator[Sequence[EvidenceRecord]]:
        """The whole chain, some links at a time.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        query = select(evidence).order_by(evidence.c.sequence)
        async with self._database.scanning() as connection:
            rows = await connection.stream(query)
            async for part in rows.partitions(ROWS_AT_ONCE):
                yield [_record(row) for row in part]

    async def end(self) -> tuple[int, bytes]:
        """The end of the chain: the last place, and its hash.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        async with self._database.reading() as connection:
            row = (await connection.execute(select(evidence_chain))).one_or_none()
        return (0, BEGIN_HASH) if row is None else (row.end_sequence, row.end_hash)


def _record(row: Row[Any]) -> EvidenceRecord:
    return EvidenceRecord(**row._asdict())
