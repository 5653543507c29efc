from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError, UnsupportedCodecError
from streamd.formats.codecs.aac import AudioSpecificConfig, parse


def bits(*fields: tuple[int, int]) -> bytes:
    """Big-endian fields of (width, value), padded with zeros to whole bytes."""
    text = "".join(f"{value:0{width}b}" for width, value in fields)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


GA = ((1, 0), (1, 0), (1, 0))
LC_24000 = ((5, 2), (4, 6), (4, 2))
SYNC = ((11, 0x2B7), (5, 5))

TABLE = [
    ("AAC-LC 48 kHz", bytes.fromhex("1190"), AudioSpecificConfig(2, 48000, 48000, 2, 1024), "mp4a.40.2", 1024),
    ("AAC-LC 44.1 kHz mono", bytes.fromhex("1208"), AudioSpecificConfig(2, 44100, 44100, 1, 1024), "mp4a.40.2", 1024),
    (
        "OBS: no SBR, said behind",
        bytes.fromhex("119056e500"),
        AudioSpecificConfig(2, 48000, 48000, 2, 1024),
        "mp4a.40.2",
        1024,
    ),
    (
        "HE-AAC, explicit, hierarchical",
        bits((5, 5), (4, 6), (4, 2), (4, 3), (5, 2), *GA),
        AudioSpecificConfig(5, 24000, 48000, 2, 1024),
        "mp4a.40.5",
        2048,
    ),
    (
        "HE-AAC v2, explicit, hierarchical",
        bits((5, 29), (4, 6), (4, 1), (4, 3), (5, 2), *GA),
        AudioSpecificConfig(29, 24000, 48000, 1, 1024),
        "mp4a.40.29",
        2048,
    ),
    (
        "HE-AAC, explicit, backward compatible",
        bits(*LC_24000, *GA, *SYNC, (1, 1), (4, 3)),
        AudioSpecificConfig(5, 24000, 48000, 2, 1024),
        "mp4a.40.5",
        2048,
    ),
    (
        "HE-AAC v2, explicit, backward compatible",
        bits(*LC_24000, *GA, *SYNC, (1, 1), (4, 3), (11, 0x548), (1, 1)),
        AudioSpecificConfig(29, 24000, 48000, 2, 1024),
        "mp4a.40.29",
        2048,
    ),
    (
        "HE-AAC without PS, said so",
        bits(*LC_24000, *GA, *SYNC, (1, 1), (4, 3), (11, 0x548), (1, 0)),
        AudioSpecificConfig(5, 24000, 48000, 2, 1024),
        "mp4a.40.5",
        2048,
    ),
    (
        "downsampled SBR",
        bits((5, 5), (4, 3), (4, 2), (4, 3), (5, 2), *GA),
        AudioSpecificConfig(5, 48000, 48000, 2, 1024),
        "mp4a.40.5",
        1024,
    ),
    (
        "HE-AAC, implicit: as AAC-LC",
        bits(*LC_24000, *GA),
        AudioSpecificConfig(2, 24000, 24000, 2, 1024),
        "mp4a.40.2",
        1024,
    ),
    (
        "another extension behind",
        bits(*LC_24000, *GA, (11, 0x2B7), (5, 22), (1, 1), (4, 3)),
        AudioSpecificConfig(2, 24000, 24000, 2, 1024),
        "mp4a.40.2",
        1024,
    ),
    (
        "960 samples",
        bits((5, 2), (4, 3), (4, 2), (1, 1), (1, 0), (1, 0)),
        AudioSpecificConfig(2, 48000, 48000, 2, 960),
        "mp4a.40.2",
        960,
    ),
    (
        "explicit rate",
        bits((5, 2), (4, 15), (24, 50_000), (4, 2), *GA),
        AudioSpecificConfig(2, 50_000, 50_000, 2, 1024),
        "mp4a.40.2",
        1024,
    ),
    (
        "core coder delay",
        bits((5, 2), (4, 3), (4, 6), (1, 0), (1, 1), (14, 99), (1, 0)),
        AudioSpecificConfig(2, 48000, 48000, 6, 1024),
        "mp4a.40.2",
        1024,
    ),
    (
        "7.1",
        bits((5, 2), (4, 3), (4, 7), *GA),
        AudioSpecificConfig(2, 48000, 48000, 8, 1024),
        "mp4a.40.2",
        1024,
    ),
    (
        "7.1 with speakers above",
        bits((5, 2), (4, 3), (4, 14), *GA),
        AudioSpecificConfig(2, 48000, 48000, 8, 1024, "8 channels as channelConfiguration 14 has them"),
        "mp4a.40.2",
        1024,
    ),
    (
        "channels in a program config element",
        # Two pairs of speakers in front, one at the back, one speaker beside each side, one for effects; mixdowns.
        bits(
            (5, 2), (4, 3), (4, 0), *GA, (4, 0), (2, 1), (4, 3), (4, 2), (4, 2), (4, 1), (2, 1), (3, 1), (4, 1),
            (1, 1), (4, 0), (1, 0), (1, 1), (3, 0), *((1, 1), (4, 0)) * 2, *((1, 0), (4, 1)) * 2, (1, 1), (4, 2),
        ),
        AudioSpecificConfig(2, 48000, 48000, 9, 1024, "9 channels told by a program config element"),
        "mp4a.40.2",
        1024,
    ),
]  # fmt: skip


class TestParse:
    """ISO/IEC 14496-3 sections 1.6.2.1 and 4.4.1."""

    @pytest.mark.parametrize(
        ("record", "config", "codec_string", "frame_ticks"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
    )
    def test_reads_the_record(
        self, record: bytes, config: AudioSpecificConfig, codec_string: str, frame_ticks: int
    ) -> None:
        assert parse(record) == config
        assert config.codec_string == codec_string
        assert config.frame_ticks == frame_ticks

    @pytest.mark.parametrize(
        "record",
        [
            bits((5, 2), (4, 3), (4, 0), *GA, (32, 0)),
            bits((5, 2), (4, 3), (4, 0), *GA, (10, 0), (4, 15), (4, 15), (4, 15)),
            bits((5, 2), (4, 3), (4, 0), *GA, (10, 0), (4, 0), (4, 0), (4, 0), (2, 0), (7, 0), (3, 0)),
        ],
        ids=["cut off", "cut off among its speakers", "no channels"],
    )
    def test_program_config_element_that_says_nothing_is_an_error(self, record: bytes) -> None:
        with pytest.raises(CodecConfigError):
            parse(record)

    @pytest.mark.parametrize("rate", [1, 7_349, 192_001])
    def test_rate_that_is_none_is_an_error(self, rate: int) -> None:
        with pytest.raises(CodecConfigError, match=f"{rate} Hz"):
            parse(bits((5, 2), (4, 15), (24, rate), (4, 2), *GA))

    @pytest.mark.parametrize("record", [row[1] for row in TABLE], ids=[row[0] for row in TABLE])
    def test_trailing_bytes_change_nothing(self, record: bytes) -> None:
        assert parse(record + bytes(1000)) == parse(record)

    @pytest.mark.parametrize(
        "record",
        [
            b"",
            b"\x11",
            bits((5, 2), (4, 13), (4, 2), *GA),
            bits((5, 2), (4, 15), (24, 0), (4, 2), *GA),
            bits((5, 2), (4, 15), (24, 0xFFFFFF), (4, 2), *GA),
            bits((5, 2), (4, 3), (4, 9), *GA),
            bits((5, 5), (4, 6), (4, 2), (4, 4), (5, 2), *GA),
            bits((5, 5), (4, 6), (4, 2)),
            bits((5, 2), (4, 3), (4, 2), (1, 0), (1, 1), (1, 0)),
        ],
        ids=[
            "empty",
            "one byte",
            "reserved rate",
            "rate 0",
            "absurd rate",
            "reserved channels",
            "SBR to another rate",
            "cut off in SBR",
            "cut off in delay",
        ],
    )
    def test_unusable_is_an_error(self, record: bytes) -> None:
        with pytest.raises(CodecConfigError):
            parse(record)

    @pytest.mark.parametrize(
        ("record", "codec"),
        [
            (bits((5, 31), (6, 10), (4, 3), (4, 2), *GA), "mp4a.40.42"),
            (bits((5, 23), (4, 3), (4, 2), *GA), "mp4a.40.23"),
            (bits((5, 0), (4, 3), (4, 2), *GA), "mp4a.40.0"),
            (bits((5, 5), (4, 6), (4, 2), (4, 3), (5, 23), *GA), "mp4a.40.23"),
        ],
        ids=["USAC", "AAC-LD", "null", "SBR over AAC-LD"],
    )
    def test_frames_that_we_cannot_count_are_not_supported(self, record: bytes, codec: str) -> None:
        with pytest.raises(UnsupportedCodecError, match=codec):
            parse(record)
