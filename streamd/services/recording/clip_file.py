"""A clip as files: a CMAF header and the ranges of media files behind it, a file for each run under one header.

Nothing is copied: the pieces of such a file lie in the recording. For a player that reads it as one MP4, the times in
it begin at 0: the places of the numbers that say otherwise are found when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from streamd.formats.cmaf.decode_times import decode_times, timescales
from streamd.formats.hls.attribute_list import date_time_msec, decimal_seconds, quoted_string
from streamd.formats.hls.multivariant_playlist import VariantStream
from streamd.media.packager.multivariant import ListedAudio, render_presentation
from streamd.media.packager.segment_bit_rate import SegmentBitRate
from streamd.media.packager.window import LISTED_SEGMENTS_MAX
from streamd.services.recording.folder import init_name, media_name
from streamd.services.recording.playlist_file import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from streamd.services.recording.clip_records import ClipMedia, ClipRendition
    from streamd.services.recording.playlist_file import RecordedSegment

_US = 1_000_000
_HEAD_BYTES = 8
# The description of a part's samples: one of ours is some kilobytes. A longer one is not read.
MOOF_BYTES_MAX = 1024 * 1024
# Boxes of one segment that are looked at: 200 parts of 10 s.
BOXES_MAX = 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a file of the recording."""

    name: str
    """Place in the folder of the rendition."""
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Run:
    """A file of a clip: a CMAF header, and the segments under it."""

    header_number: int
    header_bytes: int
    segments: tuple[RecordedSegment, ...]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces that the file is put together from, in order."""
        media = (Piece(media_name(each.file_number), each.offset, each.end) for each in self.segments)
        return (Piece(init_name(self.header_number), 0, self.header_bytes), *media)

    @property
    def size_bytes(self) -> int:
        """Size of the file, bytes."""
        return self.header_bytes + sum(segment.size_bytes for segment in self.segments)


def runs_of(rendition: ClipRendition) -> tuple[Run, ...]:
    """The files of a rendition."""
    runs: list[list[RecordedSegment]] = []
    for segment in rendition.segments:
        if not runs or runs[-1][-1].init_number != segment.init_number:
            runs.append([])
        runs[-1].append(segment)
    return tuple(Run(run[0].init_number, rendition.header_bytes.get(run[0].init_number, 0), tuple(run)) for run in runs)


def run_name(number: int) -> str:
    """The name of a run's file in the playlist, counted from 0."""
    return f"clip{number}.mp4"


def render_index(media: ClipMedia) -> bytes:
    """The multivariant playlist of a clip."""
    variants: list[VariantStream] = []
    audio: list[ListedAudio] = []
    for rendition in media.renditions:
        facts = rendition.facts
        rates = SegmentBitRate(rendition.target_duration_s, LISTED_SEGMENTS_MAX)
        for segment in rendition.segments:
            rates.add(segment.size_bytes, segment.duration_us)
        stream = VariantStream(
            uri=f"{facts.path}.m3u8",
            bandwidth=rates.peak,
            average_bandwidth=rates.average,
            codecs=facts.codecs,
            width=facts.resolution_width,
            height=facts.resolution_height,
            frame_rate_millihertz=facts.frame_rate_millihertz,
        )
        if facts.is_alternative:
            audio.append(ListedAudio(len(audio) + 1, stream, facts.channels))
        else:
            variants.append(stream)
    return render_presentation(variants, audio)


def render_media_playlist(rendition: ClipRendition) -> str:
    """The media playlist of a rendition.

    Spec: rfc8216bis-22 sections 4.4.4.2 (BYTERANGE) and 4.4.4.5 (MAP).
    """
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{VERSION}",
        f"#EXT-X-TARGETDURATION:{rendition.target_duration_s}",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-MEDIA-SEQUENCE:0",
    ]
    for number, run in enumerate(runs_of(rendition)):
        name = f"{rendition.facts.path}/{run_name(number)}"
        at = run.header_bytes
        for place, segment in enumerate(run.segments):
            if (number or place) and (segment.is_discontinuous or not place):
                lines.append("#EXT-X-DISCONTINUITY")
            if not place:
                lines.append(f'#EXT-X-MAP:URI={quoted_string(name)},BYTERANGE="{run.header_bytes}@0"')
            lines += (
                f"#EXT-X-PROGRAM-DATE-TIME:{date_time_msec(segment.program_date_time_ms)}",
                f"#EXTINF:{decimal_seconds(segment.duration_us, _US)},",
                f"#EXT-X-BYTERANGE:{segment.size_bytes}@{at}",
                name,
            )
            at += segment.size_bytes
    lines += ("#EXT-X-ENDLIST", "")
    return "\n".join(lines)


def times_from_zero(run: Run, folder: Path) -> list[tuple[int, bytes]]:
    """The bytes of a run's file that have to be others for its times to begin at 0, by their places in it.

    Args:
        run: The run.
        folder: The rendition's folder.

    Raises:
        OSError: It cannot be read.
    """
    with (folder / init_name(run.header_number)).open("rb") as file:
        scales = timescales(file.read(run.header_bytes))
    changes: list[tuple[int, bytes]] = []
    began: Fraction | None = None
    at = run.header_bytes
    for segment in run.segments:
        with (folder / media_name(segment.file_number)).open("rb") as file:
            for place, moof in _moofs(file, segment):
                times = decode_times(moof)
                if began is None:
                    began = min(
                        (Fraction(time.ticks, scales[time.track_id]) for time in times if time.track_id in scales),
                        default=None,
                    )
                for time in times:
                    if began is None or time.track_id not in scales:
                        continue
                    # Of two tracks neither begins before 0, and both keep their distance.
                    ticks = max(0, time.ticks - round(began * scales[time.track_id]))
                    changes.append((at + place + time.offset, ticks.to_bytes(time.size_bytes, "big")))
        at += segment.size_bytes
    return changes


def _moofs(file: BinaryIO, segment: RecordedSegment) -> Iterator[tuple[int, bytes]]:
    """The moofs of a segment, by their places in it."""
    place = 0
    for _ in range(BOXES_MAX):
        file.seek(segment.offset + place)
        head = file.read(_HEAD_BYTES)
        length = int.from_bytes(head[:4], "big")
        if len(head) < _HEAD_BYTES or length < _HEAD_BYTES or place + length > segment.size_bytes:
            return
        if head[4:] == b"moof" and length <= MOOF_BYTES_MAX:
            yield place, head + file.read(length - _HEAD_BYTES)
        place += length
        if place == segment.size_bytes:
            return
