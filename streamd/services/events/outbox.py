"""The messages for one endpoint: a bounded queue, sent in order, each message until it is taken.

In order, because a receiver that hears of a stream's end before its start shows a stream that is not there. So a
message that cannot be delivered holds up those behind it, until it is too old. A message that the receiver itself
refuses (3xx and 4xx) is not sent again: it would be refused again, and the rest would wait. A full queue makes room
among the messages of the user with the most in it: a user who comes and goes all the time loses only their own news.

Spec: Standard Webhooks 1.0.0, "Deliverability and reliability".
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from streamd.errors import ReceiverUnreachableError
from streamd.limits import WEBHOOKS
from streamd.services.bounds.log_lines import LineBudget
from streamd.services.events.event import EventType
from streamd.services.events.signature import signed_headers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamd.clock import Clock
    from streamd.services.events.sender import Sender
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

# From a blink of the network to an outage: 1, 2, 4 … seconds, and the jitter that the spec recommends.
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 300.0
# Log lines about refused messages of one endpoint. The first lines tell of an endpoint that refuses all, and metrics
# count the rest.
LINES_PER_MINUTE_MAX = 60
# Bytes of a message beside its body: its id, its object and its place. Measured (``bench/accounts.py``).
MESSAGE_BYTES = 352
# Request Timeout, Too Early, Too Many Requests: the receiver wants it later (RFC 9110, 8470, 6585).
_LATER = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver of messages."""

    url: str
    secret: str
    """``whsec_`` and base64; its messages are signed with it."""
    origin: str
    """The URL for a log: without path and query, which may hold a token."""
    types: frozenset[EventType] = frozenset(EventType)
    """Types of the events that it gets."""


@dataclass(frozen=True, slots=True)
class OutboxOptions:
    """Limits of one endpoint's queue."""

    queue_max: int = WEBHOOKS.queue_max
    """Messages that wait. An event is about 0.5 kB."""
    timeout_s: float = WEBHOOKS.timeout_s
    """For one attempt: "between 15 and 30 s", says the spec."""
    retry_for_s: float = WEBHOOKS.retry_for_s
    """Age at which a message is given up."""


@dataclass(frozen=True, slots=True)
class Message:
    """An event on its way."""

    message_id: str
    type: EventType
    body: bytes
    created_at: float
    """Loop time, seconds."""
    about: str = ""
    """The user that it is about."""


class Outbox:
    """The messages of one endpoint.

    Args:
        endpoint: The receiver.
        sender: Makes the requests.
        clock: For ages and signatures.
        metrics: Counted into.
        options: Limits.
        sleep: Waits between attempts; tests pass their own.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        sender: Sender,
        clock: Clock,
        metrics: Metrics,
        options: OutboxOptions,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._endpoint = endpoint
        self._sender = sender
        self._clock = clock
        self._metrics = metrics
        self._options = options
        self._sleep = sleep
        # Oldest first, and their number by user.
        self._waiting: deque[Message] = deque()
        self._waiting_about: Counter[str] = Counter()
        self._has_arrived = asyncio.Event()
        self._is_drained = asyncio.Event()
        self._is_drained.set()
        self._is_failing = False
        self._lines = LineBudget(LINES_PER_MINUTE_MAX, LINES_PER_MINUTE_MAX)
        self.unsettled = 0
        """Messages that wait or are being sent."""

    def messages(self) -> Iterable[Message]:
        """Those that wait."""
        return self._waiting

    def put(self, message: Message) -> None:
        """Take a message, at once; in a full queue, the oldest of the user with the most messages makes room."""
        if message.type not in self._endpoint.types:
            return
        if len(self._waiting) >= self._options.queue_max:
            self._drop_one()
        self._waiting.append(message)
        self._waiting_about[message.about] += 1
        self.unsettled += 1
        self._metrics.webhooks.webhook_messages_waiting.inc()
        self._has_arrived.set()
        self._is_drained.clear()

    async def run(self) -> None:
        """Send for ever; cancel to stop."""
        while True:
            await self._has_arrived.wait()
            message = self._take(0)
            try:
                await self._deliver(message)
            except Exception:
                # A message that cannot be sent must not be the last one.
                log.exception("webhook.failed", extra={"endpoint": self._endpoint.origin, "type": message.type})
                self._settle(message, "failed", "")
            if not self.unsettled:
                self._is_drained.set()

    async def drained(self) -> None:
        """Return when no message waits or is being sent."""
        await self._is_drained.wait()

    def _take(self, index: int) -> Message:
        message = self._waiting[index]
        del self._waiting[index]
        self._waiting_about[message.about] -= 1
        if not self._waiting_about[message.about]:
            del self._waiting_about[message.about]
        if not self._waiting:
            self._has_arrived.clear()
        return message

    def _drop_one(self) -> None:
        most = max(self._waiting_about.values())
        index = next(i for i, message in enumerate(self._waiting) if self._waiting_about[message.about] == most)
        self._settle(self._take(index), "dropped", f"{self._options.queue_max} messages wait already")

    async def _deliver(self, message: Message) -> None:
        retrying = AsyncRetrying(
            sleep=self._sleep,
            wait=_wait,
            retry=retry_if_exception_type(ReceiverUnreachableError),
            stop=lambda _: self._clock.monotonic() - message.created_at >= self._options.retry_for_s,
            before_sleep=self._note_failure,
            reraise=True,
        )
        try:
            status: int | None = await retrying(self._attempt, message)
        except ReceiverUnreachableError as exc:
            self._settle(message, "failed", str(exc))
        else:
            if status is None:
                self._settle(message, "delivered", "")
            else:
                self._settle(message, "refused", f"HTTP {status}")

    async def _attempt(self, message: Message) -> int | None:
        """Send it once.

        Returns:
            None, or the status by which the receiver refused it for good.

        Raises:
            ReceiverUnreachableError: It is worth another try.
        """
        endpoint = self._endpoint
        headers = signed_headers(endpoint.secret, message.message_id, self._clock.now(), message.body)
        started_at = self._clock.monotonic()
        try:
            answer = await self._sender.post(endpoint.url, message.body, headers, timeout_s=self._options.timeout_s)
        finally:
            self._metrics.webhooks.webhook_attempt_seconds.observe(self._clock.monotonic() - started_at)
        if answer.is_success:
            return None
        if answer.status in _LATER or answer.status >= 500:
            raise ReceiverUnreachableError(f"HTTP {answer.status}", retry_after_s=answer.retry_after_s)
        return answer.status

    def _note_failure(self, state: RetryCallState) -> None:
        """Say once that an endpoint fails, and not at each attempt."""
        if self._is_failing or state.outcome is None:
            return
        self._is_failing = True
        extra = {"endpoint": self._endpoint.origin, "reason": str(state.outcome.exception())}
        log.warning("webhook.failing", extra=extra)

    def _settle(self, message: Message, result: str, reason: str) -> None:
        """Count the outcome of a message."""
        self.unsettled -= 1
        self._metrics.webhooks.webhook_messages_waiting.dec()
        self._metrics.webhooks.webhook_messages_total.labels(result).inc()
        extra = {"endpoint": self._endpoint.origin, "type": message.type.value, "message_id": message.message_id}
        if result != "delivered":
            # A line about the failing endpoint came before the queue was full.
            may_tell = result != "dropped" and self._lines.may_log("", self._clock.monotonic())
            level = logging.WARNING if may_tell else logging.DEBUG
            log.log(level, "webhook.not_delivered", extra=extra | {"result": result, "reason": reason})
        elif self._is_failing:
            self._is_failing = False
            log.info("webhook.recovered", extra=extra)


_back_off = wait_exponential_jitter(initial=BACKOFF_FIRST_S, max=BACKOFF_MAX_S)


def _wait(state: RetryCallState) -> float:
    """Seconds until the next attempt: the back-off, or the receiver's wish within bounds."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked_s = error.retry_after_s if isinstance(error, ReceiverUnreachableError) else 0.0
    return min(max(_back_off(state), asked_s), BACKOFF_MAX_S)
