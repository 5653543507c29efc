"""Figures of single channels for Prometheus, where the operator asks for them: a bounded number, of those on air.

Every series of a time-series database costs memory for as long as it is kept, and channels come and go; without this
(``[metrics] per_channel``) no label has a channel's name. A channel's name is public, and is its user's.
"""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from streamd.limits import DEFAULT
from streamd.services.live.health import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client.metrics_core import Metric

    from streamd.services.live.meter import StreamSummary


class _Figure(NamedTuple):
    """A family with one series a channel."""

    name: str
    documentation: str
    read: Callable[[StreamSummary], float]


_GAUGES = (
    _Figure("bits_per_second", "Bits a second that the channel's publisher sends, lately.", attrgetter("bitrate_bps")),
    _Figure("frame_rate", "Frames to a second of the channel's media, lately.", attrgetter("frame_rate")),
    _Figure(
        "live_since_timestamp_seconds", "When the channel went live, Unix time.", lambda s: s.live_since.timestamp()
    ),
)
_COUNTERS = (
    _Figure("tags_dropped", "Media tags of the channel's broadcast that were not carried.", attrgetter("tags_dropped")),
    _Figure("timestamps_repaired", "Timestamp repairs in the channel's broadcast.", attrgetter("timestamps_repaired")),
)


class ChannelMetrics(Collector):
    """The figures of single channels for a scrape.

    Args:
        summaries: Asked for the streams that are live, at each scrape.
        channels_max: How many channels are shown at most: those that have been live for longest, so that a channel
            stays for as long as its broadcast.
        count_limit: Told of the limit when it acts.

    Attributes:
        channels_max: As given; may be set.
    """

    def __init__(
        self,
        summaries: Callable[[], Sequence[StreamSummary]],
        *,
        channels_max: int = DEFAULT.channel_metrics_max,
        count_limit: Callable[[str], None],
    ) -> None:
        self.channels_max = channels_max
        self._summaries = summaries
        self._count_limit = count_limit

    def describe(self) -> Iterable[Metric]:
        """The families without a channel (``Collector``); nobody is asked."""
        return self._families(())

    def collect(self) -> Iterable[Metric]:
        """The present values (``Collector``)."""
        streams = sorted(self._summaries(), key=lambda stream: (stream.live_since, stream.name))
        if len(streams) > self.channels_max:
            self._count_limit("channel_metrics_max")
        return self._families(streams[: self.channels_max])

    def _families(self, streams: Sequence[StreamSummary]) -> Iterable[Metric]:
        for figure in _GAUGES:
            gauge = GaugeMetricFamily(f"streamd_channel_{figure.name}", figure.documentation, labels=["channel"])
            for stream in streams:
                gauge.add_metric([stream.name], figure.read(stream))
            yield gauge
        for figure in _COUNTERS:
            counter = CounterMetricFamily(f"streamd_channel_{figure.name}", figure.documentation, labels=["channel"])
            for stream in streams:
                counter.add_metric([stream.name], figure.read(stream))
            yield counter
        viewers = GaugeMetricFamily(
            "streamd_channel_viewers", "Viewers of the channel now, by protocol.", labels=["channel", "protocol"]
        )
        findings = GaugeMetricFamily(
            "streamd_channel_findings",
            "What is wrong with the channel's stream now, by severity.",
            labels=["channel", "severity"],
        )
        for stream in streams:
            for protocol, count in stream.viewers.items():
                viewers.add_metric([stream.name, protocol], count)
            severities = Counter(finding.severity for finding in stream.health.findings)
            for severity in Severity:
                findings.add_metric([stream.name, severity.value], severities[severity])
        yield viewers
        yield findings
