"""The operator's console on the admin port: its page and files, its sessions, and the calls that were made for it.

Signing in
----------

The page itself is public and holds no data. The operator types the admin token, and the page exchanges it for a
session (``POST /api/v1/session``): a token of its own that is sent as ``Authorization: Bearer`` like the admin token. A
session ends after an hour without the page, after half a day, when the operator signs out, or with the admin token that
began it. It outlives a restart of the server (session_file.py), and all tabs of a browser share it. It cannot begin
other sessions.

It is no cookie. Cookies are told apart by host name and not by port (RFC 6265 section 8.5): the cookie of a console at
``127.0.0.1:8081`` would go to every other port of that address, streamd's public port included, and every page from
there could ask in its name. Only this page sends the header, so other sites can forge no request, and the API has one
way of signing in.

The remaining risk is script in the page itself, for the token is kept in ``localStorage``. The page allows only its own
files, makes no HTML of text (Trusted Types, with no policy), and loads nothing from elsewhere. It keeps only the
session's token: the admin token is forgotten as soon as it is exchanged.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from streamd.doors.web.admin.events import EVENT_STREAM_TYPE, EventHub
from streamd.doors.web.admin.guards import ACTOR, ADMIN_ACTOR, TokenGate, shown_token
from streamd.doors.web.assets import CACHE_REVALIDATE, HERE, ROOT, StaticFiles, answer
from streamd.doors.web.headers import console_headers
from streamd.doors.web.json_api import ForbiddenError
from streamd.doors.web.json_api import answer as json_answer
from streamd.doors.web.models.server import HistoryAnswer, HistorySample
from streamd.doors.web.models.sessions import EndedSession, NewSession
from streamd.doors.web.openapi import Operation
from streamd.doors.web.sessions import SessionLimits, Sessions
from streamd.services.audit.records import Actor
from streamd.services.history import SAMPLE_INTERVAL_S

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.doors.web.live_streams import LiveStreams
    from streamd.doors.web.sessions import SessionRecord
    from streamd.services.history import History

# uPlot as packaging/fetch_player.py leaves it; a build without a network has none.
CHARTS_MODULE: Final = "vendor/uplot.mjs"
CHARTS_STYLE: Final = "vendor/uplot.css"

CONSOLE_ACTOR: Final = "console"
SESSION_LIMITS: Final = SessionLimits(
    lifetime_s=12 * 3600.0,  # a shift; an operator who comes back tomorrow signs in again
    idle_s=3600.0,  # a page that is open uses its session every few seconds
    sessions_max=64,  # a team of operators, each with some tabs
    per_name_max=64,
)


class Console:
    """The console, with the parts of the server that it uses.

    Args:
        clock: For the sessions.
        streams: The live streams.
        history: The charts' figures.
        revision: A number that changes with every change of keys, users, recordings or the audit log.
        recording_of: Says which recording a channel's broadcast goes into; empty for none.
        public_origin: Where a browser that reached the admin port by a host name reaches the public port:
            ``https://live.example.org``. Previews come from there.
        root: Directory with ``static`` and ``templates``.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        streams: LiveStreams,
        history: History,
        revision: Callable[[], int],
        public_origin: Callable[[str], str],
        recording_of: Callable[[str], str] = lambda _: "",
        root: Path = ROOT,
    ) -> None:
        self.sessions: Sessions[Actor] = Sessions(clock, SESSION_LIMITS)
        self.events = EventHub(streams=streams, history=history, revision=revision, recording_of=recording_of)
        self._clock = clock
        self._history = history
        self._public_origin = public_origin
        self._files = StaticFiles(root)

    def restore(self, records: Iterable[SessionRecord]) -> None:
        """Go on with the sessions that a server before this one had."""
        self.sessions.restore(records, Actor)

    def add_to(self, app: web.Application) -> None:
        """Add the page and its files to the admin application."""

        async def end_events(_: web.Application) -> None:
            self.events.close()

        app.router.add_get("/", self._get_page)
        self._files.add_to(app)
        app.on_shutdown.append(end_events)

    def is_public(self, path: str) -> bool:
        """Whether a path is the page or one of its files."""
        return path == "/" or path.startswith("/static/")

    def operations(self, gate: TokenGate) -> list[Operation]:
        """The calls of the admin API that were made for the console.

        Args:
            gate: Names the asker.
        """

        async def stream_events(request: web.Request) -> web.StreamResponse:
            """Follow what changes, as server-sent events.

            Once a second at the most: ``streams`` holds the live streams as ``GET /api/v1/streams`` does, ``sample``
            the newest sample of ``GET /api/v1/history``, and ``records`` is another number when keys, users,
            recordings or the audit log have changed.
            """
            return await self.events.serve(request, is_welcome=lambda: gate.actor_of(request) is not None)

        return [
            Operation("POST", "/api/v1/session", self.begin_session, NewSession, 201),
            Operation("POST", "/api/v1/session/end", self.end_session, EndedSession),
            Operation("GET", "/api/v1/history", self.get_history, HistoryAnswer),
            Operation("GET", "/api/v1/events", stream_events, EVENT_STREAM_TYPE, problems=(503,)),
        ]

    async def begin_session(self, request: web.Request) -> web.StreamResponse:
        """Exchange the admin token for a session's.

        A session lasts 12 hours, and an hour without use. It can do all that the admin token can, except begin another.
        """
        if request[ACTOR].name != ADMIN_ACTOR:
            raise ForbiddenError("a session is begun with the admin token")
        expires_at = self._clock.now() + timedelta(seconds=SESSION_LIMITS.lifetime_s)
        token = self.sessions.begin(CONSOLE_ACTOR, Actor(CONSOLE_ACTOR))
        return json_answer(NewSession(token=token, expires_at=expires_at), status=201)

    async def end_session(self, request: web.Request) -> web.StreamResponse:
        """End the session whose token is shown."""
        is_session = request[ACTOR].name == CONSOLE_ACTOR
        self.sessions.end(shown_token(request))
        return json_answer(EndedSession(ended=is_session))

    async def get_history(self, _: web.Request) -> web.StreamResponse:
        """Show the server's own figures of the last hour."""
        samples = [HistorySample.model_validate(sample) for sample in self._history.samples]
        return json_answer(HistoryAnswer(interval_s=SAMPLE_INTERVAL_S, samples=samples))

    async def _get_page(self, request: web.Request) -> web.Response:
        # The host guard has let this name through, so it is one of ours.
        hostname = urlsplit(f"//{request.headers.get(hdrs.HOST, '')}").hostname or ""
        origin = self._public_origin(f"[{hostname}]" if ":" in hostname else hostname)
        has_charts = CHARTS_MODULE in self._files
        style = self._files.address(HERE, CHARTS_STYLE)
        page = self._files.page(
            "console",
            level=1,
            public=html.escape(origin),
            charts=self._files.address(HERE, CHARTS_MODULE) if has_charts else "",
            charts_style=f'<link rel="stylesheet" href="{style}">' if has_charts else "",
        )
        return answer(request, page, console_headers(media_src=_origin_of(origin)), CACHE_REVALIDATE)


def _origin_of(url: str) -> str:
    """Scheme, host and port: a source with a path would allow that path alone (CSP 3, 6.7.2.8)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
