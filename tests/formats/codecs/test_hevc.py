from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError
from streamd.formats.codecs.hevc import HevcConfiguration, parse
from streamd.formats.codecs.picture_format import PictureFormat
from tests.support.avc import nal, ue

FIXED = bytes.fromhex("0101600000009000000000003cf000fcfdf8f800000f")
VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003c959009")
SPS = bytes.fromhex("42010101600000030090000003000003003ca00a080c16595912930b9a020000030002000003003c10")
PPS = bytes.fromhex("4401c073c189")
SEI = bytes.fromhex("4e0105ffff")
MAIN = bytes.fromhex("01600000009000000000003c")
"""Main profile, level 2, as the SPS of x265 has it."""


def array(nal_type: int, *units: bytes) -> bytes:
    body = b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)
    return bytes((0x80 | nal_type,)) + len(units).to_bytes(2, "big") + body


def record(*arrays: bytes, fixed: bytes = FIXED) -> bytes:
    return fixed + bytes((len(arrays),)) + b"".join(arrays)


def of_sps(sps: bytes) -> bytes:
    return record(array(32, VPS), array(33, sps), array(34, PPS))


def sps(
    width: int,
    height: int,
    *,
    profile: bytes = MAIN,
    sub_layers: tuple[tuple[int, int], ...] = (),
    chroma: str = ue(1),
    crop: tuple[int, int, int, int] | None = None,
) -> bytes:
    """A sequence parameter set up to its picture size; profile_tier_level as 12 bytes."""
    bits = f"0000{len(sub_layers):03b}1" + f"{int.from_bytes(profile, 'big'):096b}"
    bits += "".join(f"{has_profile}{has_level}" for has_profile, has_level in sub_layers)
    if sub_layers:
        bits += "00" * (8 - len(sub_layers))
    bits += "".join("1" * (88 * has_profile + 8 * has_level) for has_profile, has_level in sub_layers)
    bits += ue(0) + chroma + ue(width) + ue(height)
    bits += "0" if crop is None else "1" + "".join(map(ue, crop))
    return nal(b"\x42\x01", bits)


class TestRecord:
    """ISO/IEC 14496-15 section 8.3.2.1."""

    def test_of_x265(self) -> None:
        data = record(array(32, VPS), array(33, SPS), array(34, PPS), array(39, SEI))
        assert parse(data) == HevcConfiguration("hvc1.1.6.L60.90", PictureFormat(320, 192))

    @pytest.mark.parametrize("missing", [32, 33, 34])
    def test_without_a_parameter_set_is_an_error(self, missing: int) -> None:
        units = {32: VPS, 33: SPS, 34: PPS}
        del units[missing]
        with pytest.raises(CodecConfigError, match="without"):
            parse(record(*(array(nal_type, unit) for nal_type, unit in units.items())))

    def test_cut_off_anywhere_is_an_error(self) -> None:
        whole = of_sps(SPS)
        for length in range(len(whole)):
            with pytest.raises(CodecConfigError):
                parse(whole[:length])

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (record(fixed=b"\x00" + FIXED[1:]), "version 0"),
            (record(fixed=FIXED[:21] + b"\x0e"), "3 bytes"),
            (record(array(33, VPS)), "type 32, 33 expected"),
            (record(array(33, b"")), "empty or cut off"),
            (record(b"\xa1\xff\xff"), "empty or cut off"),
            (record(b"\xa1\xff\xff" + bytes(40_000)), "empty or cut off"),
            (FIXED + b"\x10", "inside its arrays"),
            (FIXED + b"\x11", "17 arrays"),
            (record(*[array(39, *[SEI] * 97)] * 2), "more than 192 NAL units"),
        ],
    )
    def test_that_lies_is_an_error(self, data: bytes, message: str) -> None:
        with pytest.raises(CodecConfigError, match=message):
            parse(data)


class TestSequenceParameterSet:
    """ITU-T H.265 section 7.3.2.2."""

    @pytest.mark.parametrize(
        ("unit", "size"),
        [
            (sps(1920, 1088, crop=(0, 0, 0, 4)), PictureFormat(1920, 1080)),
            (sps(1280, 720, sub_layers=((1, 1), (0, 1), (1, 0))), PictureFormat(1280, 720)),
            (sps(64, 64, sub_layers=((1, 1),) * 6), PictureFormat(64, 64)),
            (sps(64, 64, chroma=ue(3) + "0", crop=(1, 2, 3, 4)), PictureFormat(61, 57)),
            (sps(64, 64, chroma=ue(3) + "1", crop=(1, 1, 1, 1)), PictureFormat(62, 62)),
            (sps(64, 64, chroma=ue(2), crop=(1, 1, 1, 1)), PictureFormat(60, 62)),
            (sps(64, 64, chroma=ue(0), crop=(1, 1, 1, 1)), PictureFormat(62, 62)),
        ],
    )
    def test_size(self, unit: bytes, size: PictureFormat) -> None:
        assert parse(of_sps(unit)).picture == size

    @pytest.mark.parametrize(
        "unit",
        [
            sps(16_384, 16_384),
            sps(20_000, 16),
            sps(2**32 - 2, 2**32 - 2),
            sps(0, 1080),
            sps(64, 64, crop=(20, 20, 0, 0)),
            sps(64, 64, chroma=ue(4)),
            sps(64, 64, sub_layers=((0, 0),) * 7),
        ],
    )
    def test_absurd_is_an_error(self, unit: bytes) -> None:
        with pytest.raises(CodecConfigError):
            parse(of_sps(unit))


class TestCodecString:
    """ISO/IEC 14496-15 Annex E.3; the examples are its own, and Apple's."""

    @pytest.mark.parametrize(
        ("profile", "text"),
        [
            ("016000000090000000000078", "hvc1.1.6.L120.90"),
            ("02200000009000000000005d", "hvc1.2.4.L93.90"),
            ("2220000000b0000000000099", "hvc1.2.4.H153.B0"),
            ("016000000000000000000099", "hvc1.1.6.L153"),
            ("440800000000000000005a1e", "hvc1.A4.10.L30.0.0.0.0.0.5A"),
        ],
    )
    def test_spelling(self, profile: str, text: str) -> None:
        assert parse(of_sps(sps(64, 64, profile=bytes.fromhex(profile)))).codec_string == text
