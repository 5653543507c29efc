"""aiohttp's side of a connection, over real sockets: whatever is sent, nobody outside makes a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from streamd.clock import ManualClock
from streamd.doors.web.headers import harden
from streamd.doors.web.json_api import answer, problems, read_body
from streamd.doors.web.models.studio import KeyShown
from streamd.doors.web.port import Port, PortLimits
from streamd.doors.web.protocol import BODY_TURN_BYTES, PARSED_AHEAD_MAX, TURN_BYTES, WebProtocol
from streamd.doors.web.refusals import REFUSALS_LOGGED_PER_SOURCE
from streamd.services.metrics import Metrics
from tests.support.doors import until
from tests.support.patience import PATIENCE_S
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
async def server(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("streamd.doors.web.protocol.LINGER_S", 0.1)

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
    app.router.add_route("*", "/any/{path:.*}", get)
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
@pytest.mark.parametrize("method", ["POST", "GET"])
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
    "names that nobody knows": (b"{" + b",".join(b'"%d":1' % n for n in range(100)) + b"}", 422),
    "digits": (b'{"stream_key":' + b"9" * 900 + b"}", 422),
    "a number of no size": (b'{"stream_key":1e999}', 422),
    "NaN": (b'{"stream_key":NaN}', 422),
    "half a character": (b'{"stream_key":"\\ud800"}', 400),
    "no UTF-8": (b'{"stream_key":"\xff\xfe"}', 400),
    "UTF-16": ('{"stream_key":"a"}'.encode("utf-16"), 400),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400),
    "a list": (b"[]", 422),
    "a name twice": (b'{"stream_key":"a","stream_key":"b"}', 400),
    "a name twice, once escaped": (b'{"stream_key":"a","\\u0073tream_key":"b"}', 400),
    "a name twice, within": (b'{"stream_key":[{"a":1,"a":1}]}', 400),
    "a name in two objects": (b'{"stream_key":"a","x":[{"a":1},{"a":1}]}', 422),
    "many names, and the first again": (b"{" + b",".join(b'"%d":1' % n for n in (*range(100), 0)) + b"}", 400),
    "nothing": (b"", 422),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_is_valid_or_the_peers_mistake(
    name: str, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    body, status = BODIES[name]
    assert await server.statuses(request("POST", *JSON, f"Content-Length: {len(body)}", body=body)) == [status]
    assert not any(record.exc_info for record in caplog.records)


async def test_a_name_that_is_given_twice_is_named_unless_it_could_be_a_secret(server: Server) -> None:
    """RFC 8259 section 4."""
    for name, shown in (("stream_key", "stream_key"), (SECRET, "an unknown field")):
        body = f'{{"{name}":"a","{name}":"b"}}'.encode()
        data = request("POST", *JSON, f"Content-Length: {len(body)}", body=body)
        problem = json.loads((await say(server.tcp_port, data)).partition(b"\r\n\r\n")[2])
        assert problem["status"] == 400
        assert problem["detail"] == f"the body gives {shown} more than once"


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
    async def test_one_that_comes_too_slowly_is_told_so(self, server: Server) -> None:
        """RFC 9110 section 15.5.9."""
        reader, writer = await asyncio.open_connection("127.0.0.1", server.tcp_port)
        writer.write(request("POST", *JSON[:1], "Content-Length: 900"))
        answered = b""
        async with asyncio.timeout(PATIENCE_S):
            while not answered:
                writer.write(b" ")
                with contextlib.suppress(TimeoutError):
                    answered = await asyncio.wait_for(reader.read(4096), 0.01)
        writer.close()
        head, _, body = answered.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nConnection: close" in head
        assert json.loads(body)["status"] == 408
        assert server.refused("viewer_body_timeout_s") == 1
        assert server.port.contents.reading == 0

    @pytest.mark.parametrize("begun", [b"", b"{"])
    async def test_one_that_does_not_come_is_reset(self, begun: bytes, server: Server) -> None:
        assert await server.statuses(request("POST", *JSON[:1], "Content-Length: 500", body=begun)) == []
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

    @pytest.mark.parametrize(
        ("method", "target", "status"),
        [("PATCH", "/", 405), ("DELETE", "/", 405), ("POST", "/nothing", 404), ("PUT", "/any/x", 200)],
    )
    @pytest.mark.parametrize(
        "framing", ["Content-Length: 99999999", "Transfer-Encoding: chunked"], ids=["length", "chunks"]
    )
    async def test_one_that_no_handler_takes_is_not_waited_for(
        self, method: str, target: str, status: int, framing: str, server: Server
    ) -> None:
        """Nor are its type, its coding and its length looked at: what is wrong is the path, or the method."""
        data = request(method, framing, "Content-Encoding: gzip", target=target)
        answered = await say(server.tcp_port, data)
        head = answered.partition(b"\r\n\r\n")[0]
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nConnection: close" in head
        assert server.port.contents.reading == 0

    @pytest.mark.parametrize("expected", ["100-continue", "100-CONTINUE"])
    async def test_one_that_waits_to_be_asked_for_is_asked_for_where_it_is_read(
        self, expected: str, server: Server
    ) -> None:
        """RFC 9110 section 10.1.1."""
        body = b'{"stream_key":"a"}'
        reader, writer = await asyncio.open_connection("127.0.0.1", server.tcp_port)
        writer.write(request("POST", *JSON, f"Expect: {expected}", f"Content-Length: {len(body)}"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()

    @pytest.mark.parametrize(
        ("method", "target", "fields", "status"),
        [
            ("POST", "/nothing", ("Content-Length: 5",), 404),
            ("PATCH", "/", ("Content-Length: 5",), 405),
            ("POST", "/", ("Content-Length: 1001",), 413),
            ("POST", "/", ("Content-Length: 5", "Content-Encoding: gzip"), 415),
            ("GET", "/", (), 200),
        ],
    )
    async def test_and_is_not_where_it_is_not(
        self, method: str, target: str, fields: tuple[str, ...], status: int, server: Server
    ) -> None:
        data = request(method, *JSON, "Expect: 100-continue", *fields, target=target)
        assert await server.statuses(data) == [status]

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("expected", ["wonders", "\xff", "100-continue, x"])
    async def test_other_things_cannot_be_expected(self, expected: str, method: str, server: Server) -> None:
        data = request(method, *JSON, f"Expect: {expected}", "Content-Length: 0")
        assert await server.statuses(data) == [417]

    async def test_one_that_nobody_asked_for_is_read_too(self, server: Server) -> None:
        data = request("GET", "Connection: close", "Content-Length: 5", body=b"abcde")
        assert await server.statuses(data) == [200]


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
FAILING = {
    **MALFORMED,
    "no such path": request("GET", "Connection: close", target="/nothing"),
    "no such method": request("PATCH", "Connection: close"),
    "trailers without an end": CHUNKED + b"0\r\n" + b"A: b\r\n" * 5000,
    "a body too long": CHUNKED + (b"100\r\n" + b" " * 256 + b"\r\n") * 200,
    "requests, then nonsense": GET * 20 + bytes(9000),
    "another protocol, then nonsense": request("GET", "Connection: upgrade", "Upgrade: websocket") + bytes(9000),
}


class TestMemory:
    @pytest.mark.parametrize("name", FAILING)
    async def test_a_request_that_fails_leaves_no_circle_that_holds_what_was_read(
        self, name: str, server: Server
    ) -> None:
        """A circle stays until the collector looks, which it does seldom; aiohttp makes small ones."""
        wanted = await self.circles(server, request("GET", "Connection: close"))
        assert await self.circles(server, FAILING[name]) <= wanted + 10

    async def test_nor_does_one_whose_peer_leaves(self, server: Server) -> None:
        wanted = await self.circles(server, request("GET", "Connection: close"))
        assert (
            await self.circles(server, request("POST", *JSON, "Content-Length: 9", body=b"x"), leaves=True)
            <= wanted + 5
        )

    async def circles(self, server: Server, data: bytes, *, leaves: bool = False) -> float:
        """Objects that only the collector gets rid of, a request; those of the client of this test among them."""
        times = 5
        # What is made once.
        await say(server.tcp_port, data, half_close=leaves)
        # What is there already is not looked at: the tests before this one have left so much that a look takes seconds.
        gc.freeze()
        gc.disable()
        try:
            for _ in range(times):
                await say(server.tcp_port, data, half_close=leaves)
            return gc.collect() / times
        finally:
            gc.enable()
            gc.unfreeze()


class TestTurns:
    async def test_what_is_read_at_once_is_parsed_a_little_at_a_time(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A read of the loop is up to 256 kB, which chunks of one byte make 80 ms of."""
        taken: list[tuple[int, int]] = []
        hear = RequestHandler.data_received
        loop, step, is_over = asyncio.get_running_loop(), 0, False

        def count_steps() -> None:
            nonlocal step
            step += 1
            if not is_over:
                loop.call_soon(count_steps)

        def note(self: RequestHandler, data: bytes) -> None:
            if data:
                taken.append((step, len(data)))
            hear(self, data)

        monkeypatch.setattr(RequestHandler, "data_received", note)
        body = b'{"stream_key":"' + b"a" * 90 + b'"}' + b" " * 150
        chunks = b"".join(b"1;%b\r\n%c\r\n" % (b"x" * 200, each) for each in body)
        data = request("POST", *JSON, "Transfer-Encoding: chunked", body=chunks + b"0\r\n\r\n")
        assert len(data) > 2 * TURN_BYTES
        count_steps()
        assert await server.statuses(data) == [200]
        is_over = True
        sizes = [size for _, size in taken]
        assert sum(sizes) == len(data)
        assert max(sizes) <= TURN_BYTES
        # A request is not begun in the step in which its head is parsed.
        assert max(sizes[2:]) <= BODY_TURN_BYTES
        assert len({step for step, _ in taken}) == len(taken)

    async def test_a_chunk_of_a_body_that_is_taken_asks_for_nothing(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """aiohttp has its parser look for more each time, though nothing is left: 10 us for a byte."""
        looks = 0
        hear = RequestHandler.data_received

        def note(self: RequestHandler, data: bytes) -> None:
            nonlocal looks
            looks += not data
            hear(self, data)

        monkeypatch.setattr(RequestHandler, "data_received", note)
        body = b'{"stream_key":"' + b"a" * 90 + b'"}' + b" " * 850
        chunks = b"".join(b"1\r\n%c\r\n" % each for each in body)
        data = request("POST", *JSON, "Transfer-Encoding: chunked", body=chunks + b"0\r\n\r\n")
        assert await server.statuses(data) == [200]
        assert looks < 50

    async def test_requests_in_a_row_are_answered_in_theirs(self, server: Server) -> None:
        data = request("GET", "X: " + "y" * 500) * 100 + request("GET", "Connection: close")
        assert await server.statuses(data) == [200] * 101

    async def test_what_follows_an_answer_that_is_the_last_is_not_parsed(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken: list[int] = []
        hear = RequestHandler.data_received

        def note(self: RequestHandler, data: bytes) -> None:
            taken.append(len(data))
            hear(self, data)

        monkeypatch.setattr(RequestHandler, "data_received", note)
        head = CHUNKED.replace(b"/", b"/nothing", 1)
        assert await server.statuses(head + b"1\r\n \r\n" * 200_000) == [404]
        assert sum(taken) < 4 * TURN_BYTES


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


async def test_few_requests_are_read_ahead_of_one_that_is_answered_and_all_in_order(
    server: Server,
) -> None:
    may_end = asyncio.Event()
    paths: list[str] = []

    async def wait(request: web.BaseRequest) -> web.Response:
        paths.append(request.path)
        await may_end.wait()
        return web.Response(text=request.path)

    handlers: list[WebProtocol] = []

    def connection() -> WebProtocol:
        handlers.append(WebProtocol(aiohttp_server, server.port.refusals, None, 10.0))
        return handlers[-1]

    aiohttp_server = web.Server(wait)
    listener = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.sockets[0].getsockname()[1])
    writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(100)))
    await until(lambda: bool(paths and handlers[0]._messages))
    assert paths == ["/0"]
    assert len(handlers[0]._messages) <= PARSED_AHEAD_MAX
    may_end.set()
    heard = b""
    while b"\r\n\r\n/99" not in heard:
        heard += await asyncio.wait_for(reader.read(65_536), 10)
        assert len(handlers[0]._messages) <= PARSED_AHEAD_MAX
    assert paths == [f"/{number}" for number in range(100)]
    writer.close()
    listener.close()
    await aiohttp_server.shutdown()
