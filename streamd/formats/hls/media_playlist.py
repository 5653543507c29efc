"""The media playlist, as values and as text; full and as a delta update.

Spec: rfc8216bis-22 sections 4.4.1 to 4.4.5, 6.2.1, 6.2.2, 6.2.5.1 and appendix B.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.formats.hls.attribute_list import date_time_msec, decimal_seconds, quoted_string

# Section 8: EXT-X-MAP in a playlist of whole segments asks for 6, EXT-X-SKIP for 9. A full playlist holds no
# EXT-X-SKIP, so it asks for 6, as the examples of the specification do.
VERSION_FULL = 6
VERSION_DELTA = 9

# 4.4.3.8: HOLD-BACK "MUST be at least three times the Target Duration".
HOLD_BACK_TARGETS = 3
# 4.4.3.8 asks for two PART-TARGETs and recommends three; Apple's authoring specification (14.3) insists on three.
PART_HOLD_BACK_TARGETS = 3
# 4.4.3.8: "The Skip Boundary MUST be at least six times the Target Duration."
SKIP_BOUNDARY_TARGETS = 6

_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """EXT-X-PART (4.4.4.9)."""

    uri: str
    duration_ticks: int
    """In the timescale of its segment."""
    is_independent: bool
    """INDEPENDENT=YES: it contains a keyframe."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One media segment with the tags that apply to it (4.4.4)."""

    uri: str | None
    """``None`` while the segment is still open: only its parts are listed."""
    duration_ticks: int
    """EXTINF; of an open segment, the sum of its parts so far."""
    timescale: int
    """Ticks a second of every duration in this segment."""
    program_date_time_ms: int
    """EXT-X-PROGRAM-DATE-TIME of its first sample, milliseconds since 1970 in UTC."""
    map_uri: str
    """Its media initialization section: EXT-X-MAP is written where this differs from the segment before."""
    is_discontinuous: bool = False
    """EXT-X-DISCONTINUITY stands before it."""
    parts: tuple[Part, ...] = ()
    """Its parts that are listed; empty once they are too far from the end of the playlist."""

    @property
    def duration_us(self) -> int:
        """Duration in microseconds, rounded down."""
        return self.duration_ticks * _US // self.timescale


@dataclass(frozen=True, slots=True)
class RenditionReport:
    """EXT-X-RENDITION-REPORT (4.4.5.4): how far another playlist of the presentation has come."""

    uri: str
    last_msn: int
    last_part: int | None
    """Part Index of the last part listed; ``None`` where that playlist lists no parts."""


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """Everything that a media playlist says at one moment."""

    target_duration_s: int
    """EXT-X-TARGETDURATION, whole seconds."""
    part_target_ms: int | None
    """PART-TARGET, milliseconds; ``None`` in a playlist without low latency."""
    media_sequence: int
    """Media Sequence Number of the first segment."""
    discontinuity_sequence: int
    """Discontinuities that have left the playlist, plus where the count began."""
    segments: tuple[Segment, ...]
    """Complete segments, oldest first."""
    open_segment: Segment | None = None
    """The segment that is being written, once it has a part."""
    preload_part_uri: str | None = None
    """EXT-X-PRELOAD-HINT TYPE=PART: the part that comes next."""
    preload_map_uri: str | None = None
    """EXT-X-PRELOAD-HINT TYPE=MAP: the initialization section of the next segment, where it is a new one."""
    rendition_reports: tuple[RenditionReport, ...] = ()
    """One for every other playlist of the presentation."""
    is_ended: bool = False
    """EXT-X-ENDLIST: nothing will be added any more."""

    @property
    def duration_us(self) -> int:
        """Duration of all that is listed, microseconds."""
        total = sum(segment.duration_us for segment in self.segments)
        return total + (self.open_segment.duration_us if self.open_segment else 0)


def skippable_segments(playlist: MediaPlaylist) -> int:
    """Count the segments that a delta update may leave out.

    A segment is skippable when all of it lies further from the end of the playlist than the Skip
    Boundary; the last complete one always stays.

    Spec: rfc8216bis 6.2.5.1.
    """
    if playlist.part_target_ms is None:
        return 0
    boundary_us = SKIP_BOUNDARY_TARGETS * playlist.target_duration_s * _US
    distance_us = playlist.duration_us
    count = 0
    for segment in playlist.segments[:-1]:
        distance_us -= segment.duration_us
        if distance_us < boundary_us:
            break
        count += 1
    return count


def render(playlist: MediaPlaylist, skipped_segments: int = 0) -> bytes:
    """Write the playlist as UTF-8 text.

    Args:
        playlist: Its content.
        skipped_segments: How many of the oldest segments EXT-X-SKIP stands for (``skippable_segments``);
            0 writes the full playlist.

    Returns:
        The text, every line ended by a line feed.
    """
    target_s = playlist.target_duration_s
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{VERSION_DELTA if skipped_segments else VERSION_FULL}",
        f"#EXT-X-TARGETDURATION:{target_s}",
    ]
    if playlist.part_target_ms is not None:
        part_hold_back = decimal_seconds(PART_HOLD_BACK_TARGETS * playlist.part_target_ms, 1000)
        lines.append(
            f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={part_hold_back}"
            f",HOLD-BACK={decimal_seconds(HOLD_BACK_TARGETS * target_s, 1)}"
            f",CAN-SKIP-UNTIL={decimal_seconds(SKIP_BOUNDARY_TARGETS * target_s, 1)}"
        )
        lines.append(f"#EXT-X-PART-INF:PART-TARGET={decimal_seconds(playlist.part_target_ms, 1000)}")
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{playlist.media_sequence}")
    lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{playlist.discontinuity_sequence}")
    map_uri = ""
    if skipped_segments:
        lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped_segments}")
        # The reader keeps the EXT-X-MAP of the segments that it skips; only a later change is written.
        map_uri = playlist.segments[skipped_segments - 1].map_uri
    for segment in playlist.segments[skipped_segments:]:
        _render_segment(lines, segment, map_uri)
        map_uri = segment.map_uri
    if playlist.open_segment is not None:
        _render_segment(lines, playlist.open_segment, map_uri)
    if playlist.is_ended:
        lines.append("#EXT-X-ENDLIST")
    if playlist.preload_map_uri is not None:
        lines.append(f"#EXT-X-PRELOAD-HINT:TYPE=MAP,URI={quoted_string(playlist.preload_map_uri)}")
    if playlist.preload_part_uri is not None:
        lines.append(f"#EXT-X-PRELOAD-HINT:TYPE=PART,URI={quoted_string(playlist.preload_part_uri)}")
    for report in playlist.rendition_reports:
        last_part = "" if report.last_part is None else f",LAST-PART={report.last_part}"
        lines.append(f"#EXT-X-RENDITION-REPORT:URI={quoted_string(report.uri)},LAST-MSN={report.last_msn}{last_part}")
    lines.append("")
    return "\n".join(lines).encode()


def _render_segment(lines: list[str], segment: Segment, previous_map_uri: str) -> None:
    """Append the lines of one segment, which follows a segment under ``previous_map_uri``."""
    timescale = segment.timescale
    if segment.is_discontinuous:
        lines.append("#EXT-X-DISCONTINUITY")
    if segment.map_uri != previous_map_uri:
        lines.append(f"#EXT-X-MAP:URI={quoted_string(segment.map_uri)}")
    lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{date_time_msec(segment.program_date_time_ms)}")
    lines.extend(
        f"#EXT-X-PART:DURATION={decimal_seconds(part.duration_ticks, timescale)}"
        f",URI={quoted_string(part.uri)}{',INDEPENDENT=YES' if part.is_independent else ''}"
        for part in segment.parts
    )
    if segment.uri is not None:
        lines.append(f"#EXTINF:{decimal_seconds(segment.duration_ticks, timescale)},")
        lines.append(segment.uri)
