"""Keys, users and the audit log for the command line, on the store itself, where no server runs that it could ask.

Nothing can be closed here; servers that share the store look every few seconds for what was changed there
(``SweepOptions.recheck_interval_s``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.models.audit import AuditPage
from streamd.doors.web.models.keys import Import, Key, KeyDeletion, KeyPage, NewKey, Revocation
from streamd.doors.web.models.users import ChangedUser, User, UserDeletion, UserPage
from streamd.errors import UserNotFoundError
from streamd.process.operator_desk import LocalOperators
from streamd.services.audit.records import AuditEntry
from streamd.services.keys.request import PAGE_LIMIT_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.doors.web.models.users import UnwrittenSuspension
    from streamd.process.operator_desk import OperatorDesk
    from streamd.services.audit.records import Actor
    from streamd.services.keys.foreign_key import ForeignKey
    from streamd.services.keys.records import UserState
    from streamd.services.keys.service import KeyService
    from streamd.services.operators.service import OperatorService
    from streamd.services.recording.index import RecordingIndex


class LocalKeys:
    """Keys, users and the audit log on the store itself.

    Args:
        service: On a store that was started.
        rtmp_urls: The addresses that broadcasters could type as server, RTMPS first.
        recordings: The index of recordings in the same database.
        clock: For the audit log.
        operators: On the same database.
        by: The actor.

    Attributes:
        operators: The people who act through the admin API.
    """

    def __init__(
        self,
        service: KeyService,
        rtmp_urls: Sequence[str],
        recordings: RecordingIndex,
        clock: Clock,
        operators: OperatorService,
        by: Actor,
    ) -> None:
        self.operators: OperatorDesk = LocalOperators(operators, by)
        self._by = by
        self._service = service
        self._rtmp_urls = rtmp_urls
        self._recordings = recordings
        self._clock = clock

    async def issue(self, user: str, *, label: str, expires_at: datetime | None) -> NewKey:
        """Make a key."""
        issued = await self._service.issue(user, label=label, expires_at=expires_at, by=self._by)
        return NewKey.of(issued, self._rtmp_urls)

    async def import_keys(self, given: Sequence[ForeignKey], *, allows_weak: bool, only_checks: bool) -> Import:
        """Take over keys."""
        results = await self._service.importer.take(
            given, by=self._by, allows_weak=allows_weak, only_checks=only_checks
        )
        return Import.of(results)

    async def list_keys(self, user: str | None) -> list[Key]:
        """All keys, or all of one user's, in the order they were issued."""
        keys: list[Key] = []
        after: int | None = 0
        while after is not None:
            records = await self._service.list_keys(user=user, after=after, limit=PAGE_LIMIT_MAX)
            page = KeyPage.of(records, self._service.state_of)
            keys += page.keys
            after = page.next_after
        return keys

    async def rotate(self, key_id: str, *, overlap_s: float) -> NewKey:
        """Replace a key."""
        return NewKey.of(await self._service.rotate(key_id, overlap_s=overlap_s, by=self._by), self._rtmp_urls)

    async def revoke(self, key_id: str, *, reason: str) -> Revocation:
        """Kill a key."""
        return Revocation.of(await self._service.revoke(key_id, reason=reason, by=self._by))

    async def delete_key(self, key_id: str, *, reason: str) -> KeyDeletion:
        """Kill a key, and delete it."""
        return KeyDeletion.of(await self._service.delete_key(key_id, reason=reason, by=self._by))

    async def delete_user(self, name: str, *, reason: str) -> UserDeletion:
        """Delete a user with all keys and recordings, whose files the next server removes."""
        result = await self._service.delete_user(name, reason=reason, by=self._by)
        entry = AuditEntry(
            self._clock.now(),
            self._by.name,
            "recording.deleted",
            user=name,
            stream=name,
            reason=reason or "user deleted",
        )
        await self._recordings.forget_user(name, entry)
        return UserDeletion.of(result)

    async def list_users(self, state: UserState | None) -> list[User]:
        """All users, or all in one state, by name."""
        users: list[User] = []
        after: str | None = ""
        while after is not None:
            page = UserPage.of(await self._service.list_users(state=state, after=after, limit=PAGE_LIMIT_MAX))
            users += page.users
            after = page.next_after
        return users

    async def find_user(self, name: str) -> User | None:
        """One user; None where there is none of this name."""
        try:
            return User.model_validate(await self._service.get_user(name))
        except UserNotFoundError:
            return None

    async def suspend_user(self, name: str, *, reason: str) -> ChangedUser | UnwrittenSuspension:
        """Suspend a user; on the store itself it is written, or an error."""
        result = await self._service.suspend(name, reason=reason, by=self._by)
        user = User.model_validate(result.user)
        return ChangedUser(**dict(user), closed=list(result.closed))

    async def restore_user(self, name: str, *, reason: str) -> User:
        """End a user's suspension."""
        return User.model_validate(await self._service.restore(name, reason=reason, by=self._by))

    async def limit_user(self, name: str, change: Mapping[str, int | None], *, reason: str) -> User:
        """Change what a user may send."""
        return User.model_validate(await self._service.limit(name, change, reason=reason, by=self._by))

    async def list_channel(self, name: str, *, listed: bool, reason: str) -> User:
        """Put a user's channel into the public list, or take it out."""
        return User.model_validate(await self._service.list_channel(name, listed=listed, reason=reason, by=self._by))

    async def list_audit(self, *, after: int, limit: int) -> AuditPage:
        """Rows of the audit log, from the last back."""
        return AuditPage.of(await self._service.list_audit(after=after, limit=limit, is_newest_first=True))
