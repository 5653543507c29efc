"""Media messages in chunks of ours, RTMP 1.0 section 5.3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.formats.flv.tag import FlvTag, TagType
from streamd.formats.payload import PayloadLog
from streamd.formats.rtmp.chunk import ChunkDecoder
from streamd.formats.rtmp.media_writer import MediaWriter
from streamd.formats.rtmp.message import set_chunk_size
from tests.support.rtmp_wire import as_message, message


def decoder_with(chunk_size: int) -> ChunkDecoder:
    decoder = ChunkDecoder()
    told = set_chunk_size(chunk_size)
    decoder.receive_data(message(told.type_id, bytes(told.payload), message_stream_id=0, chunk_stream_id=2))
    return decoder


class TestMediaWriter:
    """RTMP 1.0 section 5.3.1."""

    @given(
        sizes=st.lists(st.sampled_from([0, 1, 127, 128, 129, 255, 256, 257, 600]), min_size=1, max_size=4),
        time_ms=st.sampled_from([0, 1, 0xFFFFFE, 0xFFFFFF, 0x1000000, 2**32 - 1, 2**32, -5]),
        stream_id=st.sampled_from([1, 2, 255, 256, 2**31 - 1]),
    )
    def test_a_decoder_reads_what_was_written(self, sizes: list[int], time_ms: int, stream_id: int) -> None:
        decoder = decoder_with(128)
        writer = MediaWriter(stream_id, 128)
        for number, size in enumerate(sizes):
            body = bytes((number,)) * size
            data = b"".join(writer.write(TagType.VIDEO, time_ms, body))
            (received,) = map(as_message, decoder.receive_data(data))
            assert (received.type_id, received.timestamp_ms % 2**32) == (9, time_ms % 2**32)
            assert bytes(received.payload) == body

    def test_audio_between_video_keeps_a_chunk_stream_of_its_own(self) -> None:
        writer = MediaWriter()
        assert writer.write(TagType.AUDIO, 0, b"a")[0][0] == 4
        assert writer.write(TagType.VIDEO, 0, b"v")[0][0] == 6
        assert writer.write(TagType.SCRIPT, 0, b"s")[0][0] == 5

    def test_a_payload_in_slabs_is_not_copied(self) -> None:
        data = bytearray(b"x" * 1000)
        payload = PayloadLog().append(data, 0, 1000, 1000)
        pieces = MediaWriter().write(TagType.VIDEO, 40, payload)
        assert [type(piece) for piece in pieces] == [bytes, memoryview]
        (received,) = decoder_with(60_000).receive_data(b"".join(pieces))
        assert received == FlvTag(9, 40, bytes(data))

    def test_the_number_of_a_message_stream_is_little_endian(self) -> None:
        """5.3.1.2.5: "Message stream ID is stored in little-endian format"."""
        header = bytes(MediaWriter(0x0102).write(TagType.VIDEO, 0, b"")[0])
        assert header[8:12] == b"\x02\x01\0\0"

    def test_a_body_of_24_bits_is_the_longest(self) -> None:
        with pytest.raises(AssertionError):
            MediaWriter().write(TagType.VIDEO, 0, bytes(1 << 24))
