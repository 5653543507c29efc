"""The accounts of the process' memory: the holders, and the connections that close when memory is short.

Each connection and each stream names the bytes that it makes us hold when it is asked, and not at each change. Past the
ceiling the process closes the connections that matter least, the heaviest and newest first.
"""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

log = logging.getLogger(__name__)

# We look once a second, and closing a connection takes some 50 us: this many take a hundredth of the loop's time.
SHED_AT_ONCE_MAX = 256
# If all connections that could go hold less than this share of the excess, the shortage comes from elsewhere, and none
# is closed in vain: a ceiling may be lower than the memory of the process without them.
WORTH_SHARE = 0.1
# Connections asked at one look, at about 1 us each: a door full of viewers is asked in ten seconds, in steps of the
# loop no longer than a frame's.
ASKED_AT_ONCE = 2000
# A round takes so many looks where there are more connections than a few. Its sums are told, and decide nothing: to
# find out who has to go, all are asked anew. A publisher's answer takes 15 us where its objects have left the caches,
# and with each look that was more than a hundredth of all that its media costs.
LOOKS_PER_ROUND = 4
ASKED_AT_LEAST = 32


class Standing(enum.IntEnum):
    """The order in which connections close when memory is short."""

    STRANGER = 0
    """A connection that has shown no good key and asked for no media."""
    VIEWER = 1
    PUBLISHER = 2


class Holder(Protocol):
    """A connection that makes us hold memory."""

    @property
    def standing(self) -> Standing:
        """Its standing now."""

    @property
    def opened_at(self) -> float:
        """Loop time at which it came, seconds."""

    @property
    def held_bytes(self) -> int:
        """Bytes that wait for it or because of it, and that its end frees."""

    def shed(self) -> None:
        """Close at once: memory is short."""


@runtime_checkable
class HolderSource(Protocol):
    """A door, which knows its connections."""

    def holders(self) -> Iterable[Holder]:
        """All that are open."""


class MemoryAccounts:
    """The account of the process: the sum of its connections' accounts, and what services keep for all of them."""

    def __init__(self) -> None:
        self._sources: list[HolderSource] = []
        self._stores: list[Callable[[], int]] = []
        # The sums of the last round of looks, and the round that is under way.
        self._held = dict.fromkeys(Standing, 0)
        self._sum = dict.fromkeys(Standing, 0)
        self._to_ask: list[Holder] = []
        self._asked_at_once = 0

    def add(self, source: HolderSource) -> None:
        """Ask one door more."""
        self._sources.append(source)

    def add_store(self, held_bytes: Callable[[], int]) -> None:
        """Count in what a service keeps: with no connection it goes, and its own bounds hold it.

        Args:
            held_bytes: Tells how many bytes these are now.
        """
        self._stores.append(held_bytes)

    @property
    def stored_bytes(self) -> int:
        """Bytes that services keep, now."""
        return sum(held_bytes() for held_bytes in self._stores)

    def look(self) -> None:
        """Ask the next connections for their bytes; called about once a second."""
        if not self._to_ask:
            self._to_ask = list(self._holders())
            share = -(-len(self._to_ask) // LOOKS_PER_ROUND)
            self._asked_at_once = min(max(share, ASKED_AT_LEAST), ASKED_AT_ONCE)
        for holder in self._to_ask[-self._asked_at_once :]:
            self._sum[holder.standing] += holder.held_bytes
        del self._to_ask[-self._asked_at_once :]
        if not self._to_ask:
            self._held, self._sum = self._sum, dict.fromkeys(Standing, 0)

    def held_bytes(self, standing: Standing) -> int:
        """Bytes that the connections of one standing hold, as of the last complete round."""
        return self._held[standing]

    def shed(self, excess_bytes: int, up_to: Standing = Standing.PUBLISHER) -> int:
        """Close connections until enough is free: strangers, then viewers, then publishers.

        Of each standing the heaviest goes first, and of equals the newest. Publishers go only if that frees enough: no
        broadcast ends for memory that would still be missing.

        Args:
            excess_bytes: Bytes to free.
            up_to: Connections of this standing and of those before it may be closed.

        Returns:
            Number of connections closed.
        """
        order = sorted(
            (holder for holder in self._holders() if holder.standing <= up_to and holder.held_bytes > 0),
            key=lambda holder: (holder.standing, -holder.held_bytes, -holder.opened_at),
        )
        if up_to is Standing.PUBLISHER and sum(holder.held_bytes for holder in order) < excess_bytes:
            order = [holder for holder in order if holder.standing < Standing.PUBLISHER]
        if sum(holder.held_bytes for holder in order) < excess_bytes * WORTH_SHARE:
            return 0
        freed_bytes = count = 0
        for holder in order[:SHED_AT_ONCE_MAX]:
            if freed_bytes >= excess_bytes:
                break
            freed_bytes += holder.held_bytes
            count += 1
            holder.shed()
        if count:
            log.warning("memory.shed", extra={"connections": count, "freed_bytes": freed_bytes})
        return count

    def _holders(self) -> Iterable[Holder]:
        for source in self._sources:
            yield from source.holders()
