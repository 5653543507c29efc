"""The places of the admin port, over real sockets: who has the token always gets in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from aiohttp import web

from streamd.clock import ManualClock
from streamd.doors.web.admin import places as module
from streamd.doors.web.admin.places import STRANGER_IDLE_S, AdminPlaces, note_token
from streamd.services.metrics import Metrics
from tests.support.doors import until
from tests.support.patience import PATIENCE_S
from tests.support.ports import listening, port_of

pytestmark = pytest.mark.asyncio

PLACES = 4
GET = b"GET /open HTTP/1.1\r\nHost: x\r\n\r\n"
GET_WITH_TOKEN = b"GET /token HTTP/1.1\r\nHost: x\r\n\r\n"
WAIT_WITH_TOKEN = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, data: bytes) -> bytes:
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readuntil(b"done")

    async def ends(self) -> bool:
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True


@dataclass
class Door:
    tcp_port: int
    places: AdminPlaces
    metrics: Metrics
    clock: ManualClock
    connections: list[Connection] = field(default_factory=list)

    async def connect(self) -> Connection:
        before = len(self.places)
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.tcp_port))
        self.connections.append(connection)
        await until(lambda: len(self.places) > before or before == PLACES)
        return connection


@pytest_asyncio.fixture
async def door(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    monkeypatch.setattr(module, "CONNECTIONS_MAX", PLACES)
    monkeypatch.setattr(module, "CONNECTIONS_PER_ADDRESS_MAX", PLACES)
    released = asyncio.Event()

    async def respond(request: web.Request) -> web.Response:
        if request.path != "/open":
            note_token(request)
        if request.path == "/wait":
            await released.wait()
        return web.Response(text="done")

    metrics, clock = Metrics(), ManualClock()
    port = port_of("admin", metrics=metrics)
    places = AdminPlaces(port, clock)
    app = web.Application()
    app.router.add_get("/{what}", respond)
    async with listening(app, port, places) as tcp_port:
        door = Door(tcp_port, places, metrics, clock)
        yield door
        released.set()
        for connection in door.connections:
            connection.writer.close()


async def test_the_oldest_stranger_goes_for_the_newest(door: Door) -> None:
    strangers = [await door.connect() for _ in range(PLACES)]
    newcomer = await door.connect()
    assert await strangers[0].ends()
    assert b" 200 " in await newcomer.ask(GET_WITH_TOKEN)
    assert b" 200 " in await strangers[1].ask(GET)
    assert len(door.places) == PLACES


async def test_who_has_shown_the_token_stays(door: Door) -> None:
    operator = await door.connect()
    await operator.ask(GET_WITH_TOKEN)
    for _ in range(3 * PLACES):
        await (await door.connect()).ask(GET)
    assert b" 200 " in await operator.ask(GET_WITH_TOKEN)
    assert len(door.places) == PLACES
    labels = {"port": "admin", "reason": "connections"}
    assert door.metrics.registry.get_sample_value("streamd_requests_refused_total", labels) == 2 * PLACES + 1


async def test_of_operators_the_one_goes_that_has_nothing_to_do(door: Door) -> None:
    idle, *busy = [await door.connect() for _ in range(PLACES)]
    await idle.ask(GET_WITH_TOKEN)
    for connection in busy:
        await connection.ask(GET_WITH_TOKEN)
        connection.writer.write(WAIT_WITH_TOKEN)
    await until(lambda: sum(each.is_busy for each in door.places._open) == len(busy))
    newcomer = await door.connect()
    assert await idle.ends()
    assert b" 200 " in await newcomer.ask(GET_WITH_TOKEN)


async def test_where_all_are_being_answered_the_newest_goes(door: Door) -> None:
    busy = [await door.connect() for _ in range(PLACES)]
    for connection in busy:
        connection.writer.write(WAIT_WITH_TOKEN)
    await until(lambda: all(each.has_shown_token and each.is_busy for each in door.places._open))
    newcomer = await door.connect()
    assert await newcomer.ends()


async def test_one_address_has_a_share(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_PER_ADDRESS_MAX", 2)
    first, second = await door.connect(), await door.connect()
    third = Connection(*await asyncio.open_connection("127.0.0.1", door.tcp_port))
    assert await first.ends()
    assert b" 200 " in await third.ask(GET)
    assert b" 200 " in await second.ask(GET)
    third.writer.close()


async def test_a_place_is_given_back(door: Door) -> None:
    (await door.connect()).writer.close()
    await until(lambda: not len(door.places))


async def test_a_stranger_who_says_nothing_has_moments(door: Door) -> None:
    operator, stranger = await door.connect(), await door.connect()
    await operator.ask(GET_WITH_TOKEN)
    await stranger.ask(GET)
    door.clock.advance(STRANGER_IDLE_S - 1)
    door.places.check_deadlines()
    assert b" 200 " in await stranger.ask(GET)
    door.clock.advance(STRANGER_IDLE_S)
    door.places.check_deadlines()
    assert await stranger.ends()
    assert b" 200 " in await operator.ask(GET_WITH_TOKEN)
