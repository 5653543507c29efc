"""The client's side of the handshake, RTMP 1.0 section 5.2."""

from __future__ import annotations

import pytest

from streamd.errors import HandshakeError
from streamd.formats.rtmp.client_handshake import ClientHandshake
from streamd.formats.rtmp.handshake import PACKET_BYTES, ServerHandshake

NONCE = b"n" * 16


class TestHandshake:
    """RTMP 1.0 section 5.2."""

    @pytest.mark.parametrize("piece", [1, 100, 1537, 5000])
    def test_our_server_takes_it_however_it_is_cut(self, piece: int) -> None:
        client, server = ClientHandshake(NONCE), ServerHandshake(b"s" * 16)
        said = server.receive_data(client.opening) + b"next"
        c2 = b"".join(client.receive_data(said[at : at + piece]) for at in range(0, len(said) - 4, piece))
        assert len(c2) == PACKET_BYTES
        server.receive_data(c2)
        assert server.is_done
        assert client.is_done
        assert client.held_bytes == 0

    def test_c1_begins_with_its_time_and_zeros(self) -> None:
        opening = ClientHandshake(NONCE).opening
        assert len(opening) == 1 + PACKET_BYTES
        assert opening[:9] == b"\x03" + bytes(8)

    def test_c2_echoes_s1(self) -> None:
        s1 = bytes(8) + b"\x5a" * (PACKET_BYTES - 8)
        assert ClientHandshake(NONCE).receive_data(b"\x03" + s1) == s1

    def test_bytes_behind_s2_are_handed_on(self) -> None:
        client = ClientHandshake(NONCE)
        client.receive_data(b"\x03" + bytes(2 * PACKET_BYTES) + b"chunks")
        assert client.trailing_data == b"chunks"

    @pytest.mark.parametrize("first", [b"H", b"\x06", b"\x15"])
    def test_a_server_of_another_protocol_is_told_by_its_first_byte(self, first: bytes) -> None:
        with pytest.raises(HandshakeError, match="does not speak RTMP"):
            ClientHandshake(NONCE).receive_data(first)
