"""What a client of RTMP puts on the wire, byte for byte, and how a server's answer is read."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.formats.amf import amf0
from streamd.formats.amf.values import Value
from streamd.formats.flv.tag import FlvTag
from streamd.formats.rtmp.chunk import ChunkDecoder
from streamd.formats.rtmp.message import Message, MessageType

HANDSHAKE_BYTES = 1 + 1536 + 1536
# C0, C1 of the simple handshake, and a C2 that echoes nothing.
SIMPLE_HANDSHAKE = b"\x03" + bytes(8) + b"\xaa" * 1528 + b"\xbb" * 1536


def as_message(received: Message | FlvTag) -> Message:
    """The message that a decoder has received; of media that is kept it gives a tag, which has no message stream."""
    if isinstance(received, Message):
        return received
    return Message(received.tag_type, received.timestamp_ms, 1, received.payload)


def basic_header(chunk_type: int, chunk_stream_id: int, id_bytes: int = 0) -> bytes:
    """Section 5.3.1.1; ``id_bytes`` is 1, 2 or 3 to force a form."""
    id_bytes = id_bytes or (1 if chunk_stream_id < 64 else 2 if chunk_stream_id < 320 else 3)
    if id_bytes == 1:
        return bytes((chunk_type << 6 | chunk_stream_id,))
    return bytes((chunk_type << 6 | id_bytes - 2,)) + (chunk_stream_id - 64).to_bytes(id_bytes - 1, "little")


def chunk(
    chunk_type: int,
    chunk_stream_id: int,
    payload: bytes = b"",
    *,
    time_ms: int = 0,
    length: int | None = None,
    type_id: int = 9,
    message_stream_id: int = 1,
    extended: bool | None = None,
    id_bytes: int = 0,
) -> bytes:
    """One chunk.

    Args:
        chunk_type: 0 to 3.
        chunk_stream_id: 2 to 65599.
        payload: What this chunk carries of its message.
        time_ms: Timestamp of type 0, delta of types 1 and 2.
        length: Of the whole message; by default what this chunk carries.
        type_id: Of the message.
        message_stream_id: Of the message.
        extended: Whether the extended timestamp follows; by default where it must, and not in type 3.
        id_bytes: 1, 2 or 3 to force a form of the basic header.
    """
    if extended is None:
        extended = chunk_type < 3 and time_ms >= 0xFFFFFF
    header = basic_header(chunk_type, chunk_stream_id, id_bytes)
    if chunk_type < 3:
        header += (0xFFFFFF if extended else time_ms).to_bytes(3, "big")
    if chunk_type < 2:
        header += (len(payload) if length is None else length).to_bytes(3, "big") + bytes((type_id,))
    if chunk_type == 0:
        header += message_stream_id.to_bytes(4, "little")
    if extended:
        header += time_ms.to_bytes(4, "big")
    return header + payload


def message(
    type_id: int,
    payload: bytes,
    *,
    time_ms: int = 0,
    message_stream_id: int = 1,
    chunk_stream_id: int = 4,
    chunk_size: int = 128,
) -> bytes:
    """One whole message, its first chunk of type 0."""
    first = chunk(
        0,
        chunk_stream_id,
        payload[:chunk_size],
        time_ms=time_ms,
        length=len(payload),
        type_id=type_id,
        message_stream_id=message_stream_id,
    )
    rest = (
        chunk(3, chunk_stream_id, payload[start : start + chunk_size], time_ms=time_ms, extended=time_ms >= 0xFFFFFF)
        for start in range(chunk_size, len(payload), chunk_size)
    )
    return first + b"".join(rest)


def control(type_id: int, payload: bytes) -> bytes:
    """A protocol control message, on chunk stream 2."""
    return message(type_id, payload, message_stream_id=0, chunk_stream_id=2)


def command(name: str, transaction_id: float, *values: Value, message_stream_id: int = 0) -> bytes:
    """A command message in AMF0, on chunk stream 3."""
    payload = amf0.write_values(name, transaction_id, *values)
    return message(MessageType.COMMAND_AMF0, payload, message_stream_id=message_stream_id, chunk_stream_id=3)


def data(*values: Value, time_ms: int = 0) -> bytes:
    """A data message in AMF0."""
    return message(MessageType.DATA_AMF0, amf0.write_values(*values), time_ms=time_ms)


@dataclass(frozen=True)
class Answer:
    """One message of the server's, with its command read where it is one."""

    message: Message
    values: list[Value]

    @property
    def name(self) -> str:
        """The command's name, or the message type's."""
        return str(self.values[0]) if self.values else MessageType(self.message.type_id).name

    @property
    def code(self) -> Value:
        """``code`` of the information object."""
        return self._information["code"]

    @property
    def description(self) -> Value:
        """``description`` of the information object."""
        return self._information["description"]

    @property
    def _information(self) -> dict[str, Value]:
        information = self.values[3]
        assert isinstance(information, dict)
        return information


class ServerReader:
    """Reads what a server sends, over the whole connection."""

    def __init__(self) -> None:
        self._received = b""
        self._decoder = ChunkDecoder()

    def read(self, sent: bytes) -> list[Answer]:
        """The messages in ``sent``, after the handshake's 3073 bytes."""
        handshake_left = max(HANDSHAKE_BYTES - len(self._received), 0)
        self._received += sent[:handshake_left]
        return [
            Answer(
                message,
                amf0.read_values(bytes(message.payload)) if message.type_id == MessageType.COMMAND_AMF0 else [],
            )
            for message in map(as_message, self._decoder.receive_data(sent[handshake_left:]))
        ]
