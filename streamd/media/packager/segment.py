"""A segment with its media in memory, and the CMAF header that plays it."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.formats.hls import media_playlist as hls
from streamd.media.packager.cmaf_chunk import CmafChunk
from streamd.media.packager.named_bytes import NamedBytes
from streamd.media.packet import Track

_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Header:
    """A CMAF header under its number."""

    number: int
    tracks: tuple[Track, ...]
    """The tracks in it."""
    content: NamedBytes

    @property
    def held_bytes(self) -> int:
        """The header, and the codec configurations that stand in it too."""
        return self.content.size_bytes + sum(len(track.codec_config) for track in self.tracks)


class Segment:
    """A segment with its media, open or complete.

    Args:
        msn: Media Sequence Number.
        header: The CMAF header that plays it.
        first_part_number: Running count of its first part.
        timescale: Ticks a second of all its durations.
        program_date_time_ms: EXT-X-PROGRAM-DATE-TIME.
        is_discontinuous: EXT-X-DISCONTINUITY stands before it.

    Attributes:
        chunks: Its parts; the segment is the concatenation of their bytes.
        duration_ticks: Sum of their durations.
        size_bytes: Sum of their sizes.
        held_bytes: Their memory, bytes.
        expires_us: Media time after which it is forgotten, once it has left the playlist.
        listed_parts: Its first parts as a playlist lists them, as far as they were requested.
    """

    __slots__ = (
        "chunks",
        "duration_ticks",
        "expires_us",
        "first_part_number",
        "header",
        "held_bytes",
        "is_discontinuous",
        "listed_parts",
        "msn",
        "program_date_time_ms",
        "size_bytes",
        "timescale",
    )

    def __init__(
        self,
        msn: int,
        header: Header,
        first_part_number: int,
        timescale: int,
        program_date_time_ms: int,
        is_discontinuous: bool,
    ) -> None:
        self.msn = msn
        self.header = header
        self.first_part_number = first_part_number
        self.timescale = timescale
        self.program_date_time_ms = program_date_time_ms
        self.is_discontinuous = is_discontinuous
        self.duration_ticks = 0
        self.size_bytes = 0
        self.held_bytes = 0
        self.chunks: list[CmafChunk] = []
        self.listed_parts: list[hls.Part] = []
        self.expires_us = 0

    @property
    def duration_us(self) -> int:
        """Its duration, microseconds, rounded down."""
        return self.duration_ticks * _US // self.timescale

    @property
    def end_date_time_ms(self) -> int:
        """Wall time of its end, milliseconds since 1970, rounded down."""
        return self.program_date_time_ms + self.duration_ticks * 1000 // self.timescale

    def add(self, chunk: CmafChunk) -> int:
        """Append a part.

        Returns:
            What it takes in memory, bytes.
        """
        content = chunk.content
        held_bytes = content.held_bytes
        self.chunks.append(chunk)
        self.duration_ticks += chunk.duration_ticks
        self.size_bytes += len(content)
        self.held_bytes += held_bytes
        return held_bytes
