"""Video usability information, as far as H.264's and HEVC's are alike: the shape of a sample and the colours.

ITU-T H.264 section E.1.1; ITU-T H.265 section E.2.1.
"""

from __future__ import annotations

from streamd.formats.codecs.bits import BitReader
from streamd.formats.codecs.picture_format import (
    NO_ASPECT,
    NO_COLOURS,
    UNSPECIFIED,
    Colours,
    SampleAspect,
    known_colours,
)

# Table E-1 (H.265: E.1), aspect_ratio_idc from 1; 0 is "Unspecified".
_ASPECTS = tuple(
    SampleAspect(width, height)
    for width, height in (
        *((1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11)),
        *((80, 33), (18, 11), (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1)),
    )
)
_EXTENDED_SAR = 255


def read_usability(reader: BitReader) -> tuple[SampleAspect, Colours]:
    """Read the fields behind vui_parameters_present_flag, up to the colours.

    Raises:
        CodecConfigError: It ends too early.
    """
    aspect, colours = NO_ASPECT, NO_COLOURS
    if reader.read_flag():  # aspect_ratio_info_present_flag
        aspect_ratio_idc = reader.read(8)
        if aspect_ratio_idc == _EXTENDED_SAR:
            aspect = SampleAspect(reader.read(16), reader.read(16))  # sar_width, sar_height
        elif 0 < aspect_ratio_idc <= len(_ASPECTS):
            aspect = _ASPECTS[aspect_ratio_idc - 1]
    if reader.read_flag():  # overscan_info_present_flag
        reader.skip(1)  # overscan_appropriate_flag
    if reader.read_flag():  # video_signal_type_present_flag
        reader.skip(3)  # video_format
        is_full_range = reader.read_flag()
        points = (UNSPECIFIED, UNSPECIFIED, UNSPECIFIED)
        if reader.read_flag():  # colour_description_present_flag
            points = (reader.read(8), reader.read(8), reader.read(8))
        colours = known_colours(*points, is_full_range=is_full_range)
    return aspect, colours
