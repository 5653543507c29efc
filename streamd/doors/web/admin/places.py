"""The connections of the admin port: a few places, and the order in which they are given up.

Every peer that reaches the port can open connections, and shows the token only later, if ever. So the places are few, a
stranger keeps one for moments, and when all are taken the oldest stranger goes for the newest: an operator shows the
token at once, and always gets in.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from streamd.doors.web.protocol import WebProtocol
from streamd.doors.web.refusals import Refusal
from streamd.formats.address import source_of

if TYPE_CHECKING:
    from aiohttp import web

    from streamd.clock import Clock
    from streamd.doors.web.port import Port

# Consoles of a team (32 follow events, and ask over a few more connections), scrapes and scripts. So many file
# descriptors are kept for them (``resources.DESCRIPTORS_RESERVED``).
CONNECTIONS_MAX = 64
# Three quarters: behind a tunnel or a proxy all operators have one address.
CONNECTIONS_PER_ADDRESS_MAX = 48
# Seconds for a silent peer without the token. A browser that got the page goes on within a second or comes back.
STRANGER_IDLE_S = 5.0
# Seconds for a peer that has shown it: as for viewers, and longer than a scrape's interval.
IDLE_S = 75.0


class AdminConnection(WebProtocol):
    """One connection to the admin port.

    Args:
        places: The places of its port.
        server: aiohttp's, which has the application.
        port: The bounds of its peers.
    """

    __slots__ = ("_places", "has_shown_token", "source", "used_at")

    def __init__(self, places: AdminPlaces, server: web.Server, port: Port) -> None:
        super().__init__(server, port.refusals, None, IDLE_S, port.turns)
        self._places = places
        self.source = ""
        self.used_at = 0.0
        self.has_shown_token = False

    @property
    def is_busy(self) -> bool:
        """It is being answered."""
        return self._current_request is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, or go."""
        peername = transport.get_extra_info("peername")
        self.source = source_of(str(peername[0])) if peername else ""
        super().connection_made(transport)
        if not self._places.enter(self):
            self.give_up()

    def data_received(self, data: bytes) -> None:
        """Take the peer's bytes."""
        self.used_at = self._places.now()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give the place back."""
        self._places.leave(self)
        super().connection_lost(exc)

    def note_token(self) -> None:
        """Every remaining peer has shown the token."""
        self.has_shown_token = True

    def give_up(self) -> None:
        """Close at once."""
        transport = self.transport
        self.force_close()
        if transport is not None:
            transport.abort()


class AdminPlaces:
    """The open connections of the admin port.

    Args:
        port: Its refusals count the peers without a place.
        clock: For the time of last use.
    """

    def __init__(self, port: Port, clock: Clock) -> None:
        self._port = port
        self.now = clock.monotonic
        self._open: dict[AdminConnection, None] = {}
        self._by_source: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, connection: AdminConnection) -> bool:
        """Give a new connection a place, if need be another's.

        Returns:
            Whether it got one; it gets none while all others have shown the token and are being answered.
        """
        connection.used_at = self.now()
        if self._by_source[connection.source] >= CONNECTIONS_PER_ADDRESS_MAX:
            others = [each for each in self._open if each.source == connection.source]
        elif len(self._open) >= CONNECTIONS_MAX:
            others = [*self._open]
        else:
            others = []
        if others:
            self._port.refusals.note(Refusal.PLACES, connection.source)
            # Strangers first, the oldest first; then the others, except those that are being answered.
            victim = min(
                others, key=lambda each: (each.has_shown_token, each.has_shown_token and each.is_busy, each.used_at)
            )
            if victim.has_shown_token and victim.is_busy:
                return False
            self.leave(victim)
            victim.give_up()
        self._open[connection] = None
        self._by_source[connection.source] += 1
        return True

    def check_deadlines(self) -> None:
        """Close silent strangers; called about once a second."""
        idle_since = self.now() - STRANGER_IDLE_S
        for each in [*self._open]:
            if each.used_at <= idle_since and not each.has_shown_token and not each.is_busy:
                self.leave(each)
                each.give_up()

    def leave(self, connection: AdminConnection) -> None:
        """Take a place back, if the connection has one."""
        if connection not in self._open:
            return
        del self._open[connection]
        self._by_source[connection.source] -= 1
        if not self._by_source[connection.source]:
            del self._by_source[connection.source]


def note_token(request: web.Request) -> None:
    """Note that a request has shown the token: its connection may stay."""
    if isinstance(request.protocol, AdminConnection):
        request.protocol.note_token()
