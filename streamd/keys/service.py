"""The key service: who may publish, and the one act by which a key stops to.

A publish is admitted by an ``Admission``, which lives as long as what it admitted. When a key dies
(revoked, rotated away, expired, its user suspended) the service ends every admission of it and
has the streams closed, before the call that killed it returns. DESIGN.md 8 and 9.

The race between a verification and a death
-------------------------------------------
A verification reads the store, and the store is elsewhere: between its read and the moment its
stream is registered, a revocation can commit. Everything here runs on one event loop, so a step
without ``await`` is indivisible. Four steps in two tasks matter:

- verify:  (V1) the store is read … (V2) the admission is made, and handed to the caller …
  (V3) the caller asks ``is_admissible`` and, in the same step, registers the stream.
- revoke:  (R1) the store commits … (R2) the service counts a change and ends all admissions
  of the key … (R3) the registry closes the streams of the key.

In every order no stream is left running:

- V1 after R1: the read sees the dead key and refuses.
- V1 before R1, V2 after R2: V2 sees that a change was counted since V1 and reads again; the new
  read is after R1.
- V2 before R2, V3 after R2: R2 has ended the admission; ``is_admissible`` says no.
- V3 before R2: the stream is registered when R3 looks for it, and is closed.

A revocation runs in a task of its own, so that a caller who goes away between R1 and R3 does not
stop it half-way. Deaths that happen outside of this process (the command line on the store
itself, another server on the same PostgreSQL) are found by ``sweep``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from streamd.clock import Clock
from streamd.errors import KeyRejectedError, KeyRequestError, StoreUnavailableError
from streamd.events.event import Event, EventSink, EventType, Value, rfc3339, unheard
from streamd.keys.admission import Admission, Denial, StreamCloser
from streamd.keys.attempts import AttemptLog
from streamd.keys.denial_log import PUBLISH_DENIED, STUDIO_DENIED, DenialLog
from streamd.keys.guessing import GuessGuard, GuessLimits
from streamd.keys.records import (
    USER_NAME,
    Actor,
    AuditEntry,
    AuditRecord,
    IssuedKey,
    KeyRecord,
    KeyStanding,
    KeyState,
    KeyUse,
    Page,
    RevokeResult,
    UserRecord,
    UserState,
)
from streamd.keys.request import (
    OVERLAP_S_MAX,
    PAGE_LIMIT_MAX,
    checked_key_id,
    checked_label,
    checked_limits,
    checked_reason,
    checked_user_name,
)
from streamd.keys.secret import hash_secret, secret_matches
from streamd.keys.store import KeyStore
from streamd.keys.stream_key import StreamKey

log = logging.getLogger(__name__)

# Last uses that wait to be written. Each is a distinct key that opened a stream since the last
# sweep, so this passes only where the store cannot be written for long; then the oldest are lost.
USES_WAITING_MAX = 10_000

SERVER = Actor("streamd")
"""The server itself, in the audit log: it refuses publishes, and closes streams of keys that expired."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """Settings of the key service."""

    sweep_interval_s: float = 0.5
    """Between two looks at what has expired. Expiry is a moment of wall time, which can be stepped, so it
    is looked at and not slept until; half a second late is on time for a person."""
    recheck_interval_s: float = 5.0
    """Between two looks in the store for deaths that another process wrote there."""
    guess_limits: GuessLimits = field(default_factory=GuessLimits)
    """Failed publishes after which a key is not looked up."""
    denials_per_minute_max: int = 100
    """Rows of the audit log about refused publishes, in a minute, that name an address; the others are one a reason."""


class KeyService:
    """Issues, verifies, rotates and revokes stream keys.

    Args:
        store: Where they are kept; started by the owner.
        clock: Wall time decides over expiry.
        options: Intervals and limits.
        sleep: How ``run`` waits; tests pass their own.
        tell: Told what becomes of keys and users.
    """

    def __init__(
        self,
        store: KeyStore,
        clock: Clock,
        options: KeyOptions | None = None,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        tell: EventSink = unheard,
    ) -> None:
        self._store = store
        self._tell = tell
        self._clock = clock
        self._options = options or KeyOptions()
        self._sleep = sleep
        self._closer: StreamCloser | None = None
        self._admissions: weakref.WeakSet[Admission] = weakref.WeakSet()
        self._suspended: set[str] = set()
        # Changes of any key's standing so far: who sees it move while the store is read, reads again.
        self._changes = 0
        self._uses: dict[str, KeyUse] = {}
        self._guard = GuessGuard(self._options.guess_limits)
        self._denials = DenialLog(SERVER.name, self._options.denials_per_minute_max)
        self.attempts = AttemptLog()
        """The last attempts to publish with each key; whoever decides over a publish notes what became of it."""
        self._acts: set[asyncio.Task[Any]] = set()
        self._revocations: dict[str, asyncio.Task[RevokeResult]] = {}
        self._recheck_at = clock.monotonic() + self._options.recheck_interval_s
        self._store_failed = False
        self._expiry_told_until = clock.now()

    def attach(self, closer: StreamCloser) -> None:
        """Say who closes streams. Without one (the command line on the store) there are none to close."""
        self._closer = closer

    def set_guess_limits(self, limits: GuessLimits) -> None:
        """Take other budgets for failed publishes."""
        self._guard.set_limits(limits)

    async def start(self) -> None:
        """Read what must be known without asking the store.

        Raises:
            StoreUnavailableError: The store cannot be read.
        """
        self._suspended = await self._store.suspended_users()

    async def run(self) -> None:
        """Sweep for ever; cancel to stop."""
        while True:
            await self._sleep(self._options.sweep_interval_s)
            try:
                await self.sweep()
            except StoreUnavailableError as exc:
                if not self._store_failed:
                    log.warning("store.failed", extra={"reason": str(exc)})
                self._store_failed = True
            except Exception:
                # The one who closes streams of dead keys must not die of one that cannot be closed.
                log.exception("sweep.failed")
            else:
                if self._store_failed:
                    log.info("store.recovered")
                self._store_failed = False

    async def close(self) -> None:
        """Finish what was begun and write what waits to be written; the store stays open."""
        while self._acts:
            await asyncio.wait(self._acts)
        with contextlib.suppress(StoreUnavailableError):
            await self._flush_uses()
            await self._write_denials(self._denials.take())

    async def check(self) -> None:
        """See whether a publish could be verified now.

        Raises:
            StoreUnavailableError: The store cannot be asked.
        """
        await self._store.check()

    @property
    def revision(self) -> int:
        """A number that changes with every change of keys, users or the audit log that this process knows of."""
        return self._store.writes + self._changes

    # -- publishing -----------------------------------------------------------------------------

    async def verify(self, stream_key: str, peer_address: str) -> Admission:
        """Decide over a publish.

        Unknown, wrong, expired, revoked and suspended take the same way: one look-up, one hash, one
        comparison. What does not even have the form of a key is refused without, and the form is
        no secret; so is what comes after too many failures (guessing.py).

        Args:
            stream_key: What the publisher gave as stream name, without a query.
            peer_address: IP address it came from.

        Returns:
            The admission: ask ``is_admissible`` in the step that registers the stream, and keep it.

        Raises:
            KeyRejectedError: The key does not open a channel.
            StoreUnavailableError: It cannot be known; the publish is refused.
        """
        try:
            admission = await self._admit(stream_key, peer_address, PUBLISH_DENIED)
        except KeyRejectedError as error:
            if error.is_known and error.key_id is not None:
                self.attempts.refuse(error.key_id, error.reason, peer_address, self._clock.now())
            raise
        self._note_use(admission.key_id, KeyUse(self._clock.now(), peer_address))
        return admission

    async def recognise(self, stream_key: str, peer_address: str) -> Admission:
        """Decide over who shows a key to see how its channel does; nothing is published.

        As ``verify``, with the same budgets against guessing. The admission ends when the key dies.

        Args:
            stream_key: What was shown.
            peer_address: IP address it came from.

        Raises:
            KeyRejectedError: The key does not open a channel.
            StoreUnavailableError: It cannot be known.
        """
        return await self._admit(stream_key, peer_address, STUDIO_DENIED)

    def is_admissible(self, admission: Admission) -> bool:
        """Whether an admission still holds.

        The registry asks in the step in which it registers the stream: nothing may be awaited
        between the two.
        """
        return admission.ended_by is None and not self._has_expired(admission)

    def is_suspended(self, user: str) -> bool:
        """Whether a user is suspended, without asking the store.

        What another process did is known after ``recheck_interval_s`` at the latest.
        """
        return user in self._suspended

    # -- keys -----------------------------------------------------------------------------------

    async def issue(self, user: str, *, by: Actor, label: str = "", expires_at: datetime | None = None) -> IssuedKey:
        """Make a key. An unknown user is created.

        Args:
            user: Whose it is.
            by: Who asks.
            label: What it is for, in the operator's words.
            expires_at: When it stops to work; None is never.

        Raises:
            KeyRequestError: A name, label or date that cannot be.
            StoreUnavailableError: It could not be written; there is no key.
        """
        now = self._clock.now()
        if not USER_NAME.fullmatch(user):
            raise KeyRequestError(
                "a user name is 2 to 64 small letters, digits, '-' and '_', and begins with a letter or digit"
            )
        if expires_at is not None and expires_at <= now:
            raise KeyRequestError("expires_at is in the past")
        stream_key = StreamKey.generate()
        secret_hash = hash_secret(stream_key.key_id, stream_key.secret)
        record = await self._store.add_key(
            key_id=stream_key.key_id,
            secret_hash=secret_hash,
            user=user,
            label=checked_label(label),
            expires_at=expires_at,
            now=now,
            by=by,
        )
        self._guard.remember(record.key_id, secret_hash)
        log.info("key.issued", extra={"key_id": record.key_id, "user": user, "by": by.name})
        self._tell_of_key(EventType.KEY_ISSUED, record, {"by": by.name})
        return IssuedKey(record, stream_key)

    async def get_key(self, key_id: str) -> KeyRecord:
        """One key.

        Raises:
            KeyNotFoundError: There is none with this id.
            StoreUnavailableError: The store cannot be read.
        """
        return self._with_use(await self._store.get_key(checked_key_id(key_id)))

    def state_of(self, record: KeyRecord) -> KeyState:
        """What a key is worth now."""
        return record.state_at(self._clock.now())

    async def list_keys(
        self,
        *,
        user: str | None = None,
        state: KeyState | None = None,
        after: int = 0,
        limit: int = 100,
        is_newest_first: bool = False,
    ) -> Page[KeyRecord]:
        """Keys in the order they were issued, or from the last back.

        Args:
            user: Only keys of this user.
            state: Only keys in this state now.
            after: ``sequence`` of the last key of the page before; 0 for the first page.
            limit: How many at most, up to ``PAGE_LIMIT_MAX``.
            is_newest_first: From the last back.
        """
        page = await self._store.list_keys(
            user=user,
            state=state,
            now=self._clock.now(),
            after=after,
            limit=min(limit, PAGE_LIMIT_MAX),
            is_newest_first=is_newest_first,
        )
        return Page([self._with_use(record) for record in page.items], page.has_more)

    async def rotate(self, key_id: str, *, by: Actor, overlap_s: float = 0) -> IssuedKey:
        """Replace a key by a new one for the same user, with the same label and expiry.

        A rotation gives a new secret, not more time: a key that was to end on a day is replaced by one
        that ends on that day.

        Args:
            key_id: The key to replace.
            by: Who asks.
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
        """Kill a key, and close what runs on it; when it returns, all of that is done.

        Revoking again answers the same. Two at the same time are one.

        Args:
            key_id: The key.
            by: Who asks.
            reason: Why, in the operator's words.

        Raises:
            KeyRequestError: A reason that cannot be.
            KeyNotFoundError: There is no such key.
            StoreUnavailableError: It could not be written. It may yet have been: ask again.
        """
        reason = checked_reason(reason)
        task = self._revocations.get(checked_key_id(key_id))
        if task is None:
            task = self._begin(self._revoke(key_id, reason, by))
            self._revocations[key_id] = task
            task.add_done_callback(lambda _: self._revocations.pop(key_id))
        return await asyncio.shield(task)

    # -- users ----------------------------------------------------------------------------------

    async def get_user(self, name: str) -> UserRecord:
        """One user.

        Raises:
            UserNotFoundError: There is none of this name.
            StoreUnavailableError: The store cannot be read.
        """
        return await self._store.get_user(checked_user_name(name))

    async def list_users(
        self, *, state: UserState | None = None, after: str = "", limit: int = 100
    ) -> Page[UserRecord]:
        """Users in the order of their names.

        Args:
            state: Only users in this state.
            after: Name of the last user of the page before; empty for the first page.
            limit: How many at most, up to ``PAGE_LIMIT_MAX``.
        """
        return await self._store.list_users(state=state, after=after, limit=min(limit, PAGE_LIMIT_MAX))

    async def suspend(self, name: str, *, by: Actor, reason: str = "") -> UserRecord:
        """Suspend a user: none of the user's keys opens a stream, and what runs is closed when it returns.

        Raises:
            KeyRequestError: A reason that cannot be.
            UserNotFoundError: There is none of this name.
            StoreUnavailableError: It could not be written. It may yet have been: ask again.
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

    async def limit(self, name: str, change: Mapping[str, int | None], *, by: Actor, reason: str = "") -> UserRecord:
        """Change what a user may send: what is published from then on, and the bit rate of what runs.

        Args:
            name: The user.
            change: Fields of ``PublishLimits`` with their new values, None for the server's; the others stay.
            by: Who asks.
            reason: Why, in the operator's words.

        Raises:
            KeyRequestError: A limit or reason that cannot be.
            UserNotFoundError: There is none of this name.
            StoreUnavailableError: It could not be written. It may yet have been: ask again.
        """
        return await self._act(self._limit(checked_user_name(name), checked_limits(change), checked_reason(reason), by))

    # -- audit ----------------------------------------------------------------------------------

    async def list_audit(
        self, *, after: int = 0, limit: int = 100, is_newest_first: bool = False, search: str = ""
    ) -> Page[AuditRecord]:
        """Audit rows in the order they were written, or from the last back.

        Args:
            after: ``sequence`` of the last row of the page before; 0 for the first page.
            limit: How many at most, up to ``PAGE_LIMIT_MAX``.
            is_newest_first: From the last back.
            search: Only rows that have this text somewhere, whatever the case of its letters; empty for all.
        """
        return await self._store.list_audit(
            after=after, limit=min(limit, PAGE_LIMIT_MAX), is_newest_first=is_newest_first, search=search
        )

    async def record_kick(self, stream: str, *, by: Actor, reason: str = "") -> None:
        """Write into the audit log that a stream was kicked.

        Raises:
            KeyRequestError: A reason that cannot be.
            StoreUnavailableError: It could not be written.
        """
        reason = checked_reason(reason)
        await self._store.append_audit(
            [AuditEntry(self._clock.now(), by.name, "stream.kicked", address=by.address, stream=stream, reason=reason)]
        )

    # -- what dies by itself or elsewhere -------------------------------------------------------

    async def sweep(self) -> None:
        """Close the streams of keys that have died without a call to this service.

        Keys that have expired at every sweep; keys that another process killed, suspended or gave
        another expiry, each ``recheck_interval_s``. Running streams go on while the store cannot
        be read.

        Raises:
            StoreUnavailableError: The store cannot be asked; what had expired is closed all the same.
        """
        expired = {a.key_id for a in self._admissions if a.ended_by is None and self._has_expired(a)}
        await self._end(expired, Denial.EXPIRED, SERVER)
        await self._flush_uses()
        await self._write_denials(self._denials.take(self._clock.monotonic()))
        if self._clock.monotonic() >= self._recheck_at:
            self._recheck_at = self._clock.monotonic() + self._options.recheck_interval_s
            await self._recheck()
            if self._tell is not unheard:
                await self._tell_expired()

    # -- inside ---------------------------------------------------------------------------------

    async def _admit(self, stream_key: str, peer_address: str, action: str) -> Admission:
        shown = StreamKey.parse(stream_key)
        if shown is None:
            raise self._failed(Denial.MALFORMED, None, peer_address, action)
        if not self._guard.lets_through(shown, peer_address, self._clock.monotonic()):
            is_known = self._guard.knows(shown.key_id)
            self._note_denial(Denial.RATE_LIMITED, shown.key_id if is_known else None, peer_address, action)
            raise KeyRejectedError(Denial.RATE_LIMITED, shown.key_id, is_known=is_known)
        while True:
            changes = self._changes
            standing = await self._store.standing(shown.key_id)
            if changes == self._changes:
                break
        # From here on nothing is awaited (see the module's docstring, V2).
        matches = secret_matches(shown.key_id, shown.secret, standing.secret_hash if standing else None)
        denial = self._denial(standing)
        if standing is not None and denial is None:
            self._guard.remember(standing.key_id, standing.secret_hash)
        else:
            self._guard.forget(shown.key_id)
        if standing is None or not matches:
            raise self._failed(Denial.UNKNOWN, shown.key_id, peer_address, action, is_known=standing is not None)
        if denial is not None:
            raise self._failed(denial, shown.key_id, peer_address, action)
        admission = Admission(standing.key_id, standing.user, standing.expires_at, standing.limits)
        self._admissions.add(admission)
        return admission

    async def _rotate(self, key_id: str, overlap_s: float, by: Actor) -> IssuedKey:
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
        self._changes += 1
        self._guard.remember(new.key_id, secret_hash)
        for admission in self._admissions:
            if admission.key_id == key_id:
                admission.expires_at = old.expires_at
        if old.revoked_at is not None:
            await self._end_revoked(old, by)
        log.info("key.rotated", extra={"key_id": key_id, "new_key_id": new.key_id, "by": by.name})
        works_until = None if old.expires_at is None else rfc3339(old.expires_at)
        if old.revoked_at is not None:
            works_until = rfc3339(old.revoked_at)
        self._tell_of_key(
            EventType.KEY_ROTATED, new, {"by": by.name, "replaces": key_id, "replaced_works_until": works_until}
        )
        return IssuedKey(new, stream_key)

    async def _revoke(self, key_id: str, reason: str, by: Actor) -> RevokeResult:
        now = self._clock.now()
        record = await self._store.revoke_key(key_id, reason=reason, now=now, by=by)
        self._changes += 1
        closed = await self._end_revoked(record, by)
        log.info("key.revoked", extra={"key_id": key_id, "user": record.user, "by": by.name, "closed": closed})
        if record.revoked_at == now:
            # Not where it was revoked before.
            data: dict[str, Value] = {"by": by.name, "reason": reason, "closed": closed}
            self._tell_of_key(EventType.KEY_REVOKED, record, data)
        assert record.revoked_at is not None
        return RevokeResult(key_id, record.revoked_at, closed)

    async def _end_revoked(self, record: KeyRecord, by: Actor) -> tuple[str, ...]:
        """Close what runs on a revoked key; all that its revocation has closed, now and before."""
        closed_now = await self._end({record.key_id}, Denial.REVOKED, by)
        closed = tuple(dict.fromkeys((*record.closed_streams, *closed_now)))
        if closed != record.closed_streams:
            try:
                await self._store.record_closed(record.key_id, closed)
            except StoreUnavailableError as exc:
                # The key is dead and dark, which is what was asked; the answer says it, the store does not.
                log.warning("closed_streams.lost", extra={"key_id": record.key_id, "reason": str(exc)})
        return closed

    async def _suspend(self, name: str, reason: str, by: Actor) -> UserRecord:
        now = self._clock.now()
        user, key_ids = await self._store.suspend_user(name, reason=reason, now=now, by=by)
        self._changes += 1
        self._suspended.add(name)
        # A key that another process issued while this was committed is not among the store's answer.
        key_ids |= {a.key_id for a in self._admissions if a.user == name}
        closed = await self._end(key_ids, Denial.SUSPENDED, by)
        log.info("user.suspended", extra={"user": name, "by": by.name, "closed": closed})
        if user.suspended_at == now:
            self._tell(
                Event(EventType.USER_SUSPENDED, now, {"user": name, "by": by.name, "reason": reason, "closed": closed})
            )
        return user

    async def _restore(self, name: str, reason: str, by: Actor) -> UserRecord:
        user = await self._store.restore_user(name, reason=reason, now=self._clock.now(), by=by)
        self._changes += 1
        was_suspended = name in self._suspended
        self._suspended.discard(name)
        log.info("user.restored", extra={"user": name, "by": by.name})
        if was_suspended:
            self._tell(
                Event(EventType.USER_RESTORED, self._clock.now(), {"user": name, "by": by.name, "reason": reason})
            )
        return user

    async def _limit(self, name: str, change: Mapping[str, int | None], reason: str, by: Actor) -> UserRecord:
        user = await self._store.limit_user(name, change, reason=reason, now=self._clock.now(), by=by)
        self._changes += 1
        for admission in self._admissions:
            if admission.user == name:
                admission.limits = user.limits
        log.info("user.limited", extra={"user": name, "by": by.name, **asdict(user.limits)})
        return user

    async def _end(self, key_ids: Collection[str], denial: Denial, by: Actor) -> list[str]:
        """End the admissions of dead keys, then close their streams: R2 and R3."""
        for dead_id in key_ids:
            self._guard.forget(dead_id)
        for admission in self._admissions:
            if admission.key_id in key_ids and admission.ended_by is None:
                admission.ended_by = denial
        if self._closer is None or not key_ids:
            return []
        closed = await self._closer.close_streams(key_ids, denial)
        if closed:
            now = self._clock.now()
            key_id = next(iter(key_ids)) if len(key_ids) == 1 else None
            try:
                await self._store.append_audit(
                    AuditEntry(now, by.name, "stream.closed", by.address, key_id=key_id, stream=name, reason=denial)
                    for name in closed
                )
            except StoreUnavailableError as exc:
                log.warning("audit.lost", extra={"closed": closed, "reason": str(exc)})
        return closed

    async def _recheck(self) -> None:
        """Look in the store for what another process has changed."""
        asked = {a.key_id for a in self._admissions}
        changes = self._changes
        suspended = await self._store.suspended_users()
        standings = await self._store.standings(asked)
        if changes != self._changes:
            # What was read may be from before a change of our own: look again at the next sweep.
            self._recheck_at = self._clock.monotonic()
            return
        self._changes += suspended != self._suspended
        self._suspended = suspended
        dead: dict[Denial, set[str]] = {}
        for admission in self._admissions:
            if admission.key_id not in asked:
                continue
            standing = standings.get(admission.key_id)
            if standing is not None:
                admission.expires_at, admission.limits = standing.expires_at, standing.limits
            if (denial := self._denial(standing)) is not None:
                dead.setdefault(denial, set()).add(admission.key_id)
        for denial, key_ids in dead.items():
            # Verifications that are reading now may have read before the other process wrote.
            self._changes += 1
            await self._end(key_ids, denial, SERVER)

    async def _tell_expired(self) -> None:
        """Tell of the keys that have expired since the last look; what expires while no server runs is not told."""
        since, until = self._expiry_told_until, self._clock.now()
        if until <= since:
            # The wall clock was stepped back: what expired before is told already.
            return
        for record in await self._store.keys_expired(since, until):
            self._tell_of_key(EventType.KEY_EXPIRED, record, {})
        self._expiry_told_until = until

    def _tell_of_key(self, event_type: EventType, record: KeyRecord, data: Mapping[str, Value]) -> None:
        about: dict[str, Value] = {
            "key_id": record.key_id,
            "user": record.user,
            "label": record.label,
            "expires_at": None if record.expires_at is None else rfc3339(record.expires_at),
        }
        self._tell(Event(event_type, self._clock.now(), {**about, **data}))

    def _denial(self, standing: KeyStanding | None) -> Denial | None:
        """Why a key opens nothing; None where it opens its channel."""
        if standing is None:
            return Denial.UNKNOWN
        if standing.is_revoked:
            return Denial.REVOKED
        if standing.expires_at is not None and standing.expires_at <= self._clock.now():
            return Denial.EXPIRED
        return Denial.SUSPENDED if standing.is_suspended else None

    def _failed(
        self, denial: Denial, key_id: str | None, address: str, action: str, *, is_known: bool = True
    ) -> KeyRejectedError:
        """Count a key that was shown in vain, and say what to raise."""
        self._guard.note_failure(key_id, address, self._clock.monotonic())
        self._note_denial(denial, key_id if is_known else None, address, action)
        return KeyRejectedError(denial, key_id, is_known=is_known)

    def _note_denial(self, denial: Denial, key_id: str | None, address: str, action: str) -> None:
        self._denials.note(denial, address, key_id, at=self._clock.now(), now=self._clock.monotonic(), action=action)

    async def _write_denials(self, entries: list[AuditEntry]) -> None:
        if not entries:
            return
        try:
            await self._store.append_audit(entries)
        except StoreUnavailableError:
            self._denials.give_back(entries, self._clock.monotonic())
            raise

    def _has_expired(self, admission: Admission) -> bool:
        return admission.expires_at is not None and admission.expires_at <= self._clock.now()

    def _begin(self, act: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        """Start an act that goes to its end whoever waits for it."""
        task = asyncio.create_task(act)
        self._acts.add(task)
        task.add_done_callback(self._acts.discard)
        return task

    async def _act(self, act: Coroutine[Any, Any, _Result]) -> _Result:
        return await asyncio.shield(self._begin(act))

    def _note_use(self, key_id: str, use: KeyUse) -> None:
        self._uses.pop(key_id, None)
        self._uses[key_id] = use
        if len(self._uses) > USES_WAITING_MAX:
            del self._uses[next(iter(self._uses))]

    async def _flush_uses(self) -> None:
        uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            await self._store.record_uses(uses)
        except StoreUnavailableError:
            newer, self._uses = self._uses, uses
            for key_id, use in newer.items():
                self._note_use(key_id, use)
            raise

    def _with_use(self, record: KeyRecord) -> KeyRecord:
        """The record with a last use that waits to be written."""
        use = self._uses.get(record.key_id)
        if use is None:
            return record
        return replace(record, last_used_at=use.at, last_used_address=use.address)
