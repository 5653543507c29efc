"""The admin API: keys, users, live streams, audit log, health and metrics, on a listener of its own.

Every route needs a bearer token, and a role that has the right to it (guards.py), but ``/healthz``, ``/readyz`` and the
console's page and files. Errors are problem details, RFC 9457.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from streamd import __version__
from streamd.doors.web.admin.guards import TokenGate, host_guard
from streamd.doors.web.admin.keys import KeyDesk
from streamd.doors.web.admin.operators import OperatorDesk
from streamd.doors.web.admin.server_calls import ServerDesk
from streamd.doors.web.admin.streams import KickElsewhere, StreamDesk
from streamd.doors.web.admin.users import UserDesk
from streamd.doors.web.contents import BYTES_MAX
from streamd.doors.web.headers import harden
from streamd.doors.web.json_api import answer_bytes, problems, served
from streamd.doors.web.models.common import Problem
from streamd.doors.web.openapi import Operation, openapi_document
from streamd.doors.web.port import without_entity_tags
from streamd.doors.web.request_id import name_requests

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from streamd.clock import Clock
    from streamd.doors.web.admin.console import Console
    from streamd.doors.web.admin.playback import PlaybackDesk
    from streamd.doors.web.admin.recordings import RecordingDesk
    from streamd.doors.web.live_streams import LiveStreams
    from streamd.doors.web.port import Port
    from streamd.services.keys.service import KeyService
    from streamd.services.operators.service import OperatorService

# The largest request is an import of 200 keys, each with a secret of 200 characters and a label of 100, of up to 12
# bytes each when escaped. A body without the token is not read.
BODY_BYTES_MAX = 768 * 1024


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
    forget: Callable[[str], Awaitable[None]] | None = None,
    operators: OperatorService | None = None,
    preview_ticket: Callable[[str], str] = lambda _: "",
    kick_elsewhere: KickElsewhere | None = None,
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
        forget: Deletes what else there is of a user who is deleted.
        operators: The people with tokens of their own.
        preview_ticket: Makes a ticket for a look at a channel that counts as no viewer.
        kick_elsewhere: Closes the publisher of a stream that another node has; None for a server that is alone.
        port: The bounds of peers.
        clock: For all times.
        hosts: Host names by which a browser may reach this API, beside ``localhost`` and IP addresses.
        not_ready_because: The reason, beside the key store, to send no broadcaster here: the server drains; None
            without one.
        warnings: The troubles of a server that is ready, for operators.
        on_wrong_token: Gets the address of a peer that shows one.
    """
    gate = TokenGate(token, console.sessions, operators, port, clock, on_wrong_token)
    document = _Document()
    document.operations = operations = [
        *ServerDesk(keys, metrics, not_ready_because, warnings, merged).operations(),
        Operation("GET", "/openapi.json", document.show, None, right=None),
        *KeyDesk(keys, rtmp_urls).operations(),
        *UserDesk(keys, recordings, playback, forget).operations(),
        *StreamDesk(streams, keys, clock, recordings, preview_ticket, kick_elsewhere).operations(),
        *(recordings.operations() if recordings is not None else ()),
        *(playback.operations() if playback is not None else ()),
        *more,
        *console.operations(gate),
        *(OperatorDesk(operators).operations() if operators is not None else ()),
    ]
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


class _Document:
    """The API as an OpenAPI document, which is made when somebody asks for it first."""

    def __init__(self) -> None:
        self.operations: Sequence[Operation] = ()
        self._body = functools.cache(self._make)

    async def show(self, _: web.Request) -> web.Response:
        """This API as an OpenAPI document."""
        return answer_bytes(self._body())

    def _make(self) -> bytes:
        document = openapi_document(
            self.operations,
            title="streamd admin API",
            version=__version__,
            description="Stream keys, users, live streams and the audit log of a streamd server. Errors are RFC 9457 "
            "problem details.",
            problem=Problem,
        )
        return json.dumps(document).encode()
