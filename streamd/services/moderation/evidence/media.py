"""The media of evidence: the last seconds before a report, from the live window, the past or a recording.

Media in memory is held at once, when the report arrives, without a copy: a takedown a moment later, or the window
that goes on, takes none of it away. Media on the disk is found and read in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from streamd.formats.cmaf.box import first_fragment_bytes
from streamd.services.recording.clips import SegmentLists
from streamd.services.recording.folder import init_name, media_name
from streamd.services.recording.recovery import recorded_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from streamd.media.packager.cmaf_chunk import CmafChunk
    from streamd.media.packager.presentation import Presentation
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.playlist_file import RecordedSegment

    Write = Callable[[bytes | memoryview], object]

# The scene went on for a moment while the reporter looked for the button, and lies in whole segments.
AFTER_MS = 5_000
# Read and written at once, in a thread.
BLOCK_BYTES = 1024 * 1024
# A CMAF header is some kilobytes.
HEADER_BYTES_MAX = 1024 * 1024
# A time of a recording from here on is an instant, seconds since 1970, and below it a place in it: none is this long.
INSTANT_FROM_S = 1e9
# Renditions of one piece of evidence: the first variant, and its sound in other languages.
RENDITIONS_MAX = 8
# Where a segment was taken from.
WINDOW, PAST, RECORDING = "window", "past", "recording"


class _Content(Protocol):
    """The bytes of a segment."""

    @property
    def size_bytes(self) -> int:
        """How many."""

    def copy(self, write: Write) -> None:
        """Write them; in a thread.

        Raises:
            OSError: They cannot be read.
        """

    def keyframe(self, after_ms: int) -> bytes | None:
        """The fragment of a keyframe, ``moof`` and ``mdat``; in a thread.

        Args:
            after_ms: The last at or before this time in the segment, else the first.

        Raises:
            OSError: It cannot be read.
        """


@dataclass(frozen=True, slots=True)
class WindowMedia:
    """Bytes in memory."""

    chunks: tuple[CmafChunk, ...]

    @property
    def size_bytes(self) -> int:
        """How many."""
        return sum(len(chunk.content) for chunk in self.chunks)

    def copy(self, write: Write) -> None:
        """Write them."""
        for chunk in self.chunks:
            for piece in chunk.content.pieces():
                write(piece)

    def keyframe(self, after_ms: int) -> bytes | None:
        """The part that begins with a keyframe."""
        found: CmafChunk | None = None
        at_ms = 0
        for chunk in self.chunks:
            if chunk.is_independent and (found is None or at_ms <= after_ms):
                found = chunk
            at_ms += chunk.duration_ticks * 1000 // chunk.timescale
        return b"".join(found.content.pieces()) if found is not None else None


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A range of a file."""

    path: Path
    offset: int
    size_bytes: int

    def copy(self, write: Write) -> None:
        """Write them."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            left = self.size_bytes
            while left:
                block = file.read(min(left, BLOCK_BYTES))
                if not block:
                    raise OSError(f"{self.path.name} ends before its last segment")
                write(block)
                left -= len(block)

    def keyframe(self, after_ms: int) -> bytes | None:
        """The first fragment: a segment begins with a keyframe."""
        del after_ms
        with self.path.open("rb") as file:

            def read(at: int, count: int) -> bytes:
                file.seek(self.offset + at)
                return file.read(count)

            return read(0, first_fragment_bytes(read, self.size_bytes)) or None


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment that is kept."""

    source: str
    began_ms: int
    """Wall time of its first sample, milliseconds since 1970 in UTC."""
    duration_ms: int
    cmaf_header: bytes
    content: _Content
    stored: str = ""
    """Path of its file under the recording's folder, for one that the bucket alone may have."""

    @property
    def ended_ms(self) -> int:
        """Wall time of its end."""
        return self.began_ms + self.duration_ms


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is kept, wall time in milliseconds since 1970."""

    from_ms: int
    to_ms: int
    at_ms: int
    """When what was reported was seen: the picture is of this moment."""

    @classmethod
    def around(cls, at_ms: int, last_s: int) -> Span:
        """The time before a moment, with what went on while the report was begun."""
        return cls(at_ms - last_s * 1000, at_ms + AFTER_MS, at_ms)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was in memory of a channel at one moment, by rendition, the first variant first."""

    pieces: dict[str, tuple[Piece, ...]] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Of the media in it."""
        return sum(piece.content.size_bytes for pieces in self.pieces.values() for piece in pieces)

    @property
    def newest_ms(self) -> int | None:
        """Wall time of the end of its newest media; None without any."""
        return max((pieces[-1].ended_ms for pieces in self.pieces.values() if pieces), default=None)


@dataclass(frozen=True, slots=True)
class Run:
    """A file of evidence: a CMAF header and the segments under it, which any player plays."""

    name: str
    rendition: str
    pieces: tuple[Piece, ...]

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return len(self.pieces[0].cmaf_header) + sum(piece.content.size_bytes for piece in self.pieces)

    def copy(self, write: Write) -> None:
        """Write the file; in a thread.

        Raises:
            OSError: A piece cannot be read.
        """
        write(self.pieces[0].cmaf_header)
        for piece in self.pieces:
            piece.content.copy(write)


def hold(presentation: Presentation | None) -> Snapshot:
    """Hold what is in memory of a channel: the first variant, and the sound to play it with.

    Args:
        presentation: Of the channel; None where nothing of it can be played.
    """
    if presentation is None:
        return Snapshot()
    variants, audio = presentation.names()
    found: dict[str, tuple[Piece, ...]] = {}
    for name in (*variants[:1], *audio)[:RENDITIONS_MAX]:
        held = presentation.renditions[name].held_media()
        found[name] = tuple(
            Piece(WINDOW, media.program_date_time_ms, media.duration_ms, media.cmaf_header, WindowMedia(media.chunks))
            for media in held
            if media.chunks
        )
    return Snapshot(found)


class RecordedMedia:
    """Reads what recordings have; used by one thread at a time."""

    def __init__(self) -> None:
        self._lists = SegmentLists()

    @property
    def held_bytes(self) -> int:
        """Memory of what is kept for the next time, bytes."""
        return 270 * self._lists.count

    def span_of(self, folder: RecordingFolder, at_s: float | None, last_s: int) -> Span | None:
        """The time that is kept of a recording; None where it has no media.

        Args:
            folder: Its files.
            at_s: When what was reported is seen, seconds from its beginning, or since 1970; None for its beginning,
                which is also meant by an instant at which it was not made.
            last_s: What is kept before that, seconds.

        Raises:
            OSError: It cannot be read.
        """
        name = self._names(folder)[:1]
        segments = self._segments(folder, name[0]) if name else []
        if not segments:
            return None
        starts = [0, *(us // 1000 for us in accumulate(segment.duration_us for segment in segments))]
        began_ms = segments[0].program_date_time_ms
        if at_s is not None and at_s >= INSTANT_FROM_S:
            at_ms = round(at_s * 1000)
            if not began_ms <= at_ms < segments[-1].program_date_time_ms + segments[-1].duration_us // 1000:
                at_s = None
            else:
                return Span.around(at_ms, last_s)
        if at_s is None:
            return Span(began_ms, began_ms + last_s * 1000, began_ms)
        place_ms = min(max(0, round(at_s * 1000)), max(0, starts[-1] - 1))
        number = next(each for each in reversed(range(len(segments))) if starts[each] <= place_ms)
        return Span.around(segments[number].program_date_time_ms + place_ms - starts[number], last_s)

    def newest_ms(self, folder: RecordingFolder) -> int | None:
        """Wall time of the end of a recording's media; None where it has none.

        Raises:
            OSError: It cannot be read.
        """
        for name in self._names(folder)[:1]:
            if segments := self._segments(folder, name):
                return segments[-1].program_date_time_ms + segments[-1].duration_us // 1000
        return None

    def pieces(self, folder: RecordingFolder, span: Span, source: str) -> dict[str, tuple[Piece, ...]]:
        """The segments of a recording in a time, by rendition, the first variant first.

        Raises:
            OSError: It cannot be read.
        """
        return {name: tuple(self._pieces_of(folder, name, span, source)) for name in self._names(folder)}

    def _pieces_of(self, folder: RecordingFolder, name: str, span: Span, source: str) -> Iterator[Piece]:
        headers: dict[int, bytes] = {}
        path = folder.variant(name)
        for segment in self._segments(folder, name):
            began_ms, duration_ms = segment.program_date_time_ms, segment.duration_us // 1000
            if began_ms >= span.to_ms or began_ms + duration_ms <= span.from_ms:
                continue
            number = segment.init_number
            if number not in headers:
                with (path / init_name(number)).open("rb") as file:
                    headers[number] = file.read(HEADER_BYTES_MAX)
            file_name = media_name(segment.file_number)
            content = OnDisk(path / file_name, segment.offset, segment.size_bytes)
            stored = f"{folder.hls.relative_to(folder.path).as_posix()}/{name}/{file_name}"
            yield Piece(source, began_ms, duration_ms, headers[number], content, stored)

    def _names(self, folder: RecordingFolder) -> list[str]:
        document = recorded_document(folder)
        renditions = document.media.hls.renditions if document is not None else ()
        variants = [each.path for each in renditions if not each.is_alternative]
        audio = [each.path for each in renditions if each.is_alternative]
        return [*variants[:1], *audio][:RENDITIONS_MAX]

    def _segments(self, folder: RecordingFolder, name: str) -> Sequence[RecordedSegment]:
        try:
            return self._lists.read(folder.playlist(name))[1]
        except FileNotFoundError:
            return ()


def choose(
    window: Sequence[Piece], recorded: Sequence[Piece], span: Span, bytes_max: int
) -> tuple[tuple[Piece, ...], bool]:
    """Choose the segments of one rendition that are kept.

    Args:
        window: From memory, oldest first.
        recorded: From the disk, oldest first: what is older than the window is taken from there.
        span: The time.
        bytes_max: Bytes of them together; the oldest are left out beyond it.

    Returns:
        The segments, oldest first, and whether some were left out. Where the window has nothing of that time and the
        disk neither, the window as it is: it is what there is of it.
    """
    wanted = [piece for piece in window if piece.began_ms < span.to_ms and piece.ended_ms > span.from_ms]
    first_ms = wanted[0].began_ms if wanted else span.to_ms
    # A recording lags behind by the open segment: of two that overlap, memory has the newer one.
    older = [piece for piece in recorded if piece.ended_ms <= first_ms + 1]
    found = [*older, *wanted] or list(window)
    left, size = 0, 0
    for number in reversed(range(len(found))):
        size += found[number].content.size_bytes + len(found[number].cmaf_header)
        if size > bytes_max:
            left = number + 1
            break
    return tuple(found[left:]), bool(left)


def runs_of(chosen: Iterable[tuple[str, Sequence[Piece]]]) -> list[Run]:
    """The files: one for each run of segments under one CMAF header.

    Args:
        chosen: The name and the segments of each rendition.
    """
    runs: list[Run] = []
    for rendition, pieces in chosen:
        begun: list[list[Piece]] = []
        for piece in pieces:
            if not begun or begun[-1][-1].cmaf_header != piece.cmaf_header:
                begun.append([])
            begun[-1].append(piece)
        runs += [Run(f"{rendition}-{number}.mp4", rendition, tuple(run)) for number, run in enumerate(begun)]
    return runs


def keyframe_of(pieces: Sequence[Piece], at_ms: int) -> tuple[bytes, bytes] | None:
    """The keyframe nearest before a moment; in a thread.

    Args:
        pieces: Segments with pictures, oldest first.
        at_ms: The moment.

    Returns:
        A CMAF header and a fragment; None where there is no keyframe.

    Raises:
        OSError: It cannot be read.
    """
    before = [piece for piece in pieces if piece.began_ms <= at_ms]
    for piece in (*reversed(before), *pieces[len(before) :]):
        if (fragment := piece.content.keyframe(at_ms - piece.began_ms)) is not None:
            return piece.cmaf_header, fragment
    return None
