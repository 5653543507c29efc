from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError, UnsupportedCodecError
from streamd.formats.codecs.ac3 import Ac3Frame, parse_ac3, parse_eac3

AC3 = bytes.fromhex("0b779bde144043e1")
EAC3 = bytes.fromhex("0b77017f3487c000")


def ac3(fscod: int, acmod: int, rest: str) -> bytes:
    bits = f"{fscod:02b}" + "010100" + "01000" + "000" + f"{acmod:03b}" + rest
    return b"\x0b\x77\x00\x00" + int(bits.ljust(32, "0"), 2).to_bytes(4, "big")


class TestAc3:
    """ETSI TS 102 366, section 4.3."""

    @pytest.mark.parametrize(
        ("frame", "expected"),
        [
            (AC3, Ac3Frame(48_000, 2)),
            (ac3(1, 1, "0"), Ac3Frame(44_100, 1)),
            (ac3(0, 2, "001"), Ac3Frame(48_000, 3)),  # dsurmod
            (ac3(2, 7, "00001"), Ac3Frame(32_000, 6)),  # cmixlev, surmixlev
            (ac3(0, 6, "001"), Ac3Frame(48_000, 5)),  # surmixlev
            (ac3(0, 3, "000"), Ac3Frame(48_000, 3)),  # cmixlev
        ],
    )
    def test_frame(self, frame: bytes, expected: Ac3Frame) -> None:
        assert parse_ac3(frame) == expected

    @pytest.mark.parametrize("frame", [b"", AC3[:-1], b"\x0b\x78" + AC3[2:], ac3(3, 2, "000"), EAC3])
    def test_none_is_an_error(self, frame: bytes) -> None:
        with pytest.raises(CodecConfigError):
            parse_ac3(frame)


class TestEac3:
    """ETSI TS 102 366, section E.1.2."""

    @pytest.mark.parametrize(
        ("frame", "expected"), [(EAC3, Ac3Frame(48_000, 2)), (EAC3[:4] + b"\x3f\x87\xc0\x00", Ac3Frame(48_000, 6))]
    )
    def test_frame(self, frame: bytes, expected: Ac3Frame) -> None:
        assert parse_eac3(frame) == expected

    @pytest.mark.parametrize("frame", [b"", EAC3[:-1], AC3, EAC3[:4] + b"\xf4" + EAC3[5:]])
    def test_none_is_an_error(self, frame: bytes) -> None:
        with pytest.raises(CodecConfigError):
            parse_eac3(frame)

    def test_short_frames_are_not_supported(self) -> None:
        with pytest.raises(UnsupportedCodecError, match="short frames"):
            parse_eac3(EAC3[:4] + b"\x04" + EAC3[5:])
