"""What the services of a worker ask of its place among the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.process.cluster import ClusterRoom
    from streamd.process.config import Config
    from streamd.process.crew.roll import Roll
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.metrics import Metrics


class WorkerPlace(Protocol):
    """The place of a worker."""

    def own_name(self, name: str) -> str:
        """The name of a file of the data directory that each worker has its own of."""

    def room(self, config: Config, clock: Clock, metrics: Metrics) -> ClusterRoom:
        """Make its part among the others."""

    def roll(self, registry: LiveRegistry, room: ClusterRoom, metrics: Metrics) -> Roll:
        """Know of the streams of the others, and tell them of its own."""
