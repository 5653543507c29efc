"""The admin API: keys, users, live streams, audit log, health and metrics, on a listener of its own.

Every route needs a bearer token, and a role that has the right to it (guards.py), but ``/healthz``, ``/readyz`` and the
console's page and files. Errors are problem details, RFC 9457.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from streamd import __version__
from streamd.doors.web.admin.guards import ACTOR, TokenGate, host_guard
from streamd.doors.web.admin.operators import OperatorDesk
from streamd.doors.web.contents import BYTES_MAX
from streamd.doors.web.described import Described
from streamd.doors.web.headers import harden
from streamd.doors.web.json_api import InvalidRequestError, NotFoundError, answer, problems, served
from streamd.doors.web.models.audit import AuditPage, AuditQuery
from streamd.doors.web.models.common import Problem, ReasonQuery, ReasonRequest
from streamd.doors.web.models.keys import (
    Import,
    ImportRequest,
    IssueRequest,
    Key,
    KeyDeletion,
    KeyPage,
    KeyPath,
    KeyQuery,
    NewKey,
    Revocation,
    RotateRequest,
)
from streamd.doors.web.models.playback import NO_POLICIES
from streamd.doors.web.models.server import Health
from streamd.doors.web.models.streams import Kick, PreviewTicket, Stream, StreamList
from streamd.doors.web.models.users import (
    NO_WISHES,
    ChangedUser,
    UnwrittenSuspension,
    User,
    UserChange,
    UserDeletion,
    UserPage,
    UserPath,
    UserQuery,
)
from streamd.doors.web.openapi import JSON_TYPE, Operation, openapi_document
from streamd.doors.web.port import without_entity_tags
from streamd.doors.web.request_id import name_requests
from streamd.errors import ImportRefusedError, StoreUnavailableError, UserNotFoundError
from streamd.services.keys.foreign_key import ForeignKey
from streamd.services.keys.records import USER_NAME, UserState
from streamd.services.keys.request import checked_reason
from streamd.services.operators.roles import Right

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from streamd.clock import Clock
    from streamd.doors.web.admin.console import Console
    from streamd.doors.web.admin.playback import PlaybackDesk
    from streamd.doors.web.admin.recordings import RecordingDesk
    from streamd.doors.web.live_streams import LiveStreams
    from streamd.doors.web.port import Port
    from streamd.services.audit.records import Actor
    from streamd.services.keys.service import KeyService
    from streamd.services.operators.service import OperatorService

log = logging.getLogger(__name__)

# The largest request is an import of 200 keys, each with a secret of 200 characters and a label of 100, of up to 12
# bytes each when escaped. A body without the token is not read.
BODY_BYTES_MAX = 768 * 1024
# A balancer asks for readiness every second or so, and takes a late answer for a no.
READY_TIMEOUT_S = 2.0


async def _no_warnings() -> Sequence[str]:
    return ()


def admin_app(
    *,
    keys: KeyService,
    streams: LiveStreams,
    metrics: CollectorRegistry,
    merged: Callable[[bytes], Awaitable[bytes]] | None = None,
    token: str,
    rtmp_urls: Sequence[str],
    console: Console,
    recordings: RecordingDesk | None = None,
    more: Iterable[Operation] = (),
    playback: PlaybackDesk | None = None,
    operators: OperatorService | None = None,
    preview_ticket: Callable[[str], str] = lambda _: "",
    kick_elsewhere: Callable[[str], Awaitable[Mapping[str, str] | None]] | None = None,
    port: Port,
    clock: Clock,
    hosts: Collection[str] = (),
    not_ready_because: Callable[[], str | None] = lambda: None,
    warnings: Callable[[], Awaitable[Sequence[str]]] = _no_warnings,
    on_wrong_token: Callable[[str], None] = lambda _: None,
) -> web.Application:
    """The admin API as an aiohttp application.

    Args:
        keys: The key service.
        streams: The live streams.
        metrics: Shown at ``/metrics``.
        merged: Puts those of other processes of this server with them; None where there are none.
        token: Root's, for all that the API has.
        rtmp_urls: The server addresses for broadcasters, shown with a new key: RTMPS first, and what works with every
            encoder last.
        console: The operator's console.
        recordings: The calls about recordings.
        more: The calls of further desks.
        playback: The calls about who may watch.
        operators: The people with tokens of their own.
        preview_ticket: Makes a ticket for a look at a channel that counts as no viewer.
        kick_elsewhere: Closes the publisher of a stream that another node has, and returns what became of it by node,
            or None where no node has it. None for a server that is alone.
        port: The bounds of peers.
        clock: For all times.
        hosts: Host names by which a browser may reach this API, beside ``localhost`` and IP addresses.
        not_ready_because: The reason, beside the key store, to send no broadcaster here: the server drains; None
            without one.
        warnings: The troubles of a server that is ready, for operators.
        on_wrong_token: Gets the address of a peer that shows one.
    """
    gate = TokenGate(token, console.sessions, operators, port, clock, on_wrong_token)
    api = _AdminApi(
        keys,
        streams,
        metrics,
        merged,
        rtmp_urls,
        not_ready_because,
        warnings,
        [*more, *console.operations(gate), *(OperatorDesk(operators).operations() if operators is not None else ())],
        clock,
        recordings,
        playback,
        preview_ticket,
        kick_elsewhere,
    )
    operations = api.operations()
    public_paths = {operation.path for operation in operations if not operation.needs_token}
    app = web.Application(
        middlewares=[
            port.faultless(),
            problems,
            port.named(),
            host_guard(hosts),
            gate.middleware(is_public=lambda path: path in public_paths or console.is_public(path)),
            without_entity_tags,
            _bounded({operation.path: operation.body_bytes_max for operation in operations}),
            port.whole(),
        ],
        client_max_size=BODY_BYTES_MAX,
    )
    harden(app)
    name_requests(app)
    add = {"GET": web.get, "POST": web.post, "PATCH": web.patch, "DELETE": web.delete}  # web.get answers HEAD as well
    for operation in operations:
        handler = served(operation)
        if operation.needs_token:
            handler = gate.allowing(operation, handler)
        app.add_routes([add[operation.method](operation.path, handler)])
    console.add_to(app)
    return app


def _bounded(bytes_max: Mapping[str, int]) -> Middleware:
    """Make a middleware that lets the bodies of some calls be longer than others.

    Args:
        bytes_max: By path, as the router has it; 0 for the port's.
    """

    @web.middleware
    async def bound(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource is not None and (found := bytes_max.get(resource.canonical, 0)):
            request[BYTES_MAX] = found
        return await handler(request)

    return bound


class _AdminApi:
    """One method a route: read the request, ask the service, write the answer."""

    def __init__(
        self,
        keys: KeyService,
        streams: LiveStreams,
        metrics: CollectorRegistry,
        merged: Callable[[bytes], Awaitable[bytes]] | None,
        rtmp_urls: Sequence[str],
        not_ready_because: Callable[[], str | None],
        warnings: Callable[[], Awaitable[Sequence[str]]],
        others: Iterable[Operation],
        clock: Clock,
        recordings: RecordingDesk | None,
        playback: PlaybackDesk | None,
        preview_ticket: Callable[[str], str],
        kick_elsewhere: Callable[[str], Awaitable[Mapping[str, str] | None]] | None,
    ) -> None:
        self._kick_elsewhere = kick_elsewhere
        self._preview_ticket = preview_ticket
        self._recordings = recordings
        self._playback = playback
        self._keys = keys
        self._streams = streams
        self._metrics = metrics
        self._merged = merged
        self._rtmp_urls = rtmp_urls
        self._not_ready_because = not_ready_because
        self._warnings = warnings
        self._others = others
        self._list = Described(clock)
        self._document = functools.cache(self._describe)

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        return [
            Operation("GET", "/healthz", self.healthz, Health, needs_token=False),
            Operation("GET", "/readyz", self.readyz, Health, other_answers={503: Health}, needs_token=False),
            Operation("GET", "/metrics", self.metrics, "text/plain", right=Right.READ),
            Operation("GET", "/openapi.json", self.openapi, None, right=None),
            Operation(
                "POST", "/api/v1/keys", self.issue_key, NewKey, 201, body=IssueRequest, problems=(503,),
                right=Right.KEYS,
            ),
            Operation(
                "POST", "/api/v1/keys/import", self.import_keys, Import, body=ImportRequest, problems=(503,),
                right=Right.KEYS,
            ),
            Operation(
                "GET", "/api/v1/keys", self.list_keys, KeyPage, query=KeyQuery, problems=(503,), right=Right.READ_KEYS
            ),
            Operation(
                "GET", "/api/v1/keys/{id}", self.get_key, Key,
                path_model=KeyPath, problems=(503,), right=Right.READ_KEYS,
            ),
            Operation(
                "POST", "/api/v1/keys/{id}/rotate", self.rotate_key, NewKey, 201,
                path_model=KeyPath, body=RotateRequest, problems=(409, 503), right=Right.KEYS,
            ),
            Operation(
                "POST", "/api/v1/keys/{id}/revoke", self.revoke_key, Revocation,
                path_model=KeyPath, body=ReasonRequest, other_answers={202: Revocation}, problems=(503,),
                right=Right.KEYS,
            ),
            Operation(
                "DELETE", "/api/v1/keys/{id}", self.delete_key, KeyDeletion,
                path_model=KeyPath, query=ReasonQuery, problems=(503,), right=Right.KEYS,
            ),
            Operation(
                "DELETE", "/api/v1/users/{name}", self.delete_user, UserDeletion,
                path_model=UserPath, query=ReasonQuery, problems=(503,), right=Right.USERS,
            ),
            Operation(
                "GET", "/api/v1/users", self.list_users, UserPage, query=UserQuery, problems=(503,), right=Right.READ
            ),
            Operation(
                "GET", "/api/v1/users/{name}", self.get_user, User,
                path_model=UserPath, problems=(503,), right=Right.READ,
            ),
            Operation(
                "PATCH", "/api/v1/users/{name}", self.change_user, ChangedUser,
                path_model=UserPath, body=UserChange, other_answers={202: UnwrittenSuspension}, problems=(503,),
                right=Right.USERS,
            ),
            Operation("GET", "/api/v1/streams", self.list_streams, StreamList, right=Right.READ),
            Operation(
                "GET", "/api/v1/streams/{name}", self.get_stream, Stream, path_model=UserPath, right=Right.READ
            ),
            Operation(
                "POST", "/api/v1/streams/{name}/kick", self.kick_stream, Kick,
                path_model=UserPath, body=ReasonRequest, other_answers={202: Kick}, problems=(503,),
                right=Right.KICK,
            ),
            Operation(
                "GET", "/api/v1/audit", self.list_audit, AuditPage, query=AuditQuery, problems=(503,), right=Right.READ
            ),
            Operation(
                "POST", "/api/v1/streams/{name}/preview", self.preview_stream, PreviewTicket, 201,
                path_model=UserPath, right=Right.READ,
            ),
            *(self._recordings.operations() if self._recordings is not None else ()),
            *(self._playback.operations() if self._playback is not None else ()),
            *self._others,
        ]  # fmt: skip

    # -- health and metrics ---------------------------------------------------------------------

    async def healthz(self, _: web.Request) -> web.Response:
        """Tell that the process works: it answers."""
        return answer(Health(status="ok"), with_defaults=False)

    async def readyz(self, _: web.Request) -> web.Response:
        """Tell whether a broadcaster with a good key would be let in now.

        503 names the reason: the server stops, its listeners are not open, it is full, or the key store does not
        answer the question that a publish asks.
        """
        reason = self._not_ready_because()
        if reason is None:
            try:
                async with asyncio.timeout(READY_TIMEOUT_S):
                    await self._keys.check()
            except StoreUnavailableError as exc:
                # The store's fault goes to the log; this answer needs no token.
                log.debug("readiness.failed", extra={"reason": str(exc)})
                reason = "the key store is unavailable"
            except TimeoutError:
                reason = "the key store does not answer"
        health = Health(status=reason or "ok")
        if warnings := await self._warnings():
            health = Health(status=health.status, warnings=warnings)
        return answer(health, status=503 if reason else 200, with_defaults=False)

    async def metrics(self, _: web.Request) -> web.Response:
        """Metrics in Prometheus's text format."""
        page = generate_latest(self._metrics)
        if self._merged is not None:
            page = await self._merged(page)
        return web.Response(body=page, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})

    async def openapi(self, _: web.Request) -> web.Response:
        """This API as an OpenAPI document."""
        return _json(self._document())

    def _describe(self) -> bytes:
        document = openapi_document(
            self.operations(),
            title="streamd admin API",
            version=__version__,
            description="Stream keys, users, live streams and the audit log of a streamd server. Errors are RFC 9457 "
            "problem details.",
            problem=Problem,
        )
        return json.dumps(document).encode()

    # -- keys -----------------------------------------------------------------------------------

    async def issue_key(self, request: web.Request, body: IssueRequest) -> web.Response:
        """Make a stream key.

        The answer is the only one that ever holds the key itself. An unknown user is created.
        """
        issued = await self._keys.issue(body.user, label=body.label, expires_at=body.expires_at, by=request[ACTOR])
        return self._new_key(NewKey.of(issued, self._rtmp_urls))

    async def import_keys(self, request: web.Request, body: ImportRequest) -> web.Response:
        """Take over keys of another service, all or none; encoders keep the key they have.

        Importing again changes nothing. No answer repeats a secret.
        """
        given = [ForeignKey(**key.model_dump()) for key in body.keys]
        try:
            results = await self._keys.importer.take(
                given, by=request[ACTOR], allows_weak=body.allow_weak, only_checks=body.check_only
            )
        except ImportRefusedError as exc:
            raise InvalidRequestError(422, str(exc), exc.faults) from exc
        return answer(Import.of(results))

    async def list_keys(self, _: web.Request, query: KeyQuery) -> web.Response:
        """List stream keys, in the order they were issued, or from the last back."""
        page = await self._keys.list_keys(
            user=query.user,
            state=query.state,
            search=query.search,
            after=query.after,
            limit=query.limit,
            is_newest_first=query.newest_first,
        )
        return answer(KeyPage.of(page, self._keys.state_of))

    async def get_key(self, request: web.Request) -> web.Response:
        """Show a stream key, without its secret."""
        record = await self._keys.get_key(request.match_info["id"])
        return answer(Key.of(record, self._keys.state_of(record)))

    async def rotate_key(self, request: web.Request, body: RotateRequest) -> web.Response:
        """Replace a stream key by a new one.

        The old key dies at once, or when the overlap is over; a stream that still runs on it then is closed.
        """
        issued = await self._keys.rotate(request.match_info["id"], overlap_s=body.overlap_s, by=request[ACTOR])
        return self._new_key(NewKey.of(issued, self._rtmp_urls))

    async def revoke_key(self, request: web.Request, body: ReasonRequest) -> web.Response:
        """Kill a stream key for good, and close what runs on it.

        When this is answered, the publisher's socket is closed, the playlist has ended, and every waiting viewer has an
        answer. A second revocation has the same answer. A key store that cannot be written keeps nothing on the air:
        then the status is 202, and `unwritten` says what is written later.
        """
        result = await self._keys.revoke(request.match_info["id"], reason=body.reason, by=request[ACTOR])
        return answer(Revocation.of(result), status=202 if result.unwritten else 200)

    async def delete_key(self, request: web.Request, query: ReasonQuery) -> web.Response:
        """Revoke a stream key, and delete what is kept of it.

        Its hash, label, last use and the addresses from which it was tried are gone; the acts on it stay in the audit
        log, by its id.
        """
        result = await self._keys.delete_key(request.match_info["id"], reason=query.reason, by=request[ACTOR])
        return answer(KeyDeletion.of(result))

    def _new_key(self, key: NewKey) -> web.Response:
        return answer(key, status=201, headers={hdrs.LOCATION: f"/api/v1/keys/{key.id}"})

    # -- users ----------------------------------------------------------------------------------

    async def list_users(self, _: web.Request, query: UserQuery) -> web.Response:
        """List users, by name."""
        page = await self._keys.list_users(state=query.state, search=query.search, after=query.after, limit=query.limit)
        return answer(UserPage.of(page, self._wishes, self._policies))

    async def get_user(self, request: web.Request) -> web.Response:
        """Show a user."""
        return answer(User.of(await self._keys.get_user(request.match_info["name"]), self._wishes, self._policies))

    async def change_user(self, request: web.Request, body: UserChange) -> web.Response:
        """Suspend or restore a user, set the user's limits, or decide over list entry, recordings and viewers.

        A suspended user's keys open no stream, their streams are closed when this is answered, and the channel answers
        viewers with 410. A key store that cannot be written keeps nothing on the air: then the status of a suspension
        is 202, and `unwritten` says what is written later.
        """
        name, by = request.match_info["name"], request[ACTOR]
        closed: tuple[str, ...] = ()
        nodes: Mapping[str, str] = {}
        if body.state is UserState.SUSPENDED:
            # It comes first, for it can be done whatever the key store does.
            suspension = await self._keys.suspend(name, reason=body.reason, by=by)
            if suspension.unwritten:
                pending = UnwrittenSuspension.of(suspension)
                others = sorted(body.model_fields_set & {"limits", "listed", "playback", "record"})
                left = f"; not changed: {', '.join(others)}" if others else ""
                return answer(pending.model_copy(update={"unwritten": pending.unwritten + left}), status=202)
            closed, nodes = suspension.closed, suspension.nodes
        # The limits first: a restored user goes on the air with the new limits.
        if body.limits is not None:
            await self._keys.limit(name, body.limits.model_dump(exclude_unset=True), reason=body.reason, by=by)
        if "record" in body.model_fields_set and self._recordings is not None:
            await self._recordings.wish(name, record=body.record, reason=body.reason, by=by)
        if "playback" in body.model_fields_set and self._playback is not None:
            await self._playback.decide(name, body.playback, reason=body.reason, by=by)
        if body.listed is not None:
            await self._keys.list_channel(name, listed=body.listed, reason=body.reason, by=by)
        if body.state is UserState.ACTIVE:
            await self._keys.restore(name, reason=body.reason, by=by)
        user = User.of(await self._keys.get_user(name), self._wishes, self._policies)
        return answer(ChangedUser(**dict(user), closed=list(closed), nodes=nodes))

    @property
    def _policies(self) -> Mapping[str, str]:
        """Who may watch the channels for which that is decided."""
        return self._playback.policies if self._playback is not None else NO_POLICIES

    @property
    def _wishes(self) -> Mapping[str, bool]:
        """Users for whom it is decided whether they are recorded."""
        return self._recordings.wishes if self._recordings is not None else NO_WISHES

    async def delete_user(self, request: web.Request, query: ReasonQuery) -> web.Response:
        """Close a user's streams, and delete the user with all keys and recordings.

        The acts on them stay in the audit log, by the user's name. The name is free from then on: a new key for it
        opens the same channel.
        """
        name, by = request.match_info["name"], request[ACTOR]
        try:
            result = await self._keys.delete_user(name, reason=query.reason, by=by)
        except UserNotFoundError:
            # An earlier deletion may have come no further than this: the database was away, or the server ended.
            await self._forget_user(name, query.reason, by)
            raise
        await self._forget_user(name, query.reason, by)
        return answer(UserDeletion.of(result))

    async def _forget_user(self, name: str, reason: str, by: Actor) -> None:
        """Delete what a user who is deleted has beside keys."""
        if self._recordings is not None:
            await self._recordings.forget_user(name, reason=reason, by=by)
        if self._playback is not None:
            await self._playback.forget_user(name)

    # -- streams --------------------------------------------------------------------------------

    async def list_streams(self, _: web.Request) -> web.Response:
        """List the streams that are live now."""
        summaries = self._streams.summaries()
        return _json(
            self._list.body(
                [(summary.name, summary.key_id) for summary in summaries],
                lambda: StreamList.of(summaries, self._recording_of).model_dump_json().encode(),
            )
        )

    async def get_stream(self, request: web.Request) -> web.Response:
        """Show a live stream."""
        summary = self._streams.summary(request.match_info["name"])
        if summary is None:
            raise _StreamNotLiveError(request.match_info["name"])
        return answer(Stream.of(summary, self._recording_of))

    def _recording_of(self, name: str) -> str:
        return self._recordings.recording_of(name) if self._recordings is not None else ""

    async def kick_stream(self, request: web.Request, body: ReasonRequest) -> web.Response:
        """Close a stream's publisher.

        Its key stays good: most encoders come back within seconds.
        """
        name = request.match_info["name"]
        reason = checked_reason(body.reason)
        nodes: Mapping[str, str] | None = {}
        # The kick does not wait for the log, which may not take its row before the disk has room again.
        if self._streams.summary(name) is not None:
            kicked = await self._streams.kick(name)
        else:
            nodes = await self._kick_elsewhere(name) if self._kick_elsewhere is not None else None
            if nodes is None:
                raise _StreamNotLiveError(name)
            kicked = True
        unwritten = await self._keys.record_kick(name, reason=reason, by=request[ACTOR])
        return answer(
            Kick(name=name, kicked=kicked, unwritten=unwritten, nodes=nodes or {}), status=202 if unwritten else 200
        )

    async def preview_stream(self, request: web.Request) -> web.Response:
        """Look at a live stream without being counted as a viewer.

        The address is one of the public port, for one connection that begins within a minute.
        """
        name = request.match_info["name"]
        if self._streams.summary(name) is None:
            raise _StreamNotLiveError(name)
        return answer(PreviewTicket(mp4=f"/live/{name}.mp4?preview={self._preview_ticket(name)}"), status=201)

    # -- audit ----------------------------------------------------------------------------------

    async def list_audit(self, _: web.Request, query: AuditQuery) -> web.Response:
        """List or search the audit log: acts on keys, users and streams, with actor, time and reason."""
        page = await self._keys.list_audit(
            after=query.after, limit=query.limit, is_newest_first=query.newest_first, found=query.filter
        )
        return answer(AuditPage.of(page))


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type=JSON_TYPE, headers={hdrs.CACHE_CONTROL: "no-store"})


class _StreamNotLiveError(NotFoundError):
    def __init__(self, name: str) -> None:
        super().__init__(f"no stream named {name} is live" if USER_NAME.fullmatch(name) else "no such stream is live")
