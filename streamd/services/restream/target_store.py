"""The store of targets, in the key store's database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, delete, func, insert, select, update

from streamd.errors import RestreamError, RestreamTargetNotFoundError, UserNotFoundError
from streamd.services.audit.audit_log import append_entries
from streamd.services.restream.place import read_place
from streamd.services.restream.target import TargetRecord
from streamd.services.store.schema import restream_targets as targets
from streamd.services.store.schema import users

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.services.audit.records import AuditEntry
    from streamd.services.restream.secret_box import SecretBox
    from streamd.services.store.database import Database


class TargetStore:
    """The targets of all users.

    Args:
        database: The key store's.
        box: Locks their stream keys.
    """

    def __init__(self, database: Database, box: Callable[[], SecretBox]) -> None:
        self._database = database
        self._box = box

    async def of_user(self, user: str) -> list[TargetRecord]:
        """A user's targets, in the order in which they were made.

        Raises:
            SecretsError: A stream key was locked with a key that is not there.
            StoreUnavailableError: They could not be read.
        """
        query = select(targets).where(targets.c.user == user).order_by(targets.c.id)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [self._record(row) for row in rows]

    async def find(self, user: str, target_id: str) -> TargetRecord:
        """Find a user's target.

        Raises:
            RestreamTargetNotFoundError: The user has no such target.
            SecretsError: Its stream key was locked with a key that is not there.
            StoreUnavailableError: It could not be read.
        """
        async with self._database.reading() as connection:
            row = (await connection.execute(select(targets).where(_chosen(user, target_id)))).one_or_none()
        if row is None:
            raise RestreamTargetNotFoundError(target_id)
        return self._record(row)

    async def add(self, record: TargetRecord, entry: AuditEntry, *, targets_max: int) -> None:
        """Add a target.

        Args:
            record: It.
            entry: The row of the audit log that tells of it.
            targets_max: How many the user may have.

        Raises:
            UserNotFoundError: There is no such user.
            RestreamError: The user has as many as they may.
            StoreUnavailableError: It could not be written.
        """
        values = self._values(record) | {"id": record.target_id, "user": record.user, "created_at": record.created_at}
        async with self._database.writing() as connection:
            # The user's row is held, so that two who add at once do not both find room.
            held = select(users.c.name).where(users.c.name == record.user).with_for_update()
            if (await connection.execute(held)).scalar_one_or_none() is None:
                raise UserNotFoundError(record.user)
            query = select(func.count()).select_from(targets).where(targets.c.user == record.user)
            if (await connection.execute(query)).scalar_one() >= targets_max:
                raise RestreamError("user", f"has {targets_max} targets, and may have no more")
            await connection.execute(insert(targets).values(values))
            await append_entries(connection, [entry])

    async def change(self, record: TargetRecord, entry: AuditEntry) -> None:
        """Change a target.

        Raises:
            RestreamTargetNotFoundError: It has gone.
            StoreUnavailableError: It could not be written.
        """
        chosen = _chosen(record.user, record.target_id)
        async with self._database.writing() as connection:
            changed = await connection.execute(update(targets).where(chosen).values(self._values(record)))
            if not changed.rowcount:
                raise RestreamTargetNotFoundError(record.target_id)
            await append_entries(connection, [entry])

    async def delete(self, user: str, target_id: str, entry: AuditEntry) -> None:
        """Delete a target.

        Raises:
            RestreamTargetNotFoundError: The user has no such target.
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            deleted = await connection.execute(delete(targets).where(_chosen(user, target_id)))
            if not deleted.rowcount:
                raise RestreamTargetNotFoundError(target_id)
            await append_entries(connection, [entry])

    async def forget(self, user: str) -> None:
        """Delete all targets of a user who is deleted.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            await connection.execute(delete(targets).where(targets.c.user == user))

    async def lock_anew(self, box: SecretBox) -> int:
        """Lock every stream key with the first key of a box.

        Returns:
            How many there are.

        Raises:
            SecretsError: One was locked with a key that is not in the box; nothing is changed.
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            rows = (await connection.execute(select(targets.c.id, targets.c.locked_key).with_for_update())).all()
            anew = [(row.id, box.lock_anew(row.locked_key)) for row in rows]
            for target_id, locked in anew:
                await connection.execute(update(targets).where(targets.c.id == target_id).values(locked_key=locked))
        return len(anew)

    def _values(self, record: TargetRecord) -> dict[str, object]:
        return {
            "url": record.place.url,
            "locked_key": self._box().lock(record.stream_key),
            "key_hint": record.key_hint,
            "label": record.label,
            "is_enabled": record.is_enabled,
        }

    def _record(self, row: Row[Any]) -> TargetRecord:
        return TargetRecord(
            target_id=row.id,
            user=row.user,
            place=read_place(row.url),
            stream_key=self._box().open(row.locked_key),
            key_hint=row.key_hint,
            label=row.label,
            is_enabled=row.is_enabled,
            created_at=row.created_at,
        )


def _chosen(user: str, target_id: str) -> Any:
    return (targets.c.user == user) & (targets.c.id == target_id)
