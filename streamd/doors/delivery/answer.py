"""Requests for media and their answers, as values.

An answer's head and body are built once and shared by all requests, so it is written by handing the same bytes to
another socket.

Spec: RFC 9110 sections 9.3 and 15; RFC 9111; rfc8216bis-22 appendix B (caching).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus

from streamd.doors.delivery.media_path import MediaPath

# A day, which is more than browsers keep the answer to a preflight.
PREFLIGHT_MAX_AGE_S = 86_400
# Means Cache-Control: no-store in ``error``.
NO_STORE = -1

METHODS = ("GET", "HEAD", "OPTIONS")
"""The methods of media; a door answers all others with 405."""
_ALLOW = ", ".join(METHODS)

Headers = tuple[tuple[str, str], ...]
Body = tuple[bytes | memoryview, ...]

# Any web page may play our media, and read what its player needs of the headers. No cookie, no secret is on this port.
CORS: Headers = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "*"))


class Absence(enum.Enum):
    """Why there is no presentation under a name."""

    UNKNOWN = HTTPStatus.NOT_FOUND
    """Never live, or ended longer ago than its playlist stays."""
    TAKEN_DOWN = HTTPStatus.GONE
    """Taken down, or its user is suspended."""
    NOT_NOW = HTTPStatus.SERVICE_UNAVAILABLE
    """This node cannot know what it may show, or has not got it yet."""


@dataclass(frozen=True, slots=True)
class MediaRequest:
    """The facts of a request that decide its answer; a repeated header is joined by commas, a missing one empty."""

    method: str
    path: MediaPath
    query: str = ""
    """The text after ``?``, not decoded."""
    accept_encoding: str = ""
    if_none_match: str = ""
    if_range: str = ""
    range: str = ""
    _hash: int = field(init=False, repr=False, compare=False)
    """Of all the above. Each viewer of a crowd looks the same request up, and none has to count it again."""

    def __post_init__(self) -> None:
        facts = (
            self.method,
            self.path,
            self.query,
            self.accept_encoding,
            self.if_none_match,
            self.if_range,
            self.range,
        )
        object.__setattr__(self, "_hash", hash(facts))

    def __hash__(self) -> int:
        """The hash of what decides the answer."""
        return self._hash


class Answer:
    """A complete HTTP answer, never changed and shared by all viewers that get it.

    Attributes:
        status: Status code.
        headers: Name and value of each header field, Content-Length included. Date and Connection are the door's.
        body: Buffers to write one after another; nothing in answer to HEAD.
        body_bytes: Length of all of them.
        head: Status line and header fields as HTTP/1.1 writes them, without the empty line that ends them, so that a
            door can add its own.
        encoded: The last form that a door's encoder gave it, for that encoder alone.
        body_file: File descriptor of a file with the body, where a door has made one.
        times_sent: How often a door has looked for that file in vain.
    """

    __slots__ = (
        "__weakref__",
        "body",
        "body_bytes",
        "body_file",
        "encoded",
        "head",
        "headers",
        "status",
        "times_sent",
    )

    def __init__(self, status: HTTPStatus, headers: Headers, body: Body = ()) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.body_bytes = sum(map(len, body))
        self.encoded: tuple[object, Body] = (None, ())
        self.body_file: int | None = None
        self.times_sent = 0
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self.head = f"HTTP/1.1 {status.value} {status.phrase}\r\n{fields}".encode("latin-1")

    def without_body(self) -> Answer:
        """The same answer to HEAD (RFC 9110 9.3.2): the header fields of GET and no content."""
        return Answer(self.status, self.headers) if self.body else self


def cut(buffers: Body, start: int, stop: int) -> Body:
    """Take bytes ``start`` to ``stop`` of a list of buffers without copying them."""
    pieces: list[bytes | memoryview] = []
    offset = 0
    for buffer in buffers:
        begin, end = max(start - offset, 0), min(stop - offset, len(buffer))
        if begin < end:
            pieces.append(memoryview(buffer)[begin:end])
        offset += len(buffer)
    return tuple(pieces)


# As many as there are statuses and lifetimes: target durations are 1 to 10 s.
@lru_cache(maxsize=64)
def error(status: HTTPStatus, max_age_s: int, *extra: tuple[str, str]) -> Answer:
    """An answer without media.

    Args:
        status: Its status, which is its text too.
        max_age_s: Seconds that caches may keep it, or ``NO_STORE``.
        extra: More header fields.
    """
    body = f"{status.value} {status.phrase}\n".encode()
    headers = (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store" if max_age_s == NO_STORE else f"max-age={max_age_s}"),
        *extra,
        *CORS,
    )
    return Answer(status, headers, (body,))


METHOD_NOT_ALLOWED = error(HTTPStatus.METHOD_NOT_ALLOWED, NO_STORE, ("Allow", _ALLOW))
PREFLIGHT = Answer(
    HTTPStatus.NO_CONTENT,
    (
        ("Allow", _ALLOW),
        ("Access-Control-Allow-Methods", _ALLOW),
        ("Access-Control-Allow-Headers", "*"),
        ("Access-Control-Max-Age", str(PREFLIGHT_MAX_AGE_S)),
        *CORS,
    ),
)
