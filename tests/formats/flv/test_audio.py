from __future__ import annotations

import pytest

from streamd.errors import FlvError
from streamd.formats.flv.audio import (
    AudioPacket,
    AudioPacketType,
    coded_frame,
    parse_audio,
    sequence_header,
    single_track,
)


def only(payload: bytes) -> AudioPacket:
    (packet,) = parse_audio(payload)
    return packet


class TestOlderHeader:
    """FLV 10.1 E.4.2.1, E.4.2.2."""

    def test_aac_sequence_header(self) -> None:
        assert only(b"\xaf\x00\x11\x90") == AudioPacket(AudioPacketType.SEQUENCE_START, "mp4a", 0, 0, 2, 4)

    def test_aac_frame(self) -> None:
        assert only(b"\xaf\x01\x21") == AudioPacket(AudioPacketType.CODED_FRAMES, "mp4a", 0, 0, 2, 3)

    @pytest.mark.parametrize(
        ("head", "codec"), [(0x2F, ".mp3"), (0xEF, "mp3-8k"), (0xB6, "speex"), (0x06, "pcm"), (0xDF, "flv-audio-13")]
    )
    def test_codec_without_a_packet_type(self, head: int, codec: str) -> None:
        assert only(bytes([head, 1])) == AudioPacket(AudioPacketType.CODED_FRAMES, codec, 0, 0, 1, 2)

    @pytest.mark.parametrize("payload", [b"\xaf", b"\xaf\x02\x00"])
    def test_short_or_reserved_is_an_error(self, payload: bytes) -> None:
        with pytest.raises(FlvError):
            parse_audio(payload)


class TestExtendedHeader:
    """Enhanced RTMP v2, Extended AudioTagHeader."""

    @pytest.mark.parametrize(
        ("payload", "packet"),
        [
            (b"\x90OpusOpusHead", AudioPacket(AudioPacketType.SEQUENCE_START, "Opus", 0, 0, 5, 13)),
            (b"\x91fLaCxyz", AudioPacket(AudioPacketType.CODED_FRAMES, "fLaC", 0, 0, 5, 8)),
            (b"\x91ac-3x", AudioPacket(AudioPacketType.CODED_FRAMES, "ac-3", 0, 0, 5, 6)),
            (b"\x92mp4a", AudioPacket(AudioPacketType.SEQUENCE_END, "mp4a", 0, 0, 5, 5)),
            (
                b"\x94Opus\x01\x02\x00\x00\x00\x03",
                AudioPacket(AudioPacketType.MULTICHANNEL_CONFIG, "Opus", 0, 0, 5, 11),
            ),
            (
                b"\x97\x02\x00\x00\x07\x01mp4ax",
                AudioPacket(AudioPacketType.CODED_FRAMES, "mp4a", 0, 7, 10, 11),
            ),
            (b"\x95\x00mp4a\x01\x12\x10", AudioPacket(AudioPacketType.SEQUENCE_START, "mp4a", 1, 0, 7, 9)),
        ],
    )
    def test_packet_types(self, payload: bytes, packet: AudioPacket) -> None:
        assert only(payload) == packet

    def test_many_tracks(self) -> None:
        assert parse_audio(b"\x95\x11mp4a\x00\x00\x00\x01a\x02\x00\x00\x02bc") == [
            AudioPacket(AudioPacketType.CODED_FRAMES, "mp4a", 0, 0, 10, 11),
            AudioPacket(AudioPacketType.CODED_FRAMES, "mp4a", 2, 0, 15, 17),
        ]

    @pytest.mark.parametrize(
        "payload",
        [b"\x91", b"\x91Opu", b"\x93Opus", b"\x96Opus", b"\x98Opus", b"\x95\x05mp4a\x00", b"\x95\x07mp4a\x00"],
    )
    def test_short_or_reserved_is_an_error(self, payload: bytes) -> None:
        with pytest.raises(FlvError):
            parse_audio(payload)


class TestSingleTrack:
    @pytest.mark.parametrize("payload", [b"\xaf\x01x", b"\x91Opusx", b"\x95\x01Opus\x01x"])
    def test_plain_tag_is_not_copied(self, payload: bytes) -> None:
        assert single_track(payload, only(payload)) is payload

    @pytest.mark.parametrize(
        ("payload", "plain"),
        [
            (b"\xad\x01x", b"\xaf\x01x"),  # SoundSize 8 bits
            (b"\xa2\x01x", b"\xaf\x01x"),  # 5.5 kHz, mono
            (b"\x91mp4ax", b"\xaf\x01x"),
            (b"\x95\x01mp4a\x00x", b"\xaf\x01x"),
            (b"\x95\x01Opus\x00x", b"\x91Opusx"),
            (b"\x97\x02\x00\x00\x07\x01Opusx", b"\x91Opusx"),
            (b"\x2fx", b"\x91.mp3x"),
            (b"\x95\x11mp4a\x03\x00\x00\x01x", b"\x95\x01mp4a\x03x"),
            (b"\x95\x21\xff\x00\x01\x02\x03\x00\x00\x01x", b"\x95\x01\xff\x00\x01\x02\x03x"),
        ],
    )
    def test_wrapping_is_taken_off(self, payload: bytes, plain: bytes) -> None:
        assert single_track(payload, only(payload)) == plain

    @pytest.mark.parametrize(
        ("codec", "track_id", "payload"),
        [
            ("mp4a", 0, b"\xaf\x00\x12\x10"),
            ("Opus", 0, b"\x90Opus\x12\x10"),
            ("mp4a", 2, b"\x95\x00mp4a\x02\x12\x10"),
        ],
    )
    def test_sequence_header(self, codec: str, track_id: int, payload: bytes) -> None:
        assert sequence_header(codec, track_id, b"\x12\x10") == payload

    @pytest.mark.parametrize(("track_id", "payload"), [(0, b"\x91ac-3x"), (2, b"\x95\x01ac-3\x02x")])
    def test_coded_frame(self, track_id: int, payload: bytes) -> None:
        assert coded_frame("ac-3", track_id, b"x") == payload
