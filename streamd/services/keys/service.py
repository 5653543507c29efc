"""The key service: operators' acts on keys and users, done wholly or not at all.

An act that gives something (a key, a rotation, a restored user) is committed by the store first. One that takes
something away (a revocation, a suspension) holds at once, whatever becomes of the store (takedowns.py). An act that
ends streams runs in a task of its own, so that it is completed even if its caller goes away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from streamd.clock import Clock
from streamd.errors import KeyRequestError, StoreUnavailableError
from streamd.services.audit.records import EVERYTHING, Actor, AuditEntry, AuditFilter, AuditRecord
from streamd.services.events.event import EventSink, EventType, rfc3339, unheard
from streamd.services.keys.act_journal import ActJournal
from streamd.services.keys.admission import Denial
from streamd.services.keys.announce import Announce, alone
from streamd.services.keys.importer import KeyImporter
from streamd.services.keys.key_events import key_event, user_event
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.records import (
    USER_NAME,
    DeleteResult,
    IssuedKey,
    KeyRecord,
    KeyState,
    RevokeResult,
    RotatedKey,
    SuspendResult,
    UserRecord,
    UserState,
)
from streamd.services.keys.request import (
    OVERLAP_S_MAX,
    PAGE_LIMIT_MAX,
    USER_NAME_RULE,
    checked_key_id,
    checked_label,
    checked_limits,
    checked_reason,
    checked_user_name,
)
from streamd.services.keys.secret import hash_secret
from streamd.services.keys.stream_key import StreamKey
from streamd.services.keys.takedowns import KeyTakedowns
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.store.page import Page

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class KeyService:
    """Issues, rotates and revokes stream keys, and suspends users.

    Args:
        store: The store of both; started by the owner.
        clock: Wall time decides over expiry.
        verifier: Ends what dead keys admitted.
        tell: Told what becomes of keys and users.
        journal: Keeps over a restart what the store could not take; None for a process that ends with the act.

    Attributes:
        importer: Takes over keys from elsewhere.
    """

    def __init__(
        self,
        store: KeyStore,
        clock: Clock,
        verifier: KeyVerifier,
        *,
        tell: EventSink = unheard,
        journal: ActJournal | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._verifier = verifier
        self._tell = tell
        self.importer = KeyImporter(store.imports, clock, verifier)
        self.takedowns = KeyTakedowns(store, clock, verifier.admissions, tell=tell, journal=journal)
        """The revocations and suspensions, and those that wait to be written."""
        self.announce: Announce = alone
        """Tells the other nodes of a cluster of revocations and suspensions."""
        self._acts: set[asyncio.Task[Any]] = set()
        self._revocations: dict[str, asyncio.Task[RevokeResult]] = {}

    async def close(self) -> None:
        """Finish the acts that were begun; the store stays open."""
        while self._acts:
            await asyncio.wait(self._acts)
        await self.takedowns.close()

    async def check(self) -> None:
        """Check that a publish could be verified now.

        Raises:
            StoreUnavailableError: The store cannot be asked.
        """
        await self._store.check()

    @property
    def revision(self) -> int:
        """A number that changes with every change of keys, users or the audit log that this process knows of."""
        return self._store.writes + self._verifier.admissions.changes

    # -- keys -----------------------------------------------------------------------------------

    async def issue(self, user: str, *, by: Actor, label: str = "", expires_at: datetime | None = None) -> IssuedKey:
        """Make a key. An unknown user is created.

        Args:
            user: Whose it is.
            by: The actor.
            label: Its purpose, in the operator's words.
            expires_at: When it stops to work; None is never.

        Raises:
            KeyRequestError: A name, label or date that cannot be.
            StoreUnavailableError: It could not be written; there is no key.
        """
        now = self._clock.now()
        if not USER_NAME.fullmatch(user):
            raise KeyRequestError(USER_NAME_RULE)
        if expires_at is not None and expires_at <= now:
            raise KeyRequestError("expires_at is in the past")
        stream_key = StreamKey.generate()
        secret_hash = hash_secret(stream_key.key_id, stream_key.secret)
        record, user_state = await self._store.add_key(
            key_id=stream_key.key_id,
            secret_hash=secret_hash,
            user=user,
            label=checked_label(label),
            expires_at=expires_at,
            now=now,
            by=by,
        )
        self._verifier.remember(record.key_id, secret_hash)
        self._verifier.admissions.note_user(user)
        log.info("key.issued", extra={"key_id": record.key_id, "user": user, "by": by.name})
        self._tell(key_event(EventType.KEY_ISSUED, record, self._clock.now(), by=by.name))
        if self._verifier.admissions.is_suspended(user):
            user_state = UserState.SUSPENDED
        return IssuedKey(record, stream_key, user_state)

    async def get_key(self, key_id: str) -> KeyRecord:
        """One key.

        Raises:
            KeyNotFoundError: There is none with this id.
            StoreUnavailableError: The store cannot be read.
        """
        return self._within(await self._store.get_key(checked_key_id(key_id)))

    def state_of(self, record: KeyRecord) -> KeyState:
        """The state of a key now."""
        return record.state_at(self._clock.now())

    async def list_keys(
        self,
        *,
        user: str | None = None,
        state: KeyState | None = None,
        search: str = "",
        after: int = 0,
        limit: int = 100,
        is_newest_first: bool = False,
    ) -> Page[KeyRecord]:
        """Keys in the order they were issued, or from the last back.

        Args:
            user: Only keys of this user.
            state: Only keys in this state now.
            search: Only keys that have this text in their id, their label or the name of their user.
            after: ``sequence`` of the last key of the page before; 0 for the first page.
            limit: How many at most, up to ``PAGE_LIMIT_MAX``.
            is_newest_first: From the last back.
        """
        page = await self._store.list_keys(
            user=user,
            state=state,
            search=search,
            now=self._clock.now(),
            after=after,
            limit=min(limit, PAGE_LIMIT_MAX),
            is_newest_first=is_newest_first,
        )
        return Page([self._within(record) for record in page.items], page.has_more)

    async def rotate(self, key_id: str, *, by: Actor, overlap_s: float = 0) -> RotatedKey:
        """Replace a key by a new one for the same user, with the same label and expiry.

        A rotation gives a new secret, not more time: a key that was to end on a day is replaced by one
        that ends on that day.

        Args:
            key_id: The key to replace.
            by: The actor.
            overlap_s: Seconds for which the old key goes on working. At their end, or at once where
                it is 0, the old key dies and a stream that runs on it is closed.

        Raises:
            KeyRequestError: An overlap that cannot be.
            KeyNotFoundError: There is no such key.
            KeyStateError: It is revoked, expired, or was rotated before.
            StoreUnavailableError: It could not be written; nothing has changed.
        """
        if not 0 <= overlap_s <= OVERLAP_S_MAX:
            raise KeyRequestError(f"overlap_s is from 0 to {OVERLAP_S_MAX} (30 days)")
        return await self._act(self._rotate(checked_key_id(key_id), overlap_s, by))

    async def revoke(self, key_id: str, *, by: Actor, reason: str = "") -> RevokeResult:
        """Kill a key, and close its streams; both is done when it returns.

        Revoking again answers the same. Two at the same time are one. Where the store could not be written, the result
        says so.

        Args:
            key_id: The key.
            by: The actor.
            reason: Why, in the operator's words.

        Raises:
            KeyRequestError: A reason that cannot be.
            KeyNotFoundError: There is no such key.
            StoreUnavailableError: It could not be written, and this process has no journal.
        """
        reason = checked_reason(reason)
        task = self._revocations.get(checked_key_id(key_id))
        if task is None:
            task = self._begin(self._revoke(key_id, reason, by))
            self._revocations[key_id] = task
            task.add_done_callback(lambda _: self._revocations.pop(key_id))
        return await asyncio.shield(task)

    async def delete_key(self, key_id: str, *, by: Actor, reason: str = "") -> DeleteResult:
        """Revoke a key, and delete all that is kept of it but the acts on it.

        Args:
            key_id: The key.
            by: The actor.
            reason: Why, in the operator's words.

        Raises:
            KeyRequestError: A reason that cannot be.
            KeyNotFoundError: There is no such key.
            StoreUnavailableError: It could not be written; the key may be revoked already. Ask again.
        """
        return await self._act(self._delete_key(checked_key_id(key_id), checked_reason(reason), by))

    # -- users ----------------------------------------------------------------------------------

    async def get_user(self, name: str) -> UserRecord:
        """One user.

        Raises:
            UserNotFoundError: There is none of this name.
            StoreUnavailableError: The store cannot be read.
        """
        return self.takedowns.user_within(await self._store.get_user(checked_user_name(name)))

    async def list_users(
        self, *, state: UserState | None = None, search: str = "", after: str = "", limit: int = 100
    ) -> Page[UserRecord]:
        """Users in the order of their names.

        Args:
            state: Only users in this state.
            search: Only users whose name has this in it.
            after: Name of the last user of the page before; empty for the first page.
            limit: How many at most, up to ``PAGE_LIMIT_MAX``.
        """
        page = await self._store.list_users(state=state, search=search, after=after, limit=min(limit, PAGE_LIMIT_MAX))
        return Page([self.takedowns.user_within(user) for user in page.items], page.has_more)

    async def suspend(self, name: str, *, by: Actor, reason: str = "") -> SuspendResult:
        """Suspend a user: none of the user's keys opens a stream, and their streams are closed when it returns.

        Where the store could not be written, the result says so.

        Raises:
            KeyRequestError: A reason that cannot be.
            UserNotFoundError: There is none of this name.
            StoreUnavailableError: It could not be written, and this process has no journal.
        """
        return await self._act(self._suspend(checked_user_name(name), checked_reason(reason), by))

    async def restore(self, name: str, *, by: Actor, reason: str = "") -> UserRecord:
        """End a user's suspension; the user's keys work again, so far as they are active.

        Raises:
            KeyRequestError: A reason that cannot be.
            UserNotFoundError: There is none of this name.
            StoreUnavailableError: It could not be written.
        """
        return await self._act(self._restore(checked_user_name(name), checked_reason(reason), by))

    async def delete_user(self, name: str, *, by: Actor, reason: str = "") -> DeleteResult:
        """Close a user's streams, and delete the user with all keys; the acts on them stay in the audit log.

        The name is free from then on: a new key for it opens the same channel.

        Raises:
            KeyRequestError: A reason that cannot be.
            UserNotFoundError: There is none of this name.
            StoreUnavailableError: It could not be written; the user may be suspended already. Ask again.
        """
        return await self._act(self._delete_user(checked_user_name(name), checked_reason(reason), by))

    async def limit(self, name: str, change: Mapping[str, int | None], *, by: Actor, reason: str = "") -> UserRecord:
        """Change a user's limits: for streams from then on, and the bit rate of running ones.

        Args:
            name: The user.
            change: Fields of ``PublishLimits`` with their new values, None for the server's; the others stay.
            by: The actor.
            reason: Why, in the operator's words.

        Raises:
            KeyRequestError: A limit or reason that cannot be.
            UserNotFoundError: There is none of this name.
            StoreUnavailableError: It could not be written. It may yet have been: ask again.
        """
        return await self._act(self._limit(checked_user_name(name), checked_limits(change), checked_reason(reason), by))

    async def list_channel(self, name: str, *, listed: bool, by: Actor, reason: str = "") -> UserRecord:
        """Put a user's channel into the public list, or take it out. Either way it plays under its name.

        Raises:
            KeyRequestError: A reason that cannot be.
            UserNotFoundError: There is none of this name.
            StoreUnavailableError: It could not be written. It may yet have been: ask again.
        """
        return await self._act(self._list_channel(checked_user_name(name), listed, checked_reason(reason), by))

    # -- audit ----------------------------------------------------------------------------------

    async def list_audit(
        self, *, after: int = 0, limit: int = 100, is_newest_first: bool = False, found: AuditFilter = EVERYTHING
    ) -> Page[AuditRecord]:
        """Audit rows in the order they were written, or from the last back.

        Args:
            after: ``sequence`` of the last row of the page before; 0 for the first page.
            limit: How many at most, up to ``PAGE_LIMIT_MAX``.
            is_newest_first: From the last back.
            found: Which rows.
        """
        return await self._store.audit.page(
            after=after, limit=min(limit, PAGE_LIMIT_MAX), is_newest_first=is_newest_first, found=found
        )

    async def record_kick(self, stream: str, *, by: Actor, reason: str = "") -> str:
        """Write into the audit log that a stream was kicked, now or as soon as the store can.

        Args:
            stream: Its name.
            by: The actor.
            reason: Why, in the operator's words; checked before the kick (``checked_reason``).

        Returns:
            Why it could not be written; empty where it is.

        Raises:
            KeyRequestError: A reason that cannot be.
        """
        reason = checked_reason(reason)
        return await self.takedowns.note(
            [AuditEntry(self._clock.now(), by.name, "stream.kicked", address=by.address, stream=stream, reason=reason)]
        )

    # -- inside ---------------------------------------------------------------------------------

    def _within(self, record: KeyRecord) -> KeyRecord:
        """The record of a key, with all that waits to be written."""
        return self.takedowns.key_within(self._verifier.uses.within(record))

    async def _rotate(self, key_id: str, overlap_s: float, by: Actor) -> RotatedKey:
        now = self._clock.now()
        stream_key = StreamKey.generate()
        secret_hash = hash_secret(stream_key.key_id, stream_key.secret)
        old, new = await self._store.rotate_key(
            key_id,
            new_key_id=stream_key.key_id,
            new_secret_hash=secret_hash,
            old_until=now + timedelta(seconds=overlap_s),
            now=now,
            by=by,
        )
        self._verifier.admissions.move_expiry(old)
        self._verifier.remember(new.key_id, secret_hash)
        closed: tuple[str, ...] = ()
        if old.revoked_at is not None:
            closed = await self._end_revoked(old, by)
            await self.announce("revoke", key_id, True)
        log.info("key.rotated", extra={"key_id": key_id, "new_key_id": new.key_id, "by": by.name})
        works_until = old.revoked_at or old.expires_at
        self._tell(
            key_event(
                EventType.KEY_ROTATED,
                new,
                self._clock.now(),
                by=by.name,
                replaces=key_id,
                replaced_works_until=None if works_until is None else rfc3339(works_until),
            )
        )
        return RotatedKey(new, stream_key, replaced=old, closed=closed)

    async def _revoke(self, key_id: str, reason: str, by: Actor) -> RevokeResult:
        done = await self.takedowns.revoke(key_id, reason=reason, by=by)
        return replace(done, nodes=await self.announce("revoke", key_id, not done.unwritten))

    async def _suspend(self, name: str, reason: str, by: Actor) -> SuspendResult:
        done = await self.takedowns.suspend(name, reason=reason, by=by)
        return replace(done, nodes=await self.announce("suspend", name, not done.unwritten))

    async def _end_revoked(self, record: KeyRecord, by: Actor) -> tuple[str, ...]:
        """Close the streams of a key that was rotated away; return their names."""
        closed = tuple(await self._verifier.admissions.kill({record.key_id}, Denial.REVOKED, by))
        if closed:
            try:
                await self._store.record_closed(record.key_id, closed)
            except StoreUnavailableError as exc:
                # The key is dead and its streams are closed, as requested; the answer says so, although the store does
                # not.
                log.warning("closed_streams.lost", extra={"key_id": record.key_id, "reason": str(exc)})
        return closed

    async def _restore(self, name: str, reason: str, by: Actor) -> UserRecord:
        await self.takedowns.settle(name)
        user = await self._store.restore_user(name, reason=reason, now=self._clock.now(), by=by)
        await self.takedowns.forget_suspension(name)
        was_suspended = self._verifier.admissions.restore(name)
        await self.announce("reload", name, True)
        log.info("user.restored", extra={"user": name, "by": by.name})
        if was_suspended:
            at = self._clock.now()
            self._tell(user_event(EventType.USER_RESTORED, user, at, by=by.name, reason=reason))
        return user

    async def _delete_key(self, key_id: str, reason: str, by: Actor) -> DeleteResult:
        revoked = await self.revoke(key_id, by=by, reason=reason)
        if revoked.unwritten:
            raise StoreUnavailableError(f"the key is not deleted, but it is dead: {revoked.unwritten}")
        await self._store.delete_key(key_id, reason=reason, now=self._clock.now(), by=by)
        self._forget([key_id])
        log.info("key.deleted", extra={"key_id": key_id, "by": by.name})
        return DeleteResult(key_id, (key_id,), revoked.closed)

    async def _delete_user(self, name: str, reason: str, by: Actor) -> DeleteResult:
        suspended = await self._suspend(name, reason, by)
        if suspended.unwritten:
            raise StoreUnavailableError(f"the user is not deleted, but suspended: {suspended.unwritten}")
        deleted = await self._store.delete_user(name, reason=reason, now=self._clock.now(), by=by)
        self._verifier.admissions.delete(name)
        self._forget(deleted)
        log.info("user.deleted", extra={"user": name, "keys": len(deleted), "by": by.name})
        return DeleteResult(name, tuple(sorted(deleted)), tuple(suspended.closed))

    def _forget(self, key_ids: Iterable[str]) -> None:
        for key_id in key_ids:
            self._verifier.attempts.forget(key_id)
            self._verifier.denials.forget(key_id)

    async def _limit(self, name: str, change: Mapping[str, int | None], reason: str, by: Actor) -> UserRecord:
        user = await self._store.limit_user(name, change, reason=reason, now=self._clock.now(), by=by)
        self._verifier.admissions.set_limits(user)
        log.info("user.limited", extra={"user": name, "by": by.name, **asdict(user.limits)})
        return user

    async def _list_channel(self, name: str, listed: bool, reason: str, by: Actor) -> UserRecord:
        user = await self._store.list_user(name, listed=listed, reason=reason, now=self._clock.now(), by=by)
        self._verifier.admissions.set_listed(user)
        log.info("user.listed" if listed else "user.unlisted", extra={"user": name, "by": by.name})
        return user

    def _begin(self, act: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        """Start an act that goes to its end even if its caller leaves."""
        task = asyncio.create_task(act)
        self._acts.add(task)
        task.add_done_callback(self._acts.discard)
        return task

    async def _act(self, act: Coroutine[Any, Any, _Result]) -> _Result:
        return await asyncio.shield(self._begin(act))
