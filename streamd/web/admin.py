"""The admin API: keys, users, live streams, audit log, health and metrics, on a listener of its own.

CONTRACT.md, Admin HTTP. Every route needs the bearer token but ``/healthz`` and ``/readyz``. Errors
are problem details, RFC 9457.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http
import ipaddress
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ValidationError

from streamd import __version__
from streamd.errors import (
    KeyNotFoundError,
    KeyRequestError,
    KeyStateError,
    StoreUnavailableError,
    UserNotFoundError,
)
from streamd.keys.records import USER_NAME, Actor, UserState
from streamd.web.admin_models import (
    AuditPage,
    AuditQuery,
    Health,
    IssueRequest,
    Key,
    KeyPage,
    KeyPath,
    KeyQuery,
    Kick,
    NewKey,
    Problem,
    ReasonRequest,
    Revocation,
    RotateRequest,
    Stream,
    StreamList,
    User,
    UserChange,
    UserPage,
    UserPath,
    UserQuery,
)
from streamd.web.headers import harden
from streamd.web.openapi import JSON_TYPE, PROBLEM_TYPE, Operation, openapi_document

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from streamd.keys.service import KeyService
    from streamd.live.health import Health as StreamHealth

log = logging.getLogger(__name__)

# The largest request is a key with a label of 100 characters and a reason of 500, each of up to 12
# bytes when escaped.
BODY_BYTES_MAX = 16 * 1024
# Who asks whether we are ready asks every second or so, and takes a late answer for a no.
READY_TIMEOUT_S = 2.0
ACTOR_NAME = "admin"

_Body = TypeVar("_Body", bound=BaseModel)


class StreamSummary(Protocol):
    """What an operator is told of a live stream; units as in ``admin_models.Stream``."""

    @property
    def name(self) -> str:
        """Channel."""

    @property
    def key_id(self) -> str:
        """Id of the key that opened it."""

    @property
    def live_since(self) -> datetime:
        """When it began."""

    @property
    def publisher_address(self) -> str:
        """IP address of the publisher."""

    @property
    def encoder(self) -> str:
        """What the publisher's software calls itself."""

    @property
    def codecs(self) -> Sequence[str]:
        """RFC 6381 codecs of its tracks."""

    @property
    def width(self) -> int:
        """Pixels; 0 without video."""

    @property
    def height(self) -> int:
        """Pixels; 0 without video."""

    @property
    def bitrate_bps(self) -> float:
        """Bits a second, lately."""

    @property
    def frame_rate(self) -> float:
        """Frames a second, lately; 0 without video."""

    @property
    def keyframe_interval_s(self) -> float | None:
        """Seconds between the last two keyframes; None before there are two."""

    @property
    def health(self) -> StreamHealth:
        """How well it arrives."""

    @property
    def viewers(self) -> Mapping[str, int]:
        """Viewers by protocol."""


class LiveStreams(Protocol):
    """The live streams, as the admin API needs them; the live registry has them."""

    def summaries(self) -> Sequence[StreamSummary]:
        """All that are live now."""

    def summary(self, name: str) -> StreamSummary | None:
        """The one of this name; None where it is not live."""

    async def kick(self, name: str) -> bool:
        """Close its publisher, and return when it is closed; False where none was live."""


def admin_app(
    *,
    keys: KeyService,
    streams: LiveStreams,
    metrics: CollectorRegistry,
    token: str,
    rtmp_url: str,
    hosts: Collection[str] = (),
    not_ready_because: Callable[[], str | None] = lambda: None,
) -> web.Application:
    """The admin API as an aiohttp application.

    Args:
        keys: The key service.
        streams: The live streams.
        metrics: What ``/metrics`` shows.
        token: Bearer token that every request must carry.
        rtmp_url: What broadcasters type as server, shown with a new key.
        hosts: Host names by which a browser may reach this API, beside ``localhost`` and IP addresses.
        not_ready_because: Why nobody should be sent here, beside the key store: the server drains;
            None where nothing speaks against it.
    """
    api = _AdminApi(keys, streams, metrics, rtmp_url, not_ready_because)
    operations = api.operations()
    app = web.Application(
        middlewares=[
            _problems,
            _host_guard(hosts),
            _token_guard(token, public_paths={o.path for o in operations if not o.needs_token}),
        ],
        client_max_size=BODY_BYTES_MAX,
    )
    harden(app)
    add = {"GET": web.get, "POST": web.post, "PATCH": web.patch}  # web.get answers HEAD as well
    app.add_routes([add[operation.method](operation.path, _served(operation)) for operation in operations])
    return app


class _AdminApi:
    """One method a route: read the request, ask the service, write the answer."""

    def __init__(
        self,
        keys: KeyService,
        streams: LiveStreams,
        metrics: CollectorRegistry,
        rtmp_url: str,
        not_ready_because: Callable[[], str | None],
    ) -> None:
        self._keys = keys
        self._streams = streams
        self._metrics = metrics
        self._rtmp_url = rtmp_url
        self._not_ready_because = not_ready_because

    def operations(self) -> list[Operation]:
        """Every call: what it takes, what it answers, how it can fail."""
        return [
            Operation("GET", "/healthz", self.healthz, Health, needs_token=False),
            Operation("GET", "/readyz", self.readyz, Health, other_answers={503: Health}, needs_token=False),
            Operation("GET", "/metrics", self.metrics, "text/plain"),
            Operation("GET", "/openapi.json", self.openapi, None),
            Operation(
                "POST", "/api/v1/keys", self.issue_key, NewKey, 201, body=IssueRequest, problems=(503,)
            ),
            Operation("GET", "/api/v1/keys", self.list_keys, KeyPage, query=KeyQuery, problems=(503,)),
            Operation("GET", "/api/v1/keys/{id}", self.get_key, Key, path_model=KeyPath, problems=(503,)),
            Operation(
                "POST", "/api/v1/keys/{id}/rotate", self.rotate_key, NewKey, 201,
                path_model=KeyPath, body=RotateRequest, problems=(409, 503),
            ),
            Operation(
                "POST", "/api/v1/keys/{id}/revoke", self.revoke_key, Revocation,
                path_model=KeyPath, body=ReasonRequest, problems=(503,),
            ),
            Operation("GET", "/api/v1/users", self.list_users, UserPage, query=UserQuery, problems=(503,)),
            Operation("GET", "/api/v1/users/{name}", self.get_user, User, path_model=UserPath, problems=(503,)),
            Operation(
                "PATCH", "/api/v1/users/{name}", self.change_user, User,
                path_model=UserPath, body=UserChange, problems=(503,),
            ),
            Operation("GET", "/api/v1/streams", self.list_streams, StreamList),
            Operation("GET", "/api/v1/streams/{name}", self.get_stream, Stream, path_model=UserPath),
            Operation(
                "POST", "/api/v1/streams/{name}/kick", self.kick_stream, Kick,
                path_model=UserPath, body=ReasonRequest, problems=(503,),
            ),
            Operation("GET", "/api/v1/audit", self.list_audit, AuditPage, query=AuditQuery, problems=(503,)),
        ]  # fmt: skip

    # -- health and metrics ---------------------------------------------------------------------

    async def healthz(self, _: web.Request) -> web.Response:
        """Whether the process works at all: it answers."""
        return _answer(Health(status="ok"))

    async def readyz(self, _: web.Request) -> web.Response:
        """Whether a broadcaster who came now would be let in."""
        reason = self._not_ready_because()
        if reason is None:
            try:
                async with asyncio.timeout(READY_TIMEOUT_S):
                    await self._keys.check()
            except StoreUnavailableError as exc:
                # What is wrong with the store goes to the log; this answer needs no token.
                log.debug("readiness.failed", extra={"reason": str(exc)})
                reason = "the key store is unavailable"
            except TimeoutError:
                reason = "the key store does not answer"
        return _answer(Health(status=reason or "ok"), status=503 if reason else 200)

    async def metrics(self, _: web.Request) -> web.Response:
        """Metrics in Prometheus's text format."""
        return web.Response(body=generate_latest(self._metrics), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})

    async def openapi(self, _: web.Request) -> web.Response:
        """This API as an OpenAPI document."""
        document = openapi_document(
            self.operations(),
            title="streamd admin API",
            version=__version__,
            description="Stream keys, users, live streams and the audit log of a streamd server. Errors are RFC 9457 "
            "problem details.",
            problem=Problem,
        )
        return web.json_response(document, headers={hdrs.CACHE_CONTROL: "no-store"})

    # -- keys -----------------------------------------------------------------------------------

    async def issue_key(self, request: web.Request, body: IssueRequest) -> web.Response:
        """Make a stream key.

        The answer is the only one that ever holds the key itself. An unknown user is created.
        """
        issued = await self._keys.issue(body.user, label=body.label, expires_at=body.expires_at, by=_actor(request))
        return self._new_key(NewKey.of(issued, self._rtmp_url))

    async def list_keys(self, _: web.Request, query: KeyQuery) -> web.Response:
        """List stream keys, in the order they were issued."""
        page = await self._keys.list_keys(user=query.user, state=query.state, after=query.after, limit=query.limit)
        return _answer(KeyPage.of(page, self._keys.state_of))

    async def get_key(self, request: web.Request) -> web.Response:
        """Show a stream key, without its secret."""
        record = await self._keys.get_key(request.match_info["id"])
        return _answer(Key.of(record, self._keys.state_of(record)))

    async def rotate_key(self, request: web.Request, body: RotateRequest) -> web.Response:
        """Replace a stream key by a new one.

        The old key dies at once, or when the overlap is over; a stream that still runs on it then is closed.
        """
        issued = await self._keys.rotate(request.match_info["id"], overlap_s=body.overlap_s, by=_actor(request))
        return self._new_key(NewKey.of(issued, self._rtmp_url))

    async def revoke_key(self, request: web.Request, body: ReasonRequest) -> web.Response:
        """Kill a stream key for good, and close what runs on it.

        When this is answered, the publisher's socket is closed, the playlist has ended, and whoever waited for
        more of the stream has an answer. Again: the same answer.
        """
        result = await self._keys.revoke(request.match_info["id"], reason=body.reason, by=_actor(request))
        return _answer(Revocation.of(result))

    def _new_key(self, key: NewKey) -> web.Response:
        return _answer(key, status=201, headers={hdrs.LOCATION: f"/api/v1/keys/{key.id}"})

    # -- users ----------------------------------------------------------------------------------

    async def list_users(self, _: web.Request, query: UserQuery) -> web.Response:
        """List users, by name."""
        page = await self._keys.list_users(state=query.state, after=query.after, limit=query.limit)
        return _answer(UserPage.of(page))

    async def get_user(self, request: web.Request) -> web.Response:
        """Show a user."""
        return _answer(User.model_validate(await self._keys.get_user(request.match_info["name"])))

    async def change_user(self, request: web.Request, body: UserChange) -> web.Response:
        """Suspend or restore a user.

        A suspended user's keys open nothing, what ran on them is closed when this is answered, and the channel
        answers viewers with 410.
        """
        change = self._keys.suspend if body.state is UserState.SUSPENDED else self._keys.restore
        record = await change(request.match_info["name"], reason=body.reason, by=_actor(request))
        return _answer(User.model_validate(record))

    # -- streams --------------------------------------------------------------------------------

    async def list_streams(self, _: web.Request) -> web.Response:
        """List the streams that are live now."""
        summaries = sorted(self._streams.summaries(), key=lambda summary: summary.name)
        return _answer(StreamList(streams=[Stream.model_validate(summary) for summary in summaries]))

    async def get_stream(self, request: web.Request) -> web.Response:
        """Show a live stream."""
        summary = self._streams.summary(request.match_info["name"])
        if summary is None:
            raise _StreamNotLiveError(request.match_info["name"])
        return _answer(Stream.model_validate(summary))

    async def kick_stream(self, request: web.Request, body: ReasonRequest) -> web.Response:
        """Close a stream's publisher.

        Its key stays good: most encoders come back within seconds.
        """
        name = request.match_info["name"]
        if self._streams.summary(name) is None:
            raise _StreamNotLiveError(name)
        # First the log: a kick that nobody can account for does not happen.
        await self._keys.record_kick(name, reason=body.reason, by=_actor(request))
        return _answer(Kick(name=name, kicked=await self._streams.kick(name)))

    # -- audit ----------------------------------------------------------------------------------

    async def list_audit(self, _: web.Request, query: AuditQuery) -> web.Response:
        """List who did what to which key, user or stream, when and why."""
        page = await self._keys.list_audit(after=query.after, limit=query.limit, is_newest_first=query.newest_first)
        return _answer(AuditPage.of(page))


# -- requests and answers -----------------------------------------------------------------------


def _served(operation: Operation) -> Handler:
    """The operation as aiohttp calls it: its input is read and validated before its handler sees it."""
    query, body, handler = operation.query, operation.body, operation.handler

    async def serve(request: web.Request) -> web.Response:
        if body is not None:
            return await handler(request, await _body(request, body))
        if query is not None:
            return await handler(request, _query(request, query))
        return await handler(request)

    return serve


class _BadRequestError(Exception):
    """A request that does not validate.

    Args:
        status: HTTP status of the answer.
        detail: What is wrong.
        errors: Each fault with its field.
    """

    def __init__(self, status: int, detail: str, errors: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.errors = list(errors)


class _StreamNotLiveError(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(f"no stream named {name} is live" if USER_NAME.fullmatch(name) else "no such stream is live")


async def _body(request: web.Request, model: type[_Body]) -> _Body:
    """The request's JSON as ``model``; no body at all is an empty object."""
    raw = await request.read()
    # A body of another type is not looked into: a browser may send text/plain to anybody without asking first.
    if raw and request.content_type != JSON_TYPE:
        raise _BadRequestError(415, "send the body as application/json")
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as exc:
        if any(error["type"] == "json_invalid" for error in exc.errors()):
            raise _BadRequestError(400, "the body is not JSON") from exc
        raise _BadRequestError(422, "the body does not validate", _faults(exc)) from exc


def _query(request: web.Request, model: type[_Body]) -> _Body:
    """The request's query as ``model``."""
    repeated = [name for name in request.query if len(request.query.getall(name)) > 1]
    if repeated:
        raise _BadRequestError(422, f"the query gives {repeated[0]} more than once")
    try:
        return model.model_validate_strings(dict(request.query))
    except ValidationError as exc:
        raise _BadRequestError(422, "the query does not validate", _faults(exc)) from exc


def _faults(exc: ValidationError) -> list[str]:
    # What was sent is not repeated: somebody may have put a stream key into the wrong field.
    return [
        f"{'.'.join(str(part) for part in error['loc']) or 'body'}: {error['msg']}"
        for error in exc.errors(include_url=False, include_input=False)
    ]


def _answer(model: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=model.model_dump_json().encode(),
        status=status,
        content_type=JSON_TYPE,
        # What is answered here is secret or true for a moment only.
        headers={hdrs.CACHE_CONTROL: "no-store", **(headers or {})},
    )


def _problem(
    status: int, detail: str, errors: Sequence[str] = (), headers: Mapping[str, str] | None = None
) -> web.Response:
    problem = Problem(title=http.HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors))
    return web.Response(
        body=problem.model_dump_json(exclude_defaults=True).encode(),
        status=status,
        content_type=PROBLEM_TYPE,
        headers={hdrs.CACHE_CONTROL: "no-store", **(headers or {})},
    )


def _actor(request: web.Request) -> Actor:
    return Actor(ACTOR_NAME, request.remote or "")


# -- what every request passes ------------------------------------------------------------------


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem, RFC 9457."""
    try:
        return await handler(request)
    except _BadRequestError as exc:
        return _problem(exc.status, str(exc), exc.errors)
    except KeyRequestError as exc:
        return _problem(422, str(exc))
    except (KeyNotFoundError, UserNotFoundError, _StreamNotLiveError) as exc:
        return _problem(404, str(exc))
    except KeyStateError as exc:
        return _problem(409, str(exc))
    except StoreUnavailableError as exc:
        log.warning("store.failed", extra={"path": request.path, "reason": str(exc)})
        return _problem(503, "the key store is unavailable; see the server's log", headers={hdrs.RETRY_AFTER: "1"})
    except web.HTTPException as exc:
        # aiohttp's own: no such route, wrong method, body too large.
        kept = {name: value for name, value in exc.headers.items() if name == hdrs.ALLOW}
        return _problem(exc.status, exc.reason, headers=kept)
    except Exception:
        log.exception("request.failed", extra={"method": request.method, "path": request.path})
        return _problem(500, "an error of the server's; see its log")


def _token_guard(token: str, *, public_paths: Collection[str]) -> Middleware:
    # Hashed first, so that the comparison always has equal lengths and says nothing of the token's.
    expected = hashlib.sha256(token.encode()).digest()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let through who shows the token; an unknown path needs it as well."""
        if request.path in public_paths:
            return await handler(request)
        scheme, _, shown = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        shown_hash = hashlib.sha256(shown.strip().encode(errors="surrogateescape")).digest()
        if not hmac.compare_digest(shown_hash, expected) or scheme.lower() != "bearer":
            # RFC 6750 section 3: no error code where no token was shown.
            challenge = 'Bearer realm="streamd"' + (', error="invalid_token"' if shown else "")
            return _problem(
                401,
                "send the admin token as Authorization: Bearer TOKEN",
                headers={hdrs.WWW_AUTHENTICATE: challenge},
            )
        return await handler(request)

    return guard


def _host_guard(hosts: Collection[str]) -> Middleware:
    allowed = {host.lower() for host in hosts} | {"localhost"}

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn away what another site has a browser send.

        A name of the attacker's that resolves to our address (DNS rebinding) stands in Host; a
        page of another site stands in Origin. The token guards against both; this makes it
        useless to try, and guards the routes that need no token.
        """
        host = urlsplit(f"//{request.headers.get(hdrs.HOST, '')}")
        if not _is_allowed(host.hostname or "", allowed):
            return _problem(421, "this server is not known by that name; add it to admin.hosts")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and urlsplit(origin).netloc.lower() != host.netloc.lower():
            return _problem(403, "requests from pages of other sites are refused")
        return await handler(request)

    return guard


def _is_allowed(hostname: str, allowed: Collection[str]) -> bool:
    if hostname in allowed:
        return True
    try:
        # An address cannot be rebound: the browser connected to what stands in Host.
        ipaddress.ip_address(hostname)
    except ValueError:
        return False
    return True
