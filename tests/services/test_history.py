from __future__ import annotations

import pytest

from streamd.clock import ManualClock
from streamd.services.history import SAMPLE_INTERVAL_S, SAMPLES_MAX, History
from streamd.services.metrics import Metrics


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def history(metrics: Metrics, clock: ManualClock) -> History:
    return History(metrics, clock)


def test_rates_are_those_of_the_interval(history: History, metrics: Metrics, clock: ManualClock) -> None:
    for megabytes in (1, 3):
        metrics.publishing.ingest_bytes_total.inc(megabytes * 1_000_000)
        metrics.viewing.http_egress_bytes_total.inc(megabytes * 10_000_000)
        clock.advance(5)
        history.tick()
    assert [sample.ingest_bps for sample in history.samples] == [1.6e6, 4.8e6]
    assert [sample.egress_bps for sample in history.samples] == [1.6e7, 4.8e7]
    assert history.samples[-1].at == clock.now()


def test_viewers_are_those_of_all_protocols(history: History, metrics: Metrics, clock: ManualClock) -> None:
    metrics.streams.streams_live.set(2)
    metrics.viewing.viewers.labels("hls").inc(30)
    metrics.viewing.viewers.labels("mp4").inc(4)
    clock.advance(5)
    history.tick()
    assert (history.samples[0].streams, history.samples[0].viewers) == (2, 34)


def test_a_sample_is_taken_when_it_is_time_and_not_before(history: History, clock: ManualClock) -> None:
    for _ in range(int(SAMPLE_INTERVAL_S) * 3):
        clock.advance(1)
        history.tick()
    assert (len(history.samples), history.taken) == (3, 3)


def test_an_hour_is_kept_and_no_more(history: History, clock: ManualClock) -> None:
    for _ in range(SAMPLES_MAX + 5):
        clock.advance(SAMPLE_INTERVAL_S)
        history.tick()
    assert len(history.samples) == SAMPLES_MAX == 3600 / SAMPLE_INTERVAL_S
    assert history.taken == SAMPLES_MAX + 5


def test_the_process_itself_is_measured(history: History, clock: ManualClock) -> None:
    clock.advance(5)
    history.tick()
    (sample,) = history.samples
    assert sample.memory_bytes is not None
    assert sample.memory_bytes > 1_000_000
    assert sample.cpu_percent is not None
    assert sample.cpu_percent >= 0


class TestPartDelay:
    """The 95th percentile of the interval, as Prometheus's ``histogram_quantile`` has it."""

    def test_is_of_the_parts_of_the_interval_alone(
        self, history: History, metrics: Metrics, clock: ManualClock
    ) -> None:
        for delay_s in (9.0, 0.015):
            for _ in range(20):
                metrics.streams.part_delay_seconds.observe(delay_s)
            clock.advance(5)
            history.tick()
        first, second = (sample.part_delay_ms for sample in history.samples)
        assert first == pytest.approx(5000 + 0.95 * 5000)
        assert second == pytest.approx(10 + 0.95 * 10)

    def test_is_none_without_a_part(self, history: History, clock: ManualClock) -> None:
        clock.advance(5)
        history.tick()
        assert history.samples[0].part_delay_ms is None

    def test_beyond_the_last_bucket_is_its_bound(self, history: History, metrics: Metrics, clock: ManualClock) -> None:
        metrics.streams.part_delay_seconds.observe(60)
        clock.advance(5)
        history.tick()
        assert history.samples[0].part_delay_ms == 10_000
