"""The media playlist of a recorded variant, as it lies on disk: the index of its media files.

While it records, a segment is a few lines at the end (EXT-X-PLAYLIST-TYPE:EVENT), written behind its bytes. So the
playlist is the journal that a server which was killed is followed by: bytes that no line names are cut off, and lines
whose bytes are missing are taken out.

Spec: rfc8216bis-22 sections 4.4.3.5 (PLAYLIST-TYPE), 4.4.4.2 (BYTERANGE), 4.4.4.5 (MAP).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from streamd.formats.hls.attribute_list import date_time_msec, decimal_seconds, quoted_string, unix_ms
from streamd.media.packager.segment_bit_rate import SegmentBitRate
from streamd.media.packager.window import LISTED_SEGMENTS_MAX
from streamd.services.recording.folder import init_name, media_name

# Section 8: EXT-X-MAP in a playlist of whole segments asks for 6.
VERSION = 6
# Decimal places of a duration: microseconds, which every duration here is counted in.
_US = 1_000_000

_EXTINF = re.compile(r"#EXTINF:(\d{1,9})\.(\d{5}),")
_BYTERANGE = re.compile(r"#EXT-X-BYTERANGE:(\d{1,18})@(\d{1,18})")
_MAP = re.compile(r'#EXT-X-MAP:URI="init(\d{1,9})\.mp4"')
_MEDIA = re.compile(r"(\d{6,9})\.m4s")
_DATE = re.compile(r"#EXT-X-PROGRAM-DATE-TIME:(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)")


@dataclass(frozen=True, slots=True)
class RecordedSegment:
    """One media segment: a range of a media file."""

    file_number: int
    """Number of the media file that it lies in."""
    offset: int
    """Its first byte there."""
    size_bytes: int
    duration_us: int
    """Microseconds, to the ten of them that a playlist says."""
    program_date_time_ms: int
    """Wall time of its first sample, milliseconds since 1970 in UTC."""
    init_number: int
    """Number of its CMAF header."""
    is_discontinuous: bool = False
    """EXT-X-DISCONTINUITY stands before it."""

    @property
    def end(self) -> int:
        """The byte behind it in its media file."""
        return self.offset + self.size_bytes


@dataclass(frozen=True, slots=True)
class RecordedPlaylist:
    """All segments of a variant, oldest first."""

    target_duration_s: int
    segments: tuple[RecordedSegment, ...] = ()
    is_ended: bool = False

    @property
    def duration_us(self) -> int:
        """Duration of all segments, microseconds."""
        return sum(segment.duration_us for segment in self.segments)

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size_bytes for segment in self.segments)

    def bit_rates(self) -> tuple[int, int]:
        """The peak and the average segment bit rate, bits a second (4.4.6.2); 0 without a segment."""
        rates = SegmentBitRate(self.target_duration_s, LISTED_SEGMENTS_MAX)
        for segment in self.segments:
            rates.add(segment.size_bytes, segment.duration_us)
        return rates.peak, rates.average


def render_head(target_duration_s: int, *, is_ended: bool = False) -> str:
    """The lines before the first segment.

    Args:
        target_duration_s: EXT-X-TARGETDURATION, whole seconds.
        is_ended: The recording is complete: VOD in place of EVENT.
    """
    return (
        f"#EXTM3U\n#EXT-X-VERSION:{VERSION}\n#EXT-X-TARGETDURATION:{target_duration_s}\n"
        f"#EXT-X-PLAYLIST-TYPE:{'VOD' if is_ended else 'EVENT'}\n"
        "#EXT-X-MEDIA-SEQUENCE:0\n"
    )


def render_end() -> str:
    """The line behind the last segment of a recording that is complete."""
    return "#EXT-X-ENDLIST\n"


def render_segment(
    segment: RecordedSegment, previous: RecordedSegment | None, prefix: str = "", *, is_dated: bool = True
) -> str:
    """The lines of one segment.

    Args:
        segment: The segment.
        previous: The one before it; None for the first.
        prefix: Stands before the names of files: empty in the folder of the variant.
        is_dated: With its EXT-X-PROGRAM-DATE-TIME; without, it is that of the one before and its duration (4.4.4.6).
    """
    lines = []
    if segment.is_discontinuous and previous is not None:
        lines.append("#EXT-X-DISCONTINUITY")
    if previous is None or previous.init_number != segment.init_number:
        lines.append(f"#EXT-X-MAP:URI={quoted_string(prefix + init_name(segment.init_number))}")
    if is_dated:
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{date_time_msec(segment.program_date_time_ms)}")
    lines += (
        f"#EXTINF:{decimal_seconds(segment.duration_us, _US)},",
        f"#EXT-X-BYTERANGE:{segment.size_bytes}@{segment.offset}",
        prefix + media_name(segment.file_number),
        "",
    )
    return "\n".join(lines)


def render_playlist(playlist: RecordedPlaylist, prefix: str = "") -> str:
    """The whole playlist as text.

    Args:
        playlist: Its content.
        prefix: Stands before the names of files.
    """
    pieces = [render_head(playlist.target_duration_s, is_ended=playlist.is_ended)]
    previous: RecordedSegment | None = None
    for segment in playlist.segments:
        pieces.append(render_segment(segment, previous, prefix))
        previous = segment
    if playlist.is_ended:
        pieces.append(render_end())
    return "".join(pieces)


def parse_playlist(text: str, init_number: int = 0) -> RecordedPlaylist:
    """Read a playlist that ``render_playlist`` wrote, whole or cut off anywhere.

    Lines that belong to no complete segment are passed over: a server that was killed may have left half of one.
    A file that somebody else has written yields the segments that have our form.

    Args:
        text: The file's text; bytes that are no UTF-8 are best replaced.
        init_number: Of the last segment before the text, where it is the rest of a file.
    """
    target_duration_s = 0
    segments: list[RecordedSegment] = []
    is_discontinuous = is_ended = False
    duration_us = date_ms = None
    span: tuple[int, int] | None = None
    # The text behind the last line feed is half a line.
    for line in text.split("\n")[:-1]:
        if found := _EXTINF.fullmatch(line):
            duration_us = int(found[1]) * _US + int(found[2]) * 10
        elif found := _BYTERANGE.fullmatch(line):
            span = int(found[1]), int(found[2])
        elif found := _DATE.fullmatch(line):
            date_ms = _date_ms(found[1])
        elif found := _MAP.fullmatch(line):
            init_number = int(found[1])
        elif line == "#EXT-X-DISCONTINUITY":
            is_discontinuous = True
        elif line == "#EXT-X-ENDLIST":
            is_ended = True
        elif line.startswith("#EXT-X-TARGETDURATION:"):
            number = line.partition(":")[2]
            target_duration_s = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 0
        elif found := _MEDIA.fullmatch(line):
            if duration_us is not None and span is not None and date_ms is not None:
                segments.append(
                    RecordedSegment(
                        int(found[1]), span[1], span[0], duration_us, date_ms, init_number, is_discontinuous
                    )
                )
            is_discontinuous = False
            duration_us = date_ms = span = None
    return RecordedPlaylist(target_duration_s, tuple(segments), is_ended)


def _date_ms(text: str) -> int | None:
    try:
        return unix_ms(datetime.fromisoformat(text))
    except ValueError:
        return None
