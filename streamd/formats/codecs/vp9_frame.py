"""The picture size in the header of a VP9 keyframe, which its sequence header does not say.

VP9 specification 0.6, section 6.2.
"""

from __future__ import annotations

from streamd.errors import CodecConfigError
from streamd.formats.codecs.bits import BitReader
from streamd.formats.codecs.sequence_parameter_set import PictureSize

_FRAME_MARKER = 2
_SYNC_CODE = 0x498342
_COLOUR_SPACE_RGB = 7
_PROFILE_WITH_RESERVED_BIT = 3
# Everything up to the size has 16 bytes at the most.
_BYTES_READ_MAX = 16
# Annex A, level 6.2: "Max Luma Picture Size" and "Max Dim".
_PICTURE_SAMPLES_MAX = 35_651_584
_SIDE_MAX = 16_384


def read_picture_size(frame: bytes) -> PictureSize:
    """Read the uncompressed header of a keyframe up to its size.

    Args:
        frame: A frame, or a superframe, which begins with one.

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
    _skip_colours(reader, profile)
    width, height = reader.read(16) + 1, reader.read(16) + 1
    if width * height > _PICTURE_SAMPLES_MAX or max(width, height) > _SIDE_MAX:
        raise CodecConfigError(f"a VP9 keyframe with a picture of {width} by {height}")
    return PictureSize(width, height)


def _skip_colours(reader: BitReader, profile: int) -> None:
    """Skip color_config (6.2.2)."""
    has_subsampling = bool(profile & 1)
    reader.skip(1 if profile >= 2 else 0)  # ten_or_twelve_bit
    if reader.read(3) != _COLOUR_SPACE_RGB:
        reader.skip(4 if has_subsampling else 1)  # color_range; subsampling_x, subsampling_y, reserved_zero
    else:
        reader.skip(1 if has_subsampling else 0)  # reserved_zero
