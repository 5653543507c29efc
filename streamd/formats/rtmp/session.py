"""The state of a publisher's connection, and the commands that change it.

The states and the steps between them are a table in ``state.py``.

Spec: RTMP 1.0 (2012) section 7.2; Enhanced RTMP v2 (2026-01-31) where ``connect`` is concerned.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from streamd.errors import LocalStateError
from streamd.formats.amf.values import UNDEFINED
from streamd.formats.rtmp import command as commands
from streamd.formats.rtmp import user_control
from streamd.formats.rtmp.capabilities import read_capabilities, server_properties
from streamd.formats.rtmp.events import Connected, PublishRequested, Unpublished
from streamd.formats.rtmp.message import LimitType, set_peer_bandwidth, window_acknowledgement_size
from streamd.formats.rtmp.state import Input, State, next_state
from streamd.formats.rtmp.stream_name import path_of

if TYPE_CHECKING:
    from streamd.errors import PublishError
    from streamd.formats.amf.values import Value
    from streamd.formats.rtmp.answers import Answers
    from streamd.formats.rtmp.command import Command
    from streamd.formats.rtmp.connection_options import ConnectionOptions
    from streamd.formats.rtmp.events import ConnectionEvent
    from streamd.formats.rtmp.message import Message

# An encoder's name is some 40 characters long; this is what one line of a log should have of it at most.
_FLASH_VERSION_CHARS_MAX = 128
# Of an app, a URL and a stream name: people type them, and a key in them has 46. They are kept for as long as the
# connection is there.
_ADDRESS_CHARS_MAX = 2048
# ``live``, ``record`` and ``append``, and a little more.
_PUBLISHING_TYPE_CHARS_MAX = 16

_STARTED = "Started publishing stream."


class Session:
    """The commands of one connection, and the state that they have led to.

    Args:
        answers: Sends their answers.
        options: Sizes that the peer is told.

    Attributes:
        state: The state of the connection.
    """

    def __init__(self, answers: Answers, options: ConnectionOptions) -> None:
        self.state = State.HANDSHAKE
        self._answers = answers
        self._options = options
        self._app = ""
        self._tc_url = ""
        self._streams_created = 0
        self._publish_stream_id: int = 0
        self._waits_for_fc_publish = False

    @property
    def held_bytes(self) -> int:
        """Bytes that are kept of the peer's words."""
        return sys.getsizeof(self._app) + sys.getsizeof(self._tc_url)

    def step(self, step: Input) -> None:
        """Go to the next state.

        Raises:
            CommandError: The peer said something out of turn.
        """
        self.state = next_state(self.state, step)

    # -- decisions of our owner -----------------------------------------------------------------

    def accept(self) -> None:
        """Let the publish that was asked for begin.

        Raises:
            LocalStateError: None was asked for.
        """
        self._require_pending("accept")
        self.step(Input.ACCEPT)
        answers = self._answers
        answers.send_control(user_control.stream_begin(self._publish_stream_id))
        if self._waits_for_fc_publish:
            answers.send(commands.fc_status("onFCPublish", "NetStream.Publish.Start", _STARTED))
        answers.send_status(self._publish_stream_id, "status", "NetStream.Publish.Start", _STARTED)

    def reject(self, error: PublishError) -> None:
        """Refuse the publish that was asked for.

        Raises:
            LocalStateError: None was asked for.
        """
        self._require_pending("reject")
        self._answers.send_status(self._publish_stream_id, "error", error.status_code, error.description)
        self.step(Input.REJECT)

    def close(self, status_code: str, description: str) -> None:
        """End the connection from our side, at any time."""
        if self.state not in (State.HANDSHAKE, State.CLOSED):
            self._answers.send_status(self._publish_stream_id, "error", status_code, description)
        self.step(Input.CLOSE)

    def _require_pending(self, call: str) -> None:
        if self.state is not State.PUBLISH_PENDING:
            raise LocalStateError(f"{call} while {self.state.value}: no publish was asked for")

    # -- words of the peer ---------------------------------------------------------------------

    def receive(self, command: Command, message: Message, events: list[ConnectionEvent]) -> bool:
        """Act on a command.

        Args:
            command: As read.
            message: It came in.
            events: Its meaning to our owner is appended.

        Returns:
            Whether it is one that we know.

        Raises:
            CommandError: It is out of turn.
        """
        match command.name:
            case "connect":
                self._connect(command, events)
            case "createStream":
                self.step(Input.CREATE_STREAM)
                self._streams_created += 1
                self._answers.send(commands.result(command.transaction_id, None, self._streams_created))
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
                # Answers to questions that were not asked.
                pass
            case _:
                if command.transaction_id:
                    no_method = "No such method here."
                    self._answers.send(commands.error(command.transaction_id, "NetConnection.Call.Failed", no_method))
                return False
        return True

    def _answer(self, command: Command, information: Value = UNDEFINED) -> None:
        # 7.1.1: a transaction id of 0 wants no answer. GStreamer sends it with all but connect and createStream.
        if command.transaction_id:
            self._answers.send(commands.result(command.transaction_id, None, information))

    def _connect(self, command: Command, events: list[ConnectionEvent]) -> None:
        """Section 7.2.1.1. The answers and their order are those of FMS, nginx-rtmp, SRS and MediaMTX."""
        self.step(Input.CONNECT)
        # Property names come in any case: "tcurl" for one.
        said = {name.lower(): value for name, value in command.properties.items()}
        self._tc_url = _address(said.get("tcurl")).strip("'\"")
        self._app = _address(said.get("app")) or path_of(self._tc_url)
        object_encoding = 3 if said.get("objectencoding") == 3 else 0
        capabilities = read_capabilities(command.properties)

        answers, options = self._answers, self._options
        answers.send_control(window_acknowledgement_size(options.window_bytes))
        answers.send_control(set_peer_bandwidth(options.window_bytes, LimitType.DYNAMIC))
        answers.set_chunk_size(options.chunk_size)
        properties: dict[str, Value] = {"fmsVer": "FMS/3,0,1,123", "capabilities": 31, "mode": 1}
        if capabilities.is_enhanced:
            properties |= server_properties()
        information = commands.status(
            "status", "NetConnection.Connect.Success", "Connection succeeded.", objectEncoding=object_encoding
        )
        answers.send(commands.result(command.transaction_id, properties, information))
        flash_version = _text(said.get("flashver"))[:_FLASH_VERSION_CHARS_MAX]
        events.append(Connected(self._app, self._tc_url, flash_version, object_encoding, capabilities))

    def _publish(self, command: Command, message: Message, events: list[ConnectionEvent]) -> None:
        """Section 7.2.2.6. That createStream came first is not asked: nginx-rtmp does not either."""
        name = command.arguments[0] if command.arguments else None
        if name is False:
            # NetStream.publish(false) of ActionScript stops publishing.
            self._unpublish(command, events)
            return
        self.step(Input.PUBLISH)
        self._publish_stream_id = message.message_stream_id
        publishing_type = _text(command.arguments[1]) if len(command.arguments) > 1 else ""
        publishing_type = publishing_type[:_PUBLISHING_TYPE_CHARS_MAX] or "live"
        events.append(PublishRequested(_address(name), self._app, self._tc_url, publishing_type))

    def _unpublish(self, command: Command, events: list[ConnectionEvent]) -> None:
        was_publishing = self.state is State.PUBLISHING
        if command.name == "deleteStream" and was_publishing:
            stream_id = command.arguments[0] if command.arguments else None
            if isinstance(stream_id, float) and stream_id != self._publish_stream_id != 0:
                # A stream that was created and never used: Flash creates up to three.
                return
        self.step(Input.UNPUBLISH)
        answers = self._answers
        if command.name == "FCUnpublish":
            stopped = commands.fc_status("onFCUnpublish", "NetStream.Unpublish.Success", "Stopped publishing stream.")
            answers.send(stopped)
            self._answer(command)
        self._waits_for_fc_publish = False
        if was_publishing:
            unpublished = "Stream is now unpublished."
            answers.send_status(self._publish_stream_id, "status", "NetStream.Unpublish.Success", unpublished)
            events.append(Unpublished(command.name))

    def _refuse_to_play(self, message: Message) -> None:
        self._answers.send_status(
            message.message_stream_id,
            "error",
            "NetStream.Play.Failed",
            "This server takes streams over RTMP and plays them over HTTP.",
        )


def _address(value: Value) -> str:
    """An app, URL or stream name; empty where it is no string."""
    return _text(value)[:_ADDRESS_CHARS_MAX]


def _text(value: Value) -> str:
    """A value that should be a string; empty where it is not."""
    return value if isinstance(value, str) else ""
