"""Command and data messages: reading them, and writing our answers.

Spec: RTMP 1.0 (2012) sections 7.1.1, 7.1.2 and 7.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamd.errors import MessageError
from streamd.formats.amf import amf0
from streamd.formats.amf.values import DEFAULT_LIMITS, UNDEFINED, Budget, Limits, Value
from streamd.formats.rtmp.message import Message, MessageType

if TYPE_CHECKING:
    from collections.abc import Mapping

# Plain integers: the type of every message that is not media is looked up here.
_AMF3_TYPES = frozenset((int(MessageType.COMMAND_AMF3), int(MessageType.DATA_AMF3)))

# Of the values behind a command's name and transaction id, how many say what it means; the first of them is its command
# object. The others of these commands, and all of any other command, are not read: they have no use.
CLIENTS_VALUES: Mapping[str, int] = {"connect": 1, "publish": 3, "deleteStream": 2}
"""The values that are read of the commands of a client."""
SERVERS_VALUES: Mapping[str, int] = {"_result": 2, "_error": 2, "onStatus": 2, "onFCPublish": 2}
"""The values that are read of the commands of a server."""

_ON_METADATA = b"onMetaData"


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the peer's. Its arguments may be or hold the stream key: never shown."""

    name: str
    transaction_id: float
    """0 where no answer is wanted (7.1.1)."""
    properties: dict[str, Value] = field(default_factory=dict, repr=False)
    """The command object; empty where it is null, as in all but ``connect``."""
    arguments: tuple[Value, ...] = field(default=(), repr=False)


def amf0_body(message: Message) -> bytes:
    """The payload as AMF0, which may switch to AMF3 for single values.

    Enhanced RTMP v2, "Enabling AMF3 in RTMP": "Message payload for message types of 15, 16 and 17 starts with a
    format selector byte. Currently, only format 0 is defined to indicate AMF0-encoded values."
    """
    payload = bytes(message.payload)
    if message.type_id in _AMF3_TYPES and payload.startswith(b"\x00"):
        return payload[1:]
    return payload


def read_command(
    message: Message,
    limits: Limits = DEFAULT_LIMITS,
    budget: Budget | None = None,
    values_read: Mapping[str, int] = CLIENTS_VALUES,
) -> Command:
    """Read a command message as far as it means something; arguments as ``amf0.read_values`` has them.

    Args:
        message: It is in.
        limits: How much it may ask of the reader.
        budget: The rest of these limits, where several messages share it.
        values_read: How many values mean something, by the command's name.

    Raises:
        AmfError: Its values cannot be read.
        MessageError: It has no name.
    """
    reader = amf0.Reader(amf0_body(message), limits, budget)
    if not reader.at_text:
        raise MessageError("a command without a name")
    name = reader.read_value()
    assert isinstance(name, str)
    wanted = values_read.get(name, 0)
    transaction_id = reader.read_value() if reader.at_number or (wanted and not reader.at_end) else None
    values: list[Value] = []
    while len(values) < wanted and not reader.at_end:
        values.append(reader.read_value())
    properties, *arguments = values or [None]
    return Command(
        name,
        float(transaction_id) if isinstance(transaction_id, int | float) else 0.0,
        properties if isinstance(properties, dict) else {},
        tuple(arguments),
    )


def may_be_metadata(body: bytes) -> bool:
    """Whether a data message can be ``onMetaData``: what is none need not be read."""
    return _ON_METADATA in body


def command_message(name: str, transaction_id: float, *values: Value, message_stream_id: int = 0) -> Message:
    """A command of ours, in AMF0, which every peer reads."""
    payload = amf0.write_values(name, transaction_id, *values)
    return Message(MessageType.COMMAND_AMF0, 0, message_stream_id, payload)


def status(level: str, code: str, description: str, **more: Value) -> dict[str, Value]:
    """An information object: ``level`` is "status", "warning" or "error" (7.2.2)."""
    return {"level": level, "code": code, "description": description, **more}


def result(transaction_id: float, properties: Value = None, information: Value = UNDEFINED) -> Message:
    """``_result``: the command did what it says. By default as SRS answers what it has nothing to say to."""
    return command_message("_result", transaction_id, properties, information)


def error(transaction_id: float, code: str, description: str) -> Message:
    """``_error``: the command cannot be done."""
    return command_message("_error", transaction_id, None, status("error", code, description))


def on_status(message_stream_id: int, level: str, code: str, description: str) -> Message:
    """``onStatus``: news of a stream. "Transaction ID set to 0" and "there is no command object" (7.2.2)."""
    information = status(level, code, description)
    return command_message("onStatus", 0, None, information, message_stream_id=message_stream_id)


def fc_status(name: str, code: str, description: str) -> Message:
    """``onFCPublish`` and ``onFCUnpublish``, which FMLE and its kin wait for."""
    return command_message(name, 0, None, {"code": code, "description": description})


def find_metadata(values: list[Value]) -> dict[str, Value] | None:
    """Find the values of ``onMetaData`` in a data message.

    Args:
        values: ``"@setDataFrame", "onMetaData", values``, or without the first; numbers may come before
            (Uniview cameras).

    Returns:
        Them, or None where this is another data message.

    Raises:
        MessageError: It is onMetaData, and there are none.
    """
    if "onMetaData" not in values:
        return None
    for value in values[values.index("onMetaData") + 1 :]:
        if isinstance(value, dict):
            return value
    raise MessageError("onMetaData without values")
