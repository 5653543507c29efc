"""Counters and histograms of one thread, without a lock, for the way of a frame.

The client library's own take a lock and five calls each time; these are plain numbers, which it reads at a scrape.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client.metrics_core import Metric


class PlainCounter(Collector):
    """A counter of one thread, without a lock; a scrape sees it as a ``Counter``.

    Args:
        name: As the client library has it.
        documentation: Its meaning.
        registry: Where it is registered.
    """

    def __init__(self, name: str, documentation: str, registry: CollectorRegistry) -> None:
        self._uncounted: float = 0
        self._counter = Counter(name, documentation, registry=None)
        registry.register(self)

    def inc(self, amount: float = 1) -> None:
        """Count ``amount`` more, which is not negative."""
        self._uncounted += amount

    def collect(self) -> Iterable[Metric]:
        """Its present values (``Collector``)."""
        self._counter.inc(self._uncounted)
        self._uncounted = 0
        return self._counter.collect()


class PlainHistogram(Collector):
    """A histogram of one thread, without a lock; a scrape sees it as a ``Histogram``.

    Args:
        name: As the client library has it.
        documentation: Its meaning.
        buckets: Upper bounds, ascending, without the infinite one; none is negative.
        registry: Where it is registered.
    """

    def __init__(self, name: str, documentation: str, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._bounds = buckets
        # Of each bucket alone, the infinite one last.
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0
        # Never observed: it knows how a histogram is told.
        self._empty = Histogram(name, documentation, buckets=buckets, registry=None)
        registry.register(self)

    def observe(self, amount: float) -> None:
        """Count one observation."""
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._sum += amount

    def collect(self) -> Iterable[Metric]:
        """Its present values (``Collector``)."""
        counts = [float(count) for count in accumulate(self._counts)]
        # In the order of the samples; after them comes when it was made, if the library tells that.
        values = iter((*counts, counts[-1], self._sum))
        for family in self._empty.collect():
            family.samples = [sample._replace(value=next(values, sample.value)) for sample in family.samples]
            yield family
