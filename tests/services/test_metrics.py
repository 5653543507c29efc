from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamd import __version__
from streamd.services.live.health import HealthCode
from streamd.services.metrics import Metrics, PlainCounter, PlainHistogram

# Labels whose values are few and known beforehand: none of a user, key, stream or address.
LABELS = {"le", "reason", "result", "name", "kind", "status", "protocol", "code", "limit", "version"}


class TestNames:
    """Names start with ``streamd_``; no label grows with users or addresses."""

    def test_every_name_is_ours_and_has_its_unit(self) -> None:
        for family in Metrics().registry.collect():
            assert family.name.startswith("streamd_"), family.name
            assert not re.search(r"_(ms|milliseconds|kb|minutes)$", family.name), family.name
            assert family.documentation.endswith("."), family.name

    def test_no_label_grows(self) -> None:
        metrics = Metrics()
        metrics.stream_findings.labels(HealthCode.STARVED.value).inc()
        families = [*text_string_to_metric_families(generate_latest(metrics.registry).decode())]
        assert {label for family in families for sample in family.samples for label in sample.labels} <= LABELS

    def test_every_one_is_explained_to_operators(self) -> None:
        table = (Path(__file__).parents[2] / "docs" / "observing.md").read_text().splitlines()
        for family in Metrics().registry.collect():
            if family.name.startswith("streamd_process_"):
                continue  # said in one sentence
            name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
            row = re.compile(rf"\| `{name}` \| {family.type} \| .*\| {re.escape(family.documentation)} \|")
            assert any(row.fullmatch(line) for line in table), f"docs/observing.md: {row.pattern}"

    def test_two_servers_of_one_process_count_apart(self) -> None:
        first, second = Metrics(), Metrics()
        first.parts_total.inc()
        assert second.registry.get_sample_value("streamd_parts_total") == 0

    def test_the_version_is_told(self) -> None:
        assert Metrics().registry.get_sample_value("streamd_build_info", {"version": __version__}) == 1


class TestPlain:
    """What the way of a frame counts into is told like the client library's own."""

    def told(self, registry: CollectorRegistry) -> list[str]:
        """What a scrape sees, but for the times at which the two were made."""
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
