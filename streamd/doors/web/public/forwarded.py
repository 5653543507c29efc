"""Gives requests through a trusted proxy the address and the scheme of the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Middleware

    from streamd.doors.delivery.trusted_proxies import TrustedProxies


def as_forwarded(proxies: TrustedProxies) -> Middleware:
    """Make a middleware that gives requests the ``remote`` and ``scheme`` of the viewer.

    Args:
        proxies: The proxies whose word is taken.
    """

    @web.middleware
    async def believe(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        peer = request.remote or ""
        if not proxies.trusts(peer):
            return await handler(request)
        scheme = proxies.scheme(peer, _joined(request, hdrs.X_FORWARDED_PROTO)) or request.scheme
        client = proxies.client(peer, _joined(request, hdrs.X_FORWARDED_FOR))
        return await handler(request.clone(remote=client, scheme=scheme))

    return believe


def _joined(request: web.Request, name: str) -> str:
    return ",".join(request.headers.getall(name, ()))
