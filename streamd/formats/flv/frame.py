"""The head of a frame's tag, in the one form that the gate lets through.

All tags of a track have the same bytes before the frame, but for the frame type and the composition time. So a look at
the first bytes tells the track and the frame's offset; ``video.frame_heads`` and ``audio.frame_heads`` list the
possible heads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

COMPOSITION_TIME_BYTES = 3


@dataclass
class FrameHead:
    """The facts in the first bytes of a frame's tag."""

    __slots__ = ("body_at", "composition_time_at", "is_keyframe", "track_id", "track_number")

    body_at: int
    """Offset of the frame in the tag's body."""
    composition_time_at: int
    """Offset of its composition time; 0 where it has none."""
    is_keyframe: bool
    """A decoder can start with it."""
    track_id: int
    """Multitrack id."""
    track_number: int
    """Of its track among those that a demuxer is open for, from 1; 0 while none is."""


def read_composition_time(payload: bytes, offset: int) -> int:
    """Read a SI24: presentation time minus decode time, milliseconds."""
    return composition_time(payload[offset] << 16 | payload[offset + 1] << 8 | payload[offset + 2])


def composition_time(value: int) -> int:
    """The number with a sign that three bytes mean, whose number without is ``value``."""
    return value - 0x100_0000 if value & 0x80_0000 else value


def head_sizes(heads: Iterable[bytes]) -> tuple[int, ...]:
    """Return the lengths that heads have, the shortest first: those of the older headers."""
    return tuple(sorted({len(first) for first in heads}))
