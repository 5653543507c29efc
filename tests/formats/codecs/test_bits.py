from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError
from streamd.formats.codecs.bits import BitReader
from tests.support.work import count_calls


class TestBitReader:
    """ITU-T H.264 sections 7.2 and 9.1."""

    def test_reads_across_bytes(self) -> None:
        reader = BitReader(b"\xa5\x0f")
        assert [reader.read(bits) for bits in (1, 3, 6, 0, 6)] == [1, 2, 20, 0, 15]
        assert reader.bits_left == 0

    @pytest.mark.parametrize(
        ("data", "unsigned", "signed"),
        [
            (b"\x80", 0, 0),
            (b"\x40", 1, 1),
            (b"\x60", 2, -1),
            (b"\x20", 3, 2),
            (b"\x28", 4, -2),
            (b"\x00\x00\x00\x00\x80\x00\x00\x00\x00", 2**32 - 1, 2**31),
        ],
    )
    def test_exp_golomb(self, data: bytes, unsigned: int, signed: int) -> None:
        assert BitReader(data).read_ue() == unsigned
        assert BitReader(data).read_se() == signed

    @pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x00\x00\x00\x40\x00\x00\x00\x00"])
    def test_code_without_an_end_is_an_error(self, data: bytes) -> None:
        with pytest.raises(CodecConfigError):
            BitReader(data).read_ue()

    def test_reading_past_the_end_is_an_error(self) -> None:
        with pytest.raises(CodecConfigError):
            BitReader(b"\x00").read(9)

    def test_codes_are_passed_over(self) -> None:
        reader = BitReader(b"\xa6\x40")  # 1 010 011 0 0100…
        reader.skip_codes(3)
        assert reader.read_ue() == 3

    @pytest.mark.parametrize("data", [b"\xff", b"\xfe\x10"], ids=["too few", "one is cut off"])
    def test_codes_past_the_end_are_an_error(self, data: bytes) -> None:
        with pytest.raises(CodecConfigError):
            BitReader(data).skip_codes(9)

    def test_skipping_past_the_end_is_an_error(self) -> None:
        reader = BitReader(b"\x01")
        reader.skip(8)
        with pytest.raises(CodecConfigError):
            reader.skip(1)

    @pytest.mark.parametrize("data", [b"\xff" * 2000, b"\x00\x01" * 1000], ids=["short codes", "long codes"])
    def test_a_code_costs_the_same_wherever_it_stands(self, data: bytes) -> None:
        reader = BitReader(data)
        first = count_calls(reader.read_ue)
        reader.skip(8 * 1900)
        assert count_calls(reader.read_ue) == first
