from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError, UnsupportedCodecError
from streamd.formats.codecs.codec import AAC, H264, CodecConfig, fourcc_name, parse_config
from streamd.formats.codecs.picture_format import PictureFormat

AVCC = bytes.fromhex("0142c01fffe1000b6742c01fd900780227e54001000568cb83cb20")


class TestParseConfig:
    def test_h264(self) -> None:
        assert parse_config(H264, AVCC) == CodecConfig("avc1.42c01f", PictureFormat(1920, 1080))

    def test_aac(self) -> None:
        assert parse_config(AAC, b"\x11\x90") == CodecConfig(
            "mp4a.40.2", sample_rate=48_000, channels=2, frame_ticks=1024
        )

    @pytest.mark.parametrize(
        ("record", "channels"),
        [
            ("118004c844002000c40d4c61766335392e33372e31303056e500", "6 channels told by a program config element"),
            ("11a0", None),
            ("11f0", "8 channels"),
        ],
        ids=["ffmpeg's 5.1(side)", "4.0", "7.1 with speakers above"],
    )
    def test_aac_whose_channels_browsers_refuse_is_not_carried(self, record: str, channels: str | None) -> None:
        if channels is None:
            assert parse_config(AAC, bytes.fromhex(record)).channels == 4
            return
        with pytest.raises(UnsupportedCodecError, match=channels):
            parse_config(AAC, bytes.fromhex(record))

    @pytest.mark.parametrize("codec", ["vvc1", "vp08", "flv-video-13", ""])
    def test_codec_outside_the_table_is_not_supported(self, codec: str) -> None:
        with pytest.raises(UnsupportedCodecError):
            parse_config(codec, b"")

    @pytest.mark.parametrize("codec", [H264, AAC])
    def test_broken_record_is_an_error(self, codec: str) -> None:
        with pytest.raises(CodecConfigError):
            parse_config(codec, b"")


@pytest.mark.parametrize(
    ("fourcc", "name"), [(b"hvc1", "hvc1"), (b".mp3", ".mp3"), (b"a\nb\x00", "0x610a6200"), (b"\xffabc", "0xff616263")]
)
def test_fourcc_name_is_always_printable(fourcc: bytes, name: str) -> None:
    assert fourcc_name(fourcc) == name
