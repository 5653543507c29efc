"""The gate for what aiohttp serves: pictures, recordings, pages, and media on connections that began with a page."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from streamd.doors.delivery.entrance import refusal_answer, token_of
from streamd.doors.delivery.http_request import split_target
from streamd.errors import PlaybackRefusedError
from streamd.services.playback.claims import Audience
from streamd.services.playback.grounds import HOOK_KEY
from streamd.services.playback.policy import Policy
from streamd.services.playback.refusal import Refusal
from streamd.services.playback.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from aiohttp.typedefs import Handler

    from streamd.services.playback.gate import PlaybackGate
    from streamd.services.playback.hook import ViewerHook
    from streamd.services.playback.viewing import Viewing

TICKET_FIELD: Final = "Streamd-Ticket"
"""Header field in which a page of ours shows its viewer's ticket to the public API."""


class WebEntrance:
    """Lets viewers in whose requests aiohttp serves.

    Args:
        gate: The gate.
        hook: The operator's service.
    """

    def __init__(self, gate: PlaybackGate, hook: ViewerHook) -> None:
        self.gate = gate
        self._hook = hook

    async def let_in(
        self,
        request: web.Request,
        subject: str,
        wanted: Audience,
        *,
        owner: str = "",
        part: str = "",
        watches: bool = False,
    ) -> Viewing | None:
        """Let a viewer in by the ticket in the path, by the token in the query, or on the service's word.

        Args:
            request: The request; ``ticket`` in its path is the ticket.
            subject: The channel or recording.
            wanted: What is asked for.
            owner: The channel that a recording is of.
            part: The clip of a recording that is asked for.
            watches: The request shows that they watch.

        Returns:
            The viewing; None where everybody may watch.

        Raises:
            PlaybackRefusedError: They may not.
        """
        gate = self.gate
        if gate.is_open or request.method == "OPTIONS":
            return None
        visitor = visitor_of(request)
        gate.check_blocked(visitor.address, subject, owner, part)
        if not gate.is_locked(subject, owner):
            return None
        path, query = split_target(request.raw_path)
        ticket = request.match_info.get("ticket", "")
        if ticket:
            if "%" in path:
                # A path of ours has one spelling.
                raise gate.refused(Refusal.TICKET)
            return gate.enter(
                subject, ticket, wanted, visitor.address, visitor.user_agent, watches=watches, owner=owner
            )
        # One MP4 is many requests, each with the token or to be asked about.
        is_piece = not watches
        return await self.admit(subject, query, wanted, visitor, owner=owner, is_piece=is_piece)

    def check_still(self, viewing: Viewing | None, subject: str, owner: str = "") -> None:
        """See that a viewer who was let in a while ago may still watch.

        Args:
            viewing: What ``let_in`` has said.
            subject: The channel or recording.
            owner: The channel that a recording is of.

        Raises:
            PlaybackRefusedError: They may not any more.
        """
        gate = self.gate
        if viewing is None:
            if gate.is_locked(subject, owner):
                raise gate.refused(Refusal.NO_TOKEN)
        elif not viewing.lasts():
            raise gate.refused(viewing.refusal or Refusal.EXPIRED)

    async def admit(
        self,
        subject: str,
        query: str,
        wanted: Audience,
        visitor: Visitor,
        *,
        owner: str = "",
        is_piece: bool = False,
    ) -> Viewing:
        """Let a viewer in by the token in a query, or on the service's word; see ``let_in`` and the gate's."""
        gate = self.gate
        token = token_of(query)
        policy = gate.policies.of(subject, owner)
        if policy is Policy.HOOK:
            rest = "&".join(pair for pair in query.split("&") if pair.partition("=")[0] != "token")
            gate.check_place(visitor)
            withdrawn_at = gate.revocations.channel_epoch(subject, owner)
            try:
                verdict = await self._hook.ask(subject, visitor, token, rest, owner=owner)
            except PlaybackRefusedError as exc:
                raise gate.noted(exc) from None
            if gate.revocations.channel_epoch(subject, owner) != withdrawn_at:
                # The word is from before all that was given out was withdrawn.
                raise gate.refused(Refusal.REVOKED)
            return gate.admit_by(
                HOOK_KEY,
                subject,
                visitor,
                owner=owner,
                shown=token or rest,
                viewers_max=verdict.viewers_max,
                ttl_s=verdict.ttl_s,
                is_piece=is_piece,
                counts=wanted is Audience.VIDEO,
            )
        if not token:
            raise gate.refused(Refusal.PASSWORD if policy is Policy.PASSWORD else Refusal.NO_TOKEN)
        return gate.admit(subject, token, wanted, visitor, owner=owner, is_piece=is_piece)


def visitor_of(request: web.Request) -> Visitor:
    """Who asks."""
    fields = request.headers
    referrer: str = fields.get(hdrs.ORIGIN, "") or fields.get(hdrs.REFERER, "")
    return Visitor(request.remote or "unknown", referrer, fields.get(hdrs.USER_AGENT, ""))


def refusal_response(refused: PlaybackRefusedError, method: str = "GET") -> web.Response:
    """The answer that says why a viewer may not watch."""
    answer = refusal_answer(refused, method)
    response = web.Response(status=answer.status, body=b"".join(bytes(piece) for piece in answer.body))
    for name, value in answer.headers:
        if name != hdrs.CONTENT_LENGTH:
            response.headers[name] = value
    return response


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer who may not watch."""
    try:
        return await handler(request)
    except PlaybackRefusedError as exc:
        return refusal_response(exc, request.method)


class Cut:
    """Ends a step of a handler when its viewer may not watch any more (``viewing.Ongoing``); a context manager.

    Args:
        on_cut: Called before the cut returns, while the step itself ends at the loop's next turn.

    Attributes:
        refusal: Why it was cut; None where it was not.
    """

    def __init__(self, on_cut: Callable[[], None] = lambda: None) -> None:
        self.refusal: Refusal | None = None
        self._on_cut = on_cut
        self._scope: asyncio.Timeout | None = None

    def cut(self, refusal: Refusal) -> None:
        """End the step."""
        self.refusal = refusal
        self._on_cut()
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time())

    async def __aenter__(self) -> Cut:
        self._scope = asyncio.timeout(None)
        await self._scope.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        scope, self._scope = self._scope, None
        assert scope is not None
        try:
            await scope.__aexit__(kind, error, trace)
        except TimeoutError:
            if self.refusal is None:
                raise
            return True
        return False
