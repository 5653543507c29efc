"""What is noted of peers whose requests are refused: a count of all, and a bounded number of lines in the log.

Whoever sends what cannot be read may send it thousands of times a second. What they sent is never repeated, and no
traceback is written: somebody puts a stream key where a method belongs.
"""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import PayloadAccessError, RequestPayloadError

from streamd.formats.address import source_of
from streamd.services.bounds.log_lines import LineBudget

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

# A minute of one address: enough to see what it does and that it goes on.
REFUSALS_LOGGED_PER_SOURCE = 5
# A minute of all addresses: 150 bytes each, 13 MB a day at the most.
REFUSALS_LOGGED = 60
# Lines a minute about what came of the requests of one address, or with one key, and of all.
OUTCOMES_LOGGED_PER_SOURCE = 5
OUTCOMES_LOGGED = 120
# Tracebacks of one fault of ours in a minute, and of all: 3 kB each. The first of them tells all there is to say.
FAULTS_LOGGED_PER_KIND = 2
FAULTS_LOGGED = 10

# What aiohttp raises over what a peer sent, or over a peer that has left.
PEERS_FAULTS = (HttpProcessingError, RequestPayloadError, PayloadAccessError, ConnectionError)


def forget_traceback(error: BaseException) -> None:
    """Let go of the frames that an error has come through, and of what they held.

    An error that is kept by something in these frames, as aiohttp keeps a body's and an absence's with the request, is
    a circle with them: some 10 kB, and all that was read, for every request that a peer has made to fail. The collector
    looks for such circles once in millions of objects (``streamd.process.run``).
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None


class Refusal(enum.StrEnum):
    """Why a request was not served."""

    MALFORMED = "malformed"
    """No HTTP, or a body whose framing breaks."""
    ENCODED = "encoded"
    """A body with a Content-Encoding."""
    TOO_LONG = "body_too_long"
    TOO_SLOW = "viewer_body_timeout_s"
    BODIES = "bodies_at_once"
    """Others are sending so many bodies at the moment."""
    TOO_MANY = "requests_per_second_max"
    OTHER_SITE = "other_site"
    """A browser sent it for a page of another site."""
    HOST = "host"
    """A name that is none, or not ours."""
    TOKEN = "token"  # noqa: S105  # a reason's name
    """A wrong admin token."""
    PLACES = "connections"
    """No place is left."""


# Those that are limits of the configuration.
_LIMITS = frozenset((Refusal.TOO_MANY, Refusal.TOO_SLOW))


class Refusals:
    """Counts and tells of the refusals of one port.

    Args:
        port: Its name in metrics and log: ``public`` or ``admin``.
        clock: For the minutes of the log.
        metrics: Counted into.
    """

    def __init__(self, port: str, clock: Clock, metrics: Metrics) -> None:
        self._port = port
        self._clock = clock
        self._counts = metrics.requests_refused_total
        self._limits = metrics.limit_hits_total
        self._lines = LineBudget(REFUSALS_LOGGED_PER_SOURCE, REFUSALS_LOGGED)
        self._outcomes = LineBudget(OUTCOMES_LOGGED_PER_SOURCE, OUTCOMES_LOGGED)
        self._faults = LineBudget(FAULTS_LOGGED_PER_KIND, FAULTS_LOGGED)
        for reason in Refusal:
            self._counts.labels(port, reason.value)

    def note(self, reason: Refusal, address: str) -> None:
        """Count a refusal, and tell of it where its source has lines left.

        Args:
            reason: Why.
            address: IP address of who asked.
        """
        self._counts.labels(self._port, reason.value).inc()
        if reason in _LIMITS:
            self._limits.labels(reason.value).inc()
        if self._lines.may_log(source_of(address), self._clock.monotonic()):
            log.info("request.refused", extra={"port": self._port, "reason": reason.value, "peer": address})

    def may_tell(self, source: str) -> bool:
        """Whether a handler may write one line more about an address or a key; it is counted."""
        return self._outcomes.may_log(source, self._clock.monotonic())

    def tell_fault(self, error: BaseException, method: str, route: str) -> None:
        """Write the traceback of a fault of ours, where that kind has not just been told of.

        Args:
            error: The fault.
            method: Of the request; empty where it is not known.
            route: Pattern of its path, not the path: that may hold anything.
        """
        kind = f"{type(error).__name__} {method} {route}"
        if self._faults.may_log(kind, self._clock.monotonic()):
            log.error("request.failed", extra={"port": self._port, "method": method, "route": route}, exc_info=error)


REFUSALS: Final = web.RequestKey("refusals", Refusals)
"""Where a request has those of its port."""


def may_tell(request: web.Request, source: str) -> bool:
    """Whether one line more may be written about who sends a request: anybody may send thousands.

    Args:
        request: The request.
        source: An address or a key id.
    """
    refusals = request.get(REFUSALS)
    return refusals is None or refusals.may_tell(source)


def route_of(request: web.Request) -> str:
    """The pattern of a request's path, which has nothing in it that was sent; empty where there is none."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical
