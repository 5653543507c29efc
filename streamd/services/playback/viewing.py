"""A viewing: a ticket that was read, what holds a connection by it, and its end.

The doors look a ticket up here by one step in a dictionary. A viewer's open answer is cut when the ticket
expires or is withdrawn, at most a look later.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from streamd.services.playback.claims import Audience
from streamd.services.playback.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streamd.services.playback.ticket import Ticket

# Tickets that were read: 700 bytes each. One that is forgotten is read anew, in 5 µs.
VIEWINGS_MAX: Final = 65_536
# Looks at the viewings that hold a connection: what has expired is cut within half a second, and a look at 1,000 takes
# 0.1 ms.
LOOK_INTERVAL_S: Final = 0.25
# A player that asks for playlists does so at least this often, so that two that use one ticket are seen to be two.
SHARING_S: Final = 5.0
# A viewer's own address changes: from Wi-Fi to the phone's network, and between IPv4 and IPv6.
ADDRESSES_PER_VIEWER: Final = 3


class Ongoing(Protocol):
    """Something that goes on without asking: a request that waits, a stream that is followed."""

    def cut(self, refusal: Refusal) -> None:
        """End: the viewer may not watch any more."""


class Viewing:
    """One ticket in use.

    Args:
        subject: The channel or recording.
        ticket: The ticket as it was read.
        text: The same as it is written.
        expires_at: Loop time, seconds.
        owner: The channel that a recording is of; empty for a channel.

    Attributes:
        audience: The number of the ticket's ``Audience``.
        is_plain: It is for video, from everywhere, for any number at once: there is little to ask.
        now: Reads the loop time, seconds.
        refusal: The reason why it is over; None while it goes on.
    """

    __slots__ = (
        "_holders",
        "_is_watched",
        "_seen",
        "_table",
        "audience",
        "expires_at",
        "is_plain",
        "now",
        "owner",
        "refusal",
        "subject",
        "text",
        "ticket",
    )

    def __init__(
        self, table: Viewings, subject: str, ticket: Ticket, text: str, expires_at: float, owner: str = ""
    ) -> None:
        self._table = table
        self.now = table.now
        self.owner = owner
        self.subject = subject
        self.ticket = ticket
        # A number, not a flag: each request is compared with it.
        self.audience = int(ticket.audience)
        self.is_plain = bool(self.audience & Audience.VIDEO.value and not ticket.networks and not ticket.viewers_max)
        self.text = text
        self.expires_at = expires_at
        self.refusal: Refusal | None = None
        self._holders: set[Ongoing] = set()
        self._is_watched = False
        # When each was seen last that uses it; at most a handful.
        self._seen: dict[tuple[str, str], float] = {}

    @property
    def is_held(self) -> bool:
        """Something goes on by it."""
        return bool(self._holders)

    def lasts(self) -> bool:
        """Whether it is not over."""
        return self.refusal is None and self.now() < self.expires_at

    def hold(self, held: Ongoing) -> None:
        """Have something cut when this ends."""
        self._holders.add(held)
        # A player waits for each part anew: it is watched from the first time until a look finds nothing that goes on.
        if not self._is_watched:
            self._is_watched = True
            self._table.watch(self)

    def let_go(self, held: Ongoing) -> None:
        """Cut it no more; again is no error."""
        self._holders.discard(held)

    def look(self, now: float) -> bool:
        """Cut what goes on by it, if it has expired.

        Args:
            now: Loop time, seconds.

        Returns:
            Whether something goes on by it, and it is to be watched further.
        """
        if self._holders and now < self.expires_at:
            return True
        self._is_watched = False
        if self._holders:
            self.end(Refusal.EXPIRED)
        return False

    def end(self, refusal: Refusal) -> None:
        """Refuse it from now on, and cut what goes on by it."""
        self.refusal = refusal
        holders, self._holders = self._holders, set()
        for held in holders:
            held.cut(refusal)

    def is_shared(self, source: str, user_agent: str, viewers_max: int, now: float) -> bool:
        """Whether more viewers use it than may, one of whom asks now.

        Viewers differ in their players. One viewer may come from a few addresses at a time.

        Args:
            source: The peer that the viewer's address is counted as.
            user_agent: The name that their player gives itself.
            viewers_max: The most that may watch at once.
            now: Loop time, seconds.
        """
        seen, asker = self._seen, (source, user_agent)
        if asker not in seen:
            for each in [each for each, at in seen.items() if now - at > SHARING_S]:
                del seen[each]
            others = {name for _, name in seen} | {user_agent}
            if len(others) > viewers_max or len(seen) >= viewers_max * ADDRESSES_PER_VIEWER:
                return True
        seen[asker] = now
        return False


class Viewings:
    """The tickets that were read lately, and those by which something goes on.

    Args:
        now: Reads the loop time, seconds.
        viewings_max: The most that are remembered.

    Attributes:
        now: As given.
        find: Finds a viewing by its subject and its ticket; None where it is not known.
    """

    def __init__(self, now: Callable[[], float], viewings_max: int = VIEWINGS_MAX) -> None:
        self.now = now
        self._viewings_max = viewings_max
        self._known: dict[tuple[str, str], Viewing] = {}
        self._watched: set[Viewing] = set()
        self._timer: asyncio.TimerHandle | None = None
        # The doors' way to it is one look-up and no call.
        self.find = self._known.get

    def __len__(self) -> int:
        return len(self._known)

    def add(self, subject: str, ticket: Ticket, text: str, expires_at: float, owner: str = "") -> Viewing:
        """Remember a ticket that was read."""
        viewing = self._known[subject, text] = Viewing(self, subject, ticket, text, expires_at, owner)
        if len(self._known) > self._viewings_max:
            # The one that was read first: it is read again, or was over.
            del self._known[next(iter(self._known))]
        return viewing

    def all(self) -> Iterable[Viewing]:
        """Every one that may be used, or is."""
        return {*self._known.values(), *self._watched}

    def watch(self, viewing: Viewing) -> None:
        """Look at it until nothing goes on by it any more."""
        self._watched.add(viewing)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_INTERVAL_S, self._on_time)

    def look(self) -> None:
        """End what has expired and is in use."""
        now = self.now()
        for viewing in [*self._watched]:
            if not viewing.look(now):
                self._watched.discard(viewing)

    def forget_over(self) -> None:
        """Forget those that have expired; called now and then."""
        now = self.now()
        for key in [key for key, viewing in self._known.items() if viewing.expires_at <= now]:
            del self._known[key]

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        self._timer = None
        self.look()
        if self._watched:
            self._timer = asyncio.get_running_loop().call_later(LOOK_INTERVAL_S, self._on_time)
