"""What a request of the admin port must show before anything is done with it."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from streamd.keys.records import Actor
from streamd.web.json_api import problem

if TYPE_CHECKING:
    from streamd.web.sessions import Sessions

# Who asks, as the audit log names them; the guard leaves it in the request.
ACTOR: Final = web.RequestKey("actor", Actor)
ADMIN_ACTOR: Final = "admin"


class TokenGate:
    """Who may use the admin API: whoever shows the admin token, or that of a session which was begun with it.

    Args:
        token: The admin token.
        sessions: Of consoles (console.py).
    """

    def __init__(self, token: str, sessions: Sessions[Actor]) -> None:
        # Hashed first, so that the comparison always has equal lengths and says nothing of the token's.
        self._expected = hashlib.sha256(token.encode()).digest()
        self._sessions = sessions

    def actor_of(self, request: web.Request) -> Actor | None:
        """Who sends a request; None where it may be anybody."""
        shown = shown_token(request)
        if self._is_admin_token(shown):
            return Actor(ADMIN_ACTOR, request.remote or "")
        actor = self._sessions.find(shown)
        return None if actor is None else replace(actor, address=request.remote or "")

    def middleware(self, *, is_public: Callable[[str], bool]) -> Middleware:
        """Turn away whom ``actor_of`` does not know; an unknown path needs the token as well.

        Args:
            is_public: Tells the paths for which nothing need be shown.
        """

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            if is_public(request.path):
                return await handler(request)
            actor = self.actor_of(request)
            if actor is None:
                # RFC 6750 section 3: no error code where no token was shown.
                has_shown = hdrs.AUTHORIZATION in request.headers
                challenge = 'Bearer realm="streamd"' + (', error="invalid_token"' if has_shown else "")
                return problem(
                    401,
                    "send the admin token as Authorization: Bearer TOKEN",
                    headers={hdrs.WWW_AUTHENTICATE: challenge},
                )
            request[ACTOR] = actor
            return await handler(request)

        return guard

    def _is_admin_token(self, shown: str) -> bool:
        return hmac.compare_digest(hashlib.sha256(shown.encode(errors="surrogateescape")).digest(), self._expected)


def shown_token(request: web.Request) -> str:
    """The bearer token of a request (RFC 6750 section 2.1); empty where there is none."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def host_guard(hosts: Collection[str]) -> Middleware:
    """Turn away what another site has a browser send.

    A name of the attacker's that resolves to our address (DNS rebinding) stands in Host; a page of another site
    stands in Origin. The token guards against both; this makes it useless to try, and guards the routes that need
    no token.

    Args:
        hosts: Host names by which a browser may come, beside ``localhost`` and IP addresses.
    """
    allowed = {host.lower() for host in hosts} | {"localhost"}

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = urlsplit(f"//{request.headers.get(hdrs.HOST, '')}")
        if not _is_allowed(host.hostname or "", allowed):
            return problem(421, "this server is not known by that name; add it to admin.hosts")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and urlsplit(origin).netloc.lower() != host.netloc.lower():
            return problem(403, "requests from pages of other sites are refused")
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
