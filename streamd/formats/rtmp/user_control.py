"""User control messages: stream events and pings.

Spec: RTMP 1.0 (2012) sections 6.2 and 7.1.7.
"""

from __future__ import annotations

import enum

from streamd.formats.rtmp.message import Message, MessageType, control_message


class EventType(enum.IntEnum):
    """Event types, section 7.1.7."""

    STREAM_BEGIN = 0
    STREAM_EOF = 1
    STREAM_DRY = 2
    SET_BUFFER_LENGTH = 3
    STREAM_IS_RECORDED = 4
    PING_REQUEST = 6
    PING_RESPONSE = 7


def user_control(event_type: EventType, event_data: bytes) -> Message:
    """A user control message: a 2-byte event type, then its data."""
    return control_message(MessageType.USER_CONTROL, event_type.to_bytes(2, "big") + event_data)


def stream_begin(message_stream_id: int) -> Message:
    """The stream "has become functional and can be used for communication"."""
    return user_control(EventType.STREAM_BEGIN, message_stream_id.to_bytes(4, "big"))


def answer(payload: bytes) -> Message | None:
    """The answer to a user control message of the peer's: a ping has one, the rest is for players.

    Args:
        payload: Of a user control message, of any length.
    """
    # "The client MUST respond with a ping response … event data is 4-byte timestamp, which was
    # received with the PingRequest request."
    if len(payload) >= 6 and int.from_bytes(payload[:2], "big") == EventType.PING_REQUEST:
        return user_control(EventType.PING_RESPONSE, payload[2:6])
    return None
