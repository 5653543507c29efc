"""Gives requests through a trusted proxy the address and the scheme of the viewer, and the path of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Middleware

    from streamd.doors.delivery.trusted_proxies import TrustedProxies


X_FORWARDED_PREFIX: Final = "X-Forwarded-Prefix"
PREFIX: Final = web.RequestKey("prefix", str)
"""The key of the path at which a trusted proxy has put the server; see ``root_of``."""


def as_forwarded(proxies: TrustedProxies) -> Middleware:
    """Make a middleware that gives requests the ``remote`` and ``scheme`` of the viewer, and ``PREFIX``.

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
        forwarded = request.clone(remote=client, scheme=scheme)
        forwarded[PREFIX] = proxies.prefix(peer, _joined(request, X_FORWARDED_PREFIX))
        return await handler(forwarded)

    return believe


def root_of(request: web.Request, root: str) -> str:
    """The path at which viewers reach the server, without a slash at the end.

    Args:
        request: Theirs.
        root: As the configuration has it; empty where it does not say.
    """
    return root or request.get(PREFIX, "")


def _joined(request: web.Request, name: str) -> str:
    return ",".join(request.headers.getall(name, ()))
