"""The state of a presentation as values, without its media; with both, another node shows the same playlists.

What the playlists of a stream say follows from this and from the bytes of its parts: numbers, dates, discontinuities
and bit rates are told, and not counted anew.

Spec: rfc8216bis-22 sections 6.2.1, 6.2.2 and 6.2.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.media.packager.timing import PlaylistTiming
from streamd.media.packet import Track


@dataclass(frozen=True, slots=True)
class PartState:
    """A part, without its bytes."""

    start_ticks: int
    duration_ticks: int
    is_independent: bool
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SegmentState:
    """A segment that is listed, or open."""

    msn: int
    header: int
    """Number of its CMAF header."""
    first_part_number: int
    timescale: int
    program_date_time_ms: int
    is_discontinuous: bool
    parts: tuple[PartState, ...]


@dataclass(frozen=True, slots=True)
class HeaderState:
    """A CMAF header."""

    number: int
    tracks: tuple[Track, ...]
    cmaf_header: bytes
    """``ftyp`` and ``moov``."""


@dataclass(frozen=True, slots=True)
class WindowState:
    """The window of a rendition: what is listed, and the counts."""

    headers: tuple[HeaderState, ...]
    """Those of the segments, and the newest; the last is the newest."""
    listed: tuple[SegmentState, ...]
    """Complete segments in the playlist, oldest first."""
    open: SegmentState | None
    next_msn: int
    """Of the open segment, or of the next one."""
    next_part_number: int
    discontinuity_sequence: int
    epoch_ms: int
    """Wall time of tick 0 of the timeline, milliseconds since 1970."""
    is_continuing: bool
    """A first segment would be discontinuous."""
    longest_us: int
    """Duration of the longest playlist so far, microseconds."""


@dataclass(frozen=True, slots=True)
class BitRateState:
    """What is counted of all segments so far."""

    total_bits: int
    total_us: int
    peak: int
    """Bits a second."""


@dataclass(frozen=True, slots=True)
class RenditionState:
    """One rendition."""

    name: str
    first_msn: int
    is_ended: bool
    window: WindowState
    bit_rate: BitRateState


@dataclass(frozen=True, slots=True)
class PresentationState:
    """The renditions of a stream, and the role of each."""

    timing: PlaylistTiming
    window_segments: int
    low_latency: bool
    renditions: tuple[RenditionState, ...]
    """Variants, audio renditions, and those that rest, in this order."""
    variants: int
    """How many of them are variants."""
    audio: int
    """How many of them, behind those, are audio renditions."""
    captions: tuple[str, ...] = ()
    """INSTREAM-ID of each channel of captions."""
