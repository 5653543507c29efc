"""Heads of HTTP requests: read, or a ``MalformedRequestError`` with its status; the same however the bytes are cut."""

from __future__ import annotations

from streamd.doors.delivery.http_request import (
    DEFAULT_HEAD_LIMITS,
    HeadParser,
    MalformedRequestError,
    find_head,
    skip_empty_line,
)


def seeds() -> list[bytes]:
    fields = b"Host: x\r\nUser-Agent: p\r\nAccept-Encoding: gzip, br;q=0.1\r\nRange: bytes=0-99\r\n"
    lines = (b"GET /live/a/main.m3u8?_HLS_msn=5&_HLS_part=1 HTTP/1.1\r\n", b"HEAD http://h/live/a.flv HTTP/1.0\r\n")
    odd = (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n c\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"\r\nGET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    )
    return [*(line + fields + b"\r\n" for line in lines), *odd]


def run(data: bytes) -> None:
    """Args: data: What a connection says before it has been answered."""
    parser = HeadParser()
    first = _read(parser, data)
    # A parser that has seen nonsense reads the next connection's head as a new one does.
    assert _read(HeadParser(), data) == first
    half = len(data) // 2
    try:
        end = find_head(data[:half], skip_empty_line(data[:half], 0))
    except MalformedRequestError:
        return
    assert end <= half


def _read(parser: HeadParser, data: bytes) -> object:
    try:
        start = skip_empty_line(data, 0)
        end = find_head(data, start)
        if end < 0:
            assert len(data) <= DEFAULT_HEAD_LIMITS.request_head_bytes_max + start
            return None
        head = parser.parse(data[start:end])
    except MalformedRequestError as exc:
        return exc.status
    assert head.method.isascii()
    assert "?" not in head.path
    return head
