"""The codes that operators sign in to the console with, beside their tokens, where they have an authenticator."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from streamd.errors import CodeRefusedError, CodesSpentError, OperatorNotFoundError, OperatorStateError
from streamd.services.keys.request import checked_reason
from streamd.services.operators.code_tries import CodeTries
from streamd.services.operators.records import OPERATOR_NAME
from streamd.services.operators.totp import new_secret, shown_secret, step_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.services.audit.records import Actor
    from streamd.services.operators.operator_store import OperatorStore
    from streamd.services.operators.records import Credentials, OperatorRecord
    from streamd.services.operators.roster import Roster

log = logging.getLogger(__name__)

# An authenticator is set up within this time, or begun anew.
ENROLMENT_S = 600.0


class Authenticators:
    """Sets them up, and looks at their codes.

    Args:
        store: The store that has their secrets.
        clock: Wall time says which code is right, loop time how often a wrong one was tried.
        roster: The operators whose tokens work.
        put: Takes an operator who was changed.
    """

    def __init__(self, store: OperatorStore, clock: Clock, roster: Roster, put: Callable[[Credentials], None]) -> None:
        self._store = store
        self._clock = clock
        self._roster = roster
        self._put = put
        self._tries = CodeTries()
        # By name: the secret, and until when it may be confirmed.
        self._enrolments: dict[str, tuple[bytes, float]] = {}

    async def take(self, name: str, code: str) -> None:
        """Take a code, once; an operator without an authenticator is asked for none.

        Args:
            name: Whose.
            code: As it was typed; empty for none.

        Raises:
            CodeRefusedError: A code is wanted; or this one is not right, or was used before.
            CodesSpentError: Too many were wrong.
            StoreUnavailableError: Whether it was used before cannot be known.
        """
        credentials = self._roster.credentials_of(name)
        if credentials is not None and credentials.totp_secret is not None:
            await self._take(credentials, credentials.totp_secret, code)

    def begin(self, name: str) -> str:
        """Draw a secret for an operator's authenticator, which counts once ``confirm`` has seen a code of it.

        Returns:
            The secret in base 32, to be shown this once.

        Raises:
            OperatorStateError: They have one already; or they are nobody who can have one.
        """
        credentials = self._roster.credentials_of(name)
        if credentials is None:
            raise OperatorStateError("only an operator with a name has an authenticator")
        if credentials.totp_secret is not None:
            raise OperatorStateError("an authenticator is set up; remove it first")
        now = self._clock.monotonic()
        self._enrolments = {each: place for each, place in self._enrolments.items() if place[1] > now}
        secret = new_secret()
        self._enrolments[name] = (secret, now + ENROLMENT_S)
        return shown_secret(secret)

    async def confirm(self, code: str, *, by: Actor) -> None:
        """Ask an operator for codes from now on, as their authenticator has shown a right one.

        Raises:
            CodeRefusedError: It is not right.
            CodesSpentError: Too many were wrong.
            OperatorStateError: None was begun, or too long ago.
            StoreUnavailableError: It could not be written.
        """
        secret, until = self._enrolments.get(by.name, (b"", 0.0))
        if not secret or self._clock.monotonic() >= until:
            raise OperatorStateError("no authenticator is being set up; begin anew")
        credentials = self._roster.credentials_of(by.name)
        if credentials is None or credentials.totp_secret is not None:
            raise OperatorStateError("an authenticator is set up; remove it first")
        step = self._step(by.name, secret, code, after=0)
        secured = await self._store.set_totp(by.name, secret, step=step, reason="", now=self._clock.now(), by=by)
        self._enrolments.pop(by.name, None)
        self._put(secured)
        log.info("operator.secured", extra={"operator": by.name})

    async def remove(self, name: str, *, by: Actor, code: str | None = None, reason: str = "") -> OperatorRecord:
        """Ask an operator for no more codes.

        Args:
            name: The operator.
            by: The actor.
            code: Proves the operator, where it is they who do it; None for an admin, when a telephone is lost.
            reason: The reason, in the actor's words.

        Raises:
            CodeRefusedError: It is not right, or was used before.
            CodesSpentError: Too many were wrong.
            OperatorNotFoundError: There is none of this name.
            OperatorStateError: They have none.
            StoreUnavailableError: It could not be written.
        """
        if code is not None:
            credentials = self._roster.credentials_of(name)
            if credentials is None or credentials.totp_secret is None:
                raise OperatorStateError("no authenticator is set up")
            await self._take(credentials, credentials.totp_secret, code)
        if not OPERATOR_NAME.fullmatch(name):
            raise OperatorNotFoundError
        reason = checked_reason(reason)
        unsecured = await self._store.set_totp(name, None, reason=reason, now=self._clock.now(), by=by)
        self._put(unsecured)
        log.info("operator.unsecured", extra={"operator": name, "by": by.name})
        return unsecured.record

    def forget(self, name: str) -> None:
        """Forget what was begun for an operator whose token is dead."""
        self._enrolments.pop(name, None)

    async def _take(self, credentials: Credentials, secret: bytes, code: str) -> None:
        name = credentials.record.name
        if not code.strip():
            raise CodeRefusedError("a code of your authenticator is needed as well")
        step = self._step(name, secret, code, after=credentials.totp_step)
        if not await self._store.take_step(name, step):
            # It was shown twice at the same time, or to another server.
            raise CodeRefusedError("that code was used before; wait for the next")
        known = self._roster.credentials_of(name)
        if known is not None:
            self._put(replace(known, totp_step=max(step, known.totp_step)))

    def _step(self, name: str, secret: bytes, code: str, *, after: int) -> int:
        """The step of a code that is right; a wrong one costs a try."""
        now = self._clock.monotonic()
        if wait_s := self._tries.wait_s(name, now):
            raise CodesSpentError(wait_s)
        step = step_of(secret, code, self._clock.now(), after=after)
        if step is None:
            self._tries.spend(name, now)
            raise CodeRefusedError("that code is not right, or was used before")
        return step
