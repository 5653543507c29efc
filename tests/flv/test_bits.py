from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError
from streamd.flv.bits import BitReader


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
