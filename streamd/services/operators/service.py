"""The operators: their names, tokens and roles.

A revocation holds in this process before the store is asked, as that of a stream key does: a token is dead, and its
sessions and event streams are over, when ``revoke`` returns. Other servers on the same database read it there within
``LOOK_INTERVAL_S``.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from streamd.errors import OperatorNotFoundError, OperatorRequestError, StoreUnavailableError
from streamd.services.audit.audit_log import entry_of
from streamd.services.audit.waiting_rows import WaitingRows
from streamd.services.keys.request import checked_reason
from streamd.services.operators.authenticators import Authenticators
from streamd.services.operators.operator_store import OperatorStore
from streamd.services.operators.records import (
    OPERATOR_NAME,
    RESERVED_NAMES,
    Credentials,
    NewToken,
    OperatorRecord,
    OperatorState,
    RevokedOperator,
)
from streamd.services.operators.roster import Roster
from streamd.services.operators.token import OperatorToken
from streamd.services.operators.token_uses import TokenUses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.audit.records import Actor
    from streamd.services.operators.roles import Role
    from streamd.services.store.database import Database

log = logging.getLogger(__name__)

# A change by another server, or by the command line on the store, holds here within this time.
LOOK_INTERVAL_S = 1.0
# As long as there are none, whose token could be revoked.
IDLE_LOOK_INTERVAL_S = 5.0
NAME_RULE = (
    "an operator's name is 2 to 64 small letters, digits, '-' and '_', begins with a letter or digit, and is none of "
    + ", ".join(sorted(RESERVED_NAMES))
)


def _nobody() -> None:
    """Tell nobody: no session hangs on a token in this process."""


class OperatorService:
    """Adds, changes and revokes operators, and says who shows a token.

    Args:
        database: The key store's; started by the owner.
        clock: Wall time decides over expiry.

    Attributes:
        roster: The operators whose tokens work.
        uses: When they were last used.
        authenticators: The codes that some of them sign in with.
        on_change: Called when somebody's token or role may be another.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._store = OperatorStore(database)
        self._clock = clock
        self.roster = Roster(clock)
        self.on_change: Callable[[], None] = _nobody
        self._changes = 0
        self._waiting: dict[str, tuple[str, datetime, Actor]] = {}
        self.uses = TokenUses(clock)
        self.authenticators = Authenticators(self._store, clock, self.roster, self._put)
        self._has_failed = False
        self._rows = WaitingRows()
        self._acts: set[asyncio.Task[RevokedOperator]] = set()

    async def start(self) -> None:
        """Read who there is.

        Raises:
            StoreUnavailableError: The store cannot be read.
        """
        self.roster.put_all(await self._store.everybody())

    async def run(self, sleep: Callable[[float], Any] = asyncio.sleep) -> None:
        """Look for what others have changed, for ever; cancel to stop.

        Args:
            sleep: How it waits; tests pass their own.
        """
        while True:
            await sleep(LOOK_INTERVAL_S if len(self.roster) else IDLE_LOOK_INTERVAL_S)
            try:
                await self.look()
            except StoreUnavailableError as exc:
                # The roster stays as it was: operators act while the database is gone.
                if not self._has_failed:
                    log.warning("store.failed", extra={"reason": str(exc)})
                self._has_failed = True
            except Exception:
                log.exception("sweep.failed")
            else:
                self._has_failed = False

    async def look(self) -> None:
        """Write what waits, and read what others have changed.

        Raises:
            StoreUnavailableError: The store cannot be asked.
        """
        await self._write_all()
        changes = self._changes
        everybody = await self._store.everybody()
        # Rows from before an act of this process was written are older than the roster.
        if changes == self._changes and self.roster.put_all(everybody):
            self.on_change()

    async def close(self) -> None:
        """Finish the revocations that were begun, and write what waits, as far as possible."""
        while self._acts:
            await asyncio.wait(self._acts)
        try:
            await self._write_all()
        except StoreUnavailableError as exc:
            log.warning("store.failed", extra={"reason": str(exc)})

    # -- who there is ---------------------------------------------------------------------------

    async def everybody(self) -> list[OperatorRecord]:
        """All operators, by name.

        Raises:
            StoreUnavailableError: They cannot be read.
        """
        return [self._within(each.record) for each in await self._store.everybody()]

    async def get(self, name: str) -> OperatorRecord:
        """One operator.

        Raises:
            OperatorNotFoundError: There is none of this name.
            StoreUnavailableError: They cannot be read.
        """
        for record in await self.everybody():
            if record.name == name:
                return record
        raise OperatorNotFoundError(name if OPERATOR_NAME.fullmatch(name) else None)

    def state_of(self, record: OperatorRecord) -> OperatorState:
        """The state of an operator's token now."""
        return record.state_at(self._clock.now())

    # -- acts -----------------------------------------------------------------------------------

    async def add(self, name: str, role: Role, *, expires_at: datetime | None, by: Actor) -> NewToken:
        """Add an operator, or take one back whose token was revoked; the result alone has the token.

        Raises:
            OperatorRequestError: A name or a date that cannot be.
            OperatorStateError: There is one of this name.
            StoreUnavailableError: It could not be written.
        """
        if not OPERATOR_NAME.fullmatch(name) or name in RESERVED_NAMES:
            raise OperatorRequestError(NAME_RULE)
        now = self._clock.now()
        self._check_end(expires_at, now)
        await self._write_waiting()
        token = OperatorToken.generate()
        added = await self._store.add(name, role, token, expires_at=expires_at, now=now, by=by)
        self._put(added)
        log.info("operator.added", extra={"operator": name, "role": role.value, "by": by.name})
        return NewToken(added.record, token)

    async def rotate(self, name: str, *, by: Actor) -> NewToken:
        """Give an operator another token; the old one is dead, with its sessions, when this returns.

        Raises:
            OperatorNotFoundError: There is none of this name.
            OperatorStateError: Their token was revoked, or has expired.
            StoreUnavailableError: It could not be written; nothing has changed.
        """
        await self._write_waiting()
        token = OperatorToken.generate()
        rotated = await self._store.rotate(_checked(name), token, now=self._clock.now(), by=by)
        self._put(rotated)
        log.info("operator.rotated", extra={"operator": name, "by": by.name})
        return NewToken(rotated.record, token)

    async def change(self, name: str, change: Mapping[str, Any], *, by: Actor, reason: str = "") -> OperatorRecord:
        """Change an operator's role, or the end of their token.

        Args:
            name: The operator.
            change: ``role`` or ``expires_at`` or both, with their new values.
            by: The actor.
            reason: The reason, in the actor's words.

        Raises:
            OperatorNotFoundError: There is none of this name.
            OperatorRequestError: A date that cannot be.
            OperatorStateError: Their token was revoked.
            StoreUnavailableError: It could not be written.
        """
        now = self._clock.now()
        self._check_end(change.get("expires_at"), now)
        await self._write_waiting()
        changed = await self._store.change(_checked(name), change, reason=checked_reason(reason), now=now, by=by)
        self._put(changed)
        log.info("operator.changed", extra={"operator": name, "role": changed.record.role.value, "by": by.name})
        return changed.record

    async def revoke(self, name: str, *, by: Actor, reason: str = "") -> RevokedOperator:
        """Kill an operator's token, with its sessions and event streams; all are over when this returns.

        Where the store could not be written, the result says so.

        Raises:
            OperatorNotFoundError: There is none of this name.
            StoreUnavailableError: It could not be written, and this process does not know the operator.
        """
        # An act that takes something away is completed even if its caller goes away.
        task = asyncio.create_task(self._revoke(_checked(name), checked_reason(reason), by))
        self._acts.add(task)
        task.add_done_callback(self._acts.discard)
        return await asyncio.shield(task)

    async def delete(self, name: str, *, by: Actor, reason: str = "") -> None:
        """Revoke an operator's token, and delete what is kept of them; their acts stay in the audit log, by name.

        Raises:
            OperatorNotFoundError: There is none of this name.
            StoreUnavailableError: It could not be written; the token is refused until it can be read again.
        """
        await self._store.delete(_checked(name), reason=checked_reason(reason), now=self._clock.now(), by=by)
        self._waiting.pop(name, None)
        self._forget(name)
        self.roster.release(name)
        self.roster.remove(name)
        self._tell()
        log.info("operator.deleted", extra={"operator": name, "by": by.name})

    # -- sessions -------------------------------------------------------------------------------

    async def sign_in(self, by: Actor, code: str) -> None:
        """Let the holder of a good token begin a session.

        Args:
            by: The holder; root, who has no authenticator, is let in by the token alone.
            code: The code of their authenticator; empty for none.

        Raises:
            CodeRefusedError: A code is wanted; or this one is not right, or was used before.
            CodesSpentError: Too many were wrong.
            StoreUnavailableError: Whether the code was used before cannot be known.
        """
        await self.authenticators.take(by.name, code)
        entry = entry_of(self._clock.now(), by, "session.begun", subject=by.name)
        try:
            await self._store.append([entry])
        except StoreUnavailableError as exc:
            # An operator who is to take a stream down gets in while the database is gone.
            log.warning("audit.waiting", extra={"rows": 1, "reason": str(exc)})
            self._rows.keep([entry])

    # -- inside ---------------------------------------------------------------------------------

    def _check_end(self, expires_at: datetime | None, now: datetime) -> None:
        if expires_at is not None and expires_at <= now:
            raise OperatorRequestError("expires_at is in the past")

    async def _revoke(self, name: str, reason: str, by: Actor) -> RevokedOperator:
        now = self._clock.now()
        self.roster.condemn(name)
        self._tell()
        try:
            revoked = await self._store.revoke(name, reason=reason, now=now, by=by)
        except OperatorNotFoundError:
            self.roster.release(name)
            raise
        except StoreUnavailableError as exc:
            known = self.roster.record_of(name)
            if known is None or known.revoked_at is not None:
                self.roster.release(name)
                raise
            self._waiting.setdefault(name, (reason, now, by))
            log.warning("operator.waiting", extra={"operator": name, "reason": str(exc)})
            return RevokedOperator(
                self._within(known),
                f"the revocation is not in the key store yet: {exc}. This server refuses the token and goes on trying "
                "to write it; a restart before that forgets it, and other servers on the same database learn of it "
                "from there",
            )
        self._settle(revoked, by)
        return RevokedOperator(revoked.record)

    def _put(self, credentials: Credentials) -> None:
        self.roster.put(credentials)
        self._tell()

    def _tell(self) -> None:
        self._changes += 1
        self.on_change()

    def _settle(self, revoked: Credentials, by: Actor) -> None:
        """The store has a revocation."""
        name = revoked.record.name
        self._forget(name)
        self._put(revoked)
        self.roster.release(name)
        log.info("operator.revoked", extra={"operator": name, "by": by.name})

    def _forget(self, name: str) -> None:
        self.uses.forget(name)
        self.authenticators.forget(name)

    def _within(self, record: OperatorRecord) -> OperatorRecord:
        """The record with what waits to be written."""
        record = self.uses.within(record)
        waiting = self._waiting.get(record.name)
        if waiting is None or record.revoked_at is not None:
            return record
        reason, at, by = waiting
        return replace(record, revoked_at=at, revoke_reason=reason, revoked_by=by.name)

    async def _write_all(self) -> None:
        await self._write_waiting()
        await self._write_rows()
        await self._write_uses()

    async def _write_waiting(self) -> None:
        for name, (reason, at, by) in [*self._waiting.items()]:
            try:
                revoked = await self._store.revoke(name, reason=reason, now=at, by=by)
            except OperatorNotFoundError:
                self.roster.release(name)
            else:
                self._settle(revoked, by)
            self._waiting.pop(name, None)

    async def _write_uses(self) -> None:
        uses = self.uses.take()
        if not uses:
            return
        try:
            await self._store.record_uses(uses)
        except StoreUnavailableError:
            self.uses.give_back(uses)
            raise

    async def _write_rows(self) -> None:
        rows = self._rows.take()
        if not rows:
            return
        try:
            await self._store.append(rows)
        except StoreUnavailableError:
            self._rows.give_back(rows)
            raise


def _checked(name: str) -> str:
    """The name of an operator who may exist."""
    if not OPERATOR_NAME.fullmatch(name):
        raise OperatorNotFoundError
    return name
