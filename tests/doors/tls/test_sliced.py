"""TLS in slices over real sockets, on either loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, TypeAlias, cast

import pytest

from streamd.doors.tls.certificate import TlsCertificate
from streamd.doors.tls.sending import (
    KERNEL_BYTES_MAX,
    RECORD_BYTES_MAX,
    SHORT_RECORD_BYTES,
    bound_kernel_bytes,
    room_bytes,
)
from streamd.doors.tls.sliced import (
    READ_BYTES,
    SHORT_READ_BYTES,
    SILENT_BYTES_MAX,
    SILENT_READS_MAX,
    SlicedTls,
    SlicedTransport,
)
from tests.support.certificates import ONE
from tests.support.doors import LOOPS, until
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT.check_hostname = False
CLIENT.verify_mode = ssl.CERT_NONE

# What TLS adds to a record, at the most.
RECORD_OVERHEAD = 64


Test: TypeAlias = "Callable[[Entrance], Awaitable[None]]"
Run: TypeAlias = "Callable[[Test], None]"


class Peer(asyncio.Protocol):
    """The server's side of a connection."""

    def __init__(self) -> None:
        self.transport: SlicedTransport
        self.heard = b""
        self.events: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("SlicedTransport", transport)

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def eof_received(self) -> None:
        self.events.append("eof")

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")


class Entrance:
    def __init__(self, context: ssl.SSLContext) -> None:
        self.tls = SlicedTls()
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._writers: list[asyncio.StreamWriter] = []
        self._peers: list[Peer] = []

    async def accept(self, *, handshake_s: float = PATIENCE_S, shutdown_s: float = PATIENCE_S) -> Peer:
        sock, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        peer = Peer()
        self._peers.append(peer)
        await self.tls.accept(
            lambda: peer,
            sock,
            ssl=self._context,
            ssl_handshake_timeout=handshake_s,
            ssl_shutdown_timeout=shutdown_s,
        )
        return peer

    async def connect(
        self, *, shutdown_s: float = PATIENCE_S
    ) -> tuple[Peer, asyncio.StreamReader, asyncio.StreamWriter]:
        """Both sides of a connection."""
        peer, (reader, writer) = await asyncio.gather(
            self.accept(shutdown_s=shutdown_s),
            asyncio.open_connection("127.0.0.1", self.port, ssl=CLIENT, server_hostname="localhost"),
        )
        self._writers.append(writer)
        return peer, reader, writer

    async def connect_to(self, protocol: asyncio.BaseProtocol) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The client's side of a connection with a protocol of another kind."""
        sock_accept = asyncio.get_running_loop().sock_accept(self._listener)
        connecting = asyncio.create_task(
            asyncio.open_connection("127.0.0.1", self.port, ssl=CLIENT, server_hostname="localhost")
        )
        sock, _ = await sock_accept
        await self.tls.accept(
            lambda: protocol,
            sock,
            ssl=self._context,
            ssl_handshake_timeout=PATIENCE_S,
            ssl_shutdown_timeout=PATIENCE_S,
        )
        reader, writer = await connecting
        self._writers.append(writer)
        return reader, writer

    async def connect_plain(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self._writers:
            # Python 3.11.2 aborts no transport that is closed already.
            with contextlib.suppress(AttributeError):
                writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        for peer in self._peers:
            if hasattr(peer, "transport"):
                peer.transport.abort()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not self.tls.incoming.pending
        assert not self.tls.outgoing.pending
        self._listener.close()


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a test on either loop."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text(ONE.cert)
    key.write_text(ONE.key)
    context = TlsCertificate(cert, key, ()).context

    def run_on(test: Test) -> None:
        async def main() -> None:
            entrance = Entrance(context)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await test(entrance)
            finally:
                await entrance.close()

        LOOPS[request.param](main())

    return run_on


def stop(writer: asyncio.StreamWriter) -> None:
    """Have the client take nothing more."""
    cast("asyncio.Transport", writer.transport).pause_reading()


def body(size: int) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


@pytest.mark.parametrize("size", [1, RECORD_BYTES_MAX - 1, RECORD_BYTES_MAX, RECORD_BYTES_MAX + 1, 3_000_000])
def test_what_is_said_is_heard_on_both_sides(run: Run, size: int) -> None:
    async def test(entrance: Entrance) -> None:
        peer, reader, writer = await entrance.connect()
        writer.write(body(size))
        await until(lambda: len(peer.heard) == size)
        assert peer.heard == body(size)
        peer.transport.write(body(size))
        assert await reader.readexactly(size) == body(size)
        writer.close()

    run(test)


@pytest.mark.parametrize("cuts", [(10, 20_000), (16_384, 1), (1,) * 300, (40_000, 3, 16_383, 50_000)])
def test_pieces_arrive_as_one(run: Run, cuts: tuple[int, ...]) -> None:
    async def test(entrance: Entrance) -> None:
        peer, reader, writer = await entrance.connect()
        whole = body(sum(cuts))
        pieces, start = [], 0
        for cut in cuts:
            pieces.append(memoryview(whole)[start : start + cut])
            start += cut
        peer.transport.writelines(pieces)
        assert await reader.readexactly(len(whole)) == whole
        writer.close()

    run(test)


def test_a_peer_that_takes_nothing_has_a_short_record_of_its_own_and_what_is_shared(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        peer, reader, writer = await entrance.connect()
        stop(writer)
        peer.transport.set_write_buffer_limits(high=1)
        shared = bytes(8_000_000)
        for _ in range(10):
            peer.transport.write(shared)
        await until(lambda: peer.transport.unsent_bytes > 0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert 0 < peer.transport.unsent_bytes <= SHORT_RECORD_BYTES + RECORD_OVERHEAD
        assert peer.transport.unsent_bytes <= peer.transport.own_bytes() <= SHORT_RECORD_BYTES + RECORD_OVERHEAD
        assert peer.transport.get_write_buffer_size() > 60_000_000
        assert {
            id(piece.obj if isinstance(piece, memoryview) else piece)
            for piece in peer.transport._sending._backlog.pieces
        } == {id(shared)}
        assert peer.events == ["pause"]
        cast("asyncio.Transport", writer.transport).resume_reading()
        assert await reader.readexactly(80_000_000) == bytes(80_000_000)
        await until(lambda: peer.events == ["pause", "resume"])
        assert peer.transport.get_write_buffer_size() == peer.transport.own_bytes() == 0
        writer.close()

    run(test)


def test_small_writes_stay_behind_a_large_one(run: Run) -> None:
    """A write of one record goes out at once, unless something waits before it."""

    async def test(entrance: Entrance) -> None:
        peer, reader, writer = await entrance.connect()
        peer.transport.write(b"first")
        assert await reader.readexactly(5) == b"first"
        stop(writer)
        large = bytes(8_000_000)
        peer.transport.write(large)
        assert peer.transport.get_write_buffer_size() > 0
        for piece in (b"a", b"", b"bc"):
            peer.transport.write(piece)
        cast("asyncio.Transport", writer.transport).resume_reading()
        assert await reader.readexactly(len(large) + 3) == large + b"abc"
        peer.transport.write(b"last")
        assert await reader.readexactly(4) == b"last"
        peer.transport.close()
        peer.transport.write(b"dropped")
        assert await reader.read() == b""

    run(test)


def test_one_that_stops_again_and_again_never_has_more(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        peer, reader, writer = await entrance.connect()
        peer.transport.set_write_buffer_limits(high=1)
        client = cast("asyncio.Transport", writer.transport)
        left = 60_000_000
        peer.transport.write(bytes(left))
        while left:
            stop(writer)
            for _ in range(20):
                await asyncio.sleep(0)
            assert peer.transport.own_bytes() <= RECORD_BYTES_MAX + RECORD_OVERHEAD
            client.resume_reading()
            taken = min(left, 3_333_333)
            assert await reader.readexactly(taken) == bytes(taken)
            left -= taken
        writer.close()

    run(test)


def test_whom_the_kernel_has_room_for_is_sent_several_records_at_once(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        peer, reader, writer = await entrance.connect()
        peer.transport.write(bytes(10 * RECORD_BYTES_MAX))
        assert peer.transport._sending._slice_bytes > RECORD_BYTES_MAX
        assert await reader.readexactly(10 * RECORD_BYTES_MAX) == bytes(10 * RECORD_BYTES_MAX)
        writer.close()

    run(test)


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="Linux and macOS have it")
def test_the_kernel_holds_little_for_a_peer_that_takes_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bound_kernel_bytes(listener)
        with socket.create_connection(listener.getsockname()) as peer:
            accepted, _ = listener.accept()
            with accepted:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                accepted.setblocking(False)
                taken = 0
                with contextlib.suppress(BlockingIOError):
                    while taken < 8_000_000:
                        taken += accepted.send(bytes(RECORD_BYTES_MAX))
                # The peer's window, under way, is as much again at the most.
                assert KERNEL_BYTES_MAX <= taken < 4 * KERNEL_BYTES_MAX
                assert room_bytes(accepted) <= 0


def test_where_the_kernel_says_nothing_a_record_is_sent_at_a_time(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # An option that no socket has.
    monkeypatch.setattr("streamd.doors.tls.sending._SIOCOUTQNSD", 0x89FF)

    async def test(entrance: Entrance) -> None:
        peer, reader, writer = await entrance.connect()
        peer.transport.write(bytes(10 * RECORD_BYTES_MAX))
        assert peer.transport._sending._slice_bytes <= RECORD_BYTES_MAX + RECORD_OVERHEAD
        assert await reader.readexactly(10 * RECORD_BYTES_MAX) == bytes(10 * RECORD_BYTES_MAX)
        writer.close()

    run(test)


def test_who_asks_not_to_hear_hears_it_later(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        peer, _, writer = await entrance.connect()
        peer.transport.pause_reading()
        writer.write(body(100_000))
        for _ in range(50):
            await asyncio.sleep(0)
        assert peer.heard == b""
        peer.transport.resume_reading()
        await until(lambda: len(peer.heard) == 100_000)
        assert peer.heard == body(100_000)
        writer.close()

    run(test)


def test_a_connection_closes_when_all_is_sent_and_says_so(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        peer, reader, writer = await entrance.connect()
        peer.transport.write(body(5_000_000))
        peer.transport.close()
        assert peer.transport.is_closing()
        peer.transport.write(b"too late")
        # Without a close_notify this would raise.
        assert await reader.read(-1) == body(5_000_000)
        writer.close()
        await until(lambda: "lost" in peer.events)
        assert "eof" not in peer.events

    run(test)


def test_a_peer_that_closes_is_noticed(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        peer, _, writer = await entrance.connect()
        writer.close()
        await until(lambda: peer.events == ["eof", "lost"])

    run(test)


def test_a_peer_that_leaves_its_side_open_is_closed_in_time(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        peer, _, writer = await entrance.connect(shutdown_s=0.05)
        stop(writer)
        peer.transport.close()
        await until(lambda: peer.events == ["lost"])
        writer.close()

    run(test)


def test_a_peer_that_takes_nothing_when_we_close_is_closed_in_time(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        peer, _, writer = await entrance.connect(shutdown_s=0.05)
        stop(writer)
        peer.transport.write(bytes(50_000_000))
        await until(lambda: peer.transport.unsent_bytes > 0)
        peer.transport.close()
        await until(lambda: peer.events[-1] == "lost")
        assert peer.transport.get_write_buffer_size() == 0
        writer.close()

    run(test)


def test_another_protocol_goes_on(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        first, _, writer = await entrance.connect()
        second = Peer()
        first.transport.set_protocol(second)
        assert first.transport.get_protocol() is second
        writer.write(b"hello")
        await until(lambda: second.heard == b"hello")
        writer.close()
        await until(lambda: second.events == ["eof", "lost"])
        assert not first.events

    run(test)


def test_a_handshake_has_its_time(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        reader, writer = await entrance.connect_plain()
        with pytest.raises(ConnectionAbortedError):
            await entrance.accept(handshake_s=0.05)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()

    run(test)


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b""])
def test_what_is_no_handshake_fails_and_harms_nobody(run: Run, said: bytes) -> None:
    async def test(entrance: Entrance) -> None:
        peer, reader, writer = await entrance.connect()
        _, stranger = await entrance.connect_plain()
        stranger.write(said)
        stranger.write_eof()
        with pytest.raises(OSError, match=r".") as raised:
            await entrance.accept()
        assert not isinstance(raised.value, ConnectionAbortedError)
        peer.transport.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        stranger.close()
        writer.close()

    run(test)


def test_a_broken_record_ends_that_connection_alone(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        other, reader, other_writer = await entrance.connect()
        accepting = asyncio.create_task(entrance.accept())
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = CLIENT.wrap_bio(incoming, outgoing)
        raw_reader, raw_writer = await entrance.connect_plain()
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw_writer.write(outgoing.read())
                incoming.write(await raw_reader.read(65536))
        raw_writer.write(outgoing.read())
        broken = await accepting
        client.write(b"never heard")
        record = bytearray(outgoing.read())
        record[-1] ^= 1
        raw_writer.write(bytes(record))
        await until(lambda: "lost" in broken.events)
        assert broken.heard == b""
        other_writer.write(b"hello")
        await until(lambda: other.heard == b"hello")
        other.transport.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        raw_writer.close()
        other_writer.close()

    run(test)


def test_who_sends_records_and_says_hardly_anything_is_closed(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        peer, _, writer = await entrance.connect()
        count = 0
        while "lost" not in peer.events:
            writer.write(b"x")
            count += 1
            await asyncio.sleep(0)
        assert len(peer.heard) < SILENT_BYTES_MAX // 10
        writer.close()

    run(test)


def test_while_many_say_nothing_everybody_is_read_little(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        peer, _, writer = await entrance.connect()
        for _ in range(SILENT_READS_MAX):
            assert len(entrance.tls.get_buffer()) == READ_BYTES
            entrance.tls.note_silent_read()
        assert len(entrance.tls.get_buffer()) == SHORT_READ_BYTES
        writer.write(body(10_000))
        await until(lambda: len(peer.heard) == 10_000)
        await until(lambda: len(entrance.tls.get_buffer()) == READ_BYTES)

    run(test)


def test_long_records_are_heard_piece_by_piece(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        peer, _, writer = await entrance.connect()
        for _ in range(20):
            writer.write(body(RECORD_BYTES_MAX))
        await until(lambda: len(peer.heard) == 20 * RECORD_BYTES_MAX)
        writer.close()

    run(test)


def test_after_a_full_read_the_others_have_their_turn(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        peer, _, writer = await entrance.connect()
        longest = 0

        class Ear(Peer):
            def data_received(self, data: bytes) -> None:
                nonlocal longest
                longest = max(longest, len(data))
                super().data_received(data)

        ear = Ear()
        peer.transport.set_protocol(ear)
        # Small records, so that a read holds many.
        for _ in range(2000):
            writer.write(body(500))
        await until(lambda: len(ear.heard) == 1_000_000)
        assert longest <= READ_BYTES
        writer.close()

    run(test)


class Encoder(asyncio.BufferedProtocol):
    """A protocol that says where it wants its bytes, as that of RTMP does."""

    def __init__(self, size: int, reads_max: int, *, aborts: bool = False) -> None:
        self.transport: SlicedTransport
        self.heard = b""
        self.reads: list[int] = []
        self._aborts = aborts
        self._buffer = bytearray(size)
        self._reads_max = reads_max

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("SlicedTransport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        assert self.transport.is_reading()
        return memoryview(self._buffer)

    def buffer_updated(self, nbytes: int) -> None:
        assert self.transport.is_reading()
        self.heard += self._buffer[:nbytes]
        self.reads.append(nbytes)
        if self._aborts:
            self.transport.abort()
        elif len(self.reads) % self._reads_max == 0:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)


@pytest.mark.parametrize(("size", "reads_max"), [(16_384, 1000), (1000, 1000), (1000, 1), (7, 3)])
@pytest.mark.parametrize("is_large", [False, True])
def test_a_protocol_with_a_buffer_hears_the_same(run: Run, size: int, reads_max: int, is_large: bool) -> None:
    async def test(entrance: Entrance) -> None:
        encoder = Encoder(size, reads_max)
        _, writer = await entrance.connect_to(encoder)
        encoder.transport.set_read_buffer_limits(None if is_large else 32_768)
        said = body(40_000)
        writer.write(said)
        await until(lambda: len(encoder.heard) == len(said))
        assert encoder.heard == said
        assert max(encoder.reads) <= size

    run(test)


@pytest.mark.parametrize("is_large", [False, True])
def test_much_is_read_at_once_of_a_peer_that_is_trusted_alone(run: Run, is_large: bool) -> None:
    async def test(entrance: Entrance) -> None:
        encoder = Encoder(256 * 1024, 1000)
        _, writer = await entrance.connect_to(encoder)
        encoder.transport.set_read_buffer_limits(None if is_large else 32_768)
        encoder.transport.pause_reading()
        writer.write(bytes(200_000))
        # The client's side is through when the kernel has most of it.
        await asyncio.sleep(0.05)
        encoder.transport.resume_reading()
        await until(lambda: len(encoder.heard) == 200_000)
        # A record is heard when the last of it has come.
        assert (max(encoder.reads) > RECORD_BYTES_MAX) == is_large

    run(test)


def test_the_last_that_a_peer_says_is_heard_although_it_waits(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        encoder = Encoder(100, 1)
        _, writer = await entrance.connect_to(encoder)
        writer.write(bytes(3000))
        writer.close()
        await until(lambda: encoder.transport.is_closing())
        assert len(encoder.heard) == 3000

    run(test)


def test_nothing_is_told_to_a_protocol_with_a_buffer_that_has_closed(run: Run) -> None:
    async def test(entrance: Entrance) -> None:
        encoder = Encoder(100, 1000, aborts=True)
        _, writer = await entrance.connect_to(encoder)
        writer.write(bytes(2000))
        await until(lambda: bool(encoder.reads))
        assert encoder.reads == [100]

    run(test)
