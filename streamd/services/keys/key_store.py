"""The key store: users and keys.

Every change is one transaction with its audit row in it, so that there is neither a change without a trace nor half a
change. The service decides the rules (service.py), and the store keeps them. The kind of database and its failures are
database.py's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, delete, func, insert, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from streamd.errors import KeyNotFoundError, KeyStateError, UserNotFoundError
from streamd.services.audit.audit_log import AuditLog, append_entries, entry_of
from streamd.services.audit.denial_log import PUBLISH_DENIED, STUDIO_DENIED
from streamd.services.audit.records import SERVER, Actor, AuditEntry
from streamd.services.keys.import_store import ImportStore
from streamd.services.keys.records import (
    KeyRecord,
    KeyStanding,
    KeyState,
    KeyUse,
    LivingKey,
    PublishLimits,
    UserRecord,
    UserState,
)
from streamd.services.store.database import Database
from streamd.services.store.page import Page
from streamd.services.store.schema import audit, keys, users

# Ids in one IN (…): far under SQLite's 32766 and PostgreSQL's 32767 bound values.
IDS_PER_QUERY_MAX = 1_000
# The id of no key: it does not have the form of one.
NO_KEY_ID = ""

_Result = TypeVar("_Result")

# Everything but the hash, which leaves the store in a KeyStanding alone.
_KEY_COLUMNS = [column for column in keys.c if column is not keys.c.secret_hash]
_LIMIT_COLUMNS = [users.c[field.name] for field in fields(PublishLimits)]


class KeyStore:
    """Users, keys and audit rows in one database.

    Args:
        database_url: ``sqlite+aiosqlite:///path`` or ``postgresql+asyncpg://…``.
        is_reading: Nothing is written or made.

    Raises:
        StoreUnavailableError: The URL names a database that this store does not know, or whose
            driver is missing.

    Attributes:
        database: Where all of it lies.
        audit: The log of acts, in the same database.
        imports: Keys from elsewhere, in the same database.
    """

    def __init__(self, database_url: str, *, is_reading: bool = False) -> None:
        self.database = Database(database_url, is_reading=is_reading)
        self.audit = AuditLog(self.database)
        self.imports = ImportStore(self.database)

    @property
    def writes(self) -> int:
        """Transactions of this process that have written, so far."""
        return self.database.writes

    async def start(self, *, makes: bool = True) -> None:
        """Make the database if it is new, and bring its schema to this version's; to read, only look at that.

        Args:
            makes: A database that is not there is made; without, it is an error.

        Raises:
            StoreUnavailableError: It cannot be reached, read or written, or is newer than we are.
        """
        await self.database.start(makes=makes)
        await self.imports.start()

    async def close(self) -> None:
        """Close every connection."""
        await self.database.close()

    async def check(self) -> None:
        """Ask what a publish asks, to see whether there would be an answer.

        Raises:
            StoreUnavailableError: It cannot.
        """
        await self.standing(NO_KEY_ID)

    # -- verification ---------------------------------------------------------------------------

    async def standing(self, key_id: str) -> KeyStanding | None:
        """The row that decides over a publish with this key: one look-up by index; None for an unknown id."""
        return (await self.database.abandonable(self.standings([key_id]))).get(key_id)

    async def standings(self, key_ids: Collection[str]) -> dict[str, KeyStanding]:
        """The rows that decide over these keys; unknown ids are left out."""
        found = {}
        ids = list(key_ids)
        async with self.database.reading() as connection:
            for start in range(0, len(ids), IDS_PER_QUERY_MAX):
                rows = await connection.execute(_STANDINGS, {"ids": ids[start : start + IDS_PER_QUERY_MAX]})
                found.update({row.key_id: KeyStanding(**_with_limits(row)) for row in rows})
        return found

    async def suspended_users(self) -> set[str]:
        """Names of the users that are suspended."""
        async with self.database.reading() as connection:
            rows = await connection.execute(select(users.c.name).where(users.c.suspended_at.is_not(None)))
            return {row.name for row in rows}

    async def unlisted_users(self) -> set[str]:
        """Names of the users whose channels are in no list."""
        async with self.database.reading() as connection:
            rows = await connection.execute(select(users.c.name).where(users.c.listed.is_(False)))
            return {row.name for row in rows}

    async def newest_key_sequence(self) -> int:
        """The number of the key that was issued last; 0 where there is none."""
        async with self.database.reading() as connection:
            return (await connection.execute(select(func.max(keys.c.sequence)))).scalar_one() or 0

    async def living_hashes(
        self, *, now: datetime, limit: int, at_once: int, user: str | None = None
    ) -> AsyncIterator[list[LivingKey]]:
        """The keys that would open a channel now, those lately used or issued first.

        A million keys are a second of the database, and of its own thread or process.

        Args:
            now: Wall time.
            limit: How many at most.
            at_once: Keys in a slice, each of which is a step of the loop.
            user: Only keys of this user.
        """
        lately = func.coalesce(keys.c.last_used_at, keys.c.created_at)
        query = _living(now).order_by(lately.desc(), keys.c.sequence.desc()).limit(limit)
        if user is not None:
            query = query.where(keys.c.user == user)
        async with self.database.scanning() as connection:
            rows = await connection.stream(query)
            async for part in rows.partitions(at_once):
                yield [_living_key(row) for row in part]

    async def hashes_issued(self, *, after: int, now: datetime, limit: int) -> list[LivingKey]:
        """The living keys that were issued after another one, in that order.

        Args:
            after: Its sequence.
            now: Wall time.
            limit: How many at most.
        """
        query = _living(now).where(keys.c.sequence > after).order_by(keys.c.sequence).limit(limit)
        async with self.database.reading() as connection:
            return [_living_key(row) for row in await connection.execute(query)]

    async def record_uses(self, uses: Mapping[str, KeyUse]) -> None:
        """Note when and from where keys were last used, all in one transaction.

        Args:
            uses: Last use by key id.
        """
        statement = (
            update(keys)
            .where(keys.c.key_id == bindparam("used_key_id"))
            .values(last_used_at=bindparam("used_at"), last_used_address=bindparam("used_address"))
        )
        values = [
            {"used_key_id": key_id, "used_at": use.at, "used_address": use.address} for key_id, use in uses.items()
        ]
        async with self.database.writing() as connection:
            await connection.execute(statement, values)

    # -- keys -----------------------------------------------------------------------------------

    async def add_key(
        self,
        *,
        key_id: str,
        secret_hash: bytes,
        user: str,
        label: str,
        expires_at: datetime | None,
        now: datetime,
        by: Actor,
    ) -> tuple[KeyRecord, UserState]:
        """Add a key, and its user where that is a new one.

        Returns:
            The key, and the state of its user.
        """
        async with self.database.writing() as connection:
            if await self._add_user(connection, user, now):
                await append_entries(connection, [entry_of(now, by, "user.created", user=user)])
            record = await _insert_key(
                connection,
                key_id=key_id,
                secret_hash=secret_hash,
                user=user,
                label=label,
                expires_at=expires_at,
                created_at=now,
                created_by=by.name,
            )
            await append_entries(connection, [entry_of(now, by, "key.issued", user=user, key_id=key_id)])
            return record, (await _get_user(connection, user)).state

    async def get_key(self, key_id: str) -> KeyRecord:
        """One key.

        Raises:
            KeyNotFoundError: There is none with this id.
        """
        async with self.database.reading() as connection:
            return await _get_key(connection, key_id)

    async def list_keys(
        self,
        *,
        user: str | None,
        state: KeyState | None,
        now: datetime,
        after: int,
        limit: int,
        is_newest_first: bool = False,
        search: str = "",
    ) -> Page[KeyRecord]:
        """Keys in the order they were issued, or from the last back.

        Args:
            user: Only keys of this user.
            state: Only keys that are in this state at ``now``.
            now: Wall time.
            after: Only keys that come after the one of this ``sequence`` in that order; 0 for all.
            limit: How many at most.
            is_newest_first: From the last back.
            search: Only keys that have this text in their id, their label or the name of their user.
        """
        sequence = keys.c.sequence
        query = select(*_KEY_COLUMNS).order_by(sequence.desc() if is_newest_first else sequence).limit(limit + 1)
        if after:
            query = query.where(sequence < after if is_newest_first else sequence > after)
        if user is not None:
            query = query.where(keys.c.user == user)
        if state is not None:
            query = query.where(_in_state(state, now))
        if search:
            texts = (keys.c.key_id, keys.c.label, keys.c.user)
            query = query.where(or_(*(text.icontains(search, autoescape=True) for text in texts)))
        async with self.database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return Page([_key_record(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def keys_expired(self, since: datetime, until: datetime) -> list[KeyRecord]:
        """Keys that expired after ``since`` and not after ``until``, without those that were revoked before."""
        query = (
            select(*_KEY_COLUMNS)
            .where(keys.c.expires_at > since, keys.c.expires_at <= until, keys.c.revoked_at.is_(None))
            .order_by(keys.c.expires_at, keys.c.sequence)
        )
        async with self.database.reading() as connection:
            return [_key_record(row) for row in await connection.execute(query)]

    async def rotate_key(
        self,
        key_id: str,
        *,
        new_key_id: str,
        new_secret_hash: bytes,
        old_until: datetime,
        now: datetime,
        by: Actor,
    ) -> tuple[KeyRecord, KeyRecord]:
        """Replace a key by a new one with the same user, label and expiry.

        Args:
            key_id: The key to replace.
            new_key_id: Id of the new key.
            new_secret_hash: Hash of its secret.
            old_until: Time when the old key stops to work, unless it does so before. At ``now`` or earlier it is
                revoked with this very change.
            now: Wall time.
            by: The actor.

        Returns:
            The old key as it is now, and the new one.

        Raises:
            KeyNotFoundError: There is no such key.
            KeyStateError: It is revoked, expired, or was rotated before.
        """
        async with self.database.writing() as connection:
            old = await _get_key(connection, key_id, for_update=True)
            if (state := old.state_at(now)) is not KeyState.ACTIVE:
                raise KeyStateError(f"key {key_id} is {state} and cannot be rotated; issue a new one")
            if old.replaced_by is not None:
                raise KeyStateError(f"key {key_id} was already rotated, to {old.replaced_by}")
            new = await _insert_key(
                connection,
                key_id=new_key_id,
                secret_hash=new_secret_hash,
                user=old.user,
                label=old.label,
                expires_at=old.expires_at,
                created_at=now,
                created_by=by.name,
            )
            change: dict[str, Any] = {"replaced_by": new_key_id}
            if old_until <= now:
                change |= {"revoked_at": now, "revoke_reason": "rotated", "revoked_by": by.name}
            elif old.expires_at is None or old_until < old.expires_at:
                change |= {"expires_at": old_until}
            await connection.execute(update(keys).where(keys.c.key_id == key_id).values(change))
            await append_entries(
                connection,
                [
                    entry_of(now, by, "key.rotated", user=old.user, key_id=key_id, reason=f"to {new_key_id}"),
                    entry_of(now, by, "key.issued", user=old.user, key_id=new_key_id, reason=f"from {key_id}"),
                ],
            )
            return await _get_key(connection, key_id), new

    async def revoke_key(
        self, key_id: str, *, reason: str, now: datetime, by: Actor, closed: Collection[str] = ()
    ) -> KeyRecord:
        """Revoke a key. One that is revoked already stays so, with its time and its reason.

        Args:
            key_id: The key.
            reason: Why, in the operator's words.
            now: Time of the revocation.
            by: The actor.
            closed: Names of the streams that it closed; those that an earlier call closed stay noted.

        Returns:
            The key as it is now.

        Raises:
            KeyNotFoundError: There is no such key.
        """
        async with self.database.writing() as connection:
            record = await _get_key(connection, key_id, for_update=True)
            rows = _closed_rows(now, by, closed, "revoked", key_id=key_id, user=record.user)
            change: dict[str, Any] = {}
            if record.revoked_at is None:
                change |= {"revoked_at": now, "revoke_reason": reason, "revoked_by": by.name}
                rows.insert(0, entry_of(now, by, "key.revoked", user=record.user, key_id=key_id, reason=reason))
            if closed:
                change["closed_streams"] = " ".join(dict.fromkeys((*record.closed_streams, *closed)))
            if not change:
                return record
            await connection.execute(update(keys).where(keys.c.key_id == key_id).values(change))
            await append_entries(connection, rows)
            return await _get_key(connection, key_id)

    async def delete_key(self, key_id: str, *, reason: str, now: datetime, by: Actor) -> None:
        """Delete a key, and the addresses from which it was tried.

        Raises:
            KeyNotFoundError: There is no such key.
        """
        async with self.database.writing() as connection:
            record = await _get_key(connection, key_id, for_update=True)
            await connection.execute(delete(keys).where(keys.c.key_id == key_id))
            await _erase_addresses(connection, [key_id])
            entry = entry_of(now, by, "key.deleted", user=record.user, key_id=key_id, reason=reason)
            await append_entries(connection, [entry])

    async def record_closed(self, key_id: str, streams: Collection[str]) -> None:
        """Note at a revoked key which streams its revocation closed.

        Args:
            key_id: The key.
            streams: All of them.
        """
        async with self.database.writing() as connection:
            await connection.execute(
                update(keys).where(keys.c.key_id == key_id).values(closed_streams=" ".join(streams))
            )

    # -- users ----------------------------------------------------------------------------------

    async def get_user(self, name: str) -> UserRecord:
        """One user.

        Raises:
            UserNotFoundError: There is none of this name.
        """
        async with self.database.reading() as connection:
            return await _get_user(connection, name)

    async def ensure_user(self, name: str, *, now: datetime) -> UserRecord:
        """One user, made if there is none of this name."""
        return await self.database.abandonable(self._ensure_user(name, now))

    async def list_users(
        self, *, state: UserState | None, after: str, limit: int, search: str = ""
    ) -> Page[UserRecord]:
        """Users in the order of their names.

        Args:
            state: Only users in this state.
            after: Only names that sort after this one.
            limit: How many at most.
            search: Only names that have this in them.
        """
        name = self.database.in_byte_order(users.c.name)
        query = select(users).where(name > after).order_by(name).limit(limit + 1)
        if search:
            query = query.where(users.c.name.icontains(search, autoescape=True))
        if state is UserState.SUSPENDED:
            query = query.where(users.c.suspended_at.is_not(None))
        elif state is UserState.ACTIVE:
            query = query.where(users.c.suspended_at.is_(None))
        async with self.database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return Page([_user_record(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def suspend_user(
        self, name: str, *, reason: str, now: datetime, by: Actor, closed: Collection[str] = ()
    ) -> tuple[UserRecord, set[str]]:
        """Suspend a user. A suspended one stays unchanged.

        Args:
            name: The user.
            reason: Why, in the operator's words.
            now: Time of the suspension.
            by: The actor.
            closed: Names of the streams that it closed.

        Returns:
            The user, and the ids of all of the user's keys that are not revoked.

        Raises:
            UserNotFoundError: There is none of this name.
        """
        async with self.database.writing() as connection:
            user = await _get_user(connection, name, for_update=True)
            rows = _closed_rows(now, by, closed, "suspended", user=name)
            if user.state is UserState.ACTIVE:
                change = {"suspended_at": now, "suspend_reason": reason}
                await connection.execute(update(users).where(users.c.name == name).values(change))
                rows.insert(0, entry_of(now, by, "user.suspended", user=name, reason=reason))
                user = await _get_user(connection, name)
            if rows:
                await append_entries(connection, rows)
            ids = select(keys.c.key_id).where(keys.c.user == name, keys.c.revoked_at.is_(None))
            return user, set((await connection.execute(ids)).scalars())

    async def delete_user(self, name: str, *, reason: str, now: datetime, by: Actor) -> set[str]:
        """Delete a user with all of their keys, and the addresses from which these were tried.

        Returns:
            The ids of the keys.

        Raises:
            UserNotFoundError: There is none of this name.
        """
        async with self.database.writing() as connection:
            await _get_user(connection, name, for_update=True)
            found = await connection.execute(select(keys.c.key_id).where(keys.c.user == name))
            key_ids = set(found.scalars())
            await connection.execute(delete(keys).where(keys.c.user == name))
            await connection.execute(delete(users).where(users.c.name == name))
            await _erase_addresses(connection, key_ids)
            await append_entries(connection, [entry_of(now, by, "user.deleted", user=name, reason=reason)])
        return key_ids

    async def restore_user(self, name: str, *, reason: str, now: datetime, by: Actor) -> UserRecord:
        """End a user's suspension. A user without one stays unchanged.

        Raises:
            UserNotFoundError: There is none of this name.
        """
        async with self.database.writing() as connection:
            user = await _get_user(connection, name, for_update=True)
            if user.state is UserState.SUSPENDED:
                change = {"suspended_at": null(), "suspend_reason": ""}
                await connection.execute(update(users).where(users.c.name == name).values(change))
                await append_entries(connection, [entry_of(now, by, "user.restored", user=name, reason=reason)])
                user = await _get_user(connection, name)
            return user

    async def list_user(self, name: str, *, listed: bool, reason: str, now: datetime, by: Actor) -> UserRecord:
        """Put a user's channel into the public list, or take it out; one that is there or not already stays so.

        Raises:
            UserNotFoundError: There is none of this name.
        """
        async with self.database.writing() as connection:
            user = await _get_user(connection, name, for_update=True)
            if user.listed is not listed:
                await connection.execute(update(users).where(users.c.name == name).values(listed=listed))
                action = "user.listed" if listed else "user.unlisted"
                await append_entries(connection, [entry_of(now, by, action, user=name, reason=reason)])
            return replace(user, listed=listed)

    async def limit_user(
        self, name: str, change: Mapping[str, int | None], *, reason: str, now: datetime, by: Actor
    ) -> UserRecord:
        """Change what a user may send.

        Args:
            name: The user.
            change: Fields of ``PublishLimits`` with their new values; the others stay.
            reason: Why, in the operator's words.
            now: Wall time.
            by: The actor.

        Returns:
            The user as it is now.

        Raises:
            UserNotFoundError: There is none of this name.
        """
        async with self.database.writing() as connection:
            before = await _get_user(connection, name, for_update=True)
            if replace(before.limits, **change) == before.limits:
                return before
            await connection.execute(update(users).where(users.c.name == name).values(dict(change)))
            said = " ".join(f"{key}={'default' if value is None else value}" for key, value in change.items())
            await append_entries(
                connection,
                [entry_of(now, by, "user.limited", user=name, reason=": ".join(filter(None, (said, reason))))],
            )
            return await _get_user(connection, name)

    # -- inside ---------------------------------------------------------------------------------

    async def _ensure_user(self, name: str, now: datetime) -> UserRecord:
        try:
            return await self.get_user(name)
        except UserNotFoundError:
            async with self.database.writing() as connection:
                if await self._add_user(connection, name, now):
                    await append_entries(connection, [entry_of(now, SERVER, "user.created", user=name)])
                return await _get_user(connection, name)

    async def _add_user(self, connection: AsyncConnection, name: str, now: datetime) -> bool:
        statement = self.database.insert_new(users).values(name=name, created_at=now)
        return (await connection.execute(statement)).rowcount == 1


_STANDINGS = (
    select(
        keys.c.key_id,
        keys.c.user,
        keys.c.secret_hash,
        keys.c.expires_at,
        keys.c.revoked_at.is_not(None).label("is_revoked"),
        users.c.suspended_at.is_not(None).label("is_suspended"),
        *_LIMIT_COLUMNS,
    )
    .join(users)
    .where(keys.c.key_id.in_(bindparam("ids", expanding=True)))
)


def _living(now: datetime) -> Select[Any]:
    """Sequence, id and hash of the keys that open a channel."""
    return (
        select(keys.c.sequence, keys.c.key_id, keys.c.secret_hash)
        .join(users)
        .where(_in_state(KeyState.ACTIVE, now), users.c.suspended_at.is_(None))
    )


def _in_state(state: KeyState, now: datetime) -> ColumnElement[bool]:
    """``KeyRecord.state_at`` as SQL."""
    match state:
        case KeyState.REVOKED:
            return keys.c.revoked_at.is_not(None)
        case KeyState.EXPIRED:
            return and_(keys.c.revoked_at.is_(None), keys.c.expires_at <= now)
        case KeyState.ACTIVE:
            return and_(keys.c.revoked_at.is_(None), or_(keys.c.expires_at.is_(None), keys.c.expires_at > now))


async def _insert_key(connection: AsyncConnection, **values: Any) -> KeyRecord:
    row = await connection.execute(insert(keys).values(values).returning(*_KEY_COLUMNS))
    return _key_record(row.one())


async def _get_key(connection: AsyncConnection, key_id: str, *, for_update: bool = False) -> KeyRecord:
    query = select(*_KEY_COLUMNS).where(keys.c.key_id == key_id)
    # PostgreSQL locks the row until the transaction ends; SQLite has its write lock and ignores this.
    row = (await connection.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise KeyNotFoundError(key_id)
    return _key_record(row)


async def _get_user(connection: AsyncConnection, name: str, *, for_update: bool = False) -> UserRecord:
    query = select(users).where(users.c.name == name)
    row = (await connection.execute(query.with_for_update() if for_update else query)).one_or_none()
    if row is None:
        raise UserNotFoundError(name)
    return _user_record(row)


async def _erase_addresses(connection: AsyncConnection, key_ids: Collection[str]) -> None:
    """Erase the addresses in the rows about refusals of these keys: those of their holders."""
    ids = list(key_ids)
    for start in range(0, len(ids), IDS_PER_QUERY_MAX):
        await connection.execute(
            update(audit)
            .where(
                audit.c.key_id.in_(ids[start : start + IDS_PER_QUERY_MAX]),
                audit.c.action.in_((PUBLISH_DENIED, STUDIO_DENIED)),
                audit.c.address != "",
            )
            .values(address="", address_salt=None)
        )


def _closed_rows(now: datetime, by: Actor, closed: Collection[str], reason: str, **whose: str) -> list[AuditEntry]:
    """The audit rows of streams that an act closed."""
    return [entry_of(now, by, "stream.closed", stream=name, reason=reason, **whose) for name in closed]


def _key_record(row: Row[Any]) -> KeyRecord:
    values = row._asdict()
    values["closed_streams"] = tuple(values["closed_streams"].split())
    return KeyRecord(**values)


def _living_key(row: Row[Any]) -> LivingKey:
    return LivingKey(row.sequence, row.key_id, row.secret_hash)


def _user_record(row: Row[Any]) -> UserRecord:
    state = UserState.ACTIVE if row.suspended_at is None else UserState.SUSPENDED
    return UserRecord(state=state, **_with_limits(row))


def _with_limits(row: Row[Any]) -> dict[str, Any]:
    """The values of a row, with the user's limits as one value."""
    values = row._asdict()
    limits = PublishLimits(**{column.name: values.pop(column.name) for column in _LIMIT_COLUMNS})
    return values | {"limits": limits}
