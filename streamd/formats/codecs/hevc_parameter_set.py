"""The picture format in an HEVC sequence parameter set (ITU-T H.265 sections 7.3.2.2, 7.3.3, 7.3.4, 7.3.7, E.2.1).

The shape of a sample and the colours stand behind many fields without a length in front of them. These fields are read
within the bounds of the specification. A parameter set beyond the bounds keeps its size and has no known shape and
colours: a decoder may take it even so.
"""

from __future__ import annotations

import math
import re
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate

from streamd.errors import CodecConfigError
from streamd.formats.codecs.bits import BitReader, code_of, row_of
from streamd.formats.codecs.picture_format import (
    NO_ASPECT,
    NO_COLOURS,
    Colours,
    PictureFormat,
    SampleAspect,
    showable_aspect,
)
from streamd.formats.codecs.video_usability import read_usability

_NAL_HEADER_BYTES = 2
# Table A.8, level 6.2: MaxLumaPs; and A.4.1: no side is longer than Sqrt( MaxLumaPs * 8 ).
_LUMA_SAMPLES_MAX = 35_651_584
_SIDE_SAMPLES_MAX = math.isqrt(_LUMA_SAMPLES_MAX * 8)
# profile_tier_level: general_profile_space to general_level_idc, as in the record's bytes 1 to 12.
_PROFILE_BYTES = 12
_SUB_LAYERS_MAX = 7
_CHROMA_444 = 3
# Table 6-1, SubWidthC and SubHeightC by chroma_format_idc; monochrome crops in luma samples.
_CHROMA_SUBSAMPLING = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}
# Fields before the colours: up to 160 bytes before the picture size, seven sub-layers with three codes each, 1000 codes
# of up to 17 bits in scaling lists, and reference pictures as below, of up to 32 bits each.
_BYTES_READ_MAX = 4096
# 7.4.3.2.1: log2_max_pic_order_cnt_lsb_minus4 "shall be in the range of 0 to 12, inclusive".
_ORDER_COUNT_BITS_MAX = 16
# 7.4.3.2.1: num_short_term_ref_pic_sets "shall be in the range of 0 to 64", num_long_term_ref_pics_sps 0 to 32.
_SHORT_TERM_SETS_MAX = 64
_LONG_TERM_PICTURES_MAX = 32
# A.4.2: MaxDpbSize is at most 16, and a set has fewer pictures than that (7.4.8).
_SET_PICTURES_MAX = 15
# Pictures in all sets together, each of them a few reads: those of a hierarchy of 16 pictures are some 90.
_PICTURES_READ_MAX = 128
# 7.3.4, scaling_list_data: six lists for blocks of 4x4, 8x8 and 16x16 samples, two for those of 32x32; a list has
# Min( 64, 1 << ( 4 + ( sizeId << 1 ) ) ) differences.
_SCALING_LISTS = ((16, 6), (64, 6), (64, 6), (64, 2))
_SIZE_WITH_DC = 2
# 7.4.8: delta_poc_s0_minus1, delta_poc_s1_minus1 and abs_delta_rps_minus1 "shall be in the range of 0 to 2^15 - 1". The
# code of a number, read as a number without its zeros, is one more.
_DISTANCE = f"({code_of(15)})"
# delta_poc_s0_minus1 and used_by_curr_pic_s0_flag; the same of s1.
_PICTURE = f"{_DISTANCE}[01]"
_PICTURES = re.compile(_PICTURE)
# used_by_curr_pic_flag; where it is 0, use_delta_flag.
_FLAGS_OF_PICTURE = "1|0[01]"
_FLAGS_OF_PICTURES = re.compile(_FLAGS_OF_PICTURE)
# Of as many pictures as a set has, and of one more.
_ROWS_OF_FLAGS = tuple(row_of(_FLAGS_OF_PICTURE, pictures) for pictures in range(_SET_PICTURES_MAX + 2))
# delta_rps_sign and abs_delta_rps_minus1.
_SHIFT = re.compile(f"([01]){_DISTANCE}")


@dataclass(frozen=True, slots=True)
class HevcParameterSet:
    """The facts that are read from a sequence parameter set."""

    profile: bytes
    """The 12 bytes of profile_tier_level that go for the whole stream."""
    picture: PictureFormat


def read_sequence_parameter_set(sps: bytes) -> HevcParameterSet:
    """Read profile, cropped picture size, the shape of a sample and the colours.

    Args:
        sps: The NAL unit, with its header and its emulation prevention bytes.

    Raises:
        CodecConfigError: It ends before its picture size, its fields are out of range, or no level allows a picture of
            this size.
    """
    # 7.4.2: emulation_prevention_three_byte is no part of the payload.
    unescaped = sps[: 2 * _BYTES_READ_MAX].replace(b"\x00\x00\x03", b"\x00\x00")
    payload = unescaped[_NAL_HEADER_BYTES:_BYTES_READ_MAX]
    reader = BitReader(payload)
    reader.skip(4)  # sps_video_parameter_set_id
    sub_layers = reader.read(3)  # sps_max_sub_layers_minus1
    reader.skip(1)  # sps_temporal_id_nesting_flag
    reader.skip(8 * _PROFILE_BYTES)
    if sub_layers >= _SUB_LAYERS_MAX:
        raise CodecConfigError(f"an SPS with {sub_layers + 1} sub-layers")
    _skip_sub_layers(reader, sub_layers)
    reader.read_ue()  # sps_seq_parameter_set_id
    chroma_format_idc = reader.read_ue()
    if chroma_format_idc not in _CHROMA_SUBSAMPLING:
        raise CodecConfigError(f"an SPS with chroma_format_idc {chroma_format_idc}")
    separate_colour_planes = reader.read(1) if chroma_format_idc == _CHROMA_444 else 0
    coded_width, coded_height = reader.read_ue(), reader.read_ue()
    crop_left = crop_right = crop_top = crop_bottom = 0
    if reader.read_flag():  # conformance_window_flag
        crop_left, crop_right, crop_top, crop_bottom = (reader.read_ue() for _ in range(4))
    if coded_width * coded_height > _LUMA_SAMPLES_MAX or max(coded_width, coded_height) > _SIDE_SAMPLES_MAX:
        raise CodecConfigError(f"an SPS with a picture of {coded_width} by {coded_height}")
    crop_x, crop_y = (1, 1) if separate_colour_planes else _CHROMA_SUBSAMPLING[chroma_format_idc]
    width = coded_width - crop_x * (crop_left + crop_right)
    height = coded_height - crop_y * (crop_top + crop_bottom)
    if width <= 0 or height <= 0:
        raise CodecConfigError("an SPS without a picture")
    try:
        aspect, colours = _read_to_usability(reader, sub_layers)
    except CodecConfigError:
        aspect, colours = NO_ASPECT, NO_COLOURS
    picture = PictureFormat(width, height, showable_aspect(aspect, width, height), colours)
    return HevcParameterSet(payload[1 : 1 + _PROFILE_BYTES], picture)


def _skip_sub_layers(reader: BitReader, sub_layers: int) -> None:
    """Skip the profiles and levels of all sub-layers but the highest (7.3.3)."""
    present = [(reader.read(1), reader.read(1)) for _ in range(sub_layers)]
    if sub_layers:
        reader.skip(2 * (_SUB_LAYERS_MAX + 1 - sub_layers))  # reserved_zero_2bits
    for has_profile, has_level in present:
        reader.skip(88 * has_profile + 8 * has_level)


def _read_to_usability(reader: BitReader, sub_layers: int) -> tuple[SampleAspect, Colours]:
    """Read on from behind the conformance window to the VUI's colours (7.3.2.2.1).

    Raises:
        CodecConfigError: It ends too early, its fields are out of range, or it has more in it than is read.
    """
    reader.skip_codes(2)  # bit_depth_luma_minus8, bit_depth_chroma_minus8
    order_count_bits = reader.read_ue() + 4  # log2_max_pic_order_cnt_lsb_minus4
    if order_count_bits > _ORDER_COUNT_BITS_MAX:
        raise CodecConfigError(f"an SPS with picture order counts of {order_count_bits} bits")
    # sps_sub_layer_ordering_info_present_flag: three codes for each sub-layer, or for the highest alone.
    reader.skip_codes(3 * (sub_layers + 1) if reader.read_flag() else 3)
    # Four sizes of blocks, max_transform_hierarchy_depth_inter and _intra.
    reader.skip_codes(6)
    # scaling_list_enabled_flag, sps_scaling_list_data_present_flag
    if reader.read_flag() and reader.read_flag():
        _skip_scaling_lists(reader)
    reader.skip(2)  # amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if reader.read_flag():  # pcm_enabled_flag
        reader.skip(8)  # two bit depths
        reader.skip_codes(2)  # two sizes of blocks
        reader.skip(1)  # pcm_loop_filter_disabled_flag
    _skip_short_term_sets(reader)
    if reader.read_flag():  # long_term_ref_pics_present_flag
        pictures = reader.read_ue()  # num_long_term_ref_pics_sps
        if pictures > _LONG_TERM_PICTURES_MAX:
            raise CodecConfigError(f"an SPS with {pictures} long-term reference pictures")
        reader.skip(pictures * (order_count_bits + 1))  # lt_ref_pic_poc_lsb_sps, used_by_curr_pic_lt_sps_flag
    reader.skip(2)  # sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    return read_usability(reader) if reader.read_flag() else (NO_ASPECT, NO_COLOURS)  # vui_parameters_present_flag


def _skip_scaling_lists(reader: BitReader) -> None:
    """Skip scaling_list_data (7.3.4)."""
    for size, (differences, lists) in enumerate(_SCALING_LISTS):
        for _ in range(lists):
            # scaling_list_pred_mode_flag; without it, scaling_list_pred_matrix_id_delta stands there alone. A
            # difference is -128 to 127: a code of up to 17 bits.
            reader.skip_short_codes(differences + (size >= _SIZE_WITH_DC) if reader.read_flag() else 1)


def _skip_short_term_sets(reader: BitReader) -> None:
    """Skip num_short_term_ref_pic_sets and the sets (7.3.7), each of which may be told by the one before it."""
    sets = reader.read_ue()
    if sets > _SHORT_TERM_SETS_MAX:
        raise CodecConfigError(f"an SPS with {sets} short-term reference picture sets")
    distances: list[int] = []
    pictures_left = _PICTURES_READ_MAX
    for index in range(sets):
        # inter_ref_pic_set_prediction_flag
        distances = _read_predicted_set(reader, distances) if index and reader.read_flag() else _read_set(reader)
        pictures_left -= len(distances)
        if len(distances) > _SET_PICTURES_MAX or pictures_left < 0:
            raise CodecConfigError("an SPS with more reference pictures than are read")


def _read_set(reader: BitReader) -> list[int]:
    """Read a short-term reference picture set: the distances of its pictures, those before and then those behind."""
    before, behind = reader.read_ue(), reader.read_ue()  # num_negative_pics, num_positive_pics
    if before + behind > _SET_PICTURES_MAX:
        raise CodecConfigError(f"an SPS with a set of {before + behind} reference pictures")
    if not before + behind:
        return []
    pictures = reader.match(row_of(_PICTURE, before + behind))[0]
    steps = [int(code, 2) for code in _PICTURES.findall(pictures)]
    return [-distance for distance in accumulate(steps[:before])] + list(accumulate(steps[before:]))


def _read_predicted_set(reader: BitReader, reference: list[int]) -> list[int]:
    """Read a set that says which pictures of the one before it to take, and how far away they are now (7-61, 7-62)."""
    sign, code = reader.match(_SHIFT).groups()
    shift = -int(code, 2) if sign == "1" else int(code, 2)
    flags = reader.match(_ROWS_OF_FLAGS[len(reference) + 1])[0]
    # The last one's are for the reference set's own picture.
    taken = [
        distance + shift
        for distance, used in zip((*reference, 0), _FLAGS_OF_PICTURES.findall(flags), strict=True)
        if used != "00"
    ]
    if 0 in taken:
        # It is the picture itself: the specification leaves it out of the set, decoders count it.
        raise CodecConfigError("an SPS with a picture that refers to itself")
    taken.sort()
    behind = bisect(taken, 0)
    # Those before stand with the nearest first.
    return taken[:behind][::-1] + taken[behind:]
