"""The admissions, and the one act that ends them and closes their streams when a key dies.

A publish is admitted by an ``Admission``, which lives as long as its stream. When a key dies (revoked, rotated away,
expired, its user suspended) every admission of it is ended here and the streams are closed, before the call that killed
it returns. ``verifier.py`` describes the race of that with a verification under way.

An operator's revocation or suspension is known here before the store has it (takedowns.py): until then, the key or the
user is *condemned*, and refused whatever the store says.

Deaths that happen outside of this process (the command line on the store itself, another server on the same PostgreSQL)
are found by ``recheck``.
"""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING

from streamd.errors import StoreUnavailableError
from streamd.services.audit.records import SERVER, Actor, AuditEntry
from streamd.services.audit.waiting_rows import WaitingRows
from streamd.services.keys.admission import Admission, Denial, denial_of
from streamd.services.keys.bars import Bars

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from streamd.clock import Clock
    from streamd.services.keys.admission import StreamCloser
    from streamd.services.keys.key_store import KeyStore
    from streamd.services.keys.records import KeyRecord, KeyStanding, UserRecord

log = logging.getLogger(__name__)


class Admissions:
    """The admissions that may still hold.

    Args:
        store: Where the keys are kept, and what was closed is told.
        clock: Wall time decides over expiry.
        on_dead: Gets the id of each key that died.
        on_restored: Gets the name of each user whose suspension ended.

    Attributes:
        changes: Changes of any key's standing so far: a reader of the store that sees it move reads again.
        rows: Audit rows of streams that were closed while the store could not be written.
        bars: What moderators have taken down or blocked.
    """

    def __init__(
        self,
        store: KeyStore,
        clock: Clock,
        *,
        on_dead: Callable[[str], None],
        on_restored: Callable[[str], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._on_dead = on_dead
        self._on_restored = on_restored
        self._closer: StreamCloser | None = None
        self._held: weakref.WeakSet[Admission] = weakref.WeakSet()
        self._suspended: set[str] = set()
        self._unlisted: set[str] = set()
        # By this process, and not seen again since: what is left of their streams is not to be shown.
        self._deleted: set[str] = set()
        self._condemned_keys: set[str] = set()
        self._condemned_users: set[str] = set()
        self.changes = 0
        self.rows = WaitingRows()
        self.bars = Bars()
        # Every request for media asks.
        self._dark = self.bars.channels.names

    def attach(self, closer: StreamCloser) -> None:
        """Set the closer of streams. Without one (the command line on the store) there are none to close."""
        self._closer = closer

    async def start(self) -> None:
        """Read the facts that must be known without asking the store.

        Raises:
            StoreUnavailableError: The store cannot be read.
        """
        self._suspended = await self._store.suspended_users()
        self._unlisted = await self._store.unlisted_users()

    def add(self, admission: Admission) -> None:
        """Know of an admission, for as long as its owner keeps it."""
        self._deleted.discard(admission.user)
        self._held.add(admission)

    def is_admissible(self, admission: Admission) -> bool:
        """Whether an admission still holds.

        The registry asks in the step in which it registers the stream: nothing may be awaited
        between the two.
        """
        return admission.ended_by is None and not self._has_expired(admission)

    def may_publish(self, admission: Admission) -> bool:
        """Whether an admission still holds, and nothing bars its stream; the registry asks this (``is_admissible``).

        A broadcaster whose channel was taken down opens no stream, but their studio, which says why.
        """
        return self.is_admissible(admission) and not self.bars.bars(admission)

    def is_dark(self, user: str) -> bool:
        """Whether nothing of a channel is shown: its user is suspended, or a moderator has taken it down."""
        return user in self._dark or self.is_suspended(user)

    def is_suspended(self, user: str) -> bool:
        """Whether a user is suspended, without asking the store.

        Another process' suspension is known after ``recheck_interval_s`` at the latest.
        """
        return user in self._suspended or user in self._condemned_users or user in self._deleted

    def is_listed(self, user: str) -> bool:
        """Whether a user's channel is in the public list; known as ``is_suspended`` is."""
        return user not in self._unlisted

    def denial_of(self, standing: KeyStanding | None) -> Denial | None:
        """The reason for which a key opens no channel now; None if it opens its channel.

        Args:
            standing: The store's row of it, which may be from before an act that the store does not have yet; None for
                an unknown key.
        """
        if standing is not None and standing.key_id in self._condemned_keys:
            return Denial.REVOKED
        denial = denial_of(standing, self._clock.now())
        if denial is None and standing is not None and standing.user in self._condemned_users:
            return Denial.SUSPENDED
        return denial

    # -- what becomes of keys and users ---------------------------------------------------------

    def move_expiry(self, key: KeyRecord) -> None:
        """Take note that a key stops to work at another time than before."""
        self.changes += 1
        for admission in self._held:
            if admission.key_id == key.key_id:
                admission.expires_at = key.expires_at

    def set_limits(self, user: UserRecord) -> None:
        """Take note of a user's new limits."""
        self.changes += 1
        for admission in self._held:
            if admission.user == user.name:
                admission.limits = user.limits

    def set_listed(self, user: UserRecord) -> None:
        """Take note whether a user's channel is in the public list."""
        self.changes += 1
        if user.listed:
            self._unlisted.discard(user.name)
        else:
            self._unlisted.add(user.name)

    async def condemn_key(self, key_id: str) -> list[str]:
        """Refuse a key from this step on, whatever the store says, and close its streams.

        Returns:
            Names of the streams that were closed.
        """
        self.changes += 1
        self._condemned_keys.add(key_id)
        return await self._end({key_id}, Denial.REVOKED)

    async def condemn_user(self, user: str) -> list[str]:
        """As ``condemn_key``, for every key of a user."""
        self.changes += 1
        self._condemned_users.add(user)
        return await self._end({a.key_id for a in self._held if a.user == user}, Denial.SUSPENDED)

    def release_key(self, key_id: str) -> None:
        """Let the store decide over a key again: it has the revocation, or there is no such key."""
        self.changes += 1
        self._condemned_keys.discard(key_id)

    def release_user(self, user: str) -> None:
        """Let the store decide over a user again: it has the suspension, or its end, or there is no such user."""
        self.changes += 1
        self._condemned_users.discard(user)

    async def kill(self, key_ids: Collection[str], denial: Denial, by: Actor) -> list[str]:
        """End the admissions of keys that are dead in the store, before anything is awaited, and close their streams.

        Args:
            key_ids: Ids of the keys.
            denial: The reason of their death.
            by: The actor.

        Returns:
            Names of the streams that were closed.
        """
        self.changes += 1
        closed = await self._end(key_ids, denial)
        await self._note_closed(closed, key_ids, denial, by)
        return closed

    async def suspend(self, user: str, key_ids: Collection[str], by: Actor) -> list[str]:
        """As ``kill``, for a user who is suspended in the store.

        Args:
            user: The user's name.
            key_ids: Ids of the user's keys.
            by: The actor.

        Returns:
            Names of the streams that were closed.
        """
        self._suspended.add(user)
        # A key that another process issued while this was committed is not among the store's answer.
        admitted = {a.key_id for a in self._held if a.user == user}
        return await self.kill(admitted.union(key_ids), Denial.SUSPENDED, by)

    def delete(self, user: str) -> None:
        """Take note that a user who was suspended is deleted: the channel is gone as if they still were."""
        self.changes += 1
        self._suspended.discard(user)
        self._unlisted.discard(user)
        self._deleted.add(user)

    def note_user(self, user: str) -> None:
        """Take note that there is a user of this name."""
        self._deleted.discard(user)

    def restore(self, user: str) -> bool:
        """Take note of the end of a user's suspension; return whether the suspension was known."""
        self.changes += 1
        was_suspended = user in self._suspended
        self._suspended.discard(user)
        self._on_restored(user)
        return was_suspended

    # -- what dies by itself or elsewhere -------------------------------------------------------

    async def end_expired(self) -> None:
        """Close the streams of keys that have expired."""
        expired = {a.key_id for a in self._held if a.ended_by is None and self._has_expired(a)}
        await self._note_closed(await self._end(expired, Denial.EXPIRED), expired, Denial.EXPIRED, SERVER)

    async def recheck(self) -> bool:
        """Look in the store for what another process has changed, and close the streams of keys that it killed.

        Returns:
            False where what was read may be from before a change of our own, and was not believed: to be called again.

        Raises:
            StoreUnavailableError: The store cannot be asked; streams go on.
        """
        asked = {a.key_id for a in self._held if not a.is_by_hook}
        changes = self.changes
        suspended = await self._store.suspended_users()
        unlisted = await self._store.unlisted_users()
        standings = await self._store.standings(asked)
        if changes != self.changes:
            return False
        self.changes += (suspended, unlisted) != (self._suspended, self._unlisted)
        self._unlisted = unlisted
        for user in self._suspended - suspended:
            self._on_restored(user)
        self._suspended = suspended
        dead: dict[Denial, set[str]] = {}
        for admission in self._held:
            if admission.is_by_hook and admission.user in suspended:
                dead.setdefault(Denial.SUSPENDED, set()).add(admission.key_id)
            if admission.key_id not in asked:
                continue
            standing = standings.get(admission.key_id)
            if standing is not None:
                admission.expires_at, admission.limits = standing.expires_at, standing.limits
            if (denial := denial_of(standing, self._clock.now())) is not None:
                dead.setdefault(denial, set()).add(admission.key_id)
        for denial, key_ids in dead.items():
            # Verifications that are reading now may have read before the other process wrote.
            await self.kill(key_ids, denial, SERVER)
        return True

    # -- inside ---------------------------------------------------------------------------------

    async def _end(self, key_ids: Collection[str], denial: Denial) -> list[str]:
        """End the admissions of dead keys, then close their streams; return the names of these."""
        for dead_id in key_ids:
            self._on_dead(dead_id)
        for admission in self._held:
            if admission.key_id in key_ids and admission.ended_by is None:
                admission.ended_by = denial
        if self._closer is None or not key_ids:
            return []
        return await self._closer.close_streams(key_ids, denial)

    async def _note_closed(self, closed: list[str], key_ids: Collection[str], denial: Denial, by: Actor) -> None:
        """Write which streams were closed, now or as soon as the store can be written."""
        if not closed:
            return
        now = self._clock.now()
        key_id = next(iter(key_ids)) if len(key_ids) == 1 else None
        rows = [
            AuditEntry(now, by.name, "stream.closed", by.address, key_id=key_id, stream=name, reason=denial)
            for name in closed
        ]
        try:
            await self._store.audit.append(rows)
        except StoreUnavailableError as exc:
            log.warning("audit.waiting", extra={"closed": closed, "reason": str(exc)})
            self.rows.keep(rows)

    def _has_expired(self, admission: Admission) -> bool:
        return admission.expires_at is not None and admission.expires_at <= self._clock.now()
