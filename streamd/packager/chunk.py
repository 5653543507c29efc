"""What the segmenter hands to the rendition: CMAF chunks, each of which becomes one HLS part."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlaylistTiming:
    """The numbers of a media playlist that never change in its life.

    Spec: rfc8216bis 4.4.3.1 (TARGETDURATION), 4.4.3.7 (PART-INF), 6.2.1.
    """

    target_duration_s: int
    """EXT-X-TARGETDURATION, whole seconds: no segment's rounded duration passes it."""
    part_target_ms: int
    """PART-TARGET, milliseconds: no part is longer, and but for the exceptions none is under 85 % of it."""


@dataclass(frozen=True, slots=True)
class CmafChunk:
    """One ``moof`` + ``mdat``: the bytes of one part, and what the playlist says of it.

    Positions are on the lead track's timeline (video where there is any), so that the durations of
    consecutive chunks add up without rounding.
    """

    payload: bytes
    """``moof`` + ``mdat``, complete; the same object is sent to every viewer."""
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
