"""The connection on which we publish, against our own server's and against a server that lies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import AlreadyPublishingError, LocalStateError, ProtocolError
from streamd.formats.amf.values import Value
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.formats.rtmp import command as commands
from streamd.formats.rtmp import user_control
from streamd.formats.rtmp.chunk import ChunkDecoder, ChunkWriter
from streamd.formats.rtmp.client_connection import ANSWER_BYTES_MAX, ClientConnection, PublishAddress
from streamd.formats.rtmp.client_events import ClientEvent, PublishRefused, PublishStarted, ReconnectAsked
from streamd.formats.rtmp.client_state import ClientState
from streamd.formats.rtmp.connection import ServerConnection
from streamd.formats.rtmp.events import Connected, ConnectionEvent, MetadataReceived, PublishRequested, Unpublished
from streamd.formats.rtmp.handshake import PACKET_BYTES
from streamd.formats.rtmp.message import Message, MessageType, acknowledgement, set_chunk_size
from tests.support.rtmp_wire import as_message

ADDRESS = PublishAddress("live2", "rtmps://a.example/live2", "a-secret-key")
S0_TO_S2 = b"\x03" + bytes(2 * PACKET_BYTES)


def new_client(address: PublishAddress = ADDRESS) -> ClientConnection:
    return ClientConnection(address, nonce=b"n" * 16, flash_version="FMLE/3.0 (compatible; streamd)")


class Line:
    """A client and our server, wired to each other."""

    def __init__(self, piece: int = 1 << 20) -> None:
        self.client = new_client()
        self.server = ServerConnection(nonce=b"s" * 16)
        self.client_events: list[ClientEvent] = []
        self.server_events: list[ConnectionEvent] = []
        self._piece = piece

    def run(self) -> None:
        """Carry bytes until nobody has anything to say."""
        while True:
            up, down = self.client.data_to_send(), self.server.data_to_send()
            if not up and not down:
                return
            self.send(up)
            for at in range(0, len(down), self._piece):
                self.client_events += self.client.receive_data(down[at : at + self._piece])

    def send(self, data: bytes) -> None:
        for at in range(0, len(data), self._piece):
            self.server_events += self.server.receive_data(data[at : at + self._piece])

    def publish(self) -> None:
        self.run()
        self.server.accept()
        self.run()


class TestPublishing:
    """RTMP 1.0 section 7.2, towards our own server."""

    @pytest.mark.parametrize("piece", [1, 7, 1536, 1 << 20])
    def test_a_stream_is_published(self, piece: int) -> None:
        line = Line(piece)
        line.publish()
        assert line.client_events == [PublishStarted()]
        assert line.client.state is ClientState.PUBLISHING
        requested = next(event for event in line.server_events if isinstance(event, PublishRequested))
        assert (requested.app, requested.stream_name, requested.publishing_type) == ("live2", "a-secret-key", "live")
        connected = next(event for event in line.server_events if isinstance(event, Connected))
        assert connected.tc_url == ADDRESS.tc_url
        assert connected.capabilities.is_enhanced

    def test_frames_and_metadata_arrive_as_they_are(self) -> None:
        line = Line()
        line.publish()
        line.server_events.clear()
        frame = bytes(range(256)) * 1000
        line.send(b"".join(line.client.write_metadata(0, {"width": 1280.0})))
        line.send(b"".join(line.client.write_media(TagType.VIDEO, 0x1000005, frame)))
        line.send(b"".join(line.client.write_media(TagType.AUDIO, 0x1000006, b"\xaf\x01x")))
        assert line.server_events == [
            MetadataReceived(0, {"width": 1280.0}),
            FlvTag(9, 0x1000005, frame),
            FlvTag(8, 0x1000006, b"\xaf\x01x"),
        ]

    def test_a_refusal_has_the_servers_own_words(self) -> None:
        line = Line()
        line.run()
        line.server.reject(AlreadyPublishingError("demo"))
        line.run()
        (refused,) = line.client_events
        assert isinstance(refused, PublishRefused)
        assert refused.code == "NetStream.Publish.BadName"
        assert refused.description
        assert line.client.state is ClientState.CLOSED

    def test_goodbye_is_said(self) -> None:
        line = Line()
        line.publish()
        line.client.close()
        line.run()
        assert Unpublished("FCUnpublish") in line.server_events
        assert line.client.state is ClientState.CLOSED

    def test_media_before_the_server_takes_it_is_our_fault(self) -> None:
        with pytest.raises(LocalStateError, match="handshake"):
            new_client().write_media(TagType.VIDEO, 0, b"x")

    def test_the_key_is_in_no_repr(self) -> None:
        assert "secret" not in repr(ADDRESS)


class Server:
    """A server that says whatever a test wants, and reads what it is sent."""

    def __init__(self, address: PublishAddress = ADDRESS) -> None:
        self.client = new_client(address)
        self.client.data_to_send()
        self.events = self.client.receive_data(S0_TO_S2)
        self._writer = ChunkWriter()
        self._decoder = ChunkDecoder()
        self._decoder.receive_data(self.client.data_to_send()[PACKET_BYTES:])

    def say(self, *messages: Message) -> list[ClientEvent]:
        data = b"".join(self._writer.write(message, 3) for message in messages)
        return self.client.receive_data(data)

    def result(self, transaction_id: float, information: Value) -> list[ClientEvent]:
        return self.say(commands.result(transaction_id, None, information))

    def hear(self) -> list[Message]:
        return [as_message(received) for received in self._decoder.receive_data(self.client.data_to_send())]

    def publishing(self) -> Server:
        self.result(1, {"code": "NetConnection.Connect.Success"})
        self.result(4, 1.0)
        self.say(commands.on_status(1, "status", "NetStream.Publish.Start", "go"))
        self.hear()
        assert self.client.state is ClientState.PUBLISHING
        return self


class TestWordsOfAServer:
    def test_the_stream_that_the_server_names_is_published_on(self) -> None:
        server = Server()
        server.result(1, None)
        assert [commands.read_command(message).name for message in server.hear()] == [
            "releaseStream",
            "FCPublish",
            "createStream",
        ]
        server.result(4, 5.0)
        (publish,) = server.hear()
        assert publish.message_stream_id == 5

    @pytest.mark.parametrize("stream", [None, 0.0, -1.0, 1.5, 1e300, float("nan"), "1"])
    def test_a_stream_that_cannot_be_is_a_fault(self, stream: Value) -> None:
        server = Server()
        server.result(1, None)
        with pytest.raises(ProtocolError, match="createStream"):
            server.result(4, stream)
        assert server.client.state is ClientState.CLOSED

    def test_a_server_that_knows_no_release_is_served(self) -> None:
        server = Server()
        server.result(1, None)
        assert server.say(commands.error(2, "NetConnection.Call.Failed", "what?")) == []
        assert server.client.state is ClientState.CREATING

    def test_connect_can_be_refused(self) -> None:
        said = commands.error(1, "NetConnection.Connect.Rejected", "[ AccessManager.Reject ]\x1b[31m")
        assert Server().say(said) == [PublishRefused("NetConnection.Connect.Rejected", "[ AccessManager.Reject ] [31m")]

    def test_connect_can_be_refused_in_the_words_of_a_yes(self) -> None:
        information: Value = {"level": "error", "code": "NetConnection.Connect.Rejected", "description": "go away"}
        server = Server()
        assert server.result(1, information) == [PublishRefused("NetConnection.Connect.Rejected", "go away")]
        assert server.client.is_closed

    def test_a_broadcast_can_be_refused_in_its_middle(self) -> None:
        server = Server().publishing()
        events = server.say(commands.on_status(1, "error", "NetStream.Publish.Rejected", "x" * 1000))
        assert events == [PublishRefused("NetStream.Publish.Rejected", "x" * 256)]

    @pytest.mark.parametrize(
        "said", [ADDRESS.stream_key, f"live2/{ADDRESS.stream_key}?x=1", "x" * 250 + ADDRESS.stream_key]
    )
    def test_the_key_is_not_among_the_words_of_a_refusal(self, said: str) -> None:
        server = Server().publishing()
        (refused,) = server.say(commands.on_status(1, "error", said, f"{said} is taken"))
        assert isinstance(refused, PublishRefused)
        shown = f"{refused.code} {refused.description}"
        assert "…" in refused.description
        assert ADDRESS.stream_key[:6] not in shown

    def test_the_key_is_not_shown_without_its_query_or_quoted_either(self) -> None:
        key = "live_1/secret part?bandwidthtest=true"
        server = Server(PublishAddress("app", "rtmp://a.example/app", key)).publishing()
        words = f"live_1/secret part live_1%2Fsecret%20part live_1/secret%20part {key}"
        (refused,) = server.say(commands.on_status(1, "error", "NetStream.Publish.BadName", words))
        assert refused == PublishRefused("NetStream.Publish.BadName", "… … … …")

    def test_start_said_twice_is_one_start(self) -> None:
        server = Server().publishing()
        assert server.say(commands.on_status(1, "status", "NetStream.Publish.Start", "go")) == []

    def test_publish_start_out_of_turn_is_a_fault(self) -> None:
        with pytest.raises(ProtocolError, match="an answer to publish while connecting"):
            Server().say(commands.on_status(1, "status", "NetStream.Publish.Start", "go"))

    def test_a_request_to_reconnect_is_told(self) -> None:
        """Enhanced RTMP v2, "Reconnect Request"."""
        information: Value = {"code": "NetConnection.Connect.ReconnectRequest", "tcUrl": "rtmp://b/live"}
        assert Server().publishing().say(commands.command_message("onStatus", 0, None, information)) == [
            ReconnectAsked("rtmp://b/live")
        ]

    def test_pings_and_bandwidths_are_answered(self) -> None:
        server = Server()
        ping = user_control.user_control(user_control.EventType.PING_REQUEST, b"\0\0\0\7")
        server.say(ping, Message(MessageType.SET_PEER_BANDWIDTH, 0, 0, b"\0\0\x10\0\2"))
        assert [message.type_id for message in server.hear()] == [4, 5]

    def test_acknowledgements_are_kept(self) -> None:
        server = Server().publishing()
        server.say(acknowledgement(4711))
        assert server.client.acknowledged_bytes == 4711

    def test_what_cannot_be_read_is_dropped(self) -> None:
        server = Server().publishing()
        assert server.say(Message(MessageType.COMMAND_AMF0, 0, 0, b"\x05"), Message(3, 0, 0, b"\0")) == []
        assert server.client.state is ClientState.PUBLISHING

    def test_media_of_a_server_is_of_no_use(self) -> None:
        assert Server().publishing().say(Message(MessageType.VIDEO, 0, 1, b"\x17\x01" * 100)) == []

    def test_a_window_of_a_byte_does_not_make_us_talk_without_end(self) -> None:
        server = Server().publishing()
        server.say(Message(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, 0, 0, b"\0\0\0\1"))
        server.say(acknowledgement(1))
        assert len(server.hear()) <= 1


class TestBounds:
    def test_a_server_that_talks_without_end_is_left(self) -> None:
        server = Server().publishing()
        junk = Message(MessageType.DATA_AMF0, 0, 1, bytes(1000))
        with pytest.raises(ProtocolError, match="more than a publisher has a use for"):
            server.say(*[junk] * (ANSWER_BYTES_MAX // 1000 + 1))
        assert server.client.state is ClientState.CLOSED
        assert server.client.receive_data(b"x") == []

    def test_media_that_is_sent_pays_for_answers(self) -> None:
        server = Server().publishing()
        for _ in range(ANSWER_BYTES_MAX // 1000 + 1):
            server.client.write_media(TagType.VIDEO, 0, bytes(200_000))
            server.say(Message(MessageType.DATA_AMF0, 0, 1, bytes(1000)))
        assert server.client.state is ClientState.PUBLISHING

    def test_chunks_of_a_byte_are_refused(self) -> None:
        with pytest.raises(ProtocolError, match="chunk size 1"):
            Server().say(set_chunk_size(1))

    @given(st.binary(max_size=300), st.booleans())
    def test_any_bytes_give_events_or_a_fault(self, data: bytes, publishes: bool) -> None:
        server = Server()
        if publishes:
            server.publishing()
        try:
            server.client.receive_data(data)
        except ProtocolError:
            assert server.client.state is ClientState.CLOSED
