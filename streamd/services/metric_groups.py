"""The metrics of each part of the server. An attribute bears the name of its metric, without ``streamd_``.

No label grows with users, keys or addresses (``live.channel_metrics`` has those that operators may switch on).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram, ProcessCollector

from streamd.services.metric_types import PlainCounter, PlainHistogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

# Seconds. From well under a frame to longer than a segment; viewers notice delays from a part on (0.5 s).
_LATENCY_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class ProcessMetrics:
    """The process and its event loop."""

    def __init__(self, r: CollectorRegistry) -> None:
        self.process = ProcessCollector(namespace="streamd", registry=r)
        """CPU time, memory and open files, where the operating system tells (``/proc``)."""
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


class PublishMetrics:
    """Publishers, their keys, and the bytes that they send."""

    def __init__(self, r: CollectorRegistry) -> None:
        self.rtmp_connections = Gauge("streamd_rtmp_connections", "Open RTMP connections.", registry=r)
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
        self.verify_seconds = Histogram(
            "streamd_verify_seconds",
            "Time to verify a stream key.",
            buckets=_LATENCY_BUCKETS,
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
        self.acts_waiting = Gauge(
            "streamd_acts_waiting",
            "Revocations, suspensions, takedowns, blocks and orders that hold in this process and are not written to "
            "the key store yet.",
            registry=r,
        )
        self.ingest_bytes_total = Counter("streamd_ingest_bytes_total", "Bytes received over RTMP.", registry=r)
        self.messages_dropped_total = Counter(
            "streamd_messages_dropped_total", "RTMP messages dropped, by reason.", ["reason"], registry=r
        )


class StreamMetrics:
    """Live streams, from the tag to the part."""

    def __init__(self, r: CollectorRegistry) -> None:
        self.streams_live = Gauge("streamd_streams_live", "Streams that are live now.", registry=r)
        self.media_held_bytes = Gauge(
            "streamd_media_held_bytes", "Media in memory for the playlists of all streams.", registry=r
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
        self.posters_total = Counter(
            "streamd_posters_total",
            "Poster pictures drawn from a keyframe, by result: drawn, undecodable, failed.",
            ["result"],
            registry=r,
        )


class ViewerMetrics:
    """Requests for media, and viewers."""

    def __init__(self, r: CollectorRegistry) -> None:
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
        self.playback_refusals_total = Counter(
            "streamd_playback_refusals_total", "Viewers who may not watch, by reason.", ["reason"], registry=r
        )


class WebhookMetrics:
    """Messages for webhook endpoints."""

    def __init__(self, r: CollectorRegistry) -> None:
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


class RecordingMetrics:
    """Recordings on the disk."""

    def __init__(self, r: CollectorRegistry) -> None:
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


class StorageMetrics:
    """The bucket that recordings are kept in."""

    def __init__(self, r: CollectorRegistry) -> None:
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


class ModerationMetrics:
    """Evidence, and the machine that looks at pictures."""

    def __init__(self, r: CollectorRegistry) -> None:
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
