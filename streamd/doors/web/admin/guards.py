"""The credentials that a request of the admin port must show before it is handled."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from streamd.doors.web.admin.places import note_token
from streamd.doors.web.host import authority, host_name, is_address
from streamd.doors.web.json_api import ForbiddenError, problem
from streamd.doors.web.models.common import ACCOUNT_FIELD
from streamd.doors.web.refusals import Refusal
from streamd.doors.web.request_budget import RequestBudget
from streamd.services.audit.records import Actor
from streamd.services.operators.records import ROOT
from streamd.services.operators.roles import RIGHTS, Role, roles_with

if TYPE_CHECKING:
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.doors.web.openapi import Operation
    from streamd.doors.web.port import Port
    from streamd.doors.web.sessions import Sessions
    from streamd.services.operators.records import OperatorRecord
    from streamd.services.operators.service import OperatorService

# The asker, as the audit log names them; the guard leaves it in the request.
ACTOR: Final = web.RequestKey("actor", Actor)
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,31}")
# Wrong tokens of one address (IPv6: of one /64) that are answered in a second; twenty at once after a quiet time, the
# others one after another. The token has 256 bits, so guessing is hopeless at any speed: the bound saves time.
WRONG_TOKENS_PER_SECOND = 20
WRONG_TOKENS_BURST_S = 1.0
HEALTH_PATHS: Final = frozenset(("/healthz", "/readyz"))
# Health checks of one address that are answered in a second without a token, and at once: a watchdog, an orchestrator
# with its probes and some balancers ask once a second each. Other requests from there take none of this share.
HEALTH_CHECKS_PER_SECOND = 20
HEALTH_CHECKS_BURST_S = 2.0
# The address that all of this machine's own are counted as.
_LOOPBACK = "127.0.0.1"
# Seconds that an answer waits for its turn; a longer wait is 429 at once.
WRONG_TOKEN_WAITS_MAX_S = 2.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose session it is, and by which token it was begun: it ends with that token."""

    name: str
    token_id: str = ""
    """Empty for root's."""

    @classmethod
    def parse(cls, text: str) -> Holder:
        """Read what ``str`` has written."""
        name, _, token_id = text.partition(" ")
        return cls(name, token_id)

    def __str__(self) -> str:
        return f"{self.name} {self.token_id}".rstrip()


@dataclass(frozen=True, slots=True)
class Asker:
    """Who sends a request."""

    name: str
    role: Role
    token_id: str = ""
    """Of the operator's token, shown or behind the session; empty for root's."""
    is_session: bool = False
    """A session's token was shown."""
    expires_at: datetime | None = None
    """When the operator's token does; None is never."""
    needs_code: bool = False
    """The token is good and is not enough: its operator signs in with a code."""


ASKER: Final = web.RequestKey("asker", Asker)


class TokenGate:
    """The gate of the admin API. It takes the admin token, an operator's, or that of a session begun with either.

    Args:
        token: The admin token.
        sessions: Of consoles (console.py).
        operators: The people with tokens of their own; None where there are none.
        port: The bounds of peers that have not shown the token.
        clock: For wrong tokens by address.
        on_wrong_token: Gets the address of each.
    """

    def __init__(
        self,
        token: str,
        sessions: Sessions[Holder],
        operators: OperatorService | None,
        port: Port,
        clock: Clock,
        on_wrong_token: Callable[[str], None] = lambda _: None,
    ) -> None:
        # Hashed first, so that the comparison always has equal lengths and does not reveal the token's.
        self._expected = hashlib.sha256(token.encode()).digest()
        self._sessions = sessions
        self._operators = operators
        self._port = port
        self._on_wrong_token = on_wrong_token
        self._wrong = RequestBudget(WRONG_TOKENS_PER_SECOND, clock, WRONG_TOKENS_BURST_S)
        self._health = RequestBudget(HEALTH_CHECKS_PER_SECOND, clock, HEALTH_CHECKS_BURST_S)

    def asker_of(self, request: web.Request) -> Asker | None:
        """The sender of a request; None without a valid token."""
        shown = shown_token(request)
        if self._is_admin_token(shown):
            return Asker(ROOT, Role.ADMIN)
        if self._operators is not None and (record := self._operators.roster.find(shown)) is not None:
            return _asker(record, needs_code=record.has_totp)
        holder = self._sessions.find(shown)
        return None if holder is None else self.asker_behind(holder)

    def asker_behind(self, holder: Holder) -> Asker | None:
        """Whose session it is; None where the token that began it does not work any more."""
        if holder == Holder(ROOT):
            return Asker(ROOT, Role.ADMIN, is_session=True)
        record = None if self._operators is None else self._operators.roster.holder(holder.name, holder.token_id)
        return None if record is None else _asker(record, is_session=True)

    def allowing(self, operation: Operation, handler: Handler) -> Handler:
        """The handler of a call, for those alone who have the right to it.

        Args:
            operation: The call.
            handler: Reads the request, and answers it.
        """
        right = operation.right

        async def allowed(request: web.Request) -> web.StreamResponse:
            asker = request[ASKER]
            if asker.needs_code and not operation.begins_session:
                raise ForbiddenError(
                    f"{asker.name} signs in with a code: begin a session (POST /api/v1/session), and show its token"
                )
            if right is not None and right not in RIGHTS[asker.role]:
                may = " or ".join(roles_with(right))
                raise ForbiddenError(f"this is for the role {may}; {asker.name} is {asker.role}")
            return await handler(request)

        return allowed

    def middleware(self, *, is_public: Callable[[str], bool]) -> Middleware:
        """Turn away requests whose sender ``asker_of`` does not know; an unknown path needs the token as well.

        Args:
            is_public: Tells the paths that need no token.
        """

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            # The token is checked first: guesses and floods of others never hold up its owner.
            asker = self.asker_of(request)
            if asker is not None:
                note_token(request)
                request[ASKER], request[ACTOR] = asker, _actor(asker, request)
                if self._operators is not None and asker.token_id:
                    self._operators.uses.note(asker.name)
                return await handler(request)
            budget = self._health if request.path in HEALTH_PATHS else self._port.budget
            if not budget.spend(_counted_for(request)):
                return self._port.too_many(request)
            return await handler(request) if is_public(request.path) else await self._refuse(request)

        return guard

    async def _refuse(self, request: web.Request) -> web.Response:
        """The answer without the token; a wrong token leaves a trace, and many are answered slowly."""
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
            401,
            "send the admin token, or an operator's, as Authorization: Bearer TOKEN",
            headers={hdrs.WWW_AUTHENTICATE: challenge},
        )

    def _is_admin_token(self, shown: str) -> bool:
        return hmac.compare_digest(hashlib.sha256(shown.encode(errors="surrogateescape")).digest(), self._expected)


def _asker(record: OperatorRecord, *, is_session: bool = False, needs_code: bool = False) -> Asker:
    return Asker(record.name, record.role, record.token_id, is_session, record.expires_at, needs_code)


def _actor(asker: Asker, request: web.Request) -> Actor:
    """The sender of a request, as the audit log names them."""
    account = request.headers.get(ACCOUNT_FIELD, "")
    if asker == Asker(ROOT, Role.ADMIN) and _ACCOUNT.fullmatch(account):
        return Actor(f"cli/{account}", request.remote or "")
    return Actor(asker.name, request.remote or "")


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
    """Turn away requests that a browser sends for another site.

    Host shows an attacker's name that resolves to our address (DNS rebinding); Origin shows a page of another site.
    The token guards against both already; this guard makes attempts useless, and protects the routes without a token.

    Args:
        hosts: Host names that a browser may use, beside ``localhost`` and IP addresses.
    """
    allowed = {host.lower() for host in hosts} | {"localhost"}

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get(hdrs.HOST, "")
        name = host_name(host)
        # An address cannot be rebound: the browser connected to the address in Host.
        if name not in allowed and not is_address(name):
            return problem(421, "this server is not known by that name; add it to admin.hosts")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and authority(origin) != host.lower():
            return problem(403, "requests from pages of other sites are refused")
        return await handler(request)

    return guard
