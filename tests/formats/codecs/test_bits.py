from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import CodecConfigError
from streamd.formats.codecs.bits import BitReader, row_of
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

    @given(st.lists(st.integers(0, 40) | st.integers(0, 2**32 - 1), max_size=255), st.binary(max_size=2))
    def test_as_many_as_there_are_to_the_bit(self, values: list[int], rest: bytes) -> None:
        spelled = "".join(f"{value + 1:b}".zfill(2 * (value + 1).bit_length() - 1) for value in values)
        bits = spelled + "".join(f"{byte:08b}" for byte in rest)
        bits += "1" * (-len(bits) % 8)
        reader = BitReader(int(f"1{bits}", 2).to_bytes(len(bits) // 8 + 1, "big")[1:])
        reader.skip_codes(len(values))
        assert reader.bits_left == len(bits) - len(spelled)

    def test_many_codes_are_passed_over_in_a_few_steps(self) -> None:
        reader = BitReader(b"\xff" * 100)
        assert count_calls(lambda: reader.skip_codes(255)) < 64

    def test_short_codes_are_spelled_out(self) -> None:
        reader = BitReader(b"\xe9\x80\x00\x40")  # 1 1 1 010 011 and one of 19 bits
        assert reader.peek_short_codes(64) == ["111", "010", "011"]
        assert reader.peek_short_codes(2) == ["11"]
        assert reader.bits_left == 32

    def test_short_codes_are_passed_over(self) -> None:
        reader = BitReader(b"\xe9\x80\x00\x40")
        reader.skip_short_codes(5)
        assert reader.bits_left == 32 - 9
        with pytest.raises(CodecConfigError):
            reader.skip_short_codes(1)
        assert reader.bits_left == 32 - 9

    def test_flags(self) -> None:
        reader = BitReader(b"\xaa")
        assert [reader.read_flag() for _ in range(8)] == [True, False] * 4
        with pytest.raises(CodecConfigError):
            reader.read_flag()

    def test_a_pattern_is_passed_over_where_it_matches(self) -> None:
        reader = BitReader(b"\xa6")
        assert reader.match(row_of("10|0", 2))[0] == "1010"
        assert reader.bits_left == 4
        with pytest.raises(CodecConfigError):
            reader.match(row_of("1", 1))
        assert reader.read(4) == 6

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
