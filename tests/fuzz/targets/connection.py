"""A publisher's connection after its handshake: commands, data, media; events, or a ``ProtocolError`` and its end."""

from __future__ import annotations

from streamd.errors import KeyRejectedError, ProtocolError
from streamd.formats.amf.values import Limits
from streamd.formats.flv.tag import FlvTag
from streamd.formats.rtmp.chunk import ChunkLimits
from streamd.formats.rtmp.connection import ServerConnection
from streamd.formats.rtmp.connection_options import ConnectionOptions
from streamd.formats.rtmp.events import Connected, ConnectionEvent, MessageDropped, PublishRequested
from streamd.formats.rtmp.state import State
from streamd.services.keys.stream_key import StreamKey
from tests.support.captures import HANDSHAKE_BYTES, NAMES, Capture
from tests.support.rtmp_wire import SIMPLE_HANDSHAKE, command, control, data, message

OPTIONS = ConnectionOptions(
    command_bytes_max=1000,
    pending_bytes_max=5000,
    chunk_limits=ChunkLimits(message_bytes_max=6000, chunk_streams_max=4, held_bytes_max=10_000),
    amf_limits=Limits(amf_depth_max=8, amf_values_max=200, amf_string_bytes_max=500),
)
CAPTURE_BYTES = 3000
# What we may be made to say for each byte that the peer says: the longest answer over the shortest question.
ANSWER_BYTES_MAX = 64
ANSWER_BYTES_FREE = 4096
# What a stranger says, our answers to it, and the address twice over.
STRANGER_BYTES_MAX = OPTIONS.pending_bytes_max + HANDSHAKE_BYTES + ANSWER_BYTES_FREE + 64 * 1024
REFUSES = 0x80


def seeds() -> list[bytes]:
    """Each begins with how it is cut, and whether the key is good."""
    captures = [Capture.load(name).data[HANDSHAKE_BYTES:][:CAPTURE_BYTES] for name in NAMES]
    login = command("connect", 1, {"app": "live/key", "tcUrl": "rtmp://h/live", "capsEx": 1.0, "objectEncoding": 3.0})
    publish = command("publish", 3, None, "key", "live", message_stream_id=1)
    tag = b"\x17\x01\x00\x00\x00xyz"
    aggregate = bytes((9, 0, 0, len(tag), 0, 0, 5, 0, 0, 0, 0)) + tag + (len(tag) + 11).to_bytes(4, "big")
    made = [
        publish,
        login + login,
        login + publish + publish,
        login + command("createStream", 2, None) + publish + data("@setDataFrame", "onMetaData", {"width": 1.0}),
        login + publish + message(22, aggregate) + message(18, b"\x02\x00\x01a") + message(15, b"\x00\x02\x00\x01a"),
        login + message(17, b"\x00\x02\x00\x07publish\x00" + bytes(8) + b"\x05\x02\x00\x01k"),
        login + control(4, b"\x00\x06\x00\x00\x00\x01") + control(5, bytes(4)) + control(6, bytes(5)) + control(3, b""),
        login + command("play", 5, None, "x") + command("FCPublish", 6, None, "x") + command("nonsense", 7),
        login + publish + command("FCUnpublish", 8, None, "key") + command("deleteStream", 9, None, 1.0) + publish,
    ]
    return [bytes((index * 37 % 256,)) + each for index, each in enumerate([*captures, *made])]


def run(data: bytes) -> None:
    """Args: data: How the rest is cut and whether keys are refused (high bit), and what follows the handshake."""
    head, said = data[0] if data else 0, data[1:]
    size = (head & ~REFUSES) * 8 + 1
    pieces = [said[start : start + size] for start in range(0, len(said), size)]
    feed(ServerConnection(nonce=bytes(16), options=OPTIONS), [SIMPLE_HANDSHAKE, *pieces], refuses=bool(head & REFUSES))


def feed(connection: ServerConnection, pieces: list[bytes], *, refuses: bool = False) -> None:
    """Feed a connection as its owner does, to its end."""
    sent_bytes = 0
    try:
        for piece in pieces:
            _look_at(connection.receive_data(piece))
            assert not connection.is_stranger or connection.held_bytes <= STRANGER_BYTES_MAX
            connection.raise_fault()
            while connection.state is State.PUBLISH_PENDING:
                if refuses:
                    connection.reject(KeyRejectedError("unknown"))
                else:
                    _look_at(connection.accept())
                    connection.raise_fault()
            sent_bytes += len(connection.data_to_send())
    except ProtocolError:
        assert connection.state is State.CLOSED
    if connection.state is State.CLOSED:
        assert connection.receive_data(b"more") == []
    assert sent_bytes <= ANSWER_BYTES_FREE + ANSWER_BYTES_MAX * connection.bytes_received


def _look_at(events: list[ConnectionEvent]) -> None:
    for event in events:
        match event:
            case Connected():
                assert len(event.flash_version) <= 128
            case PublishRequested():
                key = event.find_key(StreamKey.has_form)
                assert not key or key not in repr(event) or len(key) < 8
            case FlvTag():
                assert event.tag_type in (8, 9, 18)
            case MessageDropped():
                assert 0 <= event.type_id < 256
            case _:
                pass
