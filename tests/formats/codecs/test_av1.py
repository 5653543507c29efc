from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError
from streamd.formats.codecs.av1 import Av1Configuration, parse, read_picture_format
from streamd.formats.codecs.picture_format import Colours, PictureFormat
from tests.support.work import count_calls

SVT_AV1 = bytes.fromhex("81000c000a0b000000043cfefc02f80040")


def obu(bits: str, obu_type: int = 1, extension: bytes = b"") -> bytes:
    payload = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    header = bytes((obu_type << 3 | (0x04 if extension else 0) | 0x02,))
    return header + extension + bytes((len(payload),)) + payload


def sized(width: int, height: int) -> str:
    return "1111" + "1111" + f"{width - 1:016b}{height - 1:016b}"


PLAIN = "000" + "0" + "0"
"""Profile 0, neither a still picture nor reduced."""
ONE_POINT = "0" + "0" + "00000" + "0" * 12 + "01000" + "0"
"""No timing information, no display delay, one operating point of level 4.0."""
BT709 = f"{1:08b}" * 3
SRGB = f"{1:08b}{13:08b}{0:08b}"
BT2020_PQ = f"{9:08b}{16:08b}{9:08b}"


class TestCodecString:
    """AV1 in ISO BMFF, section 5."""

    @pytest.mark.parametrize(
        ("record", "text"),
        [
            (SVT_AV1, "av01.0.00M.08"),
            (b"\x81\x08\x0c\x00", "av01.0.08M.08"),
            (b"\x81\x2d\xcc\x00", "av01.1.13H.10"),
            (b"\x81\x4d\x60\x00", "av01.2.13M.12"),
            (b"\x81\x0d\x60\x00", "av01.0.13M.10"),
            (b"\x81\x1f\x20\x00", "av01.0.31M.08"),
        ],
    )
    def test_spelling(self, record: bytes, text: str) -> None:
        assert parse(record).codec_string == text


class TestPictureSize:
    """AV1 specification, section 5.5.1."""

    def test_of_svt_av1(self) -> None:
        assert parse(SVT_AV1) == Av1Configuration("av01.0.00M.08", PictureFormat(320, 192))

    def test_without_a_sequence_header_is_not_known(self) -> None:
        assert parse(SVT_AV1[:4]).picture is None
        assert parse(SVT_AV1[:4] + obu("1" * 16, obu_type=5)).picture is None

    @pytest.mark.parametrize(
        "bits",
        [
            PLAIN + ONE_POINT,
            "000" + "1" + "1" + "01000",  # reduced_still_picture_header
            # Timing information with an interval, and a decoder model of 10 bits.
            PLAIN + "1" + "0" * 64 + "1" + "00101" + "1" + "01001" + "0" * 42
            # Display delays, two operating points: one of a high tier, with both, and one with neither.
            + "1" + "00001" + "0" * 12 + "01001" + "1" + "1" + "0" * 21 + "1" + "0000" + "0" * 12 + "00001" + "0" + "0",
            PLAIN + "1" + "0" * 64 + "0" + "0" + "0" + "00000" + "0" * 12 + "00001",
        ],
    )  # fmt: skip
    def test_behind_every_optional_part(self, bits: str) -> None:
        assert parse(SVT_AV1[:4] + obu(bits + sized(1920, 1080))).picture == PictureFormat(1920, 1080)

    def test_behind_other_units(self) -> None:
        record = SVT_AV1[:4] + obu("1" * 40, 5) + obu(PLAIN + ONE_POINT + sized(640, 360), extension=b"\x08")
        assert parse(record).picture == PictureFormat(640, 360)

    def test_is_looked_for_among_the_first_units(self) -> None:
        header = obu(PLAIN + ONE_POINT + sized(640, 360))
        assert parse(SVT_AV1[:4] + obu("1", 5) * 7 + header).picture == PictureFormat(640, 360)
        assert parse(SVT_AV1[:4] + obu("1", 5) * 8 + header).picture is None

    def test_empty_units_cost_nothing(self) -> None:
        assert count_calls(lambda: parse(SVT_AV1[:4] + b"\x2a\x00" * 30_000)) < 100

    @pytest.mark.parametrize(("width", "height"), [(65_536, 16), (16, 65_536), (16_384, 8_704)])
    def test_absurd_is_an_error(self, width: int, height: int) -> None:
        with pytest.raises(CodecConfigError, match="picture"):
            parse(SVT_AV1[:4] + obu(PLAIN + ONE_POINT + sized(width, height)))


TOOLS = "0" + "111" + "1111" + "1" + "11" + "1" + "1" + "110" + "111"
"""No frame ids; all tools, an order hint of 7 bits, and nothing forced."""


class TestColours:
    """AV1 specification, section 5.5.2."""

    @pytest.mark.parametrize(
        "bits",
        [
            TOOLS,
            "1" + "0000000" + TOOLS[1:],
            "0" + "000" + "0000" + "0" + "1" + "0" + "1" + "000",  # no order hint; integer vectors are forced
            "0" + "000" + "0000" + "0" + "0" + "1" + "1" + "000",  # screen content is forced
            "0" + "000" + "0000" + "0" + "0" + "0" + "000",  # and not at all
        ],
        ids=["all tools", "frame ids", "forced vectors", "forced screen content", "no screen content"],
    )
    def test_stand_behind_the_tools(self, bits: str) -> None:
        assert self.colours_of(PLAIN + ONE_POINT, bits + "1" + "0" + "1" + BT2020_PQ + "0") == Colours(9, 16, 9)

    def test_of_a_reduced_still_picture(self) -> None:
        assert self.colours_of(
            "000" + "1" + "1" + "01000", "000" + "000" + "0" + "0" + "1" + BT2020_PQ + "1"
        ) == Colours(9, 16, 9, is_full_range=True)

    @pytest.mark.parametrize(
        ("profile", "config", "colours"),
        [
            (0, "0" + "0" + "0" + "1", Colours(is_full_range=True)),
            (0, "0" + "0" + "1" + BT709 + "0", Colours(1, 1, 1)),
            (0, "0" + "1" + "1" + BT709 + "1", Colours(1, 1, 1, is_full_range=True)),
            (1, "0" + "1" + SRGB, Colours(1, 13, 0, is_full_range=True)),
            (0, "0" + "1" + "1" + SRGB + "0", Colours(1, 13, 0)),
            (2, "1" + "1" + "0" + "1" + BT2020_PQ + "0", Colours(9, 16, 9)),
            (2, "0" + "0" + "1" + BT2020_PQ + "0", Colours(9, 16, 9)),
        ],
        ids=["range alone", "BT.709", "monochrome", "sRGB", "monochrome sRGB", "12 bits", "8 bits of profile 2"],
    )
    def test_of_each_form(self, profile: int, config: str, colours: Colours) -> None:
        assert self.colours_of(f"{profile:03b}" + "00" + ONE_POINT, TOOLS + config) == colours

    def test_that_are_cut_off_say_nothing(self) -> None:
        bits = PLAIN + ONE_POINT + sized(640, 360) + TOOLS + "0" + "0" + "1" + BT709 + "0"
        for length in range(len(PLAIN + ONE_POINT + sized(640, 360)), len(bits) // 8 * 8, 8):
            assert parse(SVT_AV1[:4] + obu(bits[:length])).picture == PictureFormat(640, 360)

    def colours_of(self, head: str, tail: str) -> Colours:
        picture = parse(SVT_AV1[:4] + obu(head + sized(640, 360) + tail)).picture
        assert picture is not None
        assert (picture.width, picture.height) == (640, 360)
        return picture.colours


class TestFrame:
    """AV1 in ISO BMFF, section 2.4."""

    def test_sequence_header_behind_a_temporal_delimiter(self) -> None:
        frame = b"\x12\x00" + obu(PLAIN + ONE_POINT + sized(640, 360)) + obu("1" * 80, 6)
        assert read_picture_format(frame) == PictureFormat(640, 360)

    def test_without_one(self) -> None:
        assert read_picture_format(b"\x12\x00" + obu("1" * 80, 6)) is None
        assert read_picture_format(b"") is None

    def test_broken_is_an_error(self) -> None:
        with pytest.raises(CodecConfigError):
            read_picture_format(b"\x12\x00\x0a\x7f")


class TestBrokenRecord:
    @pytest.mark.parametrize(
        "record",
        [
            b"",
            SVT_AV1[:3],
            b"\x01" + SVT_AV1[1:],
            b"\x81\x7f\x0c\x00",
            SVT_AV1[:4] + b"\x8a\x00",  # obu_forbidden_bit
            SVT_AV1[:4] + b"\x08\x00",  # no size
            SVT_AV1[:4] + b"\x0a",
            SVT_AV1[:4] + b"\x0a" + b"\xff" * 8,
            SVT_AV1[:4] + b"\x0a\x7f\x00",
            SVT_AV1[:-3],
            SVT_AV1[:4] + obu(PLAIN + ONE_POINT + "11111111"),
        ],
    )
    def test_is_an_error(self, record: bytes) -> None:
        with pytest.raises(CodecConfigError):
            parse(record)
