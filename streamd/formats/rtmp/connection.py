"""The server's side of one publisher's connection: bytes in, events out.

It never waits, reads a clock or draws randomness. Its owner moves the bytes, keeps the time limits, and decides
who may publish.

Spec: RTMP 1.0 (2012); Enhanced RTMP v2 (2026-01-31) where ``connect`` is concerned.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, replace

from streamd.errors import AmfError, CommandError, LocalStateError, MessageError, ProtocolError, PublishError
from streamd.formats.amf import amf0
from streamd.formats.amf.values import DEFAULT_LIMITS, UNDEFINED, Budget, Limits, Value
from streamd.formats.flv.tag import new_tag
from streamd.formats.rtmp import command as commands
from streamd.formats.rtmp import user_control
from streamd.formats.rtmp.capabilities import read_capabilities, server_properties
from streamd.formats.rtmp.chunk import (
    CHUNKS_PER_STEP,
    COMMAND_TYPES,
    DEFAULT_CHUNK_LIMITS,
    MESSAGES_PER_STEP,
    ChunkDecoder,
    ChunkLimits,
    ChunkWriter,
)
from streamd.formats.rtmp.command import Command
from streamd.formats.rtmp.events import (
    Connected,
    ConnectionEvent,
    MessageDropped,
    MessageDropReason,
    MetadataReceived,
    PublishRequested,
    Unpublished,
)
from streamd.formats.rtmp.handshake import ServerHandshake
from streamd.formats.rtmp.message import (
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
from streamd.formats.rtmp.state import Input, State, next_state
from streamd.formats.rtmp.stream_name import path_of
from streamd.limits import DEFAULT

# Where servers send what: results on 3, the stream's status on 5.
_COMMAND_CHUNK_STREAM_ID = 3
_STATUS_CHUNK_STREAM_ID = 5

# An encoder's name is some 40 characters long; this is what one line of a log should have of it at most.
_FLASH_VERSION_CHARS_MAX = 128
# Of an app, a URL and a stream name: people type them, and a key in them has 46. They are kept for as long as the
# connection is there.
_ADDRESS_CHARS_MAX = 2048

LOGIN_READ_BYTES_MAX = 16 * 1024
"""What to read at once of a peer whose publish is not accepted: more than any login. What an encoder sends behind its
publish without waiting for the answer stays in the kernel."""
# Of a peer whose publish is not accepted. Encoders name 2 to 4 chunk streams until then; each takes 0.3 kB.
_LOGIN_CHUNK_STREAMS_MAX = 16
# The same. Enhanced RTMP's ``connect`` has some 80 values and names, two levels deep.
_LOGIN_AMF_DEPTH_MAX = 8
_LOGIN_AMF_VALUES_MAX = 512
# Commands of one read, or of what was held while a publish was decided: a whole login has 6, a goodbye 3.
_COMMANDS_MAX = 32
# What a message takes beside its values, in values: to find its name, to answer it.
_MESSAGE_VALUES = 8
# What a message of an aggregate takes in memory beside its payload.
_AGGREGATED_MESSAGE_BYTES = 128
# Pings, and bandwidths that want an answer, of one read: encoders send one in many seconds, and an answer takes longer
# than a frame.
_CONTROL_ANSWERS_MAX = 8

# Plain integers: every message's type is compared with them.
_AUDIO = int(MessageType.AUDIO)
_VIDEO = int(MessageType.VIDEO)
_DATA_TYPES = frozenset((int(MessageType.DATA_AMF0), int(MessageType.DATA_AMF3)))
_WITHOUT_AN_ANSWER = frozenset(map(int, (MessageType.SET_CHUNK_SIZE, MessageType.ABORT, MessageType.ACKNOWLEDGEMENT)))
_CONTROL_TYPES = frozenset(
    map(int, (MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, MessageType.SET_PEER_BANDWIDTH, MessageType.USER_CONTROL))
)
# A shorter message of these types cannot be read: a number is missing, a name, a tag's header. A byte on the wire is
# enough for each, so nothing is tried with them.
_BYTES_MIN = {
    int(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE): 4,
    int(MessageType.SET_PEER_BANDWIDTH): 4,
    int(MessageType.DATA_AMF0): 3,
    int(MessageType.DATA_AMF3): 3,
    int(MessageType.COMMAND_AMF0): 3,
    int(MessageType.COMMAND_AMF3): 3,
    int(MessageType.AGGREGATE): 11,
}


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """What a connection is told by its owner."""

    chunk_size: int = 65_536
    """Bytes in our chunks. Encoders that adopt it for theirs (FFmpeg) cost us less; MediaMTX says the same."""
    window_bytes: int = 2_500_000
    """Window Acknowledgement Size and Set Peer Bandwidth we announce, and how often we acknowledge while
    the peer has not said how often it wants it. What SRS, MediaMTX, librtmp and GStreamer use."""
    command_bytes_max: int = DEFAULT.command_bytes_max
    """Longest command or data message. The longest in the field is FMLE's metadata with XMP, 20 KB."""
    pending_bytes_max: int = DEFAULT.pending_bytes_max
    """Bytes from the end of the handshake until a publish is accepted, and so all that we hold until then. Encoders
    send 1 to 2 kB, and then wait. There is room for what one sends that does not wait: the owner reads
    ``LOGIN_READ_BYTES_MAX`` at most, and nothing more while a publish is decided."""
    pending_messages_max: int = DEFAULT.pending_messages_max
    """Messages in the same time. A login has fewer than 20."""
    chunk_limits: ChunkLimits = DEFAULT_CHUNK_LIMITS
    """Of a peer whose publish was accepted; until then ``login_chunk_limits`` follow from them."""
    amf_limits: Limits = DEFAULT_LIMITS
    """How much AMF may ask of the reader; what was used up comes back with the bytes that the peer sends."""

    @property
    def login_chunk_limits(self) -> ChunkLimits:
        """What the chunk stream of a peer whose publish is not accepted may make us hold."""
        limits, bytes_max = self.chunk_limits, self.pending_bytes_max
        return ChunkLimits(
            message_bytes_max=min(limits.message_bytes_max, bytes_max),
            chunk_streams_max=min(limits.chunk_streams_max, _LOGIN_CHUNK_STREAMS_MAX),
            held_bytes_max=min(limits.held_bytes_max, bytes_max),
            chunk_size_min=limits.chunk_size_min,
            messages_per_read_max=min(limits.messages_per_read_max, self.pending_messages_max),
            keeps_media=False,
            message_limit="pending_bytes_max" if bytes_max < limits.message_bytes_max else "message_bytes_max",
            partial_limit="pending_bytes_max" if bytes_max < limits.held_bytes_max else "held_bytes_max",
            messages_limit="pending_messages_max",
        )

    @property
    def login_amf_limits(self) -> Limits:
        """How much a login's AMF may ask of the reader."""
        limits = self.amf_limits
        return replace(
            limits,
            amf_depth_max=min(limits.amf_depth_max, _LOGIN_AMF_DEPTH_MAX),
            amf_values_max=min(limits.amf_values_max, _LOGIN_AMF_VALUES_MAX),
        )


DEFAULT_OPTIONS = ConnectionOptions()


class ServerConnection:
    """One publisher's connection.

    Call ``receive_buffer`` with what was read, send ``data_to_send`` at once and in one piece, act on the events, and
    call ``raise_fault``. A read that is a lot of work is done in steps: while ``has_more`` is true, call
    ``receive_more``, and read nothing more before. After ``PublishRequested`` call ``accept`` or ``reject``; meanwhile
    what arrives is held.
    In state ``CLOSED`` close the connection once all is sent.

    Until a publish is accepted the peer is a stranger, and is held to the few bytes, messages and values of a login.

    Args:
        nonce: Fresh random bytes, 16 or more.
        options: Sizes and limits.
    """

    def __init__(self, *, nonce: bytes, options: ConnectionOptions = DEFAULT_OPTIONS) -> None:
        self._options = options
        self._state = State.HANDSHAKE
        self._is_stranger = True
        self._fault: ProtocolError | None = None
        self._handshake = ServerHandshake(nonce)
        limits = options.login_chunk_limits
        self._decoder = ChunkDecoder(limits)
        self._messages_per_read = limits.messages_per_read_max
        self._writer = ChunkWriter()
        self._out: list[bytes] = []
        self._amf_budget = Budget(options.login_amf_limits)
        # What came since the budget was last asked.
        self._unearned_bytes = 0
        self._control_answers_left = _CONTROL_ANSWERS_MAX
        self._commands_left = _COMMANDS_MAX
        # Of the read that is under way, by what they have in common.
        self._dropped: dict[tuple[MessageDropReason, int, str], MessageDropped] = {}
        self._window_bytes = options.window_bytes
        self._acknowledged_bytes = 0
        # Of a stranger, behind the handshake.
        self._login_bytes = 0
        self._held_data = bytearray()
        # Up to here it is read.
        self._held_start = 0
        # Messages of an aggregate, in order, and how many of them were acted on; and what they are in memory.
        self._aggregated: list[Message] = []
        self._aggregated_done = 0
        self._aggregated_bytes = 0
        # How many more aggregated messages this read may have, its own counted with them.
        self._aggregated_left = 0
        self.has_more = False
        """Whether there is more to do of what was received: ``receive_more`` does it, a step at a time."""
        self._app = ""
        self._tc_url = ""
        self._streams_created = 0
        self._publish_stream_id = 0
        self._waits_for_fc_publish = False
        self.bytes_received = 0
        """All of them, the handshake's too."""
        self.messages_received = 0
        """Whole messages, of any type."""
        self.messages_dropped: Counter[MessageDropReason] = Counter()
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
    def is_stranger(self) -> bool:
        """Whether no publish was accepted yet: its owner reads ``LOGIN_READ_BYTES_MAX`` at once then, and no more."""
        return self._is_stranger

    @property
    def held_bytes(self) -> int:
        """What waits because of this peer, bytes: unfinished messages, what a publish holds up, unsent answers."""
        return (
            self._handshake.held_bytes
            + self._decoder.held_bytes
            + len(self._held_data)
            + self._aggregated_bytes
            + sum(map(len, self._out))
            + sys.getsizeof(self._app)
            + sys.getsizeof(self._tc_url)
        )

    @property
    def overhead_bytes(self) -> int:
        """What keeps its unfinished messages apart, bytes."""
        return self._decoder.overhead_bytes

    def receive_data(self, data: bytes) -> list[ConnectionEvent]:
        """Take the peer's next bytes, any number of them, cut anywhere; like ``receive_buffer``, in all its steps."""
        events = self.receive_buffer(bytearray(data), len(data))
        try:
            while self.has_more:
                events += self.receive_more()
        except ProtocolError as fault:
            self._fail(fault, events)
        return events

    def receive_buffer(self, data: bytearray, size: int) -> list[ConnectionEvent]:
        """Take the peer's next bytes.

        Args:
            data: Where they stand, from its begin; it may be used anew afterwards.
            size: How many.

        Returns:
            What they mean, in order, up to where a step ends; nothing in state ``CLOSED``.

        Raises:
            HandshakeError: The peer does not speak plain RTMP.
            ChunkError: The chunk stream is broken, or asks for too much.
            MessageTooLargeError: The same, by one message.
            CommandError: A command out of turn, or too much said before a publish was accepted.
                After each of these the state is ``CLOSED``. Where events came before the fault in the same step they
                are returned, and ``raise_fault`` raises it.
        """
        self.raise_fault()
        if self._state is State.CLOSED:
            return []
        self.bytes_received += size
        self._unearned_bytes += size
        events: list[ConnectionEvent] = []
        try:
            if self._state is State.PUBLISHING and not self.has_more:
                self._begin_read()
                position = self._receive_chunks(data, 0, size, events, False)
                if position < size or self._aggregated:
                    self._hold(data[position:size])
                    self._note_more()
            else:
                self._receive_otherwise(bytes(data[:size]), events)
        except ProtocolError as fault:
            self._fail(fault, events)
        self._dropped.clear()
        self._acknowledge()
        return events

    def receive_more(self) -> list[ConnectionEvent]:
        """Go on with what was received, a step further; nothing where ``has_more`` is false.

        Returns:
            What it means, in order.

        Raises:
            ProtocolError: As ``receive_buffer``.
        """
        self.raise_fault()
        events: list[ConnectionEvent] = []
        if self.has_more:
            try:
                self._receive_held(events)
            except ProtocolError as fault:
                self._fail(fault, events)
            self._dropped.clear()
        return events

    def raise_fault(self) -> None:
        """Raise what broke the connection behind the events that were returned last, if anything did; once.

        Raises:
            ProtocolError: As ``receive_buffer``.
        """
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def data_to_send(self) -> bytes:
        """What the peer must be sent now, all of it; empty where that is nothing."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def accept(self) -> list[ConnectionEvent]:
        """Let the publish that was asked for begin.

        Returns:
            What arrived while it was decided, up to where a step ends.

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
        if self._is_stranger:
            self._is_stranger = False
            self._decoder.limit(self._options.chunk_limits)
            self._messages_per_read = self._options.chunk_limits.messages_per_read_max
            self._amf_budget = Budget(self._options.amf_limits)
        events: list[ConnectionEvent] = []
        self._begin_read()
        try:
            self._receive_held(events)
        except ProtocolError as fault:
            self._fail(fault, events)
        self._dropped.clear()
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
        if self._state is State.CLOSED:
            self._forget_held()

    # Receiving

    def _fail(self, fault: ProtocolError, events: list[ConnectionEvent]) -> None:
        """End the connection at a fault; it is raised at once where nothing came before it."""
        self._state = State.CLOSED
        self._forget_held()
        if not events:
            raise fault
        self._fault = fault

    def _forget_held(self) -> None:
        """Do nothing of what is still to be done."""
        self.has_more = False
        self._held_data, self._held_start = bytearray(), 0
        self._forget_aggregate()

    def _forget_aggregate(self) -> None:
        self._aggregated, self._aggregated_done, self._aggregated_bytes = [], 0, 0

    def _begin_read(self) -> None:
        self._control_answers_left = _CONTROL_ANSWERS_MAX
        self._commands_left = _COMMANDS_MAX
        self._aggregated_left = self._messages_per_read

    def _receive_otherwise(self, data: bytes, events: list[ConnectionEvent]) -> None:
        """Act on a read of a peer that does not publish, or whose reads before are not done with."""
        if self._state is State.HANDSHAKE:
            self._out.append(self._handshake.receive_data(data))
            if not self._handshake.is_done:
                return
            self._step(Input.HANDSHAKE)
            # Taken, and not kept beside what is made of it for as long as the connection lasts.
            data, self._handshake.trailing_data = self._handshake.trailing_data, b""
        if self._is_stranger:
            self._login_bytes += len(data)
            if self._login_bytes > self._options.pending_bytes_max:
                raise CommandError(
                    f"{self._login_bytes} bytes sent before a publish was accepted", limit="pending_bytes_max"
                )
        if self._state is State.PUBLISH_PENDING:
            self._hold_read(data)
            return
        self._begin_read()
        if not self.has_more:
            position = self._receive_chunks(bytearray(data), 0, len(data), events, False)
            if position < len(data):
                self._hold(data[position:])
                self._note_more()
            return
        # One read more, which the transport had in hand already.
        self._hold_read(data)
        self._receive_held(events)

    def _receive_held(self, events: list[ConnectionEvent]) -> None:
        """Act on what is held, a step further."""
        data, size = self._held_data, len(self._held_data)
        position = self._receive_chunks(data, self._held_start, size, events, True)
        # It stays where it is: one read may ask for a publish a thousand times.
        self._held_start = position
        if position == size:
            self._held_data, self._held_start = bytearray(), 0
        self._note_more()

    def _note_more(self) -> None:
        is_something_left = bool(self._held_data or self._aggregated)
        self.has_more = is_something_left and self._state not in (State.PUBLISH_PENDING, State.CLOSED)

    def _hold_read(self, data: bytes) -> None:
        """Keep a read behind what is held already, with the messages that it may have."""
        self._decoder.messages_left += self._messages_per_read
        self._hold(data)

    def _receive_chunks(
        self,
        data: bytearray,
        start: int,
        size: int,
        events: list[ConnectionEvent],
        goes_on: bool,
    ) -> int:
        """Act on messages up to the end of a step, or to one that asks for a publish.

        Args:
            data: What was read, or what is held of it.
            start: Where it begins.
            size: Where it ends.
            events: What the messages mean is appended.
            goes_on: Whether it is the rest of a read.

        Returns:
            Where the bytes begin that are to be held; ``size`` where there are none.
        """
        position = start
        chunks_end = self._decoder.chunks_read + CHUNKS_PER_STEP
        messages_left = MESSAGES_PER_STEP
        if self._aggregated:
            messages_left -= self._receive_aggregated(messages_left, events)
        while position < size and messages_left > 0 and not self._aggregated:
            messages = self._decoder.receive_buffer(data, size, position, goes_on)
            messages_left -= len(messages)
            self._receive_messages(messages, events)
            self._decoder.raise_fault()
            position = self._decoder.position
            if self._aggregated and messages_left > 0:
                messages_left -= self._receive_aggregated(messages_left, events)
            if self._state is State.PUBLISH_PENDING or self._decoder.chunks_read >= chunks_end:
                break
            goes_on = True
        return position

    def _receive_messages(self, messages: list[Message], events: list[ConnectionEvent]) -> None:
        """Act on messages, of which the last alone can be a command."""
        self.messages_received += len(messages)
        self._aggregated_left -= len(messages)
        if self._is_stranger and self.messages_received > self._options.pending_messages_max:
            raise CommandError(
                f"{self.messages_received} messages before a publish was accepted", limit="pending_messages_max"
            )
        is_publishing = self._state is State.PUBLISHING
        for message in messages:
            if is_publishing and (message.type_id == _VIDEO or message.type_id == _AUDIO):
                events.append(new_tag(message.type_id, message.timestamp_ms, message.payload))
            else:
                self._receive_message(message, events)

    def _hold(self, data: bytes | bytearray) -> None:
        """Keep what comes while a publish is decided.

        A stranger's is counted already. Of a publisher who begins anew it is what one read brought, and whoever reads
        on all the same makes us hold no more than unfinished messages may.
        """
        self._held_data += data
        held_bytes_max = self._options.chunk_limits.held_bytes_max
        if len(self._held_data) > held_bytes_max:
            raise CommandError(f"{len(self._held_data)} bytes sent before publish was answered", limit="held_bytes_max")

    def _receive_message(self, message: Message, events: list[ConnectionEvent]) -> None:
        """Act on one message; one that cannot be read is dropped."""
        try:
            self._dispatch(message, events)
        except (AmfError, MessageError) as exc:
            self._drop(MessageDropReason.MALFORMED, message, events, exc.limit)

    def _dispatch(self, message: Message, events: list[ConnectionEvent]) -> None:
        type_id = message.type_id
        if len(message.payload) < _BYTES_MIN.get(type_id, 0):
            self._drop(MessageDropReason.MALFORMED, message, events)
        elif type_id == _AUDIO or type_id == _VIDEO:  # noqa: SIM109  # compiled, it is a comparison of C
            self._receive_media(message, events)
        elif type_id in _DATA_TYPES:
            self._receive_data_message(message, events)
        elif type_id in COMMAND_TYPES:
            self._receive_command_message(message, events)
        elif type_id in _WITHOUT_AN_ANSWER:
            # The decoder obeyed two of them, and what we send is too little to wait for the third.
            pass
        elif type_id == MessageType.AGGREGATE:
            self._receive_aggregate(message, events)
        elif type_id in _CONTROL_TYPES:
            self._receive_control(message, events)
        else:
            self._drop(MessageDropReason.UNKNOWN_TYPE, message, events)

    def _receive_control(self, message: Message, events: list[ConnectionEvent]) -> None:
        payload = bytes(message.payload)
        match message.type_id:
            case MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE:
                # A window of 0 would want an acknowledgement of nothing.
                self._window_bytes = read_u32(payload) or self._window_bytes
            case MessageType.SET_PEER_BANDWIDTH:
                # 5.4.5: the receiver "SHOULD respond with a Window Acknowledgement Size message if the
                # window size is different from the last one sent".
                if read_u32(payload) != self._options.window_bytes:
                    self._answer_control(window_acknowledgement_size(self._options.window_bytes), message, events)
            case _:
                if answer := user_control.answer(payload):
                    self._answer_control(answer, message, events)

    def _receive_media(self, message: Message, events: list[ConnectionEvent]) -> None:
        # Media of any message stream is the publish's: there is one, and some encoders say 0 here.
        if self._state is State.PUBLISHING:
            events.append(new_tag(message.type_id, message.timestamp_ms, message.payload))
        else:
            self._drop(MessageDropReason.OUT_OF_TURN, message, events)

    def _receive_aggregate(self, message: Message, events: list[ConnectionEvent]) -> None:
        if self._state is not State.PUBLISHING:
            self._drop(MessageDropReason.OUT_OF_TURN, message, events)
            return
        messages_left = self._aggregated_left
        if messages_left <= 0:
            self._drop(MessageDropReason.TOO_MANY, message, events, "messages_per_read_max")
            return
        try:
            messages = split_aggregate(message, messages_left)
        except MessageError:
            # Whoever sends one like this may have used up the time of all that the read may have.
            self._aggregated_left = 0
            raise
        self._aggregated_left -= len(messages)
        self.messages_received += len(messages)
        self._aggregated = messages
        self._aggregated_bytes = len(message.payload) + _AGGREGATED_MESSAGE_BYTES * len(messages)

    def _receive_aggregated(self, messages_max: int, events: list[ConnectionEvent]) -> int:
        """Act on the next messages of an aggregate.

        Returns:
            How many they were.
        """
        begin = self._aggregated_done
        end = min(begin + messages_max, len(self._aggregated))
        for inner in self._aggregated[begin:end]:
            type_id = inner.type_id
            if type_id == _AUDIO or type_id == _VIDEO:  # noqa: SIM109  # as above
                self._receive_media(inner, events)
            elif type_id in _DATA_TYPES:
                self._receive_message(inner, events)
            else:
                # 7.1.6 aggregates messages, but what encoders aggregate is tags.
                self._drop(MessageDropReason.UNKNOWN_TYPE, inner, events)
        self._aggregated_done = end
        if end == len(self._aggregated):
            self._forget_aggregate()
        return end - begin

    def _receive_data_message(self, message: Message, events: list[ConnectionEvent]) -> None:
        if self._state is not State.PUBLISHING:
            self._drop(MessageDropReason.OUT_OF_TURN, message, events)
            return
        if self._is_too_large(message, events):
            return
        body = commands.amf0_body(message)
        metadata = None
        if commands.may_be_metadata(body):
            if self._is_too_many(message, events):
                return
            metadata = commands.find_metadata(amf0.read_values(body, budget=self._amf_budget))
        if metadata is not None:
            events.append(MetadataReceived(message.timestamp_ms, metadata))
        else:
            events.append(new_tag(int(MessageType.DATA_AMF0), message.timestamp_ms, body))

    def _is_too_large(self, message: Message, events: list[ConnectionEvent]) -> bool:
        """Whether a message to be read as AMF is longer than any that means something; it is dropped."""
        if len(message.payload) <= self._options.command_bytes_max:
            return False
        self._drop(MessageDropReason.TOO_LARGE, message, events, "command_bytes_max")
        return True

    def _is_too_many(self, message: Message, events: list[ConnectionEvent]) -> bool:
        """Whether nothing is left to read a message's values with; it is dropped."""
        self._amf_budget.earn(self._unearned_bytes)
        self._unearned_bytes = 0
        if self._amf_budget.is_spent:
            self._drop(MessageDropReason.TOO_MANY, message, events, "amf_values_max")
            return True
        self._amf_budget.charge(_MESSAGE_VALUES)
        return False

    def _drop(
        self, reason: MessageDropReason, message: Message, events: list[ConnectionEvent], limit: str = ""
    ) -> None:
        self.messages_dropped[reason] += 1
        kind = reason, message.type_id, limit
        known = self._dropped.get(kind)
        if known is not None:
            known.count += 1
            return
        self._dropped[kind] = dropped = MessageDropped(reason, message.type_id, limit)
        events.append(dropped)

    # Commands

    def _receive_command_message(self, message: Message, events: list[ConnectionEvent]) -> None:
        self._commands_left -= 1
        if self._commands_left < 0:
            self._drop(MessageDropReason.TOO_MANY, message, events)
        elif not (self._is_too_large(message, events) or self._is_too_many(message, events)):
            command = commands.read_command(message, budget=self._amf_budget)
            self._receive_command(command, message, events)

    def _receive_command(self, command: Command, message: Message, events: list[ConnectionEvent]) -> None:
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
                self._drop(MessageDropReason.UNKNOWN_COMMAND, message, events)

    def _answer(self, command: Command, information: Value = UNDEFINED) -> None:
        # 7.1.1: a transaction id of 0 wants no answer. GStreamer sends it with all but connect and createStream.
        if command.transaction_id:
            self._send(commands.result(command.transaction_id, None, information))

    def _connect(self, command: Command, events: list[ConnectionEvent]) -> None:
        """Section 7.2.1.1. The answers and their order are those of FMS, nginx-rtmp, SRS and MediaMTX."""
        self._step(Input.CONNECT)
        # Property names come in any case: "tcurl" for one.
        said = {name.lower(): value for name, value in command.properties.items()}
        self._tc_url = _address(said.get("tcurl")).strip("'\"")
        self._app = _address(said.get("app")) or path_of(self._tc_url)
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

    def _publish(self, command: Command, message: Message, events: list[ConnectionEvent]) -> None:
        """Section 7.2.2.6. That createStream came first is not asked: nginx-rtmp does not either."""
        name = command.arguments[0] if command.arguments else None
        if name is False:
            # NetStream.publish(false) of ActionScript stops publishing.
            self._unpublish(command, events)
            return
        self._step(Input.PUBLISH)
        self._publish_stream_id = message.message_stream_id
        publishing_type = _text(command.arguments[1]) if len(command.arguments) > 1 else ""
        events.append(PublishRequested(_address(name), self._app, self._tc_url, publishing_type[:16] or "live"))

    def _unpublish(self, command: Command, events: list[ConnectionEvent]) -> None:
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

    def _answer_control(self, answer: Message, message: Message, events: list[ConnectionEvent]) -> None:
        """Answer a control message, unless a read brings more of them than anybody means."""
        self._control_answers_left -= 1
        if self._control_answers_left < 0:
            self._drop(MessageDropReason.TOO_MANY, message, events)
        else:
            self._send_control(answer)

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


def _address(value: Value) -> str:
    """An app, URL or stream name; empty where it is no string."""
    return _text(value)[:_ADDRESS_CHARS_MAX]


def _text(value: Value) -> str:
    """A value that should be a string; empty where it is not."""
    return value if isinstance(value, str) else ""
