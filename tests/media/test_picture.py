from __future__ import annotations

import io
import random
from dataclasses import dataclass
from fractions import Fraction

import av
import pytest
from av.video.stream import VideoStream

from streamd.errors import PictureError
from streamd.media import picture
from streamd.media.picture import SIDE_PIXELS_MAX, draw_picture
from tests.support.priority import keeping_priority

# Limited range, BT.601: white, and a full red that other matrices make orange or dark.
WHITE = (235, 128, 128)
RED_BT601 = (81, 90, 240)


@dataclass(frozen=True)
class Clip:
    """A few frames of one colour."""

    encoder: str = "libx264"
    width: int = 320
    height: int = 180
    colour: tuple[int, int, int] = WHITE
    pixel_aspect: Fraction = Fraction(1)
    options: tuple[tuple[str, str], ...] = ()

    def fragmented(self) -> tuple[bytes, bytes]:
        """Its CMAF header and its first fragment."""
        output = io.BytesIO()
        options = {"movflags": "empty_moov+default_base_moof+frag_keyframe"}
        with keeping_priority(), av.open(output, "w", format="mp4", options=options) as container:
            stream = container.add_stream(self.encoder, rate=30, options=dict(self.options))
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = self.width, self.height, "yuv420p"
            stream.codec_context.sample_aspect_ratio = self.pixel_aspect
            for index in range(3):
                frame = av.VideoFrame(self.width, self.height, "yuv420p")
                for plane, value in zip(frame.planes, self.colour, strict=True):
                    plane.update(bytes([value]) * plane.buffer_size)
                frame.pts, frame.time_base = index, Fraction(1, 30)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        data = output.getvalue()
        fragment_at = data.index(b"moof") - 4
        return data[:fragment_at], data[fragment_at:]


def read_jpeg(jpeg: bytes) -> tuple[int, int, tuple[int, int, int]]:
    """Width, height and the red, green and blue of the pixel in the middle."""
    assert jpeg[:2] == b"\xff\xd8"
    assert jpeg[-2:] == b"\xff\xd9"
    with av.open(io.BytesIO(jpeg), "r", format="jpeg_pipe") as container:
        frame = next(container.decode(video=0)).to_rgb()
    plane = frame.planes[0]
    middle = frame.height // 2 * plane.line_size + frame.width // 2 * 3
    red, green, blue = bytes(plane)[middle : middle + 3]
    return frame.width, frame.height, (red, green, blue)


CLIPS = {
    "H.264": Clip("libx264"),
    "H.264 with B-frames": Clip("libx264", options=(("bf", "2"),)),
    "HEVC": Clip("libx265", options=(("x265-params", "log-level=none"),)),
    "VP9": Clip("libvpx-vp9", options=(("deadline", "realtime"), ("cpu-used", "8"))),
    "AV1": Clip("libsvtav1", options=(("preset", "12"),)),
}


@pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS)
def test_the_keyframe_of_every_codec_becomes_a_picture(clip: Clip) -> None:
    width, height, colour = read_jpeg(draw_picture(*clip.fragmented()))
    assert (width, height) == (320, 180)
    assert min(colour) > 250


@pytest.mark.parametrize(
    ("clip", "size"),
    [
        (Clip(width=64, height=36), (64, 36)),
        (Clip(width=1920, height=1080), (SIDE_PIXELS_MAX, 540)),
        (Clip(width=1080, height=1920), (540, SIDE_PIXELS_MAX)),
        (Clip(width=720, height=576, pixel_aspect=Fraction(64, 45)), (SIDE_PIXELS_MAX, 540)),
        (Clip(width=1920, height=16), (SIDE_PIXELS_MAX, 16)),
    ],
    ids=["small", "wide", "tall", "pixels that are not square", "a stripe"],
)
def test_it_is_as_large_as_a_page_shows_it_and_no_larger(clip: Clip, size: tuple[int, int]) -> None:
    width, height, _ = read_jpeg(draw_picture(*clip.fragmented()))
    assert (width, height) == size


def test_colours_are_what_a_player_shows() -> None:
    """JFIF 1.02: BT.601; video below 720 lines that does not say is taken for BT.601 too, above for BT.709."""
    _, _, small = read_jpeg(draw_picture(*Clip(colour=RED_BT601).fragmented()))
    assert small[0] > 245
    assert max(small[1:]) < 12
    _, _, large = read_jpeg(draw_picture(*Clip(width=1280, height=720, colour=(63, 102, 240)).fragmented()))
    assert large[0] > 245
    assert max(large[1:]) < 12


class TestHostileBytes:
    def test_a_picture_larger_than_the_bound_is_not_decoded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clip = Clip(width=640, height=360).fragmented()
        monkeypatch.setattr(picture, "PICTURE_PIXELS_MAX", 640 * 360 - 1)
        with pytest.raises(PictureError):
            draw_picture(*clip)

    @pytest.mark.parametrize("data", [b"", b"\0" * 100, b"\xff\xd8\xff", b"\0\0\0\x08moov"])
    def test_what_is_no_media_is_no_picture(self, data: bytes) -> None:
        with pytest.raises(PictureError):
            draw_picture(data, b"")

    def test_a_header_without_a_fragment_is_no_picture(self) -> None:
        with pytest.raises(PictureError):
            draw_picture(Clip().fragmented()[0], b"")

    def test_a_codec_that_is_taken_from_no_publisher_is_not_decoded(self) -> None:
        with pytest.raises(PictureError):
            draw_picture(*Clip("mpeg4").fragmented())

    def test_sound_alone_is_no_picture(self) -> None:
        output = io.BytesIO()
        with av.open(output, "w", format="mp4", options={"movflags": "empty_moov+default_base_moof"}) as container:
            container.add_stream("aac", rate=48_000)
            container.start_encoding()
        with pytest.raises(PictureError, match="no video"):
            draw_picture(output.getvalue(), b"")

    def test_a_damaged_keyframe_is_a_picture_or_none(self) -> None:
        header, fragment = Clip().fragmented()
        draw = random.Random(7)
        for _ in range(40):
            damaged = bytearray(header + fragment)
            for _ in range(draw.randrange(1, 20)):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            try:
                read_jpeg(draw_picture(bytes(damaged[: len(header)]), bytes(damaged[len(header) :])))
            except PictureError:
                continue
