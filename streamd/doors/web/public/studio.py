"""The broadcaster's page on the public port: am I live, what arrives, who watches, and why can OBS not connect.

The stream key itself opens it, and no other account is needed. The key is sent once, in the body of a POST and never in
a URL, and exchanged for a session in a cookie that no script can read (``HttpOnly``), that no other site can send
(``SameSite=Strict``) and that goes to this page alone: without a ``Path`` it goes to where its answer came from
(RFC 6265 section 5.1.4), which is ``/studio`` under whatever path a proxy has put the server at. As with a publisher's
``Admission``, the key service ends a session in the step in which the key dies, so the page of a revoked key says so
within the second in which it asks. A session outlives a restart of the server (session_file.py), which asks the key
service anew.

A session shows facts of its own channel: how the stream arrives, the number of viewers, and the outcome of attempts to
publish with this very key. It holds no key, key id or label, no reason that an operator has written, and no fact of
another user.

A wrong key spends a try of the same budgets here as at the RTMP door (services/keys/guessing.py), and every wrong key
has the same answer. The right secret of a dead key is answered with the reason of its death: this page says why OBS is
refused, and a guesser does not get there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from streamd.doors.web.assets import CACHE_REVALIDATE, StaticFiles
from streamd.doors.web.assets import answer as page_answer
from streamd.doors.web.fields import cookies_named
from streamd.doors.web.headers import CONSOLE_HEADERS
from streamd.doors.web.json_api import NotFoundError, answer, problem, problems, read_body, read_query
from streamd.doors.web.models.clips import ClipChange, ClipRequest, OwnClipsQuery
from streamd.doors.web.models.recordings import OwnRecordingChange, OwnRecordingsQuery
from streamd.doors.web.models.restream import NewTarget, TargetChange
from streamd.doors.web.models.streams import StreamFigures
from streamd.doors.web.models.studio import KeyShown, LiveState, OwnAttempt, StudioState
from streamd.doors.web.models.users import UserLimits
from streamd.doors.web.public.own_recordings import TooManyActsError
from streamd.doors.web.sessions import SessionLimits, Sessions
from streamd.errors import KeyRejectedError
from streamd.formats.rtmp.stream_name import trim_slips
from streamd.services.keys.admission import Admission, Denial

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.doors.web.live_streams import ListedStream, LiveStreams
    from streamd.doors.web.public.own_clips import OwnClipDesk
    from streamd.doors.web.public.own_decisions import OwnDecisionDesk
    from streamd.doors.web.public.own_recordings import OwnRecordingDesk
    from streamd.doors.web.public.own_targets import OwnTargetDesk
    from streamd.doors.web.sessions import SessionRecord
    from streamd.services.keys.verifier import KeyVerifier

PATH: Final = "/studio"
COOKIE: Final = "streamd_studio"
SESSION_LIMITS: Final = SessionLimits(
    lifetime_s=12 * 3600.0,  # the longest broadcast that a person sits through
    idle_s=900.0,  # a page that is open asks every second, in the background every minute or so
    sessions_max=2_048,  # as many as a full server has broadcasters, a few times over; about 1 KB each
    per_name_max=8,  # a broadcaster's computer and telephone, each with some tabs
)
RETRY_AFTER_S = 10

_NO_KEY = "That is not a stream key of this server. Copy it again, whole."
_DECIDED_ELSEWHERE = (
    '<p class="callout warning" id="decided">Who goes live here is decided by a service of whoever runs this server, '
    "and not by its stream keys. This page opens only with a key that was issued here, and what you typed into OBS is "
    "none: ask where you got it how your stream arrives.</p>"
)
_DEAD = {
    Denial.REVOKED: "This stream key was revoked. Ask whoever runs this server for a new one.",
    Denial.EXPIRED: "This stream key has expired. Ask whoever runs this server for a new one.",
    Denial.SUSPENDED: "This channel is suspended. Ask whoever runs this server.",
}


@dataclass(slots=True)
class _Visit:
    """The subject of a session."""

    key_id: str
    admission: Admission | None = None
    """None of a session that a server before this one began, until it asks."""


@dataclass(frozen=True, slots=True)
class StudioOptions:
    """The page's part of the configuration."""

    rtmp_url: str
    """The server that broadcasters type."""
    is_secure: bool
    """Viewers come over HTTPS, to us or to the proxy in front: the cookie is then sent only over HTTPS."""
    is_decided_elsewhere: bool = False
    """A service of the operator's decides alone who goes live: its broadcasters have no key of this server."""


class Studio:
    """The broadcaster's page and its calls.

    Args:
        keys: Finds the user of a key, and reports the key's death.
        streams: The live streams.
        clock: For the sessions.
        files: The static files of the public port.
        options: Of the configuration.
        recordings: The broadcasters' own recordings.
        clips: The broadcasters' own clips.
        decisions: What moderators have decided about broadcasters; None where moderation is off.
        targets: The broadcasters' own targets; None where restreaming is off.
    """

    def __init__(
        self,
        *,
        keys: KeyVerifier,
        streams: LiveStreams,
        clock: Clock,
        files: StaticFiles,
        options: StudioOptions,
        recordings: OwnRecordingDesk | None = None,
        clips: OwnClipDesk | None = None,
        decisions: OwnDecisionDesk | None = None,
        targets: OwnTargetDesk | None = None,
    ) -> None:
        self._targets = targets
        self._decisions = decisions
        self._recordings = recordings
        self._clips = clips
        self._keys = keys
        self._streams = streams
        self._options = options
        self.sessions: Sessions[_Visit] = Sessions(clock, SESSION_LIMITS)
        self._page = files.page("studio", decided=_DECIDED_ELSEWHERE if options.is_decided_elsewhere else "")

    def restore(self, records: Iterable[SessionRecord]) -> None:
        """Go on with the sessions that a server before this one had."""
        self.sessions.restore(records, _Visit)

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the public application."""
        app.router.add_get(PATH, self._get_page)
        app.router.add_post(f"{PATH}/session", _with_problems(self._begin))
        # In the folder of the cookie, which its answer takes away.
        app.router.add_post(f"{PATH}/end", _with_problems(self._end))
        app.router.add_get(f"{PATH}/state", _with_problems(self._get_state))
        if self._decisions is not None:
            app.router.add_get(f"{PATH}/decisions", _with_problems(self._list_decisions))
        if self._recordings is not None:
            app.router.add_get(f"{PATH}/recordings", _with_problems(self._list_recordings))
            app.router.add_patch(f"{PATH}/recordings/{{id}}", _with_problems(self._change_recording))
            app.router.add_delete(f"{PATH}/recordings/{{id}}", _with_problems(self._delete_recording))
        if self._clips is not None:
            app.router.add_get(f"{PATH}/clips", _with_problems(self._list_clips))
            app.router.add_post(f"{PATH}/clips", _with_problems(self._make_clip))
            app.router.add_patch(f"{PATH}/clips/{{id}}", _with_problems(self._change_clip))
            app.router.add_delete(f"{PATH}/clips/{{id}}", _with_problems(self._delete_clip))
        if self._targets is not None:
            app.router.add_get(f"{PATH}/targets", _with_problems(self._list_targets))
            app.router.add_post(f"{PATH}/targets", _with_problems(self._add_target))
            app.router.add_patch(f"{PATH}/targets/{{id}}", _with_problems(self._change_target))
            app.router.add_delete(f"{PATH}/targets/{{id}}", _with_problems(self._delete_target))
            app.router.add_post(f"{PATH}/targets/{{id}}/start", _with_problems(self._start_target))
            app.router.add_post(f"{PATH}/targets/{{id}}/stop", _with_problems(self._stop_target))

    async def _get_page(self, request: web.Request) -> web.Response:
        return page_answer(request, self._page, CONSOLE_HEADERS, CACHE_REVALIDATE)

    async def _begin(self, request: web.Request) -> web.StreamResponse:
        # A page of another site can send a form, but no JSON without a preflight, which is refused.
        shown = await read_body(request, KeyShown)
        try:
            admission = await self._keys.recognise(trim_slips(shown.stream_key), request.remote or "")
        except KeyRejectedError as error:
            return _refusal(error.reason)
        response = answer(self._state_of(admission), status=201)
        response.set_cookie(
            COOKIE,
            self.sessions.begin(admission.key_id, _Visit(admission.key_id, admission)),
            path="",
            httponly=True,
            samesite="Strict",
            secure=self._options.is_secure or request.secure,
        )
        return response

    async def _end(self, request: web.Request) -> web.StreamResponse:
        response = web.Response(status=204)
        tokens = cookies_named(request, COOKIE)
        for token in tokens:
            self.sessions.end(token)
        # A cookie that a browser has not shown (SameSite) is not taken away from it either.
        if tokens:
            response.del_cookie(COOKIE, path="")
        return response

    async def _get_state(self, request: web.Request) -> web.StreamResponse:
        return answer(self._state_of(await self._admitted(request)))

    async def _list_decisions(self, request: web.Request) -> web.StreamResponse:
        admission = await self._admitted(request)
        assert self._decisions is not None, "it has a route"
        return answer(await self._decisions.page(admission.user))

    async def _list_recordings(self, request: web.Request) -> web.StreamResponse:
        admission, query = await self._admitted(request), read_query(request, OwnRecordingsQuery)
        return answer(await self._desk.page(admission.user, query))

    async def _change_recording(self, request: web.Request) -> web.StreamResponse:
        admission, change = await self._admitted(request), await read_body(request, OwnRecordingChange)
        return answer(await self._desk.change(admission, request.remote or "", request.match_info["id"], change))

    async def _delete_recording(self, request: web.Request) -> web.StreamResponse:
        admission = await self._admitted(request)
        return answer(await self._desk.delete(admission, request.remote or "", request.match_info["id"]))

    async def _list_clips(self, request: web.Request) -> web.StreamResponse:
        admission, query = await self._admitted(request), read_query(request, OwnClipsQuery)
        return answer(await self._clip_desk.page(admission.user, query))

    async def _make_clip(self, request: web.Request) -> web.StreamResponse:
        admission, asked = await self._admitted(request), await read_body(request, ClipRequest)
        return answer(await self._clip_desk.make(admission, request.remote or "", asked), status=201)

    async def _change_clip(self, request: web.Request) -> web.StreamResponse:
        admission, change = await self._admitted(request), await read_body(request, ClipChange)
        return answer(await self._clip_desk.change(admission, request.remote or "", request.match_info["id"], change))

    async def _delete_clip(self, request: web.Request) -> web.StreamResponse:
        admission = await self._admitted(request)
        return answer(await self._clip_desk.delete(admission, request.remote or "", request.match_info["id"]))

    async def _list_targets(self, request: web.Request) -> web.StreamResponse:
        admission = await self._admitted(request)
        return answer(await self._target_desk.list(admission.user))

    async def _add_target(self, request: web.Request) -> web.StreamResponse:
        admission, new = await self._admitted(request), await read_body(request, NewTarget)
        return answer(await self._target_desk.add(admission, request.remote or "", new), status=201)

    async def _change_target(self, request: web.Request) -> web.StreamResponse:
        admission, change = await self._admitted(request), await read_body(request, TargetChange)
        target_id = request.match_info["id"]
        return answer(await self._target_desk.change(admission, request.remote or "", target_id, change))

    async def _delete_target(self, request: web.Request) -> web.StreamResponse:
        admission = await self._admitted(request)
        return answer(await self._target_desk.delete(admission, request.remote or "", request.match_info["id"]))

    async def _start_target(self, request: web.Request) -> web.StreamResponse:
        admission = await self._admitted(request)
        return answer(await self._target_desk.start(admission, request.match_info["id"]))

    async def _stop_target(self, request: web.Request) -> web.StreamResponse:
        admission = await self._admitted(request)
        return answer(await self._target_desk.stop(admission, request.match_info["id"]))

    @property
    def _target_desk(self) -> OwnTargetDesk:
        # A reload of the configuration can switch it off.
        if self._targets is None or not self._targets.targets_max:
            raise NotFoundError("broadcasts are not passed on here")
        return self._targets

    @property
    def _clip_desk(self) -> OwnClipDesk:
        if self._clips is None:
            raise NotFoundError("no clips are made here")
        return self._clips

    @property
    def _desk(self) -> OwnRecordingDesk:
        if self._recordings is None:
            raise NotFoundError("nothing is recorded here")
        return self._recordings

    async def _admitted(self, request: web.Request) -> Admission:
        """The broadcaster who asks.

        Raises:
            _RefusedError: The request is of no session, or of one whose key is dead.
        """
        # Another host of the site can have a browser send its cookies beside ours, by the same name: none of those that
        # are no session's matters, and of two sessions nobody knows which is this broadcaster's.
        living = {token: visit for token in cookies_named(request, COOKIE) if (visit := self.sessions.find(token))}
        if len(living) != 1:
            raise _RefusedError(problem(401, "Sign in with your stream key."))
        ((token, visit),) = living.items()
        try:
            admission = visit.admission or await self._keys.readmit(visit.key_id)
        except KeyRejectedError as error:
            self.sessions.end(token)
            raise _RefusedError(_refusal(error.reason)) from error
        visit.admission = admission
        if not self._keys.admissions.is_admissible(admission):
            self.sessions.end(token)
            raise _RefusedError(_refusal(admission.ended_by or Denial.EXPIRED))
        return admission

    def _state_of(self, admission: Admission) -> StudioState:
        summary = self._streams.summary(admission.user)
        attempts = reversed(self._keys.attempts.of(admission.key_id))
        return StudioState(
            channel=admission.user,
            rtmp_url=self._options.rtmp_url,
            limits=UserLimits.model_validate(admission.limits),
            state=_live_state(summary, admission),
            stream=None if summary is None else StreamFigures.model_validate(summary),
            decisions=self._decisions.count(admission.user) if self._decisions is not None else 0,
            targets_max=self._targets.targets_max if self._targets is not None else 0,
            attempts=[OwnAttempt.model_validate(attempt) for attempt in attempts],
        )


class _RefusedError(Exception):
    """The asker is not let in.

    Args:
        response: What they are answered.
    """

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


def _live_state(summary: ListedStream | None, admission: Admission) -> LiveState:
    if summary is None:
        return LiveState.OFFLINE
    return LiveState.LIVE if summary.key_id == admission.key_id else LiveState.LIVE_WITH_OTHER_KEY


def _refusal(reason: str) -> web.Response:
    if reason in (Denial.RATE_LIMITED, Denial.TOO_OFTEN):
        return problem(429, "Too many tries. Wait a little.", headers={"Retry-After": str(RETRY_AFTER_S)})
    dead = next((text for denial, text in _DEAD.items() if denial == reason), None)
    return problem(403, dead or _NO_KEY)


def _with_problems(handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answered(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except _RefusedError as refused:
            return refused.response
        except TooManyActsError:
            detail = "That is more than anybody does by hand. Wait a little."
            return problem(429, detail, headers={"Retry-After": str(RETRY_AFTER_S)})

    async def handle(request: web.Request) -> web.StreamResponse:
        return await problems(request, answered)

    return handle
