"""HTTP-FLV and progressive MP4: which paths they have, and what is answered before the media begins.

The answer to GET has no Content-Length and no chunks: its content ends with the connection (RFC 9112 section 6.3, item
8), so that the same bytes go to every viewer as they are. A door writes the head with ``Connection: close``, then
attaches its socket to the stream's fan-out (``streamd.services.live.fanout``).

Spec: RFC 9110 sections 9.3.1 and 9.3.2; RFC 9111 section 5.2.2.5 (no-store: what is live is of no use later).
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from streamd.doors.delivery.answer import Absence, Answer, MediaRequest
from streamd.doors.delivery.decide import decide_absent
from streamd.doors.delivery.media_path import MediaKind, MediaPath

if TYPE_CHECKING:
    from streamd.doors.delivery.answer import Headers

# A channel is named like its user (the public contract).
_PATH = re.compile(r"/live/(?P<name>[a-z0-9][a-z0-9_-]{1,63})\.(?P<format>flv|mp4)")
# Longer than the longest path that matches: what is longer is not searched.
PATH_CHARS_MAX = 128
_PREVIEW = "preview="


class PushFormat(enum.Enum):
    """The end of a push path."""

    FLV = "flv"
    MP4 = "mp4"


_MEDIA_TYPES = {PushFormat.FLV: "video/x-flv", PushFormat.MP4: "video/mp4"}


@dataclass(frozen=True, slots=True)
class PushPath:
    """A path that names a live stream pushed over one connection."""

    name: str
    """The channel."""
    format: PushFormat


def preview_ticket(query: str) -> str:
    """The ticket of an operator's look (``services.live.previews``); empty without one.

    Args:
        query: Of the request target, as sent.
    """
    return query.removeprefix(_PREVIEW) if query.startswith(_PREVIEW) else ""


def parse_push_path(path: str) -> PushPath | None:
    """Read a path.

    Args:
        path: The path of the request target as sent: not decoded, without the query.

    Returns:
        The stream that it names, or ``None`` if it is not a path of a pushed stream.
    """
    if len(path) > PATH_CHARS_MAX:
        return None
    match = _PATH.fullmatch(path)
    return None if match is None else PushPath(match["name"], PushFormat(match["format"]))


def decide_push(method: str, path: PushPath, absence: Absence | None) -> Answer:
    """Decide what to answer to a request for a pushed stream.

    Args:
        method: Of the request.
        path: The stream and format that it asks for.
        absence: Why there is nothing to follow, or None where there is.

    Returns:
        The whole answer; but to a GET for what is there, the head behind which the stream follows.
    """
    if absence is None and method in ("GET", "HEAD"):
        return _HEADS[path.format]
    # A path without media, and another method, have the same answer under every path of media.
    elsewhere = MediaRequest(method, MediaPath(path.name, MediaKind.MULTIVARIANT))
    return decide_absent(elsewhere, absence or Absence.UNKNOWN)


def _headers(media_type: str) -> Headers:
    return (
        ("Content-Type", media_type),
        ("Cache-Control", "no-store"),
        # A proxy that gathers before it passes on would add its buffer to the latency (nginx's header).
        ("X-Accel-Buffering", "no"),
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Expose-Headers", "*"),
    )


_HEADS = {each: Answer(HTTPStatus.OK, _headers(_MEDIA_TYPES[each])) for each in PushFormat}
