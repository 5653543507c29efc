"""VPCodecConfigurationRecord, the body of a VP9 sequence header (VP Codec ISO Media File Format Binding 1.0)."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import CodecConfigError
from streamd.formats.codecs.picture_format import Colours, known_colours

# It is a FullBox's content: version 1 and flags, then profile, level, depth and colours, and no initialization data.
_RECORD_BYTES = 12
_VERSION = b"\x01\x00\x00\x00"
_PROFILE_MAX = 3
# Level times ten.
_LEVELS = frozenset({10, 11, 20, 21, 30, 31, 40, 41, 50, 51, 52, 60, 61, 62})
_BIT_DEPTHS = frozenset({8, 10, 12})
# 4:2:0 in two ways, 4:2:2, 4:4:4; the rest is reserved.
_CHROMA_SUBSAMPLING_MAX = 3


@dataclass(frozen=True, slots=True)
class Vp9Configuration:
    """The facts in a VPCodecConfigurationRecord. The size of the picture is not among them."""

    codec_string: str
    """RFC 6381: ``vp09.`` and profile, level and bit depth, each in two digits."""
    colours: Colours
    """The colours in the record; a frame repeats some of them."""


def parse(record: bytes) -> Vp9Configuration:
    """Read a vpcC.

    Raises:
        CodecConfigError: Truncated, of another version, or with reserved values.
    """
    if len(record) < _RECORD_BYTES:
        raise CodecConfigError(f"vpcC of {len(record)} bytes, {_RECORD_BYTES} needed")
    if record[:4] != _VERSION:
        raise CodecConfigError(f"vpcC that begins with 0x{record[:4].hex()}")
    profile, level, bit_depth, chroma_subsampling = record[4], record[5], record[6] >> 4, record[6] >> 1 & 0x07
    if profile > _PROFILE_MAX or level not in _LEVELS or bit_depth not in _BIT_DEPTHS:
        raise CodecConfigError(f"vpcC with profile {profile}, level {level}, {bit_depth} bits")
    if chroma_subsampling > _CHROMA_SUBSAMPLING_MAX:
        raise CodecConfigError(f"vpcC with chroma subsampling {chroma_subsampling}")
    # "colourPrimaries, transferCharacteristics, matrixCoefficients", as in H.273.
    colours = known_colours(*record[7:10], is_full_range=bool(record[6] & 0x01))
    return Vp9Configuration(f"vp09.{profile:02}.{level:02}.{bit_depth:02}", colours)
