"""A keyframe, or a JPEG of ours, as the values of pixels that a machine looks at.

It runs where pictures are drawn (``picture_worker``), for the bytes are a publisher's. The result is numbers of a
known count, in which no parser can be misled any more: the machine that looks at them needs no copy for each picture.

Spec: ISO/IEC 14496-12 (CMAF header and fragment in), ITU-T T.81 (JPEG in).
"""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.error import FFmpegError
from av.video.reformatter import Colorspace, Interpolation

from streamd.errors import PictureError
from streamd.media.picture import SIDE_PIXELS_MAX, colorspace_of, decode_keyframe, encode_jpeg, fitted

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

SIZE = struct.Struct(">HH")
"""Width and height, before the pixels."""
PIXELS_BYTES_MAX = SIZE.size + SIDE_PIXELS_MAX * SIDE_PIXELS_MAX * 3
"""Of an answer: red, green and blue of the largest picture, 2.8 MB."""
_JPEG_START = b"\xff\xd8\xff"


def draw_pixels(cmaf_header: bytes, fragment: bytes, width_max: int, height_max: int) -> bytes:
    """Decode a picture, and scale it into a box; nothing is enlarged.

    Args:
        cmaf_header: ``ftyp`` and ``moov``; empty where ``fragment`` is a JPEG file.
        fragment: ``moof`` and ``mdat`` with a keyframe in it, or a JPEG file.
        width_max: Pixels, at most ``SIDE_PIXELS_MAX``.
        height_max: Likewise.

    Returns:
        ``SIZE``, and the rows from above, each with red, green and blue of its pixels, a byte each.

    Raises:
        PictureError: There is no picture, it is too large, or it does not decode.
    """
    if not 0 < width_max <= SIDE_PIXELS_MAX or not 0 < height_max <= SIDE_PIXELS_MAX:
        raise PictureError(f"{width_max} x {height_max} is no size to look at")
    try:
        if cmaf_header:
            frame, aspect = decode_keyframe(cmaf_header + fragment)
            colours = colorspace_of(frame)
        else:
            # JFIF: BT.601.
            frame, aspect, colours = _decode_jpeg(fragment), Fraction(1), Colorspace.ITU601
        width, height = fitted(frame, aspect, width_max, height_max)
        # As everywhere here: a sandbox refuses threads.
        # Each value is the mean of those that it stands for, as fingerprints take them, in a third of the time.
        area = Interpolation.AREA
        picture = frame.reformat(width, height, format="rgb24", src_colorspace=colours, interpolation=area, threads=1)
    except (FFmpegError, ValueError) as exc:
        raise PictureError(f"the picture does not decode: {exc}") from exc
    (plane,) = picture.planes
    values, row_bytes = memoryview(plane), picture.width * 3
    rows = [values[line * plane.line_size : line * plane.line_size + row_bytes] for line in range(picture.height)]
    return b"".join([SIZE.pack(picture.width, picture.height), *rows])


def scale(picture: NDArray[numpy.uint8], width: int, height: int) -> NDArray[numpy.uint8]:
    """Scale pixels; nothing is decoded.

    Args:
        picture: Rows, columns, and red, green and blue.
        width: Wanted.
        height: Wanted.
    """
    if picture.shape[:2] == (height, width):
        return picture
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    scaled = frame.reformat(width, height, format="rgb24", interpolation=Interpolation.AREA, threads=1).to_ndarray()
    return cast("NDArray[numpy.uint8]", scaled)


def draw_own_pixels() -> None:
    """Look at a grey picture of our own, so that every library is loaded before a sandbox is locked."""
    frame = av.VideoFrame(64, 64, "yuvj420p")
    for plane in frame.planes:
        plane.update(b"\x80" * plane.buffer_size)
    draw_pixels(b"", encode_jpeg(frame), 32, 32)


def _decode_jpeg(file: bytes) -> av.VideoFrame:
    """Decode a JPEG file.

    Raises:
        PictureError: It is none, or has no picture.
        FFmpegError: It does not decode.
    """
    if not file.startswith(_JPEG_START):
        raise PictureError("this is no JPEG file")
    options = {"max_pixels": str(SIDE_PIXELS_MAX * SIDE_PIXELS_MAX * 16), "threads": "1", "codec_whitelist": "mjpeg"}
    with av.open(io.BytesIO(file), "r", format="jpeg_pipe", options=options) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        stream.codec_context.options = options
        for packet in container.demux(stream):
            for frame in stream.codec_context.decode(packet):
                return frame
    raise PictureError("the JPEG file has no picture")
