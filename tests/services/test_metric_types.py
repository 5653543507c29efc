from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from streamd.services.metric_types import PlainCounter, PlainHistogram


class TestPlain:
    """Numbers of the way of a frame are told like the client library's own."""

    def told(self, registry: CollectorRegistry) -> list[str]:
        """The text of a scrape, but for the times at which the two were made."""
        lines = generate_latest(registry).decode().splitlines()
        return [re.sub(r"(_created) .*", r"\1", line) for line in lines]

    @pytest.mark.parametrize("amounts", [(), (1,), (1, 2.5, 0)])
    def test_a_counter(self, amounts: tuple[float, ...]) -> None:
        ours, theirs = CollectorRegistry(), CollectorRegistry()
        plain, counter = PlainCounter("made", "Parts made.", ours), Counter("made", "Parts made.", registry=theirs)
        for amount in amounts:
            plain.inc(amount)
            counter.inc(amount)
            assert self.told(ours) == self.told(theirs)
        assert self.told(ours) == self.told(ours) == self.told(theirs)

    @pytest.mark.parametrize("amounts", [(), (0.0,), (0.1,), (0.1000001,), (0.5, 0.2, 0.3), (9.0, 0.0, 0.7)])
    def test_a_histogram(self, amounts: tuple[float, ...]) -> None:
        ours, theirs = CollectorRegistry(), CollectorRegistry()
        plain = PlainHistogram("late", "How late.", (0.1, 0.5), ours)
        histogram = Histogram("late", "How late.", buckets=(0.1, 0.5), registry=theirs)
        for amount in amounts:
            plain.observe(amount)
            histogram.observe(amount)
            assert self.told(ours) == self.told(theirs)
        assert self.told(ours) == self.told(ours) == self.told(theirs)
