"""The server's side of the RTMP handshake, simple and digest.

Spec: RTMP 1.0 (2012) section 5.2. The digest form is Adobe's of Flash Player 9 and was never specified;
what is here agrees with FFmpeg, SRS and gortmplib.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from dataclasses import dataclass

from streamd.errors import HandshakeError

VERSION = 3
PACKET_BYTES = 1536
"""Length of C1, S1, C2 and S2."""
_DIGEST_BYTES = 32

_CLIENT_KEY = b"Genuine Adobe Flash Player 001"
_SERVER_KEY = b"Genuine Adobe Flash Media Server 001"
# The 32 bytes that the keys of C2 and S2 have after their text.
_KEY_TAIL = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
# Any version but 0 says that S1 has a digest; from 3.0 on FFmpeg looks for one. This one is FMS's.
_SERVER_VERSION = bytes((4, 5, 0, 1))

# Other protocols that come to port 1935. None of them is RTMP: the first byte would be 3.
_FOREIGN_OPENINGS = (
    (b"\x16\x03", "a TLS handshake on the port for plain RTMP; use rtmp:// here, or the port for rtmps://"),
    (b"GET ", "an HTTP request on the RTMP port"),
    (b"POST ", "an HTTP request on the RTMP port (RTMPT is not spoken)"),
    (b"HEAD ", "an HTTP request on the RTMP port"),
    (b"PUT ", "an HTTP request on the RTMP port"),
    (b"OPTIONS ", "an HTTP request on the RTMP port"),
    (b"CONNECT ", "an HTTP request on the RTMP port"),
    (b"PRI * HTTP/2", "an HTTP/2 connection on the RTMP port"),
    (b"PROXY ", "a PROXY protocol header, which is not expected on this port"),
    (b"\r\n\r\n\x00\r\nQUIT\n", "a PROXY protocol v2 header, which is not expected on this port"),
    (b"SSH-", "an SSH client on the RTMP port"),
    (b"RTSP/", "an RTSP message on the RTMP port"),
    (b"\x06", "RTMPE (version 6), which is not spoken; use rtmp:// or rtmps://"),
    (b"\x08", "RTMPE (version 8), which is not spoken; use rtmp:// or rtmps://"),
)


class Schema(enum.Enum):
    """The place of the digest in C1 and S1: the offset of the four bytes whose sum gives it."""

    DIGEST_FIRST = 8
    KEY_FIRST = 772

    def digest_offset(self, packet: bytes) -> int:
        """The place of the 32-byte digest in the 1536-byte ``packet``."""
        pointer = self.value
        # The digest lies in the 764-byte block that its pointer opens: 764 - 4 - 32 = 728 places for it.
        return pointer + 4 + sum(packet[pointer : pointer + 4]) % 728


@dataclass(frozen=True, slots=True)
class ClientDigest:
    """The digest that C1 carries, and in which layout."""

    schema: Schema
    digest: bytes


class ServerHandshake:
    """Answers one client's handshake.

    Args:
        nonce: Fresh random bytes, 16 or more; S1 and S2 are drawn from them.
    """

    def __init__(self, nonce: bytes) -> None:
        self._nonce = nonce
        self._received = b""
        self._has_answered = False
        self.is_done = False
        """C2 has come: what follows is the chunk stream."""
        self.trailing_data = b""
        """Once done: the bytes that came after C2."""

    @property
    def held_bytes(self) -> int:
        """Bytes that we hold of a packet that is not whole yet."""
        return len(self._received)

    def receive_data(self, data: bytes) -> bytes:
        """Take bytes of C0, C1 and C2.

        Returns:
            Bytes to send: S0, S1 and S2 in one piece when C1 is whole, else nothing.

        Raises:
            HandshakeError: The peer does not speak plain RTMP, version 3; the message says what it
                seems to speak. Raised at the first byte that rules RTMP out.
        """
        # At most 3073 bytes are ever held, so adding to them is cheap even one byte at a time.
        self._received += data
        answer = b""
        if not self._has_answered:
            _check_version(self._received)
            if len(self._received) < 1 + PACKET_BYTES:
                return b""
            answer = self._answer(self._received[1 : 1 + PACKET_BYTES])
            self._received = self._received[1 + PACKET_BYTES :]
            self._has_answered = True
        if len(self._received) >= PACKET_BYTES:
            # 5.2.4: C2 echoes S1, which would show that the peer has got S1. Encoders exist that
            # send anything here, and TCP has shown it already.
            self.is_done = True
            self.trailing_data = self._received[PACKET_BYTES:]
            self._received = b""
        return answer

    def _answer(self, c1: bytes) -> bytes:
        """S0, S1 and S2 for this C1."""
        randomness = hashlib.shake_256(self._nonce).digest(2 * PACKET_BYTES)
        client = find_digest(c1, _CLIENT_KEY)
        if client is None:
            # 5.2.3: four bytes of time (ours starts at 0), then "this field MUST be all 0s".
            s1 = bytes(8) + randomness[8:PACKET_BYTES]
            # 5.2.4: S2 echoes C1.
            return bytes((VERSION,)) + s1 + c1
        s1 = sign(bytes(4) + _SERVER_VERSION + randomness[8:PACKET_BYTES], client.schema, _SERVER_KEY)
        s2_body = randomness[PACKET_BYTES:-_DIGEST_BYTES]
        s2_key = _hmac(_SERVER_KEY + _KEY_TAIL, client.digest)
        return bytes((VERSION,)) + s1 + s2_body + _hmac(s2_key, s2_body)


def find_digest(packet: bytes, key: bytes) -> ClientDigest | None:
    """Find the digest in a C1 (or S1), trying both layouts.

    Args:
        packet: 1536 bytes.
        key: The sender's key, without the common tail.

    Returns:
        The digest, or None where the handshake is the simple one of the specification.
    """
    # 5.2.3: bytes 4 to 7 are zero; Flash Player 9 and its kin put their version there.
    if packet[4:8] == bytes(4):
        return None
    for schema in Schema:
        offset = schema.digest_offset(packet)
        digest = packet[offset : offset + _DIGEST_BYTES]
        if hmac.compare_digest(digest, _digest(packet, offset, key)):
            return ClientDigest(schema, digest)
    return None


def sign(packet: bytes, schema: Schema, key: bytes) -> bytes:
    """Put its digest into a 1536-byte S1 (or C1)."""
    offset = schema.digest_offset(packet)
    return packet[:offset] + _digest(packet, offset, key) + packet[offset + _DIGEST_BYTES :]


def _digest(packet: bytes, offset: int, key: bytes) -> bytes:
    """HMAC of the packet without the 32 bytes at ``offset``, where the digest itself belongs."""
    return _hmac(key, packet[:offset] + packet[offset + _DIGEST_BYTES :])


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _check_version(opening: bytes) -> None:
    """Raise unless ``opening`` starts, or may yet turn out to start, with C0 of version 3.

    Spec: RTMP 1.0 section 5.2.2: "A server that does not recognize the client's requested version
    SHOULD respond with 3"; no client exists that would then go on, so we close.
    """
    if not opening or opening[0] == VERSION:
        return
    for foreign, reason in _FOREIGN_OPENINGS:
        if opening.startswith(foreign):
            raise HandshakeError(f"this is {reason}")
        if foreign.startswith(opening):
            return
    raise HandshakeError(f"this is not RTMP: its first byte would be 3, and is {opening[0]}")
