"""What an H.264 sequence parameter set says of the pictures (ITU-T H.264 sections 7.3.2.1.1, 7.4.2.1.1 and E.1.1).

libavcodec knows the size only once it has decoded a slice; the SPS says it before, and says what must not be decoded.
"""

from __future__ import annotations

import math

from streamd.errors import CodecConfigError
from streamd.formats.codecs.bits import BitReader
from streamd.formats.codecs.picture_format import (
    NO_ASPECT,
    NO_COLOURS,
    Colours,
    PictureFormat,
    SampleAspect,
    showable_aspect,
)
from streamd.formats.codecs.video_usability import read_usability

# Table A-1, level 6.2: MaxFS; and A.3.1: "PicWidthInMbs <= Sqrt( MaxFS * 8 )", the height likewise.
FRAME_MACROBLOCKS_MAX = 139_264
_SIDE_MACROBLOCKS_MAX = math.isqrt(FRAME_MACROBLOCKS_MAX * 8)
# What stands before the size is a few bytes, but for scaling matrices, 12 lists of up to 64 codes of up to 17 bits, and
# for a cycle of 255 offsets of up to 63 bits.
_BYTES_READ_MAX = 3072
# 7.4.2.1.1: "num_ref_frames_in_pic_order_cnt_cycle … shall be in the range of 0 to 255".
_ORDER_CYCLE_MAX = 255
# 7.4.2.1.1.1: "The value of delta_scale shall be in the range of -128 to +127". By code, se(v): 9.1.1.
_DELTA_SCALES = {
    f"{number + 1:b}".zfill(2 * (number + 1).bit_length() - 1): (number + 1) // 2 if number & 1 else -(number // 2)
    for number in (*range(255), 256)
}

_MACROBLOCK_PIXELS = 16
# The profiles whose SPS says its chroma format, and may carry scaling matrices.
_PROFILES_WITH_CHROMA_FORMAT = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_CHROMA_444 = 3
# Table 6-1, SubWidthC and SubHeightC by chroma_format_idc; monochrome crops in luma samples.
_CHROMA_SUBSAMPLING = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}


def read_picture_format(sps: bytes) -> PictureFormat:
    """Read the cropped picture size, the shape of a sample and the colours.

    Args:
        sps: The NAL unit, with its header and its emulation prevention bytes.

    Raises:
        CodecConfigError: It ends too early, its fields are out of range, or no level allows a picture of this size.
    """
    # 7.4.1: emulation_prevention_three_byte is no part of the payload. Overlaps cannot be: the third byte is not 0.
    payload = sps[: 2 * _BYTES_READ_MAX].replace(b"\x00\x00\x03", b"\x00\x00")[1:_BYTES_READ_MAX]
    reader = BitReader(payload)
    profile_idc = reader.read(8)
    reader.skip(16)  # constraint flags, level_idc
    reader.read_ue()  # seq_parameter_set_id
    chroma_format_idc = 1
    separate_colour_planes = 0
    if profile_idc in _PROFILES_WITH_CHROMA_FORMAT:
        chroma_format_idc = reader.read_ue()
        if chroma_format_idc == _CHROMA_444:
            separate_colour_planes = reader.read(1)
        reader.read_ue()  # bit_depth_luma_minus8
        reader.read_ue()  # bit_depth_chroma_minus8
        reader.read(1)  # qpprime_y_zero_transform_bypass_flag
        if reader.read(1):
            _skip_scaling_matrix(reader, 12 if chroma_format_idc == _CHROMA_444 else 8)
    reader.read_ue()  # log2_max_frame_num_minus4
    _skip_picture_order_count(reader)
    reader.read_ue()  # max_num_ref_frames
    reader.read(1)  # gaps_in_frame_num_value_allowed_flag
    width_mbs = reader.read_ue() + 1
    height_map_units = reader.read_ue() + 1
    frame_mbs_only = reader.read(1)
    height_mbs = height_map_units * (2 - frame_mbs_only)
    if not frame_mbs_only:
        reader.read(1)  # mb_adaptive_frame_field_flag
    reader.read(1)  # direct_8x8_inference_flag
    crop_left = crop_right = crop_top = crop_bottom = 0
    if reader.read(1):
        crop_left, crop_right, crop_top, crop_bottom = (reader.read_ue() for _ in range(4))
    if chroma_format_idc not in _CHROMA_SUBSAMPLING:
        raise CodecConfigError(f"an SPS with chroma_format_idc {chroma_format_idc}")
    if width_mbs * height_mbs > FRAME_MACROBLOCKS_MAX or max(width_mbs, height_mbs) > _SIDE_MACROBLOCKS_MAX:
        raise CodecConfigError(f"an SPS with a picture of {width_mbs} by {height_mbs} macroblocks")
    crop_x, crop_y = (1, 1) if separate_colour_planes else _CHROMA_SUBSAMPLING[chroma_format_idc]
    width = _MACROBLOCK_PIXELS * width_mbs - crop_x * (crop_left + crop_right)
    height = _MACROBLOCK_PIXELS * height_mbs - crop_y * (2 - frame_mbs_only) * (crop_top + crop_bottom)
    if width <= 0 or height <= 0:
        raise CodecConfigError("an SPS that crops the whole picture away")
    aspect, colours = _read_usability(reader)
    return PictureFormat(width, height, showable_aspect(aspect, width, height), colours)


def _read_usability(reader: BitReader) -> tuple[SampleAspect, Colours]:
    """Read the VUI; one that is cut off says nothing, for decoders do without it, too."""
    try:
        return read_usability(reader) if reader.read(1) else (NO_ASPECT, NO_COLOURS)  # vui_parameters_present_flag
    except CodecConfigError:
        return NO_ASPECT, NO_COLOURS


def _skip_scaling_matrix(reader: BitReader, lists: int) -> None:
    """Skip the scaling lists (7.3.2.1.1.1); six of 16 values, then those of 64."""
    for index in range(lists):
        if not reader.read(1):
            continue
        _skip_scaling_list(reader, 16 if index < 6 else 64)


def _skip_scaling_list(reader: BitReader, size: int) -> None:
    scale, bits, read = 8, 0, 0
    for code in reader.peek_short_codes(size):
        bits += len(code)
        if code[0] == "1":
            read += len(code)  # so many values that are as the last
            continue
        read += 1
        if code not in _DELTA_SCALES:
            raise CodecConfigError("an SPS with a delta_scale that is out of range")
        scale = (scale + _DELTA_SCALES[code]) % 256
        if not scale:
            break  # Nothing is coded of the rest.
    else:
        if read < size:
            raise CodecConfigError("an SPS with a scaling list that ends too early")
    reader.skip(bits)


def _skip_picture_order_count(reader: BitReader) -> None:
    pic_order_cnt_type = reader.read_ue()
    if pic_order_cnt_type == 0:
        reader.read_ue()  # log2_max_pic_order_cnt_lsb_minus4
    elif pic_order_cnt_type == 1:
        reader.read(1)  # delta_pic_order_always_zero_flag
        reader.read_se()  # offset_for_non_ref_pic
        reader.read_se()  # offset_for_top_to_bottom_field
        cycle = reader.read_ue()
        if cycle > _ORDER_CYCLE_MAX:
            raise CodecConfigError(f"an SPS with num_ref_frames_in_pic_order_cnt_cycle {cycle}")
        reader.skip_codes(cycle)  # offset_for_ref_frame
