"""The client's side of a connection on which we publish to another server: bytes in, events out.

It never waits, reads a clock or draws randomness. Its owner moves the bytes and keeps the time limits.

Spec: RTMP 1.0 (2012); Enhanced RTMP v2 (2026-01-31) where ``connect`` is concerned.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamd.errors import AmfError, LocalStateError, MessageError, ProtocolError, RtmpError
from streamd.formats.amf.amf0 import write_values
from streamd.formats.amf.values import Budget, EcmaArray, Limits
from streamd.formats.flv.tag import TagType
from streamd.formats.rtmp import command as commands
from streamd.formats.rtmp import user_control
from streamd.formats.rtmp.answers import Answers
from streamd.formats.rtmp.capabilities import publisher_properties
from streamd.formats.rtmp.chunk import COMMAND_TYPES, ChunkDecoder, ChunkLimits
from streamd.formats.rtmp.client_events import ClientEvent, PublishRefused, PublishStarted, ReconnectAsked
from streamd.formats.rtmp.client_handshake import ClientHandshake
from streamd.formats.rtmp.client_state import ClientInput, ClientState, next_client_state
from streamd.formats.rtmp.media_writer import MEDIA_CHUNK_SIZE, MediaWriter
from streamd.formats.rtmp.message import Message, MessageType, acknowledgement, read_u32, window_acknowledgement_size

if TYPE_CHECKING:
    from streamd.formats.amf.values import Value
    from streamd.formats.payload import Payload
    from streamd.formats.rtmp.command import Command

# A server says a few hundred bytes until it takes the stream, and then acknowledgements and pings.
ANSWER_BYTES_MAX = 64 * 1024
# What it may say beside that for every byte that it is sent. An acknowledgement has 16 bytes, and those who want one
# very often want it every 4,096.
SENT_BYTES_PER_ANSWER_BYTE = 128
# Of its messages; an answer to ``connect`` of Enhanced RTMP has some 600 bytes.
_CHUNK_LIMITS = ChunkLimits(
    message_bytes_max=16 * 1024,
    chunk_streams_max=16,
    held_bytes_max=32 * 1024,
    messages_per_read_max=256,
    keeps_media=False,
)
_AMF_LIMITS = Limits(amf_depth_max=8, amf_values_max=512)
# Of the words that are shown to people.
_CODE_CHARS_MAX = 64
_DESCRIPTION_CHARS_MAX = 256
_URL_CHARS_MAX = 2048
# RFC 3986 section 2.3.
_UNRESERVED = string.ascii_letters + string.digits + "-._~"

_CONNECT, _RELEASE, _FC_PUBLISH, _CREATE, _PUBLISH, _FC_UNPUBLISH, _DELETE = map(float, range(1, 8))
_WINDOW_BYTES = 2_500_000

_STARTED = "NetStream.Publish.Start"
_RECONNECT = "NetConnection.Connect.ReconnectRequest"


@dataclass(frozen=True, slots=True)
class PublishAddress:
    """The place of a stream on another server."""

    app: str
    tc_url: str
    """``rtmp://host/app``."""
    stream_key: str = field(repr=False)


class ClientConnection:
    """One connection on which a stream is published.

    Send ``data_to_send`` at once and after each call of ``receive_data``, and act on the events. From
    ``PublishStarted`` on, ``write_media`` gives the bytes of a frame.

    Args:
        address: The place of the stream.
        nonce: Fresh random bytes, 16 or more.
        flash_version: Our name, as encoders say theirs.

    Attributes:
        state: The state of the connection.
        bytes_received: All of them, the handshake's too.
        acknowledged_bytes: The server's own count of what has arrived, modulo 2**32; 0 before it said one.
    """

    def __init__(self, address: PublishAddress, *, nonce: bytes, flash_version: str) -> None:
        self.state = ClientState.HANDSHAKE
        self.bytes_received = 0
        self.acknowledged_bytes = 0
        self._address = address
        self._flash_version = flash_version
        self._handshake = ClientHandshake(nonce)
        self._decoder = ChunkDecoder(_CHUNK_LIMITS)
        self._answers = Answers()
        self._answers.send_raw(self._handshake.opening)
        self._budget = Budget(_AMF_LIMITS)
        self._writer: MediaWriter | None = None
        self._stream_id = 0
        self._sent_bytes = 0
        self._window_bytes = _WINDOW_BYTES
        self._told_bytes = 0

    @property
    def is_closed(self) -> bool:
        """Whether nothing is read or sent any more."""
        return self.state is ClientState.CLOSED

    def data_to_send(self) -> bytes:
        """All that the server must be sent now; empty where that is nothing."""
        return self._answers.take()

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """Take the server's next bytes, any number of them, cut anywhere.

        Returns:
            What they mean, in order; nothing in state ``CLOSED``.

        Raises:
            ProtocolError: The server breaks RTMP, or says more than a publisher has a use for. The state is ``CLOSED``.
        """
        if self.is_closed:
            return []
        self.bytes_received += len(data)
        self._budget.earn(len(data))
        events: list[ClientEvent] = []
        try:
            if self.state is ClientState.HANDSHAKE:
                self._answers.send_raw(self._handshake.receive_data(data))
                if not self._handshake.is_done:
                    return []
                self._connect()
                data, self._handshake.trailing_data = self._handshake.trailing_data, b""
            if self.bytes_received > ANSWER_BYTES_MAX + self._sent_bytes // SENT_BYTES_PER_ANSWER_BYTE:
                raise RtmpError(f"the server has said {self.bytes_received} bytes, more than a publisher has a use for")
            for message in self._decoder.receive_data(data):
                # Media of a server has no use: it is a message, as none is kept.
                if isinstance(message, Message) and not self.is_closed:
                    self._receive(message, events)
            self._decoder.raise_fault()
        except ProtocolError:
            self._step(ClientInput.CLOSE)
            raise
        if self.bytes_received - self._told_bytes >= self._window_bytes and not self.is_closed:
            self._told_bytes = self.bytes_received
            self._answers.send_control(acknowledgement(self.bytes_received))
        return events

    def write_media(self, tag_type: int, timestamp_ms: int, body: bytes | Payload) -> list[bytes | memoryview]:
        """Write a message of audio, video or data.

        Args:
            tag_type: ``TagType``.
            timestamp_ms: Milliseconds; the low 32 bits are sent.
            body: The tag's.

        Returns:
            The pieces of it, in order, to be sent behind ``data_to_send``.

        Raises:
            LocalStateError: The server takes no media.
        """
        if self._writer is None or self.state is not ClientState.PUBLISHING:
            raise LocalStateError(f"media while {self.state.value}")
        pieces = self._writer.write(tag_type, timestamp_ms, body)
        self._sent_bytes += len(body)
        return pieces

    def write_metadata(self, timestamp_ms: int, values: dict[str, Value]) -> list[bytes | memoryview]:
        """Write ``onMetaData``, which servers are to keep for players; as ``write_media``."""
        body = write_values("@setDataFrame", "onMetaData", EcmaArray(values))
        return self.write_media(TagType.SCRIPT, timestamp_ms, body)

    def close(self) -> None:
        """Say goodbye, where there is anything to say goodbye to, and end the connection."""
        if self.state in (ClientState.PUBLISH_PENDING, ClientState.PUBLISHING):
            key = self._address.stream_key
            self._answers.send(commands.command_message("FCUnpublish", _FC_UNPUBLISH, None, key))
            self._answers.send(commands.command_message("deleteStream", _DELETE, None, self._stream_id))
        self._step(ClientInput.CLOSE)

    # -- words of ours ----------------------------------------------------------------------------

    def _connect(self) -> None:
        self._step(ClientInput.HANDSHAKE)
        self._answers.set_chunk_size(MEDIA_CHUNK_SIZE)
        properties: dict[str, Value] = {
            "app": self._address.app,
            "type": "nonprivate",
            "flashVer": self._flash_version,
            "tcUrl": self._address.tc_url,
        }
        properties |= publisher_properties()
        self._answers.send(commands.command_message("connect", _CONNECT, properties))

    def _create(self) -> None:
        key = self._address.stream_key
        # What OBS and FMLE say; some servers give a name free with the first of them.
        self._answers.send(commands.command_message("releaseStream", _RELEASE, None, key))
        self._answers.send(commands.command_message("FCPublish", _FC_PUBLISH, None, key))
        self._answers.send(commands.command_message("createStream", _CREATE, None))

    def _publish(self) -> None:
        self._answers.send(
            commands.command_message(
                "publish", _PUBLISH, None, self._address.stream_key, "live", message_stream_id=self._stream_id
            )
        )

    # -- words of the server ----------------------------------------------------------------------

    def _receive(self, message: Message, events: list[ClientEvent]) -> None:
        """Act on a message; one that cannot be read is dropped."""
        try:
            if message.type_id in COMMAND_TYPES:
                self._receive_command(
                    commands.read_command(message, budget=self._budget, values_read=commands.SERVERS_VALUES), events
                )
            else:
                self._receive_control(message)
        except (AmfError, MessageError):
            pass

    def _receive_control(self, message: Message) -> None:
        payload = bytes(message.payload)
        match message.type_id:
            case MessageType.ACKNOWLEDGEMENT:
                self.acknowledged_bytes = read_u32(payload)
            case MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE:
                # Not more often than a few answers: each is sent 16 bytes.
                self._window_bytes = max(4096, read_u32(payload))
            case MessageType.SET_PEER_BANDWIDTH:
                # 5.4.5: "The peer receiving this message SHOULD respond with a Window Acknowledgement Size message".
                self._answers.send_control(window_acknowledgement_size(_WINDOW_BYTES))
            case MessageType.USER_CONTROL:
                if (answer := user_control.answer(payload)) is not None:
                    self._answers.send_control(answer)
            case _:
                # Chunk sizes are obeyed where chunks are read; media and data of a server have no use.
                pass

    def _receive_command(self, command: Command, events: list[ClientEvent]) -> None:
        information = command.arguments[0] if command.arguments else None
        match command.name:
            case "_result":
                self._receive_result(command.transaction_id, information, events)
            case "_error":
                # Servers that do not know releaseStream or FCPublish say so, and go on.
                if command.transaction_id in (_CONNECT, _CREATE, _PUBLISH):
                    self._refuse(information, events)
            case "onStatus":
                self._receive_status(information, events)
            case _:
                pass

    def _receive_result(self, transaction_id: float, information: Value, events: list[ClientEvent]) -> None:
        if transaction_id == _CONNECT and isinstance(information, dict) and information.get("level") == "error":
            # Some servers say no in the words of a yes.
            self._refuse(information, events)
        elif transaction_id == _CONNECT:
            self._step(ClientInput.CONNECTED)
            self._create()
        elif transaction_id == _CREATE:
            if not isinstance(information, float) or not (0 < information < 2**31 and information.is_integer()):
                raise RtmpError("the server's answer to createStream has no stream")
            self._step(ClientInput.CREATED)
            self._stream_id = int(information)
            self._publish()

    def _receive_status(self, information: Value, events: list[ClientEvent]) -> None:
        if not isinstance(information, dict):
            return
        code = information.get("code")
        if code == _RECONNECT:
            events.append(ReconnectAsked(_text(information.get("tcUrl"), _URL_CHARS_MAX)))
        elif information.get("level") == "error":
            self._refuse(information, events)
        elif code == _STARTED:
            is_news = self.state is ClientState.PUBLISH_PENDING
            self._step(ClientInput.PUBLISHED)
            if is_news:
                self._writer = MediaWriter(self._stream_id)
                events.append(PublishStarted())

    def _refuse(self, information: Value, events: list[ClientEvent]) -> None:
        said = information if isinstance(information, dict) else {}
        self._step(ClientInput.CLOSE)
        events.append(
            PublishRefused(
                self._words(said.get("code"), _CODE_CHARS_MAX),
                self._words(said.get("description"), _DESCRIPTION_CHARS_MAX),
            )
        )

    def _words(self, value: Value, chars_max: int) -> str:
        """A server's words for people. Many servers name the stream, which is the secret: nothing of it is left."""
        if not isinstance(value, str):
            return ""
        for secret in _forms_of(self._address.stream_key):
            # Before the words are cut, which could leave a piece of it.
            value = value.replace(secret, "…")
        return _text(value, chars_max)

    def _step(self, step: ClientInput) -> None:
        self.state = next_client_state(self.state, step)


def _forms_of(stream_key: str) -> list[str]:
    """A stream key as a server may repeat it, the longest first: whole, without its query, and quoted for a URL."""
    name = stream_key.partition("?")[0]
    forms = {_quoted(text, kept) for text in (stream_key, name) for kept in (None, "/", "")}
    return sorted(forms - {""}, key=len, reverse=True)


def _quoted(text: str, kept: str | None) -> str:
    """A text with every sign that is not unreserved as its percent code (RFC 3986 2.1), but those that are kept.

    Args:
        text: It.
        kept: Signs that stay; None for all of them.
    """
    if kept is None:
        return text
    kept += _UNRESERVED
    return "".join(
        sign if sign in kept else "".join(f"%{byte:02X}" for byte in sign.encode(errors="replace")) for sign in text
    )


def _text(value: Value, chars_max: int) -> str:
    """A server's words as they may be shown: printable, and not too long."""
    if not isinstance(value, str):
        return ""
    return "".join(sign if sign.isprintable() else " " for sign in value[:chars_max]).strip()
