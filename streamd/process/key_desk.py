"""Questions of a command about keys and users, to a running server or the key store itself.

``RemoteKeys`` and ``LocalKeys`` answer alike, in the admin API's own types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from streamd.doors.web.models.audit import AuditPage
    from streamd.doors.web.models.keys import Import, Key, KeyDeletion, NewKey, Revocation
    from streamd.doors.web.models.users import ChangedUser, UnwrittenSuspension, User, UserDeletion
    from streamd.process.operator_desk import OperatorDesk
    from streamd.services.keys.foreign_key import ForeignKey
    from streamd.services.keys.records import UserState


class KeyDesk(Protocol):
    """Where keys are issued, rotated and revoked, users suspended, and all of it can be read."""

    operators: OperatorDesk

    async def issue(self, user: str, *, label: str, expires_at: datetime | None) -> NewKey:
        """Make a key."""

    async def import_keys(self, given: Sequence[ForeignKey], *, allows_weak: bool, only_checks: bool) -> Import:
        """Take over keys, at most ``KEYS_MAX``; raises ``ImportRefusedError`` with their faults."""

    async def list_keys(self, user: str | None) -> list[Key]:
        """All keys, or all of one user's, in the order they were issued."""

    async def rotate(self, key_id: str, *, overlap_s: float) -> NewKey:
        """Replace a key."""

    async def revoke(self, key_id: str, *, reason: str) -> Revocation:
        """Kill a key."""

    async def delete_key(self, key_id: str, *, reason: str) -> KeyDeletion:
        """Kill a key, and delete it."""

    async def delete_user(self, name: str, *, reason: str) -> UserDeletion:
        """Delete a user with all keys."""

    async def list_users(self, state: UserState | None) -> list[User]:
        """All users, or all in one state, by name."""

    async def find_user(self, name: str) -> User | None:
        """One user; None where there is none of this name."""

    async def suspend_user(self, name: str, *, reason: str) -> ChangedUser | UnwrittenSuspension:
        """Suspend a user."""

    async def restore_user(self, name: str, *, reason: str) -> User:
        """End a user's suspension."""

    async def limit_user(self, name: str, change: Mapping[str, int | None], *, reason: str) -> User:
        """Change what a user may send: fields of ``UserLimits``, None for the server's; the others stay."""

    async def list_channel(self, name: str, *, listed: bool, reason: str) -> User:
        """Put a user's channel into the public list, or take it out."""

    async def list_audit(self, *, after: int, limit: int) -> AuditPage:
        """Rows of the audit log, from the last back."""
