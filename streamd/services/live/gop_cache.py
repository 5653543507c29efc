"""What a viewer who joins is sent first: everything since the last keyframe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamd.limits import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Sequence


# A unit that is kept longer than the packager needs it: a slotted object with a view, measured.
UNIT_BYTES = 160


@dataclass(frozen=True, slots=True)
class GopLimits:
    """What the cache may hold. A GOP beyond them is not kept: who joins in it starts with the next keyframe."""

    gop_bytes_max: int = DEFAULT.gop_bytes_max
    """10 s, the longest keyframe interval that a playlist of ours has room for, at 13 Mb/s; 2 s at 67 Mb/s."""
    units_max: int = 4_096
    """10 s at 120 frames a second, with audio, and as much again."""


class GopCache:
    """The current GOP, first as the units that came, and as bytes once somebody needed them.

    A unit, an FLV tag or a sample, costs a reference while it waits. Nothing is written for a stream that nobody
    watches.

    Args:
        limits: Bounds.

    Attributes:
        is_whole: It begins with a keyframe and lacks nothing since.
        is_full: A limit is reached, and the GOP must be forgotten.
        buffers: What is written of it, in order; the same objects are sent to every viewer.
        payload_bytes: Size of all of it, without what the format adds.
        written_bytes: Size of what is written of it, with what the format adds.
    """

    def __init__(self, limits: GopLimits) -> None:
        self._payload_bytes_max = limits.gop_bytes_max
        self._units_max = limits.units_max
        self.forget()

    @property
    def held_bytes(self) -> int:
        """What it takes in memory, bytes. Payloads that are pending lie where they came, and are counted there."""
        return self.written_bytes + self._pending_units * UNIT_BYTES

    @property
    def has_pending(self) -> bool:
        """Whether something is not written yet."""
        return bool(self._batches)

    @property
    def pending(self) -> list[Any]:
        """What is not written yet, in order."""
        return [unit for batch in self._batches for unit in batch]

    def restart(self) -> None:
        """Begin anew: a keyframe follows."""
        self.forget()
        self.is_whole = True

    def forget(self) -> None:
        """Keep nothing until the next keyframe."""
        self.is_whole = self.is_full = False
        self.buffers: list[bytes] = []
        # What is pending, as it came: of a stream that nobody watches it is never looked into.
        self._batches: list[Sequence[Any]] = []
        self.payload_bytes = self.written_bytes = 0
        self._units = self._pending_units = 0

    def extend(self, units: Sequence[Any], payload_bytes: int) -> None:
        """Take the next units.

        Args:
            units: In order; kept as they are, and not to be changed.
            payload_bytes: Size of their payloads together.
        """
        self._batches.append(units)
        self.payload_bytes += payload_bytes
        count = len(units)
        self._units += count
        self._pending_units += count
        self.is_full = self.payload_bytes > self._payload_bytes_max or self._units >= self._units_max

    def settle(self, written: bytes) -> None:
        """Put bytes in the place of the units that were pending; without their keyframe, nobody can start with them."""
        if self.is_whole:
            self.buffers.append(written)
            self.written_bytes += len(written)
        self._batches = []
        self._pending_units = 0
