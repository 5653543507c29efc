"""AVCDecoderConfigurationRecord, the body of an H.264 sequence header (ISO/IEC 14496-15, 5.3.3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import CodecConfigError
from streamd.formats.codecs.picture_format import PictureFormat
from streamd.formats.codecs.sequence_parameter_set import read_picture_format

_VERSION = 1
_NAL_TYPE = 0x1F
_NAL_TYPE_SPS = 7
_NAL_TYPE_PPS = 8
# The NAL header, profile_idc, the constraint flags and level_idc.
_SPS_BYTES_MIN = 4


@dataclass(frozen=True, slots=True)
class AvcConfiguration:
    """The facts in an AVCDecoderConfigurationRecord."""

    codec_string: str
    """RFC 6381: ``avc1.`` and profile_idc, constraint flags and level_idc in hexadecimal."""
    picture: PictureFormat
    """The picture format of the first SPS."""
    nal_length_bytes: int
    """Bytes of the length in front of each NAL unit of a sample: 1, 2 or 4."""
    sequence_parameter_sets: tuple[bytes, ...]
    """SPS NAL units."""
    picture_parameter_sets: tuple[bytes, ...]
    """PPS NAL units."""


def parse(record: bytes) -> AvcConfiguration:
    """Read an avcC.

    Raises:
        CodecConfigError: Truncated, of another version, or without the parameter sets that a decoder needs.
    """
    if len(record) < 7:
        raise CodecConfigError(f"avcC of {len(record)} bytes, at least 7 needed")
    if record[0] != _VERSION:
        raise CodecConfigError(f"avcC of version {record[0]}")
    # 5.3.3.1.2: "lengthSizeMinusOne … The value of this field shall be one of 0, 1, or 3".
    nal_length_bytes = (record[4] & 0x03) + 1
    if nal_length_bytes == 3:
        raise CodecConfigError("avcC with NAL unit lengths of 3 bytes")
    sps, end = _parameter_sets(record, 6, record[5] & 0x1F, _NAL_TYPE_SPS)
    if end >= len(record):
        raise CodecConfigError("avcC ends before its picture parameter sets")
    pps, _ = _parameter_sets(record, end + 1, record[end], _NAL_TYPE_PPS)
    # 'avc1' keeps its parameter sets in the sample entry: without them no player starts.
    if not sps or not pps:
        raise CodecConfigError("avcC without a sequence or picture parameter set")
    # The record repeats these three bytes of the SPS, and some encoders leave them 0; decoders obey the SPS.
    profile = sps[0][1:4]
    if len(profile) < _SPS_BYTES_MIN - 1 or profile[0] == 0:
        raise CodecConfigError("a sequence parameter set without a profile")
    return AvcConfiguration(f"avc1.{profile.hex()}", read_picture_format(sps[0]), nal_length_bytes, sps, pps)


def _parameter_sets(record: bytes, start: int, count: int, nal_type: int) -> tuple[tuple[bytes, ...], int]:
    """Read ``count`` NAL units, each behind a 16-bit length; return them and where they end."""
    sets: list[bytes] = []
    for _ in range(count):
        end = start + 2 + int.from_bytes(record[start : start + 2], "big")
        nal = record[start + 2 : end]
        if end > len(record) or not nal:
            raise CodecConfigError("avcC with a parameter set that is empty or cut off")
        if nal[0] & _NAL_TYPE != nal_type:
            raise CodecConfigError(f"avcC with a NAL unit of type {nal[0] & _NAL_TYPE}, {nal_type} expected")
        sets.append(nal)
        start = end
    return tuple(sets), start
