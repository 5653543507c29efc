"""The operator's console on the admin port: its page and files, its sessions, and the calls that were made for it.

Signing in
----------

The page itself is public and holds no data. The operator types their token, or the admin token, and the page exchanges
it for a session (``POST /api/v1/session``): a token of its own that is sent as ``Authorization: Bearer`` like the one
that began it. A session ends after an hour without the page, after half a day, when the operator signs out, or with the
token that began it: at once where that is revoked, rotated or expires. It outlives a restart of the server
(session_file.py), and all tabs of a browser share it. It cannot begin other sessions.

An operator who has set up an authenticator signs in with a code of it as well, and their token alone opens nothing else
than that: a code that only the console's page asked for would keep nobody out who has the token and uses it elsewhere.

It is no cookie. Cookies are told apart by host name and not by port (RFC 6265 section 8.5): the cookie of a console at
``127.0.0.1:8081`` would go to every other port of that address, streamd's public port included, and every page from
there could ask in its name. Only this page sends the header, so other sites can forge no request, and the API has one
way of signing in.

The remaining risk is script in the page itself, for the token is kept in ``localStorage``. The page allows only its own
files, makes no HTML of text (Trusted Types, with no policy), and loads nothing from elsewhere. It keeps only the
session's token: the one that began it is forgotten as soon as it is exchanged.
"""

from __future__ import annotations

import contextlib
import html
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from streamd.doors.web.admin.events import EVENT_STREAM_TYPE, EventHub
from streamd.doors.web.admin.guards import ACTOR, ASKER, Asker, Holder, TokenGate, shown_token
from streamd.doors.web.admin.otpauth import enrolment_uri
from streamd.doors.web.assets import CACHE_REVALIDATE, HERE, ROOT, StaticFiles, answer
from streamd.doors.web.headers import console_headers
from streamd.doors.web.json_api import ConflictError, ForbiddenError
from streamd.doors.web.json_api import answer as json_answer
from streamd.doors.web.models.server import HistoryAnswer, HistorySample
from streamd.doors.web.models.sessions import (
    CodeRequest,
    EndedSession,
    NewAuthenticator,
    NewSession,
    Session,
    SessionRequest,
)
from streamd.doors.web.openapi import Operation
from streamd.doors.web.sessions import SessionLimits, Sessions
from streamd.errors import CodeRefusedError
from streamd.services.history import SAMPLE_INTERVAL_S
from streamd.services.operators.roles import RIGHTS, Right

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.doors.web.live_streams import LiveStreams
    from streamd.doors.web.sessions import SessionRecord
    from streamd.services.history import History
    from streamd.services.operators.service import OperatorService

# uPlot as packaging/fetch_player.py leaves it; a build without a network has none.
CHARTS_MODULE: Final = "vendor/uplot.mjs"
CHARTS_STYLE: Final = "vendor/uplot.css"

# As an authenticator lists it, where the server has no name of its own.
ISSUER: Final = "streamd"
SESSION_LIMITS: Final = SessionLimits(
    lifetime_s=12 * 3600.0,  # a shift; an operator who comes back tomorrow signs in again
    idle_s=3600.0,  # a page that is open uses its session every few seconds
    sessions_max=256,  # a team of operators, each with some browsers
    per_name_max=64,  # several people may share root's token
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
        operators: The people with tokens of their own; None where there are none.
        on_wrong_code: Gets the name and the address of whoever shows a good token and a wrong code.
        on_token_over: Called when a token of an operator works no more, for what was begun with it elsewhere.
        has_cases: Reports are taken here, and moderators decide them.
        has_targets: Broadcasts are passed on to other servers.
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
        operators: OperatorService | None = None,
        on_wrong_code: Callable[[str, str], None] = lambda _, __: None,
        recording_of: Callable[[str], str] = lambda _: "",
        on_token_over: Callable[[], None] = lambda: None,
        has_cases: bool = False,
        has_targets: bool = False,
        root: Path = ROOT,
    ) -> None:
        self.sessions: Sessions[Holder] = Sessions(clock, SESSION_LIMITS)
        self.events = EventHub(streams=streams, history=history, revision=revision, recording_of=recording_of)
        self._clock = clock
        self._history = history
        self._public_origin = public_origin
        self._operators = operators
        self._on_wrong_code = on_wrong_code
        self._on_token_over = on_token_over
        self._has_cases = has_cases
        self._has_targets = has_targets
        self._tokens: frozenset[str] = frozenset()
        self._files = StaticFiles(root)

    def restore(self, records: Iterable[SessionRecord]) -> None:
        """Go on with the sessions that a server before this one had."""
        self.sessions.restore(records, Holder.parse)

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
        if self._operators is not None:
            self._operators.on_change = lambda: self._follow(gate)
            self._look_at_tokens()

        async def stream_events(request: web.Request) -> web.StreamResponse:
            """Follow what changes, as server-sent events.

            Once a second at the most: ``streams`` holds the live streams as ``GET /api/v1/streams`` does, ``sample``
            the newest sample of ``GET /api/v1/history``, and ``records`` is another number when keys, users,
            recordings or the audit log have changed. ``cases`` is another number as soon as something was reported,
            claimed, noted, decided or complained about. The stream ends with the session or the token, and when the
            role is another.
            """
            asker = request[ASKER]

            def is_welcome() -> bool:
                return gate.asker_of(request) == asker

            return await self.events.serve(request, is_welcome=is_welcome)

        totp = "/api/v1/session/totp"
        return [
            Operation(
                "POST", "/api/v1/session", self.begin_session, NewSession, 201,
                body=SessionRequest, problems=(503,), right=None, begins_session=True,
            ),
            Operation("GET", "/api/v1/session", self.get_session, Session, right=None),
            Operation("POST", "/api/v1/session/end", self.end_session, EndedSession, right=None),
            Operation("POST", totp, self.begin_totp, NewAuthenticator, 201, problems=(409,), right=None),
            Operation(
                "POST", f"{totp}/confirm", self.confirm_totp, Session,
                body=CodeRequest, problems=(409, 503), right=None,
            ),
            Operation(
                "POST", f"{totp}/remove", self.remove_totp, Session,
                body=CodeRequest, problems=(409, 503), right=None,
            ),
            Operation("GET", "/api/v1/history", self.get_history, HistoryAnswer, right=Right.READ),
            Operation(
                "GET", "/api/v1/events", stream_events, EVENT_STREAM_TYPE, problems=(503,), right=Right.READ
            ),
        ]  # fmt: skip

    def _follow(self, gate: TokenGate) -> None:
        """Somebody's token or role may be another: end the sessions and event streams that hang on it."""
        self.sessions.end_all(lambda holder: gate.asker_behind(holder) is None)
        self.events.look()
        self._look_at_tokens()

    def tick(self) -> None:
        """Tell consoles what is new, and end what hangs on a token that has expired; called about once a second."""
        self._look_at_tokens()
        self.events.tick()

    def _look_at_tokens(self) -> None:
        if self._operators is None:
            return
        before, self._tokens = self._tokens, self._operators.roster.tokens()
        if before - self._tokens:
            self._on_token_over()

    async def begin_session(self, request: web.Request, body: SessionRequest) -> web.StreamResponse:
        """Exchange a token for a session's.

        The token is an operator's, or the admin token. An operator with an authenticator sends a code of it, too;
        without one, with a wrong one, or with one that was used before the status is 403, and 429 after five wrong
        ones. A session lasts 12 hours, and an hour without use. It can do all that the token can, except begin another.
        """
        asker = request[ASKER]
        if asker.is_session:
            raise ForbiddenError("a session is begun with a token, not with another session")
        if self._operators is not None:
            with self._noting_wrong_codes(request, body.code):
                await self._operators.sign_in(request[ACTOR], body.code)
        expires_at = self._clock.now() + timedelta(seconds=SESSION_LIMITS.lifetime_s)
        if asker.expires_at is not None:
            expires_at = min(expires_at, asker.expires_at)
        holder = Holder(asker.name, asker.token_id)
        token = self.sessions.begin(str(holder), holder)
        session = self._described(asker)
        return json_answer(NewSession(**dict(session), token=token, expires_at=expires_at), status=201)

    async def get_session(self, request: web.Request) -> web.StreamResponse:
        """Show who you are to the server, and what you may do."""
        return json_answer(self._described(request[ASKER]))

    async def end_session(self, request: web.Request) -> web.StreamResponse:
        """End the session whose token is shown."""
        self.sessions.end(shown_token(request))
        self.events.look()
        return json_answer(EndedSession(ended=request[ASKER].is_session))

    async def begin_totp(self, request: web.Request) -> web.StreamResponse:
        """Begin to set up your authenticator: draw a secret for it.

        Nothing is asked of you yet: send a code of it to `/api/v1/session/totp/confirm` within ten minutes. The answer
        is the only one that ever holds the secret.
        """
        if self._operators is None:
            raise ConflictError("only an operator with a name has an authenticator")
        name = request[ASKER].name
        secret = self._operators.authenticators.begin(name)
        uri = enrolment_uri(secret, issuer=ISSUER, account=name)
        return json_answer(NewAuthenticator(secret=secret, uri=uri), status=201)

    async def confirm_totp(self, request: web.Request, body: CodeRequest) -> web.StreamResponse:
        """Show that your authenticator is set up: from now on you sign in with a code of it, too.

        Your token alone opens nothing else than a session from then on. Other sessions of yours, which were begun
        without a code, are over.
        """
        if self._operators is None:
            raise ConflictError("only an operator with a name has an authenticator")
        with self._noting_wrong_codes(request, body.code):
            await self._operators.authenticators.confirm(body.code, by=request[ACTOR])
        # A thief of the token has begun theirs without a code.
        name = request[ASKER].name
        self.sessions.end_all(lambda holder: holder.name == name, but=shown_token(request))
        self.events.look()
        return json_answer(self._described(request[ASKER]))

    async def remove_totp(self, request: web.Request, body: CodeRequest) -> web.StreamResponse:
        """Remove your authenticator, by a code of it. An admin can do so without one (`PATCH /api/v1/operators`)."""
        if self._operators is None:
            raise ConflictError("only an operator with a name has an authenticator")
        with self._noting_wrong_codes(request, body.code):
            by = request[ACTOR]
            await self._operators.authenticators.remove(by.name, by=by, code=body.code)
        return json_answer(self._described(request[ASKER]))

    def _described(self, asker: Asker) -> Session:
        roster = None if self._operators is None else self._operators.roster
        record = None if roster is None else roster.record_of(asker.name)
        return Session(
            name=asker.name,
            role=asker.role,
            rights=[right for right in Right if right in RIGHTS[asker.role]],
            totp=record is not None and record.has_totp,
        )

    @contextlib.contextmanager
    def _noting_wrong_codes(self, request: web.Request, code: str) -> Iterator[None]:
        try:
            yield
        except CodeRefusedError:
            if code:
                self._on_wrong_code(request[ASKER].name, request.remote or "")
            raise

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
            cases="on" if self._has_cases else "off",
            restream="on" if self._has_targets else "off",
            charts=self._files.address(HERE, CHARTS_MODULE) if has_charts else "",
            charts_style=f'<link rel="stylesheet" href="{style}">' if has_charts else "",
        )
        # Pictures of evidence are asked for with the session's token, which an <img> cannot show.
        return answer(
            request, page, console_headers(media_src=_origin_of(origin), img_src="'self' blob:"), CACHE_REVALIDATE
        )


def _origin_of(url: str) -> str:
    """Scheme, host and port: a source with a path would allow that path alone (CSP 3, 6.7.2.8)."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
