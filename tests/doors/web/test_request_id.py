from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.doors.web.request_id import HEADER, name_requests
from streamd.process.log import configure_logging

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("logging_as_it_was")]

log = logging.getLogger("streamd.test")
Client = TestClient[web.Request, web.Application]


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async def handle(request: web.Request) -> web.Response:
        log.info("request.handled")
        if request.path == "/fails":
            raise web.HTTPConflict
        return web.Response()

    app = web.Application()
    name_requests(app)
    app.router.add_get("/{rest:works|fails}", handle)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
def written() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("info", "json", stream=stream)
    return stream


class TestNames:
    @pytest.mark.parametrize(("path", "status"), [("/works", 200), ("/fails", 409), ("/nowhere", 404)])
    async def test_every_answer_has_one(self, client: Client, path: str, status: int) -> None:
        response = await client.get(path)
        assert response.status == status
        assert re.fullmatch(r"[0-9a-f]{16}", response.headers[HEADER])

    async def test_media_has_none(self, client: Client) -> None:
        assert HEADER not in (await client.get("/live/alice/index.m3u8")).headers

    async def test_each_request_has_its_own(self, client: Client) -> None:
        assert len({(await client.get("/works")).headers[HEADER] for _ in range(20)}) == 20

    @pytest.mark.parametrize("given", ["a", "0123456789abcdef0123456789abcdef", "7f2c1e9a-8d0b-4c3e-9a5f-1b2c3d4e5f60"])
    async def test_that_of_a_proxy_is_kept(self, client: Client, given: str) -> None:
        assert (await client.get("/works", headers={HEADER: given})).headers[HEADER] == given

    @pytest.mark.parametrize("given", ["", "a b", 'x","event":"forged', "x" * 41, "sk_7k2m9xq4ct_" + "a" * 20])
    async def test_what_is_none_is_replaced(self, client: Client, given: str) -> None:
        assert (await client.get("/works", headers={HEADER: given})).headers[HEADER] != given


class TestLog:
    async def test_what_is_logged_on_the_way_bears_the_name_and_nothing_else_does(
        self, written: io.StringIO, client: Client
    ) -> None:
        names = [(await client.get("/works")).headers[HEADER] for _ in range(2)]
        log.info("request.none")
        records = [json.loads(line) for line in written.getvalue().splitlines()]
        assert [(record["event"], record.get("request_id")) for record in records] == [
            ("request.handled", names[0]),
            ("request.handled", names[1]),
            ("request.none", None),
        ]
