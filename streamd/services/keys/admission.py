"""What those who decide over keys and the live streams say to each other: admitted, denied, close these."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from streamd.services.keys.records import SERVER_LIMITS, KeyStanding, PublishLimits


class Denial(enum.StrEnum):
    """Why a stream key was refused, for the log and the metrics; the publisher is told none of it."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    """No such id, or not its secret."""
    REVOKED = "revoked"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    RATE_LIMITED = "rate_limited"
    """Too many failed before it, and it was not looked up."""
    TOO_OFTEN = "too_often"
    """The key is good, and has published too often in the last minute."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class Admission:
    """That a publish was admitted, and whether it still is.

    Whoever runs a stream keeps its admission for as long as the stream may be fed (the reconnect
    window too): the verifier knows of streams by their admissions, and holds these weakly.
    """

    key_id: str
    user: str
    """The user, and so the channel."""
    expires_at: datetime | None = None
    """When the key dies by itself; moves when the key is rotated."""
    limits: PublishLimits = SERVER_LIMITS
    """What the user may send; moves when the operator says so."""
    ended_by: Denial | None = field(default=None, init=False)
    """Why it is over; None while it holds."""


def denial_of(standing: KeyStanding | None, now: datetime) -> Denial | None:
    """Why a key opens nothing; None where it opens its channel.

    Args:
        standing: What the store says of it; None where there is no such key.
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

        When it returns, the publisher's socket is closed, the playlists have ended and nobody
        waits for more of them. Streams within their reconnect window are closed as well.

        Args:
            key_ids: Ids of keys that are dead.
            reason: ``revoked``, ``expired`` or ``suspended``.

        Returns:
            Names of the streams that were closed by this call.
        """
