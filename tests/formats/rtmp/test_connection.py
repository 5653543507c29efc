from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from itertools import chain, pairwise

import pytest

from streamd.errors import (
    AlreadyPublishingError,
    ChunkError,
    CommandError,
    HandshakeError,
    KeyRejectedError,
    LocalStateError,
    MessageTooLargeError,
    ProtocolError,
    RtmpError,
)
from streamd.formats.amf import amf0
from streamd.formats.amf.values import UNDEFINED, EcmaArray, Limits, Value
from streamd.formats.flv.tag import FlvTag
from streamd.formats.rtmp.capabilities import AUDIO_FOUR_CCS, VIDEO_FOUR_CCS, ClientCapabilities
from streamd.formats.rtmp.chunk import CHUNKS_PER_STEP, MESSAGES_PER_STEP, ChunkLimits
from streamd.formats.rtmp.connection import ServerConnection
from streamd.formats.rtmp.connection_options import ConnectionOptions
from streamd.formats.rtmp.events import (
    Connected,
    ConnectionEvent,
    MessageDropped,
    MessageDropReason,
    MetadataReceived,
    PublishRequested,
    Unpublished,
)
from streamd.formats.rtmp.state import State
from tests.support.delivery import deliver
from tests.support.rtmp_wire import (
    SIMPLE_HANDSHAKE,
    Answer,
    ServerReader,
    chunk,
    command,
    control,
    data,
    message,
)

NONCE = bytes(range(16))
ON_METADATA = amf0.write_values("onMetaData")
NESTED = bytes.fromhex("0a00000001")
CONNECT = command("connect", 1, {"app": "live", "flashVer": "FMLE/3.0", "tcUrl": "rtmp://host/live"})
CREATE_STREAM = command("createStream", 4, None)
PUBLISH = command("publish", 5, None, "KEY", "live", message_stream_id=1)
LOGIN = SIMPLE_HANDSHAKE + CONNECT + CREATE_STREAM + PUBLISH
CONNECTED = Connected("live", "rtmp://host/live", "FMLE/3.0", 0, ClientCapabilities())
REQUESTED = PublishRequested("KEY", "live", "rtmp://host/live", "live")
VIDEO = message(9, b"\x17\x01frame", time_ms=40)
AUDIO = message(8, b"\xaf\x01frame", time_ms=43)


class Session:
    """A client and our server, with nothing between them."""

    def __init__(self, options: ConnectionOptions | None = None) -> None:
        self.connection = ServerConnection(nonce=NONCE, options=options or ConnectionOptions())
        self._reader = ServerReader()

    def send(self, sent: bytes) -> list[ConnectionEvent]:
        return self.connection.receive_data(sent)

    def answers(self) -> list[Answer]:
        """What the server said since the last time."""
        return self._reader.read(self.connection.data_to_send())


@pytest.fixture
def connected() -> Session:
    session = Session()
    session.send(SIMPLE_HANDSHAKE + CONNECT)
    session.answers()
    return session


@pytest.fixture
def pending() -> Session:
    # As small chunks as the protocol knows.
    session = Session(ConnectionOptions(chunk_limits=ChunkLimits(chunk_size_min=1)))
    session.send(LOGIN)
    session.answers()
    return session


@pytest.fixture
def publishing(pending: Session) -> Session:
    pending.connection.accept()
    pending.answers()
    return pending


def names(answers: list[Answer]) -> list[str]:
    return [answer.name for answer in answers]


def receive(sent: bytes, *, options: ConnectionOptions | None = None) -> list[ConnectionEvent]:
    """What ``sent`` means in every cut, with every publish accepted."""

    def feed_of(connection: ServerConnection, piece: bytes) -> Iterator[ConnectionEvent]:
        yield from connection.receive_data(piece)
        connection.raise_fault()
        while connection.state is State.PUBLISH_PENDING:
            yield from connection.accept()
            connection.raise_fault()
            while connection.has_more:
                yield from connection.receive_more()
                connection.raise_fault()

    def make() -> Callable[[bytes], Iterator[ConnectionEvent]]:
        connection = ServerConnection(nonce=NONCE, options=options or ConnectionOptions())
        return lambda piece: feed_of(connection, piece)

    return deliver(make, sent, b"\x44")


class TestLogin:
    """RTMP 1.0 section 7.2: connect, createStream, publish."""

    def test_nothing_is_said_before_the_client_speaks(self) -> None:
        assert Session().connection.data_to_send() == b""

    def test_the_handshake_alone_is_answered(self) -> None:
        session = Session()
        assert session.send(SIMPLE_HANDSHAKE) == []
        assert len(session.connection.data_to_send()) == 3073
        assert session.connection.state is State.CONNECTING

    def test_connect_is_answered_as_real_servers_do(self) -> None:
        session = Session()
        assert session.send(SIMPLE_HANDSHAKE + CONNECT) == [CONNECTED]
        window, bandwidth, chunk_size, result = session.answers()
        assert names([window, bandwidth, chunk_size]) == [
            "WINDOW_ACKNOWLEDGEMENT_SIZE",
            "SET_PEER_BANDWIDTH",
            "SET_CHUNK_SIZE",
        ]
        assert window.message.payload == (2_500_000).to_bytes(4, "big")
        assert bandwidth.message.payload == (2_500_000).to_bytes(4, "big") + b"\x02"
        assert chunk_size.message.payload == (65_536).to_bytes(4, "big")
        assert result.values == [
            "_result",
            1.0,
            {"fmsVer": "FMS/3,0,1,123", "capabilities": 31.0, "mode": 1.0},
            {
                "level": "status",
                "code": "NetConnection.Connect.Success",
                "description": "Connection succeeded.",
                "objectEncoding": 0.0,
            },
        ]
        assert session.connection.state is State.CONNECTED

    def test_all_answers_come_in_one_piece(self) -> None:
        session = Session()
        session.send(LOGIN)
        assert session.connection.data_to_send() != b""
        assert session.connection.data_to_send() == b""

    def test_enhanced_rtmp_is_answered_where_it_is_spoken(self) -> None:
        session = Session()
        properties: dict[str, Value] = {"app": "live", "fourCcList": ["av01", "hvc1"], "type": "nonprivate"}
        (event,) = session.send(SIMPLE_HANDSHAKE + command("connect", 1, properties))
        assert isinstance(event, Connected)
        assert event.capabilities.four_ccs == ("av01", "hvc1")
        answered = session.answers()[-1].values[2]
        assert isinstance(answered, dict)
        assert answered["fourCcList"] == [*VIDEO_FOUR_CCS, *AUDIO_FOUR_CCS]
        assert answered["capsEx"] == 6.0

    @pytest.mark.parametrize(
        ("properties", "connected"),
        [
            ({"app": "a", "tcurl": "'rtmp://h/a'"}, Connected("a", "rtmp://h/a", "", 0, ClientCapabilities())),
            ({"tcUrl": "rtmp://h/a/KEY"}, Connected("a/KEY", "rtmp://h/a/KEY", "", 0, ClientCapabilities())),
            (EcmaArray(app="a", flashVer="x" * 999), Connected("a", "", "x" * 128, 0, ClientCapabilities())),
            ({"app": 5.0, "objectEncoding": 3.0}, Connected("", "", "", 3, ClientCapabilities())),
            (None, Connected("", "", "", 0, ClientCapabilities())),
        ],
    )
    def test_connect_may_say_it_in_other_ways(self, properties: Value, connected: Connected) -> None:
        assert receive(SIMPLE_HANDSHAKE + command("connect", 1, properties)) == [connected]

    def test_create_stream_gives_a_new_stream_each_time(self, connected: Session) -> None:
        connected.send(b"".join(command("createStream", tid, None) for tid in (2, 3, 4)))
        assert [answer.values for answer in connected.answers()] == [
            ["_result", 2.0, None, 1.0],
            ["_result", 3.0, None, 2.0],
            ["_result", 4.0, None, 3.0],
        ]

    def test_publish_rests_until_it_is_decided(self) -> None:
        session = Session()
        assert session.send(LOGIN) == [CONNECTED, REQUESTED]
        assert session.connection.state is State.PUBLISH_PENDING
        assert "onStatus" not in names(session.answers())

    def test_accepting_says_so_on_the_stream(self, pending: Session) -> None:
        assert pending.connection.accept() == []
        begin, status = pending.answers()
        assert begin.message.payload == bytes.fromhex("0000 00000001")
        assert (status.name, status.code, status.message.message_stream_id) == (
            "onStatus",
            "NetStream.Publish.Start",
            1,
        )
        assert pending.connection.state is State.PUBLISHING

    @pytest.mark.parametrize("error", [KeyRejectedError("revoked", "id7"), AlreadyPublishingError()])
    def test_rejecting_says_why_and_ends(self, pending: Session, error: KeyRejectedError) -> None:
        pending.connection.reject(error)
        (status,) = pending.answers()
        assert status.message.message_stream_id == 1
        assert status.values[1:] == [
            0.0,
            None,
            {"level": "error", "code": error.status_code, "description": error.description},
        ]
        assert pending.connection.state is State.CLOSED
        assert b"revoked" not in bytes(status.message.payload)
        assert pending.send(VIDEO) == []
        assert pending.connection.data_to_send() == b""

    @pytest.mark.parametrize(
        ("name", "app", "key"),
        [("KEY", "live", "KEY"), ("KEY?x=y", "live", "KEY"), ("", "live/KEY", "KEY"), (None, "live/KEY", "KEY")],
    )
    def test_the_key_is_found_in_the_name_or_the_app(self, name: str | None, app: str, key: str) -> None:
        sent = SIMPLE_HANDSHAKE + command("connect", 1, {"app": app}) + command("publish", 5, None, name)
        requested = receive(sent)[-1]
        assert isinstance(requested, PublishRequested)
        assert requested.find_key(lambda _: False) == key
        assert requested.publishing_type == "live"


class TestCommandOrders:
    """What encoders send, in the order they send it (SRS tells them apart by it)."""

    SEQUENCES: tuple[tuple[str, list[bytes], list[str]], ...] = (
        (
            "FMLE, OBS",
            [
                command("releaseStream", 2, None, "KEY"),
                command("FCPublish", 3, None, "KEY"),
                CREATE_STREAM,
                PUBLISH,
            ],
            ["_result"] * 3 + ["USER_CONTROL", "onFCPublish", "onStatus"],
        ),
        ("Flash", [CREATE_STREAM, PUBLISH], ["_result", "USER_CONTROL", "onStatus"]),
        (
            "Haivision",
            [command("_checkbw", 2, None), CREATE_STREAM, command("FCPublish", 3, None, "KEY"), PUBLISH],
            ["_result"] * 3 + ["USER_CONTROL", "onFCPublish", "onStatus"],
        ),
        ("three streams", [CREATE_STREAM] * 3 + [PUBLISH], ["_result"] * 3 + ["USER_CONTROL", "onStatus"]),
        (
            "GStreamer",
            [
                command("releaseStream", 0, None, "KEY"),
                command("FCPublish", 0, None, "KEY"),
                control(5, (5_000_000).to_bytes(4, "big")),
                command("createStream", 2, None),
                command("publish", 0, None, "KEY", "live", message_stream_id=1),
            ],
            ["_result", "USER_CONTROL", "onFCPublish", "onStatus"],
        ),
        ("no createStream", [PUBLISH], ["USER_CONTROL", "onStatus"]),
        (
            "a player's questions first",
            [command("getStreamLength", 3, None, "KEY"), command("setPeerInfo", 6, None), CREATE_STREAM, PUBLISH],
            ["_result"] * 3 + ["USER_CONTROL", "onStatus"],
        ),
    )

    @pytest.mark.parametrize(("sent", "answered"), [row[1:] for row in SEQUENCES], ids=[row[0] for row in SEQUENCES])
    @pytest.mark.parametrize("at_once", [True, False])
    def test_reaches_publish(self, sent: list[bytes], answered: list[str], at_once: bool) -> None:
        session = Session()
        session.send(SIMPLE_HANDSHAKE + CONNECT)
        session.answers()
        for piece in [b"".join(sent)] if at_once else sent:
            session.send(piece)
        assert session.connection.state is State.PUBLISH_PENDING
        session.connection.accept()
        assert names(session.answers()) == answered
        assert not session.connection.messages_dropped

    def test_everything_in_one_go_with_media_behind_it(self) -> None:
        assert receive(LOGIN + VIDEO + AUDIO) == [
            CONNECTED,
            REQUESTED,
            FlvTag(9, 40, b"\x17\x01frame"),
            FlvTag(8, 43, b"\xaf\x01frame"),
        ]

    def test_amf3_commands_and_data_are_understood(self) -> None:
        def amf3(type_id: int, *values: Value) -> bytes:
            return message(type_id, b"\x00" + amf0.write_values(*values), message_stream_id=1, chunk_stream_id=3)

        sent = SIMPLE_HANDSHAKE + amf3(17, "connect", 1, {"app": "live", "objectEncoding": 3})
        sent += amf3(17, "createStream", 2, None) + amf3(17, "publish", 3, None, "KEY", "live")
        sent += amf3(15, "@setDataFrame", "onMetaData", {"width": 320}) + amf3(15, "onCuePoint", {"name": "x"})
        assert receive(sent) == [
            Connected("live", "", "", 3, ClientCapabilities()),
            PublishRequested("KEY", "live", "", "live"),
            MetadataReceived(0, {"width": 320.0}),
            FlvTag(18, 0, amf0.write_values("onCuePoint", {"name": "x"})),
        ]

    def test_a_result_is_null_and_undefined(self, connected: Session) -> None:
        connected.send(command("releaseStream", 2, None, "KEY"))
        (answer,) = connected.answers()
        assert answer.values == ["_result", 2.0, None, UNDEFINED]

    def test_a_transaction_that_wants_no_answer_gets_none(self, connected: Session) -> None:
        connected.send(command("releaseStream", 0, None, "KEY") + command("nonsense", 0, None))
        assert connected.answers() == []

    def test_playing_is_refused(self, connected: Session) -> None:
        assert connected.send(command("play", 5, None, "KEY", message_stream_id=1)) == []
        (answer,) = connected.answers()
        assert (answer.name, answer.code) == ("onStatus", "NetStream.Play.Failed")
        assert connected.connection.state is State.CONNECTED

    def test_an_unknown_command_is_refused_and_counted(self, connected: Session) -> None:
        assert connected.send(command("launch", 9, None)) == [MessageDropped(MessageDropReason.UNKNOWN_COMMAND, 20)]
        (answer,) = connected.answers()
        assert (answer.values[:2], answer.code) == (["_error", 9.0], "NetConnection.Call.Failed")

    @pytest.mark.parametrize("name", ["_result", "_error", "onStatus"])
    def test_answers_to_nothing_are_ignored(self, connected: Session, name: str) -> None:
        assert connected.send(command(name, 9, None)) == []
        assert connected.answers() == []


class TestOutOfTurn:
    """A missing pair of state and command ends the connection."""

    @pytest.mark.parametrize(
        ("sent", "what"),
        [
            (PUBLISH, "publish while connecting"),
            (CREATE_STREAM, "createStream while connecting"),
            (command("FCUnpublish", 6, None, "KEY"), "the end of a publish while connecting"),
            (CONNECT + CONNECT, "connect while connected"),
            (CONNECT + PUBLISH + PUBLISH, "publish while publishing"),
            (CONNECT + PUBLISH + CONNECT, "connect while publishing"),
        ],
    )
    def test_is_a_command_error(self, sent: bytes, what: str) -> None:
        with pytest.raises(CommandError, match=what):
            receive(SIMPLE_HANDSHAKE + sent)

    def test_media_without_a_publish_is_dropped(self, connected: Session) -> None:
        assert connected.send(VIDEO + data("onMetaData", {})) == [
            MessageDropped(MessageDropReason.OUT_OF_TURN, 9),
            MessageDropped(MessageDropReason.OUT_OF_TURN, 18),
        ]
        assert connected.connection.messages_dropped == {MessageDropReason.OUT_OF_TURN: 2}

    def test_accept_and_reject_need_a_publish(self, publishing: Session) -> None:
        for session in (Session(), publishing):
            with pytest.raises(LocalStateError):
                session.connection.accept()
            with pytest.raises(LocalStateError):
                session.connection.reject(AlreadyPublishingError())


class TestStranger:
    """Until a publish is accepted a peer may say what a login is, and make us hold no more."""

    def test_is_whoever_has_not_published(self, pending: Session) -> None:
        def is_stranger() -> bool:
            return pending.connection.is_stranger

        assert Session().connection.is_stranger
        assert is_stranger()
        pending.connection.accept()
        assert not is_stranger()
        pending.send(command("deleteStream", 7, None, 1))
        # A good key was shown.
        assert not is_stranger()

    def test_says_64_kib_in_all(self, connected: Session) -> None:
        ping = message(3, bytes(1000), chunk_size=128)
        said = connected.connection.bytes_received - len(SIMPLE_HANDSHAKE)
        for _ in range((64 * 1024 - said) // len(ping)):
            connected.send(ping)
        with pytest.raises(CommandError, match="bytes sent before a publish was accepted") as caught:
            connected.send(ping)
        assert caught.value.limit == "pending_bytes_max"

    @pytest.mark.parametrize("at_once", [True, False])
    def test_says_128_messages(self, connected: Session, at_once: bool) -> None:
        said = [message(3, bytes(4))] * 127
        for piece in [b"".join(said)] if at_once else said:
            connected.send(piece)
        with pytest.raises(ProtocolError, match="messages") as caught:
            connected.send(message(3, bytes(4)))
        assert caught.value.limit == "pending_messages_max"

    def test_may_not_announce_what_is_longer(self, connected: Session) -> None:
        connected.send(control(1, (8 * 1024 * 1024 - 1).to_bytes(4, "big")))
        with pytest.raises(MessageTooLargeError) as caught:
            connected.send(chunk(0, 6, bytes(1000), length=64 * 1024 + 1))
        assert caught.value.limit == "pending_bytes_max"

    def test_may_not_announce_more_in_pieces(self, connected: Session) -> None:
        connected.send(chunk(0, 6, bytes(128), length=40_000))
        with pytest.raises(ChunkError, match="unfinished messages of 80000 bytes") as caught:
            connected.send(chunk(0, 7, bytes(128), length=40_000))
        assert caught.value.limit == "pending_bytes_max"

    def test_opens_few_chunk_streams(self, connected: Session) -> None:
        with pytest.raises(ChunkError, match="more than 16 chunk streams"):
            connected.send(b"".join(chunk(0, number, b"x", type_id=3) for number in range(4, 20)))

    def test_has_no_slab_for_its_media(self, connected: Session) -> None:
        assert connected.send(VIDEO * 3) == [MessageDropped(MessageDropReason.OUT_OF_TURN, 9, count=3)]
        assert not ConnectionOptions().login_chunk_limits.keeps_media

    def test_is_read_few_values(self, connected: Session) -> None:
        # Name, number, null, and one for each 8 bytes of the read beside what there is at first.
        names: dict[str, Value] = {f"{number:04d}": None for number in range(400)}
        sent = command("publish", 5, names, "KEY")
        assert connected.send(sent) == [MessageDropped(MessageDropReason.MALFORMED, 20, "amf_values_max")]

    def test_is_not_read_nested_values(self, connected: Session) -> None:
        sent = message(20, amf0.write_values("publish", 5) + NESTED * 9, chunk_stream_id=3)
        assert connected.send(sent) == [MessageDropped(MessageDropReason.MALFORMED, 20, "amf_depth_max")]

    @pytest.mark.parametrize(
        "body",
        [
            # A name that nobody knows, and AMF3's traits behind it; no name at all.
            amf0.write_values("launch", 0) + bytes.fromhex("11 0a ffffffff"),
            bytes.fromhex("11 0a ffffffff 01"),
            b"\x05" * 1000,
        ],
    )
    def test_is_not_read_further_than_the_name_of_a_command_that_is_none(
        self, connected: Session, body: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[Value] = []
        read_value = amf0.Reader.read_value

        def note(reader: amf0.Reader) -> Value:
            read.append(read_value(reader))
            return read[-1]

        monkeypatch.setattr(amf0.Reader, "read_value", note)
        (dropped,) = connected.send(message(20, body, chunk_stream_id=3))
        assert isinstance(dropped, MessageDropped)
        assert not dropped.limit
        assert read in ([], ["launch", 0.0])

    def test_an_address_that_nobody_types_is_cut(self) -> None:
        (event,) = Session().send(SIMPLE_HANDSHAKE + command("connect", 1, {"app": "a" * 5000, "tcUrl": "t" * 5000}))
        assert isinstance(event, Connected)
        assert (len(event.app), len(event.tc_url)) == (2048, 2048)


class TestHeldBytes:
    """What the account of memory asks for."""

    def test_of_a_stranger(self) -> None:
        session = Session()
        session.send(SIMPLE_HANDSHAKE[:1000])
        assert 1000 <= session.connection.held_bytes < 1200
        session.send(SIMPLE_HANDSHAKE[1000:])
        # The answer, until it is sent.
        assert 3073 <= session.connection.held_bytes < 3300
        session.connection.data_to_send()
        session.send(CONNECT)
        session.connection.data_to_send()
        before = session.connection.held_bytes
        assert before < 500
        session.send(chunk(0, 6, bytes(128), length=60_000) + chunk(3, 6, bytes(128)) * 100)
        assert session.connection.held_bytes == before + 101 * 128

    def test_nothing_else_is_held_of_a_first_read_that_says_more_than_a_handshake(self) -> None:
        """The read was kept a second time, for as long as the connection lasted."""
        login = SIMPLE_HANDSHAKE + CONNECT + control(1, (65_536).to_bytes(4, "big"))
        said = login + chunk(0, 6, bytes(50_000), length=60_000)
        tracemalloc.start()
        try:
            sessions = [Session() for _ in range(4)]
            before = tracemalloc.get_traced_memory()[0]
            for session in sessions:
                session.connection.receive_data(said)
                session.connection.data_to_send()
            held = sum(session.connection.held_bytes for session in sessions)
            assert tracemalloc.get_traced_memory()[0] - before < 1.2 * held
        finally:
            tracemalloc.stop()

    def test_of_what_waits_for_a_publish(self, pending: Session) -> None:
        before = pending.connection.held_bytes
        pending.send(VIDEO + AUDIO)
        assert pending.connection.held_bytes == before + len(VIDEO + AUDIO)
        pending.connection.accept()
        pending.answers()
        assert pending.connection.held_bytes == before

    def test_media_is_counted_where_it_is_kept(self, publishing: Session) -> None:
        before = publishing.connection.held_bytes
        publishing.send(VIDEO * 100)
        assert publishing.connection.held_bytes == before


class TestPending:
    """What arrives while a publish is decided."""

    def test_is_held_and_comes_with_accept(self, pending: Session) -> None:
        received = pending.connection.messages_received
        assert pending.send(VIDEO[:7]) == []
        assert pending.send(VIDEO[7:] + AUDIO) == []
        assert pending.connection.messages_received == received
        assert pending.connection.accept() == [
            FlvTag(9, 40, b"\x17\x01frame"),
            FlvTag(8, 43, b"\xaf\x01frame"),
        ]
        assert pending.connection.messages_received == received + 2

    def test_is_bounded(self) -> None:
        session = Session(ConnectionOptions(pending_bytes_max=1000))
        session.send(LOGIN)
        said = len(LOGIN) - len(SIMPLE_HANDSHAKE)
        session.send(bytes(1000 - said))
        with pytest.raises(CommandError, match="1001 bytes sent before a publish was accepted"):
            session.send(b"\x00")
        assert session.connection.state is State.CLOSED

    def test_is_read_by_the_limits_of_a_publisher(self) -> None:
        # An encoder that does not wait: its keyframe is longer than all that a stranger may say, and stays unread.
        session = Session()
        keyframe = message(9, bytes(100_000), chunk_size=128)
        assert session.send(LOGIN + keyframe[:16_384]) == [CONNECTED, REQUESTED]
        assert session.connection.accept() == []
        (tag,) = session.send(keyframe[16_384:])
        assert isinstance(tag, FlvTag)
        assert len(tag.payload) == 100_000

    def test_of_one_who_publishes_anew_is_bounded_by_what_a_publisher_may_leave_unfinished(self) -> None:
        session = Session(ConnectionOptions(chunk_limits=ChunkLimits(held_bytes_max=200_000)))
        session.send(LOGIN)
        session.connection.accept()
        session.send(command("deleteStream", 7, None, 1) + PUBLISH + bytes(200_000))
        assert session.connection.state is State.PUBLISH_PENDING
        with pytest.raises(CommandError, match="200001 bytes sent before publish was answered"):
            session.send(b"\x00")

    def test_may_end_the_publish_and_ask_for_another(self, pending: Session) -> None:
        pending.send(VIDEO)
        session = Session()
        again = command("deleteStream", 7, None, 1) + CREATE_STREAM + PUBLISH + AUDIO
        session.send(LOGIN + VIDEO + again)
        session.send(VIDEO)
        assert session.connection.accept() == [
            FlvTag(9, 40, b"\x17\x01frame"),
            Unpublished("deleteStream"),
            REQUESTED,
        ]
        assert session.connection.state is State.PUBLISH_PENDING
        assert session.connection.accept() == [
            FlvTag(8, 43, b"\xaf\x01frame"),
            FlvTag(9, 40, b"\x17\x01frame"),
        ]

    def test_that_breaks_the_stream_ends_the_connection(self, pending: Session) -> None:
        pending.send(b"\xff")
        with pytest.raises(ChunkError):
            pending.connection.accept()
        assert pending.connection.state is State.CLOSED


class TestPublishing:
    def test_media_of_any_message_stream_is_the_publish_s(self, publishing: Session) -> None:
        assert publishing.send(message(8, b"a", message_stream_id=0) + message(9, b"v", message_stream_id=7)) == [
            FlvTag(8, 0, b"a"),
            FlvTag(9, 0, b"v"),
        ]

    def test_an_empty_frame_is_passed_on(self, publishing: Session) -> None:
        # Enhanced RTMP: a zero-length audio message is silence.
        assert publishing.send(message(8, b"")) == [FlvTag(8, 0, b"")]

    def test_an_aggregate_is_its_messages(self, publishing: Session) -> None:
        def tag(type_id: int, time_ms: int, body: bytes) -> bytes:
            header = bytes((type_id,)) + len(body).to_bytes(3, "big") + time_ms.to_bytes(3, "big") + bytes(4)
            return header + body + (11 + len(body)).to_bytes(4, "big")

        payload = tag(8, 0, b"a") + tag(9, 20, b"v") + tag(18, 20, amf0.write_values("onMetaData", {"fps": 30}))
        payload += tag(22, 20, b"x") + tag(20, 20, b"x")
        assert publishing.send(message(22, payload, time_ms=500)) == [
            FlvTag(8, 500, b"a"),
            FlvTag(9, 520, b"v"),
            MetadataReceived(520, {"fps": 30.0}),
            MessageDropped(MessageDropReason.UNKNOWN_TYPE, 22),
            MessageDropped(MessageDropReason.UNKNOWN_TYPE, 20),
        ]

    def test_an_aggregate_without_a_publish_is_dropped_unread(self, connected: Session) -> None:
        payload = bytes.fromhex("08 000001 000000 00 000000 61 0000000c")
        assert connected.send(message(22, payload)) == [MessageDropped(MessageDropReason.OUT_OF_TURN, 22)]

    def test_an_aggregate_of_too_many_is_dropped(self) -> None:
        session = Session(ConnectionOptions(chunk_limits=ChunkLimits(messages_per_read_max=64)))
        session.send(LOGIN)
        session.connection.accept()
        tag = bytes.fromhex("08 000000 000000 00 000000 0000000b")
        before = session.connection.messages_received
        # The aggregate is a message itself.
        assert len(session.send(message(22, tag * 63))) == 63
        assert session.connection.messages_received == before + 64
        too_many = MessageDropped(MessageDropReason.MALFORMED, 22, "messages_per_read_max")
        assert session.send(message(22, tag * 64)) == [too_many]

    def test_the_messages_of_all_aggregates_of_a_read_are_counted_together(self) -> None:
        session = Session(ConnectionOptions(chunk_limits=ChunkLimits(messages_per_read_max=64)))
        session.send(LOGIN)
        session.connection.accept()
        tag = bytes.fromhex("08 000000 000000 00 000000 0000000b")
        received = session.send(message(22, tag * 30) * 4)
        assert received == [FlvTag(8, 0, b"")] * 60 + [
            MessageDropped(MessageDropReason.MALFORMED, 22, "messages_per_read_max"),
            MessageDropped(MessageDropReason.TOO_MANY, 22, "messages_per_read_max"),
        ]

    def test_messages_share_their_values_which_come_back_with_the_bytes_of_the_stream(self) -> None:
        session = Session(ConnectionOptions(amf_limits=Limits(amf_values_max=70)))
        session.send(LOGIN)
        session.connection.accept()
        # Each has 6 values, and costs 8 more.
        sent = data("onMetaData", {"width": 1.0, "height": 1.0})
        received = session.send(sent * 20)
        assert received == [MetadataReceived(0, {"width": 1.0, "height": 1.0})] * 5 + [
            MessageDropped(MessageDropReason.TOO_MANY, 18, "amf_values_max", 15)
        ]
        session.send(message(9, bytes(14 * 8)))
        assert isinstance(session.send(sent)[0], MetadataReceived)

    def test_metadata_of_values_that_say_nothing_is_given_up(self) -> None:
        session = Session(ConnectionOptions(amf_limits=Limits(amf_values_max=100)))
        session.send(LOGIN)
        session.connection.accept()
        nulls = message(18, amf0.write_values("onMetaData") + b"\x05" * 2000, chunk_size=128)
        # The read earns an eighth of a value a byte, and each message is the first that takes.
        assert session.send(nulls * 3) == [
            MessageDropped(MessageDropReason.MALFORMED, 18, "amf_values_max"),
            MessageDropped(MessageDropReason.TOO_MANY, 18, "amf_values_max", 2),
        ]

    def test_a_data_message_that_is_no_metadata_is_passed_on_unread(self, publishing: Session) -> None:
        body = b"\x02\x00\x01x\x0a\xff\xff\xff\xff"
        assert publishing.send(message(18, body)) == [FlvTag(18, 0, body)]

    def test_depth_is_counted_from_the_surface_of_each_message(self) -> None:
        session = Session(ConnectionOptions(amf_limits=Limits(amf_depth_max=4)))
        session.send(LOGIN)
        session.connection.accept()
        nested = message(18, ON_METADATA + bytes.fromhex("0a00000001") * 5)
        shallow = message(18, ON_METADATA + bytes.fromhex("0a00000001") * 4 + b"\x05" + amf0.write_values({}))
        assert session.send(nested + shallow) == [
            MessageDropped(MessageDropReason.MALFORMED, 18, "amf_depth_max"),
            MetadataReceived(0, {}),
        ]

    @pytest.mark.parametrize(
        ("sent", "dropped"),
        [
            (message(18, ON_METADATA + b"\x02\x00"), MessageDropped(MessageDropReason.MALFORMED, 18)),
            (message(18, ON_METADATA + NESTED * 100), MessageDropped(MessageDropReason.MALFORMED, 18, "amf_depth_max")),
            (data("onMetaData"), MessageDropped(MessageDropReason.MALFORMED, 18)),
            (message(20, b"\x05"), MessageDropped(MessageDropReason.MALFORMED, 20)),
            (message(17, b""), MessageDropped(MessageDropReason.MALFORMED, 17)),
            (message(22, b"\x08\x00\x00\x09"), MessageDropped(MessageDropReason.MALFORMED, 22)),
            (control(5, b"\x00"), MessageDropped(MessageDropReason.MALFORMED, 5)),
            (control(6, b"\x00"), MessageDropped(MessageDropReason.MALFORMED, 6)),
            (message(0, b"x"), MessageDropped(MessageDropReason.UNKNOWN_TYPE, 0)),
            (message(7, b"x"), MessageDropped(MessageDropReason.UNKNOWN_TYPE, 7)),
            (message(16, b"x"), MessageDropped(MessageDropReason.UNKNOWN_TYPE, 16)),
            (message(19, b"x"), MessageDropped(MessageDropReason.UNKNOWN_TYPE, 19)),
            (message(255, b"x"), MessageDropped(MessageDropReason.UNKNOWN_TYPE, 255)),
        ],
    )
    def test_an_unusable_message_is_dropped_and_the_session_lives(self, sent: bytes, dropped: MessageDropped) -> None:
        assert receive(LOGIN + sent + VIDEO)[2:] == [dropped, FlvTag(9, 40, b"\x17\x01frame")]

    def test_70_000_nested_arrays_for_metadata_are_dropped(self) -> None:
        # flvmeta #29, at every length that is read at all.
        session = Session(ConnectionOptions(command_bytes_max=1024 * 1024))
        session.send(LOGIN)
        session.connection.accept()
        sent = message(18, amf0.write_values("onMetaData") + bytes.fromhex("0a00000001") * 70_000)
        assert session.send(sent) == [MessageDropped(MessageDropReason.MALFORMED, 18, "amf_depth_max")]

    @pytest.mark.parametrize("type_id", [15, 17, 18, 20])
    def test_a_command_or_data_message_that_is_too_large_is_dropped_unread(self, type_id: int) -> None:
        session = Session(ConnectionOptions(command_bytes_max=100))
        session.send(LOGIN)
        session.connection.accept()
        assert session.send(message(type_id, bytes(101))) == [
            MessageDropped(MessageDropReason.TOO_LARGE, type_id, "command_bytes_max")
        ]

    def test_messages_are_counted(self, publishing: Session) -> None:
        before = publishing.connection.messages_received
        publishing.send(VIDEO + AUDIO + message(99, b""))
        assert publishing.connection.messages_received == before + 3
        assert publishing.connection.messages_dropped == {MessageDropReason.UNKNOWN_TYPE: 1}


class TestGoodbye:
    @pytest.mark.parametrize(
        ("sent", "name", "answered"),
        [
            (
                command("FCUnpublish", 6, None, "KEY"),
                "FCUnpublish",
                ["onFCUnpublish", "_result", "onStatus"],
            ),
            (command("closeStream", 0, None, message_stream_id=1), "closeStream", ["onStatus"]),
            (command("deleteStream", 7, None, 1), "deleteStream", ["onStatus"]),
            (command("deleteStream", 7, None), "deleteStream", ["onStatus"]),
            (command("deleteStream", 7, None, "KEY"), "deleteStream", ["onStatus"]),
            (command("publish", 8, None, False), "publish", ["onStatus"]),
        ],
    )
    def test_ends_the_publish(self, publishing: Session, sent: bytes, name: str, answered: list[str]) -> None:
        assert publishing.send(sent) == [Unpublished(name)]
        assert names(publishing.answers()) == answered
        assert publishing.connection.state is State.CONNECTED

    def test_is_heard_once(self, publishing: Session) -> None:
        sent = command("FCUnpublish", 6, None, "KEY") + command("deleteStream", 7, None, 1)
        assert publishing.send(sent + VIDEO) == [
            Unpublished("FCUnpublish"),
            MessageDropped(MessageDropReason.OUT_OF_TURN, 9),
        ]

    def test_to_another_stream_is_none(self, publishing: Session) -> None:
        assert publishing.send(command("deleteStream", 7, None, 2) + VIDEO) == [FlvTag(9, 40, b"\x17\x01frame")]

    def test_may_be_followed_by_another_publish(self, publishing: Session) -> None:
        publishing.send(command("deleteStream", 7, None, 1))
        assert publishing.send(CREATE_STREAM + PUBLISH) == [REQUESTED]


class TestClose:
    def test_a_kick_is_said_on_the_stream(self, publishing: Session) -> None:
        publishing.connection.close("NetStream.Publish.Denied", "The key was revoked.")
        (status,) = publishing.answers()
        assert status.message.message_stream_id == 1
        assert status.values[3] == {
            "level": "error",
            "code": "NetStream.Publish.Denied",
            "description": "The key was revoked.",
        }
        assert publishing.connection.state is State.CLOSED
        assert publishing.send(VIDEO) == []

    def test_nothing_is_said_inside_the_handshake_or_twice(self) -> None:
        session = Session()
        for _ in range(2):
            session.connection.close("NetConnection.Connect.AppShutdown", "The server is shutting down.")
            assert session.connection.data_to_send() == b""
        assert session.connection.state is State.CLOSED

    def test_may_come_while_a_publish_is_decided(self, pending: Session) -> None:
        pending.connection.close("NetStream.Publish.Rejected", "Try again later.")
        assert names(pending.answers()) == ["onStatus"]
        with pytest.raises(LocalStateError):
            pending.connection.accept()


class TestAcknowledgement:
    """RTMP 1.0 section 5.4.3."""

    def acknowledged(self, session: Session) -> list[int]:
        return [
            int.from_bytes(answer.message.payload, "big")
            for answer in session.answers()
            if answer.name == "ACKNOWLEDGEMENT"
        ]

    def test_is_sent_each_time_the_peer_s_window_has_passed(self, publishing: Session) -> None:
        publishing.send(control(5, (1000).to_bytes(4, "big")))
        numbers: list[int] = []
        for _ in range(10):
            publishing.send(message(9, bytes(485)))
            numbers += self.acknowledged(publishing)
        assert len(numbers) >= 4
        assert numbers[-1] <= publishing.connection.bytes_received
        assert all(1000 <= later - earlier < 1600 for earlier, later in pairwise(numbers))

    def test_is_sent_by_our_own_window_where_the_peer_says_nothing(self) -> None:
        session = Session(ConnectionOptions(window_bytes=5000))
        session.send(LOGIN)
        session.connection.accept()
        session.send(message(9, bytes(2000)))
        assert self.acknowledged(session) == [session.connection.bytes_received]

    def test_the_count_wraps_at_4_gib(self, publishing: Session) -> None:
        publishing.connection.bytes_received = 2**32 - 10
        publishing.send(VIDEO)
        assert self.acknowledged(publishing) == [len(VIDEO) - 10]
        publishing.connection.bytes_received += 2_500_000
        publishing.send(VIDEO)
        assert self.acknowledged(publishing) == [2 * len(VIDEO) - 10 + 2_500_000]

    def test_a_window_of_nothing_is_not_kept(self, publishing: Session) -> None:
        publishing.send(control(5, bytes(4)) + VIDEO)
        assert self.acknowledged(publishing) == []

    def test_none_comes_inside_the_handshake(self) -> None:
        session = Session(ConnectionOptions(window_bytes=1))
        session.send(SIMPLE_HANDSHAKE[:2000])
        assert len(session.connection.data_to_send()) == 3073


def taken(session: Session, sent: bytes) -> list[list[ConnectionEvent]]:
    """What each step of a read meant."""
    connection = session.connection
    steps = [connection.receive_buffer(bytearray(sent), len(sent))]
    while connection.has_more:
        steps.append(connection.receive_more())
    return steps


def aggregate(count: int) -> bytes:
    """A message of so many empty frames of sound, a millisecond apart."""
    tags = (b"\x08\0\0\0" + number.to_bytes(3, "big") + bytes(4) + b"\0\0\0\x0b" for number in range(count))
    return message(22, b"".join(tags))


class TestSteps:
    """A read that is a lot of work is done a step at a time, in order, and nothing of it is lost."""

    def test_a_read_of_a_few_dozen_messages_is_one_step(self, publishing: Session) -> None:
        (events,) = taken(publishing, message(8, b"a") * 60)
        assert len(events) == 60

    def test_thousands_of_messages_are_many(self, publishing: Session) -> None:
        sent = b"".join(message(8, b"a", time_ms=number) for number in range(4096))
        steps = taken(publishing, sent)
        assert [len(events) for events in steps] == [MESSAGES_PER_STEP] * 16
        assert list(chain.from_iterable(steps)) == [FlvTag(8, number, b"a") for number in range(4096)]

    def test_the_messages_of_an_aggregate_are_so_too_and_what_is_behind_it_waits(self, publishing: Session) -> None:
        steps = taken(publishing, message(9, b"v") + aggregate(4000) + message(8, b"behind"))
        assert max(len(events) for events in steps) <= MESSAGES_PER_STEP
        expected = [FlvTag(9, 0, b"v"), *(FlvTag(8, number, b"") for number in range(4000)), FlvTag(8, 0, b"behind")]
        assert list(chain.from_iterable(steps)) == expected

    def test_small_aggregates_share_a_step(self, publishing: Session) -> None:
        (events,) = taken(publishing, aggregate(5) + aggregate(6))
        assert len(events) == 11

    def test_an_aggregate_that_fills_a_step_may_be_the_last_of_a_read(self, publishing: Session) -> None:
        # The aggregate is a message itself.
        steps = taken(publishing, aggregate(MESSAGES_PER_STEP))
        assert [len(events) for events in steps] == [MESSAGES_PER_STEP - 1, 1]

    def test_chunks_of_a_byte_are_counted_though_no_message_is_whole(self, publishing: Session) -> None:
        begin = chunk(0, 4, b"a", length=60_000) + chunk(0, 5, b"a", length=60_000)
        publishing.send(control(1, (1).to_bytes(4, "big")) + begin)
        assert taken(publishing, b"\xc4a\xc5a" * 50) == [[]]
        sent = b"\xc4a\xc5a" * 10_000
        assert len(taken(publishing, sent)) == -(-20_000 // CHUNKS_PER_STEP)
        assert publishing.connection.held_bytes >= 20_000

    def test_a_goodbye_is_said_behind_what_came_before_it(self, publishing: Session) -> None:
        goodbye = command("deleteStream", 4, None, 1.0)
        steps = taken(publishing, message(8, b"a") * 600 + goodbye + message(8, b"b") * 600)
        events = list(chain.from_iterable(steps))
        assert events[:600] == [FlvTag(8, 0, b"a")] * 600
        assert events[600] == Unpublished("deleteStream")
        assert {(event.reason, event.type_id) for event in events[601:] if isinstance(event, MessageDropped)} == {
            (MessageDropReason.OUT_OF_TURN, 8)
        }

    def test_a_publish_in_the_rest_holds_what_is_behind_it(self, publishing: Session) -> None:
        again = command("deleteStream", 4, None, 1.0) + command("publish", 5, None, "key", "live")
        events = list(chain.from_iterable(taken(publishing, message(8, b"a") * 300 + again + message(8, b"b") * 300)))
        assert isinstance(events[-1], PublishRequested)
        assert publishing.connection.state is State.PUBLISH_PENDING
        events = publishing.connection.accept()
        assert publishing.connection.has_more
        events += publishing.connection.receive_more()
        assert events == [FlvTag(8, 0, b"b")] * 300
        assert not publishing.connection.has_more

    def test_a_read_that_comes_meanwhile_stands_behind_the_rest(self, publishing: Session) -> None:
        first = bytearray(b"".join(message(8, b"a", time_ms=number) for number in range(1000)))
        events = publishing.connection.receive_buffer(first, len(first))
        events += publishing.send(b"".join(message(8, b"a", time_ms=number) for number in range(1000, 5000)))
        assert events == [FlvTag(8, number, b"a") for number in range(5000)]

    def test_what_waits_is_told_and_a_close_drops_it(self, publishing: Session) -> None:
        connection = publishing.connection
        sent = bytearray(aggregate(4000) + message(8, bytes(100)) * 50)
        connection.receive_buffer(sent, len(sent))
        assert connection.held_bytes > 4000 * 100
        connection.close("NetStream.Publish.Rejected", "Enough.")
        connection.data_to_send()
        assert not connection.has_more
        assert connection.receive_more() == []
        assert connection.held_bytes < 1000

    def test_a_fault_is_met_where_it_stands(self, publishing: Session) -> None:
        connection = publishing.connection
        sent = bytearray(message(8, b"a") * MESSAGES_PER_STEP + b"\xff" + message(8, b"a") * 300)
        assert len(connection.receive_buffer(sent, len(sent))) == MESSAGES_PER_STEP
        connection.raise_fault()
        with pytest.raises(ChunkError):
            connection.receive_more()
        assert connection.state is State.CLOSED
        assert not connection.has_more


class TestControl:
    def test_a_ping_is_answered(self, publishing: Session) -> None:
        publishing.send(control(4, bytes.fromhex("0006 00000bb8")))
        (pong,) = publishing.answers()
        assert pong.message.payload == bytes.fromhex("0007 00000bb8")

    @pytest.mark.parametrize(("window_bytes", "answered"), [(2_500_000, []), (1000, ["WINDOW_ACKNOWLEDGEMENT_SIZE"])])
    def test_a_peer_bandwidth_that_differs_is_answered_with_our_window(
        self, publishing: Session, window_bytes: int, answered: list[str]
    ) -> None:
        publishing.send(control(6, window_bytes.to_bytes(4, "big") + b"\x02"))
        assert names(publishing.answers()) == answered

    def test_what_needs_no_answer_gets_none(self, publishing: Session) -> None:
        sent = control(1, (4096).to_bytes(4, "big")) + control(2, bytes(4)) + control(3, bytes(4))
        assert publishing.send(sent + control(4, bytes.fromhex("0003 00000001 00000bb8"))) == []
        assert publishing.answers() == []

    def test_pings_in_floods_are_answered_a_few_a_read(self, publishing: Session) -> None:
        ping = control(4, bytes.fromhex("0006 00000bb8"))
        bandwidth = control(6, bytes.fromhex("00000001 02"))
        assert publishing.send((ping + bandwidth) * 100) == [
            MessageDropped(MessageDropReason.TOO_MANY, 4, count=96),
            MessageDropped(MessageDropReason.TOO_MANY, 6, count=96),
        ]
        assert len(publishing.answers()) == 8
        publishing.send(ping)
        assert len(publishing.answers()) == 1

    def test_commands_in_floods_are_not_all_read(self) -> None:
        session = Session()
        session.send(LOGIN)
        session.connection.accept()
        session.answers()
        sent = command("createStream", 4, None)
        events = session.send(sent * 1000)
        dropped = [event for event in events if isinstance(event, MessageDropped)]
        assert dropped == events
        assert {(event.reason, event.type_id) for event in dropped} == {(MessageDropReason.TOO_MANY, 20)}
        assert sum(event.count for event in dropped) == 968
        assert len(session.answers()) == 32
        session.send(sent)
        assert len(session.answers()) == 1

    def test_commands_are_not_read_without_values_to_read_them_with(self) -> None:
        session = Session(ConnectionOptions(amf_limits=Limits(amf_values_max=100)))
        session.send(LOGIN)
        session.connection.accept()
        session.answers()
        # Each has two values, and costs eight more; what the read earns was there.
        assert session.send(command("createStream", 4, None) * 12) == [
            MessageDropped(MessageDropReason.TOO_MANY, 20, "amf_values_max", 2)
        ]
        assert len(session.answers()) == 10

    def test_a_read_that_asks_for_a_publish_again_and_again(self) -> None:
        session = Session()
        session.send(LOGIN)
        session.connection.accept()
        again = command("deleteStream", 7, None, 1) + PUBLISH
        assert session.send(again * 5 + VIDEO) == [Unpublished("deleteStream"), REQUESTED]
        session.connection.data_to_send()
        held_bytes = session.connection.held_bytes
        for _ in range(4):
            assert session.connection.accept() == [Unpublished("deleteStream"), REQUESTED]
            session.connection.data_to_send()
        # It lies where it lay.
        assert session.connection.held_bytes == held_bytes
        session.send(AUDIO)
        assert session.connection.accept() == [FlvTag(9, 40, b"\x17\x01frame"), FlvTag(8, 43, b"\xaf\x01frame")]
        session.connection.data_to_send()
        assert session.connection.held_bytes < 200


class TestDropped:
    def test_of_a_kind_are_one_event_where_the_first_came(self, publishing: Session) -> None:
        unknown, other = message(99, b"x"), message(98, b"y")
        assert publishing.send(unknown + VIDEO + other + unknown * 3) == [
            MessageDropped(MessageDropReason.UNKNOWN_TYPE, 99, count=4),
            FlvTag(9, 40, b"\x17\x01frame"),
            MessageDropped(MessageDropReason.UNKNOWN_TYPE, 98),
        ]
        assert publishing.send(unknown) == [MessageDropped(MessageDropReason.UNKNOWN_TYPE, 99)]
        assert publishing.connection.messages_dropped == {MessageDropReason.UNKNOWN_TYPE: 6}


class TestFault:
    """As in h11: what came before a fault in the same data is handed out first."""

    BROKEN = b"\xff"

    def test_media_before_it_arrives(self, publishing: Session) -> None:
        assert publishing.send(VIDEO + AUDIO + self.BROKEN) == [
            FlvTag(9, 40, b"\x17\x01frame"),
            FlvTag(8, 43, b"\xaf\x01frame"),
        ]
        assert publishing.connection.state is State.CLOSED
        with pytest.raises(ChunkError):
            publishing.connection.raise_fault()
        publishing.connection.raise_fault()
        assert publishing.send(VIDEO) == []

    def test_it_is_raised_by_the_next_read_too(self, publishing: Session) -> None:
        publishing.send(VIDEO + CONNECT)
        with pytest.raises(CommandError, match="connect while publishing"):
            publishing.send(VIDEO)
        assert publishing.send(VIDEO) == []

    def test_behind_a_publish_it_waits_for_the_answer(self) -> None:
        session = Session()
        assert session.send(LOGIN + VIDEO + self.BROKEN) == [CONNECTED, REQUESTED]
        session.connection.raise_fault()
        assert session.connection.state is State.PUBLISH_PENDING
        assert session.connection.accept() == [FlvTag(9, 40, b"\x17\x01frame")]
        with pytest.raises(ChunkError):
            session.connection.raise_fault()

    def test_with_nothing_before_it_is_raised_at_once(self, publishing: Session) -> None:
        with pytest.raises(ChunkError):
            publishing.send(self.BROKEN)


class TestBrokenPeers:
    @pytest.mark.parametrize(
        ("sent", "error"),
        [
            (b"GET / HTTP/1.1\r\n", HandshakeError),
            (SIMPLE_HANDSHAKE + b"\xc4", ChunkError),
            (SIMPLE_HANDSHAKE + control(1, bytes(4)), ChunkError),
            (SIMPLE_HANDSHAKE + chunk(0, 4, length=0xFFFFFF), MessageTooLargeError),
        ],
    )
    def test_end_their_connection(self, sent: bytes, error: type[RtmpError]) -> None:
        with pytest.raises(error):
            receive(sent)
        session = Session()
        with pytest.raises(ProtocolError):
            session.send(sent)
        assert session.connection.state is State.CLOSED
        assert session.send(VIDEO) == []

    def test_limits_are_the_owner_s(self) -> None:
        options = ConnectionOptions(chunk_limits=ChunkLimits(message_bytes_max=100))
        with pytest.raises(MessageTooLargeError):
            receive(LOGIN + message(9, bytes(101)), options=options)
