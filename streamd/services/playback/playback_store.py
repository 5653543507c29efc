"""The store of playback: keys, revocations and rules, in the key store's database.

Every change is one transaction with its row of the audit log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, delete, func, insert, select, update

from streamd.errors import KeyStateError, PlaybackKeyNotFoundError, UserNotFoundError
from streamd.services.audit.audit_log import append_entries
from streamd.services.playback.policy import PlaybackRule, Policy
from streamd.services.playback.records import PlaybackKeyRecord, RevocationRecord
from streamd.services.playback.revocations import RevocationKind
from streamd.services.playback.verifying_key import Algorithm
from streamd.services.store.schema import playback_keys, playback_revocations, playback_rules, salts, users

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from streamd.services.audit.records import AuditEntry
    from streamd.services.store.database import Database

SALT_NAME: Final = "playback"
# Every one is tried by nobody, but each is 200 bytes in every process, and an operator has a handful.
KEYS_MAX: Final = 256


class PlaybackStore:
    """Keys of tokens, what was withdrawn, and rules.

    Args:
        database: The key store's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def is_shared(self) -> bool:
        """Other servers may write it."""
        return not self._database.is_sqlite

    async def secret(self) -> bytes:
        """The secret of tickets, which whoever shares the database shares."""
        async with self._database.reading() as connection:
            row = await connection.execute(select(salts.c.value).where(salts.c.name == SALT_NAME))
            found: bytes = row.scalar_one()
            return found

    # -- keys -------------------------------------------------------------------------------

    async def keys(self) -> list[PlaybackKeyRecord]:
        """All keys, those that are good for nothing any more included, in the order in which they were made."""
        query = select(playback_keys).order_by(playback_keys.c.created_at, playback_keys.c.kid)
        async with self._database.reading() as connection:
            return [_key(row) for row in await connection.execute(query)]

    async def add_key(
        self, record: PlaybackKeyRecord, entry: AuditEntry, *, replaces: str = "", ends_at: datetime | None = None
    ) -> None:
        """Add a key.

        Args:
            record: The key.
            entry: The row of the audit log that tells of it.
            replaces: Id of the key that it stands for from now on; empty for none.
            ends_at: When that one stops to be good for new tokens.

        Raises:
            KeyStateError: There are too many keys, or the one to replace was replaced or withdrawn before.
            PlaybackKeyNotFoundError: There is none to replace.
            StoreUnavailableError: It could not be written.
        """
        from streamd.services.playback.playback_key import stored_of

        values = {
            "kid": record.kid,
            "algorithm": record.algorithm.value,
            "material": stored_of(record.key),
            "label": record.label,
            "created_at": record.created_at,
            "created_by": record.created_by,
        }
        async with self._database.writing() as connection:
            count = (await connection.execute(select(func.count()).select_from(playback_keys))).scalar_one()
            if count >= KEYS_MAX:
                raise KeyStateError(f"there are {KEYS_MAX} playback keys already: delete withdrawn ones")
            if replaces:
                chosen = playback_keys.c.kid == replaces
                row = (await connection.execute(select(playback_keys).where(chosen))).one_or_none()
                if row is None:
                    raise PlaybackKeyNotFoundError
                if row.withdrawn_at is not None or row.replaced_by is not None:
                    raise KeyStateError(f"playback key {replaces} was withdrawn or rotated before; make a new one")
                await connection.execute(
                    update(playback_keys).where(chosen).values(ends_at=ends_at, replaced_by=record.kid)
                )
            await connection.execute(insert(playback_keys).values(values))
            await append_entries(connection, [entry])

    async def delete_key(self, kid: str, entry: AuditEntry) -> None:
        """Delete a key that was withdrawn.

        Raises:
            KeyStateError: It was not.
            PlaybackKeyNotFoundError: There is none.
            StoreUnavailableError: It could not be written.
        """
        chosen = playback_keys.c.kid == kid
        async with self._database.writing() as connection:
            row = (await connection.execute(select(playback_keys).where(chosen))).one_or_none()
            if row is None:
                raise PlaybackKeyNotFoundError
            if row.withdrawn_at is None:
                raise KeyStateError(f"playback key {kid} is not withdrawn: what it signed may be in use")
            await connection.execute(delete(playback_keys).where(chosen))
            await append_entries(connection, [entry])

    # -- revocations ------------------------------------------------------------------------

    async def revocations(self, after: int) -> list[RevocationRecord]:
        """The withdrawals, in the order of the acts.

        Args:
            after: Only those with a larger number.
        """
        query = (
            select(playback_revocations)
            .where(playback_revocations.c.sequence > after)
            .order_by(playback_revocations.c.sequence)
        )
        async with self._database.reading() as connection:
            return [
                RevocationRecord(RevocationKind(row.kind), row.value, row.at, row.sequence)
                for row in await connection.execute(query)
            ]

    async def revoke(self, record: RevocationRecord, entry: AuditEntry) -> None:
        """Write what was withdrawn; an act of before on the same gives way to it.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        table = playback_revocations.c
        async with self._database.writing() as connection:
            await connection.execute(
                delete(playback_revocations).where(table.kind == record.kind.value, table.value == record.value)
            )
            await connection.execute(
                insert(playback_revocations).values(kind=record.kind.value, value=record.value, at=record.at)
            )
            if record.kind is RevocationKind.KID:
                await connection.execute(
                    update(playback_keys)
                    .where(playback_keys.c.kid == record.value, playback_keys.c.withdrawn_at.is_(None))
                    .values(withdrawn_at=record.at)
                )
            await append_entries(connection, [entry])

    # -- rules ------------------------------------------------------------------------------

    async def rules(self) -> dict[str, PlaybackRule]:
        """The rules of channels and recordings, by name and id."""
        async with self._database.reading() as connection:
            return {
                row.subject: PlaybackRule(Policy(row.policy), row.password_hash)
                for row in await connection.execute(select(playback_rules))
            }

    async def set_rule(
        self, subject: str, rule: PlaybackRule | None, entries: Sequence[AuditEntry], *, of_recording: bool = False
    ) -> None:
        """Decide for one channel or recording; None leaves it to the configuration, or a recording to its channel.

        Raises:
            UserNotFoundError: There is no such user; ids of recordings are not looked up.
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            if not of_recording:
                known = await connection.execute(select(users.c.name).where(users.c.name == subject))
                if known.one_or_none() is None:
                    raise UserNotFoundError(subject)
            await connection.execute(delete(playback_rules).where(playback_rules.c.subject == subject))
            if rule is not None:
                await connection.execute(
                    insert(playback_rules).values(
                        subject=subject, policy=rule.policy.value, password_hash=rule.password_hash
                    )
                )
            await append_entries(connection, entries)

    async def forget(self, subject: str) -> None:
        """Drop the rule of a channel or recording that is no more.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            await connection.execute(delete(playback_rules).where(playback_rules.c.subject == subject))


def _key(row: Row[Any]) -> PlaybackKeyRecord:
    # 10 MB of memory, which a server without a key does not need (verifying_key.py).
    from streamd.services.playback.playback_key import of_stored

    return PlaybackKeyRecord(
        key=of_stored(row.kid, Algorithm(row.algorithm), row.material),
        label=row.label,
        created_at=row.created_at,
        created_by=row.created_by,
        ends_at=row.ends_at,
        withdrawn_at=row.withdrawn_at,
        replaced_by=row.replaced_by or "",
    )
