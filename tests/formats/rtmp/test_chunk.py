from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from streamd.errors import ChunkError, MessageTooLargeError
from streamd.formats.flv.tag import FlvTag
from streamd.formats.payload import Payload
from streamd.formats.rtmp.chunk import ChunkDecoder, ChunkLimits, ChunkWriter
from streamd.formats.rtmp.message import Message, set_chunk_size
from tests.support.delivery import deliver
from tests.support.rtmp_wire import as_message, basic_header, chunk, control, message

# A header that has only begun says nothing yet.
TRAILING = bytes.fromhex("44 000001")
# What stands in the read buffer behind what was read: it is another peer's.
OF_OTHERS = bytes.fromhex("c4 44 000001 000003 09 c4c4c4 02 00000000000401000000 00000001") * 40


def decode(data: bytes, *, chunk_size: int = 128, limits: ChunkLimits | None = None) -> list[Message]:
    def make() -> Callable[[bytes], Iterator[Message]]:
        decoder = ChunkDecoder(limits or ChunkLimits())
        decoder.chunk_size = chunk_size

        def take(piece: bytes) -> Iterator[Message]:
            buffer, position = bytearray(piece + OF_OTHERS), 0
            while position < len(piece):
                yield from map(as_message, decoder.receive_buffer(buffer, len(piece), position))
                decoder.raise_fault()
                position = decoder.position

        return take

    return deliver(make, data, TRAILING)


def times(data: bytes) -> list[int]:
    return [message.timestamp_ms for message in decode(data)]


class TestBasicHeader:
    """RTMP 1.0 section 5.3.1.1."""

    @pytest.mark.parametrize(
        ("chunk_stream_id", "id_bytes", "header"),
        [
            (2, 1, "02"),
            (63, 1, "3f"),
            (64, 2, "00 00"),
            (319, 2, "00 ff"),
            (64, 3, "01 0000"),
            (319, 3, "01 ff00"),
            (320, 3, "01 0001"),
            (65599, 3, "01 ffff"),
        ],
    )
    def test_every_form_is_read(self, chunk_stream_id: int, id_bytes: int, header: str) -> None:
        first = chunk(0, chunk_stream_id, b"a", length=2, id_bytes=id_bytes)
        second = chunk(3, chunk_stream_id, b"b", id_bytes=id_bytes)
        assert first.startswith(bytes.fromhex(header))
        assert decode(first + second, chunk_size=1) == [Message(9, 0, 1, b"ab")]

    def test_the_forms_of_one_id_are_one_chunk_stream(self) -> None:
        data = chunk(0, 64, b"a", length=2, id_bytes=2) + chunk(3, 64, b"b", id_bytes=3)
        assert decode(data, chunk_size=1) == [Message(9, 0, 1, b"ab")]


class TestMessageHeader:
    """RTMP 1.0 section 5.3.1.2."""

    def test_type_0_says_everything(self) -> None:
        data = bytes.fromhex("04 000021 000002 08 01000000 aabb")
        assert decode(data) == [Message(8, 33, 1, b"\xaa\xbb")]

    def test_the_message_stream_id_is_little_endian(self) -> None:
        (message,) = decode(chunk(0, 4, b"x", type_id=4, message_stream_id=0x01020304))
        assert message.message_stream_id == 0x01020304

    def test_type_1_keeps_the_message_stream(self) -> None:
        data = chunk(0, 4, b"a", time_ms=100, type_id=4, message_stream_id=7)
        data += chunk(1, 4, b"bc", time_ms=23, type_id=18)
        assert decode(data) == [Message(4, 100, 7, b"a"), Message(18, 123, 7, b"bc")]

    def test_type_2_keeps_type_and_length_too(self) -> None:
        data = chunk(0, 4, b"ab", time_ms=100, type_id=8) + chunk(2, 4, b"cd", time_ms=23)
        assert decode(data) == [Message(8, 100, 1, b"ab"), Message(8, 123, 1, b"cd")]

    def test_type_3_that_starts_a_message_keeps_the_delta_too(self) -> None:
        data = chunk(0, 4, b"a", time_ms=100) + chunk(2, 4, b"b", time_ms=20) + chunk(3, 4, b"c") * 2
        assert times(data) == [100, 120, 140, 160]

    def test_type_3_after_type_0_adds_its_timestamp(self) -> None:
        # FMLE: 0xC4 after a timestamp of 26 means 52.
        assert times(chunk(0, 4, b"a", time_ms=26) + chunk(3, 4, b"b") * 2) == [26, 52, 78]

    def test_type_3_after_a_late_type_0_adds_nothing(self) -> None:
        assert times(chunk(0, 4, b"a", time_ms=3_600_000) + chunk(3, 4, b"b")) == [3_600_000, 3_600_000]

    def test_a_zero_byte_message_is_whole_with_its_header(self) -> None:
        data = chunk(0, 4, b"", type_id=8) + chunk(3, 4)
        assert decode(data) == [Message(8, 0, 1, b"")] * 2

    def test_type_1_may_begin_a_chunk_stream(self) -> None:
        # librtmp's ping: 0x42; GStreamer sends Set Chunk Size so.
        assert decode(chunk(1, 2, b"abcdef", time_ms=5, type_id=4)) == [Message(4, 5, 0, b"abcdef")]

    @pytest.mark.parametrize("chunk_type", [2, 3])
    def test_types_2_and_3_may_not(self, chunk_type: int) -> None:
        with pytest.raises(ChunkError, match=f"begins with a type {chunk_type}"):
            decode(chunk(chunk_type, 4, b"a"))

    @pytest.mark.parametrize("chunk_type", [0, 1, 2])
    def test_a_new_header_inside_a_message_is_an_error(self, chunk_type: int) -> None:
        # CVE-2016-10191: FFmpeg believed the second length.
        data = chunk(0, 4, b"a" * 128, length=200) + chunk(chunk_type, 4, b"b" * 72, length=9000)
        with pytest.raises(ChunkError, match=f"type {chunk_type} chunk inside a message .* 72 bytes before"):
            decode(data)


class TestExtendedTimestamp:
    """RTMP 1.0 section 5.3.1.3."""

    @pytest.mark.parametrize("time_ms", [0xFFFFFE, 0xFFFFFF, 0x1000000, 2**31 - 1])
    def test_is_used_from_0xffffff(self, time_ms: int) -> None:
        data = chunk(0, 4, b"a", time_ms=time_ms)
        assert len(data) == (13 if time_ms < 0xFFFFFF else 17)
        assert times(data) == [time_ms]

    @pytest.mark.parametrize("chunk_type", [1, 2])
    def test_is_a_delta_in_types_1_and_2(self, chunk_type: int) -> None:
        data = chunk(0, 4, b"a", time_ms=5) + chunk(chunk_type, 4, b"b", time_ms=0xFFFFFF)
        assert times(data) == [5, 5 + 0xFFFFFF]

    def test_a_small_timestamp_may_use_it_too(self) -> None:
        assert times(chunk(0, 4, b"a", time_ms=7, extended=True)) == [7]

    @pytest.mark.parametrize("repeats", [True, False])
    @pytest.mark.parametrize("length", [3, 4, 5, 6, 7, 11, 500])
    def test_type_3_continuation_may_repeat_the_field(self, repeats: bool, length: int) -> None:
        payload = bytes(range(250)) * 2
        payload = payload[:length]
        time_ms = 0x01020304
        data = chunk(0, 4, payload[:2], time_ms=time_ms, length=length)
        for start in range(2, length, 2):
            data += chunk(3, 4, payload[start : start + 2], time_ms=time_ms, extended=repeats)
        data += chunk(1, 4, b"zz", time_ms=20)
        assert decode(data, chunk_size=2) == [
            Message(9, time_ms, 1, payload),
            Message(9, time_ms + 20, 1, b"zz"),
        ]

    def test_a_continuation_whose_payload_begins_like_the_field_is_not_the_field(self) -> None:
        payload = b"ab" + bytes.fromhex("0102") + b"cd"
        data = chunk(0, 4, payload[:2], time_ms=0x01020304, length=6)
        data += chunk(3, 4, payload[2:4]) + chunk(3, 4, payload[4:])
        assert decode(data, chunk_size=2) == [Message(9, 0x01020304, 1, payload)]

    @pytest.mark.parametrize("repeats", [True, False])
    def test_type_3_that_starts_a_message_may_repeat_it(self, repeats: bool) -> None:
        data = chunk(0, 4, b"a", time_ms=0x01020304) + chunk(3, 4, b"b", time_ms=0x01020304, extended=repeats)
        assert times(data) == [0x01020304] * 2

    def test_the_field_is_forgotten_with_the_next_header(self) -> None:
        data = chunk(0, 4, b"a", time_ms=0x01020304) + chunk(2, 4, b"b", time_ms=1) + chunk(3, 4, b"c")
        assert times(data) == [0x01020304, 0x01020305, 0x01020306]


class TestUnwrapping:
    """RTMP 1.0 section 4: timestamps wrap after 49.7 days; ours do not."""

    def test_absolute_timestamps_go_on_after_the_wrap(self) -> None:
        data = b"".join(chunk(0, 4, b"a", time_ms=wire) for wire in (0, 2**30, 2**31, 3 * 2**30, 2**32 - 20, 20, 2**30))
        assert times(data) == [0, 2**30, 2**31, 3 * 2**30, 2**32 - 20, 2**32 + 20, 2**32 + 2**30]

    def test_deltas_go_on_after_the_wrap(self) -> None:
        steps = chunk(0, 4, b"a", time_ms=0) + chunk(2, 4, b"a", time_ms=2**31 - 1) * 3
        assert times(steps)[-1] == 3 * (2**31 - 1)

    def test_a_chunk_stream_that_is_new_after_the_wrap_joins_the_others(self) -> None:
        data = b"".join(chunk(0, 4, b"v", time_ms=wire) for wire in (2**31 - 1, 2**32 - 10, 30))
        data += chunk(0, 6, b"a", time_ms=25)
        assert times(data)[-1] == 2**32 + 25

    def test_a_timestamp_just_below_0_is_negative(self) -> None:
        data = chunk(0, 4, b"a", time_ms=2**32 - 16) + chunk(1, 4, b"b", time_ms=16)
        assert times(data) == [-16, 0]

    def test_a_negative_delta_steps_back(self) -> None:
        # SRS #2808.
        data = chunk(0, 4, b"a", time_ms=1000) + chunk(1, 4, b"b", time_ms=2**32 - 40)
        assert times(data) == [1000, 960]


class TestChunking:
    """RTMP 1.0 section 5.3: messages in pieces, and pieces of several messages in turn."""

    @pytest.mark.parametrize("chunk_size", [1, 2, 127, 128, 129, 511, 512, 513, 4096, 60000, 0x7FFFFFFF])
    @pytest.mark.parametrize("length", [1, 127, 128, 129, 1000, 70_000])
    def test_a_message_of_any_length_in_chunks_of_any_size(self, chunk_size: int, length: int) -> None:
        writer = ChunkWriter()
        writer.chunk_size = chunk_size
        payload = bytes(index * 7 % 256 for index in range(length))
        decoder = ChunkDecoder()
        decoder.chunk_size = chunk_size
        message = Message(9, 40, 1, payload)
        data = writer.write(message, 4)
        assert list(map(as_message, decoder.receive_data(data * 2 + TRAILING))) == [message] * 2

    @pytest.mark.parametrize("chunk_size", [1, 2, 100])
    def test_runs_of_small_chunks_are_taken_in_every_cut(self, chunk_size: int) -> None:
        writer = ChunkWriter()
        writer.chunk_size = chunk_size
        # The payload is full of the header's own byte.
        message = Message(9, 40, 1, b"\xc4" * 1000 + b"\x44" * 1000)
        assert decode(writer.write(message, 4) * 2, chunk_size=chunk_size) == [message] * 2

    def test_interleaved_messages_are_put_together(self) -> None:
        video, audio = bytes(range(256)) * 2, b"\xc6" * 300
        data = chunk(0, 6, video[:128], length=512) + chunk(0, 4, audio[:128], length=300, type_id=8)
        data += chunk(3, 6, video[128:256]) + chunk(3, 6, video[256:384]) + chunk(3, 4, audio[128:256])
        data += chunk(3, 4, audio[256:]) + chunk(3, 6, video[384:])
        assert decode(data) == [Message(8, 0, 1, audio), Message(9, 0, 1, video)]

    @pytest.mark.parametrize("in_a_row", [1, 2, 3, 4])
    def test_chunks_of_one_byte_interleaved_a_few_at_a_time(self, in_a_row: int) -> None:
        data = chunk(0, 4, b"a", length=1 + 24 * in_a_row) + chunk(0, 6, b"b", length=25)
        data += (chunk(3, 4, b"a") * in_a_row + chunk(3, 6, b"b")) * 24
        payloads = [message.payload for message in decode(data, chunk_size=1)]
        assert payloads == [b"a" * (1 + 24 * in_a_row), b"b" * 25]


class TestSetChunkSize:
    """RTMP 1.0 section 5.4.1."""

    def test_takes_effect_with_the_next_chunk(self) -> None:
        data = control(1, (200).to_bytes(4, "big")) + chunk(0, 4, b"x" * 150)
        assert decode(data) == [set_chunk_size(200), Message(9, 0, 1, b"x" * 150)]

    def test_takes_effect_inside_a_message_of_another_chunk_stream(self) -> None:
        data = chunk(0, 4, b"a" * 128, length=300) + control(1, (172).to_bytes(4, "big")) + chunk(3, 4, b"b" * 172)
        assert decode(data)[-1].payload == b"a" * 128 + b"b" * 172

    @pytest.mark.parametrize("payload", ["00000000", "80000000", "ffffffff", "000080", ""])
    def test_a_size_that_is_none_breaks_the_stream(self, payload: str) -> None:
        with pytest.raises(ChunkError):
            decode(control(1, bytes.fromhex(payload)))

    @pytest.mark.parametrize("chunk_size", [1, 0xFFFFFF, 0x7FFFFFFF])
    def test_every_legal_size_is_taken(self, chunk_size: int) -> None:
        decoder = ChunkDecoder(ChunkLimits(chunk_size_min=1))
        decoder.receive_data(control(1, chunk_size.to_bytes(4, "big")))
        assert decoder.chunk_size == chunk_size


class TestAbort:
    """RTMP 1.0 section 5.4.2."""

    def test_drops_the_message_under_way(self) -> None:
        data = chunk(0, 4, b"a" * 128, length=300) + control(2, (4).to_bytes(4, "big"))
        data += chunk(0, 4, b"b", time_ms=9)
        assert [message.payload for message in decode(data)] == [bytes.fromhex("00000004"), b"b"]

    @pytest.mark.parametrize("chunk_stream_id", [2, 4, 99])
    def test_where_none_is_under_way_it_does_nothing(self, chunk_stream_id: int) -> None:
        data = chunk(0, 4, b"a") + control(2, chunk_stream_id.to_bytes(4, "big")) + chunk(3, 4, b"b")
        assert [message.payload for message in decode(data)][::2] == [b"a", b"b"]

    def test_gives_back_what_the_message_took_of_the_limit(self) -> None:
        limits = ChunkLimits(message_bytes_max=300, held_bytes_max=304)
        data = (chunk(0, 4, b"a" * 128, length=300) + control(2, (4).to_bytes(4, "big"))) * 5
        assert len(decode(data, limits=limits)) == 5

    def test_without_an_id_breaks_the_stream(self) -> None:
        with pytest.raises(ChunkError, match="type 2 with 3 bytes"):
            decode(control(2, bytes(3)))


class TestLimits:
    def test_a_message_that_is_too_long_is_refused_by_its_header(self) -> None:
        limits = ChunkLimits(message_bytes_max=1000)
        assert decode(chunk(0, 4, b"a" * 1000), chunk_size=1000, limits=limits)
        with pytest.raises(MessageTooLargeError) as caught:
            decode(chunk(0, 4, length=1001), limits=limits)
        assert (caught.value.declared_bytes, caught.value.allowed_bytes) == (1001, 1000)

    def test_65_598_chunk_streams_are_not_opened(self) -> None:
        decoder = ChunkDecoder()
        data = b"".join(chunk(0, chunk_stream_id, b"a") for chunk_stream_id in range(2, 66))
        assert len(decoder.receive_data(data)) == 64
        with pytest.raises(ChunkError, match="more than 64 chunk streams"):
            decoder.receive_data(chunk(0, 65599, b"a"))

    def test_unfinished_messages_together_are_bounded_by_what_they_declare(self) -> None:
        limits = ChunkLimits(message_bytes_max=1000, held_bytes_max=2500)
        data = chunk(0, 4, b"a" * 128, length=1000) + chunk(0, 5, b"a" * 128, length=1000)
        assert decode(data, limits=limits) == []
        with pytest.raises(ChunkError, match="unfinished messages of 3000 bytes"):
            decode(data + chunk(0, 6, b"a" * 128, length=1000), limits=limits)

    def test_finished_messages_are_not_counted(self) -> None:
        limits = ChunkLimits(message_bytes_max=1000, held_bytes_max=1000)
        assert len(decode(chunk(0, 4, b"a" * 1000) * 5, chunk_size=1000, limits=limits)) == 5

    def test_messages_of_one_read_are_bounded(self) -> None:
        limits = ChunkLimits(messages_per_read_max=256)
        # After the first, each is the one byte of a type 3 header.
        opening = chunk(0, 4, b"")
        assert len(ChunkDecoder(limits).receive_data(opening + b"\xc4" * 255)) == 256
        decoder = ChunkDecoder(limits)
        decoder.receive_data(opening + b"\xc4" * 256)
        with pytest.raises(ChunkError, match="more than 256 messages at once"):
            decoder.raise_fault()

    def test_messages_behind_a_command_are_of_the_same_read(self) -> None:
        decoder = ChunkDecoder(ChunkLimits(messages_per_read_max=256))
        decoder.receive_data((message(20, b"x") + message(9, b"y")) * 130)
        with pytest.raises(ChunkError, match="more than 256 messages at once"):
            decoder.raise_fault()

    def test_media_that_is_not_kept_has_no_slab(self) -> None:
        data = message(9, b"v" * 500) + chunk(1, 4, b"v" * 100, type_id=9)
        decoder = ChunkDecoder(ChunkLimits(keeps_media=False))
        received = decoder.receive_data(data)
        assert [(type(each), type(each.payload)) for each in received] == [(Message, bytes)] * 2
        received = ChunkDecoder().receive_data(data)
        assert [(type(each), type(each.payload)) for each in received] == [(FlvTag, Payload)] * 2

    def test_other_limits_hold_from_there_on(self) -> None:
        decoder = ChunkDecoder(ChunkLimits(message_bytes_max=300, held_bytes_max=300, keeps_media=False))
        decoder.receive_data(chunk(0, 4, b"a" * 128, length=300))
        decoder.limit(ChunkLimits())
        # What was under way goes on, and counts.
        (whole,) = decoder.receive_data(chunk(3, 4, b"a" * 128) + chunk(3, 4, b"a" * 44))
        assert whole.payload == b"a" * 300
        assert decoder.receive_data(chunk(0, 5, length=5_000_000)) == []

    @pytest.mark.parametrize(
        ("limits", "data"),
        [
            (ChunkLimits(message_bytes_max=100, message_limit="x"), chunk(0, 4, length=101)),
            (ChunkLimits(held_bytes_max=100, partial_limit="x"), chunk(0, 4, length=101)),
            (ChunkLimits(messages_per_read_max=0, messages_limit="x"), chunk(0, 4)),
        ],
    )
    def test_a_limit_says_what_it_follows_from(self, limits: ChunkLimits, data: bytes) -> None:
        with pytest.raises((ChunkError, MessageTooLargeError)) as caught:
            decode(data, limits=limits)
        assert caught.value.limit == "x"

    def test_a_chunk_size_below_the_least_is_refused(self) -> None:
        limits = ChunkLimits(chunk_size_min=128)
        decoder = ChunkDecoder(limits)
        decoder.receive_data(control(1, (128).to_bytes(4, "big")))
        assert decoder.chunk_size == 128
        with pytest.raises(ChunkError, match="chunk size 127, at least 128 wanted"):
            decoder.receive_data(control(1, (127).to_bytes(4, "big")))

    def test_a_message_that_comes_two_bytes_at_a_time_is_held_in_few_pieces(self) -> None:
        decoder = ChunkDecoder()
        decoder.chunk_size = 100_000
        decoder.receive_data(chunk(0, 4, length=100_000))
        for _ in range(20_000):
            decoder.receive_data(b"ab")
        (stream,) = decoder._streams.values()
        assert sum(map(len, stream.pieces)) == 40_000
        assert len(stream.pieces) <= 2 * 40_000 // 512 + 1


class TestWriter:
    def test_a_short_message_is_one_type_0_chunk(self) -> None:
        message = Message(20, 33, 1, b"ab")
        assert ChunkWriter().write(message, 5) == bytes.fromhex("05 000021 000002 14 01000000 6162")

    def test_an_empty_message_is_its_header(self) -> None:
        assert ChunkWriter().write(Message(8, 0, 1, b""), 5) == bytes.fromhex("05 000000 000000 08 01000000")

    def test_a_long_message_goes_on_in_type_3_chunks(self) -> None:
        written = ChunkWriter().write(Message(20, 0, 0, b"a" * 129), 3)
        assert written[12:] == b"a" * 128 + b"\xc3" + b"a"

    @pytest.mark.parametrize("chunk_stream_id", [2, 63, 64, 319, 320, 65599])
    def test_every_chunk_stream_id_is_written_in_its_shortest_form(self, chunk_stream_id: int) -> None:
        written = ChunkWriter().write(Message(9, 0, 1, b"a" * 200), chunk_stream_id)
        assert written.startswith(basic_header(0, chunk_stream_id))
        assert decode(written) == [Message(9, 0, 1, b"a" * 200)]

    def test_an_extended_timestamp_is_repeated_in_every_chunk(self) -> None:
        written = ChunkWriter().write(Message(9, 0x01020304, 1, b"a" * 300), 4)
        assert written.count(bytes.fromhex("01020304")) == 3
        assert decode(written) == [Message(9, 0x01020304, 1, b"a" * 300)]

    def test_a_timestamp_is_written_modulo_2_to_the_32(self) -> None:
        assert ChunkWriter().write(Message(9, 2**32 + 33, 1, b""), 4)[1:4] == (33).to_bytes(3, "big")

    def test_the_chunk_size_is_announced_before_it_is_used(self) -> None:
        writer = ChunkWriter()
        assert writer.set_chunk_size(65536) == bytes.fromhex("02 000000 000004 01 00000000 00010000")
        assert len(writer.write(Message(9, 0, 1, b"a" * 60_000), 4)) == 12 + 60_000


class TestFault:
    """As in h11: what came before a fault in the same data is handed out first."""

    def test_comes_behind_the_messages_before_it(self) -> None:
        decoder = ChunkDecoder()
        good = message(9, b"a") + message(20, b"b") + message(8, b"c")
        assert [each.payload for each in decoder.receive_data(good + b"\xff")] == [b"a", b"b", b"c"]
        for _ in range(2):
            with pytest.raises(ChunkError, match="chunk stream 63 begins"):
                decoder.receive_data(message(9, b"d"))

    def test_with_nothing_before_it_is_raised_at_once(self) -> None:
        with pytest.raises(ChunkError):
            ChunkDecoder().receive_data(b"\xff")


class TestCommand:
    """Its owner may want other limits for what comes behind a command."""

    @pytest.mark.parametrize("type_id", [17, 20])
    @pytest.mark.parametrize("cut", [0, 1, 5, 12])
    def test_ends_what_is_taken_at_once(self, type_id: int, cut: int) -> None:
        decoder = ChunkDecoder()
        data = message(9, b"a" * 300) + message(type_id, b"bcd") + message(9, b"c")
        start = len(message(9, b"a" * 300)) + cut
        before = decoder.receive_data(data[:start]) if cut else []
        rest = bytearray(data[start:] if cut else data)
        messages = before + decoder.receive_buffer(rest, len(rest))
        assert [as_message(each).type_id for each in messages] == [9, type_id]
        assert rest[decoder.position :] == message(9, b"c")
        (behind,) = decoder.receive_buffer(rest, len(rest), decoder.position)
        assert behind.payload == b"c"
        assert decoder.position == len(rest)

    @pytest.mark.parametrize("type_id", [17, 20, 22])
    @pytest.mark.parametrize("payload", [b"", b"b", b"bc"])
    def test_that_is_too_short_to_be_read_ends_nothing(self, type_id: int, payload: bytes) -> None:
        decoder = ChunkDecoder()
        data = bytearray(message(type_id, payload) + message(9, b"c"))
        assert [as_message(each).type_id for each in decoder.receive_buffer(data, len(data))] == [type_id, 9]
        assert decoder.position == len(data)


class TestHeldBytes:
    def test_are_what_came_of_messages_that_are_not_whole(self) -> None:
        decoder = ChunkDecoder()
        assert decoder.held_bytes == 0
        decoder.receive_data(chunk(0, 4, b"v" * 128, length=8_000_000) + chunk(0, 5, b"a" * 20, length=50, type_id=8))
        assert decoder.held_bytes == 148
        decoder.receive_data(b"a" * 30)
        assert decoder.held_bytes == 128
        decoder.receive_data(bytes.fromhex("c4")[:1] + b"v" * 7)
        assert decoder.held_bytes == 135
        decoder.receive_data(b"v" * 121 + bytes.fromhex("06 0000"))
        assert decoder.held_bytes == 256 + 3


class TestMissingBytes:
    def test_are_those_of_the_message_that_can_be_whole_first(self) -> None:
        decoder = ChunkDecoder()
        assert decoder.missing_bytes == 0
        decoder.receive_data(chunk(0, 4, b"v" * 128, length=300, type_id=9))
        assert decoder.missing_bytes == 172
        decoder.receive_data(chunk(0, 5, b"a" * 20, length=50, type_id=8))
        assert decoder.missing_bytes == 30
        decoder.receive_data(b"a" * 30)
        assert decoder.missing_bytes == 172
        decoder.receive_data(chunk(3, 4, b"v" * 128) + chunk(3, 4, b"v" * 44))
        assert decoder.missing_bytes == 0
