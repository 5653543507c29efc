"""Keys from elsewhere in the database: which are there, and the transaction that adds those that are not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from streamd.services.audit.audit_log import append_entries, entry_of
from streamd.services.store.schema import keys, salts, users

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from streamd.services.audit.records import Actor
    from streamd.services.store.database import Database

SALT_NAME = "imported_keys"
# Ids in one IN (…), as in key_store.py.
_IDS_PER_QUERY_MAX = 1_000


@dataclass(frozen=True, slots=True)
class KeyToImport:
    """A row that is to be there."""

    key_id: str
    secret_hash: bytes = field(repr=False)
    user: str
    label: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key that has the id already."""

    user: str
    secret_hash: bytes = field(repr=False)

    def is_same(self, wanted: KeyToImport) -> bool:
        """Whether it is the very key that is to be imported."""
        return self.user == wanted.user and self.secret_hash == wanted.secret_hash


class ImportStore:
    """The import's side of the key store.

    Args:
        database: The database that it is in.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._salt: bytes | None = None

    async def start(self) -> None:
        """Read the salt, which never changes.

        Raises:
            StoreUnavailableError: It cannot be read.
        """
        async with self._database.reading() as connection:
            row = await connection.execute(select(salts.c.value).where(salts.c.name == SALT_NAME))
            self._salt = row.scalar_one()

    @property
    def salt(self) -> bytes:
        """The salt of the ids of imported keys."""
        assert self._salt is not None, "started"
        return self._salt

    async def held(self, key_ids: Collection[str]) -> dict[str, HeldKey]:
        """The keys that have these ids.

        Raises:
            StoreUnavailableError: They cannot be read.
        """
        async with self._database.reading() as connection:
            return await _held(connection, key_ids)

    async def add(self, wanted: Sequence[KeyToImport], *, now: datetime, by: Actor) -> dict[str, HeldKey]:
        """Add keys, and their users where these are new, all in one transaction or not at all.

        Args:
            wanted: The keys, no two with one id.
            now: Wall time.
            by: The actor.

        Returns:
            The keys that were there before, by id. Where one of them is another key than the one that is wanted,
            nothing was added.

        Raises:
            StoreUnavailableError: It could not be written; nothing was added.
        """
        async with self._database.writing() as connection:
            held = await _held(connection, [key.key_id for key in wanted])
            new = [key for key in wanted if key.key_id not in held]
            if not new or any(not held[key.key_id].is_same(key) for key in wanted if key.key_id in held):
                return held
            entries = []
            for user in dict.fromkeys(key.user for key in new):
                statement = self._database.insert_new(users).values(name=user, created_at=now)
                if (await connection.execute(statement)).rowcount == 1:
                    entries.append(entry_of(now, by, "user.created", user=user))
            rows = [
                {
                    "key_id": key.key_id,
                    "secret_hash": key.secret_hash,
                    "user": key.user,
                    "label": key.label,
                    "expires_at": key.expires_at,
                    "created_at": now,
                    "created_by": by.name,
                }
                for key in new
            ]
            await connection.execute(insert(keys), rows)
            entries += [entry_of(now, by, "key.imported", user=key.user, key_id=key.key_id) for key in new]
            await append_entries(connection, entries)
        return held


async def _held(connection: AsyncConnection, key_ids: Collection[str]) -> dict[str, HeldKey]:
    found: dict[str, HeldKey] = {}
    ids = list(key_ids)
    for start in range(0, len(ids), _IDS_PER_QUERY_MAX):
        query = select(keys.c.key_id, keys.c.user, keys.c.secret_hash).where(
            keys.c.key_id.in_(ids[start : start + _IDS_PER_QUERY_MAX])
        )
        rows = await connection.execute(query)
        found.update({row.key_id: HeldKey(row.user, row.secret_hash) for row in rows})
    return found
