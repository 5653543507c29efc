"""The operators in the database: every change is one transaction with its audit row in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, delete, func, insert, null, select, update

from streamd.errors import OperatorNotFoundError, OperatorStateError
from streamd.services.audit.audit_log import append_entries, entry_of
from streamd.services.operators.records import Credentials, OperatorRecord, OperatorState
from streamd.services.operators.roles import Role
from streamd.services.store.schema import operators

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from streamd.services.audit.records import Actor, AuditEntry
    from streamd.services.operators.token import OperatorToken
    from streamd.services.store.database import Database

# All of them are kept in memory, and read once a second: 1,000 are 3 ms of the database. A team has ten.
OPERATORS_MAX = 1_000


class OperatorStore:
    """Operators in one database.

    Args:
        database: The key store's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def everybody(self) -> list[Credentials]:
        """All operators, by name.

        Raises:
            StoreUnavailableError: They cannot be read.
        """
        query = select(operators).order_by(self._database.in_byte_order(operators.c.name))
        async with self._database.reading() as connection:
            return [_credentials(row) for row in await connection.execute(query)]

    async def add(
        self, name: str, role: Role, token: OperatorToken, *, expires_at: datetime | None, now: datetime, by: Actor
    ) -> Credentials:
        """Add an operator, or take one back whose token was revoked.

        Raises:
            OperatorStateError: There is one of this name, or there are too many.
            StoreUnavailableError: It could not be written.
        """
        values: dict[str, Any] = {
            "role": role.value,
            **_token_values(token, now),
            "created_at": now,
            "created_by": by.name,
            "expires_at": expires_at,
            "revoked_at": None,
            "revoke_reason": "",
            "revoked_by": "",
            "last_used_at": None,
            "totp_secret": None,
        }
        async with self._database.writing() as connection:
            known = await _find(connection, name)
            if known is not None and known.record.revoked_at is None:
                raise OperatorStateError(
                    f"there is an operator {name}; for another token: rotate, for another role: change it"
                )
            if known is not None:
                await connection.execute(update(operators).where(operators.c.name == name).values(values))
            elif await _count(connection) >= OPERATORS_MAX:
                raise OperatorStateError(f"there are {OPERATORS_MAX} operators, and may be no more; delete some")
            else:
                await connection.execute(insert(operators).values(name=name, **values))
            added = await _get(connection, name)
            reason = f"{role.value}{f', until {expires_at.isoformat()}' if expires_at else ''}"
            await append_entries(connection, [entry_of(now, by, "operator.added", subject=name, reason=reason)])
            return added

    async def rotate(self, name: str, token: OperatorToken, *, now: datetime, by: Actor) -> Credentials:
        """Give an operator another token in place of theirs.

        Raises:
            OperatorNotFoundError: There is none of this name.
            OperatorStateError: Their token was revoked, or has expired.
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            record = (await _get(connection, name)).record
            if (state := record.state_at(now)) is not OperatorState.ACTIVE:
                remedy = "add them anew" if state is OperatorState.REVOKED else "give it another end first"
                raise OperatorStateError(f"the token of {name} is {state} and cannot be rotated; {remedy}")
            chosen = operators.c.name == name
            await connection.execute(update(operators).where(chosen).values(_token_values(token, now)))
            rotated = await _get(connection, name)
            await append_entries(connection, [entry_of(now, by, "operator.rotated", subject=name)])
            return rotated

    async def change(
        self, name: str, change: Mapping[str, Any], *, reason: str, now: datetime, by: Actor
    ) -> Credentials:
        """Change an operator's role or the end of their token.

        Args:
            name: The operator.
            change: ``role`` or ``expires_at`` or both, with their new values.
            reason: The reason, in the words of the person who does it.
            now: Wall time.
            by: The actor.

        Raises:
            OperatorNotFoundError: There is none of this name.
            OperatorStateError: Their token was revoked.
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            before = await _get(connection, name)
            if before.record.revoked_at is not None:
                raise OperatorStateError(f"the token of {name} is revoked; add them anew")
            changed = {key: value for key, value in change.items() if getattr(before.record, key) != value}
            if not changed:
                return before
            values = {key: value.value if isinstance(value, Role) else value for key, value in changed.items()}
            await connection.execute(update(operators).where(operators.c.name == name).values(values))
            after = await _get(connection, name)
            said = ", ".join(_said(key, changed[key]) for key in sorted(changed, reverse=True))
            entry = entry_of(now, by, "operator.changed", subject=name, reason=": ".join(filter(None, (said, reason))))
            await append_entries(connection, [entry])
            return after

    async def revoke(self, name: str, *, reason: str, now: datetime, by: Actor) -> Credentials:
        """Revoke an operator's token. One that is revoked stays so, with its time and its reason.

        Raises:
            OperatorNotFoundError: There is none of this name.
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            before = await _get(connection, name)
            if before.record.revoked_at is not None:
                return before
            values = {"revoked_at": now, "revoke_reason": reason, "revoked_by": by.name, "totp_secret": null()}
            await connection.execute(update(operators).where(operators.c.name == name).values(values))
            after = await _get(connection, name)
            entry = entry_of(now, by, "operator.revoked", subject=name, reason=reason)
            await append_entries(connection, [entry])
            return after

    async def delete(self, name: str, *, reason: str, now: datetime, by: Actor) -> None:
        """Delete an operator; their acts stay in the audit log, by name.

        Raises:
            OperatorNotFoundError: There is none of this name.
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            await _get(connection, name)
            await connection.execute(delete(operators).where(operators.c.name == name))
            entry = entry_of(now, by, "operator.deleted", subject=name, reason=reason)
            await append_entries(connection, [entry])

    async def set_totp(
        self, name: str, secret: bytes | None, *, step: int = 0, reason: str, now: datetime, by: Actor
    ) -> Credentials:
        """Ask an operator for codes from now on, or no more.

        Args:
            name: The operator.
            secret: The secret in their authenticator; None for none.
            step: The step of the code that proved it, which is not taken again.
            reason: The reason, in the words of the person who does it.
            now: Wall time.
            by: The actor.

        Raises:
            OperatorNotFoundError: There is none of this name.
            StoreUnavailableError: It could not be written.
        """
        action = "operator.secured" if secret is not None else "operator.unsecured"
        async with self._database.writing() as connection:
            before = await _get(connection, name)
            if secret is None and not before.record.has_totp:
                return before
            values = {"totp_secret": secret, "totp_step": max(step, before.totp_step)}
            await connection.execute(update(operators).where(operators.c.name == name).values(values))
            after = await _get(connection, name)
            await append_entries(connection, [entry_of(now, by, action, subject=name, reason=reason)])
            return after

    async def take_step(self, name: str, step: int) -> bool:
        """Note that a code was taken; returns False where it, or a later one, was taken before, on whichever server.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        chosen = (operators.c.name == name) & (operators.c.totp_step < step)
        async with self._database.writing() as connection:
            taken = await connection.execute(update(operators).where(chosen).values(totp_step=step))
        return taken.rowcount == 1

    async def append(self, entries: Iterable[AuditEntry]) -> None:
        """Write into the audit log what an operator has done that changes nothing here.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            await append_entries(connection, entries)

    async def record_uses(self, uses: Mapping[str, datetime]) -> None:
        """Note when tokens were last used, all in one transaction.

        Args:
            uses: Time by name.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            for name, at in uses.items():
                await connection.execute(update(operators).where(operators.c.name == name).values(last_used_at=at))


def _said(key: str, value: Any) -> str:
    """A change in words, for the audit log."""
    if key == "role":
        return f"role {value}"
    return "never expires" if value is None else f"expires {value.isoformat()}"


def _token_values(token: OperatorToken, now: datetime) -> dict[str, Any]:
    return {"token_id": token.token_id, "secret_hash": token.hash(), "token_made_at": now}


async def _count(connection: AsyncConnection) -> int:
    return int((await connection.execute(select(func.count()).select_from(operators))).scalar_one())


async def _find(connection: AsyncConnection, name: str) -> Credentials | None:
    # PostgreSQL locks the row until the transaction ends; SQLite has its write lock and ignores this.
    query = select(operators).where(operators.c.name == name).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _credentials(row)


async def _get(connection: AsyncConnection, name: str) -> Credentials:
    found = await _find(connection, name)
    if found is None:
        raise OperatorNotFoundError(name)
    return found


def _credentials(row: Row[Any]) -> Credentials:
    values = row._asdict()
    secret_hash, totp_secret, totp_step = (values.pop(key) for key in ("secret_hash", "totp_secret", "totp_step"))
    values["role"] = Role(values["role"])
    record = OperatorRecord(**values, has_totp=totp_secret is not None)
    return Credentials(record, secret_hash, totp_secret, totp_step)
