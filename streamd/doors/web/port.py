"""The steps of both ports around every handler: checks of the request before it, and of the answer behind it.

Spec: RFC 9110 sections 13.1.1 (If-Match) and 15.6.1; RFC 6797 (HSTS); RFC 9112 section 3.2 (Host); RFC 9457.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from streamd.doors.web.contents import Contents
from streamd.doors.web.host import SAFE_METHODS, authority, host_name, is_address, is_host, is_of_another_site
from streamd.doors.web.json_api import problem
from streamd.doors.web.refusals import PEERS_FAULTS, REFUSALS, Refusal, Refusals, forget_traceback, route_of
from streamd.doors.web.request_budget import DETAIL, MEDIA_COST, RETRY_AFTER_S, RequestBudget
from streamd.doors.web.turns import Turns
from streamd.limits import DEFAULT

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from streamd.clock import Clock
    from streamd.services.metrics import Metrics

MEDIA_PATH = "/live/"


@dataclass(frozen=True, slots=True)
class PortLimits:
    """Bounds for requests to aiohttp; the reasons stand in the configuration's ``[limits]``."""

    requests_per_second_max: float = DEFAULT.requests_per_second_max
    """Requests of one address; on the admin port those without its token."""
    viewer_body_timeout_s: float = DEFAULT.viewer_body_timeout_s
    """From the end of a request's head to the end of its body."""


class Port:
    """The bounds of one port, and the notes about those that act.

    Args:
        name: ``public`` or ``admin``.
        clock: For all times.
        metrics: Counted into.
        limits: Of requests and their bodies.

    Attributes:
        refusals: Counts and logs the requests that are not served.
        budget: Requests by address.
        turns: Of connections whose bodies come in many pieces.
        contents: Reads bodies.
    """

    def __init__(self, name: str, clock: Clock, metrics: Metrics, limits: PortLimits | None = None) -> None:
        limits = limits or PortLimits()
        self.name = name
        self.refusals = Refusals(name, clock, metrics)
        self.budget = RequestBudget(limits.requests_per_second_max, clock)
        self.turns = Turns()
        self.contents = Contents(self.refusals, limits.viewer_body_timeout_s)

    def configure(self, limits: PortLimits) -> None:
        """Take other limits."""
        self.budget.configure(limits.requests_per_second_max)
        self.contents.timeout_s = limits.viewer_body_timeout_s

    def faultless(self) -> Middleware:
        """Answer every error: a peer's fault with 400, a fault of ours with 500 and a traceback in the log."""

        @web.middleware
        async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
            request[REFUSALS] = self.refusals
            try:
                return await handler(request)
            except web.HTTPException as answer:
                return _as_response(answer)
            except ConnectionError as error:
                # A viewer who has left is no fault. aiohttp finds by itself that the connection is gone.
                forget_traceback(error)
                return web.Response()
            except PEERS_FAULTS as error:
                forget_traceback(error)
                self.refusals.note(Refusal.MALFORMED, request.remote or "unknown")
                response = problem(400, "the request is not framed as HTTP has it")
                response.force_close()
                return response
            except Exception as error:  # noqa: BLE001  # logged once for many
                self.refusals.tell_fault(error, request.method, route_of(request))
                return problem(500, "an error of the server's; see its log")

        return serve

    def within_budget(self) -> Middleware:
        """Answer 429 to an address that asks for more than its share."""

        @web.middleware
        async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
            cost = MEDIA_COST if request.path.startswith(MEDIA_PATH) else 1.0
            if self.budget.spend(request.remote or "", cost):
                return await handler(request)
            return self.too_many(request)

        return serve

    def too_many(self, request: web.Request) -> web.Response:
        """The answer to one request more than there may be."""
        self.refusals.note(Refusal.TOO_MANY, request.remote or "unknown")
        response = problem(429, DETAIL, headers={hdrs.RETRY_AFTER: str(RETRY_AFTER_S)})
        response.force_close()
        return response

    def whole(self) -> Middleware:
        """Hand on requests with their bodies read."""

        @web.middleware
        async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.contents.serve(request, handler)

        return serve

    def named(self) -> Middleware:
        """Turn away requests with an invalid Host."""

        @web.middleware
        async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
            # RFC 9112 3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message
            # that … contains … a Host header field with an invalid field value."
            if is_host(request.headers.get(hdrs.HOST, "")):
                return await handler(request)
            self.refusals.note(Refusal.HOST, request.remote or "unknown")
            return problem(400, "Host names no host")

        return serve

    def own_pages_only(self, public_url: str) -> Middleware:
        """Turn away a change that a browser sends for a page of another site.

        Args:
            public_url: How browsers reach this port, where a proxy in front rewrites Host; may be empty.
        """
        own = {authority(public_url)}

        @web.middleware
        async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.method in SAFE_METHODS or not is_of_another_site(request, own):
                return await handler(request)
            self.refusals.note(Refusal.OTHER_SITE, request.remote or "unknown")
            return problem(403, "requests from pages of other sites are refused")

        return serve


def _as_response(answer: web.HTTPException) -> web.Response:
    """A copy of the answer that was raised: aiohttp would keep the original with its traceback."""
    forget_traceback(answer)
    return web.Response(status=answer.status, reason=answer.reason, body=answer.body, headers=answer.headers)


@web.middleware
async def without_entity_tags(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Heed If-Match on resources without an entity tag.

    RFC 9110 13.1.1: "An origin server MUST NOT perform the requested method if the condition evaluates to false"; no
    tag matches a resource without one. Files and pages have tags, and heed it themselves.
    """
    wanted = request.headers.get(hdrs.IF_MATCH)
    is_tagged = request.method in SAFE_METHODS and not request.path.startswith("/api/")
    if wanted is None or wanted.strip() == "*" or is_tagged:
        return await handler(request)
    return problem(412, "nothing here has an entity tag, so that none matches; leave If-Match out")


def over_https_from_now_on(max_age_s: int) -> Middleware:
    """Keep browsers that came over HTTPS to HTTPS (RFC 6797).

    Args:
        max_age_s: Seconds for which a browser remembers it; 0 leaves the field out.
    """
    value = f"max-age={max_age_s}"

    @web.middleware
    async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
        # RFC 6797 7.2: not over plain HTTP, where any machine on the path could have written it.
        if not max_age_s or not request.secure or not _is_public_name(request.headers.get(hdrs.HOST, "")):
            return await handler(request)
        try:
            response = await handler(request)
        except web.HTTPException as answer:
            answer.headers[hdrs.STRICT_TRANSPORT_SECURITY] = value
            raise
        if not response.prepared:
            response.headers[hdrs.STRICT_TRANSPORT_SECURITY] = value
        return response

    return serve


def _is_public_name(host: str) -> bool:
    """Tell whether a promise about a host's name concerns this server alone; ``localhost`` may be any server."""
    name = host_name(host)
    return bool(name) and name != "localhost" and not name.endswith(".localhost") and not is_address(name)
