"""Commands by themselves: each leads where the table of states says, and is answered."""

from __future__ import annotations

import pytest

from streamd.errors import CommandError, LocalStateError, PublishError
from streamd.formats.rtmp.answers import Answers
from streamd.formats.rtmp.command import Command
from streamd.formats.rtmp.connection_options import DEFAULT_OPTIONS
from streamd.formats.rtmp.events import Connected, ConnectionEvent, PublishRequested, Unpublished
from streamd.formats.rtmp.message import Message, MessageType
from streamd.formats.rtmp.session import Session
from streamd.formats.rtmp.state import Input, State
from tests.support import rtmp_wire


class Room:
    """A session, and what it says."""

    def __init__(self) -> None:
        self.answers = Answers()
        self.session = Session(self.answers, DEFAULT_OPTIONS)
        self.session.step(Input.HANDSHAKE)
        self._reader = rtmp_wire.ServerReader()
        self._reader.read(bytes(rtmp_wire.HANDSHAKE_BYTES))

    def say(self, name: str, *arguments: object, transaction_id: float = 1.0) -> list[ConnectionEvent]:
        events: list[ConnectionEvent] = []
        message = Message(MessageType.COMMAND_AMF0, 0, 1, b"")
        properties = {"app": "live", "tcUrl": "rtmp://host/live"} if name == "connect" else {}
        command = Command(name, transaction_id, dict(properties), arguments)  # type: ignore[arg-type]  # as read
        self.is_known = self.session.receive(command, message, events)
        return events

    def heard(self) -> list[str]:
        answers = self._reader.read(self.answers.take())
        return [str(answer.name) for answer in answers if answer.message.type_id == MessageType.COMMAND_AMF0]


def publishing() -> Room:
    room = Room()
    room.say("connect")
    room.say("publish", "KEY", "live")
    room.session.accept()
    room.heard()
    return room


def test_a_login() -> None:
    room = Room()
    (connected,) = room.say("connect")
    assert isinstance(connected, Connected)
    states = [room.session.state]
    assert room.say("createStream") == []
    (requested,) = room.say("publish", "KEY", "live")
    assert isinstance(requested, PublishRequested)
    states.append(room.session.state)
    room.session.accept()
    states.append(room.session.state)
    assert states == [State.CONNECTED, State.PUBLISH_PENDING, State.PUBLISHING]
    assert room.heard() == ["_result", "_result", "onStatus"]


@pytest.mark.parametrize("name", ["createStream", "publish"])
def test_a_command_before_connect_is_out_of_turn(name: str) -> None:
    with pytest.raises(CommandError):
        Room().say(name, "KEY")


@pytest.mark.parametrize("name", ["FCUnpublish", "closeStream", "deleteStream"])
def test_a_goodbye_is_said_in_several_ways(name: str) -> None:
    room = publishing()
    assert room.say(name) == [Unpublished(name)]
    assert room.session.state is State.CONNECTED
    assert room.say(name) == []


def test_a_command_that_is_not_known_is_answered_and_told() -> None:
    room = publishing()
    room.say("makeCoffee")
    assert not room.is_known
    assert room.heard() == ["_error"]
    room.say("makeCoffee", transaction_id=0.0)
    assert room.heard() == []


def test_a_verdict_that_no_peer_waits_for_is_a_fault_of_ours() -> None:
    room = Room()
    with pytest.raises(LocalStateError, match="accept while connecting"):
        room.session.accept()
    with pytest.raises(LocalStateError, match="reject while connecting"):
        room.session.reject(PublishError())


def test_a_refusal_ends_the_session() -> None:
    room = Room()
    room.say("connect")
    room.say("publish", "KEY")
    room.session.reject(PublishError())
    assert room.session.state is State.CLOSED


def test_what_it_keeps_of_the_peers_words_is_counted_and_bounded() -> None:
    room = Room()
    before = room.session.held_bytes
    message = Message(MessageType.COMMAND_AMF0, 0, 0, b"")
    room.session.receive(Command("connect", 1.0, {"app": "a" * 100_000, "tcUrl": "b" * 100_000}), message, [])
    assert before + 4000 < room.session.held_bytes < before + 5000
