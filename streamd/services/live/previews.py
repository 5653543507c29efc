"""Tickets for an operator's look at a stream: it is sent what viewers are sent, and counts as no viewer.

A ticket is for one channel and begins within a minute; without one, or with a wrong one, whoever asks is a viewer.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamd.clock import Clock

# The page that has asked for a ticket shows it at once.
LIFETIME_S = 60
# Half of a SHA-256 is more than anybody guesses in a minute.
_MARK_CHARS = 32


class Previews:
    """Gives out tickets, and knows them again; those of an earlier process are none.

    Args:
        clock: Measures for how long they are good.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def end_all(self) -> None:
        """Know none of the tickets again that were given out so far."""
        self._key = secrets.token_bytes(32)

    def ticket(self, name: str) -> str:
        """A ticket for a look at a channel.

        Args:
            name: Of the channel.
        """
        ends_at = int(self._clock.monotonic()) + LIFETIME_S
        return f"{ends_at}-{self._mark(name, ends_at)}"

    def is_good(self, name: str, ticket: str) -> bool:
        """Whether this is a ticket for a look at a channel, and not too old.

        Args:
            name: Of the channel.
            ticket: As it was shown.
        """
        until, _, mark = ticket.partition("-")
        if not (until.isascii() and until.isdigit() and len(until) < 12 and len(mark) == _MARK_CHARS):
            return False
        ends_at = int(until)
        is_ours = hmac.compare_digest(mark.encode("latin-1", "replace"), self._mark(name, ends_at).encode())
        return is_ours and self._clock.monotonic() < ends_at

    def _mark(self, name: str, ends_at: int) -> str:
        return hmac.new(self._key, f"{name} {ends_at}".encode(), hashlib.sha256).hexdigest()[:_MARK_CHARS]
