"""The last hour of the server's own figures: bit rates in and out, viewers, and cost.

Read from the metrics, so that a chart and a dashboard never disagree. It is a look back for operators without
monitoring of their own, and ends with the process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector
    from prometheus_client.samples import Sample as MetricSample

    from streamd.clock import Clock
    from streamd.services.metrics import Metrics

# Short enough to see a stall of a few seconds, long enough for a quiet server to have something in each.
SAMPLE_INTERVAL_S = 5.0
# An hour. A sample is about 200 bytes, so this is 150 KB.
SAMPLES_MAX = 720
# The share of parts that are no later than the figure.
PART_DELAY_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """The figures of one interval, or as they are at its end."""

    at: datetime
    """Its end."""
    ingest_bps: float
    """Bits a second received over RTMP."""
    egress_bps: float
    """Bits a second of bodies handed to viewers' sockets."""
    streams: int
    """Live streams."""
    viewers: int
    """Over all protocols."""
    part_delay_ms: float | None
    """Delay that 95 % of the interval's parts did not exceed; None without a part."""
    cpu_percent: float | None
    """Of one core; None where the operating system does not tell."""
    memory_bytes: int | None
    """Resident set of the process; None likewise."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """Counters as they are at a moment."""

    now: float
    ingest_bytes: float
    egress_bytes: float
    part_delays: tuple[tuple[float, float], ...]
    """Upper bound of each bucket, seconds, and how many parts were not later."""
    cpu_s: float | None


class History:
    """A ring of samples, one each ``SAMPLE_INTERVAL_S``.

    Args:
        metrics: Source of the figures.
        clock: For the dates and the intervals.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._samples: deque[HistoryPoint] = deque(maxlen=SAMPLES_MAX)
        self._last = self._read()
        self.taken = 0
        """Samples taken so far, those that the ring has forgotten included."""

    @property
    def samples(self) -> Sequence[HistoryPoint]:
        """The samples kept, oldest first."""
        return self._samples

    def tick(self) -> None:
        """Take a sample when it is time; called about once a second."""
        if self._clock.monotonic() - self._last.now < SAMPLE_INTERVAL_S:
            return
        last, reading = self._last, self._read()
        self._last = reading
        seconds = reading.now - last.now
        metrics = self._metrics
        memory = _value(metrics.process.process, "process_resident_memory_bytes")
        cpu_s = reading.cpu_s - last.cpu_s if reading.cpu_s is not None and last.cpu_s is not None else None
        delay_s = _quantile(last.part_delays, reading.part_delays, PART_DELAY_QUANTILE)
        self._samples.append(
            HistoryPoint(
                at=self._clock.now(),
                ingest_bps=(reading.ingest_bytes - last.ingest_bytes) * 8 / seconds,
                egress_bps=(reading.egress_bytes - last.egress_bytes) * 8 / seconds,
                streams=int(_value(metrics.streams.streams_live) or 0),
                viewers=int(_value(metrics.viewing.viewers) or 0),
                part_delay_ms=None if delay_s is None else delay_s * 1000,
                cpu_percent=None if cpu_s is None else 100 * cpu_s / seconds,
                memory_bytes=None if memory is None else int(memory),
            )
        )
        self.taken += 1

    def _read(self) -> _Reading:
        metrics = self._metrics
        return _Reading(
            now=self._clock.monotonic(),
            ingest_bytes=_value(metrics.publishing.ingest_bytes_total, "_total") or 0.0,
            egress_bytes=_value(metrics.viewing.http_egress_bytes_total, "_total") or 0.0,
            part_delays=tuple(
                (float(sample.labels["le"]), sample.value)
                for sample in _samples(metrics.streams.part_delay_seconds)
                if sample.name.endswith("_bucket")
            ),
            cpu_s=_value(metrics.process.process, "process_cpu_seconds_total"),
        )


def _samples(collector: Collector) -> Iterable[MetricSample]:
    families: Iterable[Metric] = collector.collect()
    return (sample for family in families for sample in family.samples)


def _value(collector: Collector, suffix: str = "") -> float | None:
    """The value of a counter or gauge, over all its labels; None without a value."""
    values = [sample.value for sample in _samples(collector) if sample.name.endswith(suffix)]
    return sum(values) if values else None


def _quantile(
    before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]], quantile: float
) -> float | None:
    """The quantile of a histogram's counts between two readings, as Prometheus's ``histogram_quantile`` has it.

    Args:
        before: Upper bound and cumulative count of each bucket, the last one's bound infinite.
        after: The same, later.
        quantile: Between 0 and 1.

    Returns:
        Interpolated within its bucket; the highest finite bound where it lies above; None where nothing was counted.
    """
    counts = [(bound, count - earlier) for (bound, count), (_, earlier) in zip(after, before, strict=True)]
    if not counts or counts[-1][1] == 0:
        return None
    rank = quantile * counts[-1][1]
    lower_bound, lower_count = 0.0, 0.0
    for bound, count in counts:
        if count >= rank:
            if bound == float("inf"):
                return lower_bound
            share = (rank - lower_count) / (count - lower_count)
            return lower_bound + (bound - lower_bound) * share
        lower_bound, lower_count = bound, count
    return lower_bound
