"""The bytes and messages of a connection, counted into the metrics and for its closing line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamd.formats.rtmp.connection import ServerConnection
    from streamd.formats.rtmp.events import MessageDropped
    from streamd.services.metrics import Metrics


class ConnectionTally:
    """The counts of one connection.

    Args:
        connection: It counts bytes and messages.
        metrics: Counted into.
        now: Loop time, seconds.

    Attributes:
        published: Which stream it feeds or fed, as fields of the log; empty before its first publish is accepted.
    """

    __slots__ = ("_bytes_counted", "_connection", "_counted_at", "_messages_counted", "_metrics", "published")

    def __init__(self, connection: ServerConnection, metrics: Metrics, now: float) -> None:
        self._connection = connection
        self._metrics = metrics
        self._bytes_counted = 0
        self._messages_counted = 0
        self._counted_at = now
        self.published: dict[str, object] = {}

    def count_bytes(self) -> None:
        """Count the bytes that have come since the last time."""
        received = self._connection.bytes_received
        self._metrics.publishing.ingest_bytes_total.inc(received - self._bytes_counted)
        self._bytes_counted = received

    def is_flood(self, now: float, messages_per_second_max: int) -> bool:
        """Whether more messages have come since the last time than in this time may come.

        Args:
            now: Loop time, seconds; time without a look counts.
            messages_per_second_max: How many may come in a second.
        """
        messages = self._connection.messages_received - self._messages_counted
        is_flood = messages > messages_per_second_max * max(now - self._counted_at, 1.0)
        self._messages_counted += messages
        self._counted_at = now
        return is_flood

    def count_dropped(self, dropped: Iterable[MessageDropped]) -> None:
        """Count messages that were not used."""
        for event in dropped:
            self._metrics.publishing.messages_dropped_total.labels(event.reason.value).inc(event.count)
            if event.limit:
                self._metrics.limit_hits_total.labels(event.limit).inc(event.count)

    def count_limit(self, limit: str) -> None:
        """Count that a limit has acted, by its key in ``[limits]``."""
        self._metrics.limit_hits_total.labels(limit).inc()
