"""A name for each request, by which its answer is found in the log: ``X-Request-Id``.

Media has none: the thin door answers thousands of its requests a second, all alike, and logs none of them.
A proxy in front that has named the request already keeps its name, so that one name is found in all logs.
"""

from __future__ import annotations

import re
import secrets

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

HEADER = "X-Request-Id"
_MEDIA_PATH = "/live/"
# Proxies' names: 32 hexadecimal digits (nginx), a UUID (Envoy, Caddy), or letters of that order. A name cannot be taken
# for another field of the log, and is shorter than a stream key.
_KNOWN_FORM = re.compile(r"[0-9A-Za-z.-]{1,40}")
_RANDOM_BYTES = 8
_REQUEST_ID = web.RequestKey("_REQUEST_ID", str)


@web.middleware
async def name_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Name a request in its answer, and in every log line until the answer; the outermost middleware."""
    if request.path.startswith(_MEDIA_PATH):
        return await handler(request)
    given = request.headers.get(HEADER, "")
    request_id = given if _KNOWN_FORM.fullmatch(given) else secrets.token_hex(_RANDOM_BYTES)
    request[_REQUEST_ID] = request_id
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        return await handler(request)


async def show_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """Put the name into every answer before it is sent; for ``on_response_prepare``."""
    request_id = request.get(_REQUEST_ID)
    if request_id is not None:
        response.headers[HEADER] = request_id


def name_requests(app: web.Application) -> None:
    """Name every request of an application."""
    app.middlewares.insert(0, name_request)
    app.on_response_prepare.append(show_request_id)
