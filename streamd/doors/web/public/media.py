"""Media over HTTP through aiohttp: playlists, parts, segments, CMAF headers.

The thin door (``delivery.door``) answers nearly all of it. This module serves connections that aiohttp got for another
request first: a browser fetches the page and its media over the same connections. Both ask ``delivery.lookup``.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from streamd.doors.delivery.answer import Answer, MediaRequest
from streamd.doors.delivery.entrance import Elsewhere, Entrance, plain_request, refusal_answer, with_ticket
from streamd.doors.delivery.http_request import split_target
from streamd.doors.delivery.lookup import Blocked, MediaLookup
from streamd.doors.delivery.media_path import parse_media_path
from streamd.doors.delivery.push_lookup import PushLookup
from streamd.doors.delivery.push_path import parse_push_path, preview_ticket
from streamd.doors.delivery.ticket_path import cut_path
from streamd.doors.delivery.transport_viewer import TransportViewer
from streamd.doors.web.public.web_entrance import Cut, visitor_of
from streamd.doors.web.slices import UNSENT_BYTES_MAX, slices
from streamd.errors import PlaybackRefusedError
from streamd.formats.address import source_of
from streamd.limits import DEFAULT
from streamd.services.playback.claims import Audience
from streamd.services.playback.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streamd.clock import Clock
    from streamd.doors.delivery.channels import PublicChannels
    from streamd.doors.delivery.entrance import Entered
    from streamd.doors.delivery.push_path import PushPath
    from streamd.doors.web.public.web_entrance import WebEntrance
    from streamd.services.metrics import Metrics
    from streamd.services.playback.viewing import Viewing
    from streamd.services.playback.visitor import Visitor

# Seconds between two looks at a viewer of a pushed stream. Time limits are whole seconds.
LOOK_INTERVAL_S = 1.0
# aiohttp waits for the viewer after each write of more than 64 KiB.
_SLICE_BYTES = 64 * 1024 + 1


@dataclass(frozen=True, slots=True)
class MediaTimeouts:
    """Seconds that a viewer may take."""

    viewer_write_timeout_s: float = DEFAULT.viewer_write_timeout_s
    """Taking nothing."""
    viewer_answer_timeout_s: float = DEFAULT.viewer_answer_timeout_s
    """Over one answer, however steadily; not over a pushed stream."""


class MediaRoutes:
    """The routes below ``/live/``.

    Args:
        channels: Finds the channel of a name.
        clock: Measures waiting.
        metrics: Counted into.
        timeouts: Times after which a viewer's connection is closed.
        entrance: Asks the operator's service who may watch; where there is a gate.
        is_preview: Says whether a ticket for a look at a channel is good.
    """

    def __init__(
        self,
        *,
        channels: PublicChannels,
        clock: Clock,
        metrics: Metrics,
        timeouts: MediaTimeouts,
        entrance: WebEntrance | None = None,
        is_preview: Callable[[str, str], bool] = lambda _name, _ticket: False,
    ) -> None:
        self._is_preview = is_preview
        self._gate = channels.gate
        self._web_entrance = entrance
        self._entrance: Entrance | None = None
        # Answers that go on for viewers who were let in by nothing, with their channel.
        self._strangers: dict[Cut, str] = {}
        # Answers that go on for all, with their channel and the viewer's address.
        self._going: dict[Cut, tuple[str, str]] = {}
        if channels.gate is not None:
            self._entrance = Entrance(channels, channels.gate)
            channels.gate.on_locked(self._cut_strangers)
            channels.gate.on_blocked(self._cut_blocked)
        self._lookup = MediaLookup(channels)
        self._push_lookup = PushLookup(channels)
        self._clock = clock
        self._metrics = metrics
        self.timeouts = timeouts

    def add_to(self, app: web.Application) -> None:
        """Add the routes of media to the public application."""
        app.router.add_route("*", "/live/{path:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        whole_path, query = split_target(request.raw_path)
        path, ticket = cut_path(whole_path)
        media_path = parse_media_path(path)
        if media_path is None:
            push_path = parse_push_path(path)
            if push_path is not None:
                return await self._push(request, push_path, query, ticket)
            raise web.HTTPNotFound(headers={"Access-Control-Allow-Origin": "*"})
        media_request = MediaRequest(
            method=request.method,
            path=media_path,
            query=query,
            accept_encoding=_joined(request, hdrs.ACCEPT_ENCODING),
            if_none_match=_joined(request, hdrs.IF_NONE_MATCH),
            if_range=_joined(request, hdrs.IF_RANGE),
            range=_joined(request, hdrs.RANGE),
        )
        visitor = visitor_of(request)
        source = source_of(visitor.address)
        entered: Entered = None
        if self._gate is not None and not self._gate.is_open:
            assert self._entrance is not None
            entered = self._entrance.for_media(media_request, ticket, visitor)
        is_asked = isinstance(entered, Elsewhere)
        if isinstance(entered, Elsewhere):
            entered = await self._ask(media_path.name, query, visitor, request.method)
        if isinstance(entered, Answer):
            self._count(media_path.kind.name, entered)
            return await self._write(request, entered)
        self._lookup.note_viewer(media_path, source, visitor.user_agent)
        if entered is not None and not ticket:
            shared = await self._answer(plain_request(media_request), visitor.address, entered)
            answer = with_ticket(shared, entered, request.method)
        else:
            answer = await self._answer(media_request, visitor.address, entered)
        self._count(media_path.kind.name, answer)
        # The thin door, which handed the connection over for this question, serves the rest better.
        return await self._write(request, answer, closes=is_asked)

    async def _ask(self, name: str, query: str, visitor: Visitor, method: str) -> Viewing | Answer:
        """Ask the operator's service whether a viewer may watch."""
        assert self._web_entrance is not None, "there is a gate"
        try:
            return await self._web_entrance.admit(name, query, Audience.VIDEO, visitor)
        except PlaybackRefusedError as exc:
            return refusal_answer(exc, method)

    async def _answer(self, request: MediaRequest, address: str, viewing: Viewing | None) -> Answer:
        source = source_of(address)
        found = self._lookup.ask(request, source=source)
        if isinstance(found, Answer):
            return found
        started_at = self._clock.monotonic()
        deadline = started_at + found.timeout_s
        with self._held(request.path.name, address, viewing) as cut:
            async with cut:
                while isinstance(found, Blocked):
                    left_s = max(0.0, deadline - self._clock.monotonic())
                    in_time = await found.waiters.wait(found.awaited, left_s, source)
                    found = self._lookup.ask(request, timed_out=not in_time, source=source)
        self._metrics.viewing.blocked_request_seconds.observe(self._clock.monotonic() - started_at)
        if cut.refusal is not None:
            assert self._gate is not None
            return refusal_answer(self._gate.refused(cut.refusal), request.method)
        assert isinstance(found, Answer)
        return found

    @contextlib.contextmanager
    def _held(
        self, name: str, address: str, viewing: Viewing | None, on_cut: Callable[[], None] = lambda: None
    ) -> Iterator[Cut]:
        """Have what goes on be cut when its viewer may not watch any more."""
        cut = Cut(on_cut)
        self._going[cut] = name, address
        if viewing is not None:
            viewing.hold(cut)
        else:
            self._strangers[cut] = name
        try:
            yield cut
        finally:
            del self._going[cut]
            if viewing is not None:
                viewing.let_go(cut)
            else:
                del self._strangers[cut]

    def _cut_blocked(self, name: str) -> None:
        """A channel may not be shown to some any more: end what goes on of it for them."""
        assert self._gate is not None
        for cut, (watched, address) in [*self._going.items()]:
            if address and name in ("", watched) and self._gate.is_blocked(address, watched):
                cut.cut(Refusal.BLOCKED)

    def _cut_strangers(self, name: str) -> None:
        """A channel may not be watched by everybody any more: end what goes on of it by nothing."""
        assert self._gate is not None
        for cut, watched in [*self._strangers.items()]:
            if name in ("", watched) and self._gate.is_locked(watched):
                cut.cut(Refusal.NO_TOKEN)

    async def _push(self, request: web.Request, path: PushPath, query: str, ticket: str) -> web.StreamResponse:
        entered: Viewing | Answer | None = None
        look = preview_ticket(query)
        is_preview = bool(look) and self._is_preview(path.name, look)
        if self._gate is not None and not self._gate.is_open and not is_preview:
            assert self._entrance is not None
            visitor = visitor_of(request)
            found_out = self._entrance.for_push(path.name, request.method, query, ticket, visitor)
            if isinstance(found_out, Elsewhere):
                found_out = await self._ask(path.name, query, visitor, request.method)
            entered = found_out
        if isinstance(entered, Answer):
            self._count(path.format.name, entered)
            return await self._write(request, entered)
        found = self._push_lookup.ask(request.method, path)
        if isinstance(found, Answer):
            self._count(path.format.name, found)
            return await self._write(request, found)
        self._count(path.format.name, found.head)
        response = _EndlessResponse(status=found.head.status)
        response.headers.extend(found.head.headers)
        response.force_close()
        await response.prepare(request)
        transport = request.transport
        # The stream may have ended, and the viewer gone, while the head was written.
        if transport is not None and found.fanout.is_open:
            is_ended = asyncio.Event()
            viewer = _WatchedViewer(transport, is_ended.set)

            def drop() -> None:
                found.fanout.detach(viewer)
                viewer.forget()

            # An operator's look is cut by nothing of this.
            address = "" if is_preview else visitor_of(request).address
            with self._held(path.name, address, entered, drop) as cut:
                found.fanout.attach(viewer, is_preview=is_preview)
                if entered is not None and self._gate is not None:
                    self._gate.follow(entered)
                try:
                    async with cut:
                        await self._follow(viewer, transport, is_ended)
                finally:
                    found.fanout.detach(viewer)
                    if entered is not None and self._gate is not None:
                        self._gate.unfollow(entered)
        return response

    async def _follow(self, viewer: TransportViewer, transport: asyncio.Transport, is_ended: asyncio.Event) -> None:
        """Return when the stream has ended and is sent, or the viewer is gone; close a viewer that takes no bytes."""
        taken_bytes = 0
        progress_at = self._clock.monotonic()
        while not transport.is_closing():
            # aiohttp does not say when the kernel has taken everything.
            viewer.flush()
            unsent_bytes = viewer.buffered_bytes()
            if is_ended.is_set() and not unsent_bytes:
                return
            if not unsent_bytes or viewer.written_bytes - unsent_bytes > taken_bytes:
                taken_bytes = viewer.written_bytes - unsent_bytes
                progress_at = self._clock.monotonic()
            elif self._clock.monotonic() - progress_at >= self.timeouts.viewer_write_timeout_s:
                transport.abort()
            if is_ended.is_set():
                await asyncio.sleep(LOOK_INTERVAL_S)
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(is_ended.wait(), LOOK_INTERVAL_S)

    def _count(self, kind: str, answer: Answer) -> None:
        self._metrics.viewing.http_responses_total.labels(kind.lower(), str(answer.status.value)).inc()

    async def _write(self, request: web.Request, answer: Answer, *, closes: bool = False) -> web.StreamResponse:
        timeouts = self.timeouts
        response = web.StreamResponse(status=answer.status)
        response.headers.extend(answer.headers)
        if closes or not request.content.is_eof():
            # The rest of it is not read.
            response.force_close()
        try:
            async with asyncio.timeout(timeouts.viewer_answer_timeout_s):
                async with asyncio.timeout(timeouts.viewer_write_timeout_s):
                    await response.prepare(request)
                if request.transport is not None:
                    request.transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
                for piece in (piece for buffer in answer.body for piece in slices(buffer, _SLICE_BYTES)):
                    # A viewer that takes no bytes is closed; a slow one is served at its pace.
                    async with asyncio.timeout(timeouts.viewer_write_timeout_s):
                        await response.write(piece)
                    self._metrics.viewing.http_egress_bytes_total.inc(len(piece))
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return response


class _EndlessResponse(web.StreamResponse):
    """An answer whose content ends with the connection: no length, no chunks (RFC 9112 6.3, item 8)."""

    _length_check = False


class _WatchedViewer(TransportViewer):
    """A viewer of a fan-out behind an aiohttp request."""

    __slots__ = ()

    def write(self, data: bytes, /) -> None:
        """Send more of the stream."""
        # aiohttp does not say when a connection is lost, `_follow` finds out: until then this may be called for a
        # viewer who is gone, and uvloop's transport raises once it is closed.
        if not self._transport.is_closing():
            super().write(data)

    def offer(self, data: bytes, buffered_bytes_max: int, /) -> int:
        """Send more of the stream, unless more than so much waits."""
        return 0 if self._transport.is_closing() else super().offer(data, buffered_bytes_max)


def _joined(request: web.Request, name: str) -> str:
    """A field's value, repeated ones joined by commas (RFC 9110 5.3)."""
    return ", ".join(request.headers.getall(name, ()))
