"""Synthetic chunks for a rendition: parts and segments cut as the segmenter cuts them, with bytes that tell which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from streamd.media.packager.cmaf_chunk import ChunkBytes, CmafChunk
from streamd.media.packager.numbering import Numbering
from streamd.media.packager.rendition import Rendition, RenditionOptions
from streamd.media.packager.timing import PlaylistTiming
from streamd.media.packet import VIDEO_TIMESCALE, Track, TrackKind

EPOCH = datetime(2026, 1, 1, 12, tzinfo=UTC)
VIDEO = Track(1, TrackKind.VIDEO, "avc1.640028", VIDEO_TIMESCALE, width=1280, height=720, frame_rate_hint=29.97)
AUDIO = Track(2, TrackKind.AUDIO, "mp4a.40.2", 48_000, channels=2, frame_ticks=1024)
HEADER = b"ftyp+moov"


@dataclass
class ChunkFeeder:
    """Makes the chunks of segments of given lengths.

    Args:
        part_ticks: Duration of a part, at most PART-TARGET.
        timescale: Of the lead track.
        payload_bytes: Size of a part.
    """

    part_ticks: int = VIDEO_TIMESCALE // 2
    timescale: int = VIDEO_TIMESCALE
    payload_bytes: int = 100
    position: int = 0
    count: int = 0
    chunks: list[CmafChunk] = field(default_factory=list)

    def segment(
        self, duration_ticks: int, *, is_discontinuous: bool = False, starts_with_keyframe: bool = True
    ) -> Iterator[CmafChunk]:
        """Make the parts of one segment; the last has what remains."""
        done = 0
        while done < duration_ticks:
            duration = min(self.part_ticks, duration_ticks - done)
            chunk = CmafChunk(
                content=ChunkBytes(f"{self.count:09d}".encode().ljust(self.payload_bytes, b".")),
                start_ticks=self.position,
                duration_ticks=duration,
                timescale=self.timescale,
                is_independent=done == 0 and starts_with_keyframe,
                starts_segment=done == 0,
                is_discontinuous=is_discontinuous and done == 0,
            )
            self.position += duration
            self.count += 1
            done += duration
            self.chunks.append(chunk)
            yield chunk


def start_rendition(
    *,
    target_duration_s: int = 2,
    part_target_ms: int = 500,
    options: RenditionOptions | None = None,
    numbering: Numbering | None = None,
    tracks: Sequence[Track] = (VIDEO, AUDIO),
    name: str = "main",
) -> Rendition:
    """A rendition with its first header, and nothing in it yet."""
    rendition = Rendition(
        name,
        PlaylistTiming(target_duration_s, part_target_ms),
        options or RenditionOptions(),
        numbering or Numbering(msn=1000, part_number=10_000, discontinuity_sequence=7),
        EPOCH,
    )
    rendition.set_header(HEADER, tracks)
    return rendition


def feed(rendition: Rendition, feeder: ChunkFeeder, seconds: Sequence[float]) -> None:
    """Add whole segments of these lengths."""
    for length in seconds:
        for chunk in feeder.segment(round(length * feeder.timescale)):
            rendition.add(chunk)
