"""How many watch at once with one link, or as one viewer.

Kept are only viewings whose number is bounded. One that has asked for nothing for a while is over; one that holds a
connection open is not.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from streamd.services.playback.ticket import NO_DIGEST

if TYPE_CHECKING:
    from streamd.services.playback.ticket import Ticket

# HLS asks for a playlist once a target duration, which is 10 s at the most; a network may stumble once.
VIEWING_S: Final = 15.0
# Viewings whose number is bounded: 300 bytes each. The one heard of least lately is forgotten, and counts as new.
VIEWINGS_MAX: Final = 65_536


class Presence:
    """The viewings of now, by who has them."""

    def __init__(self) -> None:
        # Loop time of the last request of each; infinite while a connection is held open.
        self._of: dict[bytes, dict[bytes, float]] = {}
        # Connections that each holds open.
        self._holds: Counter[tuple[bytes, bytes]] = Counter()
        self._order: dict[tuple[bytes, bytes], None] = {}

    def __len__(self) -> int:
        return len(self._order)

    def note(self, ticket: Ticket, now: float) -> bool:
        """Note that the viewing of a ticket goes on, or begins.

        Args:
            ticket: The ticket of the viewing; one without a bound is not counted.
            now: Loop time, seconds.

        Returns:
            False where there are as many already as there may be at once.
        """
        viewers_max = ticket.viewers_max
        if not viewers_max:
            return True
        who, session = _who(ticket), ticket.session
        viewings = self._of.setdefault(who, {})
        if session not in viewings:
            for other in [each for each, at in viewings.items() if now - at > VIEWING_S]:
                self._forget(who, other)
            viewings = self._of.setdefault(who, {})
            if len(viewings) >= viewers_max:
                return False
        if viewings.get(session) != float("inf"):
            viewings[session] = now
        key = who, session
        self._order.pop(key, None)
        self._order[key] = None
        if len(self._order) > VIEWINGS_MAX:
            self._forget(*next(iter(self._order)))
        return True

    def hold(self, ticket: Ticket) -> None:
        """A viewing has a connection that goes on without asking."""
        if not ticket.viewers_max:
            return
        who, session = _who(ticket), ticket.session
        if session in self._of.get(who, ()):
            self._of[who][session] = float("inf")
            self._holds[who, session] += 1

    def end(self, ticket: Ticket) -> None:
        """A connection of a viewing is closed; with the last one it is over."""
        if not ticket.viewers_max:
            return
        who, session = _who(ticket), ticket.session
        self._holds[who, session] -= 1
        if self._holds[who, session] <= 0:
            self._forget(who, session)

    def _forget(self, who: bytes, session: bytes) -> None:
        self._holds.pop((who, session), None)
        self._order.pop((who, session), None)
        viewings = self._of.get(who)
        if viewings is not None:
            viewings.pop(session, None)
            if not viewings:
                del self._of[who]


def _who(ticket: Ticket) -> bytes:
    """Name the viewings that are counted together: the viewer's, or else those of the token."""
    return ticket.viewer if ticket.viewer != NO_DIGEST else ticket.token
