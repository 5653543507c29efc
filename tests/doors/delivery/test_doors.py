"""Both doors to media answer alike: over real sockets, byte for byte, but for Date and Connection."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from streamd.doors.delivery.body_file import SENT_BEFORE
from streamd.doors.delivery.door import DoorOptions
from streamd.doors.delivery.trusted_proxies import TrustedProxies
from tests.support.doors import (
    LOOPS,
    SUSPENDED,
    Client,
    Response,
    StandInRegistry,
    StandInStream,
    open_doors,
    request,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.support.doors import Doors

pytestmark = pytest.mark.integration

INDEX = "/live/demo/index.m3u8"
PLAYLIST = "/live/demo/main.m3u8"
INIT = "/live/demo/main/init1000.mp4"
SEGMENT = "/live/demo/main/seg1001.m4s"
PART = "/live/demo/main/part10012.m4s"
HINTED = "/live/demo/main/part10014.m4s"
ETAG = '"seg1001"'

Fields = list[tuple[str, str]]


class Case(NamedTuple):
    target: str
    status: int
    method: str = "GET"
    headers: Fields = []  # noqa: RUF012  # never changed
    version: str = "HTTP/1.1"


CASES = {
    "multivariant playlist": Case(INDEX, 200),
    "media playlist": Case(PLAYLIST, 200),
    "gzip": Case(PLAYLIST, 200, headers=[("Accept-Encoding", "gzip, deflate, br")]),
    "gzip in another line": Case(PLAYLIST, 200, headers=[("Accept-Encoding", "br"), ("accept-encoding", "gzip")]),
    "gzip refused": Case(PLAYLIST, 200, headers=[("Accept-Encoding", "gzip;q=0")]),
    "delta update": Case(PLAYLIST + "?_HLS_skip=YES", 200),
    "a segment that is there": Case(PLAYLIST + "?_HLS_msn=1001", 200),
    "a part that is there": Case(PLAYLIST + "?_HLS_msn=1003&_HLS_part=1", 200),
    "a foreign parameter": Case(PLAYLIST + "?token=%00/../x", 200),
    "CMAF header": Case(INIT, 200),
    "segment": Case(SEGMENT, 200),
    "part": Case(PART, 200),
    "HEAD of a playlist": Case(PLAYLIST, 200, "HEAD"),
    "HEAD of a segment": Case(SEGMENT, 200, "HEAD"),
    "HEAD of nothing": Case("/live/demo/main/seg5.m4s", 404, "HEAD"),
    "HEAD of a range": Case(SEGMENT, 200, "HEAD", [("Range", "bytes=0-9")]),
    "preflight": Case(SEGMENT, 204, "OPTIONS", [("Origin", "https://example.org")]),
    "preflight of nothing": Case("/live/nobody/index.m3u8", 204, "OPTIONS"),
    "not modified": Case(SEGMENT, 304, headers=[("If-None-Match", ETAG)]),
    "not modified, weakly": Case(SEGMENT, 304, headers=[("If-None-Match", f'"other", W/{ETAG}')]),
    "not modified, in another line": Case(SEGMENT, 304, headers=[("If-None-Match", '"a"'), ("If-None-Match", ETAG)]),
    "not modified, HEAD": Case(SEGMENT, 304, "HEAD", [("If-None-Match", "*")]),
    "modified": Case(SEGMENT, 200, headers=[("If-None-Match", '"other"')]),
    "a range": Case(SEGMENT, 206, headers=[("Range", "bytes=990-2009")]),
    "a range to the end": Case(SEGMENT, 206, headers=[("Range", "bytes=3990-")]),
    "the last bytes": Case(SEGMENT, 206, headers=[("Range", "bytes=-5")]),
    "a range that goes on": Case(SEGMENT, 206, headers=[("Range", "bytes=0-99999999999")]),
    "a range beyond the end": Case(SEGMENT, 416, headers=[("Range", "bytes=4000-")]),
    "ranges": Case(SEGMENT, 200, headers=[("Range", "bytes=0-1,3-4")]),
    "ranges in two lines": Case(SEGMENT, 200, headers=[("Range", "bytes=0-1"), ("Range", "bytes=3-4")]),
    "a range of something else": Case(SEGMENT, 200, headers=[("Range", "lines=0-1")]),
    "If-Range, the same": Case(SEGMENT, 206, headers=[("Range", "bytes=0-1"), ("If-Range", ETAG)]),
    "If-Range, another": Case(SEGMENT, 200, headers=[("Range", "bytes=0-1"), ("If-Range", '"x"')]),
    "an unknown channel": Case("/live/nobody/index.m3u8", 404),
    "an unknown variant": Case("/live/demo/other.m3u8", 404),
    "a part to come": Case("/live/demo/main/part10020.m4s", 404),
    "a segment gone": Case("/live/demo/main/seg5.m4s", 404),
    "a channel taken down": Case(f"/live/{SUSPENDED}/index.m3u8", 410),
    "a part without a segment": Case(PLAYLIST + "?_HLS_part=1", 400),
    "a repeated directive": Case(PLAYLIST + "?_HLS_msn=1001&_HLS_msn=1001", 400),
    "an absurd directive": Case(PLAYLIST + "?_HLS_msn=" + "9" * 500, 400),
    "far in the future": Case(PLAYLIST + "?_HLS_msn=2000", 400),
    "absolute form": Case("http://example.org" + PLAYLIST, 200),
    "a number spelt otherwise": Case("/live/demo/main/part010012.m4s", 404),
    "an encoded slash": Case("/live/demo%2Fmain.m3u8", 404),
    "an encoded letter": Case("/live/dem%6F/main.m3u8", 404),
    "an encoded NUL": Case("/live/demo/main.m3u8%00", 404),
    "dots": Case("/live/demo/../demo/main.m3u8", 404),
    "encoded dots": Case("/live/demo/%2e%2e/demo/main.m3u8", 404),
    "two slashes": Case("//live/demo/main.m3u8", 404),
    "a fragment": Case(PLAYLIST + "#x", 404),
    "a long path": Case("/live/" + "a" * 4000, 404),
    "a pushed stream that is not open": Case("/live/demo.mp4", 404),
    "a pushed stream taken down": Case(f"/live/{SUSPENDED}.flv", 410),
    "preflight of a pushed stream": Case("/live/demo.flv", 204, "OPTIONS"),
    "DELETE of a pushed stream": Case("/live/demo.flv", 405, "DELETE"),
    "no media": Case("/live/demo/main.ts", 404),
    "a page": Case("/watch/demo", 200),
    "the front page": Case("/", 200),
    "JSON": Case("/api/v1/streams", 200),
    "nothing of ours": Case("/wp-login.php", 404),
    "DELETE": Case(SEGMENT, 405, "DELETE"),
    "POST": Case(PLAYLIST, 405, "POST", [("Content-Length", "0")]),
    "TRACE": Case(PLAYLIST, 405, "TRACE"),
    "an offer of HTTP/2": Case(PART, 200, headers=[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c")]),
    "close": Case(PART, 200, headers=[("Connection", "close")]),
    "HTTP/1.0": Case(PART, 200, version="HTTP/1.0"),
    "HTTP/1.0 that stays": Case(PART, 200, headers=[("Connection", "keep-alive")], version="HTTP/1.0"),
}


def run(loop: str, test: Callable[[Doors], Coroutine[Any, Any, None]], options: DoorOptions | None = None) -> None:
    """Run a test with both doors open in front of one live stream, ``demo``."""

    async def main() -> None:
        async with open_doors(StandInRegistry({"demo": StandInStream()}), options=options) as doors:
            await test(doors)

    LOOPS[loop](main())


async def ask(port: int, case: Case) -> tuple[Response, bool]:
    """The answer to one request, and whether the connection lives on behind it."""
    async with Client.connected(port) as client:
        await client.send(request(case.target, case.method, case.version, case.headers))
        response = await client.response(case.method)
        await client.send(request(INIT))
        return response, bool(await client.rest_or_response())


# What differs from one answer to the next, or from one connection to the next.
OWN_HEADERS = ("Date", "Connection", "X-Request-Id")


def comparable(response: Response) -> tuple[object, ...]:
    headers = [(name, value) for name, value in response.headers if name not in OWN_HEADERS]
    return response.status, response.reason, sorted(headers), response.body


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_both_doors_answer_alike(case: Case, loop: str) -> None:
    async def test(doors: Doors) -> None:
        thin, thin_stays = await ask(doors.thin_port, case)
        other, other_stays = await ask(doors.aiohttp_port, case)
        assert thin.status == case.status
        assert comparable(thin) == comparable(other)
        assert thin_stays == other_stays
        assert thin.field("Date")
        assert thin.field("Server") == "streamd"

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("target", [PLAYLIST + "?_HLS_msn=1003&_HLS_part=2", HINTED])
def test_both_doors_wait_for_the_part_to_come(target: str, loop: str) -> None:
    async def test(doors: Doors) -> None:
        stream = doors.registry.streams["demo"]
        async with Client.connected(doors.thin_port) as thin, Client.connected(doors.aiohttp_port) as other:
            for client in (thin, other):
                await client.send(request(target, headers=[("Accept-Encoding", "gzip")]))
            await until(lambda: stream.budget.waiting == 2)
            stream.add_segment(0.5)
            answers = [await client.response() for client in (thin, other)]
        assert comparable(answers[0]) == comparable(answers[1])
        assert answers[0].status == 200
        if target != HINTED:
            assert b"part10014.m4s" in gzip.decompress(answers[0].body)
        assert stream.budget.waiting == 0

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
def test_both_doors_answer_who_waits_when_the_stream_ends(loop: str) -> None:
    async def test(doors: Doors) -> None:
        stream = doors.registry.streams["demo"]
        async with Client.connected(doors.thin_port) as thin, Client.connected(doors.aiohttp_port) as other:
            for client in (thin, other):
                await client.send(request(PLAYLIST + "?_HLS_msn=1003") + request(HINTED))
            await until(lambda: stream.budget.waiting == 2)
            stream.end()
            for client in (thin, other):
                assert b"#EXT-X-ENDLIST" in (await client.response()).body
                assert (await client.response()).status == 404

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
def test_both_doors_show_who_waits_the_playlist_as_it_is_when_the_server_stops(loop: str) -> None:
    async def test(doors: Doors) -> None:
        stream = doors.registry.streams["demo"]
        async with Client.connected(doors.thin_port) as thin, Client.connected(doors.aiohttp_port) as other:
            for client in (thin, other):
                await client.send(request(PLAYLIST + "?_HLS_msn=1003") + request(HINTED))
            await until(lambda: stream.budget.waiting == 2)
            stream.waiters.close()
            for client in (thin, other):
                shown = await client.response()
                assert (shown.status, b"#EXT-X-ENDLIST" in shown.body) == (200, False)
                assert b"part10013.m4s" in shown.body
                assert (await client.response()).status == 503

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
def test_both_doors_forget_a_viewer_who_leaves(loop: str) -> None:
    async def test(doors: Doors) -> None:
        stream = doors.registry.streams["demo"]
        for port in (doors.thin_port, doors.aiohttp_port):
            for leave in (Client.abort, Client.half_close):
                async with Client.connected(port) as client:
                    await client.send(request(HINTED))
                    await until(lambda: stream.budget.waiting == 1)
                    leave(client)
                    await until(lambda: stream.budget.waiting == 0)

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_that_was_handed_over_still_plays(loop: str) -> None:
    async def test(doors: Doors) -> None:
        async with Client.connected(doors.thin_port) as client:
            await client.send(request(PART) + request("/watch/demo") + request(PART) + request(PLAYLIST))
            first, page, again, playlist = [await client.response() for _ in range(4)]
            assert comparable(first) == comparable(again)
            assert page.body.startswith(b"<!doctype html>")
            assert playlist.status == 200
            await client.send(request(SEGMENT))
            assert (await client.response()).status == 200
        await until(lambda: doors.door.connections == 0, sweep=doors.door.check_deadlines)

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "framing", ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
def test_a_request_with_content_does_not_upset_the_next(framing: str, loop: str) -> None:
    async def test(doors: Doors) -> None:
        async with Client.connected(doors.thin_port) as client:
            await client.send(f"GET {PART} HTTP/1.1\r\nHost: x\r\n{framing}".encode() + request(INIT))
            assert (await client.response()).field("ETag") == '"part10012"'
            assert (await client.response()).field("ETag") == '"init1000"'

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
def test_who_only_asks_no_more_still_gets_all_of_it(loop: str) -> None:
    async def main() -> None:
        stream = StandInStream(payload_bytes=4_000_000)
        async with open_doors(StandInRegistry({"demo": stream})) as doors, Client.connected(doors.thin_port) as client:
            await client.send(request(PART) + request(SEGMENT) + request("/watch/demo"))
            client.half_close()
            assert len((await client.response()).body) == 4_000_000
            assert len((await client.response()).body) == 16_000_000
            assert (await client.response()).status == 200
            assert await client.rest() == b""

    LOOPS[loop](main())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("payload_bytes", [20_000, 2_000_000], ids=["taken at once", "taken bit by bit"])
def test_a_popular_segment_is_the_same_for_all(payload_bytes: int, loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    send = os.sendfile
    by_kernel: list[int] = []

    def counted(out_fd: int, in_fd: int, offset: int, count: int) -> int:
        by_kernel.append(count)
        return send(out_fd, in_fd, offset, count)

    monkeypatch.setattr(os, "sendfile", counted)

    async def main() -> None:
        stream = StandInStream(payload_bytes=payload_bytes)
        async with open_doors(StandInRegistry({"demo": stream})) as doors, Client.connected(doors.thin_port) as client:
            whole = None
            for _ in range(SENT_BEFORE + 1):
                async with Client.connected(doors.thin_port) as other:
                    await other.send(request(SEGMENT))
                    response = await other.response()
                assert whole in (None, response.body)
                whole = response.body
            # From here on the kernel sends a file, in order with all else that is asked.
            await client.send(request(SEGMENT) + request(INIT) + request(SEGMENT) + request(SEGMENT) + request(PART))
            bodies = [(await client.response()).body for _ in range(5)]
            assert bodies[0] == bodies[2] == bodies[3] == whole
            assert (bodies[1].startswith(b"ftyp"), len(bodies[4])) == (True, payload_bytes)
            assert len(whole or b"") in by_kernel

    LOOPS[loop](main())


@pytest.mark.parametrize("loop", LOOPS)
def test_both_doors_push_a_stream_until_it_ends(loop: str) -> None:
    async def test(doors: Doors) -> None:
        stream = doors.registry.streams["demo"]
        stream.push(b"key", is_keyframe=True)
        answers = []
        async with Client.connected(doors.thin_port) as thin, Client.connected(doors.aiohttp_port) as other:
            for client in (thin, other):
                await client.send(request("/live/demo.flv"))
                answers.append(await client.response())
                assert await client.exactly(7) == b"headkey"
            assert stream.flv.viewers == 2
            stream.push(b"more")
            for client in (thin, other):
                assert await client.exactly(4) == b"more"
            stream.end()
            for client in (thin, other):
                assert await client.rest() == b""
        assert stream.flv.viewers == 0
        assert comparable(answers[0]) == comparable(answers[1])
        assert answers[0].field("Content-Length") is answers[0].field("Transfer-Encoding") is None
        assert answers[0].field("Connection") == answers[1].field("Connection") == "close"

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
def test_both_doors_forget_a_viewer_of_a_pushed_stream(loop: str) -> None:
    async def test(doors: Doors) -> None:
        stream = doors.registry.streams["demo"]
        stream.push(b"key", is_keyframe=True)
        for port in (doors.thin_port, doors.aiohttp_port):
            for leave in (Client.abort, Client.half_close):
                async with Client.connected(port) as client:
                    await client.send(request("/live/demo.flv"))
                    await client.exactly(4)
                    await until(lambda: stream.flv.viewers == 1)
                    leave(client)
                    await until(lambda: stream.flv.viewers == 0)

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("door", ["thin_port", "aiohttp_port"])
def test_a_viewer_who_leaves_disturbs_neither_the_publisher_nor_the_others(door: str, loop: str) -> None:
    async def test(doors: Doors) -> None:
        stream = doors.registry.streams["demo"]
        stream.push(b"key", is_keyframe=True)
        port = getattr(doors, door)
        async with Client.connected(port) as stays, Client.connected(port) as leaves:
            for client in (stays, leaves):
                await client.send(request("/live/demo.flv"))
                await client.response()
            await until(lambda: stream.flv.viewers == 2)
            leaves.abort()
            # The publisher sends in every step of the loop in which the server may learn of it.
            await until(lambda: stream.flv.viewers == 1, lambda: stream.push(b"more"))
            stream.push(b"last")
            stream.end()
            assert (await stays.rest()).endswith(b"last")

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
def test_both_doors_count_who_asks_for_playlists(loop: str) -> None:
    async def test(doors: Doors) -> None:
        stream = doors.registry.streams["demo"]
        for port, agent in ((doors.thin_port, "a"), (doors.aiohttp_port, "a"), (doors.thin_port, "b")):
            async with Client.connected(port) as client:
                for target in (INDEX, PLAYLIST, PART, "/live/other/main.m3u8"):
                    await client.send(request(target, headers=[("User-Agent", agent)]))
                    await client.response()
        assert stream.hls_viewers == {("127.0.0.1", "a"), ("127.0.0.1", "b")}

    run(loop, test)


@pytest.mark.parametrize("loop", LOOPS)
def test_both_doors_count_whom_a_trusted_proxy_asks_for(loop: str) -> None:
    async def test(doors: Doors) -> None:
        stream = doors.registry.streams["demo"]
        for port, viewer in ((doors.thin_port, "192.0.2.1"), (doors.aiohttp_port, "192.0.2.2")):
            async with Client.connected(port) as client:
                await client.send(request(PLAYLIST, headers=[("X-Forwarded-For", viewer)]))
                await client.response()
        assert {address for address, _ in stream.hls_viewers} == {"192.0.2.1", "192.0.2.2"}

    run(loop, test, DoorOptions(proxies=TrustedProxies(["127.0.0.0/8"])))
