"""The pictures of recordings that have ended: a storyboard for whoever seeks, and a poster.

They are drawn behind everything else, one recording at a time, from keyframes as they lie on the disk, and put into the
recording's folder and its document. A keyframe that harms a decoder harms one process of the picture worker; a
recording has its pictures from the others.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from streamd.errors import PictureError, PictureWorkerRestsError, RecordingError, StoreUnavailableError
from streamd.formats.cmaf.box import first_fragment_bytes
from streamd.limits import RECORDING
from streamd.media.picture import ORDER_BYTES_MAX
from streamd.media.storyboard import CELLS_MAX, CellSize, Cue, render_vtt
from streamd.services.recording.documents import (
    RecordedFile,
    RecordingStatus,
    ThumbnailFacts,
    read_document,
    write_document,
)
from streamd.services.recording.folder import (
    STORYBOARD_NAME,
    THUMBNAIL_NAME,
    THUMBNAILS_PATH,
    FolderTakenError,
    claim_folder,
    free_bytes,
    init_name,
    media_name,
    sheet_name,
)
from streamd.services.recording.playlist_file import parse_playlist
from streamd.services.recording.records import RecordingFilter, RecordingState
from streamd.services.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from streamd.clock import Clock
    from streamd.services.recording.documents import RecordedRendition
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.index import RecordingIndex
    from streamd.services.recording.playlist_file import RecordedSegment
    from streamd.services.recording.records import RecordingRecord

log = logging.getLogger(__name__)

T = TypeVar("T")

# Recordings that wait for their pictures; of more, the newest wait, and the next start finds the others.
WAITING_MAX = 1000
# The newest recordings, which are looked through for missing pictures at a start.
SEARCHED_MAX = 200
# Pictures of one recording: 12 hours have 4,320, one every 10 s. A longer one has them further apart.
PICTURES_MAX = 5000
# Keyframes of a recording that do not decode. A hostile one may take the worker for five seconds each time.
UNDECODABLE_MAX = 16
# All pictures of a recording: 12 hours of 4K take some five minutes of a processor that has other things to do.
DRAWING_S_MAX = 1800.0
# Of several variants, the smallest with this many lines: twice those of a cell, and those of a poster.
CELL_LINES, POSTER_LINES = 180, 540
# A CMAF header is some kilobytes.
HEADER_BYTES_MAX = 1024 * 1024

_OPEN = frozenset({RecordingState.RECORDING, RecordingState.FINALIZING})


class Artist(Protocol):
    """Draws; ``PictureProcess`` says what is raised."""

    async def draw(self, cmaf_header: bytes, fragment: bytes) -> bytes | None:
        """A poster."""

    async def draw_cell(self, cmaf_header: bytes, fragment: bytes, size: CellSize) -> bytes | None:
        """A cell of a storyboard."""

    async def draw_sheet(self, cells: bytes, size: CellSize) -> bytes | None:
        """A sheet of cells."""

    async def close(self) -> None:
        """Draw no more."""


@dataclass(frozen=True, slots=True)
class StoryboardOptions:
    """Which pictures are drawn."""

    storyboard_interval_s: int = RECORDING.storyboard_interval_s
    """Between two pictures of a storyboard, seconds; 0 for none."""
    min_free_bytes: int = RECORDING.min_free_bytes
    """Space that stays free on the disk."""


@dataclass(frozen=True, slots=True)
class _Shot:
    """A keyframe that is to be drawn."""

    at_ms: int
    """Its time in the recording."""
    segment: RecordedSegment


@dataclass
class _Storyboard:
    """The pictures of one recording so far."""

    size: CellSize
    shots: list[_Shot] = field(default_factory=list)
    """Those that were drawn."""
    cells: list[bytes] = field(default_factory=list)
    """Those of the sheet that is not full."""
    files: list[RecordedFile] = field(default_factory=list)
    sheets: int = 0

    def cues(self, duration_ms: int) -> list[Cue]:
        """The times of the pictures; one that did not decode leaves its time to the one before."""
        stops = [*(shot.at_ms for shot in self.shots[1:]), duration_ms]
        return [
            Cue(shot.at_ms if number else 0, stop, *divmod(number, CELLS_MAX))
            for number, (shot, stop) in enumerate(zip(self.shots, stops, strict=True))
        ]


class Storyboarder:
    """Draws the pictures of recordings.

    Args:
        options: Which.
        index: The index of all recordings.
        folder: The files of a recording.
        read: Does work that waits for the disk.
        artist: Draws; closed with this.
        clock: Measures how long it takes.
        sleep: Waits.
        on_done: Called with each recording when its pictures are drawn, or are not to be had.
    """

    def __init__(
        self,
        options: StoryboardOptions,
        *,
        index: RecordingIndex,
        folder: Callable[[RecordingRecord], RecordingFolder],
        read: Callable[[Callable[[], object]], Awaitable[object]],
        artist: Artist,
        clock: Clock,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        on_done: Callable[[RecordingRecord], None] = lambda _: None,
    ) -> None:
        self.options = options
        self._on_done = on_done
        self._index = index
        self._folder = folder
        self._read = read
        self._artist = artist
        self._clock = clock
        self._sleep = sleep
        self._waiting: dict[str, RecordingRecord] = {}
        self._drawn_id = ""
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    def start(self) -> None:
        """Draw what an earlier server has left undrawn."""
        if self.options.storyboard_interval_s:
            self._task = asyncio.create_task(self._run(is_start=True))

    async def close(self) -> None:
        """Draw no more; the next server begins a recording's pictures anew."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._artist.close()

    def note_ended(self, record: RecordingRecord) -> None:
        """Draw the pictures of a recording that has ended, soon."""
        if self._is_closed or not self.options.storyboard_interval_s:
            return
        self._waiting[record.id] = record
        if len(self._waiting) > WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def needs(self, recording_id: str) -> bool:
        """Whether the media of a recording is still to be drawn from."""
        return recording_id == self._drawn_id or recording_id in self._waiting

    async def wait(self) -> None:
        """Wait until all that waits is drawn."""
        while self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self, *, is_start: bool = False) -> None:
        try:
            if is_start:
                await self._find_undrawn()
            while self._waiting:
                record = self._waiting.pop(next(iter(self._waiting)))
                self._drawn_id = record.id
                await self._draw(record)
                self._drawn_id = ""
                self._on_done(record)
        finally:
            self._drawn_id = ""
            self._task = None

    async def _find_undrawn(self) -> None:
        try:
            page = await self._index.page(RecordingFilter(), limit=SEARCHED_MAX)
        except StoreUnavailableError as exc:
            log.warning("storyboard.failed", extra={"reason": str(exc)})
            return
        for record in page.items:
            if record.state not in _OPEN:
                self._waiting.setdefault(record.id, record)

    async def _draw(self, record: RecordingRecord) -> None:
        """Draw the pictures of a recording; a fault leaves it without, and nothing else."""
        folder = self._folder(record)
        try:
            claim = await self._wait_for(partial(claim_folder, folder.path))
        except (FolderTakenError, OSError):
            # Another server has it, or it is gone.
            return
        try:
            began = self._clock.monotonic()
            pictures = await self._draw_storyboard(folder)
            if pictures is not None:
                drawing_s = round(self._clock.monotonic() - began, 1)
                log.info(
                    "storyboard.drawn",
                    extra={"recording_id": record.id, "pictures": pictures, "drawing_s": drawing_s},
                )
        except (OSError, PictureError, RecordingError) as exc:
            reason = exc.strerror or "the disk reports an error" if isinstance(exc, OSError) else str(exc)
            if await self._wait_for(folder.path.exists):
                log.warning("storyboard.failed", extra={"recording_id": record.id, "reason": reason})
        except Exception:
            # A fault of ours costs one recording its pictures.
            log.exception("storyboard.broken", extra={"recording_id": record.id})
        finally:
            os.close(claim)

    async def _draw_storyboard(self, folder: RecordingFolder) -> int | None:
        """Draw, and have the document know it.

        Returns:
            How many pictures there are; None where there was nothing to do.

        Raises:
            OSError: The disk does not take it.
            PictureError: The worker does not work.
            RecordingError: The disk is nearly full.
        """
        renditions = await self._wait_for(lambda: _undrawn_renditions(folder))
        if renditions is None:
            return None
        source = _choose(renditions, CELL_LINES)
        if source is None:
            await self._wait_for(partial(_complete, folder, [], ThumbnailFacts()))
            return 0
        shots, duration_ms = await self._wait_for(
            partial(_plan, folder, source.path, self.options.storyboard_interval_s * 1000)
        )
        board = _Storyboard(CellSize.of(source.resolution_width, source.resolution_height))
        give_up_at = self._clock.monotonic() + DRAWING_S_MAX
        failures = 0
        for shot in shots:
            cell = await self._draw_cell(folder, source.path, shot, board.size)
            if cell is None:
                failures += 1
                if failures >= UNDECODABLE_MAX:
                    break
                continue
            board.shots.append(shot)
            board.cells.append(cell)
            if len(board.cells) == CELLS_MAX:
                await self._write_sheet(folder, board)
            if self._clock.monotonic() > give_up_at:
                break
        if board.cells:
            await self._write_sheet(folder, board)
        if board.shots:
            await self._write_poster(folder, renditions, board)
            vtt = render_vtt(board.cues(duration_ms), board.size).encode()
            board.files.append(await self._write(folder, STORYBOARD_NAME, vtt))
        facts = ThumbnailFacts(board.size.width, board.size.height, len(board.shots))
        await self._wait_for(partial(_complete, folder, board.files, facts))
        return len(board.shots)

    async def _draw_cell(self, folder: RecordingFolder, variant: str, shot: _Shot, size: CellSize) -> bytes | None:
        """A keyframe as a cell; None where it does not decode.

        Raises:
            OSError: It cannot be read.
        """
        keyframe = await self._wait_for(partial(_read_keyframe, folder, variant, shot.segment))
        return await self._ask(lambda: self._artist.draw_cell(*keyframe, size)) if keyframe is not None else None

    async def _write_poster(
        self, folder: RecordingFolder, renditions: Sequence[RecordedRendition], board: _Storyboard
    ) -> None:
        """Draw the poster: the keyframe in the middle, as many recordings begin and end with a black picture."""
        source = _choose(renditions, POSTER_LINES)
        assert source is not None
        shots, duration_ms = await self._wait_for(partial(_plan, folder, source.path, 0))
        middle = next((shot for shot in shots if shot.at_ms >= duration_ms // 2), shots[-1] if shots else None)
        # One that is drawn small can be drawn large, if not from the same variant.
        for shot in (middle, shots[0] if shots else None):
            keyframe = (
                await self._wait_for(partial(_read_keyframe, folder, source.path, shot.segment)) if shot else None
            )
            jpeg = await self._ask(partial(self._artist.draw, *keyframe)) if keyframe is not None else None
            if jpeg is not None:
                board.files.append(await self._write(folder, THUMBNAIL_NAME, jpeg))
                return

    async def _write_sheet(self, folder: RecordingFolder, board: _Storyboard) -> None:
        cells, board.cells = b"".join(board.cells), []
        sheet = await self._ask(lambda: self._artist.draw_sheet(cells, board.size))
        if sheet is None:
            raise PictureError("the worker draws no sheet")
        board.files.append(await self._write(folder, sheet_name(board.sheets), sheet))
        board.sheets += 1

    async def _ask(self, draw: Callable[[], Awaitable[bytes | None]]) -> bytes | None:
        """Have something drawn; a worker that has failed is given its rest, and a picture a second try then."""
        for _ in range(2):
            try:
                return await draw()
            except PictureWorkerRestsError as exc:
                await self._sleep(exc.rest_s)
            except PictureError:
                return None
        return None

    async def _write(self, folder: RecordingFolder, name: str, data: bytes) -> RecordedFile:
        """Write a file of pictures.

        Raises:
            OSError: The disk does not take it.
            RecordingError: It is nearly full.
        """
        await self._wait_for(partial(_write_picture, folder, name, data, self.options.min_free_bytes))
        return RecordedFile(f"{THUMBNAILS_PATH}/{name}", len(data), hashlib.sha256(data).hexdigest())

    async def _wait_for(self, work: Callable[[], T]) -> T:
        result: list[T] = []
        await self._read(lambda: result.append(work()))
        return result[0]


# -- in a thread ------------------------------------------------------------------------------------


def _undrawn_renditions(folder: RecordingFolder) -> tuple[RecordedRendition, ...] | None:
    """The renditions of a recording that has ended; None where it has pictures already, or has no document."""
    document = read_document(folder.ended) or read_document(folder.failed)
    if document is None or document.recording_status is RecordingStatus.STARTED:
        return None
    return document.media.hls.renditions if document.media.thumbnails is None else None


def _choose(renditions: Sequence[RecordedRendition], lines: int) -> RecordedRendition | None:
    """The smallest with enough lines, else the largest; None without a picture."""
    by_lines = {each.resolution_height: each for each in renditions if each.resolution_height and each.resolution_width}
    if not by_lines:
        return None
    return by_lines[min((height for height in by_lines if height >= lines), default=max(by_lines))]


def _plan(folder: RecordingFolder, variant: str, interval_ms: int) -> tuple[list[_Shot], int]:
    """The segments whose first keyframe is drawn, and the duration of all, milliseconds.

    Raises:
        OSError: The playlist cannot be read.
    """
    segments = parse_playlist(folder.playlist(variant).read_text(errors="replace")).segments
    duration_us = sum(segment.duration_us for segment in segments)
    interval_us = max(interval_ms * 1000, duration_us // PICTURES_MAX)
    shots = []
    at_us = due_us = 0
    for segment in segments:
        if at_us >= due_us:
            shots.append(_Shot(at_us // 1000, segment))
            # From the time that was due, so that segments of 4 s have a picture every 10 s on average.
            due_us = max(due_us + interval_us, at_us)
        at_us += segment.duration_us
    return shots, duration_us // 1000


def _read_keyframe(folder: RecordingFolder, variant: str, segment: RecordedSegment) -> tuple[bytes, bytes] | None:
    """The CMAF header of a segment and its first fragment, which begins with a keyframe; None where it is too long.

    Raises:
        OSError: It cannot be read.
    """
    path = folder.variant(variant)
    with (path / init_name(segment.init_number)).open("rb") as file:
        header = file.read(HEADER_BYTES_MAX)
    with (path / media_name(segment.file_number)).open("rb") as file:
        length = _fragment_bytes(file, segment)
        if not 0 < length <= ORDER_BYTES_MAX - len(header):
            return None
        file.seek(segment.offset)
        return header, file.read(length)


def _fragment_bytes(file: BinaryIO, segment: RecordedSegment) -> int:
    def read(at: int, count: int) -> bytes:
        file.seek(segment.offset + at)
        return file.read(count)

    return first_fragment_bytes(read, segment.size_bytes)


def _write_picture(folder: RecordingFolder, name: str, data: bytes, min_free_bytes: int) -> None:
    if free_bytes(folder.path) - len(data) < min_free_bytes:
        raise RecordingError("the disk is nearly full")
    # A recording that is deleted meanwhile has no folder to make these in.
    _make_one(folder.thumbnails.parent)
    _make_one(folder.thumbnails)
    replace_file(folder.thumbnails / name, data)


def _make_one(path: Path) -> None:
    path.mkdir(mode=0o700, exist_ok=True)


def _complete(folder: RecordingFolder, files: Sequence[RecordedFile], facts: ThumbnailFacts) -> None:
    """Have the document of the end know the pictures.

    Raises:
        OSError: The disk does not take it.
    """
    for path in (folder.ended, folder.failed):
        document = read_document(path)
        if document is None:
            continue
        known = {file.path: file for file in (*document.files, *files)}
        write_document(
            path,
            replace(
                document,
                media=replace(document.media, thumbnails=facts),
                files=tuple(known[name] for name in sorted(known)),
            ),
        )
        return
