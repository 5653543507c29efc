"""Media playlists of recordings as viewers get them: read from the disk once for all, and from where they have grown.

The playlist of a broadcast of twelve hours is 2.4 MB, and grows every other second while it is recorded. So it is kept
compressed, 80 kB, and its new lines alone are read; a viewer that takes no compression has it unpacked piece by piece.
"""

from __future__ import annotations

import asyncio
import os
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from streamd.services.recording.folder import init_name, media_name
from streamd.services.recording.playlist_file import render_end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path
    from typing import Protocol

    T = TypeVar("T")

    class Reader(Protocol):
        """Does work that waits for the disk."""

        def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
            """Do it."""


# Playlists and lists of files in memory, all together: some hundred of long recordings.
KEPT_BYTES_MAX = 16 * 1024 * 1024
# A compressor holds its window and its tables (zlib, deflateInit2: "(1 << (windowBits+2)) + (1 << (memLevel+9))").
_COMPRESSOR_BYTES = 256 * 1024
_SPAN_BYTES = 400
# 16 + 15 bits: gzip around the largest window.
_GZIP = 31

_MEDIA = re.compile(rb"^(?=\d{6,9}\.m4s$)", re.MULTILINE)
_LAST_LINE = b".m4s\n"
_MEDIA_SUFFIX = ".m4s"
_END = render_end().encode()
_PIECE = re.compile(rb'#EXT-X-MAP:URI="init(\d{1,9})\.mp4"\n|#EXT-X-BYTERANGE:(\d{1,18})@(\d{1,18})\n(\d{6,9})\.m4s\n')


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file."""

    path: Path
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class ServedPlaylist:
    """A media playlist as it is sent."""

    gzipped: bytes
    size_bytes: int
    """Unpacked."""

    def unpacked(self, piece_bytes: int) -> Iterator[bytes]:
        """All of it, a piece at a time."""
        unpacker = zlib.decompressobj(_GZIP)
        left = self.gzipped
        while piece := unpacker.decompress(left, piece_bytes):
            left = unpacker.unconsumed_tail
            yield piece


@dataclass
class _Growing:
    """A playlist file so far."""

    inode: int
    read_bytes: int = 0
    """Of the file."""
    size_bytes: int = 0
    """As it is sent."""
    is_ended: bool = False
    packed: bytearray = field(default_factory=bytearray)
    compressor: zlib._Compress | None = field(default_factory=lambda: zlib.compressobj(6, zlib.DEFLATED, _GZIP))
    answers: dict[bool, ServedPlaylist] = field(default_factory=dict)
    """By whether a line of the end is added."""

    @property
    def held_bytes(self) -> int:
        answers = sum(len(answer.gzipped) for answer in self.answers.values())
        return len(self.packed) + answers + (_COMPRESSOR_BYTES if self.compressor is not None else 0)

    def add(self, data: bytes, prefix: bytes) -> None:
        """Take what has been written since, as far as its last segment is whole."""
        self.is_ended = data.endswith(_END)
        end = len(data) if self.is_ended else data.rfind(_LAST_LINE) + len(_LAST_LINE)
        if end < len(_LAST_LINE):
            if self.read_bytes or not data.startswith(b"#EXTM3U"):
                return
            # A playlist in which no segment is yet.
            end = data.rfind(b"\n") + 1
        lines = _MEDIA.sub(prefix, data[:end]).replace(b'URI="init', b'URI="' + prefix + b"init")
        assert self.compressor is not None
        self.packed += self.compressor.compress(lines)
        self.read_bytes += end
        self.size_bytes += len(lines)
        self.answers.clear()

    def answer(self, *, ends: bool) -> ServedPlaylist:
        """What there is, with the line of an end that the disk did not take."""
        adds = ends and not self.is_ended
        if adds not in self.answers:
            assert self.compressor is not None
            compressor = self.compressor.copy()
            rest = compressor.compress(_END) if adds else b""
            packed = bytes(self.packed) + rest + compressor.flush()
            self.answers[adds] = ServedPlaylist(packed, self.size_bytes + (len(_END) if adds else 0))
            if self.is_ended:
                self.packed, self.compressor = bytearray(), None
        return self.answers[adds]


@dataclass(frozen=True, slots=True)
class _Runs:
    stamp: tuple[int, int, int]
    runs: tuple[tuple[Span, ...], ...]

    @property
    def held_bytes(self) -> int:
        return _SPAN_BYTES * sum(map(len, self.runs))


class RecordedPlaylists:
    """The media playlists that viewers ask for.

    Args:
        read: Does work that waits for the disk.
    """

    def __init__(self, read: Reader) -> None:
        self._read = read
        # The one that was asked for last stands last.
        self._kept: dict[tuple[Path, type], _Growing | _Runs] = {}
        self._locks: dict[tuple[Path, type], tuple[asyncio.Lock, list[None]]] = {}

    @property
    def held_bytes(self) -> int:
        """Memory of what is kept, bytes."""
        return sum(kept.held_bytes for kept in self._kept.values())

    async def find(self, path: Path, prefix: str, *, is_over: bool) -> ServedPlaylist:
        """A media playlist, with a prefix before the names of its files.

        Args:
            path: Its file.
            prefix: The folder of the variant, with a slash.
            is_over: No segment will be added: a playlist that has no end gets one.

        Raises:
            OSError: It cannot be read.
        """

        def read(known: _Growing | _Runs | None) -> tuple[_Growing, ServedPlaylist]:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                growing = known if isinstance(known, _Growing) else _Growing(found.st_ino)
                if (growing.inode, growing.is_ended) != (found.st_ino, False) or found.st_size < growing.read_bytes:
                    is_same = growing.is_ended and growing.inode == found.st_ino
                    growing = growing if is_same and found.st_size == growing.read_bytes else _Growing(found.st_ino)
                if found.st_size > growing.read_bytes:
                    file.seek(growing.read_bytes)
                    growing.add(file.read(found.st_size - growing.read_bytes), prefix.encode())
            return growing, growing.answer(ends=is_over)

        return await self._once((path, _Growing), read)

    async def runs(self, path: Path) -> tuple[tuple[Span, ...], ...]:
        """The files of each run of media under one CMAF header, the header first.

        Args:
            path: The file of the media playlist.

        Raises:
            OSError: It cannot be read.
        """

        def read(known: _Growing | _Runs | None) -> tuple[_Runs, tuple[tuple[Span, ...], ...]]:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                stamp = found.st_ino, found.st_size, found.st_mtime_ns
                if isinstance(known, _Runs) and known.stamp == stamp:
                    return known, known.runs
                kept = _Runs(stamp, _runs(file.read(found.st_size), path.parent))
            return kept, kept.runs

        return await self._once((path, _Runs), read)

    async def _once(
        self, key: tuple[Path, type], read: Callable[[_Growing | _Runs | None], tuple[_Growing | _Runs, T]]
    ) -> T:
        """Read one file for one viewer at a time: those behind find what the first has read."""
        lock, waiting = self._locks.setdefault(key, (asyncio.Lock(), []))
        waiting.append(None)
        try:
            async with lock:
                known = self._kept.pop(key, None)
                kept, answer = await self._read(lambda: read(known))
                self._kept[key] = kept
        finally:
            waiting.pop()
            if not waiting:
                del self._locks[key]
        held_bytes = self.held_bytes
        while held_bytes > KEPT_BYTES_MAX:
            held_bytes -= self._kept.pop(next(iter(self._kept))).held_bytes
        return answer


def _runs(data: bytes, folder: Path) -> tuple[tuple[Span, ...], ...]:
    runs: list[list[Span]] = []
    ends: dict[int, int] = {}
    for found in _PIECE.finditer(data):
        if found[1] is not None:
            header = folder / init_name(int(found[1]))
            runs.append([Span(header, 0, header.stat().st_size)])
            continue
        number = int(found[4])
        if runs and number not in ends:
            runs[-1].append(Span(folder / media_name(number), 0, 0))
        ends[number] = int(found[3]) + int(found[2])
    return tuple(
        tuple(
            Span(span.path, 0, ends[int(span.path.stem)]) if span.path.suffix == _MEDIA_SUFFIX else span for span in run
        )
        for run in runs
    )
