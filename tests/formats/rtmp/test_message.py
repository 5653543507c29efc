from __future__ import annotations

import pytest

from streamd.errors import MessageError
from streamd.formats.rtmp.message import (
    LimitType,
    Message,
    MessageType,
    acknowledgement,
    read_u32,
    set_chunk_size,
    set_peer_bandwidth,
    split_aggregate,
    window_acknowledgement_size,
)


def tag(type_id: int, timestamp_ms: int, body: bytes, back_pointer: bool = True) -> bytes:
    wire = timestamp_ms % 2**32
    header = (
        bytes((type_id,))
        + len(body).to_bytes(3, "big")
        + (wire & 0xFFFFFF).to_bytes(3, "big")
        + bytes((wire >> 24,))
        + bytes(3)
    )
    return header + body + ((11 + len(body)).to_bytes(4, "big") if back_pointer else b"")


class TestProtocolControl:
    """RTMP 1.0 section 5.4."""

    @pytest.mark.parametrize(
        ("message", "type_id", "payload"),
        [
            (set_chunk_size(65536), 1, "00010000"),
            (acknowledgement(2_500_000), 3, "002625a0"),
            (window_acknowledgement_size(2_500_000), 5, "002625a0"),
            (set_peer_bandwidth(2_500_000, LimitType.DYNAMIC), 6, "002625a0 02"),
        ],
    )
    def test_messages_are_written_on_message_stream_0(self, message: Message, type_id: int, payload: str) -> None:
        assert message == Message(type_id, 0, 0, bytes.fromhex(payload))

    def test_the_sequence_number_of_an_acknowledgement_wraps(self) -> None:
        assert acknowledgement(2**32 + 7).payload == bytes.fromhex("00000007")

    def test_the_number_is_read_and_what_follows_is_not(self) -> None:
        assert read_u32(bytes.fromhex("002625a0 02")) == 2_500_000

    def test_less_than_a_number_is_an_error(self) -> None:
        with pytest.raises(MessageError):
            read_u32(bytes(3))


class TestAggregate:
    """RTMP 1.0 section 7.1.6."""

    def split(self, payload: bytes, timestamp_ms: int = 1000) -> list[Message]:
        return split_aggregate(Message(MessageType.AGGREGATE, timestamp_ms, 5, payload), 3)

    def test_more_than_may_be_in_it_is_an_error(self) -> None:
        with pytest.raises(MessageError, match="more than 3"):
            self.split(tag(8, 0, b"") * 4)

    def test_an_empty_one_has_nothing_in_it(self) -> None:
        assert self.split(b"") == []

    def test_the_first_timestamp_stands_for_the_message_s(self) -> None:
        payload = tag(8, 20, b"a") + tag(9, 43, b"vv") + tag(18, 10, b"")
        assert self.split(payload) == [
            Message(8, 1000, 5, b"a"),
            Message(9, 1023, 5, b"vv"),
            Message(18, 990, 5, b""),
        ]

    def test_the_timestamps_inside_may_wrap(self) -> None:
        payload = tag(8, 2**32 - 10, b"a") + tag(8, 13, b"b")
        assert [message.timestamp_ms for message in self.split(payload)] == [1000, 1023]

    def test_the_high_byte_of_a_timestamp_follows_the_others(self) -> None:
        payload = tag(8, 0, b"a") + tag(8, 0x01000001, b"b")
        assert [message.timestamp_ms for message in self.split(payload)] == [1000, 1000 + 0x01000001]

    def test_the_last_back_pointer_may_be_missing(self) -> None:
        assert len(self.split(tag(8, 0, b"a") + tag(8, 1, b"b", back_pointer=False))) == 2

    @pytest.mark.parametrize("cut", range(1, 12))
    def test_a_tag_that_is_cut_short_is_an_error(self, cut: int) -> None:
        with pytest.raises(MessageError):
            self.split(tag(8, 0, b"body") + tag(8, 1, b"b", back_pointer=False)[:-cut])

    def test_a_tag_that_declares_more_than_there_is_is_an_error(self) -> None:
        with pytest.raises(MessageError, match="16777226"):
            self.split(bytes.fromhex("08 ffffff 000000 00 000000") + bytes(100))
