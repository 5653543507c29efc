"""nginx, Caddy and Varnish before a real server, each with the configuration that ``configs/`` has for it.

The caches bring a crowd of low-latency viewers to the origin once per playlist and part; all three let through
what they should not touch; and Chromium plays low-latency HLS over HTTP/2 and HTTP/3.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import socket
import ssl
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
import uvloop

from streamd.doors.delivery.decide import BLOCKED_TARGETS_MAX
from tests.support import certificates, fronts
from tests.support.chromium import chromium, viewer
from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until
from tests.support.viewers import Crowd, part_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.support.fronts import Front
    from tests.support.server import LiveServer

    MakeFront = Callable[[LiveServer], AbstractContextManager[Front]]

pytestmark = pytest.mark.integration

TARGET_S = 2
VIEWERS = 500
WATCH_S = 7.0
RAMP_S = 0.5
# The margin: a tenth more requests than there are parts and playlists. What is measured is none at all.
MARGIN = 1.1
# Playlists that nobody waited for are kept for a second, and those who join ask for one: in this time at most so many.
PLAIN_RELOADS = 3
# Playlists as streamd packs them.
CODINGS = 2
# Parts after the newest that somebody asks for long before they are hinted: those made while the crowd watches.
EARLY = range(6, 12)

MAKERS: list[MakeFront] = [fronts.nginx, fronts.caddy, fronts.varnish]


@pytest.fixture(scope="module")
def broadcasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server on which ``demo`` is live. At 0.7 Mb/s, so that a crowd's parts are some 40 MB/s on the loopback."""
    with (
        run_server(tmp_path_factory.mktemp("fronts"), http__trusted_proxies="127.0.0.0/8") as server,
        publish(server.rtmp_url, server.issue_key("demo"), video_bitrate=600_000),
    ):
        server.wait_until_playable("demo")
        yield server


@contextlib.contextmanager
def asked(
    front: Front, path: str, method: str = "GET", headers: dict[str, str] | None = None, body: str | None = None
) -> Iterator[http.client.HTTPResponse]:
    """A response of a front whose content is still to be read."""
    connection: http.client.HTTPConnection
    if front.https_port is not None:
        context = ssl.create_default_context(cadata=certificates.ONE.cert)
        connection = http.client.HTTPSConnection("localhost", front.https_port, timeout=PATIENCE_S, context=context)
    else:
        assert front.http_port is not None
        connection = http.client.HTTPConnection("127.0.0.1", front.http_port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, headers or {})
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


def newest_part(server: LiveServer) -> str:
    """Path of the newest part in the playlist."""
    text = server.get("/live/demo/main.m3u8")[2].decode()
    path: str = re.findall(r'^#EXT-X-PART:.*URI="([^"]+)"', text, re.MULTILINE)[-1]
    return f"/live/demo/{path}"


def answers(server: LiveServer) -> Counter[tuple[str, int]]:
    """What the server has answered until now, by kind and status."""

    def read() -> Counter[tuple[str, int]]:
        found = re.findall(
            r'^streamd_http_responses_total\{kind="(\w+)",status="(\d+)"\} (\S+)',
            server.admin_get("/metrics"),
            re.MULTILINE,
        )
        return Counter({(kind, int(status)): int(float(count)) for kind, status, count in found})

    # Answers are added to the metrics once a second, all at once: with this one, all before it are.
    marker = ("init", 404)
    before = read()[marker]
    assert server.get("/live/nobody/main/init0.mp4")[0] == 404
    counted = wait_until(lambda: (now := read())[marker] > before and now, PATIENCE_S, "the count")
    del counted[marker]
    return cast("Counter[tuple[str, int]]", counted)


class TestACrowd:
    @pytest.mark.parametrize(
        ("make", "codings"), [(fronts.nginx, CODINGS), (fronts.varnish, 1)], ids=["nginx", "varnish"]
    )
    def test_reaches_the_origin_once_per_part(self, broadcasting: LiveServer, make: MakeFront, codings: int) -> None:
        """nginx keeps a playlist as it is and as gzip; Varnish unpacks it for those who ask for it as it is."""
        server = broadcasting
        with make(server) as front:
            assert front.http_port is not None
            crowd = Crowd(front.http_port, "demo", VIEWERS)
            # One viewer asks the server itself, and has what it should have, when it should.
            witness = Crowd(server.http_port, "demo", 1)
            newest = part_number(newest_part(server))
            before = answers(server)
            for ahead in EARLY:
                # Must not make the cache give up on them, or remember that they are not there.
                with asked(front, f"/live/demo/main/part{newest + ahead}.m4s") as response:
                    assert response.status == 404

            async def watch() -> None:
                async with asyncio.TaskGroup() as group:
                    group.create_task(crowd.watch(WATCH_S, RAMP_S))
                    group.create_task(witness.watch(WATCH_S, 0))

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(watch())
            counted = answers(server) - before

        assert (witness.faults, witness.finished) == ([], 1)
        assert (crowd.faults[:3], crowd.finished) == ([], VIEWERS)
        assert counted.pop(("part", 404)) == len(EARLY)
        assert {status for _, status in counted} == {200}
        reached = {kind: counted[kind, 200] - witness.requests[kind] for kind, _ in counted}

        parts, playlists = (len(crowd.asked[kind]) for kind in ("part", "playlist"))
        # A part is 500 ms: what the crowd was shown is what there was to be seen.
        assert parts >= WATCH_S / 0.5 - 2
        assert crowd.requests["part"] > 0.9 * parts * VIEWERS
        assert parts <= reached["part"] <= parts * MARGIN
        assert playlists <= reached["playlist"] <= codings * (playlists * MARGIN + PLAIN_RELOADS)
        assert reached["init"] == 1
        assert reached["multivariant"] <= PLAIN_RELOADS

        shared = crowd.media.keys() & witness.media.keys()
        assert len(shared) >= parts - 1
        for path in shared:
            assert crowd.media[path] == witness.media[path], f"{path} is not what the server has"
        # Through nginx some wait half a second longer than others. How long all take is the machine's affair; they are
        # answered before the origin would say 503.
        assert sorted(crowd.lags_s)[len(crowd.lags_s) * 9 // 10] < BLOCKED_TARGETS_MAX * TARGET_S

    @pytest.mark.parametrize("make", [fronts.nginx, fronts.varnish], ids=["nginx", "varnish"])
    def test_does_not_depend_on_who_asked_first(self, broadcasting: LiveServer, make: MakeFront) -> None:
        server = broadcasting
        with make(server) as front:
            text = server.get("/live/demo/main.m3u8")[2].decode()
            first = re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)
            assert first is not None
            # The end of the next segment: at least 2 s from now.
            msn = int(first[1]) + len(re.findall(r"^#EXTINF", text, re.MULTILINE)) + 1
            path = f"/live/demo/main.m3u8?_HLS_msn={msn}"
            before = answers(server)
            with socket.create_connection(("127.0.0.1", front.http_port or 0)) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                wait_until(
                    lambda: "streamd_requests_waiting 1.0" in server.admin_get("/metrics"), PATIENCE_S, "the request"
                )
            with asked(front, path) as response:
                assert response.status == 200
                assert f"seg{msn}.m4s" in response.read().decode()
            assert answers(server) - before == {("playlist", 200): 1}


CACHES = pytest.mark.parametrize("make", [fronts.nginx, fronts.varnish], ids=["nginx", "varnish"])
# What somebody may add to an address. None of it makes another thing of a part, and the last four no other playlist.
QUERIES = [f"?{number}" for number in range(50)]
QUERIES += ["?a=b&_HLS=1", "?_HLS_msn", "?x_HLS_msn=1", "?_hls_msn=7"]


def test_an_address_that_only_asks_is_told_to_wait(broadcasting: LiveServer) -> None:
    """What no cache answers is held to a share; a request is some bytes, and what it makes streamd do is not."""
    with fronts.nginx(broadcasting) as front:
        statuses: Counter[int] = Counter()
        connection = http.client.HTTPConnection("127.0.0.1", front.http_port or 0, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            for _ in range(3000):
                connection.request("HEAD", "/api/v1/streams")
                with connection.getresponse() as response:
                    response.read()
                    statuses[response.status] += 1
        assert statuses[200] >= 1000
        assert statuses[429] >= 100
        with asked(front, newest_part(broadcasting)) as response:
            assert response.status == 200, "who watches goes on"


class TestQueries:
    """12 kB of requests made streamd send 480 MB: each query was another thing to the cache."""

    @CACHES
    def test_make_nothing_else_of_media(self, broadcasting: LiveServer, make: MakeFront) -> None:
        server = broadcasting
        text = server.get("/live/demo/main.m3u8")[2].decode()
        segment = re.findall(r"^main/seg\d+\.m4s$", text, re.MULTILINE)[-1]
        init = re.findall(r'#EXT-X-MAP:URI="([^"]+)"', text)[-1]
        with make(server) as front:
            for kind, path in (
                ("segment", f"/live/demo/{segment}"),
                ("init", f"/live/demo/{init}"),
                ("part", newest_part(server)),
            ):
                whole = server.get(path)[2]
                before = answers(server)
                for query in QUERIES:
                    with asked(front, f"{path}{query}") as response:
                        assert (response.status, response.read()) == (200, whole)
                for query in ("", "#fragment", "?a#fragment"):
                    with asked(front, f"{path}{query}", headers={"Range": "bytes=10-19"}) as response:
                        assert (response.status, response.read()) == (206, whole[10:20])
                assert answers(server) - before == {(kind, 200): 1}

    @CACHES
    def test_bring_viewers_who_hang_up_nothing(self, broadcasting: LiveServer, make: MakeFront) -> None:
        server = broadcasting
        path = newest_part(server)
        with make(server) as front:
            before = answers(server)
            for query in QUERIES:
                with socket.create_connection(("127.0.0.1", front.http_port or 0)) as connection:
                    connection.sendall(f"GET {path}{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            with asked(front, path) as response:
                assert response.status == 200
            assert answers(server) - before == {("part", 200): 1}

    @CACHES
    def test_make_another_playlist_by_directives_alone(self, broadcasting: LiveServer, make: MakeFront) -> None:
        server = broadcasting
        with make(server) as front:
            before = answers(server)
            for query in (*QUERIES, *(f"?_HLS_msn={number}" for number in range(50))):
                with asked(front, f"/live/demo/index.m3u8{query}") as response:
                    assert response.status == 200
            # It is kept for a second or more.
            assert sum((answers(server) - before).values()) <= PLAIN_RELOADS

            text = server.get("/live/demo/main.m3u8")[2].decode()
            first = re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)
            assert first is not None
            msn = int(first[1]) + len(re.findall(r"^#EXTINF", text, re.MULTILINE)) + 1
            before = answers(server)
            directives = f"_HLS_msn={msn}&_HLS_part=0"
            for query in (
                directives,
                f"{directives}&a=b",
                f"x&_HLS_part=00&_HLS_msn=0{msn}&y",
                f"_HLS_part=0&_HLS_msn={msn}",
                f"{directives}&_HLS_skip=",
            ):
                with asked(front, f"/live/demo/main.m3u8?{query}") as response:
                    content = response.read().decode()
                    if query.endswith("skip="):
                        assert response.status == 400
                    else:
                        assert (response.status, f"seg{msn - 1}.m4s" in content) == (200, True)
            assert answers(server) - before == {("playlist", 200): 1, ("playlist", 400): 1}

    @CACHES
    @pytest.mark.parametrize(
        "query",
        ["_HLS_msn=", "_HLS_msn=x", "_HLS_msn=-1", "_HLS_part=1", "_HLS_msn=1&_HLS_skip=yes", f"_HLS_msn={10**20}"],
    )
    def test_that_are_wrong_are_told_so(self, broadcasting: LiveServer, make: MakeFront, query: str) -> None:
        with make(broadcasting) as front, asked(front, f"/live/demo/main.m3u8?{query}") as response:
            assert response.status == 400

    @CACHES
    def test_a_delta_update_is_one(self, broadcasting: LiveServer, make: MakeFront) -> None:
        with make(broadcasting) as front:
            contents = []
            for query in ("_HLS_skip=YES", "_HLS_skip=v2", "a&_HLS_skip=YES"):
                with asked(front, f"/live/demo/main.m3u8?{query}") as response:
                    contents.append((response.status, response.read()[:7]))
            assert contents == [(200, b"#EXTM3U")] * 3

    @CACHES
    def test_make_nothing_else_of_what_pages_load(self, broadcasting: LiveServer, make: MakeFront) -> None:
        server = broadcasting
        page = server.get("/watch/demo")[2].decode()
        path = re.findall(r'/static/[^"]+\.m?js', page)[0]
        whole = server.get(path)[2]
        with make(server) as front:
            seen: set[str | None] = set()
            for query in QUERIES:
                with asked(front, f"{path}{query}", headers={"Host": f"host{len(seen)}.example"}) as response:
                    assert (response.status, response.read()) == (200, whole)
                    seen.add(response.headers.get("X-Request-Id"))
            # The one that streamd gave to the first of them.
            assert len(seen) == 1
            with asked(front, path, headers={"Accept-Encoding": "gzip"}) as response:
                assert response.headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_the_broadcasters_page_is_signed_in_through_it(broadcasting: LiveServer, make: MakeFront) -> None:
    shown = json.dumps({"stream_key": broadcasting.issue_key("alice")})
    with make(broadcasting) as front:
        with asked(front, "/studio/session", "POST", {"Content-Type": "application/json"}, shown) as response:
            assert response.status == 201
            cookie = str(response.headers["Set-Cookie"]).partition(";")[0]
        for headers, status in (({"Cookie": cookie}, 200), ({}, 401), ({"Cookie": cookie}, 200)):
            with asked(front, "/studio/state", headers=headers) as response:
                assert response.status == status


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_everything_else_comes_through(broadcasting: LiveServer, make: MakeFront) -> None:
    with make(broadcasting) as front:
        for path, text in (("/watch/demo", b"<video"), ("/api/v1/streams", b'"demo"')):
            with asked(front, path) as response:
                assert (response.status, text in response.read()) == (200, True), path
        with asked(front, "/watch/demo") as response:
            begins = f'content="{"http" if front.https_port is None else "https"}://'.encode()
            assert b'<meta property="og:url" ' + begins in response.read()
        # The admin API is not on the port that is proxied.
        with asked(front, "/api/v1/keys", headers={"Authorization": f"Bearer {broadcasting.admin_token}"}) as response:
            assert response.status == 404
        for extension, magic in (("flv", b"FLV\x01"), ("mp4", b"\0\0\0")):
            # Follows live: more than the group of pictures that is there at once, 2 s.
            with asked(front, f"/live/demo.{extension}") as response:
                assert response.status == 200
                content = response.read(len(magic))
                assert content == magic
                assert len(response.read(200_000)) == 200_000

        part = newest_part(broadcasting)
        whole = broadcasting.get(part)[2]
        with asked(front, part, headers={"Range": "bytes=10-19"}) as response:
            assert (response.status, response.read()) == (206, whole[10:20])
        with asked(front, part, "HEAD") as response:
            assert (response.status, response.headers["Content-Length"]) == (200, str(len(whole)))
            tag = response.headers["ETag"]
        with asked(front, part, headers={"If-None-Match": tag}) as response:
            assert response.status == 304
        with asked(front, part, headers={"Cookie": "a=b", "Origin": "https://example.org"}) as response:
            assert response.read() == whole
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert response.headers["Cache-Control"] == "max-age=3600, immutable"
        with asked(front, part, "OPTIONS") as response:
            assert response.status == 204
            assert "GET" in response.headers["Access-Control-Allow-Methods"]
        for accepted, coding in (("br, gzip;q=0.5", "gzip"), ("gzip;q=0, br", None), ("identity", None)):
            with asked(front, "/live/demo/main.m3u8", headers={"Accept-Encoding": accepted}) as response:
                assert response.headers["Content-Encoding"] == coding, accepted
                assert "Accept-Encoding" in response.headers["Vary"]
        with asked(front, "/live/demo/main.m3u8?_HLS_part=1") as response:
            assert response.status == 400


# Chromium takes this certificate for QUIC too, and does not try ::1: over UDP it would not try another address then.
FLAGS = (
    f"--ignore-certificate-errors-spki-list={certificates.ONE_KEY_HASH}",
    "--host-resolver-rules=MAP localhost 127.0.0.1",
)
PROTOCOLS = [(fronts.nginx, "h2"), (fronts.caddy, "h2"), (fronts.caddy, "h3")]


@pytest.mark.browser
@pytest.mark.asyncio
@pytest.mark.parametrize(("make", "protocol"), PROTOCOLS, ids=["nginx-h2", "caddy-h2", "caddy-h3"])
async def test_chromium_plays_low_latency_hls(broadcasting: LiveServer, make: MakeFront, protocol: str) -> None:
    with make(broadcasting) as front:
        if protocol == "h3":
            with asked(front, "/") as response:
                # How browsers find out.
                assert f'h3=":{front.https_port}"' in response.headers["Alt-Svc"]
        quic = [f"--origin-to-force-quic-on=localhost:{front.https_port}"] if protocol == "h3" else []
        async with (
            chromium([*FLAGS, *quic], without=["--disable-quic"] if quic else []) as browser,
            viewer(browser) as watching,
        ):
            await watching.open(f"https://localhost:{front.https_port}/watch/demo")
            await watching.wait_for_state("playing")
            await watching.wait_until_moving(2)
            assert await watching.data("low-latency") == "true"
            loaded: list[list[str]] = await watching.page.evaluate(
                "performance.getEntriesByType('resource').map((entry) => [entry.name, entry.nextHopProtocol])"
            )
            assert watching.errors == []
    by_protocol = Counter(how for name, how in loaded if re.search(r"/part\d+\.m4s$|_HLS_msn=", name))
    assert by_protocol[protocol] >= 4
    assert set(by_protocol) == {protocol}


class TestLockedChannels:
    """A ticket in the path, which no cache takes for a part of a name."""

    @pytest.mark.parametrize("make", MAKERS, ids=["nginx", "caddy", "varnish"])
    def test_one_copy_is_kept_for_all_viewers_and_nothing_is_given_without_a_playlist(
        self, tmp_path: Path, make: MakeFront
    ) -> None:
        with (
            run_server(tmp_path, http__trusted_proxies="127.0.0.0/8") as server,
            publish(server.rtmp_url, server.issue_key("demo"), video_bitrate=600_000),
        ):
            server.wait_until_playable("demo")
            server.admin("PATCH", "/api/v1/users/demo", {"playback": "signed"})
            with make(server) as front:

                def get(path: str, **fields: str) -> tuple[int, bytes]:
                    with asked(front, path, headers=fields) as response:
                        return response.status, response.read()

                assert get("/live/demo/index.m3u8")[0] == 401
                assert get("/live/demo/main.m3u8")[0] == 401
                tickets = []
                for _ in range(2):
                    made = server.admin("POST", "/api/v1/playback-tokens", {"channel": "demo"})
                    status, playlist = get(made["playlist"])
                    assert status == 200
                    tickets.append(re.findall(rb"^(~[^/]+)/", playlist, re.MULTILINE)[0].decode())
                assert tickets[0] != tickets[1]
                # What one viewer was given is not there for one who shows nothing.
                assert get("/live/demo/index.m3u8")[0] == 401
                texts = [get(f"/live/demo/{ticket}/main.m3u8") for ticket in tickets]
                assert [status for status, _ in texts] == [200, 200]
                part = re.findall(r'^#EXT-X-PART:.*URI="([^"]+)"', texts[1][1].decode(), re.MULTILINE)[-1]
                before = answers(server)
                bodies = [get(f"/live/demo/{ticket}/{part}") for ticket in tickets * 3]
                assert {status for status, _ in bodies} == {200}
                assert len({body for _, body in bodies}) == 1
                fetched = (answers(server) - before)["part", 200]
                assert fetched == (6 if front.name == "caddy" else 1)
                # Without the word of the playlist nothing is kept, and nothing is there.
                plain = re.sub(r"/[0-9a-v]{26}/", "/", part)
                assert get(f"/live/demo/{tickets[0]}/{plain}")[0] == 404
                assert get(f"/live/demo/{plain}")[0] == 401
                with asked(front, f"/live/{tickets[0]}/demo.flv") as response:
                    assert response.status == 200
                    assert response.read(3) == b"FLV"
                server.admin("POST", "/api/v1/playback/revoke", {"channel": "demo"})
                assert get(f"/live/demo/{tickets[0]}/main.m3u8")[0] == 403
                assert get(f"/live/demo/{tickets[0]}/index.m3u8")[0] == 403
