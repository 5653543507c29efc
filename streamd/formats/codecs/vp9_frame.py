"""The picture format in the header of a VP9 keyframe: colours, and the size, which the sequence header lacks.

VP9 specification 0.6, sections 6.2 and 7.2.2. Its render_size is a wish of the encoder's that decoders leave aside: it
says nothing of a sample's shape here.
"""

from __future__ import annotations

from streamd.errors import CodecConfigError
from streamd.formats.codecs.bits import BitReader
from streamd.formats.codecs.picture_format import NO_COLOURS, UNSPECIFIED, Colours, PictureFormat

_FRAME_MARKER = 2
_SYNC_CODE = 0x498342
_COLOUR_SPACE_RGB = 7
# 7.2.2, color_space, in H.273's MatrixCoefficients: unknown, BT.601, BT.709, SMPTE 170M, SMPTE 240M, BT.2020, reserved.
_MATRICES = (UNSPECIFIED, 5, 1, 6, 7, 9, UNSPECIFIED, 0)
_PROFILE_WITH_RESERVED_BIT = 3
# Everything up to the size has 16 bytes at the most.
_BYTES_READ_MAX = 16
# Annex A, level 6.2: "Max Luma Picture Size" and "Max Dim".
_PICTURE_SAMPLES_MAX = 35_651_584
_SIDE_MAX = 16_384


def read_picture_format(frame: bytes, said: Colours = NO_COLOURS) -> PictureFormat:
    """Read the uncompressed header of a keyframe up to its size.

    Args:
        frame: A frame, or a superframe, which begins with one.
        said: The colours of the sequence header. Only it has primaries and transfer; for the rest, decoders obey the
            frame.

    Raises:
        CodecConfigError: It is no keyframe, or its picture is larger than any level allows.
    """
    reader = BitReader(frame[:_BYTES_READ_MAX])
    if reader.read(2) != _FRAME_MARKER:
        raise CodecConfigError("no VP9 frame")
    profile = reader.read(1) | reader.read(1) << 1
    if profile == _PROFILE_WITH_RESERVED_BIT:
        reader.skip(1)
    # show_existing_frame; frame_type, 0 for a keyframe.
    if reader.read(1) or reader.read(1):
        raise CodecConfigError("a VP9 frame that is no keyframe")
    reader.skip(2)  # show_frame, error_resilient_mode
    if reader.read(24) != _SYNC_CODE:
        raise CodecConfigError("a VP9 keyframe without its sync code")
    matrix, is_full_range = _read_colours(reader, profile)
    width, height = reader.read(16) + 1, reader.read(16) + 1
    if width * height > _PICTURE_SAMPLES_MAX or max(width, height) > _SIDE_MAX:
        raise CodecConfigError(f"a VP9 keyframe with a picture of {width} by {height}")
    if matrix == UNSPECIFIED:
        matrix = said.matrix
    return PictureFormat(width, height, colours=Colours(said.primaries, said.transfer, matrix, is_full_range))


def _read_colours(reader: BitReader, profile: int) -> tuple[int, bool]:
    """Read color_config (6.2.2): MatrixCoefficients, and whether the range is full."""
    has_subsampling = bool(profile & 1)
    reader.skip(1 if profile >= 2 else 0)  # ten_or_twelve_bit
    colour_space = reader.read(3)
    # 7.2.2: RGB's color_range is not coded, and 1.
    is_full_range = True
    if colour_space != _COLOUR_SPACE_RGB:
        is_full_range = bool(reader.read(1))  # color_range
        reader.skip(3 if has_subsampling else 0)  # subsampling_x, subsampling_y, reserved_zero
    else:
        reader.skip(1 if has_subsampling else 0)  # reserved_zero
    return _MATRICES[colour_space], is_full_range
