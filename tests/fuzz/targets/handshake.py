"""RTMP's handshake: a whole answer and what follows it, or ``HandshakeError``; the same however the bytes are cut."""

from __future__ import annotations

from streamd.errors import HandshakeError
from streamd.formats.rtmp.handshake import PACKET_BYTES, Schema, ServerHandshake, sign
from tests.support.rtmp_wire import HANDSHAKE_BYTES, SIMPLE_HANDSHAKE

CLIENT_KEY = b"Genuine Adobe Flash Player 001"


def seeds() -> list[bytes]:
    c1 = bytes(4) + b"\x80\x00\x07\x02" + bytes(PACKET_BYTES - 8)
    digests = [b"\x03" + sign(c1, schema, CLIENT_KEY) + bytes(PACKET_BYTES) for schema in Schema]
    return [SIMPLE_HANDSHAKE + b"trailing", *digests, b"\x16\x03\x01", b"GET / HTTP/1.1\r\n", b"PROXY TCP4", b"\x06"]


def run(data: bytes) -> None:
    """Args: data: What a client says, all of it."""
    whole = _answer([data])
    half = len(data) // 2
    assert whole == _answer([data[:half], data[half:]])


def _answer(pieces: list[bytes]) -> tuple[str, bytes, bytes]:
    """How it ended, what was answered, and what is left for the chunk stream."""
    handshake = ServerHandshake(bytes(16))
    answer = b""
    for index, piece in enumerate(pieces):
        try:
            answer += handshake.receive_data(piece)
        except HandshakeError:
            return "refused", answer, b""
        if handshake.is_done:
            assert len(answer) == HANDSHAKE_BYTES
            return "done", answer, handshake.trailing_data + b"".join(pieces[index + 1 :])
    assert sum(map(len, pieces)) < HANDSHAKE_BYTES
    assert len(answer) in (0, HANDSHAKE_BYTES)
    return "waits", answer, b""
