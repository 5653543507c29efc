from __future__ import annotations

import io
from fractions import Fraction

import av
import pytest

from streamd.errors import PictureError
from streamd.media.storyboard import (
    CELLS_MAX,
    COLUMNS,
    CellSize,
    Cue,
    draw_cell,
    draw_own_storyboard,
    draw_sheet,
    render_vtt,
)
from tests.media.test_picture import CLIPS, RED_BT601, Clip, read_jpeg

WIDE = CellSize(160, 90)


def grey(size: CellSize, light: int) -> bytes:
    """A cell of one light."""
    pixels = size.width * size.height
    return bytes([light]) * pixels + b"\x80" * (pixels // 2)


def lights(jpeg: bytes, size: CellSize, count: int) -> list[int]:
    """The light in the middle of each cell of a sheet."""
    with av.open(io.BytesIO(jpeg), "r", format="jpeg_pipe") as container:
        frame = next(container.decode(video=0))
    plane = frame.planes[0]
    values = memoryview(plane)
    columns = frame.width // size.width
    return [
        values[
            (number // columns * size.height + size.height // 2) * plane.line_size
            + number % columns * size.width
            + size.width // 2
        ]
        for number in range(count)
    ]


class TestTheSizeOfACell:
    @pytest.mark.parametrize(
        ("picture", "cell"),
        [
            ((1920, 1080), (160, 90)),
            ((1280, 720), (160, 90)),
            ((1024, 768), (120, 90)),
            ((1080, 1920), (50, 90)),
            ((10_000, 16), (160, 16)),
            ((16, 10_000), (16, 90)),
            ((0, 0), (160, 90)),
        ],
    )
    def test_has_the_shape_of_the_picture(self, picture: tuple[int, int], cell: tuple[int, int]) -> None:
        size = CellSize.of(*picture)
        assert (size.width, size.height) == cell
        assert size.bytes == cell[0] * cell[1] * 3 // 2


class TestACell:
    @pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS)
    def test_is_drawn_from_every_codec(self, clip: Clip) -> None:
        cell = draw_cell(*clip.fragmented(), WIDE)
        assert len(cell) == WIDE.bytes
        # White is 255 in JPEG's range.
        assert cell[90 * 160 // 2] > 245

    def test_has_black_beside_a_picture_of_another_shape(self) -> None:
        """The encoder has turned from wide to upright in the middle of the recording."""
        cell = draw_cell(*Clip(width=180, height=320).fragmented(), WIDE)
        assert len(cell) == WIDE.bytes
        middle = cell[45 * 160 : 46 * 160]
        assert (middle[0], middle[159]) == (0, 0)
        assert middle[80] > 245
        assert sum(value > 128 for value in middle) == 50

    def test_enlarges_nothing(self) -> None:
        cell = draw_cell(*Clip(width=64, height=36).fragmented(), WIDE)
        assert sum(value > 128 for value in cell[: 160 * 90]) == 64 * 36

    def test_is_none_where_nothing_decodes(self) -> None:
        with pytest.raises(PictureError):
            draw_cell(b"no header", b"no fragment", WIDE)


class TestASheet:
    @pytest.mark.parametrize("count", [1, 7, COLUMNS, COLUMNS + 1, CELLS_MAX])
    @pytest.mark.parametrize("size", [WIDE, CellSize(50, 90)], ids=["wide", "upright"])
    def test_has_its_cells_in_rows(self, count: int, size: CellSize) -> None:
        given = [40 + 2 * number for number in range(count)]
        jpeg = draw_sheet(b"".join(grey(size, light) for light in given), size)
        width, height, _ = read_jpeg(jpeg)
        assert (width, height) == (min(count, COLUMNS) * size.width, -(-count // COLUMNS) * size.height)
        assert all(abs(seen - light) <= 2 for seen, light in zip(lights(jpeg, size, count), given, strict=True))

    def test_keeps_colours(self) -> None:
        # The full range of JPEG: red of BT.601 is 76, 85, 255.
        jpeg = draw_sheet(draw_cell(*Clip(colour=RED_BT601).fragmented(), WIDE), WIDE)
        red, green, blue = read_jpeg(jpeg)[2]
        assert red > 230
        assert max(green, blue) < 30

    @pytest.mark.parametrize(
        ("cells", "size"),
        [
            (b"", WIDE),
            (b"x" * (WIDE.bytes - 1), WIDE),
            (b"x" * (WIDE.bytes + 1), WIDE),
            (bytes(CellSize(16, 16).bytes) * (CELLS_MAX + 1), CellSize(16, 16)),
            (b"x", CellSize(0, 0)),
        ],
        ids=["none", "short", "long", "many", "sizeless"],
    )
    def test_of_something_else_is_none(self, cells: bytes, size: CellSize) -> None:
        with pytest.raises(PictureError):
            draw_sheet(cells, size)

    def test_of_our_own_can_be_drawn(self) -> None:
        draw_own_storyboard()


class TestTheTimes:
    """WebVTT, and Media Fragments URI 1.0 section 4.2.2."""

    def test_name_a_sheet_and_a_place_in_it(self) -> None:
        cues = [Cue(0, 10_000, 0, 0), Cue(10_000, 3_725_004, 0, 11), Cue(360_000_000, 360_000_001, 12, 99)]
        assert render_vtt(cues, WIDE).split("\n") == [
            *("WEBVTT", ""),
            *("00:00:00.000 --> 00:00:10.000", "storyboard-0.jpg#xywh=0,0,160,90", ""),
            *("00:00:10.000 --> 01:02:05.004", "storyboard-0.jpg#xywh=160,90,160,90", ""),
            *("100:00:00.000 --> 100:00:00.001", "storyboard-12.jpg#xywh=1440,810,160,90", ""),
        ]

    def test_of_nothing_are_a_file_all_the_same(self) -> None:
        assert render_vtt([], WIDE) == "WEBVTT\n"


def test_a_pixel_that_is_not_square_is_shown_as_it_was_meant() -> None:
    clip = Clip(width=144, height=180, pixel_aspect=Fraction(16, 9))
    cell = draw_cell(*clip.fragmented(), WIDE)
    # 256 x 180, in 128 x 90.
    assert sum(value > 128 for value in cell[45 * 160 : 46 * 160]) == 128
