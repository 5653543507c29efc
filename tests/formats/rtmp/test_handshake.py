from __future__ import annotations

import hmac

import pytest

from streamd.errors import HandshakeError
from streamd.formats.rtmp.handshake import PACKET_BYTES, ClientDigest, Schema, ServerHandshake, find_digest, sign
from tests.support.delivery import ODD_SIZES, pieces

NONCE = bytes(range(16))
CLIENT_KEY = b"Genuine Adobe Flash Player 001"
SERVER_KEY = b"Genuine Adobe Flash Media Server 001"
KEY_TAIL = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
# Flash 9.0.124.2, as FFmpeg says.
CLIENT_VERSION = bytes((9, 0, 124, 2))

SIMPLE_C1 = bytes(8) + bytes(range(256)) * 5 + bytes(248)
C2 = b"\xcc" * PACKET_BYTES


def digest_c1(schema: Schema, filler: int = 0x5A) -> bytes:
    return sign(bytes(4) + CLIENT_VERSION + bytes((filler,)) * 1528, schema, CLIENT_KEY)


def shake(data: bytes, size: int = 0) -> tuple[ServerHandshake, bytes]:
    handshake = ServerHandshake(NONCE)
    answer = b"".join(handshake.receive_data(piece) for piece in pieces(data, size or len(data)))
    return handshake, answer


class TestSimple:
    """RTMP 1.0 section 5.2."""

    @pytest.mark.parametrize("size", [0, 1, *ODD_SIZES])
    def test_s0_s1_s2_answer_c0_c1(self, size: int) -> None:
        handshake, answer = shake(b"\x03" + SIMPLE_C1 + C2, size)
        assert handshake.is_done
        s0, s1, s2 = answer[:1], answer[1:1537], answer[1537:]
        assert s0 == b"\x03"
        assert s1[:8] == bytes(8)
        assert len(set(s1[8:])) > 200
        assert s2 == SIMPLE_C1

    def test_the_answer_comes_when_c1_is_whole_and_in_one_piece(self) -> None:
        handshake = ServerHandshake(NONCE)
        assert handshake.receive_data(b"\x03" + SIMPLE_C1[:-1]) == b""
        assert len(handshake.receive_data(SIMPLE_C1[-1:])) == 1 + 2 * PACKET_BYTES
        assert not handshake.is_done
        assert handshake.receive_data(C2[:-1]) == b""
        assert not handshake.is_done
        assert handshake.receive_data(C2[-1:]) == b""
        assert handshake.is_done

    def test_what_follows_c2_is_handed_on(self) -> None:
        handshake, _ = shake(b"\x03" + SIMPLE_C1 + C2 + b"chunks")
        assert handshake.trailing_data == b"chunks"

    def test_any_c2_will_do(self) -> None:
        handshake, _ = shake(b"\x03" + SIMPLE_C1 + bytes(PACKET_BYTES))
        assert handshake.is_done

    def test_another_nonce_gives_another_s1(self) -> None:
        answers = [ServerHandshake(nonce).receive_data(b"\x03" + SIMPLE_C1) for nonce in (NONCE, bytes(16))]
        assert answers[0] != answers[1]

    def test_a_version_without_a_digest_is_answered_simply(self) -> None:
        c1 = bytes(4) + CLIENT_VERSION + bytes(1528)
        _, answer = shake(b"\x03" + c1)
        assert answer[1537:] == c1


class TestDigest:
    """Flash Player 9's handshake."""

    @pytest.mark.parametrize("schema", Schema)
    @pytest.mark.parametrize("filler", [0x00, 0x5A, 0xFF])
    def test_the_digest_is_found_in_both_layouts(self, schema: Schema, filler: int) -> None:
        found = find_digest(digest_c1(schema, filler), CLIENT_KEY)
        assert found is not None
        assert found.schema is schema

    @pytest.mark.parametrize("schema", Schema)
    def test_s1_is_signed_in_the_client_s_layout_and_s2_with_its_digest(self, schema: Schema) -> None:
        c1 = digest_c1(schema)
        client = find_digest(c1, CLIENT_KEY)
        assert client is not None
        _, answer = shake(b"\x03" + c1)
        s1, s2 = answer[1:1537], answer[1537:]
        assert s1[4] >= 3
        server = find_digest(s1, SERVER_KEY)
        assert isinstance(server, ClientDigest)
        assert server.schema is schema
        key = hmac.digest(SERVER_KEY + KEY_TAIL, client.digest, "sha256")
        assert s2[-32:] == hmac.digest(key, s2[:-32], "sha256")

    @pytest.mark.parametrize(
        ("schema", "pointer", "offset"),
        [
            (Schema.DIGEST_FIRST, 0x00, 12),
            (Schema.DIGEST_FIRST, 0xFF, 12 + 1020 % 728),
            (Schema.KEY_FIRST, 0x00, 776),
            (Schema.KEY_FIRST, 0xFF, 776 + 1020 % 728),
        ],
    )
    def test_its_place_is_the_sum_of_four_bytes(self, schema: Schema, pointer: int, offset: int) -> None:
        assert schema.digest_offset(bytes((pointer,)) * PACKET_BYTES) == offset

    def test_a_digest_that_does_not_fit_is_none(self) -> None:
        c1 = bytearray(digest_c1(Schema.DIGEST_FIRST))
        c1[-1] ^= 1
        assert find_digest(bytes(c1), CLIENT_KEY) is None


class TestOtherProtocols:
    """People and scanners send anything to port 1935."""

    @pytest.mark.parametrize(
        ("opening", "reason"),
        [
            (bytes.fromhex("16030102"), "TLS"),
            (b"GET / HTTP/1.1\r\n", "HTTP request"),
            (b"POST /open/1 HTTP/1.1\r\n", "RTMPT"),
            (b"HEAD / HTTP/1.0", "HTTP request"),
            (b"PUT /x HTTP/1.1", "HTTP request"),
            (b"OPTIONS * HTTP/1.1", "HTTP request"),
            (b"CONNECT a:1 HTTP/1.1", "HTTP request"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY protocol header"),
            (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c", "PROXY protocol v2"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
            (b"\x06" + bytes(1536), "RTMPE"),
            (b"\x08" + bytes(1536), "RTMPE"),
            (b"\x00", "not RTMP"),
            (b"\x04", "not RTMP"),
            (b"\x16\x02", "not RTMP"),
            (b"PUSH", "not RTMP"),
            (b"\xff" * 2000, "first byte would be 3, and is 255"),
        ],
    )
    @pytest.mark.parametrize("size", [0, 1])
    def test_are_named_and_refused(self, opening: bytes, reason: str, size: int) -> None:
        with pytest.raises(HandshakeError, match=reason):
            shake(opening, size)

    def test_are_refused_at_the_first_byte_that_tells(self) -> None:
        handshake = ServerHandshake(NONCE)
        assert handshake.receive_data(b"G") == b""
        with pytest.raises(HandshakeError, match="not RTMP"):
            handshake.receive_data(b"O")

    def test_nothing_is_no_protocol_yet(self) -> None:
        assert ServerHandshake(NONCE).receive_data(b"") == b""
