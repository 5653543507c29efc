"""The media playlist of the past of a live stream: hours of whole segments, as text and as a delta update.

The segments of a media file that is complete are kept as their lines, compressed: twelve hours are 0.6 MB. A piece
is compressed by itself and ends at a byte (Z_FULL_FLUSH), so that pieces that stand one behind the other
are the compressed playlist: nothing is compressed twice, and the oldest piece goes alone.

Spec: rfc8216bis-22 sections 6.2.2 (removal), 6.2.5.1 (delta updates), 6.2.5.2 (blocking reload); RFC 1952 (gzip).
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streamd.formats.hls.attribute_list import decimal_seconds
from streamd.formats.hls.media_playlist import SKIP_BOUNDARY_TARGETS, VERSION_DELTA, VERSION_FULL
from streamd.media.packager.reload import PlaylistEdge
from streamd.services.recording.playlist_file import render_end, render_segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from streamd.services.recording.playlist_file import RecordedSegment

_US = 1_000_000
_LEVEL = 6
# RFC 1952 section 2.3: no name, no date, and any system.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
# RFC 1951: a block that is the last one, with nothing in it.
_LAST_BLOCK = b"\x03\x00"
# Behind the first of each media file, a segment is dated where its date does not follow from what stands before it: a
# date each is a third of a playlist of hours, of which players read every line before they show a picture.
DATE_SLACK_US = 2000
# Of a segment as an object, and of a file beside its lines.
_SEGMENT_BYTES = 400
_FILE_BYTES = 300


@dataclass(frozen=True, slots=True)
class Piece:
    """Some lines of a playlist."""

    deflated: bytes
    size_bytes: int
    crc: int
    """Of the lines."""
    zeros_crc: int
    """Of as many zeros."""

    @classmethod
    def of(cls, text: str) -> Piece:
        """Compress lines."""
        data = text.encode()
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        deflated = compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)
        return cls(deflated, len(data), zlib.crc32(data), zlib.crc32(bytes(len(data))))

    def text(self) -> bytes:
        """The lines."""
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(self.deflated)


@dataclass(frozen=True, slots=True)
class PastText:
    """A playlist at one moment."""

    pieces: tuple[Piece, ...]

    @property
    def size_bytes(self) -> int:
        """Of the text."""
        return sum(piece.size_bytes for piece in self.pieces)

    def gzipped(self) -> bytes:
        """All of it, compressed; a few milliseconds for twelve hours, which are a thread's."""
        crc = 0
        for piece in self.pieces:
            # A CRC is linear: the one of A and B is the one of A and zeros, with what B differs by from zeros.
            crc = zlib.crc32(bytes(piece.size_bytes), crc) ^ piece.crc ^ piece.zeros_crc
        tail = crc.to_bytes(4, "little") + (self.size_bytes % 2**32).to_bytes(4, "little")
        return b"".join((_GZIP_HEADER, *(piece.deflated for piece in self.pieces), _LAST_BLOCK, tail))

    def unpacked(self) -> Iterator[bytes]:
        """All of it, piece by piece."""
        for piece in self.pieces:
            yield piece.text()


@dataclass(frozen=True, slots=True)
class _File:
    """The segments of a media file that have left the reach of delta updates."""

    piece: Piece
    segments: int
    duration_us: int
    discontinuities: int
    file_number: int


class PastPlaylist:
    """The past of one variant.

    Args:
        prefix: Stands before the names of files.
        window_us: How far back it goes, microseconds; up to one media file more is listed.
        first_msn: Media Sequence Number of the first segment that is added.

    Attributes:
        target_duration_s: EXT-X-TARGETDURATION, whole seconds; 0 before it is known.
        is_ended: Nothing will be added any more.
        last_msn: The number of the newest segment; one below the first before there is one.
    """

    def __init__(self, prefix: str, window_us: int, first_msn: int) -> None:
        self.target_duration_s = 0
        self.is_ended = False
        self.last_msn = first_msn - 1
        self._prefix = prefix
        self._window_us = window_us
        self._media_sequence = first_msn
        self._discontinuity_sequence = 0
        self._files: deque[_File] = deque()
        self._recent: deque[RecordedSegment] = deque()
        # Of all that is listed, and of the recent segments.
        self._duration_us = 0
        self._recent_us = 0
        # Memory of the files, which is asked for every second.
        self._files_bytes = 0
        self._before: RecordedSegment | None = None

    def add(self, segment: RecordedSegment) -> None:
        """Add the newest segment."""
        self._recent.append(segment)
        self._recent_us += segment.duration_us
        self._duration_us += segment.duration_us
        self.last_msn += 1
        self._settle()
        while self._files and self._duration_us - self._files[0].duration_us >= self._window_us:
            file = self._files.popleft()
            self._files_bytes -= len(file.piece.deflated) + _FILE_BYTES
            self._duration_us -= file.duration_us
            self._media_sequence += file.segments
            self._discontinuity_sequence += file.discontinuities

    @property
    def first_file(self) -> int:
        """Number of the oldest media file that is listed; 0 where there is none."""
        if self._files:
            return self._files[0].file_number
        return self._recent[0].file_number if self._recent else 0

    @property
    def edge(self) -> PlaylistEdge:
        """How far it has come; it offers blocking reload for whole segments."""
        return PlaylistEdge(self.last_msn, 1, 0, self.target_duration_s * 1000, self.is_ended)

    @property
    def duration_us(self) -> int:
        """Of all that is listed."""
        return self._duration_us

    @property
    def held_bytes(self) -> int:
        """Memory, bytes."""
        return self._files_bytes + len(self._recent) * _SEGMENT_BYTES

    def full(self) -> PastText:
        """All of it."""
        recent = self._lines(self._recent, self._before)
        pieces = (Piece.of(self._head(VERSION_FULL)), *(file.piece for file in self._files))
        return PastText((*pieces, Piece.of(recent + (render_end() if self.is_ended else ""))))

    def delta(self) -> bytes | None:
        """The playlist from the Skip Boundary on; None where that is all of it."""
        boundary_us = SKIP_BOUNDARY_TARGETS * self.target_duration_s * _US
        skipped = 0
        distance_us = self._recent_us
        for segment in self._recent:
            # 6.2.5.1: what is skipped lies further from the end than the boundary, all of it.
            distance_us -= segment.duration_us
            if distance_us < boundary_us or skipped + 1 == len(self._recent):
                break
            skipped += 1
        all_skipped = sum(file.segments for file in self._files) + skipped
        if not all_skipped:
            return None
        recent = list(self._recent)
        before = recent[skipped - 1] if skipped else self._before
        head = self._head(VERSION_DELTA) + f"#EXT-X-SKIP:SKIPPED-SEGMENTS={all_skipped}\n"
        return (head + self._lines(recent[skipped:], before) + (render_end() if self.is_ended else "")).encode()

    # -- inside ---------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Compress the oldest file once all of it is beyond the reach of delta updates."""
        boundary_us = SKIP_BOUNDARY_TARGETS * self.target_duration_s * _US
        number = self._recent[0].file_number
        count = duration_us = 0
        for segment in self._recent:
            if segment.file_number != number:
                break
            count += 1
            duration_us += segment.duration_us
        if count == len(self._recent) or self._recent_us - duration_us < boundary_us:
            return
        segments = [self._recent.popleft() for _ in range(count)]
        self._recent_us -= duration_us
        text = self._lines(segments, self._before, dates_all=False)
        piece = Piece.of(text)
        self._files.append(_File(piece, count, duration_us, text.count("#EXT-X-DISCONTINUITY\n"), number))
        self._files_bytes += len(piece.deflated) + _FILE_BYTES
        self._before = segments[-1]

    def _lines(
        self, segments: Iterable[RecordedSegment], before: RecordedSegment | None, *, dates_all: bool = True
    ) -> str:
        pieces: list[str] = []
        # The instant that follows from the last date and the durations since; None before there is one.
        follows_us: int | None = None
        for segment in segments:
            if before is not None and before.file_number != segment.file_number:
                # The lines before it may be gone from the playlist one day, and its EXT-X-MAP with them.
                before = replace(before, init_number=-1)
            at_us = segment.program_date_time_ms * 1000
            is_dated = dates_all or follows_us is None or abs(at_us - follows_us) > DATE_SLACK_US
            is_dated = is_dated or segment.is_discontinuous
            pieces.append(render_segment(segment, before, self._prefix, is_dated=is_dated))
            follows_us = (at_us if is_dated or follows_us is None else follows_us) + segment.duration_us
            before = segment
        return "".join(pieces)

    def _head(self, version: int) -> str:
        skip_s = decimal_seconds(SKIP_BOUNDARY_TARGETS * self.target_duration_s, 1)
        return (
            f"#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{self.target_duration_s}\n"
            f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={skip_s}\n"
            f"#EXT-X-MEDIA-SEQUENCE:{self._media_sequence}\n"
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{self._discontinuity_sequence}\n"
        )
