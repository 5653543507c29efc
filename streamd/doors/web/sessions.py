"""Short-lived sessions of people at a browser: a random token for each, of which only the hash is kept here."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
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


@dataclass(slots=True)
class _Session(Generic[_Holder]):
    name: str
    holder: _Holder
    ends_at: float
    used_at: float


class Sessions(Generic[_Holder]):
    """The sessions of a page. They end with this process, and are never written to disk.

    Args:
        clock: For their time limits.
        limits: Of time and number.
    """

    def __init__(self, clock: Clock, limits: SessionLimits) -> None:
        self._clock = clock
        self._limits = limits
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
        limits, now = self._limits, self._clock.monotonic()
        same_name = [mark for mark, session in self._sessions.items() if session.name == name]
        for mark in same_name[: len(same_name) - limits.per_name_max + 1]:
            del self._sessions[mark]
        while len(self._sessions) >= limits.sessions_max:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[_mark(token)] = _Session(name, holder, now + limits.lifetime_s, now)
        return token

    def find(self, token: str) -> _Holder | None:
        """The holder of a session that goes on; None for any other token."""
        mark, now = _mark(token), self._clock.monotonic()
        session = self._sessions.pop(mark, None)
        if session is None or now >= session.ends_at or now >= session.used_at + self._limits.idle_s:
            return None
        session.used_at = now
        self._sessions[mark] = session
        return session.holder

    def end(self, token: str) -> None:
        """End a session; an unknown token is no error."""
        self._sessions.pop(_mark(token), None)


def _mark(token: str) -> bytes:
    # The look-up is by a hash: its time reveals nothing about a nearly guessed token.
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
