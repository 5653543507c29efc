from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError
from streamd.formats.codecs.opus import DEFAULT, parse

LIBOPUS = bytes.fromhex("4f707573486561640102380180bb0000000000")
SURROUND = b"OpusHead\x01\x06" + bytes(8) + b"\x01\x04\x02" + bytes(range(6))


@pytest.mark.parametrize(("record", "channels"), [(LIBOPUS, 2), (DEFAULT, 2), (SURROUND, 6)])
def test_channels(record: bytes, channels: int) -> None:
    assert parse(record) == channels


@pytest.mark.parametrize(
    "record",
    [
        b"",
        LIBOPUS[:-1],
        b"OpusTags" + LIBOPUS[8:],
        LIBOPUS[:8] + b"\x10" + LIBOPUS[9:],  # version
        LIBOPUS[:9] + b"\x00" + LIBOPUS[10:],  # no channel
        LIBOPUS[:9] + b"\x03" + LIBOPUS[10:],  # more than family 0 has
        LIBOPUS[:-1] + b"\xff",  # a mapping without a meaning
        SURROUND[:-1],
    ],
)
def test_broken_record_is_an_error(record: bytes) -> None:
    with pytest.raises(CodecConfigError):
        parse(record)
