"""Revocations and suspensions: they hold in this process first, then in the store, however long that takes.

A full disk, or a database that is gone, is no reason for a leaked key to stay on the air. So an act has this order:

1. the key or the user is condemned (admissions.py): refused from that step on, and what runs is closed;
2. the store is asked to write it, with its audit rows, in one transaction;
3. the key or the user is released: from here on the store's word is enough.

Where the store fails, or is silent for ``STORE_WAIT_S``, the act answers with what could not be written. It waits, in
memory and in a journal (act_journal.py), and is written as soon as the store can. Until then it holds in this process
alone: other servers on the same database learn of it from the database.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from streamd.errors import KeyNotFoundError, StoreUnavailableError, UserNotFoundError
from streamd.services.audit.records import Actor, AuditEntry
from streamd.services.events.event import EventType
from streamd.services.keys.act_journal import KeyAct, KeyActKind
from streamd.services.keys.key_events import key_event, user_event
from streamd.services.keys.records import KeyRecord, RevokeResult, SuspendResult, UserRecord, UserState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from streamd.clock import Clock
    from streamd.services.events.event import EventSink
    from streamd.services.keys.act_journal import ActJournal
    from streamd.services.keys.admissions import Admissions
    from streamd.services.keys.key_store import KeyStore

log = logging.getLogger(__name__)

# An operator who takes a stream down is told within this time, in seconds, whether it is written. A store that answers
# takes some milliseconds; one that hangs is given up by its own time-outs after four to ten seconds.
STORE_WAIT_S = 3.0

_Written = TypeVar("_Written")


@dataclass(slots=True)
class _Waiting:
    """An act that the store does not have yet."""

    act: KeyAct
    why: str = ""
    """Why it could not be written."""
    is_kept: bool = False
    """It outlives this process."""


class KeyTakedowns:
    """Revokes keys and suspends users.

    Args:
        store: Where keys and users are kept.
        clock: For the time of the acts.
        admissions: Ends what dead keys admitted.
        tell: Told of what was done, once it is written.
        journal: Keeps what waits over a restart; None for a process that ends with the act (the command line on the
            store itself), in which a store that fails is an error.
    """

    def __init__(
        self, store: KeyStore, clock: Clock, admissions: Admissions, *, tell: EventSink, journal: ActJournal | None
    ) -> None:
        self._store = store
        self._clock = clock
        self._admissions = admissions
        self._tell = tell
        self._journal = journal
        self._waiting: dict[tuple[KeyActKind, str], _Waiting] = {}
        self._attempts: dict[tuple[KeyActKind, str], asyncio.Task[Any]] = {}
        self._noting: set[asyncio.Task[str]] = set()

    def __len__(self) -> int:
        """How many acts the store does not have yet."""
        return len(self._waiting)

    async def start(self) -> None:
        """Go on with the acts that the server before this one could not write, and try to write them."""
        if self._journal is None:
            return
        for act in self._journal.open():
            log.info("act.restored", extra={"act": act.kind.value, "subject": act.subject})
            self._waiting[act.place] = _Waiting(act, "the server before this one could not write it", is_kept=True)
            await self._condemn(act)
        try:
            await self.write_waiting()
        except StoreUnavailableError as exc:
            log.warning("store.failed", extra={"reason": str(exc)})

    async def revoke(self, key_id: str, *, reason: str, by: Actor) -> RevokeResult:
        """Kill a key and close its streams.

        Raises:
            KeyNotFoundError: There is none with this id.
            StoreUnavailableError: It could not be written, and there is no journal.
        """
        act = await self._take_down(
            KeyAct(KeyActKind.REVOCATION, key_id, self._clock.now(), by.name, by.address, reason)
        )
        record = await self._attempt(act, self._write_revocation)
        if record is None:
            return RevokeResult(key_id, act.at, act.closed, act.reason, self._told(act))
        assert record.revoked_at is not None
        return RevokeResult(key_id, record.revoked_at, record.closed_streams, record.revoke_reason)

    async def suspend(self, name: str, *, reason: str, by: Actor) -> SuspendResult:
        """Suspend a user and close their streams.

        Raises:
            UserNotFoundError: There is none of this name.
            StoreUnavailableError: It could not be written, and there is no journal.
        """
        act = await self._take_down(KeyAct(KeyActKind.SUSPENSION, name, self._clock.now(), by.name, by.address, reason))
        written = await self._attempt(act, self._write_suspension)
        if written is None:
            return SuspendResult(name, act.at, act.reason, act.closed, unwritten=self._told(act))
        user, closed = written
        assert user.suspended_at is not None
        return SuspendResult(name, user.suspended_at, user.suspend_reason, closed, user)

    async def settle(self, user: str) -> None:
        """Wait for a suspension that is being written: its end must not overtake it."""
        if (attempt := self._attempts.get((KeyActKind.SUSPENSION, user))) is not None:
            await asyncio.wait({attempt})

    async def forget_suspension(self, user: str) -> None:
        """Take note that a user's suspension has ended in the store: one that waits is not written any more."""
        await self._done(KeyActKind.SUSPENSION, user)

    async def note(self, entries: Collection[AuditEntry]) -> str:
        """Write audit rows of what was done, now or as soon as the store can.

        Returns:
            Why they could not be written; empty where they are.
        """
        task = asyncio.create_task(self._note(list(entries)))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)
        await asyncio.wait({task}, timeout=STORE_WAIT_S)
        why = task.result() if task.done() else "the key store does not answer"
        return f"the audit log does not have it yet: {why}. It is written as soon as that is possible" if why else ""

    def key_within(self, record: KeyRecord) -> KeyRecord:
        """The record of a key, with a revocation that waits to be written."""
        waiting = self._waiting.get((KeyActKind.REVOCATION, record.key_id))
        if waiting is None or record.revoked_at is not None:
            return record
        act = waiting.act
        return replace(
            record, revoked_at=act.at, revoke_reason=act.reason, revoked_by=act.actor, closed_streams=act.closed
        )

    def user_within(self, record: UserRecord) -> UserRecord:
        """The record of a user, with a suspension that waits to be written."""
        waiting = self._waiting.get((KeyActKind.SUSPENSION, record.name))
        if waiting is None or record.suspended_at is not None:
            return record
        act = waiting.act
        return replace(record, state=UserState.SUSPENDED, suspended_at=act.at, suspend_reason=act.reason)

    async def write_waiting(self) -> None:
        """Write the acts that wait; called about twice a second.

        Raises:
            StoreUnavailableError: The store still takes none.
        """
        for waiting in [*self._waiting.values()]:
            act = waiting.act
            if act.place in self._attempts:
                continue
            task: asyncio.Task[Any]
            if act.kind is KeyActKind.REVOCATION:
                task = self._begin(act, self._write_revocation)
            else:
                task = self._begin(act, self._write_suspension)
            await asyncio.wait({task})
            try:
                task.result()
            except (KeyNotFoundError, UserNotFoundError) as exc:
                # Asked for while the store could not be asked whether there is one.
                log.warning("act.dropped", extra={"act": act.kind.value, "subject": act.subject, "reason": str(exc)})
                await self._done(*act.place)
            except StoreUnavailableError as exc:
                waiting.why = str(exc)
                raise

    async def close(self) -> None:
        """Let the tries that are under way come to their end."""
        while under_way := {*self._attempts.values(), *self._noting}:
            await asyncio.wait(under_way)

    # -- inside ---------------------------------------------------------------------------------

    async def _take_down(self, act: KeyAct) -> KeyAct:
        """Step 1 of the module's order; of an act that waits already, time and reason stay."""
        waiting = self._waiting.get(act.place)
        if waiting is not None:
            act = waiting.act
        closed = await self._condemn(act)
        act = replace(act, closed=tuple(dict.fromkeys((*act.closed, *closed))))
        if waiting is not None:
            waiting.act = act
        return act

    async def _condemn(self, act: KeyAct) -> list[str]:
        if act.kind is KeyActKind.REVOCATION:
            return await self._admissions.condemn_key(act.subject)
        return await self._admissions.condemn_user(act.subject)

    def _begin(self, act: KeyAct, write: Callable[[KeyAct], Coroutine[Any, Any, _Written]]) -> asyncio.Task[_Written]:
        """Step 2, which goes on if its caller leaves; one that is under way already is joined."""
        task: asyncio.Task[_Written] | None = self._attempts.get(act.place)
        if task is None:
            task = self._attempts[act.place] = asyncio.create_task(write(act))
            task.add_done_callback(lambda done: self._end_attempt(act.place, done))
        return task

    async def _attempt(self, act: KeyAct, write: Callable[[KeyAct], Coroutine[Any, Any, _Written]]) -> _Written | None:
        """Step 2, for as long as an operator waits; returns None where the act waits from now on."""
        task = self._begin(act, write)
        await asyncio.wait({task}, timeout=STORE_WAIT_S if self._journal is not None else None)
        try:
            if task.done():
                return task.result()
            why = "the key store does not answer"
        except (KeyNotFoundError, UserNotFoundError):
            await self._done(*act.place)
            raise
        except StoreUnavailableError as exc:
            if self._journal is None:
                await self._done(*act.place)
                raise
            why = str(exc)
        await self._wait_for_store(act, why)
        return None

    async def _note(self, entries: list[AuditEntry]) -> str:
        try:
            await self._store.audit.append(entries)
        except StoreUnavailableError as exc:
            log.warning("audit.waiting", extra={"rows": len(entries), "reason": str(exc)})
            self._admissions.rows.keep(entries)
            return str(exc)
        return ""

    def _end_attempt(self, place: tuple[KeyActKind, str], task: asyncio.Task[Any]) -> None:
        del self._attempts[place]
        if not task.cancelled():
            # Read here for those whose caller has left.
            task.exception()

    async def _wait_for_store(self, act: KeyAct, why: str) -> None:
        waiting = self._waiting.setdefault(act.place, _Waiting(act))
        waiting.why = why
        log.warning(
            "act.waiting",
            extra={"act": act.kind.value, "subject": act.subject, "closed": act.closed, "reason": why},
        )
        is_kept = await self._save()
        for each in self._waiting.values():
            each.is_kept = is_kept

    def _told(self, act: KeyAct) -> str:
        """The words for an operator about an act that waits."""
        waiting = self._waiting.get(act.place)
        if waiting is None:
            # It was written while its journal was.
            return ""
        what = "revocation" if act.kind is KeyActKind.REVOCATION else "suspension"
        whom = "key" if act.kind is KeyActKind.REVOCATION else "user"
        after = "also after a restart" if waiting.is_kept else "a restart before that forgets it"
        return (
            f"the {what} is not in the key store yet: {waiting.why}. This server refuses the {whom} and goes on trying "
            f"to write it, {after}; other servers on the same database learn of it from there"
        )

    async def _write_revocation(self, act: KeyAct) -> KeyRecord:
        record = await self._store.revoke_key(
            act.subject, reason=act.reason, now=act.at, by=Actor(act.actor, act.address), closed=act.closed
        )
        await self._done(*act.place)
        log.info(
            "key.revoked", extra={"key_id": act.subject, "user": record.user, "by": act.actor, "closed": act.closed}
        )
        if record.revoked_at == act.at:
            # Not for one that was revoked before.
            self._tell(
                key_event(EventType.KEY_REVOKED, record, act.at, by=act.actor, reason=act.reason, closed=act.closed)
            )
        return record

    async def _write_suspension(self, act: KeyAct) -> tuple[UserRecord, tuple[str, ...]]:
        """Write it; returns the user, and the names of all streams that it closed."""
        by = Actor(act.actor, act.address)
        user, key_ids = await self._store.suspend_user(
            act.subject, reason=act.reason, now=act.at, by=by, closed=act.closed
        )
        # Keys that only the store knows to be the user's.
        closed = tuple(dict.fromkeys((*act.closed, *await self._admissions.suspend(act.subject, key_ids, by))))
        await self._done(*act.place)
        log.info("user.suspended", extra={"user": act.subject, "by": act.actor, "closed": closed})
        if user.suspended_at == act.at:
            self._tell(
                user_event(EventType.USER_SUSPENDED, user, act.at, by=act.actor, reason=act.reason, closed=[*closed])
            )
        return user, closed

    async def _done(self, kind: KeyActKind, subject: str) -> None:
        """Step 3."""
        if kind is KeyActKind.REVOCATION:
            self._admissions.release_key(subject)
        else:
            self._admissions.release_user(subject)
        if self._waiting.pop((kind, subject), None) is not None:
            await self._save()

    async def _save(self) -> bool:
        if self._journal is None:
            return False
        return await self._journal.save(lambda: [waiting.act for waiting in self._waiting.values()])
