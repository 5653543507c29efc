from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest

from streamd.services.live.channel_metrics import ChannelMetrics
from streamd.services.live.health import Finding, Health, HealthCode, HealthStatus, Severity
from tests.support.live_streams import summary

if TYPE_CHECKING:
    from streamd.services.live.meter import StreamSummary

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def live(name: str, minutes: int = 0, health: Health | None = None) -> StreamSummary:
    """A stream that went live so many minutes after noon."""
    stream = replace(summary(name), live_since=NOON + timedelta(minutes=minutes), viewers={"hls": 3, "flv": 0})
    return stream if health is None else replace(stream, health=health)


def scrape(streams: list[StreamSummary], channels_max: int = 10) -> tuple[dict[str, str], list[str]]:
    """The samples of a scrape by their name with labels, and the limits that acted."""
    hits: list[str] = []
    registry = CollectorRegistry()
    registry.register(ChannelMetrics(lambda: streams, channels_max=channels_max, count_limit=hits.append))
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return dict(line.rsplit(" ", 1) for line in lines), hits


def channels(samples: dict[str, str]) -> set[str]:
    return {sample.partition('channel="')[2].partition('"')[0] for sample in samples}


def test_each_channel_has_its_figures() -> None:
    samples, _ = scrape([live("alice")])
    assert samples['streamd_channel_viewers{channel="alice",protocol="hls"}'] == "3.0"
    assert float(samples['streamd_channel_live_since_timestamp_seconds{channel="alice"}']) == NOON.timestamp()
    assert float(samples['streamd_channel_bits_per_second{channel="alice"}']) == summary("alice").bitrate_bps
    assert samples['streamd_channel_tags_dropped_total{channel="alice"}'] == "0.0"


def test_a_channel_has_as_many_series_as_the_limit_says_of_it() -> None:
    protocols = {"hls": 1, "flv": 1, "mp4": 1}
    assert len(scrape([replace(live("alice"), viewers=protocols)])[0]) == 11


def test_findings_are_counted_by_severity() -> None:
    finding = Finding(HealthCode.STARVED, Severity.ERROR, "late", "slower", NOON)
    samples, _ = scrape([live("alice", health=Health(HealthStatus.BAD, (finding,)))])
    told = [samples[f'streamd_channel_findings{{channel="alice",severity="{each.value}"}}'] for each in Severity]
    assert told == ["1.0", "0.0", "0.0"]


def test_past_the_limit_those_are_shown_that_are_live_for_longest() -> None:
    streams = [live("late", 3), live("first", 1), live("second", 2)]
    samples, hits = scrape(streams, channels_max=2)
    assert channels(samples) == {"first", "second"}
    assert hits == ["channel_metrics_max"]


def test_as_many_as_the_limit_are_no_hit() -> None:
    samples, hits = scrape([live("first", 1), live("second", 2)], channels_max=2)
    assert (channels(samples), hits) == ({"first", "second"}, [])


def test_a_channel_that_has_ended_is_gone_from_the_next_scrape() -> None:
    streams = [live("alice")]
    registry = CollectorRegistry()
    registry.register(ChannelMetrics(lambda: streams, count_limit=lambda _: None))
    assert b'"alice"' in generate_latest(registry)
    streams.clear()
    assert b'"alice"' not in generate_latest(registry)


def test_no_key_is_in_it() -> None:
    samples, _ = scrape([live("alice")])
    assert summary("alice").key_id not in str(samples)
    assert summary("alice").publisher_address not in str(samples)
