"""What to answer to a request for media: one pure function that every door asks.

A door parses the path, looks the stream up, and calls ``decide``. It writes the ``Answer``, or waits until
the rendition has reached what a ``Wait`` names and asks again. Heads and bodies are built once for each playlist, part
and segment and shared by all requests, so an answer is written by handing the same bytes to another socket.

Spec: rfc8216bis-22 sections 6.2.2, 6.2.5 and appendix B (caching); RFC 9110 sections 9.3, 12.5.3, 13 and 14; RFC 9111.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

from streamd.doors.delivery.media_path import MediaKind, MediaPath
from streamd.errors import DirectiveError
from streamd.formats.hls.directives import NO_DIRECTIVES, Directives, parse_directives
from streamd.media.packager.playlist_text import PlaylistText
from streamd.media.packager.presentation import Presentation
from streamd.media.packager.reload import PartNumber, Position, ReloadVerdict, decide_reload
from streamd.media.packager.rendition import Rendition
from streamd.media.packager.resource import Resource

# Appendix B, in target durations: how long a cache may keep what a blocking playlist request was answered.
BLOCKING_PLAYLIST_TARGETS = 6
BLOCKING_NOT_FOUND_TARGETS = 4
# 6.2.5.2: a request that has been held for more than three target durations is answered 503.
BLOCKED_TARGETS_MAX = 3
# Names of media are never used again, so any time is right; an hour is longer than any window lists them, and
# short enough for caches to forget what has been taken down.
MEDIA_MAX_AGE_S = 3600
# A name that is not live has no target duration. A player page that polls for a stream to begin must see it soon.
ABSENT_MAX_AGE_S = 1
# A day, which is more than browsers keep the answer to a preflight.
PREFLIGHT_MAX_AGE_S = 86_400
# Means Cache-Control: no-store in ``_error``.
_NO_STORE = -1

METHODS = ("GET", "HEAD", "OPTIONS")
"""What may be done with media; a door answers the rest with 405."""
_ALLOW = ", ".join(METHODS)

# Any web page may play our media, and read what its player needs of the headers. No cookie, no secret is on this port.
_CORS = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", "*"))

Headers = tuple[tuple[str, str], ...]
Body = tuple[bytes | memoryview, ...]


class Absence(enum.Enum):
    """Why there is no presentation under a name."""

    UNKNOWN = HTTPStatus.NOT_FOUND
    """Never live, or ended longer ago than its playlist stays."""
    TAKEN_DOWN = HTTPStatus.GONE
    """Taken down, or its user is suspended."""


@dataclass(frozen=True, slots=True)
class MediaRequest:
    """What of an HTTP request decides its answer; a repeated header arrives joined by commas, a missing one empty."""

    method: str
    path: MediaPath
    query: str = ""
    """What follows ``?``, not decoded."""
    accept_encoding: str = ""
    if_none_match: str = ""
    if_range: str = ""
    range: str = ""


class Answer:
    """A complete HTTP answer, never changed and shared by all who get it.

    Attributes:
        status: Status code.
        headers: Name and value of each header field, Content-Length included. Date and Connection are the door's.
        body: Buffers to write one after another; nothing in answer to HEAD.
        body_bytes: Length of all of them.
        head: Status line and header fields as HTTP/1.1 writes them, without the empty line that ends them, so that a
            door can add its own.
        encoded: What a door's encoder has made of it last; nobody else looks inside.
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


@dataclass(frozen=True, slots=True)
class Wait:
    """The answer depends on what comes next: ask again when it is there, or when the time is over."""

    variant: str
    """The rendition whose ``has_reached(until)`` says when to ask again."""
    until: Position | PartNumber
    timeout_s: int
    """Seconds from the first ``Wait`` of a request; after it, ask with ``timed_out``."""


def decide(request: MediaRequest, found: Presentation | Absence, *, timed_out: bool = False) -> Answer | Wait:
    """Decide what to answer to a request for media.

    Args:
        request: The request.
        found: What is live, or was a moment ago, under ``request.path.name``.
        timed_out: The request has waited ``Wait.timeout_s``; what would have to wait on is refused with 503.

    Returns:
        The answer, or what it waits for. With ``timed_out`` always an answer.
    """
    if request.method == "GET":
        return _decide_get(request, found, timed_out)
    if request.method == "HEAD":
        answer = _decide_get(request, found, timed_out)
        return answer.without_body() if isinstance(answer, Answer) else answer
    return _PREFLIGHT if request.method == "OPTIONS" else _METHOD_NOT_ALLOWED


def _decide_get(request: MediaRequest, found: Presentation | Absence, timed_out: bool) -> Answer | Wait:
    if isinstance(found, Absence):
        return _error(found.value, ABSENT_MAX_AGE_S)
    decision = _decide_resource(request, found)
    if isinstance(decision, Wait):
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, found.target_duration_s) if timed_out else decision
    if isinstance(decision, Answer):
        return decision
    resource, max_age_s = decision
    answer = _prepared(resource, max_age_s)
    # RFC 9110 13.2.2: If-None-Match comes before Range.
    if request.if_none_match and _matches(request.if_none_match, resource.entity_tag):
        return Answer(HTTPStatus.NOT_MODIFIED, _validators(resource, max_age_s))
    # RFC 9110 14.2: "A server MUST ignore a Range header field received with a request method that is unrecognized
    # or for which range handling is not defined", and defines it for GET alone.
    if request.range and request.method == "GET" and resource.is_immutable:
        return _ranged(request, resource, answer, max_age_s)
    return answer


def _decide_resource(request: MediaRequest, presentation: Presentation) -> tuple[Resource, int] | Answer | Wait:
    """Find the bytes and the seconds that caches may keep them."""
    path = request.path
    target_s = presentation.target_duration_s
    if path.kind is MediaKind.MULTIVARIANT:
        return _decide_multivariant(request, presentation)
    rendition = presentation.renditions.get(path.variant)
    if rendition is None:
        is_blocking = path.kind is MediaKind.PLAYLIST and "_HLS_msn" in request.query
        return _error(HTTPStatus.NOT_FOUND, (BLOCKING_NOT_FOUND_TARGETS if is_blocking else 1) * target_s)
    if path.kind is MediaKind.PLAYLIST:
        return _decide_playlist(request, rendition)
    resource, is_to_come = _find_media(path, rendition)
    if resource is not None:
        return resource, MEDIA_MAX_AGE_S
    if path.kind is MediaKind.PART and is_to_come and path.number == rendition.next_part_number:
        # 6.2.2: a request for a hinted resource is held until all of it is there.
        return Wait(path.variant, PartNumber(path.number), BLOCKED_TARGETS_MAX * target_s)
    # A name that will exist soon: an error that a cache kept would outlive its reason, and anyone could
    # make a cache refuse the parts to come.
    return _error(HTTPStatus.NOT_FOUND, _NO_STORE if is_to_come else target_s)


def _find_media(path: MediaPath, rendition: Rendition) -> tuple[Resource | None, bool]:
    """Look media up; where there is none, say whether the name may still come to be."""
    is_live = not rendition.is_ended
    if path.kind is MediaKind.PART:
        is_to_come = is_live and rendition.low_latency and path.number >= rendition.next_part_number
        return rendition.part(path.number), is_to_come
    if path.kind is MediaKind.SEGMENT:
        return rendition.segment(path.number), is_live and path.number > rendition.edge().last_msn
    return rendition.init(path.number), is_live and path.number > rendition.edge().last_msn


def _decide_multivariant(request: MediaRequest, presentation: Presentation) -> tuple[Resource, int] | Answer | Wait:
    target_s = presentation.target_duration_s
    awaited = presentation.awaited_rendition()
    if awaited is not None and not awaited.is_ended:
        # Its bit rate is not known before its first segment.
        return Wait(awaited.name, Position(awaited.first_msn), BLOCKED_TARGETS_MAX * target_s)
    text = presentation.multivariant_playlist()
    if text is None:
        return _error(HTTPStatus.NOT_FOUND, target_s)
    return _encoded(request, text), target_s // 2


def _decide_playlist(request: MediaRequest, rendition: Rendition) -> tuple[Resource, int] | Answer | Wait:
    target_s = rendition.timing.target_duration_s
    try:
        directives = parse_directives(request.query) if rendition.low_latency else NO_DIRECTIVES
    except DirectiveError:
        return _error(HTTPStatus.BAD_REQUEST, target_s)
    edge = rendition.edge()
    decision = decide_reload(directives, edge)
    if decision is ReloadVerdict.BAD_REQUEST:
        # It asks for too much too early; soon the same request is a good one.
        return _error(HTTPStatus.BAD_REQUEST, _NO_STORE)
    if decision is ReloadVerdict.AT_ONCE and _is_too_early(directives, rendition):
        if edge.is_ended:
            return _error(HTTPStatus.NOT_FOUND, target_s)
        decision = Position(rendition.first_msn)
    if isinstance(decision, Position):
        return Wait(rendition.name, decision, BLOCKED_TARGETS_MAX * target_s)
    snapshot = rendition.playlist()
    text = snapshot.delta() if directives.skip else snapshot.full
    is_blocking = directives.msn is not None and not edge.is_ended
    # Appendix B: half a target duration where nobody waited; rounded down, since a cached playlist is a late one.
    return _encoded(request, text), BLOCKING_PLAYLIST_TARGETS * target_s if is_blocking else target_s // 2


def _is_too_early(directives: Directives, rendition: Rendition) -> bool:
    """Say whether the playlist has no segment yet and the reader did not ask for the parts of the first one.

    Players without low latency take a playlist without a segment for a broken one.
    """
    first_msn = rendition.first_msn
    return rendition.edge().last_msn < first_msn and (directives.msn is None or directives.msn < first_msn)


def _encoded(request: MediaRequest, text: PlaylistText) -> Resource:
    return text.gzipped() if accepts_gzip(request.accept_encoding) else text.plain


def accepts_gzip(accept_encoding: str) -> bool:
    """Say whether an Accept-Encoding header allows gzip.

    Spec: RFC 9110 12.5.3; a missing header is taken for a reader that does not unpack.
    """
    allowed: dict[str, bool] = {}
    for element in accept_encoding.lower().split(","):
        coding, _, weight = element.partition(";")
        # RFC 9110 12.4.2: a weight of 0 means "not acceptable"; it may be written 0, 0., 0.0, 0.00 and 0.000.
        value = weight.strip().removeprefix("q=")
        allowed[coding.strip()] = not value or bool(value.strip("0."))
    return allowed.get("gzip", allowed.get("*", False))


def _prepared(resource: Resource, max_age_s: int) -> Answer:
    """The answer 200 with a resource, built when it is first asked for."""
    answer = resource.answers.get(max_age_s)
    if isinstance(answer, Answer):
        return answer
    headers = (
        ("Content-Type", resource.media_type),
        ("Content-Length", str(resource.size_bytes)),
        *((("Content-Encoding", resource.content_encoding),) if resource.content_encoding else ()),
        *((("Accept-Ranges", "bytes"),) if resource.is_immutable else ()),
        *_validators(resource, max_age_s),
    )
    answer = Answer(HTTPStatus.OK, headers, resource.buffers)
    resource.answers[max_age_s] = answer
    return answer


def _validators(resource: Resource, max_age_s: int) -> Headers:
    """What 304 repeats of 200 (RFC 9110 15.4.5), and CORS."""
    caching = f"max-age={max_age_s}, immutable" if resource.is_immutable else f"max-age={max_age_s}"
    vary = () if resource.is_immutable else (("Vary", "Accept-Encoding"),)
    return (("Cache-Control", caching), ("ETag", resource.entity_tag), *vary, *_CORS)


def _matches(if_none_match: str, entity_tag: str) -> bool:
    """Compare weakly, as RFC 9110 13.1.2 has it; our tags hold no comma."""
    if if_none_match.strip() == "*":
        return True
    return any(tag.strip().removeprefix("W/") == entity_tag for tag in if_none_match.split(","))


# RFC 9110 14.1.2, one range; nineteen digits are more than any of our resources has bytes.
_BYTE_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*", re.ASCII | re.IGNORECASE)


def _ranged(request: MediaRequest, resource: Resource, whole: Answer, max_age_s: int) -> Answer:
    """Answer a range request: 206, 416, or all of it where the range is none that we serve.

    Several ranges at once are answered with the whole, as RFC 9110 14.2 allows.
    """
    # 13.1.5: If-Range compares strongly; a date never matches, since we send none.
    if request.if_range and request.if_range != resource.entity_tag:
        return whole
    match = _BYTE_RANGE.fullmatch(request.range)
    if match is None or match.groups() == ("", ""):
        return whole
    size = resource.size_bytes
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return whole
    else:
        start, stop = max(0, size - int(last)), size
    if start >= size:
        return _unsatisfiable(size)
    headers = (
        ("Content-Type", resource.media_type),
        ("Content-Length", str(stop - start)),
        ("Content-Range", f"bytes {start}-{stop - 1}/{size}"),
        ("Accept-Ranges", "bytes"),
        *_validators(resource, max_age_s),
    )
    return Answer(HTTPStatus.PARTIAL_CONTENT, headers, cut(resource.buffers, start, stop))


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


def _unsatisfiable(size_bytes: int) -> Answer:
    headers = (("Content-Range", f"bytes */{size_bytes}"), ("Content-Length", "0"), *_CORS)
    return Answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers)


# As many as there are statuses and lifetimes: target durations are 1 to 10 s.
@lru_cache(maxsize=64)
def _error(status: HTTPStatus, max_age_s: int, *extra: tuple[str, str]) -> Answer:
    body = f"{status.value} {status.phrase}\n".encode()
    headers = (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store" if max_age_s == _NO_STORE else f"max-age={max_age_s}"),
        *extra,
        *_CORS,
    )
    return Answer(status, headers, (body,))


_METHOD_NOT_ALLOWED = _error(HTTPStatus.METHOD_NOT_ALLOWED, _NO_STORE, ("Allow", _ALLOW))
_PREFLIGHT = Answer(
    HTTPStatus.NO_CONTENT,
    (
        ("Allow", _ALLOW),
        ("Access-Control-Allow-Methods", _ALLOW),
        ("Access-Control-Allow-Headers", "*"),
        ("Access-Control-Max-Age", str(PREFLIGHT_MAX_AGE_S)),
        *_CORS,
    ),
)
