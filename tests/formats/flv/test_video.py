from __future__ import annotations

import pytest

from streamd.errors import FlvError
from streamd.formats.flv.video import (
    FrameType,
    VideoPacket,
    VideoPacketType,
    parse_video,
    sequence_header,
    single_track,
)

NANO_MOD_EX = b"\x02\x0f\x42\x3f"  # 3 bytes: 999,999 ns; then a byte of ModExType 0 and the next packet type.


def only(payload: bytes) -> VideoPacket:
    (packet,) = parse_video(payload)
    return packet


class TestOlderHeader:
    """FLV 10.1 E.4.3.1, E.4.3.2."""

    @pytest.mark.parametrize(
        ("payload", "frame_type", "packet_type", "composition_time_ms"),
        [
            (b"\x17\x00\x00\x00\x00\x01", FrameType.KEY, VideoPacketType.SEQUENCE_START, 0),
            (b"\x17\x01\x00\x00\x43\x65", FrameType.KEY, VideoPacketType.CODED_FRAMES, 67),
            (b"\x27\x01\x7f\xff\xff\x41", FrameType.INTER, VideoPacketType.CODED_FRAMES, 2**23 - 1),
            (b"\x27\x01\xff\xff\xdf\x41", FrameType.INTER, VideoPacketType.CODED_FRAMES, -33),
            (b"\x37\x01\x80\x00\x00\x41", FrameType.DISPOSABLE_INTER, VideoPacketType.CODED_FRAMES, -(2**23)),
            (b"\x17\x02\x00\x00\x00", FrameType.KEY, VideoPacketType.SEQUENCE_END, 0),
        ],
    )
    def test_avc(
        self, payload: bytes, frame_type: FrameType, packet_type: VideoPacketType, composition_time_ms: int
    ) -> None:
        assert only(payload) == VideoPacket(frame_type, packet_type, "avc1", 0, composition_time_ms, 0, 5, len(payload))

    def test_hevc_under_the_id_it_had_before_it_had_a_fourcc(self) -> None:
        packet = only(b"\x1c\x01\x00\x00\x10\x26")
        assert (packet.codec, packet.composition_time_ms, packet.start) == ("hvc1", 16, 5)

    @pytest.mark.parametrize(("head", "codec"), [(0x12, "sorenson-h263"), (0x14, "vp6"), (0x1D, "flv-video-13")])
    def test_codec_without_a_packet_type(self, head: int, codec: str) -> None:
        packet = only(bytes([head, 0, 1, 2]))
        assert (packet.codec, packet.packet_type, packet.start) == (codec, VideoPacketType.CODED_FRAMES, 1)

    @pytest.mark.parametrize("payload", [b"\x57\x00", b"\x57", b"\x52\x01\x00\x00\x00\x00"])
    def test_command_frame_has_no_packet(self, payload: bytes) -> None:
        assert parse_video(payload) == []

    @pytest.mark.parametrize("payload", [b"\x17", b"\x17\x01", b"\x17\x01\x00\x00", b"\x27\x03\x00\x00\x00\x00"])
    def test_short_or_reserved_is_an_error(self, payload: bytes) -> None:
        with pytest.raises(FlvError):
            parse_video(payload)


class TestExtendedHeader:
    """Enhanced RTMP v2, Extended VideoTagHeader."""

    @pytest.mark.parametrize(
        ("payload", "packet"),
        [
            (
                b"\x90avc1\x01config",
                VideoPacket(1, VideoPacketType.SEQUENCE_START, "avc1", 0, 0, 0, 5, 12),
            ),
            (
                b"\xa1hvc1\x00\x00\x21nal",
                VideoPacket(2, VideoPacketType.CODED_FRAMES, "hvc1", 0, 33, 0, 8, 11),
            ),
            (
                b"\xa1avc1\xff\xff\xffnal",
                VideoPacket(2, VideoPacketType.CODED_FRAMES, "avc1", 0, -1, 0, 8, 11),
            ),
            (
                b"\x93hvc1nal",
                VideoPacket(1, VideoPacketType.CODED_FRAMES_X, "hvc1", 0, 0, 0, 5, 8),
            ),
            (
                b"\x91av01obu",
                VideoPacket(1, VideoPacketType.CODED_FRAMES, "av01", 0, 0, 0, 5, 8),
            ),
            (b"\x92av01", VideoPacket(1, VideoPacketType.SEQUENCE_END, "av01", 0, 0, 0, 5, 5)),
            (
                b"\xd4hvc1\x02\x00\x09colorInfo",
                VideoPacket(5, VideoPacketType.METADATA, "hvc1", 0, 0, 0, 5, 17),
            ),
            (
                b"\x95av01\x80",
                VideoPacket(1, VideoPacketType.MPEG2TS_SEQUENCE_START, "av01", 0, 0, 0, 5, 6),
            ),
        ],
    )
    def test_packet_types(self, payload: bytes, packet: VideoPacket) -> None:
        assert only(payload) == packet

    def test_command_frame_has_no_packet(self) -> None:
        assert parse_video(b"\xd1\x00") == []

    def test_fourcc_that_is_not_text_is_spelt_out(self) -> None:
        assert only(b"\x91\x00\n\xff1data").codec == "0x000aff31"

    def test_mod_ex_is_read_through(self) -> None:
        packet = only(b"\xa7" + NANO_MOD_EX + b"\x01avc1\x00\x00\x21nal")
        assert packet == VideoPacket(2, VideoPacketType.CODED_FRAMES, "avc1", 0, 33, 999_999, 13, 16)

    def test_mod_ex_with_a_16_bit_size(self) -> None:
        payload = b"\xa7\xff\x01\x00" + bytes(257) + b"\x11av01obu"
        assert only(payload) == VideoPacket(2, VideoPacketType.CODED_FRAMES, "av01", 0, 0, 0, 266, 269)

    def test_mod_ex_may_be_chained(self) -> None:
        payload = b"\xa7" + NANO_MOD_EX + b"\x07" + b"\x00x\x11" + b"av01obu"
        assert only(payload).offset_ns == 999_999

    @pytest.mark.parametrize(
        "payload",
        [
            b"\x90",
            b"\x90avc",
            b"\xa1hvc1\x00\x00",
            b"\xa1hvc1",
            b"\x98avc1",
            b"\x97",
            b"\x97\xff",
            b"\x97\xff\x00",
            b"\x97\x04abc",
            b"\x97\x02\x0f\x42\x40\x01avc1",  # 1,000,000 ns
            b"\x97\x00a\x01avc1\x00",  # TimestampOffsetNano of one byte
            b"\xa7" + (NANO_MOD_EX + b"\x07") * 100,
        ],
    )
    def test_short_or_reserved_is_an_error(self, payload: bytes) -> None:
        with pytest.raises(FlvError):
            parse_video(payload)


class TestMultitrack:
    """Enhanced RTMP v2, Multitrack."""

    def test_one_track(self) -> None:
        assert only(b"\xa6\x01avc1\x01\x00\x00\x21nal") == VideoPacket(
            2, VideoPacketType.CODED_FRAMES, "avc1", 1, 33, 0, 10, 13
        )

    def test_many_tracks(self) -> None:
        payload = b"\xa6\x13hvc1\x00\x00\x00\x02ab\x05\x00\x00\x01c"
        assert parse_video(payload) == [
            VideoPacket(2, VideoPacketType.CODED_FRAMES_X, "hvc1", 0, 0, 0, 10, 12),
            VideoPacket(2, VideoPacketType.CODED_FRAMES_X, "hvc1", 5, 0, 0, 16, 17),
        ]

    def test_many_tracks_of_many_codecs(self) -> None:
        payload = b"\x96\x21av01\x00\x00\x00\x01ahvc1\x01\x00\x00\x04\x00\x00\x10b"
        assert parse_video(payload) == [
            VideoPacket(1, VideoPacketType.CODED_FRAMES, "av01", 0, 0, 0, 10, 11),
            VideoPacket(1, VideoPacketType.CODED_FRAMES, "hvc1", 1, 16, 0, 22, 23),
        ]

    @pytest.mark.parametrize(
        "payload",
        [
            b"\xa6",
            b"\xa6\x01av",
            b"\xa6\x01avc1",
            b"\xa6\x31avc1\x00",  # multitrack type 3
            b"\xa6\x06avc1\x00",  # multitrack in multitrack
            b"\xa6\x07avc1\x00",  # ModEx in multitrack
            b"\xa6\x13hvc1\x00\x00\x00",
            b"\xa6\x13hvc1\x00\x00\x00\x03ab",
            b"\xa6\x13hvc1\x00\xff\xff\xffab",
            b"\xa6\x13hvc1\x00\x00\x00\x02ab\x01",
            b"\xa6\x11hvc1\x00\x00\x00\x02ab",  # a track too short for its composition time
            b"\xa6\x23hv",
        ],
    )
    def test_lying_lengths_are_an_error(self, payload: bytes) -> None:
        with pytest.raises(FlvError):
            parse_video(payload)


class TestSingleTrack:
    @pytest.mark.parametrize("payload", [b"\x17\x01\x00\x00\x43\x65", b"\xa1hvc1\x00\x00\x21nal", b"\x93av01x"])
    def test_plain_tag_is_not_copied(self, payload: bytes) -> None:
        assert single_track(payload, only(payload)) is payload

    @pytest.mark.parametrize(
        ("payload", "plain"),
        [
            (b"\xa7" + NANO_MOD_EX + b"\x01avc1\xff\xff\xdfnal", b"\xa1avc1\xff\xff\xdfnal"),
            (b"\xa6\x03avc1\x00nal", b"\xa3avc1nal"),
            (b"\x96\x11av01\x00\x00\x00\x03obu", b"\x91av01obu"),
            (b"\x96\x11hvc1\x04\x00\x00\x06\x00\x00\x21nal", b"\x96\x01hvc1\x04\x00\x00\x21nal"),
            (b"\x1c\x01\x00\x00\x21nal", b"\x91hvc1\x00\x00\x21nal"),
        ],
    )
    def test_wrapping_is_taken_off(self, payload: bytes, plain: bytes) -> None:
        assert single_track(payload, only(payload)) == plain

    def test_sequence_header_reads_back(self) -> None:
        payload = sequence_header("hvc1", 0, b"record")
        assert only(payload) == VideoPacket(1, VideoPacketType.SEQUENCE_START, "hvc1", 0, 0, 0, 5, 11)

    def test_sequence_header_of_another_track_reads_back(self) -> None:
        payload = sequence_header("hvc1", 3, b"record")
        assert only(payload) == VideoPacket(1, VideoPacketType.SEQUENCE_START, "hvc1", 3, 0, 0, 7, 13)
        assert single_track(payload, only(payload)) is payload
