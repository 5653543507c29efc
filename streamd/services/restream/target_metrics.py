"""How many targets broadcasts are passed on to, for Prometheus."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from streamd.services.restream.target import TargetState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client.metrics_core import Metric

    from streamd.services.restream.target import TargetReport


class TargetMetrics(Collector):
    """Counts the targets of the broadcasts that run, at each scrape.

    Args:
        reports: Asked for all of them.
    """

    def __init__(self, reports: Callable[[], Sequence[TargetReport]]) -> None:
        self._reports = reports

    def describe(self) -> Iterable[Metric]:
        """The family without values (``Collector``)."""
        return self._family(())

    def collect(self) -> Iterable[Metric]:
        """The present values (``Collector``)."""
        return self._family(self._reports())

    def _family(self, reports: Sequence[TargetReport]) -> Iterable[Metric]:
        targets = GaugeMetricFamily(
            "streamd_restream_targets",
            "Servers that the broadcasts of now are passed on to, by what becomes of them.",
            labels=["state"],
        )
        counts = Counter(report.state for report in reports)
        for state in TargetState:
            targets.add_metric([state.value], counts[state])
        yield targets
