"""HEVCDecoderConfigurationRecord, the body of an HEVC sequence header.

ISO/IEC 14496-15 section 8.3.2.1; ITU-T H.265 sections 7.3.2.2 and 7.3.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from streamd.errors import CodecConfigError
from streamd.formats.codecs.bits import BitReader
from streamd.formats.codecs.sequence_parameter_set import PictureSize

_VERSION = 1
# From configurationVersion to numOfArrays.
_FIXED_BYTES = 23
_NAL_TYPE = 0x3F
_NAL_TYPE_VPS = 32
_NAL_TYPE_SPS = 33
_NAL_TYPE_PPS = 34
_NAL_HEADER_BYTES = 2
# One for each type of NAL unit that may stand here: VPS, SPS, PPS, two of SEI; the rest is room.
_ARRAYS_MAX = 16
# H.265 7.4.3: 16 VPS, 16 SPS and 64 PPS have ids; as many again for SEI messages.
_NAL_UNITS_MAX = 192
# A length and a header.
_NAL_UNIT_BYTES_MIN = 4
# Table A.8, level 6.2: MaxLumaPs; and A.4.1: no side is longer than Sqrt( MaxLumaPs * 8 ).
_LUMA_SAMPLES_MAX = 35_651_584
_SIDE_SAMPLES_MAX = math.isqrt(_LUMA_SAMPLES_MAX * 8)
# What stands before the picture size: profiles and levels of up to seven sub-layers, 12 bytes each, and five codes.
_SPS_BYTES_READ_MAX = 160
# profile_tier_level: general_profile_space to general_level_idc, as in the record's bytes 1 to 12.
_PROFILE_BYTES = 12
_SUB_LAYERS_MAX = 7
_CHROMA_444 = 3
# Table 6-1, SubWidthC and SubHeightC by chroma_format_idc; monochrome crops in luma samples.
_CHROMA_SUBSAMPLING = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}


@dataclass(frozen=True, slots=True)
class HevcConfiguration:
    """What an HEVCDecoderConfigurationRecord holds that playlists need."""

    codec_string: str
    """RFC 6381: ``hvc1.`` and profile, compatibility, tier and level, constraints (14496-15, Annex E.3)."""
    picture_size: PictureSize
    """What the first SPS says."""


def parse(record: bytes) -> HevcConfiguration:
    """Read an hvcC.

    Raises:
        CodecConfigError: Truncated, of another version, or without the parameter sets that a decoder needs.
    """
    if len(record) < _FIXED_BYTES:
        raise CodecConfigError(f"hvcC of {len(record)} bytes, at least {_FIXED_BYTES} needed")
    if record[0] != _VERSION:
        raise CodecConfigError(f"hvcC of version {record[0]}")
    # 8.3.2.1.3: "The value of this field shall be one of 0, 1, or 3", lengthSizeMinusOne.
    if record[21] & 0x03 == 2:
        raise CodecConfigError("hvcC with NAL unit lengths of 3 bytes")
    first_by_type = _first_nal_units(record)
    # 'hvc1' keeps its parameter sets in the sample entry: without them no player starts.
    if not first_by_type.keys() >= {_NAL_TYPE_VPS, _NAL_TYPE_SPS, _NAL_TYPE_PPS}:
        raise CodecConfigError("hvcC without a video, sequence or picture parameter set")
    return _read_sps(first_by_type[_NAL_TYPE_SPS])


def _first_nal_units(record: bytes) -> dict[int, bytes]:
    """Walk the arrays of NAL units to the end; return the first unit of each type."""
    found: dict[int, bytes] = {}
    offset = _FIXED_BYTES
    units_left = _NAL_UNITS_MAX
    if record[22] > _ARRAYS_MAX:
        raise CodecConfigError(f"hvcC with {record[22]} arrays of NAL units")
    for _ in range(record[22]):
        header = record[offset : offset + 3]
        if len(header) < 3:
            raise CodecConfigError("hvcC ends inside its arrays")
        nal_type = header[0] & _NAL_TYPE
        offset += 3
        units = int.from_bytes(header[1:], "big")
        if units * _NAL_UNIT_BYTES_MIN > len(record) - offset:
            raise CodecConfigError("hvcC with a NAL unit that is empty or cut off")
        if units > units_left:
            raise CodecConfigError(f"hvcC with more than {_NAL_UNITS_MAX} NAL units")
        units_left -= units
        for _ in range(units):
            end = offset + 2 + int.from_bytes(record[offset : offset + 2], "big")
            nal = record[offset + 2 : end]
            if end > len(record) or len(nal) < _NAL_HEADER_BYTES:
                raise CodecConfigError("hvcC with a NAL unit that is empty or cut off")
            if nal[0] >> 1 & _NAL_TYPE != nal_type:
                raise CodecConfigError(f"hvcC with a NAL unit of type {nal[0] >> 1 & _NAL_TYPE}, {nal_type} expected")
            found.setdefault(nal_type, nal)
            offset = end
    return found


def _read_sps(sps: bytes) -> HevcConfiguration:
    """Read a sequence parameter set up to its picture size (H.265, 7.3.2.2.1)."""
    # 7.4.2: emulation_prevention_three_byte is no part of the payload.
    unescaped = sps[: 2 * _SPS_BYTES_READ_MAX].replace(b"\x00\x00\x03", b"\x00\x00")
    payload = unescaped[_NAL_HEADER_BYTES:_SPS_BYTES_READ_MAX]
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
    if reader.read(1):  # conformance_window_flag
        crop_left, crop_right, crop_top, crop_bottom = (reader.read_ue() for _ in range(4))
    if coded_width * coded_height > _LUMA_SAMPLES_MAX or max(coded_width, coded_height) > _SIDE_SAMPLES_MAX:
        raise CodecConfigError(f"an SPS with a picture of {coded_width} by {coded_height}")
    crop_x, crop_y = (1, 1) if separate_colour_planes else _CHROMA_SUBSAMPLING[chroma_format_idc]
    width = coded_width - crop_x * (crop_left + crop_right)
    height = coded_height - crop_y * (crop_top + crop_bottom)
    if width <= 0 or height <= 0:
        raise CodecConfigError("an SPS without a picture")
    return HevcConfiguration(_codec_string(payload[1 : 1 + _PROFILE_BYTES]), PictureSize(width, height))


def _skip_sub_layers(reader: BitReader, sub_layers: int) -> None:
    """Skip the profiles and levels of all sub-layers but the highest (7.3.3)."""
    present = [(reader.read(1), reader.read(1)) for _ in range(sub_layers)]
    if sub_layers:
        reader.skip(2 * (_SUB_LAYERS_MAX + 1 - sub_layers))  # reserved_zero_2bits
    for has_profile, has_level in present:
        reader.skip(88 * has_profile + 8 * has_level)


def _codec_string(profile: bytes) -> str:
    """Spell 12 bytes of profile_tier_level as 14496-15 E.3 has it.

    The SPS is asked, not the record, which repeats them and which some encoders leave 0; decoders obey the SPS.
    """
    space = ("", "A", "B", "C")[profile[0] >> 6]
    tier = "H" if profile[0] & 0x20 else "L"
    # "in reverse bit order, i.e. with general_profile_compatibility_flag[ 31 ] as the most significant bit".
    compatibility = int(f"{int.from_bytes(profile[1:5], 'big'):032b}"[::-1], 2)
    # "trailing bytes that are zero may be omitted".
    constraints = "".join(f".{byte:X}" for byte in profile[5:11].rstrip(b"\x00"))
    return f"hvc1.{space}{profile[0] & 0x1F}.{compatibility:X}.{tier}{profile[11]}{constraints}"
