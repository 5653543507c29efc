"""The messages of one publisher's connection, and their meaning: media, metadata, commands, control.

A message that cannot be used is dropped; the connection goes on.

Spec: RTMP 1.0 (2012) sections 5.4, 7.1; Enhanced RTMP v2 (2026-01-31) where AMF3 is concerned.
"""

from __future__ import annotations

from collections import Counter

from streamd.errors import AmfError, CommandError, MessageError
from streamd.formats.amf import amf0
from streamd.formats.amf.values import Budget
from streamd.formats.flv.tag import FlvTag, new_tag
from streamd.formats.rtmp import command as commands
from streamd.formats.rtmp import user_control
from streamd.formats.rtmp.answers import Answers
from streamd.formats.rtmp.chunk import COMMAND_TYPES
from streamd.formats.rtmp.connection_options import ConnectionOptions
from streamd.formats.rtmp.events import ConnectionEvent, MessageDropped, MessageDropReason, MetadataReceived
from streamd.formats.rtmp.message import Message, MessageType, read_u32, split_aggregate, window_acknowledgement_size
from streamd.formats.rtmp.session import Session
from streamd.formats.rtmp.state import State

# Commands of one read, or of what was held while a publish was decided: a whole login has 6, a goodbye 3.
_COMMANDS_MAX = 32
# The cost of a message beside its values, in values: to find its name, to answer it.
_MESSAGE_VALUES = 8
# The memory of a message of an aggregate beside its payload.
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


class MessageReader:
    """Reads the messages of one connection.

    Args:
        session: Acts on commands, and says whether a publish was accepted.
        answers: Where control messages are answered.
        options: Sizes and limits.

    Attributes:
        messages_received: Whole messages, of any type.
        messages_dropped: Messages that were not used, by reason.
        window_bytes: How often the peer wants an acknowledgement.
        is_stranger: No publish was accepted yet: the peer is held to the messages and values of a login.
        has_more: Messages of an aggregate are left: ``receive_aggregated`` acts on them.
        aggregated_bytes: Their size in memory.
    """

    def __init__(self, session: Session, answers: Answers, options: ConnectionOptions) -> None:
        self._session = session
        self._answers = answers
        self._options = options
        self.is_stranger = True
        self.messages_received = 0
        self.messages_dropped: Counter[MessageDropReason] = Counter()
        self.window_bytes = options.window_bytes
        # Of the read that is under way, by what they have in common.
        self._dropped: dict[tuple[MessageDropReason, int, str], MessageDropped] = {}
        self._amf_budget = Budget(options.login_amf_limits)
        # Bytes that came since the budget was last asked.
        self._unearned_bytes = 0
        # The rest of the bounds of the read that is under way.
        self._control_answers_left = _CONTROL_ANSWERS_MAX
        self._commands_left = _COMMANDS_MAX
        # How many more aggregated messages this read may have, its own counted with them.
        self._aggregated_left = 0
        # Messages of an aggregate, in order, and how many of them were acted on.
        self._aggregated: list[Message] = []
        self._aggregated_done = 0
        self.has_more = False
        self.aggregated_bytes = 0

    def admit(self) -> None:
        """Go on with a publisher's limits: a publish was accepted."""
        self.is_stranger = False
        self._amf_budget = Budget(self._options.amf_limits)

    def earn(self, size: int) -> None:
        """Count bytes that came: they pay for reading AMF."""
        self._unearned_bytes += size

    def begin_read(self, messages_max: int) -> None:
        """Begin with a read.

        Args:
            messages_max: How many messages it may have, those of aggregates counted.
        """
        self._control_answers_left = _CONTROL_ANSWERS_MAX
        self._commands_left = _COMMANDS_MAX
        self._aggregated_left = messages_max

    def end_step(self) -> None:
        """Tell anew of messages that are dropped from now on: the events of a step are handed on."""
        self._dropped.clear()

    def forget(self) -> None:
        """Do nothing of an aggregate that is left."""
        self._aggregated, self._aggregated_done, self.aggregated_bytes = [], 0, 0
        self.has_more = False

    def receive(self, messages: list[Message | FlvTag], events: list[ConnectionEvent]) -> None:
        """Act on messages, of which the last alone can be a command or an aggregate that is long enough to be read.

        Args:
            messages: In order; media is tags.
            events: Their meaning is appended.

        Raises:
            CommandError: A command is out of turn, or a stranger has sent too many messages.
        """
        self.messages_received += len(messages)
        self._aggregated_left -= len(messages)
        if self.is_stranger and self.messages_received > self._options.pending_messages_max:
            raise CommandError(
                f"{self.messages_received} messages before a publish was accepted", limit="pending_messages_max"
            )
        is_publishing = self._session.state is State.PUBLISHING
        for message in messages:
            if isinstance(message, Message):
                self._receive_message(message, events)
            elif is_publishing:
                # Media of any message stream is the publish's: there is one, and some encoders say 0 here.
                events.append(message)
            else:
                self._drop(MessageDropReason.OUT_OF_TURN, message.tag_type, events)

    def receive_aggregated(self, messages_max: int, events: list[ConnectionEvent]) -> int:
        """Act on the next messages of an aggregate, if any are left.

        Returns:
            How many they were.
        """
        if not self.has_more:
            return 0
        begin = self._aggregated_done
        end = min(begin + messages_max, len(self._aggregated))
        for inner in self._aggregated[begin:end]:
            type_id = inner.type_id
            if type_id == _AUDIO or type_id == _VIDEO:  # noqa: SIM109  # compiled, it is a comparison of C
                self._receive_media(inner, events)
            elif type_id in _DATA_TYPES:
                self._receive_message(inner, events)
            else:
                # 7.1.6 aggregates messages, but what encoders aggregate is tags.
                self._drop(MessageDropReason.UNKNOWN_TYPE, inner.type_id, events)
        self._aggregated_done = end
        if end == len(self._aggregated):
            self.forget()
        return end - begin

    # -- one message ----------------------------------------------------------------------------

    def _receive_message(self, message: Message, events: list[ConnectionEvent]) -> None:
        """Act on one message; one that cannot be read is dropped."""
        try:
            self._dispatch(message, events)
        except (AmfError, MessageError) as exc:
            self._drop(MessageDropReason.MALFORMED, message.type_id, events, exc.limit)

    def _dispatch(self, message: Message, events: list[ConnectionEvent]) -> None:
        type_id = message.type_id
        if len(message.payload) < _BYTES_MIN.get(type_id, 0):
            self._drop(MessageDropReason.MALFORMED, message.type_id, events)
        elif type_id == _AUDIO or type_id == _VIDEO:  # noqa: SIM109  # as above
            self._receive_media(message, events)
        elif type_id in _DATA_TYPES:
            self._receive_data(message, events)
        elif type_id in COMMAND_TYPES:
            self._receive_command(message, events)
        elif type_id in _WITHOUT_AN_ANSWER:
            # The decoder obeyed two of them, and our answers are too short to wait for the third.
            pass
        elif type_id == MessageType.AGGREGATE:
            self._receive_aggregate(message, events)
        elif type_id in _CONTROL_TYPES:
            self._receive_control(message, events)
        else:
            self._drop(MessageDropReason.UNKNOWN_TYPE, message.type_id, events)

    def _receive_media(self, message: Message, events: list[ConnectionEvent]) -> None:
        if self._session.state is State.PUBLISHING:
            events.append(new_tag(message.type_id, message.timestamp_ms, message.payload))
        else:
            self._drop(MessageDropReason.OUT_OF_TURN, message.type_id, events)

    def _receive_data(self, message: Message, events: list[ConnectionEvent]) -> None:
        if self._session.state is not State.PUBLISHING:
            self._drop(MessageDropReason.OUT_OF_TURN, message.type_id, events)
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

    def _receive_command(self, message: Message, events: list[ConnectionEvent]) -> None:
        self._commands_left -= 1
        if self._commands_left < 0:
            self._drop(MessageDropReason.TOO_MANY, message.type_id, events)
        elif not (self._is_too_large(message, events) or self._is_too_many(message, events)):
            command = commands.read_command(message, budget=self._amf_budget)
            if not self._session.receive(command, message, events):
                self._drop(MessageDropReason.UNKNOWN_COMMAND, message.type_id, events)

    def _receive_aggregate(self, message: Message, events: list[ConnectionEvent]) -> None:
        if self._session.state is not State.PUBLISHING:
            self._drop(MessageDropReason.OUT_OF_TURN, message.type_id, events)
            return
        messages_left = self._aggregated_left
        if messages_left <= 0:
            self._drop(MessageDropReason.TOO_MANY, message.type_id, events, "messages_per_read_max")
            return
        try:
            messages = split_aggregate(message, messages_left)
        except MessageError:
            # A broken aggregate may have used up the time of all that the read may have.
            self._aggregated_left = 0
            raise
        self._aggregated_left -= len(messages)
        self.messages_received += len(messages)
        self._aggregated = messages
        self.has_more = len(messages) > 0
        self.aggregated_bytes = len(message.payload) + _AGGREGATED_MESSAGE_BYTES * len(messages)

    def _receive_control(self, message: Message, events: list[ConnectionEvent]) -> None:
        payload = bytes(message.payload)
        window_bytes = self._options.window_bytes
        match message.type_id:
            case MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE:
                # A window of 0 would want an acknowledgement of nothing.
                self.window_bytes = read_u32(payload) or self.window_bytes
            case MessageType.SET_PEER_BANDWIDTH:
                # 5.4.5: the receiver "SHOULD respond with a Window Acknowledgement Size message if the
                # window size is different from the last one sent".
                if read_u32(payload) != window_bytes:
                    self._answer_control(window_acknowledgement_size(window_bytes), message, events)
            case _:
                if answer := user_control.answer(payload):
                    self._answer_control(answer, message, events)

    def _answer_control(self, answer: Message, message: Message, events: list[ConnectionEvent]) -> None:
        """Answer a control message, unless a read brings more of them than any encoder means."""
        self._control_answers_left -= 1
        if self._control_answers_left < 0:
            self._drop(MessageDropReason.TOO_MANY, message.type_id, events)
        else:
            self._answers.send_control(answer)

    # -- messages that are not used -----------------------------------------------------------------------

    def _is_too_large(self, message: Message, events: list[ConnectionEvent]) -> bool:
        """Whether a message to be read as AMF is longer than any that means something; it is dropped."""
        if len(message.payload) <= self._options.command_bytes_max:
            return False
        self._drop(MessageDropReason.TOO_LARGE, message.type_id, events, "command_bytes_max")
        return True

    def _is_too_many(self, message: Message, events: list[ConnectionEvent]) -> bool:
        """Whether nothing is left to read a message's values with; it is dropped."""
        self._amf_budget.earn(self._unearned_bytes)
        self._unearned_bytes = 0
        if self._amf_budget.is_spent:
            self._drop(MessageDropReason.TOO_MANY, message.type_id, events, "amf_values_max")
            return True
        self._amf_budget.charge(_MESSAGE_VALUES)
        return False

    def _drop(self, reason: MessageDropReason, type_id: int, events: list[ConnectionEvent], limit: str = "") -> None:
        self.messages_dropped[reason] += 1
        kind = reason, type_id, limit
        known = self._dropped.get(kind)
        if known is not None:
            known.count += 1
            return
        self._dropped[kind] = dropped = MessageDropped(reason, type_id, limit)
        events.append(dropped)
