"""The server's side of one publisher's connection: bytes in, events out.

It never waits, reads a clock or draws randomness. Its owner moves the bytes, keeps the time limits, and decides
who may publish.

Spec: RTMP 1.0 (2012); Enhanced RTMP v2 (2026-01-31) where ``connect`` is concerned.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from streamd.amf import DEFAULT_LIMITS, UNDEFINED, Budget, Limits, Value
from streamd.errors import AmfError, CommandError, LocalStateError, MessageError, ProtocolError, PublishError
from streamd.flv.tag import new_tag
from streamd.rtmp import command as commands
from streamd.rtmp import user_control
from streamd.rtmp.capabilities import read_capabilities, server_properties
from streamd.rtmp.chunk import DEFAULT_CHUNK_LIMITS, ChunkDecoder, ChunkLimits, ChunkWriter
from streamd.rtmp.command import Command
from streamd.rtmp.events import (
    Connected,
    DropReason,
    Event,
    MessageDropped,
    MetadataReceived,
    PublishRequested,
    Unpublished,
)
from streamd.rtmp.handshake import ServerHandshake
from streamd.rtmp.message import (
    CONTROL_CHUNK_STREAM_ID,
    LimitType,
    Message,
    MessageType,
    acknowledgement,
    read_u32,
    set_peer_bandwidth,
    split_aggregate,
    window_acknowledgement_size,
)
from streamd.rtmp.state import Input, State, next_state
from streamd.rtmp.stream_name import path_of

# Where servers send what: results on 3, the stream's status on 5.
_COMMAND_CHUNK_STREAM_ID = 3
_STATUS_CHUNK_STREAM_ID = 5

# An encoder's name is some 40 characters long; this is what one line of a log should have of it at most.
_FLASH_VERSION_CHARS_MAX = 128

# Plain integers: every message's type is compared with them.
_AUDIO = int(MessageType.AUDIO)
_VIDEO = int(MessageType.VIDEO)


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """What a connection is told by its owner."""

    chunk_size: int = 65_536
    """Bytes in our chunks. Encoders that adopt it for theirs (FFmpeg) cost us less; MediaMTX says the same."""
    window_bytes: int = 2_500_000
    """Window Acknowledgement Size and Set Peer Bandwidth we announce, and how often we acknowledge while
    the peer has not said how often it wants it. What SRS, MediaMTX, librtmp and GStreamer use."""
    command_bytes_max: int = 128 * 1024
    """Longest command or data message. The longest in the field is FMLE's metadata with XMP, 20 KB."""
    pending_bytes_max: int = 1024 * 1024
    """Bytes held while a publish is decided. Encoders wait and send nothing; this is one that does not, at 20 Mb/s, for
    400 ms, on top of what one read can bring."""
    chunk_limits: ChunkLimits = DEFAULT_CHUNK_LIMITS
    amf_limits: Limits = DEFAULT_LIMITS
    """How much AMF may ask of the reader. A thousand values are a millisecond of work, so that all messages of one read
    have the values of one."""


DEFAULT_OPTIONS = ConnectionOptions()


class ServerConnection:
    """One publisher's connection.

    Call ``receive_data`` with what was read, send ``data_to_send`` at once and in one piece, then act on
    the events. After ``PublishRequested`` call ``accept`` or ``reject``; meanwhile what arrives is held.
    In state ``CLOSED`` close the connection once all is sent.

    Args:
        nonce: Fresh random bytes, 16 or more.
        options: Sizes and limits.
    """

    def __init__(self, *, nonce: bytes, options: ConnectionOptions = DEFAULT_OPTIONS) -> None:
        self._options = options
        self._state = State.HANDSHAKE
        self._handshake = ServerHandshake(nonce)
        self._decoder = ChunkDecoder(options.chunk_limits)
        self._writer = ChunkWriter()
        self._out: list[bytes] = []
        self._amf_budget = Budget(options.amf_limits)
        self._window_bytes = options.window_bytes
        self._acknowledged_bytes = 0
        self._held_messages: list[Message] = []
        self._held_data = bytearray()
        self._app = ""
        self._tc_url = ""
        self._streams_created = 0
        self._publish_stream_id = 0
        self._waits_for_fc_publish = False
        self.bytes_received = 0
        """All of them, the handshake's too."""
        self.messages_received = 0
        """Whole messages, of any type."""
        self.messages_dropped: Counter[DropReason] = Counter()
        """Messages that were not used, by reason."""

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._state

    @property
    def missing_bytes(self) -> int:
        """How many bytes of a message that came in part are still to come, at least; 0 between two messages."""
        return self._decoder.missing_bytes

    @property
    def held_bytes(self) -> int:
        """What was received and waits here, bytes: unfinished messages, and what was sent ahead of our answer."""
        return self._decoder.held_bytes + len(self._held_data) + sum(len(each.payload) for each in self._held_messages)

    def receive_data(self, data: bytes) -> list[Event]:
        """Take the peer's next bytes, any number of them, cut anywhere; like ``receive_buffer``."""
        return self.receive_buffer(bytearray(data), len(data))

    def receive_buffer(self, data: bytearray, size: int) -> list[Event]:
        """Take the peer's next bytes.

        Args:
            data: Where they stand, from its begin; it may be used anew afterwards.
            size: How many.

        Returns:
            What they mean, in order; nothing in state ``CLOSED``.

        Raises:
            HandshakeError: The peer does not speak plain RTMP.
            ChunkError: The chunk stream is broken, or asks for too much.
            MessageTooLargeError: The same, by one message.
            CommandError: A command out of turn, or too much sent before a publish was answered.
                After each of these the state is ``CLOSED``, and what came before the fault in the same
                data is lost with the connection.
        """
        if self._state is State.CLOSED:
            return []
        self.bytes_received += size
        events: list[Event] = []
        try:
            if self._state is State.PUBLISHING:
                self._receive_messages(self._decoder.receive_buffer(data, size), events)
            else:
                self._receive_before_media(bytes(data[:size]), events)
        except ProtocolError:
            self._state = State.CLOSED
            raise
        self._acknowledge()
        return events

    def data_to_send(self) -> bytes:
        """What the peer must be sent now, all of it; empty where that is nothing."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def accept(self) -> list[Event]:
        """Let the publish that was asked for begin.

        Returns:
            What arrived while it was decided.

        Raises:
            LocalStateError: None was asked for.
            ProtocolError: What arrived is broken; see ``receive_data``.
        """
        self._require_pending("accept")
        self._step(Input.ACCEPT)
        self._send_control(user_control.stream_begin(self._publish_stream_id))
        if self._waits_for_fc_publish:
            self._send(commands.fc_status("onFCPublish", "NetStream.Publish.Start", "Started publishing stream."))
        self._send_status("status", "NetStream.Publish.Start", "Started publishing stream.")
        events: list[Event] = []
        messages, self._held_messages = self._held_messages, []
        data, self._held_data = bytes(self._held_data), bytearray()
        try:
            self._receive_messages(messages, events)
            if self._state is State.PUBLISH_PENDING:
                # It was ended and asked for again in what was held.
                self._hold(data)
            else:
                self._receive_messages(self._decoder.receive_data(data), events)
        except ProtocolError:
            self._state = State.CLOSED
            raise
        return events

    def reject(self, error: PublishError) -> None:
        """Refuse the publish that was asked for, and end the connection.

        Args:
            error: Its ``status_code`` and ``description`` are what the peer is told.

        Raises:
            LocalStateError: None was asked for.
        """
        self._require_pending("reject")
        self._send_status("error", error.status_code, error.description)
        self._step(Input.REJECT)

    def close(self, status_code: str, description: str) -> None:
        """End the connection from our side, at any time.

        Args:
            status_code: What a publisher is told, for example ``NetStream.Publish.Denied``.
            description: The same for a person.
        """
        if self._state not in (State.HANDSHAKE, State.CLOSED):
            self._send_status("error", status_code, description)
        self._step(Input.CLOSE)

    def _require_pending(self, call: str) -> None:
        if self._state is not State.PUBLISH_PENDING:
            raise LocalStateError(f"{call} while {self._state.value}: no publish was asked for")

    def _step(self, step: Input) -> None:
        self._state = next_state(self._state, step)

    # Receiving

    def _receive_before_media(self, data: bytes, events: list[Event]) -> None:
        if self._state is State.HANDSHAKE:
            self._out.append(self._handshake.receive_data(data))
            if not self._handshake.is_done:
                return
            self._step(Input.HANDSHAKE)
            data = self._handshake.trailing_data
        if self._state is State.PUBLISH_PENDING:
            self._hold(data)
        else:
            self._receive_messages(self._decoder.receive_data(data), events)

    def _receive_messages(self, messages: list[Message], events: list[Event]) -> None:
        """Act on messages, up to one that asks for a publish; the rest is held."""
        self._amf_budget = Budget(self._options.amf_limits)
        self.messages_received += len(messages)
        is_publishing = self._state is State.PUBLISHING
        for index, message in enumerate(messages):
            if is_publishing and (message.type_id == _VIDEO or message.type_id == _AUDIO):
                events.append(new_tag(message.type_id, message.timestamp_ms, message.payload))
                continue
            self._receive_message(message, events)
            if self._state is State.PUBLISH_PENDING:
                self._held_messages = messages[index + 1 :]
                self.messages_received -= len(self._held_messages)
                return
            is_publishing = self._state is State.PUBLISHING

    def _hold(self, data: bytes) -> None:
        self._held_data += data
        if len(self._held_data) > self._options.pending_bytes_max:
            raise CommandError(
                f"{len(self._held_data)} bytes sent before publish was answered", limit="pending_bytes_max"
            )

    def _receive_message(self, message: Message, events: list[Event]) -> None:
        """Act on one message; one that cannot be read is dropped."""
        try:
            self._dispatch(message, events)
        except (AmfError, MessageError) as exc:
            self._drop(DropReason.MALFORMED, message, events, exc.limit)

    def _dispatch(self, message: Message, events: list[Event]) -> None:
        match message.type_id:
            case MessageType.AUDIO | MessageType.VIDEO:
                self._receive_media(message, events)
            case MessageType.DATA_AMF0 | MessageType.DATA_AMF3:
                self._receive_data_message(message, events)
            case MessageType.COMMAND_AMF0 | MessageType.COMMAND_AMF3:
                if self._is_too_large(message, events):
                    return
                command = commands.read_command(message, self._options.amf_limits, self._amf_budget)
                self._receive_command(command, message, events)
            case MessageType.AGGREGATE:
                self._receive_aggregate(message, events)
            case MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE:
                # A window of 0 would want an acknowledgement of nothing.
                self._window_bytes = read_u32(bytes(message.payload)) or self._window_bytes
            case MessageType.SET_PEER_BANDWIDTH:
                # 5.4.5: the receiver "SHOULD respond with a Window Acknowledgement Size message if the
                # window size is different from the last one sent".
                if read_u32(bytes(message.payload)) != self._options.window_bytes:
                    self._send_control(window_acknowledgement_size(self._options.window_bytes))
            case MessageType.USER_CONTROL:
                if answer := user_control.answer(bytes(message.payload)):
                    self._send_control(answer)
            case MessageType.SET_CHUNK_SIZE | MessageType.ABORT | MessageType.ACKNOWLEDGEMENT:
                # The decoder obeyed the first two, and what we send is too little to wait for the third.
                pass
            case _:
                self._drop(DropReason.UNKNOWN_TYPE, message, events)

    def _receive_media(self, message: Message, events: list[Event]) -> None:
        # Media of any message stream is the publish's: there is one, and some encoders say 0 here.
        if self._state is State.PUBLISHING:
            events.append(new_tag(message.type_id, message.timestamp_ms, message.payload))
        else:
            self._drop(DropReason.OUT_OF_TURN, message, events)

    def _receive_aggregate(self, message: Message, events: list[Event]) -> None:
        if self._state is not State.PUBLISHING:
            self._drop(DropReason.OUT_OF_TURN, message, events)
            return
        for inner in split_aggregate(message, self._options.chunk_limits.messages_per_read):
            match inner.type_id:
                case MessageType.AUDIO | MessageType.VIDEO:
                    self._receive_media(inner, events)
                case MessageType.DATA_AMF0 | MessageType.DATA_AMF3:
                    self._receive_message(inner, events)
                case _:
                    # 7.1.6 aggregates messages, but what encoders aggregate is tags.
                    self._drop(DropReason.UNKNOWN_TYPE, inner, events)

    def _receive_data_message(self, message: Message, events: list[Event]) -> None:
        if self._state is not State.PUBLISHING:
            self._drop(DropReason.OUT_OF_TURN, message, events)
            return
        if self._is_too_large(message, events):
            return
        metadata = commands.find_metadata(commands.read_body(message, self._options.amf_limits, self._amf_budget))
        if metadata is not None:
            events.append(MetadataReceived(message.timestamp_ms, metadata))
        else:
            body = commands.amf0_body(message)
            events.append(new_tag(int(MessageType.DATA_AMF0), message.timestamp_ms, body))

    def _is_too_large(self, message: Message, events: list[Event]) -> bool:
        """Whether a message to be read as AMF is longer than any that means something; it is dropped."""
        if len(message.payload) <= self._options.command_bytes_max:
            return False
        self._drop(DropReason.TOO_LARGE, message, events, "command_bytes_max")
        return True

    def _drop(self, reason: DropReason, message: Message, events: list[Event], limit: str = "") -> None:
        self.messages_dropped[reason] += 1
        events.append(MessageDropped(reason, message.type_id, limit))

    # Commands

    def _receive_command(self, command: Command, message: Message, events: list[Event]) -> None:
        match command.name:
            case "connect":
                self._connect(command, events)
            case "createStream":
                self._step(Input.CREATE_STREAM)
                self._streams_created += 1
                self._send(commands.result(command.transaction_id, None, self._streams_created))
            case "publish":
                self._publish(command, message, events)
            case "FCUnpublish" | "closeStream" | "deleteStream":
                self._unpublish(command, events)
            case "FCPublish":
                self._waits_for_fc_publish = True
                self._answer(command)
            case "releaseStream" | "_checkbw" | "checkBandwidth" | "setPeerInfo":
                self._answer(command)
            case "getStreamLength":
                # A stream that is live has no length.
                self._answer(command, 0)
            case "play" | "play2" | "FCSubscribe":
                self._refuse_to_play(message)
            case "_result" | "_error" | "onStatus":
                # Answers, to what we did not ask.
                pass
            case _:
                if command.transaction_id:
                    self._send(
                        commands.error(command.transaction_id, "NetConnection.Call.Failed", "No such method here.")
                    )
                self._drop(DropReason.UNKNOWN_COMMAND, message, events)

    def _answer(self, command: Command, information: Value = UNDEFINED) -> None:
        # 7.1.1: a transaction id of 0 wants no answer. GStreamer sends it with all but connect and createStream.
        if command.transaction_id:
            self._send(commands.result(command.transaction_id, None, information))

    def _connect(self, command: Command, events: list[Event]) -> None:
        """Section 7.2.1.1. The answers and their order are those of FMS, nginx-rtmp, SRS and MediaMTX."""
        self._step(Input.CONNECT)
        # Property names come in any case: "tcurl" for one.
        said = {name.lower(): value for name, value in command.properties.items()}
        self._tc_url = _text(said.get("tcurl")).strip("'\"")
        self._app = _text(said.get("app")) or path_of(self._tc_url)
        object_encoding = 3 if said.get("objectencoding") == 3 else 0
        capabilities = read_capabilities(command.properties)

        self._send_control(window_acknowledgement_size(self._options.window_bytes))
        self._send_control(set_peer_bandwidth(self._options.window_bytes, LimitType.DYNAMIC))
        self._out.append(self._writer.set_chunk_size(self._options.chunk_size))
        properties: dict[str, Value] = {"fmsVer": "FMS/3,0,1,123", "capabilities": 31, "mode": 1}
        if capabilities.is_enhanced:
            properties |= server_properties()
        information = commands.status(
            "status", "NetConnection.Connect.Success", "Connection succeeded.", objectEncoding=object_encoding
        )
        self._send(commands.result(command.transaction_id, properties, information))
        flash_version = _text(said.get("flashver"))[:_FLASH_VERSION_CHARS_MAX]
        events.append(Connected(self._app, self._tc_url, flash_version, object_encoding, capabilities))

    def _publish(self, command: Command, message: Message, events: list[Event]) -> None:
        """Section 7.2.2.6. That createStream came first is not asked: nginx-rtmp does not either."""
        name = command.arguments[0] if command.arguments else None
        if name is False:
            # NetStream.publish(false) of ActionScript stops publishing.
            self._unpublish(command, events)
            return
        self._step(Input.PUBLISH)
        self._publish_stream_id = message.message_stream_id
        publishing_type = _text(command.arguments[1]) if len(command.arguments) > 1 else ""
        events.append(PublishRequested(_text(name), self._app, self._tc_url, publishing_type or "live"))

    def _unpublish(self, command: Command, events: list[Event]) -> None:
        was_publishing = self._state is State.PUBLISHING
        if command.name == "deleteStream" and was_publishing:
            stream_id = command.arguments[0] if command.arguments else None
            if isinstance(stream_id, float) and stream_id != self._publish_stream_id != 0:
                # One that was created and never used: Flash creates up to three.
                return
        self._step(Input.UNPUBLISH)
        if command.name == "FCUnpublish":
            self._send(commands.fc_status("onFCUnpublish", "NetStream.Unpublish.Success", "Stopped publishing stream."))
            self._answer(command)
        self._waits_for_fc_publish = False
        if was_publishing:
            self._send_status("status", "NetStream.Unpublish.Success", "Stream is now unpublished.")
            events.append(Unpublished(command.name))

    def _refuse_to_play(self, message: Message) -> None:
        self._send(
            commands.on_status(
                message.message_stream_id,
                "error",
                "NetStream.Play.Failed",
                "This server takes streams over RTMP and plays them over HTTP.",
            ),
            _STATUS_CHUNK_STREAM_ID,
        )

    # Sending

    def _send(self, message: Message, chunk_stream_id: int = _COMMAND_CHUNK_STREAM_ID) -> None:
        self._out.append(self._writer.write(message, chunk_stream_id))

    def _send_control(self, message: Message) -> None:
        self._send(message, CONTROL_CHUNK_STREAM_ID)

    def _send_status(self, level: str, code: str, description: str) -> None:
        status = commands.on_status(self._publish_stream_id, level, code, description)
        self._send(status, _STATUS_CHUNK_STREAM_ID)

    def _acknowledge(self) -> None:
        """Section 5.4.3: acknowledge once the peer's window of bytes has come since the last time."""
        if self._state is State.HANDSHAKE:
            return
        if self.bytes_received - self._acknowledged_bytes >= self._window_bytes:
            self._acknowledged_bytes = self.bytes_received
            self._send_control(acknowledgement(self.bytes_received))


def _text(value: Value) -> str:
    """A value that should be a string; empty where it is not."""
    return value if isinstance(value, str) else ""
