"""What a client says below TLS, before and behind the handshake: heard whole, or its connection ends, and no other."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any, cast

from streamd.doors.tls.sliced import SlicedTls, SlicedTransport
from tests.support import certificates

PIECE_BYTES = 512
_TIMEOUT_S = 5.0


@functools.cache
def _server() -> ssl.SSLContext:
    with tempfile.TemporaryDirectory() as folder:
        cert, key = Path(folder) / "cert.pem", Path(folder) / "key.pem"
        cert.write_text(certificates.ONE.cert)
        key.write_text(certificates.ONE.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
    return context


@functools.cache
def _client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Plain(asyncio.Transport):
    """The plain connection below: its writes are kept, and nothing waits."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_over = False

    def write(self, data: Any) -> None:
        self.sent += bytes(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self.is_over

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        self.is_over = True

    def abort(self) -> None:
        self.is_over = True


# Asked for the kernel's room alone, of which it always has some.
_SOCKET = socket.socket()


class _Ear(asyncio.Protocol):
    def __init__(self) -> None:
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        self.heard += data


class Connection:
    """A connection to the server, in a running loop."""

    def __init__(self) -> None:
        self.plain, self.ear, self.tls = _Plain(), _Ear(), SlicedTls()
        through: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # What failed is looked at by nobody here.
        through.add_done_callback(lambda done: done.exception())
        self._transport = SlicedTransport(self.tls, _SOCKET, _server(), lambda: self.ear, through, _TIMEOUT_S)
        self._side = cast("asyncio.BufferedProtocol", self._transport.plain_side)
        self._side.connection_made(self.plain)

    def hear(self, data: bytes) -> None:
        """Take what comes, as the loop hands it over."""
        while data and not self.plain.is_over:
            buffer = cast("memoryview", self._side.get_buffer(-1))
            piece, data = data[: len(buffer)], data[len(buffer) :]
            buffer[: len(piece)] = piece
            self._side.buffer_updated(len(piece))
            assert not self.tls.incoming.pending
            assert not self.tls.outgoing.pending

    def end(self) -> None:
        """The socket is gone."""
        self._side.connection_lost(None)


class Client:
    """Its peer, which speaks TLS as it should."""

    def __init__(self) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = _client().wrap_bio(self.incoming, self.outgoing)

    def shake_hands(self, connection: Connection) -> None:
        for _ in range(4):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.ssl.do_handshake()
            connection.hear(self.outgoing.read())
            self.incoming.write(connection.plain.sent)
            connection.plain.sent = b""

    def records(self, data: bytes) -> bytes:
        """What it says, in records of as many bytes as each record's first byte says."""
        while data:
            size = max(1, data[0])
            self.ssl.write(data[:size])
            data = data[size:]
        return self.outgoing.read()


def seeds() -> list[bytes]:
    """Each begins with how it is said: as it is, behind a handshake, or in records of its own."""
    client = Client()
    with contextlib.suppress(ssl.SSLWantReadError):
        client.ssl.do_handshake()
    hello = client.outgoing.read()
    alert, change = b"\x15\x03\x03\x00\x02\x01\x00", b"\x14\x03\x03\x00\x01\x01"
    empty, broken = b"\x17\x03\x03\x00\x00", b"\x17\x03\x03\x00\x20" + bytes(32)
    ways = [b"\0" + hello, b"\0" + hello * 2, b"\0" + hello[:80], b"\0GET / HTTP/1.1\r\n\r\n", b"\0" + bytes(20)]
    ways += [b"\1" + each for each in (alert, change * 20, empty * 20, broken, b"\x17\x03\x03\xff\xff" + bytes(99))]
    return [*ways, b"\2" + b"\x01" * 40, b"\2" + b"\xffGET / HTTP/1.1\r\n" * 40]


def run(data: bytes) -> None:
    """Args: data: How it is said, and what."""
    asyncio.run(_run(data))


async def _run(data: bytes) -> None:
    connection = Connection()
    way, said = (data[0] % 3, data[1:]) if data else (0, b"")
    if way:
        client = Client()
        client.shake_hands(connection)
        assert not connection.plain.is_over
        if way == 2:
            wire = client.records(said)
            connection.hear(wire)
            # What says too little for its bytes ends the connection; all else is heard.
            assert connection.plain.is_over or connection.ear.heard == said
            connection.end()
            return
    connection.hear(said)
    assert not connection.ear.heard
    connection.end()
