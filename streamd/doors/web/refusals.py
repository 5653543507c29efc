"""Notes about refused requests: a count of all, and a bounded number of lines in the log.

A peer may send an unreadable request thousands of times a second. Its bytes are never repeated, and no traceback is
written: a stream key may stand where a method belongs.
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

# Lines a minute of one address: enough to see its acts and that they go on.
REFUSALS_LOGGED_PER_SOURCE = 5
# Lines a minute of all addresses: 150 bytes each, 13 MB a day at the most.
REFUSALS_LOGGED = 60
# Lines a minute about the outcome of requests of one address, or with one key, and of all.
OUTCOMES_LOGGED_PER_SOURCE = 5
OUTCOMES_LOGGED = 120
# Tracebacks of one fault of ours in a minute, and of all: 3 kB each. The first one is enough.
FAULTS_LOGGED_PER_KIND = 2
FAULTS_LOGGED = 10

# aiohttp's errors over a peer's bytes, or over a peer that has left.
PEERS_FAULTS = (HttpProcessingError, RequestPayloadError, PayloadAccessError, ConnectionError)


def forget_traceback(error: BaseException) -> None:
    """Drop the frames that an error has come through, with everything they hold.

    aiohttp keeps the errors of a body and of a missing path with the request, which the error's own frames hold: a
    circle of some 10 kB, and all bytes read, for every request that a peer makes fail. The collector looks for such
    circles once in millions of objects (``streamd.process.run``).
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
    """Too many other bodies are being sent at the moment."""
    TOO_MANY = "requests_per_second_max"
    OTHER_SITE = "other_site"
    """A browser sent the request for a page of another site."""
    HOST = "host"
    """An invalid Host, or one that is not ours."""
    TOKEN = "token"  # noqa: S105  # a reason's name
    """A wrong admin token."""
    PLACES = "connections"
    """No place is left."""


# The reasons that are limits of the configuration.
_LIMITS = frozenset((Refusal.TOO_MANY, Refusal.TOO_SLOW))


class Refusals:
    """Counts and logs the refusals of one port.

    Args:
        port: Its name in metrics and log: ``public`` or ``admin``.
        clock: For the minutes of the log.
        metrics: Counted into.
    """

    def __init__(self, port: str, clock: Clock, metrics: Metrics) -> None:
        self._port = port
        self._clock = clock
        self._counts = metrics.viewing.requests_refused_total
        self._limits = metrics.limit_hits_total
        self._lines = LineBudget(REFUSALS_LOGGED_PER_SOURCE, REFUSALS_LOGGED)
        self._outcomes = LineBudget(OUTCOMES_LOGGED_PER_SOURCE, OUTCOMES_LOGGED)
        self._faults = LineBudget(FAULTS_LOGGED_PER_KIND, FAULTS_LOGGED)
        for reason in Refusal:
            self._counts.labels(port, reason.value)

    def note(self, reason: Refusal, address: str) -> None:
        """Count a refusal, and log it if its source has lines left.

        Args:
            reason: The reason.
            address: IP address of the peer.
        """
        self._counts.labels(self._port, reason.value).inc()
        if reason in _LIMITS:
            self._limits.labels(reason.value).inc()
        if self._lines.may_log(source_of(address), self._clock.monotonic()):
            log.info("request.refused", extra={"port": self._port, "reason": reason.value, "peer": address})

    def may_tell(self, source: str) -> bool:
        """Tell whether a handler may write one line more about an address or a key, and count it."""
        return self._outcomes.may_log(source, self._clock.monotonic())

    def tell_fault(self, error: BaseException, method: str, route: str) -> None:
        """Write the traceback of a fault of ours, unless the log has just had one of its kind.

        Args:
            error: The fault.
            method: Of the request; empty where it is not known.
            route: Pattern of its path; the path itself may hold anything.
        """
        kind = f"{type(error).__name__} {method} {route}"
        if self._faults.may_log(kind, self._clock.monotonic()):
            log.error("request.failed", extra={"port": self._port, "method": method, "route": route}, exc_info=error)


REFUSALS: Final = web.RequestKey("refusals", Refusals)
"""The key of its port's refusals in a request."""


def may_tell(request: web.Request, source: str) -> bool:
    """Tell whether one line more may be written about the sender of a request, who may send thousands.

    Args:
        request: The request.
        source: An address or a key id.
    """
    refusals = request.get(REFUSALS)
    return refusals is None or refusals.may_tell(source)


def route_of(request: web.Request) -> str:
    """The pattern of a request's path, which holds no text of the peer's; empty for an unknown path."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical
