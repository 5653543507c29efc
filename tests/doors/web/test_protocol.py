"""aiohttp's side of a connection, over real sockets: whatever is sent, nobody outside makes a traceback."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from aiohttp import web

from streamd.clock import ManualClock
from streamd.doors.web.headers import harden
from streamd.doors.web.json_api import answer, problems, read_body
from streamd.doors.web.models.studio import KeyShown
from streamd.doors.web.port import Port, PortLimits
from streamd.doors.web.protocol import WebProtocol
from streamd.doors.web.refusals import REFUSALS_LOGGED_PER_SOURCE
from streamd.services.metrics import Metrics
from tests.support.ports import listening, port_of, say

pytestmark = pytest.mark.asyncio

SECRET = "Qw3rTzUiOpAsDfGhJkLyXcVbNm123456"
PER_SECOND = 10.0


@dataclass
class Server:
    tcp_port: int
    port: Port
    metrics: Metrics
    clock: ManualClock

    async def statuses(self, data: bytes) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", await say(self.tcp_port, data))]

    def refused(self, reason: str) -> float:
        labels = {"port": "public", "reason": reason}
        return self.metrics.registry.get_sample_value("streamd_requests_refused_total", labels) or 0.0


@pytest_asyncio.fixture
async def server(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Server]:
    caplog.set_level(logging.DEBUG)

    async def post(request: web.Request) -> web.Response:
        return answer(await read_body(request, KeyShown))

    async def get(_: web.Request) -> web.Response:
        return web.Response(text="page")

    async def fail(_: web.Request) -> web.Response:
        raise RuntimeError(SECRET)

    metrics, clock = Metrics(), ManualClock()
    port = port_of(metrics=metrics, clock=clock, limits=PortLimits(PER_SECOND, viewer_body_timeout_s=0.1))
    app = web.Application(
        client_max_size=1000,
        middlewares=[port.faultless(), problems, port.within_budget(), port.named(), port.whole()],
    )
    harden(app)
    app.router.add_get("/", get)
    app.router.add_get("/fail/{name}", fail)
    app.router.add_post("/", post)
    async with listening(app, port) as tcp_port:
        yield Server(tcp_port, port, metrics, clock)


def request(method: str, *fields: str, target: str = "/", body: bytes = b"", host: str = "Host: x") -> bytes:
    head = "\r\n".join((f"{method} {target} HTTP/1.1", host, *fields, "", ""))
    return head.encode("latin-1") + body


JSON = ("Content-Type: application/json", "Connection: close")
GET = request("GET")
MALFORMED = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "a secret as the method": f"{SECRET} / HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "a secret as the target": f"GET {SECRET} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "two hosts": request("GET", "Host: y"),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a field without a colon": request("GET", "Field"),
    "a field too long": request("GET", "Field: " + "a" * 9000),
    "too many fields": request("GET", *(f"F{number}: x" for number in range(200))),
    "two lengths": request("POST", "Content-Length: 2", "Content-Length: 3", body=b"{}"),
    "a length and chunks": request("POST", "Content-Length: 2", "Transfer-Encoding: chunked", body=b"{}"),
    "a chunk size that is none": request("POST", *JSON, "Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
    "a chunk without its end": request("POST", *JSON, "Transfer-Encoding: chunked", body=b"2\r\n{}xx\r\n"),
    "a target whose host is none": request("GET", target="http://xn--/"),
    "an expectation of no letters": request("GET", "Expect: \xff", "Connection: close"),
}


@pytest.mark.parametrize("first", [b"", GET], ids=["the first request", "a kept connection"])
@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_no_http_is_a_400_and_one_line(
    name: str, first: bytes, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.tcp_port)
    if first:
        writer.write(first)
        assert (await reader.readuntil(b"page")).startswith(b"HTTP/1.1 200 ")
    writer.write(MALFORMED[name])
    answered = await reader.read()
    writer.close()
    head, _, body = answered.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") or head.startswith(b"HTTP/1.0 400 ")
    assert b"nosniff" in head
    assert json.loads(body)["status"] == 400
    assert SECRET.encode() not in answered
    assert server.refused("malformed") == 1
    assert [record.message for record in caplog.records if record.name != "asyncio"] == ["request.refused"]
    assert SECRET not in caplog.text
    assert not any(record.exc_info for record in caplog.records)


async def test_a_thousand_of_them_are_a_few_lines(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(50):
        await server.statuses(MALFORMED["a secret as the method"])
    assert server.refused("malformed") == 50
    assert len(caplog.records) == REFUSALS_LOGGED_PER_SOURCE


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x", "\xff"])
@pytest.mark.parametrize("method", ["POST", "GET", "PATCH", "DELETE"])
async def test_a_coded_body_is_refused_unread(
    method: str, coding: str, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    data = request(method, *JSON, f"Content-Encoding: {coding}", "Content-Length: 5", body=b"abcde")
    assert await server.statuses(data) == [415]
    assert server.refused("encoded") == 1
    assert not any(record.exc_info for record in caplog.records)


async def test_a_body_that_is_as_it_is_is_none_that_is_coded(server: Server) -> None:
    body = b'{"stream_key":"a"}'
    data = request("POST", *JSON, "Content-Encoding: identity", f"Content-Length: {len(body)}", body=body)
    assert await server.statuses(data) == [200]


async def test_which_codings_are_taken_is_said(server: Server) -> None:
    data = request("POST", *JSON, "Content-Encoding: gzip", "Content-Length: 5", body=b"abcde")
    assert b"\r\nAccept-Encoding: identity\r\n" in await say(server.tcp_port, data)


BODIES = {
    "brackets": (b"[" * 900, 400),
    "objects": (b'{"a":' * 150, 400),
    "digits": (b'{"stream_key":' + b"9" * 900 + b"}", 422),
    "a number of no size": (b'{"stream_key":1e999}', 422),
    "NaN": (b'{"stream_key":NaN}', 422),
    "half a character": (b'{"stream_key":"\\ud800"}', 400),
    "no UTF-8": (b'{"stream_key":"\xff\xfe"}', 400),
    "UTF-16": ('{"stream_key":"a"}'.encode("utf-16"), 400),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400),
    "a list": (b"[]", 422),
    "a key twice": (b'{"stream_key":"a","stream_key":"b"}', 200),
    "nothing": (b"", 422),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_is_valid_or_the_peers_mistake(
    name: str, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    body, status = BODIES[name]
    assert await server.statuses(request("POST", *JSON, f"Content-Length: {len(body)}", body=body)) == [status]
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Type: text/plain",),
        ("Content-Type: multipart/form-data; boundary=x",),
        ("Content-Type: ;;;=",),
        ("Content-Type: application/x-www-form-urlencoded",),
    ],
)
async def test_a_body_of_another_type_is_not_looked_into(fields: tuple[str, ...], server: Server) -> None:
    data = request("POST", "Connection: close", *fields, "Content-Length: 2", body=b"{}")
    assert await server.statuses(data) == [415]


class TestBodies:
    async def test_one_that_does_not_come_is_given_up(self, server: Server) -> None:
        assert await server.statuses(request("POST", *JSON[:1], "Content-Length: 500", body=b"{")) == []
        assert server.refused("viewer_body_timeout_s") == 1
        assert server.port.contents.reading == 0

    async def test_one_that_is_too_long_is_refused_by_its_length(self, server: Server) -> None:
        assert await server.statuses(request("POST", *JSON, "Content-Length: 1001", body=b"{")) == [413]

    async def test_one_that_turns_out_too_long_as_well(self, server: Server) -> None:
        chunks = b"100\r\n" + b" " * 256 + b"\r\n"
        data = request("POST", *JSON, "Transfer-Encoding: chunked", body=chunks * 5)
        assert await server.statuses(data) == [413]
        assert server.refused("body_too_long") == 1

    async def test_so_many_of_one_address_are_read_at_once(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("streamd.doors.web.contents.BODIES_PER_ADDRESS_MAX", 2)
        data = request("POST", *JSON[:1], "Content-Length: 500", body=b"{")
        answers = await asyncio.gather(*(server.statuses(data) for _ in range(4)))
        assert sorted(answers) == [[], [], [503], [503]]
        assert server.port.contents.reading == 0

    async def test_one_that_nobody_asked_for_is_read_too(self, server: Server) -> None:
        data = request("GET", "Connection: close", "Content-Length: 5", body=b"abcde")
        assert await server.statuses(data) == [200]


class TestFaults:
    async def test_a_fault_of_ours_is_a_500_and_a_traceback_without_the_path(
        self, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(10):
            assert await server.statuses(request("GET", "Connection: close", target=f"/fail/{SECRET}")) == [500]
        records = [record for record in caplog.records if record.message == "request.failed"]
        assert len(records) == 2
        assert {getattr(record, "route", "") for record in records} == {"/fail/{name}"}


class TestFloods:
    async def test_past_its_share_an_address_is_told_so_and_closed(self, server: Server) -> None:
        for _ in range(int(PER_SECOND * 20) + 1):
            server.port.budget.spend("127.0.0.1")
        answered = await say(server.tcp_port, GET)
        assert answered.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nRetry-After: " in answered
        assert json.loads(answered.partition(b"\r\n\r\n")[2])["status"] == 429
        assert server.refused("requests_per_second_max") == 1

    async def test_what_comes_over_an_open_connection_is_answered_429(self, server: Server) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.tcp_port)
        writer.write(GET)
        await reader.readuntil(b"page")
        while server.port.budget.spend("127.0.0.1"):
            pass
        writer.write(GET * 3)
        answered = await reader.read()
        writer.close()
        assert answered.count(b"HTTP/1.1 429 ") == answered.count(b"HTTP/1.1 ") == 1

    async def test_later_it_is_served_again(self, server: Server) -> None:
        while server.port.budget.spend("127.0.0.1"):
            pass
        server.clock.advance(1)
        assert await server.statuses(request("GET", "Connection: close")) == [200]


async def test_nothing_that_aiohttp_says_of_a_request_is_written(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    protocol = WebProtocol.__new__(WebProtocol)
    protocol.log_debug("%s", SECRET)
    assert SECRET not in caplog.text
