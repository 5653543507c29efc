from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamd import __version__
from streamd.services import metric_groups
from streamd.services.live.health import HealthCode
from streamd.services.metrics import Metrics

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
        metrics.streams.stream_findings.labels(HealthCode.STARVED.value).inc()
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

    def test_an_attribute_of_a_group_bears_the_name_of_its_metric(self) -> None:
        metrics = Metrics()
        told = {family.name for family in metrics.registry.collect()}
        groups = [value for value in vars(metrics).values() if type(value).__module__ == metric_groups.__name__]
        assert len(groups) > 5
        named = {name.removesuffix("_total") for group in groups for name in vars(group)} - {"process"}
        assert {f"streamd_{name}" for name in named} <= told

    def test_two_servers_of_one_process_count_apart(self) -> None:
        first, second = Metrics(), Metrics()
        first.streams.parts_total.inc()
        assert second.registry.get_sample_value("streamd_parts_total") == 0

    def test_the_version_is_told(self) -> None:
        assert Metrics().registry.get_sample_value("streamd_build_info", {"version": __version__}) == 1
