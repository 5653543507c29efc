"""Who holds how much of the process' memory, and who goes when it is short.

Each connection and each stream says what it makes us hold; nothing is told at each change. Past the ceiling the process
lets go of who matters least, the heaviest and newest first.
"""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

# We look once a second, and closing a connection takes some 50 us: this many take a hundredth of the loop's time.
SHED_AT_ONCE_MAX = 256


class Standing(enum.IntEnum):
    """In which order holders go when memory is short."""

    STRANGER = 0
    """A connection that has shown no good key and asked for no media."""
    VIEWER = 1
    PUBLISHER = 2


class Holder(Protocol):
    """A connection that makes us hold memory."""

    @property
    def standing(self) -> Standing:
        """What the connection is now."""

    @property
    def opened_at(self) -> float:
        """Loop time at which it came, seconds."""

    @property
    def held_bytes(self) -> int:
        """What waits for it or because of it, and is freed when it goes, bytes."""

    def shed(self) -> None:
        """Close at once: memory is short."""


class HolderSource(Protocol):
    """A door, which knows its connections."""

    def holders(self) -> Iterable[Holder]:
        """All that are open."""


class MemoryAccounts:
    """The account of the process: the sum of its connections' accounts."""

    def __init__(self) -> None:
        self._sources: list[HolderSource] = []

    def add(self, source: HolderSource) -> None:
        """Ask one door more."""
        self._sources.append(source)

    def held_bytes(self) -> dict[Standing, int]:
        """What each standing holds, bytes."""
        held = dict.fromkeys(Standing, 0)
        for holder in self._holders():
            held[holder.standing] += holder.held_bytes
        return held

    def shed(self, excess_bytes: int) -> int:
        """Let go of connections until enough is free: strangers, then viewers, then publishers.

        Of each standing the heaviest goes first, and of equals the newest.

        Args:
            excess_bytes: What is wanted back.

        Returns:
            How many connections went.
        """
        order = sorted(
            (holder for holder in self._holders() if holder.held_bytes > 0),
            key=lambda holder: (holder.standing, -holder.held_bytes, -holder.opened_at),
        )
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
