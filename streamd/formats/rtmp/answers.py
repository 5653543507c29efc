"""The answers of a server to its peer, until they are sent.

Spec: RTMP 1.0 (2012) sections 5.3 and 5.4.
"""

from __future__ import annotations

from streamd.formats.rtmp import command as commands
from streamd.formats.rtmp.chunk import ChunkWriter
from streamd.formats.rtmp.message import CONTROL_CHUNK_STREAM_ID, Message

# Servers send results on chunk stream 3, and the stream's status on 5.
_COMMAND_CHUNK_STREAM_ID = 3
_STATUS_CHUNK_STREAM_ID = 5


class Answers:
    """The answers of one connection, in chunks."""

    def __init__(self) -> None:
        self._writer = ChunkWriter()
        self._out: list[bytes] = []

    @property
    def held_bytes(self) -> int:
        """Bytes that wait to be sent."""
        return sum(map(len, self._out))

    def take(self) -> bytes:
        """All that is to be sent now; it is forgotten here."""
        if not self._out:
            # As after nearly every read.
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def send_raw(self, data: bytes) -> None:
        """Send bytes that are no chunks: the handshake's."""
        self._out.append(data)

    def set_chunk_size(self, size: int) -> None:
        """Say how long our chunks are, and write them so from now on."""
        self._out.append(self._writer.set_chunk_size(size))

    def send(self, message: Message) -> None:
        """Send a result, or another command."""
        self._out.append(self._writer.write(message, _COMMAND_CHUNK_STREAM_ID))

    def send_control(self, message: Message) -> None:
        """Send a control message: of the chunk stream, or of the user."""
        self._out.append(self._writer.write(message, CONTROL_CHUNK_STREAM_ID))

    def send_status(self, stream_id: int, level: str, code: str, description: str) -> None:
        """Send news of a stream (7.2.2)."""
        status = commands.on_status(stream_id, level, code, description)
        self._out.append(self._writer.write(status, _STATUS_CHUNK_STREAM_ID))
