"""The answer to a request for media: one pure function that every door asks.

A door parses the path, looks the stream up, and calls ``decide``. It writes the ``Answer``, or waits until
the rendition has reached what a ``Wait`` names and asks again.

Spec: rfc8216bis-22 sections 6.2.2, 6.2.5 and appendix B (caching); RFC 9110 sections 9.3 and 12.5.3.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

from streamd.doors.delivery.answer import METHOD_NOT_ALLOWED, NO_STORE, PREFLIGHT, Absence, Answer, MediaRequest, error
from streamd.doors.delivery.media_path import MediaKind, MediaPath
from streamd.doors.delivery.representation import Representations
from streamd.errors import DirectiveError
from streamd.formats.hls.directives import NO_DIRECTIVES, Directives, parse_directives
from streamd.media.packager.named_bytes import BytesKind, NamedBytes
from streamd.media.packager.presentation import Presentation
from streamd.media.packager.reload import PartNumber, Position, ReloadVerdict, decide_reload
from streamd.media.packager.rendition import Rendition

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


class Wait(NamedTuple):
    """The answer depends on media to come: ask again when that is there, or when the time is over."""

    variant: str
    """The rendition whose ``has_reached(until)`` says when to ask again."""
    until: Position | PartNumber
    timeout_s: int
    """Seconds from the first ``Wait`` of a request; after it, ask with ``timed_out``."""


# A crowd's queries are the same few; a query that is longer than any of ours is read each time.
_QUERIES_REMEMBERED = 256
_QUERY_CHARS_MAX = 128
_read_directives_once = lru_cache(_QUERIES_REMEMBERED)(parse_directives)


def _read_directives(query: str) -> Directives:
    return _read_directives_once(query) if len(query) <= _QUERY_CHARS_MAX else parse_directives(query)


def decide(
    request: MediaRequest,
    presentation: Presentation,
    representations: Representations,
    *,
    timed_out: bool = False,
    word: str = "",
) -> Answer | Wait:
    """Decide the answer to a request for media.

    Args:
        request: The request.
        presentation: The media that is live, or was a moment ago, under ``request.path.name``.
        representations: The bytes that the door has made ready to send.
        timed_out: The request has waited ``Wait.timeout_s``; a request that would have to wait on is refused with 503.
        word: In the names of a locked channel's media. Its playlists are for those who were let in, and no cache keeps
            them.

    Returns:
        The answer, or the place that it waits for. With ``timed_out`` always an answer.
    """
    if request.method == "GET":
        return _decide_get(request, presentation, representations, timed_out, word)
    if request.method == "HEAD":
        answer = _decide_get(request, presentation, representations, timed_out, word)
        return answer.without_body() if isinstance(answer, Answer) else answer
    return _without_media(request)


def decide_absent(request: MediaRequest, absence: Absence) -> Answer:
    """Answer a request for media of a name under which nothing is live."""
    if request.method not in ("GET", "HEAD"):
        return _without_media(request)
    answer = error(absence.value, NO_STORE if absence is Absence.NOT_NOW else ABSENT_MAX_AGE_S)
    return answer.without_body() if request.method == "HEAD" else answer


def _without_media(request: MediaRequest) -> Answer:
    return PREFLIGHT if request.method == "OPTIONS" else METHOD_NOT_ALLOWED


def _decide_get(
    request: MediaRequest, presentation: Presentation, representations: Representations, timed_out: bool, word: str
) -> Answer | Wait:
    decision = _find(request, presentation)
    if isinstance(decision, Wait):
        return error(HTTPStatus.SERVICE_UNAVAILABLE, presentation.target_duration_s) if timed_out else decision
    if isinstance(decision, Answer):
        return decision
    content, max_age_s = decision
    if content.kind is not BytesKind.PLAYLIST:
        return representations.find(content).answer(request, max_age_s)
    gzipped = accepts_gzip(request.accept_encoding)
    found = representations.find(content, gzipped=gzipped, word=word)
    return found.answer(request, NO_STORE if word else max_age_s)


def _find(request: MediaRequest, presentation: Presentation) -> tuple[NamedBytes, int] | Answer | Wait:
    """Find the bytes and the seconds that caches may keep them."""
    path = request.path
    target_s = presentation.target_duration_s
    if path.kind is MediaKind.MULTIVARIANT:
        return _decide_multivariant(presentation)
    rendition = presentation.renditions.get(path.variant)
    if rendition is None:
        is_blocking = path.kind is MediaKind.PLAYLIST and "_HLS_msn" in request.query
        return error(HTTPStatus.NOT_FOUND, (BLOCKING_NOT_FOUND_TARGETS if is_blocking else 1) * target_s)
    if path.kind is MediaKind.PLAYLIST:
        return _decide_playlist(request, rendition)
    content, is_to_come = _find_media(path, rendition)
    if content is not None:
        return content, MEDIA_MAX_AGE_S
    if path.kind is MediaKind.PART and is_to_come and path.number == rendition.next_part_number:
        # 6.2.2: a request for a hinted resource is held until all of it is there.
        return Wait(path.variant, PartNumber(path.number), BLOCKED_TARGETS_MAX * target_s)
    # A name that will exist soon: an error that a cache kept would outlive its reason, and anyone could
    # make a cache refuse the parts to come.
    return error(HTTPStatus.NOT_FOUND, NO_STORE if is_to_come else target_s)


def _find_media(path: MediaPath, rendition: Rendition) -> tuple[NamedBytes | None, bool]:
    """Look media up; where there is none, say whether the name may still come to be."""
    is_live = not rendition.is_ended
    if path.kind is MediaKind.PART:
        is_to_come = is_live and rendition.low_latency and path.number >= rendition.next_part_number
        return rendition.part(path.number), is_to_come
    if path.kind is MediaKind.SEGMENT:
        return rendition.segment(path.number), is_live and path.number > rendition.edge().last_msn
    return rendition.init(path.number), is_live and path.number > rendition.edge().last_msn


def _decide_multivariant(presentation: Presentation) -> tuple[NamedBytes, int] | Answer | Wait:
    target_s = presentation.target_duration_s
    awaited = presentation.awaited_rendition()
    if awaited is not None and not awaited.is_ended:
        # Its bit rate is not known before its first segment.
        return Wait(awaited.name, Position(awaited.first_msn), BLOCKED_TARGETS_MAX * target_s)
    text = presentation.multivariant_playlist()
    if text is None:
        return error(HTTPStatus.NOT_FOUND, target_s)
    return text, target_s // 2


def _decide_playlist(request: MediaRequest, rendition: Rendition) -> tuple[NamedBytes, int] | Answer | Wait:
    target_s = rendition.timing.target_duration_s
    try:
        directives = _read_directives(request.query) if rendition.low_latency else NO_DIRECTIVES
    except DirectiveError:
        return error(HTTPStatus.BAD_REQUEST, target_s)
    edge = rendition.edge()
    decision = decide_reload(directives, edge)
    if decision is ReloadVerdict.BAD_REQUEST:
        # It asks for too much too early; soon the same request is a good one.
        return error(HTTPStatus.BAD_REQUEST, NO_STORE)
    if decision is ReloadVerdict.AT_ONCE and _is_too_early(directives, rendition):
        if edge.is_ended:
            return error(HTTPStatus.NOT_FOUND, target_s)
        decision = Position(rendition.first_msn)
    if isinstance(decision, Position):
        return Wait(rendition.name, decision, BLOCKED_TARGETS_MAX * target_s)
    snapshot = rendition.playlist()
    text = snapshot.delta() if directives.skip else snapshot.full
    is_blocking = directives.msn is not None and not edge.is_ended
    # Appendix B: half a target duration where the request did not wait; rounded down, since a cached playlist is late.
    return text, BLOCKING_PLAYLIST_TARGETS * target_s if is_blocking else target_s // 2


def _is_too_early(directives: Directives, rendition: Rendition) -> bool:
    """Say whether the playlist has no segment yet and the reader did not ask for the parts of the first one.

    Players without low latency take a playlist without a segment for a broken one.
    """
    first_msn = rendition.first_msn
    return rendition.edge().last_msn < first_msn and (directives.msn is None or directives.msn < first_msn)


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
