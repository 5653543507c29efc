"""The gate for the doors: from a request to a viewing that was let in, or to the answer that says why not.

A viewer shows a token with the multivariant playlist, or with a stream that is pushed; what they get of the playlist
leads into the path of their ticket, and everything below is relative to that.
"""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from streamd.doors.delivery.answer import CORS, Absence, Answer, MediaRequest
from streamd.doors.delivery.media_path import MediaKind
from streamd.doors.delivery.representation import PLAYLIST_TYPE
from streamd.errors import PlaybackRefusedError
from streamd.services.playback.claims import Audience
from streamd.services.playback.policy import Policy
from streamd.services.playback.refusal import Refusal
from streamd.services.playback.visitor import Visitor

if TYPE_CHECKING:
    from streamd.doors.delivery.answer import Headers
    from streamd.doors.delivery.channels import PublicChannels
    from streamd.doors.delivery.media_path import MediaPath
    from streamd.services.playback.gate import PlaybackGate
    from streamd.services.playback.viewing import Viewing

TOKEN_PARAMETER: Final = "token"  # noqa: S105  # its name
_READING: Final = frozenset(("GET", "HEAD"))
# A number, not a flag: each request is compared with it.
_VIDEO: Final = Audience.VIDEO.value
_PLAYLIST: Final = MediaKind.PLAYLIST
_MULTIVARIANT: Final = MediaKind.MULTIVARIANT
_URI = re.compile(rb'(?:^(?=[^#\n])|(?<=URI="))', re.MULTILINE)
# RFC 9110 11.6.1: a 401 has a challenge. No browser asks a person for a bearer token.
_CHALLENGE: Final = ("WWW-Authenticate", 'Bearer realm="streamd"')
# A minute without failures gives all tries back.
_RETRY_AFTER: Final = ("Retry-After", "60")


class Elsewhere(enum.Enum):
    """The answer takes a while: the operator's service is asked."""

    HOOK = "hook"


Entered: TypeAlias = "Viewing | Answer | Elsewhere | None"
"""A viewing; the answer of a refusal; or None, where everybody may."""


class Entrance:
    """Asks the gate about requests for live media.

    Args:
        channels: Know what was taken down, which is said before anything else.
        gate: The gate.
    """

    def __init__(self, channels: PublicChannels, gate: PlaybackGate) -> None:
        self._channels = channels
        self.gate = gate
        self._find = gate.viewings.find

    def known(self, path: MediaPath, ticket: str, source: str, user_agent: str) -> Viewing | None:
        """The viewing of a ticket that was read before and opens what is asked for; None: ask ``for_media``.

        Args:
            path: Of the request, without its ticket.
            ticket: The ticket in it.
            source: The peer that the viewer's address is counted as.
            user_agent: What their player calls itself.
        """
        viewing = self._find((path.name, ticket))
        if viewing is None or not viewing.is_plain or self.gate.is_blocking:
            return None
        now, kind = viewing.now(), path.kind
        if viewing.refusal is not None or viewing.expires_at <= now:
            return None
        if (kind is _PLAYLIST or kind is _MULTIVARIANT) and viewing.is_shared(
            source, user_agent, self.gate.options.viewers_per_session, now
        ):
            return None
        return viewing

    def for_media(self, request: MediaRequest, ticket: str, visitor: Visitor) -> Entered:
        """Ask whether a viewer may have what a request is for.

        Args:
            request: The request, without its ticket.
            ticket: The ticket in its path; empty for none.
            visitor: Who asks.

        Returns:
            The viewing; None where everybody may, or where what is to say has nothing to do with who asks; the answer
            of a refusal.
        """
        path = request.path
        if self.gate.is_blocking and (blocked := self._blocked(path.name, request.method, visitor)) is not None:
            return blocked
        if ticket:
            return self._enter(path.name, request.method, ticket, visitor, watches=_watches(path))
        shows = path.kind is MediaKind.MULTIVARIANT
        return self._admit(path.name, request.method, request.query if shows else None, visitor)

    def for_push(self, name: str, method: str, query: str, ticket: str, visitor: Visitor) -> Entered:
        """As ``for_media``, for a pushed stream."""
        if self.gate.is_blocking and (blocked := self._blocked(name, method, visitor)) is not None:
            return blocked
        if ticket:
            return self._enter(name, method, ticket, visitor, watches=True)
        return self._admit(name, method, query, visitor)

    def _blocked(self, name: str, method: str, visitor: Visitor) -> Answer | None:
        """The answer where a channel may not be shown to an address; None where it may."""
        gate = self.gate
        if method not in _READING or not gate.is_blocked(visitor.address, name):
            return None
        if self._channels.find(name) is Absence.TAKEN_DOWN:
            # A channel that is gone is gone everywhere.
            return None
        return refusal_answer(gate.refused(Refusal.BLOCKED), method)

    def _concerns(self, name: str, method: str) -> bool:
        return method in _READING and self.gate.is_locked(name) and self._channels.find(name) is not Absence.TAKEN_DOWN

    def _enter(self, name: str, method: str, ticket: str, visitor: Visitor, *, watches: bool) -> Entered:
        if method not in _READING or not self.gate.is_locked(name):
            return None
        try:
            return self.gate.enter(name, ticket, _VIDEO, visitor.address, visitor.user_agent, watches=watches)
        except PlaybackRefusedError as exc:
            # A channel that was taken down is gone, whoever asks; of others, this one refusal in thousands is told.
            return refusal_answer(exc, method) if self._concerns(name, method) else None

    def _admit(self, name: str, method: str, query: str | None, visitor: Visitor) -> Entered:
        if not self._concerns(name, method):
            return None
        try:
            if query is not None and self.gate.policies.of(name) is Policy.HOOK:
                return Elsewhere.HOOK
            token = token_of(query) if query is not None else ""
            return self.gate.admit(name, token, Audience.VIDEO, visitor)
        except PlaybackRefusedError as exc:
            return refusal_answer(exc, method)


def _watches(path: MediaPath) -> bool:
    """Whether who asks for this watches; media may be asked for by a cache on behalf of others."""
    kind = path.kind
    return kind is _PLAYLIST or kind is _MULTIVARIANT


def token_of(query: str) -> str:
    """The token in a query, as it was sent; empty for none.

    Args:
        query: The text after ``?``, not decoded: a token has no letter that has to be encoded.

    Raises:
        PlaybackRefusedError: There are several.
    """
    if TOKEN_PARAMETER not in query:
        return ""
    found = [value for name, _, value in (pair.partition("=") for pair in query.split("&")) if name == TOKEN_PARAMETER]
    if len(found) > 1:
        raise Refusal.REPEATED.error()
    return found[0] if found else ""


def refusal_answer(refused: PlaybackRefusedError, method: str = "GET") -> Answer:
    """The answer that says why a viewer may not watch."""
    answer = _refusal(refused.status, str(refused), refused.link)
    return answer.without_body() if method == "HEAD" else answer


# As many as there are refusals.
@lru_cache(maxsize=64)
def _refusal(status: int, text: str, link: str) -> Answer:
    code = HTTPStatus(status)
    body = f"{status} {code.phrase}\n{text}\n".encode()
    return Answer(
        code,
        (
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            *((_CHALLENGE,) if code is HTTPStatus.UNAUTHORIZED else ()),
            *((_RETRY_AFTER,) if code is HTTPStatus.TOO_MANY_REQUESTS else ()),
            *((("Link", link),) if link else ()),
            *CORS,
        ),
        (body,),
    )


def plain_request(request: MediaRequest) -> MediaRequest:
    """The request for the multivariant playlist that all viewers share, from which each gets their own."""
    return MediaRequest("GET", request.path)


def with_ticket(answer: Answer, viewing: Viewing, method: str) -> Answer:
    """The multivariant playlist of one viewer, which leads into the path of their ticket.

    Args:
        answer: To ``plain_request``.
        viewing: Of the viewer.
        method: Of their request.
    """
    if answer.status is not HTTPStatus.OK:
        return answer.without_body() if method == "HEAD" else answer
    body = ticketed(b"".join(bytes(piece) for piece in answer.body), viewing)
    headers: Headers = (
        ("Content-Type", PLAYLIST_TYPE),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        *CORS,
    )
    found = Answer(HTTPStatus.OK, headers, (body,))
    return found.without_body() if method == "HEAD" else found


def ticketed(playlist: bytes, viewing: Viewing, *, before: str = "", behind: str = "") -> bytes:
    """A playlist whose relative URIs begin with a viewer's ticket.

    Args:
        playlist: The text that all viewers share.
        viewing: Of the viewer.
        before: The way from the playlist to the folder of the ticket.
        behind: The way from there to what the playlist lists.
    """
    return _URI.sub(f"{before}~{viewing.text}/{behind}".encode(), playlist)
