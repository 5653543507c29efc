"""aiohttp's own handlers, on a mock transport and a clock that stands still."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio
from aiohttp import web

from streamd.clock import ManualClock
from streamd.doors.delivery.handler_watch import (
    BODY_GRACE_S,
    DROPPED_BYTES_MAX,
    HANDLER_BYTES,
    PARSED_REQUEST_BYTES,
    REQUEST_BYTES,
    TLS_HANDLER_BYTES,
    HandlerLimits,
    HandlerWatch,
    WatchedHandler,
)
from streamd.services.bounds.memory_accounts import Standing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.web_request import BaseRequest

pytestmark = pytest.mark.asyncio

LIMITS = HandlerLimits()
BODY_TIMEOUT_S = LIMITS.viewer_body_timeout_s + BODY_GRACE_S
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


class Transport:
    """``room`` is what the peer takes; the rest waits."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.sent = b""
        self.waiting = b""
        self.room = 1 << 40
        self.is_aborted = self.is_closed = False

    def get_extra_info(self, _name: str, default: object = None) -> object:
        return default

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def is_closing(self) -> bool:
        return self.is_closed

    def write(self, data: bytes) -> None:
        self.waiting += data
        self.take(self.room)

    def writelines(self, buffers: list[bytes]) -> None:
        self.write(b"".join(buffers))

    def take(self, count: int) -> None:
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        self.sent += taken

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            if not self.waiting:
                self.protocol.connection_lost(None)

    def was_aborted(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        assert not self.is_aborted
        self.is_aborted = self.is_closed = True
        self.protocol.connection_lost(None)


class House:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.acted: Counter[str] = Counter()
        self.closed: list[WatchedHandler] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.server = web.Server(self.answer, keepalive_timeout=10**6)
        self.watch = HandlerWatch(
            self.server,
            now=self.clock.monotonic,
            count_limit=lambda limit: self.acted.update([limit]),
            on_closed=self.closed.append,
        )

    async def answer(self, request: BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            await request.read()
        await self.may_end.wait()
        return web.Response(text="x" * 1000)

    def connect(self) -> tuple[WatchedHandler, Transport]:
        watched, transport = self.watch("192.0.2.1"), Transport()
        transport.protocol = watched
        watched.connection_made(cast("asyncio.Transport", transport))
        return watched, transport

    async def say(self, watched: WatchedHandler, data: bytes) -> None:
        watched.data_received(data)
        await self.turns()

    async def turns(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.watch.check_deadlines()
            await self.turns()


@pytest_asyncio.fixture
async def house() -> AsyncIterator[House]:
    opened = House()
    yield opened
    opened.may_end.set()
    for watched in list(opened.watch.holders()):
        watched.abort()
    await opened.turns()
    await opened.server.shutdown()


async def test_an_idle_connection_is_closed_and_counts_as_no_event(house: House) -> None:
    watched, transport = house.connect()
    await house.pass_time(60)
    await house.say(watched, GET)
    await house.pass_time(LIMITS.viewer_idle_timeout_s - 1)
    assert transport.sent.count(b"200 OK") == 1
    assert not transport.was_aborted()
    await house.pass_time(2)
    assert transport.was_aborted()
    assert not house.acted
    assert house.closed == [watched]
    assert len(house.watch) == 0


@pytest.mark.parametrize("before", [b"", GET])
async def test_a_head_has_its_time_from_the_first_byte(house: House, before: bytes) -> None:
    watched, transport = house.connect()
    if before:
        await house.say(watched, before)
        await house.pass_time(5)
    for byte in range(int(LIMITS.viewer_head_timeout_s)):
        assert not transport.was_aborted()
        await house.say(watched, GET[byte : byte + 1])
        await house.pass_time(1)
    await house.pass_time(1)
    assert transport.was_aborted()
    assert house.acted == {"viewer_head_timeout_s": 1}


@pytest.mark.parametrize("trickles", [True, False])
async def test_a_body_has_its_time_however_it_comes(house: House, trickles: bool) -> None:
    watched, transport = house.connect()
    await house.say(watched, POST)
    for second in range(int(BODY_TIMEOUT_S)):
        await house.pass_time(1)
        assert not transport.was_aborted()
        if trickles and second % 4 == 0:
            await house.say(watched, b"x")
    await house.pass_time(2)
    assert transport.was_aborted()
    assert house.acted == {"viewer_body_timeout_s": 1}


async def test_each_body_has_a_time_of_its_own(house: House) -> None:
    watched, transport = house.connect()
    for _ in range(5):
        await house.say(watched, POST)
        await house.pass_time(BODY_TIMEOUT_S - 2)
        await house.say(watched, bytes(10))
    await house.pass_time(1)
    assert transport.sent.count(b"200 OK") == 5
    assert not transport.was_aborted()


async def test_a_handler_has_as_much_time_as_it_needs(house: House) -> None:
    house.may_end.clear()
    watched, transport = house.connect()
    await house.say(watched, POST + bytes(10))
    await house.pass_time(300)
    house.may_end.set()
    await house.pass_time(1)
    assert transport.sent.count(b"200 OK") == 1
    await house.pass_time(LIMITS.viewer_idle_timeout_s - 2)
    assert not transport.was_aborted()


async def test_a_peer_that_takes_nothing_is_let_go(house: House) -> None:
    watched, transport = house.connect()
    transport.room = 100
    await house.say(watched, GET)
    await house.pass_time(LIMITS.viewer_write_timeout_s)
    assert not transport.was_aborted()
    await house.pass_time(1)
    assert transport.was_aborted()
    assert house.acted == {"viewer_write_timeout_s": 1}


async def test_a_peer_that_takes_little_has_its_time_and_no_more(house: House) -> None:
    watched, transport = house.connect()
    transport.room = 100
    await house.say(watched, GET)
    for _ in range(int(LIMITS.viewer_answer_timeout_s)):
        transport.take(1)
        await house.pass_time(1)
    assert not transport.was_aborted()
    await house.pass_time(1)
    assert transport.was_aborted()
    assert house.acted == {"viewer_answer_timeout_s": 1}


async def test_an_answer_that_goes_on_for_ever_may(house: House) -> None:
    async def events(request: BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not house.may_end.is_set():
            await response.write(b"event")
            await asyncio.sleep(0)
        return response

    house.may_end.clear()
    house.server.request_handler = events
    watched, transport = house.connect()
    transport.room = 1
    await house.say(watched, GET)
    await house.pass_time(LIMITS.viewer_answer_timeout_s + 100)
    assert not transport.was_aborted()
    house.may_end.set()


async def test_what_aiohttp_has_closed_is_open_until_it_is_taken(house: House) -> None:
    watched, transport = house.connect()
    transport.room = 100
    await house.say(watched, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert transport.is_closed
    assert len(house.watch) == 1
    await house.pass_time(LIMITS.viewer_write_timeout_s + 1)
    assert transport.was_aborted()
    assert len(house.watch) == 0


async def test_what_waits_for_a_peer_is_in_its_account(house: House) -> None:
    watched, transport = house.connect()
    assert (watched.standing, watched.held_bytes) == (Standing.STRANGER, HANDLER_BYTES)
    await house.say(watched, POST + bytes(4))
    assert watched.held_bytes == HANDLER_BYTES + REQUEST_BYTES + len(POST) + 4
    transport.room = 0
    await house.say(watched, bytes(6))
    assert watched.held_bytes == HANDLER_BYTES + len(transport.waiting) > HANDLER_BYTES + 1000
    watched.shed()
    assert transport.was_aborted()
    assert watched.held_bytes == 0


async def test_part_of_a_head_is_in_its_account_however_it_comes(house: House) -> None:
    watched, _ = house.connect()
    await house.turns()
    for byte in GET[:-1]:
        await house.say(watched, bytes([byte]))
    assert watched.held_bytes == HANDLER_BYTES + len(GET) - 1
    await house.say(watched, GET[-1:])
    assert watched.held_bytes == HANDLER_BYTES


async def test_over_tls_its_state_and_its_last_slice_are_in_its_account(house: House) -> None:
    watched, transport = house.watch("192.0.2.1"), Transport()
    transport.protocol = watched
    tls = cast("Any", transport)
    # Of a slice of 16,000 bytes 1000 are not sent, and 5000 wait behind it.
    transport.waiting, tls.unsent_bytes, tls.own_bytes = bytes(6000), 1000, lambda: 16_000
    watched.connection_made(cast("asyncio.Transport", transport))
    assert watched.held_bytes == TLS_HANDLER_BYTES + 16_000 + 5000
    transport.waiting = b""


async def test_requests_that_wait_behind_another_are_in_its_account(house: House) -> None:
    watched, _ = house.connect()
    house.may_end.clear()
    await house.say(watched, GET * 10)
    assert watched.held_bytes >= HANDLER_BYTES + 9 * PARSED_REQUEST_BYTES
    house.may_end.set()
    await house.turns()


@pytest.mark.parametrize("size", [1, 700, LIMITS.request_head_bytes_max + 1])
async def test_a_head_is_as_long_as_the_viewers_door_allows(house: House, size: int) -> None:
    watched, transport = house.connect()
    await house.turns()
    head = b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (number, bytes(500)) for number in range(100))
    said = 0
    while not transport.was_aborted() and said < len(head):
        watched.data_received(head[said : said + size].replace(b"\0", b"x"))
        said += size
    assert transport.was_aborted()
    assert said <= LIMITS.request_head_bytes_max + size
    assert house.acted == {"request_head_bytes_max": 1}


async def test_who_asks_on_and_on_before_there_is_an_answer_is_closed(house: House) -> None:
    watched, transport = house.connect()
    house.may_end.clear()
    said = 0
    while not transport.was_aborted() and said <= LIMITS.unanswered_bytes_max:
        watched.data_received(GET * 20)
        said += 20 * len(GET)
        await house.turns()
    assert transport.was_aborted()
    assert house.acted == {"unanswered_bytes_max": 1}


async def test_a_body_of_any_length_is_no_reason_to_close(house: House) -> None:
    watched, transport = house.connect()
    await house.say(watched, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(100):
        await house.say(watched, bytes(10_000))
    assert not transport.was_aborted()
    assert transport.sent.startswith(b"HTTP/1.1 ")
    # And the next request is one as any.
    sent = len(transport.sent)
    await house.say(watched, GET)
    assert len(transport.sent) > sent


async def test_a_body_that_nobody_reads_is_dropped_behind_the_answer_up_to_a_bound(house: House) -> None:
    class DroppingHandler:
        """A handler that has given its last answer."""

        is_dropping = True

        def connection_made(self, transport: object) -> None:
            pass

        def connection_lost(self, exc: Exception | None) -> None:
            pass

    watch = HandlerWatch(
        DroppingHandler,  # type: ignore[arg-type]  # what is heard of it
        now=house.clock.monotonic,
        count_limit=lambda limit: house.acted.update([limit]),
    )
    watched, transport = watch("192.0.2.1"), Transport()
    transport.protocol = watched
    watched.connection_made(cast("asyncio.Transport", transport))
    for _ in range(DROPPED_BYTES_MAX // 65_536):
        watched.data_received(bytes(65_536))
    assert not transport.was_aborted()
    watched.data_received(b"\0")
    assert transport.was_aborted()
    assert house.acted == {"unanswered_bytes_max": 1}
