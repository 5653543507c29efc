from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamd.doors.delivery.http_request import (
    DEFAULT_HEAD_LIMITS,
    HeadParser,
    MalformedRequestError,
    RequestHead,
    find_head,
    skip_empty_line,
    split_target,
)
from tests.support.delivery import deliver

if TYPE_CHECKING:
    from collections.abc import Callable

LINE = "GET /live/demo/main.m3u8?_HLS_msn=5 HTTP/1.1"

LIMITS = DEFAULT_HEAD_LIMITS


def head(*fields: str, line: str = LINE, host: str = "Host: example.org") -> bytes:
    lines = [line, *([host] if host else []), *fields]
    return "".join(f"{each}\r\n" for each in lines).encode("latin-1") + b"\r\n"


class Reader:
    """What a connection does with ``find_head`` and a parser."""

    def __init__(self) -> None:
        self._parser = HeadParser()
        self._data = b""

    def feed(self, data: bytes) -> list[RequestHead]:
        self._data += data
        heads: list[RequestHead] = []
        while True:
            start = skip_empty_line(self._data, 0)
            end = find_head(self._data, start)
            if end < 0:
                return heads
            heads.append(self._parser.parse(self._data[start:end]))
            self._data = self._data[end:]


def new_reader() -> Callable[[bytes], list[RequestHead]]:
    return Reader().feed


def read(data: bytes, trailing: bytes = b"") -> RequestHead:
    (found,) = deliver(new_reader, data, trailing)
    return found


class TestWhatIsRead:
    def test_a_request_is_read(self) -> None:
        fields = ("Range: bytes=0-5", 'If-Range: "x"', "Accept-Encoding: gzip", "User-Agent: x/1")
        found = read(head(*fields, "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 10.0.0.1"), b"GET /")
        assert found == RequestHead(
            method="GET",
            path="/live/demo/main.m3u8",
            query="_HLS_msn=5",
            is_plain=True,
            keep_alive=True,
            is_http_1_0=False,
            accept_encoding="gzip",
            if_none_match="",
            if_range='"x"',
            range="bytes=0-5",
            user_agent="x/1",
            forwarded_for="192.0.2.1, 10.0.0.1",
        )

    def test_requests_follow_each_other(self) -> None:
        assert [
            each.path for each in deliver(new_reader, head(line="GET /a HTTP/1.1") + head(line="GET /b HTTP/1.1"))
        ] == [
            "/a",
            "/b",
        ]

    def test_an_empty_line_before_a_request_is_passed_over(self) -> None:
        """RFC 9112 2.2."""
        assert [each.path for each in deliver(new_reader, head() + b"\r\n" + head())] == ["/live/demo/main.m3u8"] * 2

    def test_a_repeated_field_is_joined(self) -> None:
        """RFC 9110 5.3."""
        assert read(head('If-None-Match: "a"', 'if-none-match: "b"')).if_none_match == '"a", "b"'

    def test_names_of_fields_are_case_insensitive(self) -> None:
        assert read(head("ACCEPT-encoding: br", host="hOST: x")).accept_encoding == "br"

    @pytest.mark.parametrize(
        ("line", "field", "keep_alive"),
        [
            ("GET / HTTP/1.1", "X: y", True),
            ("GET / HTTP/1.1", "Connection: keep-alive", True),
            ("GET / HTTP/1.1", "Connection: close", False),
            ("GET / HTTP/1.1", "Connection: x, Close", False),
            ("GET / HTTP/1.0", "X: y", False),
            ("GET / HTTP/1.0", "Connection: keep-alive", True),
        ],
    )
    def test_a_connection_stays_or_closes(self, line: str, field: str, keep_alive: bool) -> None:
        """RFC 9112 9.3."""
        found = read(head(field, line=line))
        assert found.keep_alive is keep_alive
        assert found.is_http_1_0 is line.endswith("1.0")

    @pytest.mark.parametrize("name", ["close", "keep-alive"])
    def test_one_parser_reads_on_after_any_connection(self, name: str) -> None:
        parser = HeadParser()
        for _ in range(2):
            assert parser.parse(head(f"Connection: {name}")).keep_alive is (name == "keep-alive")
        with pytest.raises(MalformedRequestError):
            parser.parse(b"nonsense\r\n\r\n")
        assert parser.parse(head()).is_plain

    @pytest.mark.parametrize(
        ("field", "is_plain"),
        [
            ("Content-Length: 0", True),
            ("Content-Length: 5", False),
            ("Transfer-Encoding: chunked", False),
            ("Expect: 100-continue", False),
            ("Connection: upgrade\r\nUpgrade: websocket", False),
        ],
    )
    def test_a_request_is_plain_or_somebody_elses(self, field: str, is_plain: bool) -> None:
        parser = HeadParser()
        assert parser.parse(head(field)).is_plain is is_plain
        assert parser.parse(head()).is_plain

    def test_http_1_0_needs_no_host(self) -> None:
        assert read(head(line="GET / HTTP/1.0", host="")).path == "/"

    @pytest.mark.parametrize(
        ("target", "path", "query"),
        [
            ("/a?b?c", "/a", "b?c"),
            ("/a", "/a", ""),
            ("/%2e%2e/a%00?%20", "/%2e%2e/a%00", "%20"),
            ("http://example.org/a?b", "/a", "b"),
            ("HTTPS://example.org:8443/a", "/a", ""),
            ("http://example.org", "/", ""),
            ("ftp://example.org/a", "ftp://example.org/a", ""),
            ("*", "*", ""),
            ("//live/a", "//live/a", ""),
        ],
    )
    def test_a_target_is_split_as_it_was_sent(self, target: str, path: str, query: str) -> None:
        assert split_target(target) == (path, query)


REFUSED = {
    "length and chunks": (head("Content-Length: 3", "Transfer-Encoding: chunked"), 400),
    "chunks and length": (head("Transfer-Encoding: chunked", "Content-Length: 3"), 400),
    "two lengths": (head("Content-Length: 3", "Content-Length: 4"), 400),
    "the same length twice": (head("Content-Length: 3", "Content-Length: 3"), 400),
    "a list of lengths": (head("Content-Length: 3, 3"), 400),
    "a signed length": (head("Content-Length: +3"), 400),
    "an empty length": (head("Content-Length:"), 400),
    "an endless length": (head("Content-Length: 99999999999999999999999"), 400),
    "chunks that are not last": (head("Transfer-Encoding: chunked, identity"), 400),
    "chunks misspelt": (head("Transfer-Encoding: xchunked"), 400),
    "no chunks": (head("Transfer-Encoding: gzip"), 400),
    "chunks in HTTP/1.0": (head("Transfer-Encoding: chunked", line="GET / HTTP/1.0"), 400),
    "a space before the colon": (head("Transfer-Encoding : chunked"), 400),
    "a folded line": (head("X: a", " b"), 400),
    "a space before the first field": (head(host=" Host: x"), 400),
    "a field without a name": (head(": x"), 400),
    "a NUL in a value": (head("X: a\0b"), 400),
    "a CR in a value": (head("X: a\rb: c"), 400),
    "a NUL in the target": (head(line="GET /a\0b HTTP/1.1"), 400),
    "a letter beyond ASCII in the target": (head(line="GET /\xe9 HTTP/1.1"), 400),
    "lines that end in LF": (head().replace(b"\r\n", b"\n"), 400),
    "a line that ends in LF": (head("X: y", "Z: z").replace(b"y\r\n", b"y\n"), 400),
    "two empty lines": (b"\r\n\r\n" + head(), 400),
    "no host": (head(host=""), 400),
    "two hosts": (head("Host: other"), 400),
    "no version": (head(line="GET /"), 505),
    "no target": (head(line="GET HTTP/1.1"), 400),
    "an unknown method": (head(line="BREW / HTTP/1.1"), 400),
    "a method in lower case": (head(line="get / HTTP/1.1"), 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "RTMP": (b"\x03" + bytes(1536), 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/0.9": (head(line="GET / HTTP/0.9"), 505),
    "HTTP/3": (head(line="GET / HTTP/3.0"), 400),
    "a long target": (head(line=f"GET /{'a' * LIMITS.request_line_bytes_max} HTTP/1.1"), 414),
    "a target without an end": (b"GET /" + b"a" * (LIMITS.request_line_bytes_max + 10), 414),
    "a long field": (head(f"X: {'a' * LIMITS.request_head_bytes_max}"), 431),
    "64 kB of fields": (head(*(f"X-{n}: {'a' * 1000}" for n in range(64))), 431),
    "fields without an end": (head(*(f"X-{n}: {'a' * 1000}" for n in range(20)))[:-2], 431),
    "many fields": (head(*(f"X-{n}: y" for n in range(LIMITS.request_fields_max))), 431),
    "10,000 fields": (head(*(f"X-{n}: y" for n in range(10_000))), 431),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_request_is_refused_however_it_arrives(data: bytes, status: int) -> None:
    with pytest.raises(MalformedRequestError) as whole:
        new_reader()(data)
    assert whole.value.status == status
    with pytest.raises(MalformedRequestError) as cut:
        deliver(new_reader, data)
    assert cut.value.status == status


class TestLimits:
    def test_the_longest_request_line_is_read(self) -> None:
        line = "GET / HTTP/1.1"
        target = "/" + "a" * (LIMITS.request_line_bytes_max - len(line))
        assert read(head(line=f"GET {target} HTTP/1.1")).path == target

    def test_the_longest_head_is_read(self) -> None:
        padding = LIMITS.request_head_bytes_max - len(head("X: "))
        assert new_reader()(head("X: " + "a" * padding))
        with pytest.raises(MalformedRequestError):
            new_reader()(head("X: " + "a" * (padding + 1)))

    def test_as_many_fields_as_are_allowed_are_read(self) -> None:
        assert read(head(*(f"X-{n}: y" for n in range(LIMITS.request_fields_max - 1))))
