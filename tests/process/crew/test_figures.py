"""The metrics of all workers on one page."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamd.process.crew.figures import merge


def page(viewers: float) -> str:
    registry = CollectorRegistry()
    Gauge("streamd_viewers", "Viewers, by protocol.", ["protocol"], registry=registry).labels('h "{} ls').set(viewers)
    Counter("streamd_limit_hits", "Limits that acted.", registry=registry).inc(viewers * 2)
    Histogram("streamd_act_seconds", "Seconds.", buckets=(1, 2), registry=registry).observe(1.5)
    return generate_latest(registry).decode()


def test_each_sample_has_its_worker_and_each_family_is_there_once() -> None:
    families = {each.name: each for each in text_string_to_metric_families(merge({1: page(7), 0: page(3)}))}
    assert [(each.labels, each.value) for each in families["streamd_viewers"].samples] == [
        ({"worker": "0", "protocol": 'h "{} ls'}, 3.0),
        ({"worker": "1", "protocol": 'h "{} ls'}, 7.0),
    ]
    hits = [each for each in families["streamd_limit_hits"].samples if each.name == "streamd_limit_hits_total"]
    assert [(each.labels, each.value) for each in hits] == [({"worker": "0"}, 6.0), ({"worker": "1"}, 14.0)]
    assert families["streamd_act_seconds"].type == "histogram"
    buckets = [each for each in families["streamd_act_seconds"].samples if each.name.endswith("_bucket")]
    assert [each.labels["le"] for each in buckets] == ["1.0", "2.0", "+Inf"] * 2


def test_comments_stand_once_and_before_all_samples_of_their_family() -> None:
    lines = merge({0: page(3), 1: page(7)}).splitlines()
    assert len(lines) == len(set(lines))
    seen: set[str] = set()
    for line in lines:
        if line.startswith("# HELP"):
            assert line.split()[2] not in seen
            seen.add(line.split()[2])


def test_what_is_no_sample_is_left_out() -> None:
    assert merge({0: "# HELP a A.\n# TYPE a gauge\n\nnonsense\n# EOF\na 1.0\n"}) == (
        '# HELP a A.\n# TYPE a gauge\na{worker="0"} 1.0\n'
    )
