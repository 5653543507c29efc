"""Sends events to the operator's endpoints, each from a queue of its own; a slow endpoint delays no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamd.services.events.outbox import MESSAGE_BYTES, Endpoint, Message, Outbox, OutboxOptions
from streamd.services.events.signature import new_message_id

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.services.events.event import Event
    from streamd.services.events.sender import Sender
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)


class Webhooks:
    """All endpoints.

    Args:
        endpoints: The receivers, each with its types of events.
        sender: Makes the requests.
        clock: For ages and signatures.
        metrics: Counted into.
        options: Limits of each endpoint's queue.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        sender: Sender,
        clock: Clock,
        metrics: Metrics,
        options: OutboxOptions,
    ) -> None:
        self._clock = clock
        self._outboxes = [
            Outbox(endpoint, sender=sender, clock=clock, metrics=metrics, options=options) for endpoint in endpoints
        ]
        self._tasks: list[asyncio.Task[None]] = []

    def tell(self, event: Event) -> None:
        """Queue an event for every endpoint that wants its type; takes microseconds (``EventSink``)."""
        if not self._outboxes:
            return
        message = Message(new_message_id(), event.type, event.body(), self._clock.monotonic(), event.about)
        for outbox in self._outboxes:
            outbox.put(message)

    @property
    def held_bytes(self) -> int:
        """Bytes of the messages that wait; endpoints share them."""
        waiting = {message.message_id: message for outbox in self._outboxes for message in outbox.messages()}
        return sum(MESSAGE_BYTES + len(message.body) for message in waiting.values())

    def start(self) -> None:
        """Begin to send."""
        self._tasks = [asyncio.create_task(outbox.run()) for outbox in self._outboxes]

    async def close(self, drain_s: float) -> None:
        """Send the waiting messages as far as time allows, and stop.

        Args:
            drain_s: Seconds to try.
        """
        try:
            async with asyncio.timeout(drain_s):
                await asyncio.gather(*(outbox.drained() for outbox in self._outboxes))
        except TimeoutError:
            log.warning("webhook.lost", extra={"messages": sum(outbox.unsettled for outbox in self._outboxes)})
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
