"""A keyframe as a small JPEG picture, which a page shows before a stream plays.

The bytes come from a publisher, and a decoder is the part of any media program where bad ones do the most harm. So this
runs in a process of its own (``picture_worker``), one frame is decoded, and the size that its headers claim is bounded
before memory is allocated for it.

Spec: ISO/IEC 14496-12 (CMAF header and fragment in), ITU-T T.81 (JPEG out).
"""

from __future__ import annotations

import enum
import io
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.error import FFmpegError
from av.video.reformatter import Colorspace

from streamd.errors import PictureError
from streamd.formats.codecs.sequence_parameter_set import FRAME_MACROBLOCKS_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame


class PictureKind(enum.IntEnum):
    """What is drawn."""

    POSTER = 0
    """A keyframe as JPEG."""
    CELL = 1
    """A keyframe as the values of the pixels of a cell of a storyboard (``storyboard.draw_cell``)."""
    SHEET = 2
    """Cells as the JPEG of a storyboard (``storyboard.draw_sheet``)."""
    PIXELS = 3
    """A keyframe, or a JPEG file, as values of pixels in a box (``pixels.draw_pixels``)."""


# Heads of an order for a picture and of its answer in a pipe, big-endian.
ORDER = struct.Struct(">BHHII")
"""The kind (``PictureKind``), width and height of a cell or of a box, and the lengths of the pieces behind it:
CMAF header and fragment, nothing and cells, or nothing and a JPEG file."""
ANSWER = struct.Struct(">BI")
"""The layers that held the process (``sandbox.Layer``); JPEG file, empty where there is no picture."""

# A picture is 20 to 60 kB. A longer answer is not our worker's.
PICTURE_BYTES_MAX = 1024 * 1024
# A header and the part of a keyframe: twice the largest message that is taken by default ([limits] message_bytes_max),
# where the largest keyframe of 4K in use is 3 MB. It is copied in one step of the loop, in 4 ms.
ORDER_BYTES_MAX = 16 * 1024 * 1024

# The decoders of the codecs that are taken from publishers, and none of libav's other three hundred; sound beside the
# picture is not decoded.
DECODERS = ("h264", "hevc", "vp9", "av1", "libdav1d")
# As for ingest: level 6.2 of H.264 and HEVC. 8K is below it.
PICTURE_PIXELS_MAX = FRAME_MACROBLOCKS_MAX * 256
# The longer side. Enough for a preview in a social network (they ask for 600 x 315 at least) and for a card on a
# screen with twice the pixels; 20 to 60 kB.
SIDE_PIXELS_MAX = 960
SIDE_PIXELS_MIN = 16
# JPEG's quantizer, 2 (best) to 31: 5 shows no blocks at this size.
QUANTIZER = 5
# A picture without named colours is BT.709 from this height on, BT.601 below, as in browsers.
BT709_LINES_MIN = 720
# ISO/IEC 23091-2, MatrixCoefficients.
_UNSPECIFIED = 2
_BT601 = (5, 6)
# Of pixels that are not square; DVD's widest is 64:45.
PIXEL_ASPECT_MAX = 4


def draw_picture(cmaf_header: bytes, fragment: bytes) -> bytes:
    """Decode the first keyframe of a fragment and write it as JPEG, no larger than ``SIDE_PIXELS_MAX``.

    Args:
        cmaf_header: ``ftyp`` and ``moov``.
        fragment: One ``moof`` + ``mdat`` with a keyframe in it.

    Returns:
        A JPEG file (JFIF), 4:2:0.

    Raises:
        PictureError: There is no picture, it is too large, or it does not decode.
    """
    try:
        frame, aspect = decode_keyframe(cmaf_header + fragment)
        return encode_jpeg(as_full_range(frame, *fitted(frame, aspect, SIDE_PIXELS_MAX, SIDE_PIXELS_MAX)))
    except (FFmpegError, ValueError) as exc:
        raise PictureError(f"the keyframe does not decode: {exc}") from exc


def draw_own_picture() -> None:
    """Draw a grey picture of our own, so that every library of drawing is loaded before a sandbox is locked."""
    output = io.BytesIO()
    with av.open(output, "w", format="mp4") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = SIDE_PIXELS_MIN, SIDE_PIXELS_MIN, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame(SIDE_PIXELS_MIN, SIDE_PIXELS_MIN, "yuvj420p")))
        container.mux(stream.encode(None))
    frame, aspect = decode_keyframe(output.getvalue(), decoders=("mjpeg",))
    encode_jpeg(as_full_range(frame, *fitted(frame, aspect, SIDE_PIXELS_MAX, SIDE_PIXELS_MAX)))


def decode_keyframe(file: bytes, decoders: Sequence[str] = DECODERS) -> tuple[VideoFrame, Fraction]:
    """Decode one frame.

    Args:
        file: MP4.
        decoders: libav's names of those that may be used.

    Returns:
        The frame, and the width of a pixel over its height.
    """
    # Probing would decode a frame too, half of all the work: the decoder learns from the frame itself what it is.
    bounds = {"max_pixels": str(PICTURE_PIXELS_MAX), "threads": "1"}
    options = bounds | {"codec_whitelist": ",".join(decoders)}
    with av.open(io.BytesIO(file), "r", format="mp4", options=bounds | {"codec_whitelist": "none"}) as container:
        if not container.streams.video:
            raise PictureError("there is no video track")
        stream = container.streams.video[0]
        # None for a codec that libav does not know, whatever PyAV's types say.
        decoder = cast("VideoCodecContext | None", stream.codec_context)
        if decoder is None:
            raise PictureError("nothing decodes the video track")
        decoder.thread_count = 1
        decoder.options = options
        for packet in container.demux(stream):
            if packet.is_keyframe and packet.size:
                # Decoders hold a frame back in case a later one is to be shown before it: none follows.
                frames = decoder.decode(packet) or decoder.decode(None)
                if not frames:
                    break
                return frames[0], _aspect(decoder)
    raise PictureError("no keyframe decodes")


def _aspect(decoder: VideoCodecContext) -> Fraction:
    aspect = decoder.sample_aspect_ratio or Fraction(1)
    return aspect if Fraction(1, PIXEL_ASPECT_MAX) <= aspect <= PIXEL_ASPECT_MAX else Fraction(1)


def fitted(frame: VideoFrame, aspect: Fraction, width_max: int, height_max: int) -> tuple[int, int]:
    """The size of a picture: square pixels, even for 4:2:0, nothing enlarged.

    Args:
        frame: The frame.
        aspect: The width of a pixel over its height.
        width_max: Pixels.
        height_max: Pixels.
    """
    shown_width = frame.width * aspect
    scale = min(Fraction(1), width_max / shown_width, Fraction(height_max, frame.height))
    return _even(shown_width * scale), _even(frame.height * scale)


def _even(pixels: Fraction) -> int:
    return max(SIDE_PIXELS_MIN, round(pixels / 2) * 2)


def as_full_range(frame: VideoFrame, width: int, height: int) -> VideoFrame:
    """A frame in the size, the colours and the values of JPEG.

    JFIF: BT.601, and the full range of values where video mostly has 16 to 235.
    """
    return frame.reformat(
        width,
        height,
        format="yuvj420p",
        src_colorspace=colorspace_of(frame),
        dst_colorspace=Colorspace.ITU601,
        # As everywhere here: a sandbox refuses threads.
        threads=1,
    )


def colorspace_of(frame: VideoFrame) -> Colorspace:
    """The matrix of a frame's colours."""
    is_bt601 = frame.colorspace in _BT601 or (frame.colorspace == _UNSPECIFIED and frame.height < BT709_LINES_MIN)
    return Colorspace.ITU601 if is_bt601 else Colorspace.ITU709


def encode_jpeg(picture: VideoFrame) -> bytes:
    """Write a frame of ``as_full_range`` as a JPEG file."""
    picture.pts, picture.time_base = 0, Fraction(1, 25)
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.qmin = encoder.qmax = QUANTIZER
    return b"".join(bytes(packet) for packet in (*encoder.encode(picture), *encoder.encode(None)))
