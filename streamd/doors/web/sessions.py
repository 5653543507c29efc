"""Short-lived sessions of people at a browser: a random token for each, of which only the hash is kept here."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streamd.clock import Clock

_TOKEN_BYTES = 32

_Holder = TypeVar("_Holder")


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of sessions: time and number."""

    lifetime_s: float
    """Since its start."""
    idle_s: float
    """Since it was last used."""
    sessions_max: int
    """In all. One more ends the one used least lately."""
    per_name_max: int
    """Of one name, likewise: a user who signs in again and again pushes out only their own."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as it is kept over a restart. Its fields do not suffice to sign in."""

    mark: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """The hash of its token, in hexadecimal digits."""
    name: str
    ends_at: datetime
    used_at: datetime


@dataclass(slots=True)
class _Session(Generic[_Holder]):
    name: str
    holder: _Holder
    ends_at: float
    used_at: float


class Sessions(Generic[_Holder]):
    """The people who are signed in.

    Args:
        clock: For their time limits.
        limits: Of time and number.

    Attributes:
        secret: Sessions that are kept over a restart hang on it: with another one none of them is known. Set before
            one begins.
    """

    def __init__(self, clock: Clock, limits: SessionLimits) -> None:
        self._clock = clock
        self._limits = limits
        self.secret = ""
        self.revision = 0
        """Moves with each session that begins or ends."""
        # Least lately used first.
        self._sessions: dict[bytes, _Session[_Holder]] = {}

    def __len__(self) -> int:
        """Sessions kept, expired ones that were not looked up since included."""
        return len(self._sessions)

    def begin(self, name: str, holder: _Holder) -> str:
        """Begin a session.

        Args:
            name: Its user, for the limit by name.
            holder: The object that ``find`` returns for it.

        Returns:
            Its token, which proves the holder.
        """
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        now = self._clock.monotonic()
        self._add(self._mark(token), _Session(name, holder, now + self._limits.lifetime_s, now))
        return token

    def _add(self, mark: bytes, session: _Session[_Holder]) -> None:
        limits, name = self._limits, session.name
        same_name = [known for known, other in self._sessions.items() if other.name == name]
        for known in same_name[: len(same_name) - limits.per_name_max + 1]:
            del self._sessions[known]
        while len(self._sessions) >= limits.sessions_max:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[mark] = session
        self.revision += 1

    def find(self, token: str) -> _Holder | None:
        """The holder of a session that goes on; None for any other token."""
        mark, now = self._mark(token), self._clock.monotonic()
        session = self._sessions.pop(mark, None)
        if session is None:
            return None
        if now >= session.ends_at or now >= session.used_at + self._limits.idle_s:
            self.revision += 1
            return None
        session.used_at = now
        self._sessions[mark] = session
        return session.holder

    def end(self, token: str) -> None:
        """End a session; one that is none is none afterwards as well."""
        if self._sessions.pop(self._mark(token), None) is not None:
            self.revision += 1

    def end_all(self, is_over: Callable[[_Holder], bool], *, but: str = "") -> None:
        """End the sessions of some holders.

        Args:
            is_over: Tells whose.
            but: The token of one that goes on all the same; empty for none.
        """
        spared = self._mark(but) if but else b""
        kept = {
            mark: session for mark, session in self._sessions.items() if mark == spared or not is_over(session.holder)
        }
        if len(kept) < len(self._sessions):
            self._sessions = kept
            self.revision += 1

    # -- over a restart --------------------------------------------------------------------------

    def records(self) -> list[SessionRecord]:
        """All sessions, as the next server has to know them."""
        to_wall = self._clock.now() - timedelta(seconds=self._clock.monotonic())
        return [
            SessionRecord(
                mark.hex(),
                session.name,
                to_wall + timedelta(seconds=session.ends_at),
                to_wall + timedelta(seconds=session.used_at),
            )
            for mark, session in self._sessions.items()
        ]

    def restore(self, records: Iterable[SessionRecord], holder_of: Callable[[str], _Holder]) -> None:
        """Go on with the sessions of a server before this one; their time has run on meanwhile.

        Args:
            records: The kept sessions; the least lately used first.
            holder_of: Given a name, says what ``find`` returns for its sessions.
        """
        now, wall_now = self._clock.monotonic(), self._clock.now()
        for record in records:
            # A clock that was set back makes nobody's session longer than it may be.
            left_s = min((record.ends_at - wall_now).total_seconds(), self._limits.lifetime_s)
            idle_s = max(0.0, (wall_now - record.used_at).total_seconds())
            if left_s > 0 and idle_s < self._limits.idle_s:
                session = _Session(record.name, holder_of(record.name), now + left_s, now - idle_s)
                self._add(bytes.fromhex(record.mark), session)

    def _mark(self, token: str) -> bytes:
        # A hash is looked up: the time that it takes says nothing of a token that was nearly guessed.
        return hmac.digest(self.secret.encode(), token.encode(errors="surrogateescape"), hashlib.sha256)
