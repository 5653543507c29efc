"""A running server whose peers send what they like to both ports: an answer or a closed connection, and a small log."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from streamd.doors.web.admin.places import CONNECTIONS_PER_ADDRESS_MAX
from tests.support import certificates
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

JSON = "Content-Type: application/json"
SECRET = "Qw3rTzUiOpAsDfGhJkLyXcVbNm123456"
# Deadlines of a test's server, seconds.
SOON_S = 1
# Lines about one peer's requests in a minute are bounded; this is many times that.
REQUESTS = 300
LOG_BYTES_MAX = 20_000


@pytest.fixture(scope="module", params=["http", "https"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    directory = tmp_path_factory.mktemp("server")
    settings: dict[str, object] = {
        "log__level": "debug",
        "limits__viewer_body_timeout_s": SOON_S,
        "limits__viewer_write_timeout_s": SOON_S,
        "limits__requests_per_second_max": 1000,
    }
    if request.param == "https":
        settings |= write_certificate(directory)
    with run_server(directory, **settings) as running:
        yield running
        assert "Traceback" not in running.log_text()


def write_certificate(directory: Path) -> dict[str, object]:
    paths = {"cert": directory / "cert.pem", "key": directory / "key.pem"}
    for name, path in paths.items():
        path.write_text(getattr(certificates.ONE, name))
    return {f"http__tls_{name}": path for name, path in paths.items()}


@contextlib.contextmanager
def connected(server: LiveServer, port: str = "public", receive_buffer_bytes: int = 0) -> Iterator[socket.socket]:
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(socket.socket())
        if receive_buffer_bytes:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        plain.settimeout(PATIENCE_S)
        plain.connect(("127.0.0.1", server.admin_port if port == "admin" else server.http_port))
        if server.tls is None or port == "admin":
            yield plain
        else:
            yield stack.enter_context(server.tls.wrap_socket(plain, server_hostname="localhost"))


def answered(server: LiveServer, port: str, data: bytes) -> bytes:
    """What is answered to some bytes until the server closes."""
    received = b""
    with connected(server, port) as connection, contextlib.suppress(ConnectionError, ssl.SSLError):
        connection.sendall(data)
        while piece := connection.recv(65_536):
            received += piece
    return received


def statuses(server: LiveServer, port: str, data: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", answered(server, port, data))]


def request(target: str, *fields: str, method: str = "GET", body: str = "", host: str = "Host: 127.0.0.1") -> bytes:
    lines = (f"{method} {target} HTTP/1.1", host, "Connection: close", *fields, "", body)
    return "\r\n".join(lines).encode("latin-1")


def kept(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def posted(target: str, body: str, *fields: str, method: str = "POST") -> bytes:
    return request(target, JSON, f"Content-Length: {len(body)}", *fields, method=method, body=body)


# What anybody reaches of each port without a key, and with the token.
PLACES = {
    "public": (
        "/",
        "/studio/session",
        "/studio/end",
        "/studio/state",
        "/api/v1/obs/config",
        "/live/x/y",
        "/no",
    ),
    "admin": ("/", "/healthz", "/api/v1/keys", "/api/v1/session", "/api/v1/streams/x/kick", "/metrics", "/no"),
}
FIELDS = {
    "gzip that is none": ("Content-Encoding: gzip", "Content-Length: 5"),
    "zstd that is none": ("Content-Encoding: zstd", "Content-Length: 5"),
    "a coding of no letters": ("Content-Encoding: \xff", "Content-Length: 5"),
    "an expectation of no letters": ("Expect: \xff",),
    "another expectation": ("Expect: wonders",),
    "a range that is none": ("Range: bytes=9-1,x", 'If-Range: "'),
    "tags that are none": ('If-None-Match: "\xff', "If-Match: ,,"),
    "dates that are none": ("If-Modified-Since: Sun, 99 Foo 99999 99:99:99 GMT",),
    "a cookie of no letters": ("Cookie: streamd_studio=\xff; =;;",),
    "a token of no letters": ("Authorization: Bearer \xff",),
    "an origin that is none": ("Origin: http://[",),
    "chunks that are none": ("Transfer-Encoding: chunked", "", "zz"),
    "two lengths": ("Content-Length: 1", "Content-Length: 2"),
    "another protocol": ("Connection: upgrade", "Upgrade: \xff"),
    "a type that is none": ("Content-Type: ;;=", "Content-Length: 5"),
    "a form": ("Content-Type: multipart/form-data; boundary=x", "Content-Length: 5"),
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")


def with_and_without_token(server: LiveServer, port: str) -> list[tuple[str, ...]]:
    return [(), (f"Authorization: Bearer {server.admin_token}",)] if port == "admin" else [()]


@pytest.mark.parametrize("port", PLACES)
class TestRequests:
    @pytest.mark.parametrize("name", FIELDS)
    def test_are_answered_without_a_fault(self, name: str, port: str, server: LiveServer) -> None:
        for shown in with_and_without_token(server, port):
            for target in PLACES[port]:
                for method in ("GET", "POST"):
                    data = request(target, *FIELDS[name], *shown, method=method, body="abcde")
                    found = statuses(server, port, data)
                    assert found, (target, method)
                    assert max(found) < 500, (target, method, found)

    @pytest.mark.parametrize("method", METHODS)
    def test_of_every_method_as_well(self, method: str, port: str, server: LiveServer) -> None:
        for shown in with_and_without_token(server, port):
            for target in PLACES[port]:
                found = statuses(server, port, request(target, *shown, method=method))
                assert found, target
                assert max(found) < 500, (target, found)

    @pytest.mark.parametrize("host", ["Host: [", "Host: ]", "Host: a b", "Host: \xff", 'Host: x"><script>'])
    def test_to_a_host_that_is_none_are_400(self, host: str, port: str, server: LiveServer) -> None:
        assert statuses(server, port, request("/", host=host)) == [400]

    @pytest.mark.parametrize(
        "target", ["http://xn--/", "http://[/", "http://x:99999/", "*", "//", "/%ff", "/\xff", "/?%zz"]
    )
    def test_for_odd_targets_are_the_peers_mistake(self, target: str, port: str, server: LiveServer) -> None:
        for method in ("GET", "POST"):
            found = statuses(server, port, request(target, method=method))
            assert found
            assert max(found) < 500


BODIES = {
    "brackets": "[" * 15_000,
    "objects": '{"a":' * 3000,
    "digits": '{"user":' + "9" * 15_000 + "}",
    "NaN": '{"stream_key":NaN,"user":NaN}',
    "half a character": '{"stream_key":"\\ud800","user":"\\ud800"}',
    "no UTF-8": '{"stream_key":"\xff\xfe","user":"\xff"}',
    "a NUL": '{"stream_key":"\\u0000","user":"\\u0000","reason":"\\u0000"}',
    "the key twice": '{"stream_key":"a","stream_key":"b","user":"a","user":"b"}',
    "a time of no calendar": '{"user":"x","expires_at":"9999999-99-99T99:99:99Z"}',
    "a list": "[]",
    "nothing": "",
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_are_valid_or_the_peers_mistake(name: str, server: LiveServer) -> None:
    body, shown = BODIES[name], f"Authorization: Bearer {server.admin_token}"
    for target in PLACES["public"]:
        assert max(statuses(server, "public", posted(target, body))) < 500, target
    for target in (*PLACES["admin"], "/api/v1/keys/x/rotate", "/api/v1/keys/x/revoke"):
        assert max(statuses(server, "admin", posted(target, body, shown))) < 500, target
    assert max(statuses(server, "admin", posted("/api/v1/users/x", body, shown, method="PATCH"))) < 500


class TestTheLog:
    @pytest.mark.parametrize("port", PLACES)
    def test_is_bounded_however_often_nonsense_comes(self, port: str, server: LiveServer) -> None:
        first = kept("/studio" if port == "public" else "/healthz")
        before = len(server.log_text())
        for number in range(REQUESTS):
            nonsense = (
                request("/", "Content-Encoding: gzip", "Content-Length: 5", method="POST", body="abcde"),
                first + f"{SECRET} / HTTP/1.1\r\n\r\n".encode(),
                first + request("/", "Host: two"),
            )
            statuses(server, port, nonsense[number % len(nonsense)])
        written = server.log_text()[before:]
        assert len(written) < LOG_BYTES_MAX
        assert "Traceback" not in written
        assert SECRET not in written
        assert refused(server, port, "malformed") >= REQUESTS / 2

    def test_is_bounded_however_many_wrong_keys_are_shown(self, server: LiveServer) -> None:
        before = len(server.log_text())
        for number in range(REQUESTS):
            key = f"sk_{number:010d}_{'0' * 32}"
            statuses(server, "public", posted("/api/v1/obs/config", f'{{"authentication":"{key}"}}'))
            statuses(server, "public", posted("/studio/session", f'{{"stream_key":"{key}"}}'))
        assert len(server.log_text()) - before < LOG_BYTES_MAX


def refused(server: LiveServer, port: str, reason: str) -> float:
    text: str = metrics(server)
    found = re.search(rf'streamd_requests_refused_total{{port="{port}",reason="{reason}"}} (\S+)', text)
    return float(found[1]) if found else 0.0


def metrics(server: LiveServer) -> str:
    shown = f"Authorization: Bearer {server.admin_token}"
    return answered(server, "admin", request("/metrics", shown)).decode()


class TestTime:
    def test_a_body_that_does_not_come_is_given_up(self, server: LiveServer) -> None:
        for port, fields in (("public", ()), ("admin", (f"Authorization: Bearer {server.admin_token}",))):
            target = "/studio/session" if port == "public" else "/api/v1/keys"
            data = request(target, JSON, "Content-Length: 2000", *fields, method="POST", body="{")
            assert answered(server, port, data) == b""

    @pytest.mark.parametrize("port", PLACES)
    def test_a_body_that_comes_too_slowly_is_told_so(self, port: str, server: LiveServer) -> None:
        target = "/studio/session" if port == "public" else "/api/v1/keys"
        shown = () if port == "public" else (f"Authorization: Bearer {server.admin_token}",)
        with connected(server, port) as connection:
            connection.sendall(request(target, JSON, "Content-Length: 15000", *shown, method="POST"))
            connection.settimeout(SOON_S / 20)
            for _ in range(int(PATIENCE_S * 20)):
                connection.sendall(b" ")
                with contextlib.suppress(TimeoutError):
                    assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
                    return
        raise AssertionError("no answer")

    def test_an_answer_that_is_not_read_is_given_up(self, server: LiveServer) -> None:
        page = server.get("/watch/somebody")[2].decode()
        path = next(path for path in re.findall(r'"\.\.(/static/[^"]+\.mjs)"', page) if "hls" in path)
        before = server.open_files()
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                connection = stack.enter_context(connected(server, receive_buffer_bytes=4096))
                connection.sendall(kept(path) * 16)
            wait_until(lambda: server.open_files() >= before + 15, PATIENCE_S, "the connections")
            wait_until(lambda: server.open_files() <= before + 2, PATIENCE_S, "their end")


class TestTheAdminPort:
    def test_holds_a_few_strangers_for_a_moment_and_lets_the_operator_in(self, server: LiveServer) -> None:
        before = server.open_files()
        with contextlib.ExitStack() as stack:
            for _ in range(CONNECTIONS_PER_ADDRESS_MAX * 3):
                stack.enter_context(connected(server, "admin"))
            assert server.open_files() - before <= CONNECTIONS_PER_ADDRESS_MAX + 2
            assert server.admin("GET", "/api/v1/streams") == {"streams": []}
            wait_until(lambda: server.open_files() <= before + 2, PATIENCE_S, "the strangers' end")

    def test_wrong_tokens_leave_a_trace_and_keep_nobody_out(self, server: LiveServer) -> None:
        before = len(server.log_text())
        data = request("/api/v1/keys", f"Authorization: Bearer {SECRET}")
        assert [statuses(server, "admin", data) for _ in range(25)] == [[401]] * 25
        assert server.admin("GET", "/api/v1/streams") == {"streams": []}
        written = server.log_text()[before:]
        assert SECRET not in written
        assert len(written) < LOG_BYTES_MAX
        assert refused(server, "admin", "token") >= 25


def test_nothing_of_the_admin_api_is_on_the_public_port(server: LiveServer) -> None:
    """Not even for those who have its token. Both ports have a list of streams, and take clips; each its own."""
    paths: Any = server.admin("GET", "/openapi.json")
    for path, methods in paths["paths"].items():
        for method in methods:
            if method == "get" and path.startswith("/api/v1/streams"):
                continue
            # Viewers make clips where they may, which they may not here; the admin token changes nothing.
            expected = ([403],) if (method, path) == ("post", "/api/v1/clips") else ([404], [405])
            shown = f"Authorization: Bearer {server.admin_token}"
            target = re.sub(r"\{\w+\}", "somebody", path)
            found = statuses(
                server, "public", request(target, shown, JSON, "Content-Length: 2", method=method.upper(), body="{}")
            )
            assert found in expected, (method, path)


def test_a_form_of_another_site_ends_no_session(server: LiveServer) -> None:
    key = server.issue_key("broadcaster")
    signed_in = answered(server, "public", posted("/studio/session", f'{{"stream_key":"{key}"}}')).decode()
    found = re.search(r"Set-Cookie: (streamd_studio=[^;]+)(.*)", signed_in)
    assert found is not None
    assert "SameSite=Strict" in found[2]
    cookie = f"Cookie: {found[1]}"
    for fields in (("Sec-Fetch-Site: cross-site",), ("Origin: https://evil.example",), ("Origin: null",)):
        foreign = request("/studio/end", cookie, "Content-Length: 3", *fields, method="POST", body="a=b")
        refusal = answered(server, "public", foreign)
        assert refusal.startswith(b"HTTP/1.1 403 ")
        assert b"Set-Cookie" not in refusal
    assert statuses(server, "public", request("/studio/state", cookie)) == [200]


def test_https_says_so_from_now_on(server: LiveServer) -> None:
    said = b"\r\nStrict-Transport-Security: max-age=" in answered(
        server, "public", request("/", host="Host: live.example.org")
    )
    assert said is (server.tls is not None)


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose peers may ask little."""
    with run_server(tmp_path_factory.mktemp("flooded"), limits__requests_per_second_max=10) as running:
        yield running


class TestFloods:
    """More requests than an address may have answered."""

    @pytest.mark.parametrize("port", PLACES)
    def test_are_answered_429_and_the_operator_is_not_held_up(self, port: str, flooded: LiveServer) -> None:
        found: list[int] = []
        with contextlib.suppress(ConnectionError), connected(flooded, port) as connection:
            connection.sendall(kept("/") * 300)
            answers = b""
            while piece := connection.recv(65_536):
                answers += piece
            found = [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answers)]
        assert found.count(429) == 1
        assert found[-1] == 429
        streams: Any = flooded.admin("GET", "/api/v1/streams")
        assert streams == {"streams": []}
        # Media goes its own way.
        assert statuses(flooded, "public", request("/live/nobody/index.m3u8")) == [404]
