from __future__ import annotations

import pytest

from streamd.errors import CodecConfigError
from streamd.formats.codecs.avc import parse

SPS = bytes.fromhex("6764001facd9405005bb011000000300100000030 3c0f1831960".replace(" ", ""))
PPS = bytes.fromhex("68ebecb22c")


def avcc(
    sps: tuple[bytes, ...] = (SPS,),
    pps: tuple[bytes, ...] = (PPS,),
    *,
    profile: bytes = b"\x64\x00\x1f",
    lengths: int = 3,
) -> bytes:
    def sets(nals: tuple[bytes, ...]) -> bytes:
        return b"".join(len(nal).to_bytes(2, "big") + nal for nal in nals)

    head = b"\x01" + profile + bytes([0xFC | lengths])
    return head + bytes([0xE0 | len(sps)]) + sets(sps) + bytes([len(pps)]) + sets(pps)


class TestParse:
    """ISO/IEC 14496-15 section 5.3.3.1."""

    @pytest.mark.parametrize("trailing", [b"", b"\xfd\xf8\xf8\x00"], ids=["plain", "High's extension"])
    def test_reads_the_record(self, trailing: bytes) -> None:
        config = parse(avcc() + trailing)
        assert config.codec_string == "avc1.64001f"
        assert config.nal_length_bytes == 4
        assert config.sequence_parameter_sets == (SPS,)
        assert config.picture_parameter_sets == (PPS,)

    def test_several_parameter_sets(self) -> None:
        config = parse(avcc((SPS, SPS + b"\x01"), (PPS, PPS)))
        assert len(config.sequence_parameter_sets) == 2
        assert len(config.picture_parameter_sets) == 2

    def test_profile_is_that_of_the_sps(self) -> None:
        assert parse(avcc(profile=bytes(3))).codec_string == "avc1.64001f"

    @pytest.mark.parametrize(("lengths", "nal_length_bytes"), [(0, 1), (1, 2), (3, 4)])
    def test_nal_length(self, lengths: int, nal_length_bytes: int) -> None:
        assert parse(avcc(lengths=lengths)).nal_length_bytes == nal_length_bytes

    @pytest.mark.parametrize("length", range(len(avcc())))
    def test_truncated_is_an_error(self, length: int) -> None:
        with pytest.raises(CodecConfigError):
            parse(avcc()[:length])

    @pytest.mark.parametrize(
        "record",
        [
            b"\x00" + avcc()[1:],
            avcc(lengths=2),
            avcc(()),
            avcc(pps=()),
            avcc((b"",)),
            avcc((PPS,)),
            avcc(pps=(SPS,)),
            avcc((b"\x67\x64\x00",)),
            avcc((b"\x67\x00\x00\x1f",)),
            avcc()[:6] + b"\xff\xff" + avcc()[8:],
            b"\x00\x00\x00\x01" + SPS + b"\x00\x00\x00\x01" + PPS,
        ],
        ids=[
            "version 0",
            "lengths of 3 bytes",
            "no SPS",
            "no PPS",
            "empty SPS",
            "PPS for SPS",
            "SPS for PPS",
            "SPS of 3 bytes",
            "profile 0",
            "lying length",
            "Annex B",
        ],
    )
    def test_unusable_is_an_error(self, record: bytes) -> None:
        with pytest.raises(CodecConfigError):
            parse(record)
