"""Pictures that are made: no two alike, and each as full of shapes as a frame of video."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

if TYPE_CHECKING:
    Picture = Any


def scene(number: int, width: int, height: int, grain: float = 0) -> Picture:
    """Make a picture: a gradient, and shapes of every size on it.

    Args:
        number: Which; the same number makes the same picture.
        width: Pixels.
        height: Pixels.
        grain: Noise that a camera makes, as a standard deviation of 255; a keyframe has ten times the bytes with it.

    Returns:
        Rows, columns, and red, green and blue, as numpy has them.
    """
    import numpy

    generator = numpy.random.default_rng(number)
    rows = numpy.linspace(0, 1, height, dtype=numpy.float32)[:, None]
    columns = numpy.linspace(0, 1, width, dtype=numpy.float32)[None, :]
    picture = numpy.empty((height, width, 3), dtype=numpy.float32)
    for plane in range(3):
        across, down, base = generator.uniform(-80, 80), generator.uniform(-80, 80), generator.uniform(90, 160)
        picture[:, :, plane] = base + across * columns + down * rows
    for _ in range(24):
        x, y = generator.uniform(0, 1, 2)
        wide, high = generator.uniform(0.02, 0.3, 2)
        colour = generator.uniform(0, 255, 3).astype(numpy.float32)
        if generator.random() < 0.5:
            inside = (abs(columns - x) < wide) & (abs(rows - y) < high)
        else:
            inside = ((columns - x) / wide) ** 2 + ((rows - y) / high) ** 2 < 1
        picture[inside] = picture[inside] * 0.25 + colour * 0.75
    if grain:
        picture += generator.normal(0, grain, picture.shape).astype(numpy.float32)
    return numpy.clip(picture, 0, 255).astype(numpy.uint8)


def reencoded(picture: Picture, width: int, height: int, quality: int) -> Picture:
    """Scale a picture, and write and read it as JPEG.

    Args:
        picture: Rows, columns, and red, green and blue.
        width: Pixels.
        height: Pixels.
        quality: Percent, as the IJG's library counts: 50 is the tables of ITU-T T.81, and 30 a table 1.67 times as
            coarse, which is libavcodec's quantizer 2 * 8 * 1.67 / 8.
    """
    # Annex K's luminance table is about libavcodec's MPEG matrix at quantizer 8 or so; the rest is proportion.
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    jpeg = jpeg_of(picture, width, height, max(2, min(31, round(8 * scale / 100))))
    with av.open(io.BytesIO(jpeg), "r", format="jpeg_pipe") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def jpeg_of(picture: Picture, width: int, height: int, quantizer: int = 5) -> bytes:
    """Write a picture as a JPEG file.

    Args:
        picture: Rows, columns, and red, green and blue.
        width: Pixels.
        height: Pixels.
        quantizer: libavcodec's, 2 to 31.
    """
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(width, height, format="yuvj420p")
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.qmin = encoder.qmax = quantizer
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))


def keyframe_of(picture: Picture, width: int, height: int, crf: int = 23) -> tuple[bytes, bytes]:
    """Write a picture as the H.264 keyframe of a stream.

    Args:
        picture: Rows, columns, and red, green and blue.
        width: Pixels.
        height: Pixels.
        crf: How coarse, 0 to 51.

    Returns:
        Its CMAF header and its fragment.
    """
    output = io.BytesIO()
    options = {"movflags": "empty_moov+default_base_moof+frag_keyframe"}
    with av.open(output, "w", format="mp4", options=options) as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"crf": str(crf), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        container.mux(stream.encode(frame.reformat(width, height, format="yuv420p")))
        container.mux(stream.encode(None))
    data = output.getvalue()
    fragment_at = data.index(b"moof") - 4
    return data[:fragment_at], data[fragment_at:]
