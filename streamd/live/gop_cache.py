"""What a viewer who joins is sent first: everything since the last keyframe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence, Sized


class MediaUnit(Protocol):
    """What a push format is made of: an FLV tag, a sample."""

    @property
    def payload(self) -> Sized:
        """What of it takes memory."""


UnitT = TypeVar("UnitT", bound=MediaUnit)


@dataclass(frozen=True, slots=True)
class GopLimits:
    """What the cache may hold. A GOP beyond them is not kept: who joins in it starts with the next keyframe."""

    payload_bytes_max: int = 16 * 1024 * 1024
    """10 s, the longest keyframe interval that a playlist of ours has room for, at 13 Mb/s; 2 s at 67 Mb/s."""
    units_max: int = 4_096
    """10 s at 120 frames a second, with audio, and as much again."""


class GopCache(Generic[UnitT]):
    """The current GOP, first as the units that came, and as bytes once somebody needed them.

    A unit that waits costs a reference. Nothing is written for a stream that nobody watches.

    Args:
        limits: Bounds.

    Attributes:
        is_whole: It begins with a keyframe and lacks nothing since.
        buffers: What is written of it, in order; the same objects are sent to every viewer.
        pending: What is not written yet, in order.
        payload_bytes: Size of all of it, without what the format adds.
    """

    def __init__(self, limits: GopLimits) -> None:
        self._limits = limits
        self._units = 0
        self.is_whole = False
        self.buffers: list[bytes] = []
        self.pending: list[UnitT] = []
        self.payload_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether a limit is reached, and the GOP must be forgotten."""
        return self.payload_bytes > self._limits.payload_bytes_max or self._units >= self._limits.units_max

    def restart(self) -> None:
        """Begin anew: a keyframe follows."""
        self.forget()
        self.is_whole = True

    def forget(self) -> None:
        """Keep nothing until the next keyframe."""
        self.is_whole = False
        self.buffers = []
        self.pending = []
        self.payload_bytes = self._units = 0

    def add(self, unit: UnitT) -> None:
        """Take the next unit."""
        self.pending.append(unit)
        self.payload_bytes += len(unit.payload)
        self._units += 1

    def extend(self, units: Sequence[UnitT]) -> None:
        """Take the next units."""
        self.pending.extend(units)
        self.payload_bytes += sum([len(unit.payload) for unit in units])
        self._units += len(units)

    def settle(self, written: bytes) -> None:
        """Put bytes in the place of the units that were pending; without their keyframe, nobody can start with them."""
        if self.is_whole:
            self.buffers.append(written)
        self.pending = []
