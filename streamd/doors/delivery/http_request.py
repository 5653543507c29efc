"""The head of an HTTP/1 request: framed here, parsed by httptools, read no further than media needs.

Sans-I/O. A connection keeps the bytes it has not answered; ``find_head`` says where the first head in them ends, and
``HeadParser.parse`` reads that head. Nothing after a head is looked at, so aiohttp finds all bytes of a connection
that it takes over.

Spec: RFC 9112 sections 2.2, 3, 5.1, 6.3 and 11.2; RFC 9110 section 5.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

import httptools

from streamd.errors import ProtocolError
from streamd.limits import DEFAULT

_END = b"\r\n\r\n"
_VERSIONS = ("1.1", "1.0")


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """How much a viewer's request may say before it is answered."""

    request_head_bytes_max: int = DEFAULT.request_head_bytes_max
    """Browsers send about 1 kB, with a site's cookies up to 8 kB. Every connection may hold this much before it has
    asked for anything."""
    request_line_bytes_max: int = DEFAULT.request_line_bytes_max
    """RFC 9112 3: "It is RECOMMENDED that all HTTP senders and recipients support, at a minimum, request-line lengths
    of 8000 octets"."""
    request_fields_max: int = DEFAULT.request_fields_max
    """Browsers and proxies together send about 30; the cost of a head is in its fields."""


DEFAULT_HEAD_LIMITS = HeadLimits()


class MalformedRequestError(ProtocolError):
    """A request that is answered with an error, after which the connection closes: its end is not to be known.

    Attributes:
        status: Status of its answer.
    """

    def __init__(self, detail: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST, *, limit: str = "") -> None:
        super().__init__(detail, limit=limit)
        self.status = status


class RequestHead(NamedTuple):
    """The facts of a request's head that decide its answer; a repeated field is joined by commas."""

    method: str
    path: str
    """As sent: what is percent-encoded is not decoded."""
    query: str
    """The text after ``?``, not decoded."""
    is_plain: bool
    """It has no content, and asks for no other protocol and no 100 (Continue)."""
    keep_alive: bool
    """Whether the connection may be used again (RFC 9112 9.3)."""
    is_http_1_0: bool
    accept_encoding: str
    if_none_match: str
    if_range: str
    range: str
    user_agent: str
    forwarded_for: str
    """``X-Forwarded-For``, which any peer can write."""
    referrer: str = ""
    """``Origin``, or else ``Referer``: the page that asks, as far as a browser tells."""


def find_head(data: bytes, start: int = 0, limits: HeadLimits = DEFAULT_HEAD_LIMITS) -> int:
    """Find the end of the request head that begins at ``start``.

    Args:
        data: Bytes that have been received and not answered.
        start: Where the head begins.
        limits: How long it may be.

    Returns:
        The offset after the empty line that ends it, or -1 if more bytes are needed.

    Raises:
        MalformedRequestError: It is too long already, or what is there cannot be the beginning of one.
    """
    if start < len(data):
        _check_beginning(data, start)
    end = data.find(_END, start)
    size = (end + len(_END) if end >= 0 else len(data)) - start
    line_end = data.find(b"\r\n", start, start + limits.request_line_bytes_max + 2)
    if line_end < 0 and size > limits.request_line_bytes_max + len(b"\r"):
        raise MalformedRequestError(
            "the request line is too long", HTTPStatus.REQUEST_URI_TOO_LONG, limit="request_line_bytes_max"
        )
    if size > limits.request_head_bytes_max:
        raise MalformedRequestError(
            "the head is too long", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, limit="request_head_bytes_max"
        )
    if end >= 0:
        return end + len(_END)
    # RFC 9112 2.2 lets a recipient take a single LF for a line's end. Ours must see the end that the proxy in front
    # of it sees, and such a head would only run into the time limit.
    if data.count(b"\n", start) != data.count(b"\r\n", start):
        raise MalformedRequestError("a line ends in LF alone")
    return -1


def skip_empty_line(data: bytes, start: int) -> int:
    """Pass over one empty line before a request.

    RFC 9112 2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at least one empty
    line (CRLF) received prior to the request-line."
    """
    return start + 2 if data.startswith(b"\r\n", start) else start


def split_target(target: str) -> tuple[str, str]:
    """Split a request target into path and query, both as sent.

    RFC 9112 3.2.2: "a server MUST accept the absolute-form in requests even though most HTTP/1.1 clients will only
    send the absolute-form to a proxy". Whatever host it names is us.
    """
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        scheme, _, rest = path.partition("://")
        if scheme.lower() in ("http", "https"):
            path = "/" + rest.partition("/")[2]
    return path, query


def _check_beginning(data: bytes, start: int) -> None:
    """Refuse at once what would otherwise only run into the time limit: TLS, RTMP, noise."""
    # All methods there are begin with a capital letter. A CR may be half of the empty line before a request.
    if not (ord("A") <= data[start] <= ord("Z") or (data[start] == ord("\r") and len(data) == start + 1)):
        raise MalformedRequestError("not an HTTP request")


class HeadParser:
    """Reads whole request heads, one after another, from any number of connections.

    Args:
        limits: How many fields a head may have.
    """

    def __init__(self, limits: HeadLimits = DEFAULT_HEAD_LIMITS) -> None:
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._clear()

    def _clear(self) -> None:
        self._is_complete = False
        self._keep_alive = False
        self._target = b""
        self._fields = 0
        self._hosts = 0
        self._expects = False
        self._has_transfer_encoding = False
        self._values: dict[bytes, bytes] = {}

    def parse(self, head: bytes) -> RequestHead:
        """Read one head.

        Args:
            head: From the request line to the empty line.

        Raises:
            MalformedRequestError: It breaks RFC 9112, or one of our limits.
        """
        self._clear()
        parser = self._parser
        is_plain = True
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            is_plain = False
        except httptools.HttpParserError as exc:
            self._parser = httptools.HttpRequestParser(self)
            raise MalformedRequestError(str(exc)) from exc
        keep_alive = self._keep_alive
        if not (self._is_complete and keep_alive and is_plain):
            # It expects content, another protocol or the end: the next head may be another connection's.
            self._parser = httptools.HttpRequestParser(self)
        if self._fields > self._limits.request_fields_max:
            raise MalformedRequestError(
                "too many header fields", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, limit="request_fields_max"
            )
        version = parser.get_http_version()
        if version not in _VERSIONS:
            raise MalformedRequestError(f"HTTP/{version}", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        # RFC 9112 3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message
        # that lacks a Host header field and to any request message that contains more than one Host header field".
        if self._hosts != 1 and (self._hosts > 1 or version == "1.1"):
            raise MalformedRequestError("not one Host field")
        # RFC 9112 6.1: "A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding header
        # field MUST treat the message as if the framing is faulty".
        if self._has_transfer_encoding and version == "1.0":
            raise MalformedRequestError("Transfer-Encoding in HTTP/1.0")
        target = self._target.decode("latin-1")
        path, query = split_target(target)
        get = self._values.get
        return RequestHead(
            method=parser.get_method().decode("latin-1"),
            path=path,
            query=query,
            is_plain=is_plain and self._is_complete and not self._expects,
            keep_alive=keep_alive,
            is_http_1_0=version == "1.0",
            accept_encoding=get(b"accept-encoding", b"").decode("latin-1"),
            if_none_match=get(b"if-none-match", b"").decode("latin-1"),
            if_range=get(b"if-range", b"").decode("latin-1"),
            range=get(b"range", b"").decode("latin-1"),
            user_agent=get(b"user-agent", b"").decode("latin-1"),
            forwarded_for=get(b"x-forwarded-for", b"").decode("latin-1"),
            referrer=(get(b"origin") or get(b"referer", b"")).decode("latin-1"),
        )

    # Called by httptools.

    def on_url(self, target: bytes) -> None:
        """Take the request target."""
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header field."""
        self._fields += 1
        name = name.lower()
        if name in _FIELDS_READ:
            values = self._values
            # RFC 9110 5.3: repeated fields are one, joined by commas in their order.
            values[name] = values[name] + b", " + value if name in values else value
        elif name == b"host":
            self._hosts += 1
        elif name == b"expect":
            self._expects = True
        elif name == b"transfer-encoding":
            self._has_transfer_encoding = True

    def on_headers_complete(self) -> None:
        """Ask what the parser forgets when the message is complete."""
        self._keep_alive = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        """The head was all of the request: it has no content."""
        self._is_complete = True


_FIELDS_READ = frozenset(
    (
        b"accept-encoding",
        b"if-none-match",
        b"if-range",
        b"origin",
        b"range",
        b"referer",
        b"user-agent",
        b"x-forwarded-for",
    )
)
