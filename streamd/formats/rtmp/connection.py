"""The server's side of one publisher's connection: bytes in, events out.

It never waits, reads a clock or draws randomness. Its owner moves the bytes, keeps the time limits, and decides
over publishes.

Spec: RTMP 1.0 (2012); Enhanced RTMP v2 (2026-01-31) where ``connect`` is concerned.
"""

from __future__ import annotations

from collections import Counter

from streamd.errors import CommandError, ProtocolError, PublishError
from streamd.formats.rtmp.answers import Answers
from streamd.formats.rtmp.chunk import CHUNKS_PER_STEP, MESSAGES_PER_STEP, ChunkDecoder
from streamd.formats.rtmp.connection_options import DEFAULT_OPTIONS, ConnectionOptions
from streamd.formats.rtmp.events import ConnectionEvent, MessageDropReason
from streamd.formats.rtmp.handshake import ServerHandshake
from streamd.formats.rtmp.message import acknowledgement
from streamd.formats.rtmp.message_reader import MessageReader
from streamd.formats.rtmp.session import Session
from streamd.formats.rtmp.state import Input, State


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

    Attributes:
        has_more: There is more to do of what was received: ``receive_more`` does it, a step at a time.
        bytes_received: All of them, the handshake's too.
    """

    def __init__(self, *, nonce: bytes, options: ConnectionOptions = DEFAULT_OPTIONS) -> None:
        self._options = options
        self._answers = Answers()
        self._session = Session(self._answers, options)
        self._messages = MessageReader(self._session, self._answers, options)
        self._fault: ProtocolError | None = None
        self._handshake = ServerHandshake(nonce)
        limits = options.login_chunk_limits
        self._decoder = ChunkDecoder(limits)
        self._messages_per_read = limits.messages_per_read_max
        self._acknowledged_bytes = 0
        # Of a stranger, behind the handshake.
        self._login_bytes = 0
        self._held_data = bytearray()
        # Up to here it is read.
        self._held_start = 0
        self.has_more = False
        self.bytes_received = 0

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._session.state

    @property
    def missing_bytes(self) -> int:
        """How many bytes of a message that came in part are still to come, at least; 0 between two messages."""
        return self._decoder.missing_bytes

    @property
    def is_stranger(self) -> bool:
        """Whether no publish was accepted yet: its owner reads ``LOGIN_READ_BYTES_MAX`` at once then, and no more."""
        return self._messages.is_stranger

    @property
    def messages_received(self) -> int:
        """Whole messages, of any type."""
        return self._messages.messages_received

    @property
    def messages_dropped(self) -> Counter[MessageDropReason]:
        """Messages that were not used, by reason."""
        return self._messages.messages_dropped

    @property
    def held_bytes(self) -> int:
        """Bytes that wait because of this peer: unfinished messages, reads that a publish holds up, unsent answers."""
        return (
            self._handshake.held_bytes
            + self._decoder.held_bytes
            + len(self._held_data)
            + self._messages.aggregated_bytes
            + self._answers.held_bytes
            + self._session.held_bytes
        )

    @property
    def overhead_bytes(self) -> int:
        """Bytes that keep its unfinished messages apart."""
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
        state = self._session.state
        if state is State.CLOSED:
            return []
        self.bytes_received += size
        self._messages.earn(size)
        events: list[ConnectionEvent] = []
        try:
            if state is State.PUBLISHING and not self.has_more:
                self._messages.begin_read(self._messages_per_read)
                position = self._receive_chunks(data, 0, size, events, False)
                if position < size or self._messages.has_more:
                    self._hold(data[position:size])
                    self._note_more()
            else:
                self._receive_otherwise(bytes(data[:size]), events)
        except ProtocolError as fault:
            self._fail(fault, events)
        self._messages.end_step()
        # Section 5.4.3: acknowledge once the peer's window of bytes has come since the last time.
        if self.bytes_received - self._acknowledged_bytes >= self._messages.window_bytes:
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
            self._messages.end_step()
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
        """All that the peer must be sent now; empty where that is nothing."""
        return self._answers.take()

    def accept(self) -> list[ConnectionEvent]:
        """Let the publish that was asked for begin.

        Returns:
            What arrived while it was decided, up to where a step ends.

        Raises:
            LocalStateError: None was asked for.
            ProtocolError: The bytes are broken; see ``receive_data``.
        """
        self._session.accept()
        if self._messages.is_stranger:
            self._messages.admit()
            self._decoder.limit(self._options.chunk_limits)
            self._messages_per_read = self._options.chunk_limits.messages_per_read_max
        events: list[ConnectionEvent] = []
        self._messages.begin_read(self._messages_per_read)
        try:
            self._receive_held(events)
        except ProtocolError as fault:
            self._fail(fault, events)
        self._messages.end_step()
        return events

    def reject(self, error: PublishError) -> None:
        """Refuse the publish that was asked for, and end the connection.

        Args:
            error: Its ``status_code`` and ``description`` are what the peer is told.

        Raises:
            LocalStateError: None was asked for.
        """
        self._session.reject(error)
        self._forget_held()

    def close(self, status_code: str, description: str) -> None:
        """End the connection from our side, at any time.

        Args:
            status_code: Told to a publisher, for example ``NetStream.Publish.Denied``.
            description: The same for a person.
        """
        self._session.close(status_code, description)
        self._forget_held()

    # Receiving

    def _fail(self, fault: ProtocolError, events: list[ConnectionEvent]) -> None:
        """End the connection at a fault; it is raised at once where nothing came before it."""
        self._session.step(Input.CLOSE)
        self._forget_held()
        if not events:
            raise fault
        self._fault = fault

    def _forget_held(self) -> None:
        """Do nothing of what is still to be done."""
        self.has_more = False
        self._held_data, self._held_start = bytearray(), 0
        self._messages.forget()

    def _receive_otherwise(self, data: bytes, events: list[ConnectionEvent]) -> None:
        """Act on a read of a peer that does not publish, or that has reads that are not done with."""
        if self._session.state is State.HANDSHAKE:
            self._answers.send_raw(self._handshake.receive_data(data))
            if not self._handshake.is_done:
                return
            self._session.step(Input.HANDSHAKE)
            # Taken, and not kept beside what is made of it for as long as the connection lasts.
            data, self._handshake.trailing_data = self._handshake.trailing_data, b""
        if self._messages.is_stranger:
            self._login_bytes += len(data)
            if self._login_bytes > self._options.pending_bytes_max:
                raise CommandError(
                    f"{self._login_bytes} bytes sent before a publish was accepted", limit="pending_bytes_max"
                )
        if self._is_pending:
            self._hold_read(data)
            return
        self._messages.begin_read(self._messages_per_read)
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
        is_something_left = bool(self._held_data) or self._messages.has_more
        self.has_more = is_something_left and self._session.state not in (State.PUBLISH_PENDING, State.CLOSED)

    @property
    def _is_pending(self) -> bool:
        """Whether a publish is being decided: nothing is read until then."""
        return self._session.state is State.PUBLISH_PENDING

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
            data: The bytes of a read, or those that are held of it.
            start: Where it begins.
            size: Where it ends.
            events: The meaning of the messages is appended.
            goes_on: Whether it is the rest of a read.

        Returns:
            Where the bytes begin that are to be held; ``size`` where there are none.
        """
        reader = self._messages
        position = start
        chunks_end = self._decoder.chunks_read + CHUNKS_PER_STEP
        messages_left = MESSAGES_PER_STEP
        messages_left -= reader.receive_aggregated(messages_left, events)
        while position < size and messages_left > 0 and not reader.has_more:
            messages = self._decoder.receive_buffer(data, size, position, goes_on)
            messages_left -= len(messages)
            reader.receive(messages, events)
            self._decoder.raise_fault()
            position = self._decoder.position
            if messages_left > 0:
                messages_left -= reader.receive_aggregated(messages_left, events)
            if self._is_pending or self._decoder.chunks_read >= chunks_end:
                break
            goes_on = True
        return position

    def _hold(self, data: bytes | bytearray) -> None:
        """Keep what comes while a publish is decided.

        Bytes of a stranger are counted already. Of a publisher that begins anew they are those of one read, and an
        owner that reads on all the same makes us hold no more than unfinished messages may.
        """
        self._held_data += data
        held_bytes_max = self._options.chunk_limits.held_bytes_max
        if len(self._held_data) > held_bytes_max:
            raise CommandError(f"{len(self._held_data)} bytes sent before publish was answered", limit="held_bytes_max")

    def _acknowledge(self) -> None:
        if self._session.state is not State.HANDSHAKE:
            self._acknowledged_bytes = self.bytes_received
            self._answers.send_control(acknowledgement(self.bytes_received))
