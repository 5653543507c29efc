from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError
from streamd.formats.codecs.flac import FlacStreamInfo, parse

STREAM_INFO = bytes.fromhex("120012000004f40005590bb802f00000b400a7ed9dfc3bdb965114568e29b78c9a17")
FILE_START = b"fLaC\x80\x00\x00\x22"


@pytest.mark.parametrize(
    "record", [STREAM_INFO, FILE_START + STREAM_INFO, b"fLaC\x00\x00\x00\x22" + STREAM_INFO + b"x"]
)
def test_with_and_without_what_stands_around_it(record: bytes) -> None:
    assert parse(record) == FlacStreamInfo(STREAM_INFO, 48_000, 2, 4608)


def test_frames_that_differ_in_length_are_not_counted() -> None:
    assert parse(b"\x00\x10" + STREAM_INFO[2:]).frame_samples == 0


@pytest.mark.parametrize(
    "record",
    [
        b"",
        STREAM_INFO[:-1],
        b"fLaC",
        b"fLaC\x84\x00\x00\x22" + STREAM_INFO,  # a comment first
        b"\x00\x0f" + STREAM_INFO[2:],  # blocks of 15 samples
        b"\x12\x01" + STREAM_INFO[2:],  # the shortest above the longest
        STREAM_INFO[:10] + b"\x00\x00\x02" + STREAM_INFO[13:],  # 0 Hz
        STREAM_INFO[:10] + b"\xff\xff\xf2" + STREAM_INFO[13:],  # 1 MHz
    ],
)
def test_broken_record_is_an_error(record: bytes) -> None:
    with pytest.raises(CodecConfigError):
        parse(record)
