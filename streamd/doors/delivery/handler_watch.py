"""The time and the memory that aiohttp's connections may take, in every state: head, body, answer, idle.

aiohttp ends what is idle and asks for nothing. It waits for a body, and for a peer to take an answer, for as long as
the peer likes; and what it has closed stays open until everything is taken. So each of its handlers stands behind a
protocol of ours, which hears what the handler hears and is looked at by the sweep of its port.

A handler's state is read from its private attributes, as aiohttp offers no others;
``tests/doors/delivery/test_handler_watch.py`` runs them against aiohttp itself.

Spec: RFC 9112 section 9.5 (time limits).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from streamd.limits import DEFAULT
from streamd.services.bounds.memory_accounts import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aiohttp.web import RequestHandler

    from streamd.doors.tls.sliced import SlicedTransport

log = logging.getLogger(__name__)

# aiohttp's side knows a body from the moment in which it is read, and ends it; what we hear is for the rest.
BODY_GRACE_S = 5.0
# Bytes of a connection beside those that wait: our objects and the transport's, aiohttp's handler, parser and task, and
# the request that is answered; with TLS OpenSSL's state. Measured (``bench/silent.py``, ``page``).
HANDLER_BYTES = 11 * 1024
TLS_HANDLER_BYTES = 27 * 1024
# A request that waits, for its body or for media: the coroutines of the application's steps, their
# timers, the stream of the body. Measured (``bench/accounts.py``).
REQUEST_BYTES = 7680
# A request that waits, parsed: its message, its header fields twice, and a stream for its body. Measured.
PARSED_REQUEST_BYTES = 1280

# Of a body that nobody reads, behind its request's answer: what is dropped so that the answer is not lost to a reset
# (RFC 9112 section 9.6), at the most. The handler ends it in time (``LINGER_S`` of ``web/protocol.py``).
DROPPED_BYTES_MAX = 8 * 1024 * 1024

_NEXT_SWEEP = 0.0


@dataclass(frozen=True, slots=True)
class HandlerLimits:
    """Time limits of a connection that is aiohttp's, seconds; the reasons stand in the configuration's ``[limits]``."""

    viewer_head_timeout_s: float = DEFAULT.viewer_head_timeout_s
    """From the first byte of a request to the end of its head."""
    viewer_body_timeout_s: float = DEFAULT.viewer_body_timeout_s
    """From the end of the head to the end of the body."""
    viewer_idle_timeout_s: float = DEFAULT.viewer_idle_timeout_s
    """From one answer to the next request."""
    viewer_write_timeout_s: float = DEFAULT.viewer_write_timeout_s
    """For how long a peer may take nothing of what is sent to it."""
    viewer_answer_timeout_s: float = DEFAULT.viewer_answer_timeout_s
    """For how long something of a complete answer may wait, however little is taken at a time."""
    request_head_bytes_max: int = DEFAULT.request_head_bytes_max
    """Of a request up to its empty line; aiohttp itself takes a megabyte."""
    unanswered_bytes_max: int = DEFAULT.unanswered_bytes_max
    """Of requests that a peer sends before others are answered, without their bodies, which aiohttp bounds."""


class WatchedHandler(asyncio.Protocol):
    """One connection of aiohttp's: its bytes go on to the handler, and the time is noted.

    Args:
        watch: The watch of its port.
        handler: aiohttp's.
        source: The peer that the connection counts for; empty where no limit asks.

    Attributes:
        deadline: Loop time from which ``passed_limit`` has something to say.
        opened_at: Loop time at which it came.
        source: As given.
    """

    __slots__ = (
        "_answering_since",
        "_asked_bytes",
        "_dropped_bytes",
        "_handler",
        "_head_since",
        "_held_bytes_min",
        "_idle_since",
        "_progress_at",
        "_received_bytes",
        "_request",
        "_request_since",
        "_tls",
        "_transport",
        "_unsent_bytes",
        "_watch",
        "deadline",
        "opened_at",
        "source",
    )

    def __init__(self, watch: HandlerWatch, handler: RequestHandler, source: str = "") -> None:
        self._watch = watch
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._tls: SlicedTransport | None = None
        self._held_bytes_min = HANDLER_BYTES
        self.source = source
        self.opened_at = self._idle_since = watch.now()
        self.deadline = _NEXT_SWEEP
        # Since there was no request to answer: all that came, and what of it is no body.
        self._received_bytes = self._asked_bytes = 0
        # Behind the last answer.
        self._dropped_bytes = 0
        self._head_since: float | None = None
        self._request: object = None
        self._request_since = 0.0
        self._answering_since: float | None = None
        self._progress_at = 0.0
        self._unsent_bytes = 0

    # -- asyncio.Protocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, and give it to the handler."""
        self._transport = cast("asyncio.Transport", transport)
        if hasattr(transport, "own_bytes"):
            # Not by its type: a proxy's connection has another around it.
            self._tls = cast("SlicedTransport", transport)
            self._held_bytes_min = TLS_HANDLER_BYTES
        self._watch._opened(self)
        self._handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the peer's requests."""
        handler, limits = self._handler, self._watch.limits
        if getattr(handler, "is_dropping", False):
            self._dropped_bytes += len(data)
            if self._dropped_bytes > DROPPED_BYTES_MAX:
                self._end("unanswered_bytes_max")
            return
        if self._head_since is None and self._is_idle:
            self._received_bytes = self._asked_bytes = 0
        self._received_bytes += len(data)
        was_in_body = self._is_in_body
        handler.data_received(data)
        if not was_in_body and not self._is_in_body:
            self._asked_bytes += len(data)
        self._idle_since = self._watch.now()
        self.deadline = _NEXT_SWEEP
        if not self._is_idle:
            self._head_since = None
            if self._asked_bytes > limits.unanswered_bytes_max:
                self._end("unanswered_bytes_max")
            return
        if self._head_since is None:
            # From its first byte on: a byte now and then does not move it.
            self._head_since = self._idle_since
        if self._asked_bytes > limits.request_head_bytes_max:
            self._end("request_head_bytes_max")

    def _end(self, limit: str) -> None:
        """Close at once: a limit is passed."""
        self._watch.count_limit(limit)
        log.debug("handler.refused", extra={"limit": limit})
        self.abort()

    def eof_received(self) -> bool | None:
        """Take the peer's FIN."""
        self._handler.eof_received()
        return None

    def pause_writing(self) -> None:
        """The peer takes less than it is sent."""
        self.deadline = _NEXT_SWEEP
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """The peer has taken most of it."""
        self._handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, and only now."""
        self._transport = None
        self._watch._closed(self)
        self._handler.connection_lost(exc)

    # -- Holder -----------------------------------------------------------------------------

    @property
    def standing(self) -> Standing:
        """A stranger's: no media is sent here."""
        return Standing.STRANGER

    @property
    def held_bytes(self) -> int:
        """Bytes that the peer has not taken, those of its requests under way, and those of the connection itself."""
        if self._transport is None:
            return 0
        unsent_bytes = self._transport.get_write_buffer_size()
        held = self._held_bytes_min
        # Without TLS, the bytes of a body that all share wait as they are.
        is_shared = self._tls is None and getattr(self._handler, "sends_shared", False)
        if not is_shared:
            held += unsent_bytes
        # aiohttp has no current request while it writes the answer.
        if is_shared or (not unsent_bytes and self._handler._current_request is not None):
            held += REQUEST_BYTES
        if self._tls is not None:
            held += self._tls.own_bytes() - self._tls.unsent_bytes
        if self._head_since is not None or not self._is_idle:
            # A body that is larger than may wait is taken and dropped.
            held += min(self._received_bytes, self._watch.limits.unanswered_bytes_max)
            held += len(self._handler._messages) * PARSED_REQUEST_BYTES
        return held

    def shed(self) -> None:
        """Close at once: memory is short."""
        self.abort()

    # -- time -------------------------------------------------------------------------------

    @property
    def _is_idle(self) -> bool:
        """Whether the handler waits for a whole head."""
        waiter = self._handler._waiter
        return waiter is not None and not waiter.done() and not self._handler._messages

    @property
    def _is_in_body(self) -> bool:
        """Whether the last request that the handler knows has not come to the end of its body."""
        messages, request = self._handler._messages, self._handler._current_request
        if messages:
            return not messages[-1][1].is_eof()
        return request is not None and not request.content.is_eof()

    def passed_limit(self, now: float, limits: HandlerLimits) -> str | None:
        """The limit that the peer has passed, by its key in ``[limits]``; None where it has time.

        Args:
            now: Loop time, seconds.
            limits: The limits.
        """
        transport = self._transport
        if transport is None:
            return None
        unsent_bytes = transport.get_write_buffer_size()
        if unsent_bytes:
            return self._passed_in_answer(now, unsent_bytes, limits)
        self._answering_since = None
        request = self._handler._current_request
        if self._is_idle:
            self._request = None
            return self._passed_in_silence(now, limits)
        self._idle_since = now
        if request is None or request.content.is_eof():
            # The handler works: its time is not the peer's.
            self._request = None
            return None
        if request is not self._request:
            self._request, self._request_since = request, now
        return (
            "viewer_body_timeout_s"
            if now - self._request_since >= limits.viewer_body_timeout_s + BODY_GRACE_S
            else None
        )

    def _passed_in_answer(self, now: float, unsent_bytes: int, limits: HandlerLimits) -> str | None:
        if self._answering_since is None:
            self._answering_since = self._progress_at = now
        elif unsent_bytes != self._unsent_bytes:
            # Less waits than before, or more was written: a handler writes on when something was taken.
            self._progress_at = now
        self._unsent_bytes = unsent_bytes
        self._idle_since = now
        if now - self._progress_at >= limits.viewer_write_timeout_s:
            return "viewer_write_timeout_s"
        if self._handler._current_request is not None:
            # The handler writes on: it goes on for ever, as events do, and bounds its time itself.
            self._answering_since = now
        return "viewer_answer_timeout_s" if now - self._answering_since >= limits.viewer_answer_timeout_s else None

    def _passed_in_silence(self, now: float, limits: HandlerLimits) -> str | None:
        if self._head_since is None:
            self.deadline = self._idle_since + limits.viewer_idle_timeout_s
            return "viewer_idle_timeout_s" if now >= self.deadline else None
        self.deadline = self._head_since + limits.viewer_head_timeout_s
        return "viewer_head_timeout_s" if now >= self.deadline else None

    def finish(self) -> None:
        """Have aiohttp answer what it has begun to, and close."""
        self._handler.close()

    def abort(self) -> None:
        """Close at once, with all that has not been sent."""
        if self._transport is not None:
            self._transport.abort()


class HandlerWatch:
    """The connections of one port that are aiohttp's.

    Args:
        make_handler: Makes aiohttp's request handler for one connection: an ``aiohttp.web.Server``.
        now: Reads the loop time, seconds.
        count_limit: Told the name of a limit when it acts.
        limits: Time limits.
        on_closed: Told of each connection that is closed.

    Attributes:
        limits: May be replaced: connections that wait go on by the new ones.
    """

    def __init__(
        self,
        make_handler: Callable[[], RequestHandler],
        *,
        now: Callable[[], float],
        count_limit: Callable[[str], None],
        limits: HandlerLimits | None = None,
        on_closed: Callable[[WatchedHandler], None] = lambda _: None,
    ) -> None:
        self._make_handler = make_handler
        self.now = now
        self.count_limit = count_limit
        self.limits = limits or HandlerLimits()
        self._on_closed = on_closed
        self._open: set[WatchedHandler] = set()

    def __call__(self, source: str = "") -> WatchedHandler:
        """Make the protocol of a connection: what ``loop.create_server`` is given in place of the server."""
        return WatchedHandler(self, self._make_handler(), source)

    def __len__(self) -> int:
        return len(self._open)

    def holders(self) -> Collection[WatchedHandler]:
        """All that are open."""
        return self._open

    def check_deadlines(self) -> None:
        """Close connections that have used up their time; called about once a second."""
        now = self.now()
        for watched in [each for each in self._open if each.deadline <= now]:
            limit = watched.passed_limit(now, self.limits)
            if limit is not None:
                # An idle connection that ends is no event: browsers keep some open for as long as they may.
                if limit != "viewer_idle_timeout_s":
                    self.count_limit(limit)
                    log.debug("handler.timed_out", extra={"limit": limit})
                watched.abort()

    def _opened(self, watched: WatchedHandler) -> None:
        self._open.add(watched)

    def _closed(self, watched: WatchedHandler) -> None:
        self._open.discard(watched)
        self._on_closed(watched)
