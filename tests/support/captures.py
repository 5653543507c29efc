"""The wire captures in ``tests/captures``, and a client that says again what was captured, with another key."""

from __future__ import annotations

import socket
import struct
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parents[1] / "captures"
NAMES = sorted(path.name.removesuffix(".publish.bin") for path in FOLDER.glob("*.publish.bin"))

# RTMP 1.0 section 5.2: C0 and C1, and then C2; the answers S0, S1, S2 are as long.
C0_C1_BYTES, C2_BYTES = 1 + 1536, 1536
HANDSHAKE_BYTES = C0_C1_BYTES + C2_BYTES


@dataclass(frozen=True)
class Capture:
    """One client's publish, from C0 to its end of file."""

    name: str
    stream_key: str
    data: bytes

    @classmethod
    def load(cls, name: str) -> Self:
        """Read the capture called ``name``."""
        facts = tomllib.loads((FOLDER / f"{name}.publish.toml").read_text())
        return cls(name, facts["stream_key"], (FOLDER / f"{name}.publish.bin").read_bytes())

    @property
    def media_offset(self) -> int:
        """Where ``publish`` ends and what the client sends once it is live begins."""
        body = self.data.index(_amf0_string("publish"))
        return body + self._body_bytes(body)

    def with_key(self, stream_key: str) -> Self:
        """The same publish under another key.

        Only for captures whose login fits one chunk a message, as OBS's does with its chunk size of 4096.
        """
        data = bytearray(self.data)
        old, new = _amf0_string(self.stream_key), _amf0_string(stream_key)
        for command in ("releaseStream", "FCPublish", "publish", "FCUnpublish"):
            body = data.index(_amf0_string(command))
            length_offset = self._length_offset(data, body)
            length = int.from_bytes(data[length_offset : length_offset + 3], "big")
            key_offset = data.index(old, body, body + length)
            data[key_offset : key_offset + len(old)] = new
            data[length_offset : length_offset + 3] = (length + len(new) - len(old)).to_bytes(3, "big")
        return replace(self, stream_key=stream_key, data=bytes(data))

    def _body_bytes(self, body: int) -> int:
        offset = self._length_offset(self.data, body)
        return int.from_bytes(self.data[offset : offset + 3], "big")

    @staticmethod
    def _length_offset(data: bytes | bytearray, body: int) -> int:
        """Where the message length stands in the chunk header that ends at ``body``.

        Spec: RTMP 1.0 sections 5.3.1.2.1 and 5.3.1.2.2: a type 0 header has the message stream id (4 bytes)
        after length (3) and type (1), a type 1 header ends with those two.
        """
        command_message = 20
        for length_offset in (body - 4, body - 8):
            if data[length_offset + 3] == command_message:
                return length_offset
        raise ValueError("no message header of type 0 or 1 stands before this body")


def _amf0_string(text: str) -> bytes:
    """AMF0 section 2.4: marker 2, 16-bit length, UTF-8."""
    encoded = text.encode()
    return struct.pack(">BH", 2, len(encoded)) + encoded


class ReplayingClient:
    """A bare socket to an RTMP server, which says a capture as far as a test wants.

    Args:
        port: The server's, on loopback.
        capture: What to say.
    """

    def __init__(self, port: int, capture: Capture) -> None:
        self._capture = capture
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.received = b""
        """Everything that the server has said so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def handshake(self) -> None:
        """Exchange C0, C1, C2 for S0, S1, S2."""
        data = self._capture.data
        self.send(data[:C0_C1_BYTES])
        self.read_until(lambda received: len(received) >= HANDSHAKE_BYTES)
        self.send(data[C0_C1_BYTES:HANDSHAKE_BYTES])

    def log_in(self) -> None:
        """Handshake, connect, createStream, publish; return when the server has let it in.

        Raises:
            AssertionError: It has not.
        """
        self.handshake()
        self.send(self._capture.data[HANDSHAKE_BYTES : self._capture.media_offset])
        self.read_until(lambda received: b"NetStream.Publish.Start" in received)

    def send_media(self, count: int | None = None) -> None:
        """Send the first ``count`` bytes of what follows ``publish``; all of it, goodbye included, without one."""
        media = self._capture.data[self._capture.media_offset :]
        self.send(media[:count])

    def read_until(self, satisfied: Callable[[bytes], bool]) -> None:
        while not satisfied(self.received):
            data = self._socket.recv(65536)
            assert data, f"the server closed the connection after {self.received[HANDSHAKE_BYTES:]!r}"
            self.received += data

    def read_to_end(self, timeout_s: float) -> bytes:
        """Read until the server closes the connection, by FIN or RST.

        Raises:
            TimeoutError: It does not.
        """
        self._socket.settimeout(timeout_s)
        try:
            while data := self._socket.recv(65536):
                self.received += data
        except ConnectionResetError:
            pass
        return self.received
