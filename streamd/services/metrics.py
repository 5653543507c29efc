"""The server's metrics, for Prometheus.

One object, built in ``services.py`` and handed down; no module-level registry.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Info

from streamd import __version__
from streamd.services.metric_groups import (
    ModerationMetrics,
    ProcessMetrics,
    PublishMetrics,
    RecordingMetrics,
    StorageMetrics,
    StreamMetrics,
    ViewerMetrics,
    WebhookMetrics,
)

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


class Metrics:
    """Every metric of one server.

    Args:
        registry: Where they are registered; a new one for each server, so that tests do not share.

    Attributes:
        registry: As given.
        limit_hits_total: Counts limits that have acted.
        tls_handshakes_failed_total: Counts handshakes, of publishers and of viewers.
        process: The process and its event loop.
        publishing: Publishers, their keys, and the bytes that they send.
        streams: Live streams, from the tag to the part.
        viewing: Requests for media, and viewers.
        webhooks: Messages for webhook endpoints.
        recordings: Recordings on the disk.
        storage: The bucket that recordings are kept in.
        moderation: Evidence, and the machine that looks at pictures.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = r = registry if registry is not None else CollectorRegistry()
        Info("streamd_build", "The version that runs.", registry=r).info({"version": __version__})
        self.limit_hits_total = Counter(
            "streamd_limit_hits_total",
            "How often a limit of the configuration has acted, by its key in [limits].",
            ["limit"],
            registry=r,
        )
        for limit in LIMITS:
            self.limit_hits_total.labels(limit)
        self.tls_handshakes_failed_total = Counter(
            "streamd_tls_handshakes_failed_total",
            "TLS handshakes that failed, by port (rtmps, https) and reason.",
            ["port", "reason"],
            registry=r,
        )
        self.process = ProcessMetrics(r)
        self.publishing = PublishMetrics(r)
        self.streams = StreamMetrics(r)
        self.viewing = ViewerMetrics(r)
        self.webhooks = WebhookMetrics(r)
        self.recordings = RecordingMetrics(r)
        self.storage = StorageMetrics(r)
        self.moderation = ModerationMetrics(r)

    def count_limit(self, limit: str) -> None:
        """Count a limit that has acted.

        Args:
            limit: Its key in ``[limits]``.
        """
        self.limit_hits_total.labels(limit).inc()
