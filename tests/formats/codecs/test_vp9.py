from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError
from streamd.formats.codecs.picture_format import Colours
from streamd.formats.codecs.vp9 import parse

LIBVPX = bytes.fromhex("01000000000b820202020000")


@pytest.mark.parametrize(
    ("record", "text"),
    [(LIBVPX, "vp09.00.11.08"), (bytes.fromhex("010000000233a20909090000"), "vp09.02.51.10")],
)
def test_codec_string(record: bytes, text: str) -> None:
    assert parse(record).codec_string == text


@pytest.mark.parametrize(
    ("record", "colours"),
    [
        (LIBVPX, Colours()),
        (bytes.fromhex("010000000233a20910090000"), Colours(9, 16, 9)),
        (bytes.fromhex("010000000233a30101010000"), Colours(1, 1, 1, is_full_range=True)),
        (bytes.fromhex("010000000233a203ff630000"), Colours()),
    ],
    ids=["unspecified", "PQ", "full range", "reserved"],
)
def test_colours(record: bytes, colours: Colours) -> None:
    assert parse(record).colours == colours


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
