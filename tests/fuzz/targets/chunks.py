"""The chunk stream: whole messages within the limits, or ``ChunkError``; the same however the bytes are cut."""

from __future__ import annotations

from streamd.errors import ChunkError, MessageTooLargeError
from streamd.formats.flv.tag import FlvTag
from streamd.formats.rtmp.chunk import ChunkDecoder, ChunkLimits
from streamd.formats.rtmp.message import Message
from tests.support.captures import HANDSHAKE_BYTES, NAMES, Capture
from tests.support.rtmp_wire import chunk, control, message

LIMITS = ChunkLimits(message_bytes_max=6000, chunk_streams_max=4, held_bytes_max=10_000)
CAPTURE_BYTES = 3000


def seeds() -> list[bytes]:
    """Each begins with how many bytes are read at a time."""
    captures = [Capture.load(name).data[HANDSHAKE_BYTES:][:CAPTURE_BYTES] for name in NAMES]
    made = [
        control(1, (1).to_bytes(4, "big")) + message(9, b"frame", chunk_size=1),
        chunk(0, 4, b"a" * 128, length=300) + control(2, (4).to_bytes(4, "big")) + message(8, b"next"),
        message(9, b"x" * 400, time_ms=0xFFFFFF) + chunk(3, 4, b"x", time_ms=0xFFFFFF, extended=True),
        chunk(0, 64, b"a", id_bytes=2) + chunk(0, 65_599, b"b") + chunk(1, 3, b"c") + chunk(2, 3, b"d"),
        chunk(0, 5, b"", length=0) + chunk(3, 5) + chunk(0, 5, b"z" * 128, length=0xFFFFFF),
    ]
    return [bytes((index * 37 % 256,)) + data for index, data in enumerate([*captures, *made])]


def run(data: bytes) -> None:
    """Args: data: How many bytes are read at a time, and the chunk stream."""
    size, stream = data[0] + 1 if data else 1, data[1:]
    whole = _messages([stream])
    cut = _messages([stream[start : start + size] for start in range(0, len(stream), size)])
    assert whole == cut


def _messages(pieces: list[bytes]) -> tuple[list[Message | FlvTag], str]:
    decoder = ChunkDecoder(LIMITS)
    messages: list[Message | FlvTag] = []
    end = "waits"
    try:
        for piece in pieces:
            messages += decoder.receive_data(piece)
            decoder.raise_fault()
    except (ChunkError, MessageTooLargeError):
        end = "refused"
    assert all(len(each.payload) <= LIMITS.message_bytes_max for each in messages)
    assert sum(len(piece) for stream in decoder._streams.values() for piece in stream.pieces) <= LIMITS.held_bytes_max
    assert decoder.held_bytes <= LIMITS.held_bytes_max + 17
    assert len(decoder._streams) <= LIMITS.chunk_streams_max
    return messages, end
