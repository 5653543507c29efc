"""Keys, users and the audit log for the command line, over a running server."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from streamd.doors.web.models.audit import AuditPage
from streamd.doors.web.models.keys import Import, Key, KeyDeletion, KeyPage, NewKey, Revocation
from streamd.doors.web.models.users import ChangedUser, UnwrittenSuspension, User, UserDeletion, UserPage
from streamd.errors import ImportRefusedError
from streamd.process.admin_connection import AdminApiError
from streamd.process.operator_desk import RemoteOperators
from streamd.services.keys.records import UserState
from streamd.services.keys.request import PAGE_LIMIT_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from streamd.process.admin_connection import Call
    from streamd.process.operator_desk import OperatorDesk
    from streamd.services.keys.foreign_key import ForeignKey


class RemoteKeys:
    """A server's keys, users and audit log.

    Args:
        call: Asks its admin API.

    Attributes:
        operators: The people who act through it.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self.operators: OperatorDesk = RemoteOperators(call)

    async def issue(self, user: str, *, label: str, expires_at: datetime | None) -> NewKey:
        """Make a key."""
        body = {"user": user, "label": label, "expires_at": expires_at and expires_at.isoformat()}
        return NewKey.model_validate_json(await self._call("POST", "/api/v1/keys", body))

    async def import_keys(self, given: Sequence[ForeignKey], *, allows_weak: bool, only_checks: bool) -> Import:
        """Take over keys."""
        keys = [
            {name: value for name, value in asdict(key).items() if value is not None}
            | ({} if key.expires_at is None else {"expires_at": key.expires_at.isoformat()})
            for key in given
        ]
        body = {"keys": keys, "allow_weak": allows_weak, "check_only": only_checks}
        try:
            return Import.model_validate_json(await self._call("POST", "/api/v1/keys/import", body))
        except AdminApiError as exc:
            if exc.status == 422 and exc.errors:
                raise ImportRefusedError(exc.errors) from exc
            raise

    async def list_keys(self, user: str | None) -> list[Key]:
        """All keys, or all of one user's, in the order they were issued."""
        keys: list[Key] = []
        after: int | None = 0
        while after is not None:
            query = {"after": str(after), "limit": str(PAGE_LIMIT_MAX)} | ({"user": user} if user else {})
            page = KeyPage.model_validate_json(await self._call("GET", "/api/v1/keys", query=query))
            keys += page.keys
            after = page.next_after
        return keys

    async def rotate(self, key_id: str, *, overlap_s: float) -> NewKey:
        """Replace a key."""
        answer = await self._call("POST", f"/api/v1/keys/{key_id}/rotate", {"overlap_s": overlap_s})
        return NewKey.model_validate_json(answer)

    async def revoke(self, key_id: str, *, reason: str) -> Revocation:
        """Kill a key, and what runs on it."""
        answer = await self._call("POST", f"/api/v1/keys/{key_id}/revoke", {"reason": reason})
        return Revocation.model_validate_json(answer)

    async def delete_key(self, key_id: str, *, reason: str) -> KeyDeletion:
        """Kill a key, and delete it."""
        query = {"reason": reason} if reason else {}
        return KeyDeletion.model_validate_json(await self._call("DELETE", f"/api/v1/keys/{key_id}", query=query))

    async def delete_user(self, name: str, *, reason: str) -> UserDeletion:
        """Delete a user with all keys."""
        query = {"reason": reason} if reason else {}
        return UserDeletion.model_validate_json(await self._call("DELETE", f"/api/v1/users/{name}", query=query))

    async def list_users(self, state: UserState | None) -> list[User]:
        """All users, or all in one state, by name."""
        users: list[User] = []
        after: str | None = ""
        while after is not None:
            query = {"after": after, "limit": str(PAGE_LIMIT_MAX)} | ({"state": state.value} if state else {})
            page = UserPage.model_validate_json(await self._call("GET", "/api/v1/users", query=query))
            users += page.users
            after = page.next_after
        return users

    async def find_user(self, name: str) -> User | None:
        """One user; None where there is none of this name."""
        try:
            return User.model_validate_json(await self._call("GET", f"/api/v1/users/{name}"))
        except AdminApiError as exc:
            if exc.status == 404:
                return None
            raise

    async def suspend_user(self, name: str, *, reason: str) -> ChangedUser | UnwrittenSuspension:
        """Suspend a user, and close what runs."""
        body = {"state": UserState.SUSPENDED.value, "reason": reason}
        # The two are told apart by their fields.
        either: TypeAdapter[ChangedUser | UnwrittenSuspension] = TypeAdapter(ChangedUser | UnwrittenSuspension)
        return either.validate_json(await self._call("PATCH", f"/api/v1/users/{name}", body))

    async def restore_user(self, name: str, *, reason: str) -> User:
        """End a user's suspension."""
        return await self._change_user(name, {"state": UserState.ACTIVE.value, "reason": reason})

    async def limit_user(self, name: str, change: Mapping[str, int | None], *, reason: str) -> User:
        """Change what a user may send."""
        return await self._change_user(name, {"limits": dict(change), "reason": reason})

    async def list_channel(self, name: str, *, listed: bool, reason: str) -> User:
        """Put a user's channel into the public list, or take it out."""
        return await self._change_user(name, {"listed": listed, "reason": reason})

    async def list_audit(self, *, after: int, limit: int) -> AuditPage:
        """Rows of the audit log, from the last back."""
        query = {"newest_first": "true", "after": str(after), "limit": str(limit)}
        return AuditPage.model_validate_json(await self._call("GET", "/api/v1/audit", query=query))

    async def _change_user(self, name: str, change: dict[str, Any]) -> ChangedUser:
        return ChangedUser.model_validate_json(await self._call("PATCH", f"/api/v1/users/{name}", change))
