from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError
from streamd.formats.codecs.vp9 import parse

LIBVPX = bytes.fromhex("01000000000b820202020000")


@pytest.mark.parametrize(
    ("record", "text"),
    [(LIBVPX, "vp09.00.11.08"), (bytes.fromhex("010000000233a20909090000"), "vp09.02.51.10")],
)
def test_codec_string(record: bytes, text: str) -> None:
    assert parse(record) == text


@pytest.mark.parametrize(
    "record",
    [
        b"",
        LIBVPX[:-1],
        b"\x00" + LIBVPX[1:],
        LIBVPX[:4] + b"\x04" + LIBVPX[5:],  # profile 4
        LIBVPX[:5] + b"\x00" + LIBVPX[6:],  # no level
        LIBVPX[:6] + b"\x92" + LIBVPX[7:],  # 9 bits
    ],
)
def test_broken_record_is_an_error(record: bytes) -> None:
    with pytest.raises(CodecConfigError):
        parse(record)
