"""Pictures as values of pixels."""

from __future__ import annotations

from fractions import Fraction

import pytest

from streamd.errors import PictureError
from streamd.media.picture import SIDE_PIXELS_MAX, draw_picture
from streamd.media.pixels import PIXELS_BYTES_MAX, SIZE, draw_own_pixels, draw_pixels
from tests.media.test_picture import CLIPS, RED_BT601, Clip


def read_pixels(pixels: bytes) -> tuple[int, int, tuple[int, ...]]:
    """Width, height, and the red, green and blue in the middle."""
    width, height = SIZE.unpack(pixels[: SIZE.size])
    assert len(pixels) == SIZE.size + width * height * 3
    middle = SIZE.size + (height // 2 * width + width // 2) * 3
    return width, height, tuple(pixels[middle : middle + 3])


@pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS)
def test_the_keyframe_of_every_codec_has_pixels(clip: Clip) -> None:
    width, height, colour = read_pixels(draw_pixels(*clip.fragmented(), 512, 512))
    assert (width, height) == (320, 180)
    assert min(colour) > 250


def test_a_jpeg_of_ours_has_the_colours_of_the_keyframe_that_it_is_of() -> None:
    clip = Clip(colour=RED_BT601).fragmented()
    for pixels in (draw_pixels(*clip, 512, 512), draw_pixels(b"", draw_picture(*clip), 512, 512)):
        width, height, (red, green, blue) = read_pixels(pixels)
        assert (width, height) == (320, 180)
        assert red > 245
        assert max(green, blue) < 12


def test_a_picture_fits_into_the_box_and_keeps_its_shape() -> None:
    assert read_pixels(draw_pixels(*Clip(width=1280, height=720).fragmented(), 512, 512))[:2] == (512, 288)
    assert read_pixels(draw_pixels(*Clip(width=320, height=640).fragmented(), 160, 160))[:2] == (80, 160)
    wide = Clip(width=320, height=320, pixel_aspect=Fraction(2)).fragmented()
    assert read_pixels(draw_pixels(*wide, 512, 512))[:2] == (512, 256)


def test_the_largest_answer_is_the_largest_picture() -> None:
    square = Clip(width=1024, height=1024).fragmented()
    assert len(draw_pixels(*square, SIDE_PIXELS_MAX, SIDE_PIXELS_MAX)) == PIXELS_BYTES_MAX


@pytest.mark.parametrize(
    ("header", "picture"),
    [
        (b"", b""),
        (b"", b"<html>"),
        (b"", b"\xff\xd8\xff"),
        (b"", b"\xff\xd8\xff\xe0" + bytes(100)),
        (b"header", b"fragment"),
    ],
)
def test_what_is_no_picture_has_none(header: bytes, picture: bytes) -> None:
    with pytest.raises(PictureError):
        draw_pixels(header, picture, 512, 512)


def test_a_jpeg_that_ends_early_does_not_hang() -> None:
    jpeg = draw_picture(*Clip().fragmented())
    for length in range(3, len(jpeg), len(jpeg) // 7):
        try:
            assert read_pixels(draw_pixels(b"", jpeg[:length], 512, 512))[:2] == (320, 180)
        except PictureError:
            continue


@pytest.mark.parametrize(("width", "height"), [(0, 512), (512, 0), (SIDE_PIXELS_MAX + 1, 512), (512, 65535)])
def test_a_box_that_is_none_is_refused(width: int, height: int) -> None:
    with pytest.raises(PictureError, match="no size"):
        draw_pixels(*Clip().fragmented(), width, height)


def test_all_libraries_are_loaded_by_a_picture_of_our_own() -> None:
    draw_own_pixels()
