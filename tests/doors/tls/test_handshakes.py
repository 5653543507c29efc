from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest

from streamd.doors.tls.certificate import TlsCertificate
from streamd.doors.tls.handshakes import HANDSHAKE_BYTES, HANDSHAKE_S, HandshakeLimits, TlsEntry, TlsHandshakes
from streamd.services.bounds.loop_time import LoopTimeLimit
from streamd.services.bounds.memory_accounts import Standing
from tests.support.certificates import ONE
from tests.support.doors import LOOPS
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT.check_hostname = False
CLIENT.verify_mode = ssl.CERT_NONE


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Entrance:
    """A listener with TLS before it."""

    def __init__(self, handshakes: TlsHandshakes, acted: Counter[str], port: int) -> None:
        self.handshakes = handshakes
        self.acted = acted
        self._port = port

    def connect(self, source: str = "127.0.0.1") -> Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection that says nothing."""
        return asyncio.open_connection("127.0.0.1", self._port, local_addr=(source, 0))

    async def is_let_in(self, source: str = "127.0.0.1") -> bool:
        """Whether a client who speaks TLS gets through, and is heard although it speaks at once."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=CLIENT, local_addr=(source, 0))
        except OSError:
            return False
        writer.write(bytes(300_000))
        assert await reader.readexactly(300_000) == bytes(300_000)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    async def until(self, in_progress: int) -> None:
        while self.handshakes.in_progress != in_progress:  # noqa: ASYNC110  # what is waited for offers no event
            await asyncio.sleep(0.001)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Runs a test on a listener, on either loop."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text(ONE.cert)
    key.write_text(ONE.key)
    context = TlsCertificate(cert, key, ()).context

    @contextlib.asynccontextmanager
    async def entrance(limits: HandshakeLimits) -> AsyncIterator[Entrance]:
        acted: Counter[str] = Counter()
        handshakes = TlsHandshakes(limits, lambda limit: acted.update([limit]))
        loop = asyncio.get_running_loop()
        server = await loop.create_server(partial(handshakes.guard, TlsEntry(context))(Echo), "127.0.0.1", 0)
        yield Entrance(handshakes, acted, server.sockets[0].getsockname()[1])
        server.close()

    def run_on(test: Callable[[Entrance], Awaitable[None]], limits: HandshakeLimits) -> None:
        async def main() -> None:
            async with asyncio.timeout(PATIENCE_S), entrance(limits) as opened:
                await test(opened)

        LOOPS[request.param](main())

    return run_on


def test_who_is_through_is_in_progress_no_more(run: Callable[..., None]) -> None:
    async def test(entrance: Entrance) -> None:
        for _ in range(3):
            assert await entrance.is_let_in()
        await entrance.until(0)
        assert not entrance.acted

    run(test, HandshakeLimits(tls_handshakes_max=1))


def test_for_one_too_many_goes_the_one_that_began_first(run: Callable[..., None]) -> None:
    async def test(entrance: Entrance) -> None:
        silent = [await entrance.connect() for _ in range(2)]
        await entrance.until(2)
        assert await entrance.is_let_in()
        with contextlib.suppress(ConnectionError):
            assert await silent[0][0].read() == b""
        await entrance.until(1)
        assert entrance.acted == {"tls_handshakes_max": 1}
        assert await entrance.is_let_in()
        assert entrance.acted == {"tls_handshakes_max": 1}
        for _, writer in silent:
            writer.close()
        await entrance.until(0)

    run(test, HandshakeLimits(tls_handshakes_max=2))


def test_idle_sockets_without_number_keep_nobody_out(run: Callable[..., None]) -> None:
    async def test(entrance: Entrance) -> None:
        silent = [await entrance.connect(f"127.0.0.{2 + number % 4}") for number in range(40)]
        await entrance.until(8)
        assert await entrance.is_let_in()
        assert entrance.acted["tls_handshakes_max"] >= 32
        for _, writer in silent:
            writer.close()
        await entrance.until(0)

    run(test, HandshakeLimits(tls_handshakes_max=8, tls_handshakes_per_address_max=4))


def test_no_address_has_them_all(run: Callable[..., None]) -> None:
    async def test(entrance: Entrance) -> None:
        _, writer = await entrance.connect()
        await entrance.until(1)
        assert not await entrance.is_let_in()
        assert entrance.acted == {"tls_handshakes_per_address_max": 1}
        assert await entrance.is_let_in("127.0.0.2")
        writer.close()

    run(test, HandshakeLimits(tls_handshakes_per_address_max=1))


def test_one_that_takes_too_long_is_closed(run: Callable[..., None]) -> None:
    async def test(entrance: Entrance) -> None:
        reader, writer = await entrance.connect()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        await entrance.until(0)
        assert entrance.acted == {"tls_handshake_timeout_s": 1}

    run(test, HandshakeLimits(tls_handshake_timeout_s=0.05))


def test_what_is_no_tls_is_closed_and_no_limit(run: Callable[..., None]) -> None:
    async def test(entrance: Entrance) -> None:
        reader, writer = await entrance.connect()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        await entrance.until(0)
        assert not entrance.acted

    run(test, HandshakeLimits())


def test_without_a_descriptor_left_the_connection_is_closed(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def has_none(_: int) -> int:
        raise OSError(24, "Too many open files")

    async def test(entrance: Entrance) -> None:
        monkeypatch.setattr("streamd.doors.tls.handshakes.os.dup", has_none)
        reader, writer = await entrance.connect()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        monkeypatch.undo()
        assert await entrance.is_let_in()

    run(test, HandshakeLimits())
    assert [record.message for record in caplog.records] == ["tls.failed"]


def test_handshakes_past_an_addresss_time_wait_and_another_address_does_not(run: Callable[..., None]) -> None:
    async def test(entrance: Entrance) -> None:
        assert await entrance.is_let_in()
        late = asyncio.create_task(entrance.is_let_in())
        await entrance.until(1)
        assert await entrance.is_let_in("127.0.0.2")
        assert not late.done()
        late.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await late
        # What is closed while it waits holds its socket no longer than the wait.
        assert entrance.handshakes.in_progress == 1

    run(test, HandshakeLimits(address_share=LoopTimeLimit(HANDSHAKE_S / 1000, HANDSHAKE_S / 2, math.inf)))


def test_the_time_of_all_handshakes_is_bounded(run: Callable[..., None]) -> None:
    async def test(entrance: Entrance) -> None:
        assert await entrance.is_let_in()
        late = asyncio.create_task(entrance.is_let_in("127.0.0.2"))
        await entrance.until(1)
        late.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await late
        assert entrance.handshakes.in_progress == 1

    run(test, HandshakeLimits(share_of_all=LoopTimeLimit(HANDSHAKE_S / 1000, HANDSHAKE_S / 2, math.inf)))


def test_one_that_goes_before_its_turn_leaves_no_socket(run: Callable[..., None]) -> None:
    async def test(entrance: Entrance) -> None:
        assert await entrance.is_let_in()
        reader, writer = await entrance.connect()
        await entrance.until(1)
        _, other = await entrance.connect()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        for each in (writer, other):
            each.close()
        assert entrance.acted == {"tls_handshakes_max": 1}

    run(
        test,
        HandshakeLimits(
            tls_handshakes_max=1, share_of_all=LoopTimeLimit(HANDSHAKE_S / 1000, HANDSHAKE_S / 2, math.inf)
        ),
    )


def test_each_is_in_the_account_and_closes_when_memory_is_short(run: Callable[..., None]) -> None:
    async def test(entrance: Entrance) -> None:
        silent = [await entrance.connect() for _ in range(3)]
        await entrance.until(3)
        holders = list(entrance.handshakes.holders())
        assert [(each.standing, each.held_bytes) for each in holders] == [(Standing.STRANGER, HANDSHAKE_BYTES)] * 3
        assert holders == sorted(holders, key=lambda each: each.opened_at)
        holders[1].shed()
        await entrance.until(2)
        assert list(entrance.handshakes.holders()) == [holders[0], holders[2]]
        with contextlib.suppress(ConnectionError):
            assert await silent[1][0].read() == b""
        for _, writer in silent:
            writer.close()
        await entrance.until(0)

    run(test, HandshakeLimits())
