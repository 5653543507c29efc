"""How many watch at once with one link, or as one viewer.

Kept are only viewings whose number is bounded. One that has asked for nothing for a while is over; one that holds a
connection open is not.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

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

    def note(self, who: bytes, session: bytes, viewers_max: int, now: float) -> bool:
        """Note that a viewing goes on, or begins.

        Args:
            who: Whose viewings are counted together.
            session: The viewing.
            viewers_max: How many of ``who`` there may be at once.
            now: Loop time, seconds.

        Returns:
            False where there are as many already.
        """
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

    def hold(self, who: bytes, session: bytes) -> None:
        """A viewing has a connection that goes on without asking."""
        if session in self._of.get(who, ()):
            self._of[who][session] = float("inf")
            self._holds[who, session] += 1

    def end(self, who: bytes, session: bytes) -> None:
        """A connection of a viewing is closed; with the last one it is over."""
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
