"""Storyboards: small pictures of a recording, a sheet of them in one JPEG, and the times at which they were seen.

A player shows them while a viewer seeks. Cells and sheets are drawn where posters are (``picture_worker``): a cell by a
process that decodes one keyframe, and a sheet by one that is given the values of pixels, which cannot be wrong.

Spec: WebVTT (W3C), Media Fragments URI 1.0 section 4.2.2 (``xywh``).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError
from av.filter import Graph
from av.video.format import VideoFormat

from streamd.errors import PictureError
from streamd.media.picture import as_full_range, decode_keyframe, encode_jpeg, fitted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from av.video.frame import VideoFrame

# The box that a cell fits into; 16 : 9 fills it.
CELL_WIDTH_MAX, CELL_HEIGHT_MAX = 160, 90
CELL_SIDE_MIN = 16
# A sheet is some 150 kB, and of a picture every 10 s it has a quarter of an hour.
COLUMNS = 10
CELLS_MAX = COLUMNS * 10

_PIXELS = VideoFormat("yuv420p")
# The values of black in JPEG's full range: light, and the two colours.
_BLACK = (b"\x00", b"\x80", b"\x80")


@dataclass(frozen=True, slots=True)
class CellSize:
    """The size of every cell of a storyboard, pixels, even."""

    width: int
    height: int

    @classmethod
    def of(cls, width: int, height: int) -> CellSize:
        """The size for a picture; 16 : 9 where it says none.

        Args:
            width: Square pixels.
            height: Likewise.
        """
        if width < 1 or height < 1:
            return cls(CELL_WIDTH_MAX, CELL_HEIGHT_MAX)
        scale = min(Fraction(CELL_WIDTH_MAX, width), Fraction(CELL_HEIGHT_MAX, height))
        return cls(_even(width * scale), _even(height * scale))

    @property
    def bytes(self) -> int:
        """Bytes of a cell: 4:2:0 with 8 bits, one plane behind the other."""
        return self.width * self.height * 3 // 2


@dataclass(frozen=True, slots=True)
class Cue:
    """One picture of a storyboard."""

    start_ms: int
    """From the beginning of the recording."""
    stop_ms: int
    sheet: int
    """Number of its sheet, from 0."""
    place: int
    """Number of its cell in the sheet, row by row."""


def draw_cell(cmaf_header: bytes, fragment: bytes, size: CellSize) -> bytes:
    """Decode the first keyframe of a fragment and scale it to a cell, with black beside it where its shape differs.

    Args:
        cmaf_header: ``ftyp`` and ``moov``.
        fragment: ``moof`` and ``mdat`` with a keyframe.
        size: Of the cell.

    Returns:
        Its pixels, ``size.bytes``.

    Raises:
        PictureError: There is no picture, it is too large, or it does not decode.
    """
    try:
        frame, aspect = decode_keyframe(cmaf_header + fragment)
        width, height = fitted(frame, aspect, size.width, size.height)
        picture = as_full_range(frame, min(width, size.width), min(height, size.height))
    except (FFmpegError, ValueError) as exc:
        raise PictureError(f"the keyframe does not decode: {exc}") from exc
    planes = []
    for plane, black, half in zip(picture.planes, _BLACK, (1, 2, 2), strict=True):
        values = memoryview(plane)
        columns, rows = size.width // half, size.height // half
        left, above = (columns - plane.width) // 2, (rows - plane.height) // 2
        lines = [
            black * left
            + bytes(values[line * plane.line_size : line * plane.line_size + plane.width])
            + black * (columns - left - plane.width)
            for line in range(plane.height)
        ]
        planes.append(black * columns * above + b"".join(lines) + black * columns * (rows - above - plane.height))
    return b"".join(planes)


def draw_sheet(cells: bytes, size: CellSize) -> bytes:
    """Put cells side by side, ``COLUMNS`` in a row.

    Args:
        cells: Of ``draw_cell``, one behind the other.
        size: Of each.

    Returns:
        A JPEG file.

    Raises:
        PictureError: There is none.
    """
    count = len(cells) // size.bytes if size.width and size.height else 0
    if not 0 < count <= CELLS_MAX or len(cells) != count * size.bytes:
        raise PictureError(f"{len(cells)} bytes are no sheet of cells")
    columns = min(count, COLUMNS)
    graph = Graph()
    # A sandbox refuses threads.
    graph.threads = 1
    source = graph.add_buffer(width=size.width, height=size.height, format=_PIXELS, time_base=Fraction(1))
    tile = graph.add("tile", f"layout={columns}x{-(-count // columns)}:color=black")
    sink = graph.add("buffersink")
    source.link_to(tile)
    tile.link_to(sink)
    graph.configure()
    for number in range(count):
        frame = _frame_of(memoryview(cells)[number * size.bytes : (number + 1) * size.bytes], size)
        frame.pts, frame.time_base = number, Fraction(1)
        graph.vpush(frame)
    graph.vpush(None)
    picture = graph.vpull()
    sheet = av.VideoFrame(picture.width, picture.height, "yuvj420p")
    for ours, drawn in zip(sheet.planes, picture.planes, strict=True):
        ours.update(_with_strides(memoryview(drawn), drawn.line_size, ours.line_size, drawn.width, drawn.height))
    return encode_jpeg(sheet)


def draw_own_storyboard() -> None:
    """Draw a sheet of our own, so that every library of drawing is loaded before a sandbox is locked."""
    size = CellSize(CELL_SIDE_MIN, CELL_SIDE_MIN)
    draw_sheet(bytes(size.bytes), size)


def render_vtt(cues: Iterable[Cue], size: CellSize) -> str:
    """The times of the pictures, and where each is, as WebVTT that players read as a track of thumbnails."""
    lines = ["WEBVTT", ""]
    for cue in cues:
        x, y = cue.place % COLUMNS * size.width, cue.place // COLUMNS * size.height
        lines += (
            f"{_timestamp(cue.start_ms)} --> {_timestamp(cue.stop_ms)}",
            f"storyboard-{cue.sheet}.jpg#xywh={x},{y},{size.width},{size.height}",
            "",
        )
    return "\n".join(lines)


def _even(pixels: Fraction) -> int:
    return max(CELL_SIDE_MIN, round(pixels / 2) * 2)


def _timestamp(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"


def _frame_of(cell: memoryview, size: CellSize) -> VideoFrame:
    frame = av.VideoFrame(size.width, size.height, "yuv420p")
    values = cell
    for plane in frame.planes:
        count = plane.width * plane.height
        plane.update(_with_strides(values[:count], plane.width, plane.line_size, plane.width, plane.height))
        values = values[count:]
    return frame


def _with_strides(values: memoryview, stride: int, new_stride: int, width: int, height: int) -> bytes:
    """The lines of a plane, each ``new_stride`` bytes long in place of ``stride``."""
    gap = bytes(new_stride - width)
    return b"".join(bytes(values[line * stride : line * stride + width]) + gap for line in range(height))
