"""The receivers of events, as the configuration names them; loaded where there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.process.options import told
from streamd.services.events.event import EventType
from streamd.services.events.outbox import Endpoint, OutboxOptions
from streamd.services.events.webhooks import Webhooks

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.process.config import Config
    from streamd.services.events.sender import Sender
    from streamd.services.metrics import Metrics


def make_webhooks(config: Config, sender: Sender, clock: Clock, metrics: Metrics) -> Webhooks:
    """What sends events to the receivers.

    Args:
        config: All of the configuration.
        sender: Makes the requests.
        clock: For ages and signatures.
        metrics: Counted into.
    """
    endpoints = [
        Endpoint(
            url=endpoint.url,
            secret=endpoint.secret.get_secret_value(),
            origin=endpoint.origin,
            types=frozenset(endpoint.events or EventType),
        )
        for endpoint in config.webhooks.endpoints
    ]
    options = told(OutboxOptions(), config.webhooks)
    return Webhooks(endpoints, sender=sender, clock=clock, metrics=metrics, options=options)
