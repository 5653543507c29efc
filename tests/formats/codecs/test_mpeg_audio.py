from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError
from streamd.formats.codecs.mpeg_audio import MpegAudioFrame, parse


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (b"\xff\xfb\x94\x64", MpegAudioFrame("mp4a.6B", 48_000, 2, 1152)),
        (b"\xff\xfa\x90\xc0", MpegAudioFrame("mp4a.6B", 44_100, 1, 1152)),
        (b"\xff\xf3\x84\x44", MpegAudioFrame("mp4a.69", 24_000, 2, 576)),
        (b"\xff\xe3\x18\xc4", MpegAudioFrame("mp4a.69", 8_000, 1, 576)),
    ],
)
def test_frame(frame: bytes, expected: MpegAudioFrame) -> None:
    assert parse(frame + b"x") == expected


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff\xfb\x94",
        b"\xfe\xfb\x94\x64",  # no sync
        b"\xff\xeb\x94\x64",  # version reserved
        b"\xff\xfd\x94\x64",  # layer II
        b"\xff\xfb\x9c\x64",  # sample rate reserved
        b"ID3\x03",
    ],
)
def test_none_is_an_error(frame: bytes) -> None:
    with pytest.raises(CodecConfigError):
        parse(frame)
