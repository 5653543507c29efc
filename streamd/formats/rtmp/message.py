"""RTMP messages: their types, the protocol control messages, and the splitting of aggregates.

Spec: RTMP 1.0 (2012) sections 5.4 and 7.1.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from streamd.errors import MessageError
from streamd.formats.payload import Payload
from streamd.formats.rtmp.timestamp import unwrap

# 5.4: protocol control messages "MUST have message stream ID 0 … and be sent in chunk stream ID 2".
CONTROL_STREAM_ID = 0
CONTROL_CHUNK_STREAM_ID = 2

# 5.4.1: "the most significant bit of this field MUST be zero", and a chunk has at least one byte.
CHUNK_SIZE_MAX = 0x7FFF_FFFF

_TAG_HEADER_BYTES = 11
_BACK_POINTER_BYTES = 4


class MessageType(enum.IntEnum):
    """Message type ids, sections 5.4 and 7.1."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACKNOWLEDGEMENT_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    SHARED_OBJECT_AMF3 = 16
    COMMAND_AMF3 = 17
    DATA_AMF0 = 18
    SHARED_OBJECT_AMF0 = 19
    COMMAND_AMF0 = 20
    AGGREGATE = 22


class LimitType(enum.IntEnum):
    """How the limit of Set Peer Bandwidth binds (section 5.4.5)."""

    HARD = 0
    SOFT = 1
    DYNAMIC = 2


@dataclass
class Message:
    """One whole message. It is not changed, though nothing enforces that: there are thousands a second."""

    __slots__ = ("message_stream_id", "payload", "timestamp_ms", "type_id")

    type_id: int
    """One of ``MessageType``, or what else the peer sent; 0 to 255."""
    timestamp_ms: int
    """Unwrapped (``timestamp.unwrap``), milliseconds; may be negative."""
    message_stream_id: int
    payload: bytes | Payload
    """Of audio and video that were received, it lies in slabs."""


def new_message(type_id: int, timestamp_ms: int, message_stream_id: int, payload: bytes | Payload) -> Message:
    """Make a message, compiled in a fifth of the time that a call of its class takes."""
    message = Message.__new__(Message)
    message.type_id = type_id
    message.timestamp_ms = timestamp_ms
    message.message_stream_id = message_stream_id
    message.payload = payload
    return message


def control_message(type_id: MessageType, payload: bytes) -> Message:
    """A protocol control or user control message, whose timestamp is ignored."""
    return Message(type_id, 0, CONTROL_STREAM_ID, payload)


def set_chunk_size(chunk_size: int) -> Message:
    """Section 5.4.1: what the sender's chunks hold from here on, bytes."""
    return control_message(MessageType.SET_CHUNK_SIZE, chunk_size.to_bytes(4, "big"))


def acknowledgement(sequence_number: int) -> Message:
    """Section 5.4.3: ``sequence_number`` bytes were received, modulo 2**32."""
    return control_message(MessageType.ACKNOWLEDGEMENT, (sequence_number & 0xFFFF_FFFF).to_bytes(4, "big"))


def window_acknowledgement_size(window_bytes: int) -> Message:
    """Section 5.4.4: the sender wants an acknowledgement every ``window_bytes``."""
    return control_message(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, window_bytes.to_bytes(4, "big"))


def set_peer_bandwidth(window_bytes: int, limit_type: LimitType) -> Message:
    """Section 5.4.5: the receiver shall have no more than ``window_bytes`` unacknowledged."""
    payload = window_bytes.to_bytes(4, "big") + bytes((limit_type,))
    return control_message(MessageType.SET_PEER_BANDWIDTH, payload)


def read_u32(payload: bytes) -> int:
    """The one number that a protocol control message starts with.

    Raises:
        MessageError: The message is shorter than the number.
    """
    if len(payload) < 4:
        raise MessageError(f"control message of {len(payload)} bytes, 4 needed")
    return int.from_bytes(payload[:4], "big")


def split_aggregate(message: Message, messages_max: int) -> list[Message]:
    """Take the messages out of an aggregate.

    Args:
        message: Of type ``AGGREGATE``; its payload is FLV tags, each with its back pointer.
        messages_max: How many it may hold; each has 15 bytes or more of it.

    Returns:
        The messages, with the aggregate's message stream id.

    Raises:
        MessageError: A tag passes the end of the aggregate, or there are too many.

    Spec: RTMP 1.0 section 7.1.6.
    """
    payload = bytes(message.payload)
    messages: list[Message] = []
    offset = 0
    first_tag_ms: int | None = None
    while offset < len(payload):
        start = offset + _TAG_HEADER_BYTES
        end = start + int.from_bytes(payload[offset + 1 : offset + 4], "big")
        # The last back pointer is missing from some peers' aggregates, and none is read.
        if end > len(payload):
            raise MessageError(f"tag up to byte {end} in an aggregate of {len(payload)} bytes")
        # An FLV tag has bits 24 to 31 of its timestamp after the other 24.
        tag_ms = int.from_bytes(payload[offset + 7 : offset + 8] + payload[offset + 4 : offset + 7], "big")
        if first_tag_ms is None:
            first_tag_ms = tag_ms
        # "The difference between the timestamps of the aggregate message and the first sub-message is
        # the offset used to renormalize the timestamps of the sub-messages".
        timestamp_ms = message.timestamp_ms + unwrap(0, (tag_ms - first_tag_ms) % 2**32)
        if len(messages) == messages_max:
            raise MessageError(f"more than {messages_max} messages in an aggregate", limit="messages_per_read_max")
        messages.append(Message(payload[offset], timestamp_ms, message.message_stream_id, payload[start:end]))
        offset = end + _BACK_POINTER_BYTES
    return messages
