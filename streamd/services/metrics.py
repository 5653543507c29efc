"""The server's metrics, for Prometheus.

One object, built in ``server.py`` and handed down; no module-level registry. No label grows with users, keys or
addresses (``live.channel_metrics`` has what operators may switch on). The way of a frame counts into plain numbers,
which the client library reads at a scrape: its own counters take a lock and five calls each time.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.registry import Collector

from streamd import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client.metrics_core import Metric

# Seconds. From well under a frame to longer than a segment; what viewers notice starts at a part (0.5 s).
_LATENCY_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

LIMITS = (
    "connections_max",
    "connections_per_address_max",
    "handshakes_max",
    "loop_ms_per_stranger_max",
    "loop_ms_per_address_max",
    "loop_ms_per_publisher_max",
    "tls_handshakes_max",
    "tls_handshakes_per_address_max",
    "tls_handshake_timeout_s",
    "proxy_header_timeout_s",
    "streams_max",
    "memory_bytes_max",
    "handshake_timeout_s",
    "publish_timeout_s",
    "verify_timeout_s",
    "media_timeout_s",
    "unpublished_lines_per_minute_max",
    "log_lines_per_address_max",
    "message_bytes_max",
    "held_bytes_max",
    "chunk_streams_max",
    "chunk_size_min",
    "messages_per_read_max",
    "messages_per_second_max",
    "command_bytes_max",
    "pending_bytes_max",
    "pending_messages_max",
    "unsent_answers_bytes_max",
    "amf_depth_max",
    "amf_values_max",
    "amf_string_bytes_max",
    "bitrate_kbps_max",
    "picture_pixels_max",
    "tracks_max",
    "gop_bytes_max",
    "window_bytes_max",
    "waiting_requests_max",
    "waiting_requests_per_address_max",
    "viewer_connections_max",
    "viewer_connections_per_address_max",
    "viewer_head_timeout_s",
    "viewer_body_timeout_s",
    "viewer_write_timeout_s",
    "viewer_answer_timeout_s",
    "requests_per_second_max",
    "request_head_bytes_max",
    "request_line_bytes_max",
    "request_fields_max",
    "unanswered_bytes_max",
    "channel_metrics_max",
)
"""Keys of ``[limits]`` that are counted when they act; each is shown from the start, at 0."""


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


class Metrics:
    """Every metric of one server.

    Args:
        registry: Where they are registered; a new one for each server, so that tests do not share.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        r = self.registry
        Info("streamd_build", "The version that runs.", registry=r).info({"version": __version__})
        self.limit_hits_total = Counter(
            "streamd_limit_hits_total",
            "How often a limit of the configuration has acted, by its key in [limits].",
            ["limit"],
            registry=r,
        )
        for limit in LIMITS:
            self.limit_hits_total.labels(limit)
        self.process = ProcessCollector(namespace="streamd", registry=r)
        """CPU time, memory and open files, where the operating system tells (``/proc``)."""
        self.rtmp_connections = Gauge("streamd_rtmp_connections", "Open RTMP connections.", registry=r)
        self.tls_handshakes_failed_total = Counter(
            "streamd_tls_handshakes_failed_total",
            "TLS handshakes that failed, by port (rtmps, https) and reason.",
            ["port", "reason"],
            registry=r,
        )
        self.rtmp_connections_refused_total = Counter(
            "streamd_rtmp_connections_refused_total", "RTMP connections closed at once: too many are open.", registry=r
        )
        self.publishes_total = Counter(
            "streamd_publishes_total",
            "Publish requests by result: accepted, denied, forbidden, busy, rejected, undecided, unavailable.",
            ["result"],
            registry=r,
        )
        self.publish_denied_total = Counter(
            "streamd_publish_denied_total", "Refused stream keys by reason.", ["reason"], registry=r
        )
        self.playback_refusals_total = Counter(
            "streamd_playback_refusals_total", "Viewers who may not watch, by reason.", ["reason"], registry=r
        )
        self.verify_seconds = Histogram(
            "streamd_verify_seconds",
            "Time to verify a stream key.",
            buckets=_LATENCY_BUCKETS,
            registry=r,
        )
        self.streams_live = Gauge("streamd_streams_live", "Streams that are live now.", registry=r)
        self.loop_lag_seconds = Histogram(
            "streamd_loop_lag_seconds",
            "How late the event loop is, looked at four times a second; every stream waits for as long.",
            buckets=_LATENCY_BUCKETS,
            registry=r,
        )
        self.tasks = Gauge("streamd_tasks", "Tasks of the event loop that have not ended.", registry=r)
        self.memory_used_bytes = Gauge("streamd_memory_used_bytes", "Resident size of the process.", registry=r)
        self.memory_ceiling_bytes = Gauge(
            "streamd_memory_ceiling_bytes", "Size of the process past which no new stream begins.", registry=r
        )
        self.held_bytes = Gauge(
            "streamd_held_bytes",
            "What connections make the process hold, by standing: stranger, viewer, publisher with their stream; "
            "and shared, what services keep for all: webhooks that wait, posters.",
            ["standing"],
            registry=r,
        )
        self.media_held_bytes = Gauge(
            "streamd_media_held_bytes", "Media in memory for the playlists of all streams.", registry=r
        )
        self.ingest_bytes_total = Counter("streamd_ingest_bytes_total", "Bytes received over RTMP.", registry=r)
        self.messages_dropped_total = Counter(
            "streamd_messages_dropped_total", "RTMP messages dropped, by reason.", ["reason"], registry=r
        )
        self.tags_dropped_total = Counter(
            "streamd_tags_dropped_total", "Media tags dropped before the demuxer, by reason.", ["reason"], registry=r
        )
        self.demuxers_opened_total = Counter(
            "streamd_demuxers_opened_total",
            "Demuxers opened for the tracks of publishers, by which one it is: pyav, native.",
            ["demuxer"],
            registry=r,
        )
        self.demuxer_failures_total = Counter(
            "streamd_demuxer_failures_total",
            "Demuxers that could not read what the gate let through, and were opened anew at the next keyframe.",
            ["demuxer"],
            registry=r,
        )
        self.timestamps_repaired_total = Counter(
            "streamd_timestamps_repaired_total", "Timestamp repairs, by reason.", ["reason"], registry=r
        )
        self.stream_irregularities_total = Counter(
            "streamd_stream_irregularities_total",
            "What the segmenter met that a broadcaster should know of, by name.",
            ["name"],
            registry=r,
        )
        self.stream_findings = Gauge(
            "streamd_stream_findings",
            "Live streams that something is wrong with now, by the code of the finding.",
            ["code"],
            registry=r,
        )
        self.parts_total = PlainCounter("streamd_parts_total", "Parts made.", registry=r)
        self.part_delay_seconds = PlainHistogram(
            "streamd_part_delay_seconds",
            "How much later a part was there than one part's duration after the part before.",
            buckets=_LATENCY_BUCKETS,
            registry=r,
        )
        self.part_latency_seconds = PlainHistogram(
            "streamd_part_latency_seconds",
            "From the arrival of a part's last frame to the part being there for viewers.",
            buckets=_LATENCY_BUCKETS,
            registry=r,
        )
        self.segments_total = PlainCounter("streamd_segments_total", "Segments begun.", registry=r)
        self.publish_to_playable_seconds = Histogram(
            "streamd_publish_to_playable_seconds",
            "From an accepted publish to the first playlist.",
            buckets=(0.5, 1, 2, 3, 4, 5, 7, 10, 15, 20),
            registry=r,
        )
        self.http_responses_total = Counter(
            "streamd_http_responses_total",
            "Answers on the public port, by kind and status.",
            ["kind", "status"],
            registry=r,
        )
        self.requests_refused_total = Counter(
            "streamd_requests_refused_total",
            "Requests for anything but media that were refused before they were looked at, by port and reason.",
            ["port", "reason"],
            registry=r,
        )
        self.http_egress_bytes_total = PlainCounter(
            "streamd_http_egress_bytes_total", "Body bytes handed to viewers' sockets.", registry=r
        )
        self.requests_waiting = Gauge(
            "streamd_requests_waiting", "Requests that wait for a part or playlist.", registry=r
        )
        self.blocked_request_seconds = Histogram(
            "streamd_blocked_request_seconds",
            "How long blocked playlist and part requests waited.",
            buckets=_LATENCY_BUCKETS,
            registry=r,
        )
        self.posters_total = Counter(
            "streamd_posters_total",
            "Poster pictures drawn from a keyframe, by result: drawn, undecodable, failed.",
            ["result"],
            registry=r,
        )
        self.viewers = Gauge(
            "streamd_viewers", "Viewers now, by protocol: flv, mp4, and hls by an estimate.", ["protocol"], registry=r
        )
        self.push_skips_total = Counter(
            "streamd_push_skips_total",
            "Viewers of a pushed stream set aside until a keyframe for having too much unsent.",
            ["protocol"],
            registry=r,
        )
        self.push_viewers_too_slow_total = Counter(
            "streamd_push_viewers_too_slow_total",
            "Viewers of a pushed stream closed because they did not catch up.",
            ["protocol"],
            registry=r,
        )
        self.webhook_messages_total = Counter(
            "streamd_webhook_messages_total",
            "Messages for webhook endpoints by what became of them: delivered, refused, failed, dropped.",
            ["result"],
            registry=r,
        )
        self.webhook_messages_waiting = Gauge(
            "streamd_webhook_messages_waiting", "Messages for webhook endpoints that are not delivered yet.", registry=r
        )
        self.webhook_attempt_seconds = Histogram(
            "streamd_webhook_attempt_seconds",
            "How long webhook endpoints took to answer, or not to.",
            buckets=_LATENCY_BUCKETS,
            registry=r,
        )
        self.recordings_going = Gauge("streamd_recordings_going", "Recordings that are written now.", registry=r)
        self.recording_waiting_bytes = Gauge(
            "streamd_recording_waiting_bytes", "Bytes of recordings that wait for the disk.", registry=r
        )
        self.recorded_bytes_total = PlainCounter(
            "streamd_recorded_bytes_total", "Bytes of media that recordings have on the disk.", r
        )
        self.recordings_ended_total = Counter(
            "streamd_recordings_ended_total",
            "Recordings whose files are closed, by result: ready, partial, failed.",
            ["result"],
            registry=r,
        )
        self.storage_backlog_bytes = Gauge(
            "streamd_storage_backlog_bytes", "Bytes of recordings that wait for the bucket.", registry=r
        )
        self.storage_oldest_waiting_seconds = Gauge(
            "streamd_storage_oldest_waiting_seconds",
            "For how long the recording that waits for the bucket longest has waited.",
            registry=r,
        )
        self.storage_uploads_total = Counter(
            "streamd_storage_uploads_total", "Files of recordings that the bucket has taken.", registry=r
        )
        self.storage_uploaded_bytes_total = Counter(
            "streamd_storage_uploaded_bytes_total", "Bytes of recordings that the bucket has taken.", registry=r
        )
        self.storage_read_bytes_total = PlainCounter(
            "streamd_storage_read_bytes_total", "Bytes that were read from the bucket for viewers.", r
        )
        self.storage_failures_total = Counter(
            "streamd_storage_failures_total",
            "Requests that the bucket did not do, by the reason.",
            ["reason"],
            registry=r,
        )
        self.acts_waiting = Gauge(
            "streamd_acts_waiting",
            "Revocations, suspensions, takedowns, blocks and orders that hold in this process and are not written to "
            "the key store yet.",
            registry=self.registry,
        )
        self.evidence_total = Counter(
            "streamd_evidence_total",
            "Pieces of evidence, by what came of them: kept, failed, refused.",
            ["result"],
            registry=r,
        )
        self.evidence_bytes = Gauge("streamd_evidence_bytes", "Bytes of all evidence on the disk.", registry=r)
        self.moderation_looks_total = Counter(
            "streamd_moderation_looks_total",
            "Pictures that the machine looked at, by why (report, scan) and what came of it: found, found_again, "
            "nothing, no_picture, failed.",
            ["source", "result"],
            registry=r,
        )
        self.moderation_judged_total = Counter(
            "streamd_moderation_judged_total",
            "Findings of the machine that a decision agreed or disagreed with.",
            ["verdict"],
            registry=r,
        )
        self.moderation_suggestions_total = Counter(
            "streamd_moderation_suggestions_total",
            "Questions to the assistant, by what came of them: answered, failed.",
            ["result"],
            registry=r,
        )
        self.moderation_scan_waiting = Gauge(
            "streamd_moderation_scan_waiting",
            "Channels whose picture is due and is more than the machine may look at in this second.",
            registry=r,
        )
        self.publish_hook_answers_total = Counter(
            "streamd_publish_hook_answers_total",
            "Answers of the publish hook: allowed, forbidden, failed.",
            ["result"],
            registry=r,
        )
        self.publish_hook_seconds = Histogram(
            "streamd_publish_hook_seconds",
            "How long the publish hook took to answer, or not to.",
            buckets=_LATENCY_BUCKETS,
            registry=r,
        )

    def count_limit(self, limit: str) -> None:
        """Count a limit that has acted.

        Args:
            limit: Its key in ``[limits]``.
        """
        self.limit_hits_total.labels(limit).inc()
