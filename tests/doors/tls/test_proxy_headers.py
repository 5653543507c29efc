from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest

from streamd.doors.tls import proxy_headers
from streamd.doors.tls.certificate import TlsCertificate
from streamd.doors.tls.handshakes import HandshakeLimits, TlsEntry, TlsHandshakes
from streamd.doors.tls.proxy_headers import LINES_PER_PROXY_MAX, ProxyHeaders
from tests.support.certificates import ONE
from tests.support.doors import LOOPS
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT.check_hostname = False
CLIENT.verify_mode = ssl.CERT_NONE
PROXY, ELSEWHERE = "127.0.0.1", "127.0.0.2"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 1935\r\n"
V2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xc8\x22\x07\x8f"
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"


class Echo(asyncio.BufferedProtocol):
    """Says who its peer is, and then what it is told."""

    def __init__(self) -> None:
        self._buffer = bytearray(65_536)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        address, port = transport.get_extra_info("peername")[:2]
        if address == PROXY:
            port = 0  # of the client's choosing
        self.transport.write(f"{address} {port}\n".encode())

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(bytes(self._buffer[:nbytes]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport.abort()


class Entrance:
    """A listener behind a proxy."""

    def __init__(self, headers: ProxyHeaders, acted: Counter[str], port: int) -> None:
        self.headers = headers
        self.acted = acted
        self._port = port

    async def connect(self, source: str = PROXY) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port, local_addr=(source, 0))

    async def say(self, *pieces: bytes, source: str = PROXY, answer_bytes: int = 0) -> bytes:
        """What is answered to these, each sent when the one before has been taken; all of it without a size."""
        reader, writer = await self.connect(source)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = await (reader.readexactly(answer_bytes) if answer_bytes else reader.read())
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return answer

    async def until(self, pending: int) -> None:
        while self.headers.pending != pending:  # noqa: ASYNC110  # what is waited for offers no event
            await asyncio.sleep(0.001)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Runs a test on a listener, on either loop."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text(ONE.cert)
    key.write_text(ONE.key)
    context = TlsCertificate(cert, key, ()).context

    @contextlib.asynccontextmanager
    async def entrance(timeout_s: float, *, tls: bool) -> AsyncIterator[Entrance]:
        acted: Counter[str] = Counter()
        count = lambda limit: acted.update([limit])  # noqa: E731  # it is handed on twice
        headers = ProxyHeaders(lambda address: address == PROXY, timeout_s, count)
        handshakes = TlsHandshakes(HandshakeLimits(), count)
        go_on = partial(handshakes.begin, TlsEntry(context)) if tls else None
        server = await asyncio.get_running_loop().create_server(headers.guard(go_on, Echo), "127.0.0.1", 0)
        yield Entrance(headers, acted, server.sockets[0].getsockname()[1])
        server.close()

    def run_on(
        test: Callable[[Entrance], Awaitable[None]], timeout_s: float = PATIENCE_S, *, tls: bool = False
    ) -> None:
        async def main() -> None:
            async with asyncio.timeout(PATIENCE_S), entrance(timeout_s, tls=tls) as opened:
                await test(opened)

        LOOPS[request.param](main())

    return run_on


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_the_peer_is_whom_the_proxy_names(run: Callable[..., None], header: bytes) -> None:
    async def test(entrance: Entrance) -> None:
        said = b"192.0.2.7 51234\nhello"
        assert await entrance.say(header + b"hello", answer_bytes=len(said)) == said
        byte_by_byte = [header[place : place + 1] for place in range(len(header))]
        assert await entrance.say(*byte_by_byte, b"hello", answer_bytes=len(said)) == said
        assert entrance.headers.pending == 0

    run(test)


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n"], ids=["v2", "v1"])
def test_the_proxys_own_connection_is_its_own(run: Callable[..., None], header: bytes) -> None:
    async def test(entrance: Entrance) -> None:
        said = f"{PROXY} 0\nhello".encode()
        assert await entrance.say(header + b"hello", answer_bytes=len(said)) == said

    run(test)


def test_from_elsewhere_a_header_is_only_bytes(run: Callable[..., None]) -> None:
    async def test(entrance: Entrance) -> None:
        answer = await entrance.say(V1, source=ELSEWHERE, answer_bytes=10 + len(V1))
        assert answer.startswith(b"127.0.0.2 ")
        assert b"PROXY" in answer

    run(test)


def test_a_proxys_connection_without_a_header_is_closed_and_the_log_says_so(
    run: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async def test(entrance: Entrance) -> None:
        assert await entrance.say(b"\x03" + bytes(1536)) == b""
        await entrance.until(0)

    run(test)
    (record,) = (each for each in caplog.records if each.message == "proxy.header_missing")
    assert (record.levelno, record.__dict__["peer"]) == (logging.WARNING, PROXY)


def test_a_proxy_without_headers_is_told_of_a_few_times_a_minute(
    run: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async def test(entrance: Entrance) -> None:
        for _ in range(3 * LINES_PER_PROXY_MAX):
            assert await entrance.say(b"GET / HTTP/1.1\r\n\r\n") == b""
        await entrance.until(0)

    run(test)
    told = [each for each in caplog.records if each.message == "proxy.header_missing"]
    assert len(told) == LINES_PER_PROXY_MAX


def test_a_header_that_does_not_come_is_not_waited_for(run: Callable[..., None]) -> None:
    async def test(entrance: Entrance) -> None:
        assert await entrance.say(V1[:10]) == b""
        assert entrance.acted == {"proxy_header_timeout_s": 1}

    run(test, 0.05)


def test_a_look_whether_we_are_there_is_no_warning(run: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    async def test(entrance: Entrance) -> None:
        _, writer = await entrance.connect()
        await entrance.until(1)
        writer.close()
        await entrance.until(0)

    run(test)
    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


def test_for_one_too_many_goes_the_one_that_came_first(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_headers, "PENDING_MAX", 2)

    async def test(entrance: Entrance) -> None:
        silent = []
        for number in range(2):
            silent.append(await entrance.connect())
            await entrance.until(number + 1)
        assert await entrance.say(V1, answer_bytes=16) == b"192.0.2.7 51234\n"
        with contextlib.suppress(ConnectionError):
            assert await silent[0][0].read() == b""
        for _, writer in silent:
            writer.close()
        await entrance.until(0)

    run(test)


class TestTls:
    def test_the_header_stands_before_it(self, run: Callable[..., None]) -> None:
        async def test(entrance: Entrance) -> None:
            reader, writer = await entrance.connect()
            writer.write(V2)
            await writer.start_tls(CLIENT)
            writer.write(bytes(300_000))
            assert await reader.readline() == b"192.0.2.7 51234\n"
            assert await reader.readexactly(300_000) == bytes(300_000)
            writer.close()

        run(test, tls=True)

    def test_from_elsewhere_it_begins_at_once(self, run: Callable[..., None]) -> None:
        async def test(entrance: Entrance) -> None:
            reader, writer = await entrance.connect(ELSEWHERE)
            await writer.start_tls(CLIENT)
            assert (await reader.readline()).startswith(b"127.0.0.2 ")
            writer.close()

        run(test, tls=True)

    def test_from_elsewhere_a_header_is_no_tls(self, run: Callable[..., None]) -> None:
        async def test(entrance: Entrance) -> None:
            assert b"192.0.2.7" not in await entrance.say(V1, bytes(100), source=ELSEWHERE)

        run(test, tls=True)
