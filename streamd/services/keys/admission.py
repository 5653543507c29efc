"""The words between the key service and the live streams: admitted, denied, close these."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from streamd.services.keys.records import SERVER_LIMITS, KeyStanding, PublishLimits

HOOK_PREFIX = "hook_"
"""No key id begins like this: there is no ``_`` in one."""


class Denial(enum.StrEnum):
    """The reason of a stream key's refusal, for the log and the metrics; the publisher never learns it."""

    MISSING = "missing"
    """No key was shown."""
    MALFORMED = "malformed"
    """Text without the form of a key, and no imported key."""
    UNKNOWN = "unknown"
    """An unknown id, or a wrong secret."""
    REVOKED = "revoked"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    TAKEN_DOWN = "taken_down"
    """A moderator has taken the channel or the key down."""
    BLOCKED = "blocked"
    """From a network or a country that is blocked."""
    RATE_LIMITED = "rate_limited"
    """Too many publishes failed before it, and it was not looked up."""
    FORBIDDEN = "forbidden"
    """The publish hook that decides alone says no."""
    TOO_OFTEN = "too_often"
    """The key is good, and has published too often in the last minute."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class Admission:
    """An admitted publish, for as long as it stays admitted.

    A stream keeps its admission for as long as it may be fed (the reconnect window too): the verifier knows of streams
    by their admissions, and holds these weakly.
    """

    key_id: str
    """Of the key; for one that the publish hook let in, ``HOOK_PREFIX`` and an id of the channel."""
    user: str
    """The user, and so the channel."""
    expires_at: datetime | None = None
    """When the key dies by itself; moves when the key is rotated."""
    limits: PublishLimits = SERVER_LIMITS
    """The user's limits; they move when the operator changes them."""
    address: str = ""
    """IP address that it was admitted from; empty for one that the server before this one admitted."""
    ended_by: Denial | None = field(default=None, init=False)
    """The reason of its end; None while it holds."""

    @classmethod
    def by_hook(cls, channel_id: str, user: str, limits: PublishLimits) -> Admission:
        """A publish that the hook let in: whoever it lets in again goes on with the stream."""
        return cls(HOOK_PREFIX + channel_id, user, limits=limits)

    @property
    def is_by_hook(self) -> bool:
        """Whether the hook let it in, so that there is no key."""
        return self.key_id.startswith(HOOK_PREFIX)


def denial_of(standing: KeyStanding | None, now: datetime) -> Denial | None:
    """Return the reason for which a key opens no channel; None if it opens its channel.

    Args:
        standing: The store's row of it; None for an unknown key.
        now: Wall time.
    """
    if standing is None:
        return Denial.UNKNOWN
    if standing.is_revoked:
        return Denial.REVOKED
    if standing.expires_at is not None and standing.expires_at <= now:
        return Denial.EXPIRED
    return Denial.SUSPENDED if standing.is_suspended else None


class StreamCloser(Protocol):
    """Closes live streams by the keys that opened them; the live registry does."""

    async def close_streams(self, key_ids: Collection[str], reason: str) -> list[str]:
        """Close every stream that one of these keys opened, and wait until it is closed.

        When it returns, the publisher's socket is closed, the playlists have ended and no request waits for more of
        them. Streams within their reconnect window are closed as well.

        Args:
            key_ids: Ids of keys that are dead.
            reason: ``revoked``, ``expired`` or ``suspended``.

        Returns:
            Names of the streams that were closed by this call.
        """
