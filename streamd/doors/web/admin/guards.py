"""What a request of the admin port must show before anything is done with it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Collection
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from streamd.doors.web.admin.places import note_token
from streamd.doors.web.host import authority, host_name, is_address
from streamd.doors.web.json_api import problem
from streamd.doors.web.refusals import Refusal
from streamd.doors.web.request_budget import RequestBudget
from streamd.services.audit.records import Actor

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.doors.web.port import Port
    from streamd.doors.web.sessions import Sessions

# Who asks, as the audit log names them; the guard leaves it in the request.
ACTOR: Final = web.RequestKey("actor", Actor)
ADMIN_ACTOR: Final = "admin"
# Wrong tokens of one address (IPv6: of one /64) that are answered in a second; twenty at once after a quiet time, the
# others one after another. The token has 256 bits, so that guessing is hopeless at any speed: what is spared is time.
WRONG_TOKENS_PER_SECOND = 20
WRONG_TOKENS_BURST_S = 1.0
HEALTH_PATHS: Final = frozenset(("/healthz", "/readyz"))
# Health checks of one address that are answered in a second without a token, and at once: a watchdog, an orchestrator
# with its probes and some balancers ask once a second each. Theirs alone: what else comes from there takes none of it.
HEALTH_CHECKS_PER_SECOND = 20
HEALTH_CHECKS_BURST_S = 2.0
# What all of this machine's own addresses are counted as.
_LOOPBACK = "127.0.0.1"
# How long an answer waits for its turn; those that would wait longer are 429 at once.
WRONG_TOKEN_WAITS_MAX_S = 2.0


class TokenGate:
    """Who may use the admin API: whoever shows the admin token, or that of a session which was begun with it.

    Args:
        token: The admin token.
        sessions: Of consoles (console.py).
        port: What those may do who have not shown the token.
        clock: For wrong tokens by address.
        on_wrong_token: Told the address of each.
    """

    def __init__(
        self,
        token: str,
        sessions: Sessions[Actor],
        port: Port,
        clock: Clock,
        on_wrong_token: Callable[[str], None] = lambda _: None,
    ) -> None:
        # Hashed first, so that the comparison always has equal lengths and says nothing of the token's.
        self._expected = hashlib.sha256(token.encode()).digest()
        self._sessions = sessions
        self._port = port
        self._on_wrong_token = on_wrong_token
        self._wrong = RequestBudget(WRONG_TOKENS_PER_SECOND, clock, WRONG_TOKENS_BURST_S)
        self._health = RequestBudget(HEALTH_CHECKS_PER_SECOND, clock, HEALTH_CHECKS_BURST_S)

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
            # First the token: whoever has it is held up by nobody's guesses and floods.
            actor = self.actor_of(request)
            if actor is not None:
                note_token(request)
                request[ACTOR] = actor
                return await handler(request)
            budget = self._health if request.path in HEALTH_PATHS else self._port.budget
            if not budget.spend(_counted_for(request)):
                return self._port.too_many(request)
            return await handler(request) if is_public(request.path) else await self._refuse(request)

        return guard

    async def _refuse(self, request: web.Request) -> web.Response:
        """The answer to who has not shown the token; a wrong one leaves a trace, and many are slow."""
        # RFC 6750 section 3: no error code where no token was shown.
        challenge = 'Bearer realm="streamd"'
        if hdrs.AUTHORIZATION in request.headers:
            challenge += ', error="invalid_token"'
            address = request.remote or "unknown"
            self._port.refusals.note(Refusal.TOKEN, address)
            self._on_wrong_token(address)
            wait_s = self._wrong.queue(_counted_for(request), WRONG_TOKEN_WAITS_MAX_S)
            if wait_s is None:
                return self._port.too_many(request)
            if wait_s:
                await asyncio.sleep(wait_s)
        return problem(
            401, "send the admin token as Authorization: Bearer TOKEN", headers={hdrs.WWW_AUTHENTICATE: challenge}
        )

    def _is_admin_token(self, shown: str) -> bool:
        return hmac.compare_digest(hashlib.sha256(shown.encode(errors="surrogateescape")).digest(), self._expected)


def shown_token(request: web.Request) -> str:
    """The bearer token of a request (RFC 6750 section 2.1); empty where there is none."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _counted_for(request: web.Request) -> str:
    """The address whose budget a request without the token is of.

    A process of this machine can ask from any of 127.0.0.0/8.
    """
    address = request.remote or ""
    return _LOOPBACK if is_address(address) and ip_address(address).is_loopback else address


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
        host = request.headers.get(hdrs.HOST, "")
        name = host_name(host)
        # An address cannot be rebound: the browser connected to what stands in Host.
        if name not in allowed and not is_address(name):
            return problem(421, "this server is not known by that name; add it to admin.hosts")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and authority(origin) != host.lower():
            return problem(403, "requests from pages of other sites are refused")
        return await handler(request)

    return guard
