"""A broadcast with a chosen end, as of encoders on a bad day, for measurements that need many of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING, Self

from bench.publishing import CHUNK_SIZE, login, read_all
from streamd.formats.amf import amf0
from streamd.formats.flv.tag import TagType
from streamd.formats.rtmp.chunk import ChunkWriter
from streamd.formats.rtmp.message import Message, MessageType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamd.formats.amf.values import Value
    from streamd.formats.flv.tag import FlvTag


class Broadcast:
    """One RTMP connection on loopback, which closes without a goodbye unless it is told to send one.

    Args:
        tags: The clip that is sent over and over.
        clip_s: Its length, seconds.
    """

    def __init__(self, tags: Sequence[FlvTag], clip_s: int) -> None:
        self._tags = tags
        self._clip_ms = clip_s * 1000
        self._chunks = ChunkWriter()
        self._writer: asyncio.StreamWriter
        self._reading: asyncio.Task[None]

    @classmethod
    async def begin(cls, port: int, stream_key: str, tags: Sequence[FlvTag], clip_s: int) -> Self:
        """Connect and ask to publish, as OBS does; the answer is not waited for."""
        self = cls(tags, clip_s)
        reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        self._reading = asyncio.create_task(read_all(reader))
        self._writer.write(b"\x03" + bytes(1536) + bytes(1536))
        self._writer.write(self._chunks.set_chunk_size(CHUNK_SIZE))
        for stream_id, values in login(stream_key):
            self._command(stream_id, values)
        return self

    @property
    def is_over(self) -> bool:
        """The server has closed the connection."""
        return self._reading.done()

    async def send(self, seconds: float, note_sent: Callable[[FlvTag], None] = lambda _: None) -> None:
        """Send in real time, for some seconds or until the server closes.

        Args:
            seconds: Duration.
            note_sent: Called with each tag that was handed to the kernel.
        """
        started_at = time.monotonic()
        offset_ms = 0
        with contextlib.suppress(OSError):
            while True:
                for tag in self._tags:
                    is_header = tag.tag_type == TagType.SCRIPT or bytes(tag.payload)[1] == 0
                    if is_header and offset_ms:
                        continue
                    time_ms = offset_ms + tag.timestamp_ms
                    ahead_s = started_at + time_ms / 1000 - time.monotonic()
                    if ahead_s > 0:
                        await asyncio.sleep(ahead_s)
                    if time_ms > seconds * 1000 or self.is_over:
                        return
                    self._writer.write(self._chunks.write(Message(tag.tag_type, time_ms, 1, tag.payload), 4))
                    note_sent(tag)
                await self._writer.drain()
                offset_ms += self._clip_ms

    def say(self, data: bytes) -> None:
        """Send bytes that are not RTMP."""
        self._writer.write(data)

    async def say_goodbye(self) -> None:
        """End as an encoder's stop button does."""
        self._command(1, ("FCUnpublish", 6.0, None, ""))
        self._command(0, ("deleteStream", 7.0, None, 1.0))
        with contextlib.suppress(OSError):
            await self._writer.drain()
        await self.close()

    def drop(self) -> None:
        """Vanish: the server sees RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        self._reading.cancel()

    async def close(self) -> None:
        """Close without a word."""
        self._reading.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def _command(self, stream_id: int, values: tuple[Value, ...]) -> None:
        self._writer.write(
            self._chunks.write(Message(MessageType.COMMAND_AMF0, 0, stream_id, amf0.write_values(*values)), 3)
        )
