"""Writes audio, video and data messages of one message stream as chunks.

Every message begins with a type 0 chunk, so that a piece of the chunk stream stands for itself: what is written once
can be sent to every player of a channel, wherever each has begun.

Spec: RTMP 1.0 (2012) section 5.3.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from streamd.formats.flv.tag import TIMESTAMP_MASK, TagType
from streamd.formats.payload import views

if TYPE_CHECKING:
    from streamd.formats.payload import Payload

MEDIA_STREAM_ID = 1
"""The message stream of a server's first ``createStream``: ours, and nearly every other's."""
MEDIA_CHUNK_SIZE = 60_000
"""Bytes in a chunk of media. FFmpeg publishes with it everywhere; SRS takes no more than 65,536."""

# 5.3.1.1: those of FFmpeg. Audio and video have a chunk stream each.
_CHUNK_STREAM_IDS = {TagType.AUDIO: 4, TagType.VIDEO: 6, TagType.SCRIPT: 5}
# 5.3.1.3: the timestamp field of a message whose timestamp follows in 32 bits.
_EXTENDED = 0xFFFFFF
# Basic header; timestamp (high byte, low two), message length (high byte, low two), message type id: 5.3.1.2.1. The
# message stream id, "stored in little-endian format", follows.
_TYPE_0 = struct.Struct(">BBHBHB")
_TYPE_3 = 0xC0


class MediaWriter:
    """Writes the messages of one message stream.

    Args:
        message_stream_id: Its number.
        chunk_size: Bytes in a chunk, but for the last of a message; the receiver was told.
    """

    def __init__(self, message_stream_id: int = MEDIA_STREAM_ID, chunk_size: int = MEDIA_CHUNK_SIZE) -> None:
        self._stream_id = message_stream_id.to_bytes(4, "little")
        self._chunk_size = chunk_size

    def write(self, tag_type: int, timestamp_ms: int, body: bytes | Payload) -> list[bytes | memoryview]:
        """Write a message.

        Args:
            tag_type: ``TagType``, which is the message type id.
            timestamp_ms: Milliseconds; the low 32 bits are sent.
            body: Its payload, below 2**24 bytes; it is not copied where it fits in a chunk.

        Returns:
            The pieces of it, in order.
        """
        size = len(body)
        assert size < 1 << 24, "a message length has 24 bits"
        wire_ms = timestamp_ms & TIMESTAMP_MASK
        extended = wire_ms.to_bytes(4, "big") if wire_ms >= _EXTENDED else b""
        field_ms = min(wire_ms, _EXTENDED)
        chunk_stream_id = _CHUNK_STREAM_IDS[TagType(tag_type)]
        header = (
            _TYPE_0.pack(chunk_stream_id, field_ms >> 16, field_ms & 0xFFFF, size >> 16, size & 0xFFFF, tag_type)
            + self._stream_id
            + extended
        )
        if size <= self._chunk_size:
            return [header, *views(body)]
        whole = memoryview(bytes(body))
        # 5.3.1.3: the extended timestamp "is present in Type 3 chunks" of its message, too.
        next_header = bytes((_TYPE_3 | chunk_stream_id,)) + extended
        pieces: list[bytes | memoryview] = [header, whole[: self._chunk_size]]
        for start in range(self._chunk_size, size, self._chunk_size):
            pieces += next_header, whole[start : start + self._chunk_size]
        return pieces
