"""What the segmenter hands to the rendition: CMAF chunks, each of which becomes one HLS part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamd.media.packet import Payload


@dataclass(frozen=True, slots=True)
class PlaylistTiming:
    """The numbers of a media playlist that never change in its life.

    Spec: rfc8216bis 4.4.3.1 (TARGETDURATION), 4.4.3.7 (PART-INF), 6.2.1.
    """

    target_duration_s: int
    """EXT-X-TARGETDURATION, whole seconds: no segment's rounded duration passes it."""
    part_target_ms: int
    """PART-TARGET, milliseconds: no part is longer, and but for the exceptions none is under 85 % of it."""


class ChunkBytes:
    """The bytes of a chunk, which are put together when somebody wants them.

    Until then its frames are the publisher's messages, which the viewers of pushed streams share.

    Args:
        pieces: The bytes, in as many pieces as they are in; none of them changes.
    """

    __slots__ = ("_pieces", "_size_bytes")

    def __init__(self, pieces: Sequence[Payload]) -> None:
        self._pieces = pieces
        self._size_bytes = sum(map(len, pieces))

    def __len__(self) -> int:
        return self._size_bytes

    def join(self) -> bytes:
        """Put them together, once; from then on it is the same object."""
        joined = self._pieces[0]
        if len(self._pieces) > 1 or not isinstance(joined, bytes):
            joined = b"".join(self._pieces)
            self._pieces = (joined,)
        return joined


@dataclass(frozen=True, slots=True)
class CmafChunk:
    """One ``moof`` + ``mdat``: the bytes of one part, and what the playlist says of it.

    Positions are on the lead track's timeline (video where there is any), so that the durations of
    consecutive chunks add up without rounding.
    """

    content: ChunkBytes
    """``moof`` + ``mdat``, complete; once they are put together, the same object is sent to every viewer."""
    start_ticks: int
    """Where the part starts on the lead track's timeline."""
    duration_ticks: int
    """How long it lasts: the next chunk starts at its end, unless that one is discontinuous."""
    timescale: int
    """Ticks a second of ``start_ticks`` and ``duration_ticks``."""
    is_independent: bool
    """It contains a keyframe (INDEPENDENT=YES); audio alone is always independent."""
    starts_segment: bool
    """It is the first chunk of a new segment."""
    is_discontinuous: bool = False
    """EXT-X-DISCONTINUITY stands before its segment (only where ``starts_segment``)."""
