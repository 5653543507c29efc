"""The open RTMP connections, how many there may be, and which one goes for one more.

Holding a place does not keep it: where all are taken, one goes that has not spoken, or has got least far.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamd.formats.address import source_of
from streamd.limits import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamd.doors.ingest.protocol import RtmpProtocol

# A peer that has sent nothing for so long is not about to: its first packet follows the connection at once, a
# round trip later at the most.
SILENT_S = 1.0


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """How many connections there may be at once. The reasons stand in ``[limits]``."""

    connections_max: int = DEFAULT.connections_max
    """One more is closed at once where all are publishers; else the stranger that has got least far goes for it."""
    connections_per_address_max: int = DEFAULT.connections_per_address_max
    """From one IPv4 address, or from one /64 of IPv6; one more is closed at once."""
    handshakes_max: int = DEFAULT.handshakes_max
    """Of those that have not said ``connect`` yet; one of them goes for one more."""


class OpenConnections:
    """The connections of a listener.

    Args:
        limits: How many there may be.

    Attributes:
        limits: May be changed; what is open stays.
    """

    def __init__(self, limits: ListenerLimits) -> None:
        self.limits = limits
        # Each in the order in which they came: dictionaries without values. A connection in one is in all before it.
        self._open: dict[RtmpProtocol, None] = {}
        self._strangers: dict[RtmpProtocol, None] = {}
        self._in_handshake: dict[RtmpProtocol, None] = {}
        self._silent: dict[RtmpProtocol, None] = {}
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def __contains__(self, protocol: object) -> bool:
        """Whether one is open."""
        return protocol in self._open

    def __iter__(self) -> Iterator[RtmpProtocol]:
        """In the order in which they came."""
        return iter(self._open)

    @property
    def is_full_of_publishers(self) -> bool:
        """Whether one more would be closed, whatever address it comes from."""
        return len(self._open) >= self.limits.connections_max and not self._strangers

    def passed_limit(self, address: str) -> str | None:
        """The limit that one more connection from an address would pass; None where there is a place for it."""
        limits = self.limits
        if self._by_address[source_of(address)] >= limits.connections_per_address_max:
            return "connections_per_address_max"
        if len(self._open) >= limits.connections_max:
            return "connections_max"
        if len(self._in_handshake) >= limits.handshakes_max:
            return "handshakes_max"
        return None

    def dispensable(self, limit: str, now: float) -> RtmpProtocol | None:
        """The connection whose place one more may have.

        It is the one that has not spoken, and could have; else the first that came of those that have not said
        ``connect``; else of those that have not published.

        Args:
            limit: The one that another connection would pass.
            now: Loop time, seconds.

        Returns:
            None where none has to go for it.
        """
        if limit == "connections_per_address_max":
            return None
        silent = next(iter(self._silent), None)
        if silent is not None and now - silent.opened_at >= SILENT_S:
            return silent
        first = next(iter(self._in_handshake), None)
        if first is None and limit == "connections_max":
            first = next(iter(self._strangers), None)
        return first

    def add(self, protocol: RtmpProtocol) -> None:
        """Count one in."""
        for group in (self._open, self._strangers, self._in_handshake, self._silent):
            group[protocol] = None
        self._by_address[source_of(protocol.address)] += 1

    def note_spoken(self, protocol: RtmpProtocol) -> None:
        """Note that one has sent its first bytes."""
        self._silent.pop(protocol, None)

    def note_connected(self, protocol: RtmpProtocol) -> None:
        """Note that one has said ``connect``."""
        self._in_handshake.pop(protocol, None)

    def note_publishing(self, protocol: RtmpProtocol) -> None:
        """Note that one's publish was accepted: no stranger takes its place."""
        self._strangers.pop(protocol, None)

    def note_unpublished(self, protocol: RtmpProtocol) -> None:
        """Note that one publishes no more: its place is one of those that can be taken."""
        if protocol in self._open:
            self._strangers[protocol] = None

    def remove(self, protocol: RtmpProtocol) -> bool:
        """Count one out; says whether it was in."""
        if protocol not in self._open:
            return False
        for group in (self._open, self._strangers, self._in_handshake, self._silent):
            group.pop(protocol, None)
        source = source_of(protocol.address)
        self._by_address[source] -= 1
        if not self._by_address[source]:
            del self._by_address[source]
        return True
