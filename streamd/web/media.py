"""Media over HTTP through aiohttp: playlists, parts, segments, CMAF headers.

What to answer is decided by ``delivery.answer.decide``; this room looks the stream up, waits where the
answer waits, and writes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from streamd.delivery.answer import Absence, Answer, MediaRequest, Wait, decide
from streamd.delivery.media_path import parse_media_path
from streamd.live.waiters import Awaited

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.live.registry import LiveRegistry
    from streamd.metrics import Metrics


class MediaRoutes:
    """The routes below ``/live/``.

    Args:
        registry: Finds the stream of a name.
        is_taken_down: Says whether a channel's user is suspended.
        clock: Measures waiting.
        metrics: Counted into.
        write_timeout_s: How long a viewer may take nothing before the connection is closed.
    """

    def __init__(
        self,
        *,
        registry: LiveRegistry,
        is_taken_down: Callable[[str], bool],
        clock: Clock,
        metrics: Metrics,
        write_timeout_s: float,
    ) -> None:
        self._registry = registry
        self._is_taken_down = is_taken_down
        self._clock = clock
        self._metrics = metrics
        self._write_timeout_s = write_timeout_s

    def add_to(self, app: web.Application) -> None:
        """Add the routes of media to the public application."""
        app.router.add_route("*", "/live/{path:.*}", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        # The path as it was sent: what is percent-encoded is not one of ours.
        raw_path, _, query = request.raw_path.partition("?")
        path = parse_media_path(raw_path)
        if path is None:
            raise web.HTTPNotFound(headers={"Access-Control-Allow-Origin": "*"})
        headers = request.headers
        answer = await self._answer(
            MediaRequest(
                method=request.method,
                path=path,
                query=query,
                accept_encoding=headers.get(hdrs.ACCEPT_ENCODING, ""),
                if_none_match=headers.get(hdrs.IF_NONE_MATCH, ""),
                if_range=headers.get(hdrs.IF_RANGE, ""),
                range=headers.get(hdrs.RANGE, ""),
            )
        )
        self._metrics.http_responses_total.labels(path.kind.name.lower(), str(answer.status.value)).inc()
        return await self._write(request, answer)

    async def _answer(self, request: MediaRequest) -> Answer:
        deadline: float | None = None
        started_at = self._clock.monotonic()
        timed_out = False
        while True:
            stream = self._registry.find(request.path.name)
            presentation = stream.presentation if stream is not None else None
            if self._is_taken_down(request.path.name):
                return _answered(decide(request, Absence.TAKEN_DOWN))
            if stream is None or presentation is None:
                return _answered(decide(request, Absence.UNKNOWN))
            decision = decide(request, presentation, timed_out=timed_out or not stream.waiters.has_room)
            if isinstance(decision, Answer):
                if deadline is not None:
                    self._metrics.blocked_request_seconds.observe(self._clock.monotonic() - started_at)
                return decision
            if deadline is None:
                deadline = started_at + decision.timeout_s
            timeout_s = max(0.0, deadline - self._clock.monotonic())
            self._metrics.requests_waiting.inc()
            try:
                timed_out = not await stream.waiters.wait(Awaited(decision.variant, decision.until), timeout_s)
            finally:
                self._metrics.requests_waiting.dec()

    async def _write(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status)
        response.headers.extend(answer.headers)
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await response.prepare(request)
            for buffer in answer.body:
                # A viewer that takes nothing is let go; one that takes little is served at its pace.
                async with asyncio.timeout(self._write_timeout_s):
                    await response.write(buffer)
                self._metrics.http_egress_bytes_total.inc(len(buffer))
            await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return response


def _answered(decision: Answer | Wait) -> Answer:
    assert isinstance(decision, Answer), "nothing waits for a stream that is not there"
    return decision
