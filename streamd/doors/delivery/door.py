"""The thin door: media over HTTP from prepared bytes, and everything else to aiohttp, on one port.

The listener accepts within bounds, watches time limits once a second, and has what all connections share. A
connection whose request is not one for media becomes aiohttp's, for good, with the bytes read so far.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import lru_cache, partial
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Protocol, TypeAlias

from streamd.doors.delivery.answer import Answer
from streamd.doors.delivery.answer_encoder import AnswerEncoder
from streamd.doors.delivery.asked_heads import AskedHeads
from streamd.doors.delivery.body_file import FILES_MAX, BodyFiles
from streamd.doors.delivery.entrance import Entrance
from streamd.doors.delivery.handler_watch import HandlerLimits, HandlerWatch
from streamd.doors.delivery.http_request import DEFAULT_HEAD_LIMITS, HeadLimits
from streamd.doors.delivery.lookup import MediaLookup
from streamd.doors.delivery.push_lookup import PushLookup
from streamd.doors.delivery.push_path import preview_ticket
from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.limits import DEFAULT
from streamd.services.bounds.memory_accounts import Holder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aiohttp.web import RequestHandler

    from streamd.clock import Clock
    from streamd.doors.delivery.channels import PublicChannels
    from streamd.services.metrics import Metrics

HandOn: TypeAlias = "Callable[[asyncio.Transport, bytes, bool, Callable[[], None]], object]"
"""Takes a connection over: its transport, what was received and not answered, whether the viewer has sent FIN, and what
is called when it is closed."""

log = logging.getLogger(__name__)

# Connections that ask for much at once are answered for so long before all others have their turn: a part is late by no
# more.
DEFERRED_SLICE_S = 0.005
# Kind of a request that could not be read, in metrics.
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class DoorOptions:
    """Bounds of the door and time limits of a connection, seconds."""

    viewer_connections_max: int = DEFAULT.viewer_connections_max
    """Open connections, those that aiohttp has included; one more is closed at once. An idle one costs
    about 3 kB here."""
    viewer_connections_per_address_max: int = DEFAULT.viewer_connections_per_address_max
    """The same from one IP address (IPv6: from one /64), unless that is a trusted proxy's."""
    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    """The proxies that are believed when they name the viewer that they ask for."""
    files_max: int = FILES_MAX
    """Popular bodies as files in memory, each a file descriptor."""
    head: HeadLimits = DEFAULT_HEAD_LIMITS
    """How much a request may say."""
    unanswered_bytes_max: int = DEFAULT.unanswered_bytes_max
    """Bytes of requests that one connection may have sent before it is answered. A client that pipelines sends a few
    of less than 1 kB; 64 kB of them is an attack, and reading on tells us when a viewer leaves."""
    viewer_head_timeout_s: float = DEFAULT.viewer_head_timeout_s
    """From the first byte of a request to the end of its head. A head is a packet or two."""
    viewer_idle_timeout_s: float = DEFAULT.viewer_idle_timeout_s
    """From one answer to the next request. Longer than the segments of any playlist; nginx's default."""
    viewer_write_timeout_s: float = DEFAULT.viewer_write_timeout_s
    """For how long a viewer may take nothing of an answer."""
    viewer_body_timeout_s: float = DEFAULT.viewer_body_timeout_s
    """From the end of a request's head to the end of its body. Ours take 32 kB at the most."""
    viewer_answer_timeout_s: float = DEFAULT.viewer_answer_timeout_s
    """For how long a viewer may take something of one answer. Media that is older than any playlist has
    no other viewers, but stays in memory for as long as one is being sent it."""


class OpenConnection(Holder, Protocol):
    """A viewer's connection, as the door sees it."""

    address: str
    """IP address of the peer."""
    source: str
    """The address, or the network of it, that limits count as one."""
    deadline: float
    """Loop time at which ``check_deadline`` is to be called, seconds."""

    def check_deadline(self, now: float) -> None:
        """Act on a time limit."""

    def go_on(self) -> None:
        """Answer more of the requests that wait."""

    def cut_stranger(self, name: str) -> None:
        """End what goes on of a channel for a viewer who was let in by nothing; empty stands for every channel."""

    def cut_blocked(self, name: str) -> None:
        """End what goes on of a channel that may not be shown to its viewer; empty stands for every channel."""

    def finish(self) -> None:
        """Answer the requests that are there, and close."""

    def abort(self) -> None:
        """Close at once."""


class MediaDoor:
    """All that the viewers' connections share: it reads their requests, looks up, counts, and keeps the time.

    Args:
        channels: Finds the stream of a name.
        clock: For time limits and dates.
        metrics: Counted into.
        web_handler: Makes aiohttp's request handler for one connection: an ``aiohttp.web.Server``.
        options: Bounds.
        is_preview: Says whether a ticket for a look at a channel is good.

    Attributes:
        heads: Reads requests.
        lookup: Answers requests for HLS.
        push_lookup: Answers requests for pushed streams.
        encoder: Adds to answers what is the door's.
        body_files: Bodies that many viewers want, for the kernel to send.
        now: Reads the loop time.
    """

    def __init__(
        self,
        *,
        channels: PublicChannels,
        clock: Clock,
        metrics: Metrics,
        web_handler: Callable[[], RequestHandler],
        options: DoorOptions | None = None,
        is_preview: Callable[[str, str], bool] = lambda _name, _ticket: False,
    ) -> None:
        self._is_preview = is_preview
        self._handed_over = HandlerWatch(
            web_handler,
            now=clock.monotonic,
            count_limit=self.count_limit,
            on_closed=lambda watched: self._count_out(watched.source),
        )
        self.heads = AskedHeads()
        self.configure(options or DoorOptions())
        self.lookup = MediaLookup(channels)
        self.push_lookup = PushLookup(channels)
        self.entrance = None if channels.gate is None else Entrance(channels, channels.gate)
        """Asks who may watch; None where everybody may."""
        if channels.gate is not None:
            channels.gate.on_locked(self._cut_strangers)
            channels.gate.on_blocked(self._cut_blocked)
        self._hand_on: HandOn | None = None
        self.encoder = AnswerEncoder(clock)
        self.body_files = BodyFiles(self.options.files_max)
        self.now = clock.monotonic
        self._metrics = metrics
        self._open: set[OpenConnection] = set()
        self._by_address: Counter[str] = Counter()
        # Connections that have asked more than they may have answered at once, in line.
        self._deferred: deque[OpenConnection] = deque()
        self._is_deferred_due = False
        # Answers that take long, each named once in a sweep.
        self._pinned: set[int] = set()
        self._all_closed = asyncio.Event()
        self._server: asyncio.Server | None = None
        # Counted here, and added to the metrics once a second.
        self._answers: Counter[tuple[str, HTTPStatus]] = Counter()
        self._egress_bytes = 0

    # -- the listener -----------------------------------------------------------------------

    def is_look(self, name: str, query: str) -> bool:
        """Whether a request is an operator's look at a channel, which counts as no viewer.

        Args:
            name: The channel.
            query: Of the request target, as sent.
        """
        ticket = preview_ticket(query)
        return bool(ticket) and self._is_preview(name, ticket)

    def configure(self, options: DoorOptions) -> None:
        """Take bounds, other ones where there were some; time limits that run already keep the old."""
        self.options = options
        self._handed_over.limits = HandlerLimits(
            viewer_head_timeout_s=options.viewer_head_timeout_s,
            viewer_body_timeout_s=options.viewer_body_timeout_s,
            viewer_idle_timeout_s=options.viewer_idle_timeout_s,
            viewer_write_timeout_s=options.viewer_write_timeout_s,
            viewer_answer_timeout_s=options.viewer_answer_timeout_s,
            request_head_bytes_max=options.head.request_head_bytes_max,
            unanswered_bytes_max=options.unanswered_bytes_max,
        )
        self.heads.configure(options.head)

    def hand_on_to(self, hand_on: HandOn) -> None:
        """Have connections that ask for something else than media go on in another process."""
        self._hand_on = hand_on

    def listens(self, server: asyncio.Server) -> None:
        """Keep the listener, so that the door can be shut."""
        self._server = server

    def check_deadlines(self) -> None:
        """Act on connections that have used up their time, and do all else that is due; called about once a second."""
        now = self.now()
        self._pinned.clear()
        for connection in [each for each in self._open if each.deadline <= now]:
            try:
                connection.check_deadline(now)
            except Exception:
                # A fault in one answer must not take the others' time limits away.
                log.exception("viewer.failed")
                connection.abort()
        self._handed_over.check_deadlines()
        self._count()

    def stop_accepting(self) -> None:
        """Take no new connection; open ones go on."""
        if self._server is not None:
            self._server.close()

    async def close(self, timeout_s: float) -> None:
        """Answer the requests that are there, close, and wait until every connection is gone; aiohttp closes its own.

        Args:
            timeout_s: Seconds for viewers to take their answers.
        """
        self.stop_accepting()
        for connection in list(self._open):
            connection.finish()
        try:
            async with asyncio.timeout(timeout_s):
                await self._wait_until_gone()
        except TimeoutError:
            for connection in list(self._open):
                connection.abort()
            await self._wait_until_gone()
        self._count()

    async def _wait_until_gone(self) -> None:
        while self._open:
            self._all_closed.clear()
            await self._all_closed.wait()

    # -- what a connection asks of its door -------------------------------------------------

    @property
    def connections(self) -> int:
        """Open connections, those that aiohttp has included."""
        return len(self._open) + len(self._handed_over)

    def holders(self) -> Iterable[Holder]:
        """All connections, those that aiohttp has included."""
        return chain(self._open, self._handed_over.holders())

    def defer(self, connection: OpenConnection) -> None:
        """Have a connection go on when the others have had their turn."""
        self._deferred.append(connection)
        self._serve_deferred_soon()

    def _serve_deferred_soon(self) -> None:
        if not self._is_deferred_due:
            self._is_deferred_due = True
            asyncio.get_running_loop().call_soon(self._serve_deferred)

    def _serve_deferred(self) -> None:
        self._is_deferred_due = False
        deferred = self._deferred
        until = self.now() + DEFERRED_SLICE_S
        while deferred:
            connection = deferred.popleft()
            try:
                connection.go_on()
            except Exception:
                # A fault in one answer does not keep the others waiting.
                log.exception("viewer.failed")
                connection.abort()
            if self.now() >= until:
                break
        if deferred:
            self._serve_deferred_soon()

    def pin(self, answer: Answer) -> int:
        """Bytes of a body that a slow viewer alone keeps in memory: of several viewers, the first that asks."""
        if id(answer) in self._pinned:
            return 0
        self._pinned.add(id(answer))
        return answer.body_bytes

    def admit(self, connection: OpenConnection) -> bool:
        """Count a new connection in, or say that it is one too many."""
        options, source = self.options, connection.source
        is_full = self._by_address[source] >= options.viewer_connections_per_address_max
        if self.connections >= options.viewer_connections_max:
            limit = "viewer_connections_max"
        elif is_full and not options.proxies.trusts(connection.address):
            limit = "viewer_connections_per_address_max"
        else:
            self._open.add(connection)
            self._by_address[source] += 1
            return True
        self.count_limit(limit)
        log.debug("viewer.refused", extra={"open": self.connections, "limit": limit})
        return False

    def forget(self, connection: OpenConnection) -> None:
        """Count a closed connection out."""
        if connection in self._open:
            self._open.remove(connection)
            self._count_out(connection.source)
        if not self._open:
            self._all_closed.set()

    def _count_out(self, source: str) -> None:
        self._by_address[source] -= 1
        if not self._by_address[source]:
            del self._by_address[source]

    def hand_over(
        self, connection: OpenConnection, transport: asyncio.Transport, data: bytes, *, is_half_closed: bool
    ) -> None:
        """Let aiohttp have a connection for good.

        Args:
            connection: The connection, as it was until now.
            transport: Its transport, with nothing left to send.
            data: Bytes that have been received and not answered, from the beginning of a request.
            is_half_closed: The viewer has sent FIN: aiohttp answers, and closes.
        """
        self.forget(connection)
        source = connection.source
        self._by_address[source] += 1
        if self._hand_on is not None:
            self._hand_on(transport, data, is_half_closed, partial(self._count_out, source))
            return
        watched = self._handed_over(source)
        transport.set_protocol(watched)
        watched.connection_made(transport)
        transport.set_write_buffer_limits()
        watched.data_received(data)
        if is_half_closed:
            watched.finish()

    def _cut_strangers(self, name: str) -> None:
        """A channel may not be watched by everybody any more: end what goes on of it by nothing."""
        for connection in list(self._open):
            connection.cut_stranger(name)

    def _cut_blocked(self, name: str) -> None:
        """A channel may not be shown to some any more: end what goes on of it for them."""
        for connection in list(self._open):
            connection.cut_blocked(name)

    def refuse(self, status: HTTPStatus) -> Answer:
        """The answer to a request that cannot be read, counted."""
        self._answers[UNREADABLE, status] += 1
        return _refusal(status)

    def count_answer(self, kind: str, answer: Answer) -> None:
        """Count an answer to a request for one kind of media."""
        self._answers[kind, answer.status] += 1
        self._egress_bytes += answer.body_bytes

    def count_limit(self, limit: str) -> None:
        """Count a limit that has acted."""
        self._metrics.limit_hits_total.labels(limit).inc()

    def count_blocked(self, seconds: float) -> None:
        """Count a request that waited."""
        self._metrics.viewing.blocked_request_seconds.observe(seconds)

    def _count(self) -> None:
        for (kind, status), count in self._answers.items():
            self._metrics.viewing.http_responses_total.labels(kind.lower(), str(status.value)).inc(count)
        self._answers.clear()
        self._metrics.viewing.http_egress_bytes_total.inc(self._egress_bytes)
        self._egress_bytes = 0


@lru_cache(maxsize=16)
def _refusal(status: HTTPStatus) -> Answer:
    body = f"{status.value} {status.phrase}\n".encode()
    return Answer(
        status,
        (
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ),
        (body,),
    )
