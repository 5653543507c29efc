from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError
from streamd.formats.codecs.bits import BitReader
from streamd.formats.codecs.picture_format import NO_ASPECT, NO_COLOURS, Colours, SampleAspect
from streamd.formats.codecs.video_usability import read_usability
from tests.support.avc import usability


def reader_of(bits: str) -> BitReader:
    padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return BitReader(int(padded, 2).to_bytes(len(padded) // 8, "big"))


class TestAspect:
    """ITU-T H.264 table E-1."""

    @pytest.mark.parametrize(
        ("idc", "aspect"),
        [
            (0, NO_ASPECT),
            (1, SampleAspect(1, 1)),
            (2, SampleAspect(12, 11)),
            (5, SampleAspect(40, 33)),
            (13, SampleAspect(160, 99)),
            (14, SampleAspect(4, 3)),
            (16, SampleAspect(2, 1)),
            (17, NO_ASPECT),
            (254, NO_ASPECT),
            ((64, 45), SampleAspect(64, 45)),
        ],
    )
    def test_of_each_code(self, idc: int | tuple[int, int], aspect: SampleAspect) -> None:
        assert read_usability(reader_of(usability(idc))) == (aspect, NO_COLOURS)


class TestColours:
    """ITU-T H.264 section E.2.1; ITU-T H.273."""

    @pytest.mark.parametrize(
        ("points", "full_range", "colours"),
        [
            ((1, 1, 1), False, Colours(1, 1, 1)),
            ((9, 16, 9), False, Colours(9, 16, 9)),
            ((1, 13, 0), True, Colours(1, 13, 0, is_full_range=True)),
            ((22, 18, 14), False, Colours(22, 18, 14)),
            ((0, 0, 3), False, Colours()),
            ((3, 3, 18), False, Colours()),
            ((13, 19, 255), False, Colours()),
            (None, True, Colours(is_full_range=True)),
            (None, None, Colours()),
        ],
    )
    def test_that_are_reserved_are_unspecified(
        self, points: tuple[int, int, int] | None, full_range: bool | None, colours: Colours
    ) -> None:
        assert read_usability(reader_of(usability(None, points, full_range=full_range))) == (NO_ASPECT, colours)

    @pytest.mark.parametrize("overscan", ["0", "10", "11"])
    def test_stand_behind_overscan(self, overscan: str) -> None:
        bits = usability(1, (9, 18, 9), overscan=overscan)
        assert read_usability(reader_of(bits)) == (SampleAspect(1, 1), Colours(9, 18, 9))


def test_cut_off_is_an_error() -> None:
    bits = usability((4, 3), (1, 1, 1))
    for length in range(8, len(bits), 8):
        with pytest.raises(CodecConfigError):
            read_usability(reader_of(bits[:length]))
