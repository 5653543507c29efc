"""Messages by themselves: media goes on, the rest is read within its bounds or dropped."""

from __future__ import annotations

import pytest

from streamd.errors import CommandError
from streamd.formats.amf import amf0
from streamd.formats.flv.tag import FlvTag
from streamd.formats.rtmp.answers import Answers
from streamd.formats.rtmp.connection_options import ConnectionOptions
from streamd.formats.rtmp.events import ConnectionEvent, MessageDropped, MessageDropReason, MetadataReceived
from streamd.formats.rtmp.message import Message, MessageType
from streamd.formats.rtmp.message_reader import MessageReader
from streamd.formats.rtmp.session import Session
from streamd.formats.rtmp.state import State

SOUND = Message(8, 40, 1, b"\xaf\x01a")
PICTURE = Message(9, 40, 1, b"\x17\x01\0\0\0a")


class Room:
    """A reader for a peer in some state."""

    def __init__(self, state: State = State.PUBLISHING, options: ConnectionOptions | None = None) -> None:
        options = options or ConnectionOptions()
        self.answers = Answers()
        self.session = Session(self.answers, options)
        self.session.state = state
        self.reader = MessageReader(self.session, self.answers, options)
        self.reader.begin_read(100)
        if state is State.PUBLISHING:
            self.reader.admit()
            self.reader.earn(100_000)

    def read(self, *messages: Message) -> list[ConnectionEvent]:
        events: list[ConnectionEvent] = []
        self.reader.receive(list(messages), events)
        while self.reader.has_more:
            self.reader.receive_aggregated(2, events)
        self.reader.end_step()
        return events


def tag(kind: int, time_ms: int, body: bytes) -> bytes:
    head = bytes((kind,)) + len(body).to_bytes(3, "big") + time_ms.to_bytes(3, "big") + bytes(4)
    return head + body + (11 + len(body)).to_bytes(4, "big")


def dropped(events: list[ConnectionEvent]) -> list[tuple[MessageDropReason, int, str]]:
    return [(each.reason, each.count, each.limit) for each in events if isinstance(each, MessageDropped)]


def test_media_of_a_publisher_is_a_tag_each() -> None:
    events = Room().read(SOUND, PICTURE)
    assert [(event.tag_type, event.timestamp_ms) for event in events if isinstance(event, FlvTag)] == [(8, 40), (9, 40)]


def test_media_of_anybody_else_is_dropped_in_one_event() -> None:
    room = Room(State.CONNECTED)
    assert dropped(room.read(SOUND, SOUND, SOUND)) == [(MessageDropReason.OUT_OF_TURN, 3, "")]
    assert room.reader.messages_dropped == {MessageDropReason.OUT_OF_TURN: 3}
    # The next step tells anew.
    assert dropped(room.read(SOUND)) == [(MessageDropReason.OUT_OF_TURN, 1, "")]


def test_metadata_is_read_and_other_data_goes_on() -> None:
    metadata = Message(18, 0, 1, amf0.write_values("@setDataFrame", "onMetaData", {"width": 640.0}))
    caption = Message(18, 0, 1, amf0.write_values("onTextData", {"text": "x"}))
    first, second = Room().read(metadata, caption)
    assert first == MetadataReceived(0, {"width": 640.0})
    assert isinstance(second, FlvTag)


def test_an_aggregate_is_acted_on_in_steps() -> None:
    room = Room()
    body = b"".join(tag(8, 10 * number, b"\xaf\x01a") for number in range(5))
    events: list[ConnectionEvent] = []
    room.reader.receive([Message(22, 0, 1, body)], events)
    assert (events, room.reader.has_more) == ([], True)
    assert room.reader.aggregated_bytes > len(body)
    assert room.reader.receive_aggregated(3, events) == 3
    assert room.reader.receive_aggregated(3, events) == 2
    assert room.reader.receive_aggregated(3, events) == 0
    assert (len(events), room.reader.aggregated_bytes, room.reader.messages_received) == (5, 0, 6)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message(20, 0, 1, b"\x05"), MessageDropReason.MALFORMED),
        (Message(20, 0, 1, b"\x05\x05\x05\x05"), MessageDropReason.MALFORMED),
        (Message(22, 0, 1, bytes(5)), MessageDropReason.MALFORMED),
        (Message(99, 0, 1, b"abc"), MessageDropReason.UNKNOWN_TYPE),
        (Message(20, 0, 1, amf0.write_values("makeCoffee", 1.0)), MessageDropReason.UNKNOWN_COMMAND),
    ],
)
def test_what_cannot_be_used_is_dropped(message: Message, reason: MessageDropReason) -> None:
    assert dropped(Room().read(message)) == [(reason, 1, "")]


def test_commands_and_pings_of_one_read_are_bounded() -> None:
    room = Room()
    command = Message(20, 0, 1, amf0.write_values("_checkbw", 0.0))
    assert dropped(room.read(*[command] * 40)) == [(MessageDropReason.TOO_MANY, 8, "")]
    ping = Message(int(MessageType.USER_CONTROL), 0, 0, b"\x00\x06\x00\x00\x00\x00")
    assert dropped(room.read(*[ping] * 20)) == [(MessageDropReason.TOO_MANY, 12, "")]
    room.reader.begin_read(100)
    assert dropped(room.read(command, ping)) == []


def test_a_stranger_has_so_many_messages() -> None:
    room = Room(State.CONNECTED, ConnectionOptions(pending_messages_max=3))
    room.read(SOUND, SOUND, SOUND)
    with pytest.raises(CommandError, match="4 messages before a publish was accepted"):
        room.read(SOUND)


def test_a_window_of_nothing_is_no_window() -> None:
    room = Room()
    before = room.reader.window_bytes
    room.read(Message(5, 0, 0, bytes(4)))
    assert room.reader.window_bytes == before
    room.read(Message(5, 0, 0, (5000).to_bytes(4, "big")))
    assert room.reader.window_bytes == 5000
