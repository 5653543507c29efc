"""HEVCDecoderConfigurationRecord, the body of an HEVC sequence header.

ISO/IEC 14496-15 section 8.3.2.1. Its sequence parameter set is read by ``hevc_parameter_set``.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import CodecConfigError
from streamd.formats.codecs.hevc_parameter_set import read_sequence_parameter_set
from streamd.formats.codecs.picture_format import PictureFormat

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


@dataclass(frozen=True, slots=True)
class HevcConfiguration:
    """The facts in an HEVCDecoderConfigurationRecord that playlists need."""

    codec_string: str
    """RFC 6381: ``hvc1.`` and profile, compatibility, tier and level, constraints (14496-15, Annex E.3)."""
    picture: PictureFormat
    """The picture format of the first SPS."""


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
    sps = read_sequence_parameter_set(first_by_type[_NAL_TYPE_SPS])
    return HevcConfiguration(_codec_string(sps.profile), sps.picture)


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


def _codec_string(profile: bytes) -> str:
    """Spell 12 bytes of profile_tier_level as 14496-15 E.3 has it.

    They are read from the SPS: some encoders leave the record's copy of them 0, and decoders obey the SPS.
    """
    space = ("", "A", "B", "C")[profile[0] >> 6]
    tier = "H" if profile[0] & 0x20 else "L"
    # "in reverse bit order, i.e. with general_profile_compatibility_flag[ 31 ] as the most significant bit".
    compatibility = int(f"{int.from_bytes(profile[1:5], 'big'):032b}"[::-1], 2)
    # "trailing bytes that are zero may be omitted".
    constraints = "".join(f".{byte:X}" for byte in profile[5:11].rstrip(b"\x00"))
    return f"hvc1.{space}{profile[0] & 0x1F}.{compatibility:X}.{tier}{profile[11]}{constraints}"
