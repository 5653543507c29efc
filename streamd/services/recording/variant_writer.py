"""The files of one recorded variant: CMAF headers, media files of at most a minute, and their playlist.

It runs in a thread that may wait for the disk. A segment's bytes are written first and its lines behind them, so that
a server which is killed in between leaves bytes without lines, and never lines without bytes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from streamd.errors import RecordingError
from streamd.media.packager.segment_bit_rate import SegmentBitRate
from streamd.media.packager.window import LISTED_SEGMENTS_MAX
from streamd.services.recording.documents import RecordedFile
from streamd.services.recording.file_hash import file_sha256
from streamd.services.recording.folder import PLAYLIST_NAME, init_name, make_folder, media_name
from streamd.services.recording.playlist_file import (
    RecordedPlaylist,
    RecordedSegment,
    render_end,
    render_head,
    render_playlist,
    render_segment,
)
from streamd.services.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_US = 1_000_000
# Pieces in one call of the system: Linux takes 1,024 (writev(2), IOV_MAX).
_PIECES_MAX = 1024
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class _File:
    """A file that is appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._fd = os.open(path, _APPEND | os.O_EXCL, 0o600)

    def append(self, pieces: Sequence[bytes | memoryview], size_bytes: int) -> None:
        """Append all of them.

        Each call of the system gives the interpreter up and has to win it back from the loop: all pieces go in one.

        Args:
            pieces: The bytes, in order.
            size_bytes: Bytes of all of them.

        Raises:
            OSError: The disk does not take it; what it took of it stays.
        """
        if len(pieces) <= _PIECES_MAX:
            self._append_some(pieces, size_bytes)
            return
        for start in range(0, len(pieces), _PIECES_MAX):
            some = pieces[start : start + _PIECES_MAX]
            self._append_some(some, sum(map(len, some)))

    def _append_some(self, pieces: Sequence[bytes | memoryview], size_bytes: int) -> None:
        written = os.writev(self._fd, pieces)
        self.size_bytes += written
        if written < size_bytes:
            self._append_rest(memoryview(b"".join(pieces))[written:])

    def _append_rest(self, view: memoryview) -> None:
        """Append what the disk took in no first call: one that is full says so in the next."""
        while view:
            written = os.write(self._fd, view)
            self.size_bytes += written
            view = view[written:]

    def sync(self) -> None:
        """Have it on the disk."""
        os.fdatasync(self._fd)

    def cut(self, size_bytes: int) -> None:
        """Take off all behind a number of bytes: a piece of which the disk took a part."""
        os.ftruncate(self._fd, size_bytes)
        self.size_bytes = size_bytes

    def close(self) -> None:
        """Close it; again changes nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class VariantWriter:
    """Appends the segments of one variant.

    It holds sums and the last segment: a broadcast of a day has 40,000 of them, and the playlist on the disk has all.

    Args:
        path: Its folder, which is made.
        target_duration_s: EXT-X-TARGETDURATION, whole seconds.
        file_s: Media in one file at most, seconds; a longer segment has a file of its own.
        note_file: Called with each file that is complete, by its name in the folder.
        recovered: The playlist that an earlier server has left there, which goes on; None for a new one.
        hash_file: Says the SHA-256 of a complete file; None where none is wanted: nobody is told of them.

    Attributes:
        duration_us: Microseconds of all segments so far.
        size_bytes: Bytes of all segments so far.

    Raises:
        OSError: The disk does not take it; like every method.
    """

    def __init__(
        self,
        path: Path,
        *,
        target_duration_s: int,
        file_s: int,
        note_file: Callable[[RecordedFile], None],
        recovered: RecordedPlaylist | None = None,
        hash_file: Callable[[Path], str] | None = file_sha256,
    ) -> None:
        self._path = path
        self._target_duration_s = target_duration_s
        self._file_us = file_s * _US
        self._note_file = note_file
        self._hash_file = hash_file
        recovered = recovered or RecordedPlaylist(target_duration_s)
        self.duration_us = self.size_bytes = 0
        self._rates = SegmentBitRate(target_duration_s, LISTED_SEGMENTS_MAX)
        self._last: RecordedSegment | None = None
        for segment in recovered.segments:
            self._count(segment)
        last = recovered.segments[-1] if recovered.segments else None
        self._file_number = last.file_number if last is not None else -1
        self._first_file = recovered.segments[0].file_number if last is not None else 0
        self._init_number = last.init_number if last is not None else -1
        # With the header of the server before, a broadcast that goes on stays one run of media.
        self._header = (path / init_name(self._init_number)).read_bytes() if last is not None else None
        self._media: _File | None = None
        self._media_us = 0
        self._is_finished = False
        make_folder(path)
        lines = render_playlist(replace(recovered, target_duration_s=target_duration_s, is_ended=False)).encode()
        replace_file(path / PLAYLIST_NAME, lines)
        self._playlist_bytes = len(lines)
        self._playlist_fd = os.open(path / PLAYLIST_NAME, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def bit_rates(self) -> tuple[int, int]:
        """The peak and the average segment bit rate, bits a second (4.4.6.2); 0 without a segment."""
        return self._rates.peak, self._rates.average

    def set_header(self, header: bytes) -> None:
        """Write the CMAF header of the segments to come; the same as before changes nothing.

        Args:
            header: ``ftyp`` and ``moov``.
        """
        if header == self._header:
            return
        self._close_media()
        self._init_number += 1
        init = _File(self._path / init_name(self._init_number))
        try:
            init.append((header,), len(header))
            init.sync()
        finally:
            init.close()
        self._note(init)
        self._header = header

    def append(
        self,
        pieces: Sequence[bytes | memoryview],
        *,
        size_bytes: int,
        duration_us: int,
        program_date_time_ms: int,
        is_discontinuous: bool,
    ) -> RecordedSegment:
        """Append one whole segment.

        Args:
            pieces: The bytes of its CMAF chunks, in order.
            size_bytes: Bytes of all of them.
            duration_us: Microseconds.
            program_date_time_ms: Wall time of its first sample, milliseconds since 1970 in UTC.
            is_discontinuous: It has nothing to do with the one before.
        """
        if self._media is None or self._media_us + duration_us > self._file_us:
            self._close_media()
            self._file_number += 1
            self._media = _File(self._path / media_name(self._file_number))
            self._media_us = 0
        media = self._media
        offset = media.size_bytes
        try:
            media.append(pieces, size_bytes)
            previous = self._last
            segment = RecordedSegment(
                self._file_number,
                offset,
                media.size_bytes - offset,
                duration_us,
                program_date_time_ms,
                self._init_number,
                is_discontinuous or (previous is not None and previous.init_number != self._init_number),
            )
            self._write_lines(render_segment(segment, previous).encode())
        except OSError:
            # The segment is given up, with the bytes and the lines that the disk took of it.
            os.ftruncate(self._playlist_fd, self._playlist_bytes)
            media.cut(offset)
            raise
        self._media_us += duration_us
        self._count(segment)
        return segment

    def cut(self, first_file: int) -> None:
        """Remove the media files before one, which is not the last."""
        while self._first_file < min(first_file, self._file_number):
            (self._path / media_name(self._first_file)).unlink(missing_ok=True)
            self._first_file += 1

    def sync(self) -> None:
        """Have all of it on the disk: media first, and the lines that name it."""
        if self._media is not None:
            self._media.sync()
        os.fdatasync(self._playlist_fd)

    def finish(self) -> None:
        """Complete the last media file, and the playlist with EXT-X-ENDLIST; again changes nothing.

        Raises:
            RecordingError: Somebody has changed the playlist.
        """
        self._close_media()
        if self._is_finished:
            return
        path = self._path / PLAYLIST_NAME
        head = render_head(self._target_duration_s).encode()
        lines = path.read_bytes()
        if len(lines) != self._playlist_bytes or not lines.startswith(head):
            raise RecordingError(f"{path.name} of {self._path.name} is not as it was written")
        data = render_head(self._target_duration_s, is_ended=True).encode() + lines[len(head) :] + render_end().encode()
        replace_file(path, data)
        self._is_finished = True
        self._note_file(RecordedFile(path.name, len(data), hashlib.sha256(data).hexdigest()))

    def close(self) -> None:
        """Close the files as they are, for another server to go on with; again changes nothing."""
        if self._media is not None:
            self._media.close()
        fd, self._playlist_fd = self._playlist_fd, -1
        if fd >= 0:
            os.close(fd)

    def _write_lines(self, lines: bytes) -> None:
        view = memoryview(lines)
        while view:
            view = view[os.write(self._playlist_fd, view) :]
        self._playlist_bytes += len(lines)

    def _count(self, segment: RecordedSegment) -> None:
        self.duration_us += segment.duration_us
        self.size_bytes += segment.size_bytes
        self._rates.add(segment.size_bytes, segment.duration_us)
        self._last = segment

    def _close_media(self) -> None:
        media, self._media = self._media, None
        if media is None:
            return
        try:
            media.sync()
        finally:
            media.close()
        if media.size_bytes:
            self._note(media)
        else:
            media.path.unlink()
            self._file_number -= 1

    def _note(self, file: _File) -> None:
        if self._hash_file is not None:
            self._note_file(RecordedFile(file.path.name, file.size_bytes, self._hash_file(file.path)))
