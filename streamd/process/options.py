"""What each service is told of the configuration: the same at the start and when it is read again."""

from __future__ import annotations

from collections.abc import Iterator

from streamd.doors.delivery.door import DoorOptions
from streamd.doors.delivery.handler_watch import HandlerLimits
from streamd.doors.delivery.http_request import HeadLimits
from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.ingest.open_connections import ListenerLimits
from streamd.doors.ingest.protocol import IngestOptions
from streamd.doors.ingest.read_turns import LoopShares
from streamd.doors.tls.handshakes import HandshakeLimits
from streamd.doors.web.port import PortLimits
from streamd.doors.web.public.media import MediaTimeouts
from streamd.doors.web.public.studio import StudioOptions
from streamd.formats.amf.values import Limits as AmfLimits
from streamd.formats.rtmp.chunk import ChunkLimits
from streamd.formats.rtmp.connection import ConnectionOptions
from streamd.media.demux import DemuxerKind
from streamd.media.intake.limits import IntakeLimits
from streamd.media.packager.rendition import RenditionOptions
from streamd.media.packager.segmenter import SegmenterOptions
from streamd.process.config import Config
from streamd.process.resources import Descriptors
from streamd.services.bounds.peer_lines import PeerLineLimits
from streamd.services.events.event import EventType
from streamd.services.events.outbox import Endpoint, OutboxOptions
from streamd.services.keys.guessing import GuessLimits
from streamd.services.keys.publish_hook import HookOptions
from streamd.services.keys.verifier import VerifierOptions
from streamd.services.live.gop_cache import GopLimits
from streamd.services.live.live_stream import StreamLimits, StreamOptions

# aiohttp's side knows a body from the moment in which it is read, and ends it; the connection's watch is for the rest.
GRACE_S = 5.0
# Sections of which every key is taken when the configuration is read again. What runs keeps what it began with: a
# stream its segments, a connection the limits of its protocol.
RELOADABLE_SECTIONS = frozenset({"hls", "ingest", "live", "limits", "log"})


def ingest_options(config: Config) -> IngestOptions:
    """Limits of an RTMP connection."""
    limits = config.limits
    return IngestOptions(
        handshake_timeout_s=limits.handshake_timeout_s,
        publish_timeout_s=limits.publish_timeout_s,
        media_timeout_s=limits.media_timeout_s,
        verify_timeout_s=limits.verify_timeout_s,
        messages_per_second_max=limits.messages_per_second_max,
        unsent_bytes_max=limits.unsent_answers_bytes_max,
    )


def connection_options(config: Config) -> ConnectionOptions:
    """Limits of RTMP itself."""
    limits = config.limits
    return ConnectionOptions(
        command_bytes_max=limits.command_bytes_max,
        pending_bytes_max=limits.pending_bytes_max,
        pending_messages_max=limits.pending_messages_max,
        chunk_limits=ChunkLimits(
            message_bytes=limits.message_bytes_max,
            chunk_streams=limits.chunk_streams_max,
            partial_bytes=limits.held_bytes_max,
            chunk_size=limits.chunk_size_min,
            messages_per_read=limits.messages_per_read_max,
        ),
        amf_limits=AmfLimits(
            depth=limits.amf_depth_max,
            values=limits.amf_values_max,
            string_bytes=limits.amf_string_bytes_max,
            # A command has no more text than bytes.
            text_bytes=limits.command_bytes_max,
        ),
    )


def listener_limits(config: Config, connections_max: int) -> ListenerLimits:
    """How many RTMP connections there may be.

    Args:
        config: All of the configuration.
        connections_max: As many as there are descriptors for.
    """
    limits = config.limits
    return ListenerLimits(
        connections_max=connections_max,
        connections_per_address_max=limits.connections_per_address_max,
        handshakes_max=limits.handshakes_max,
    )


def peer_line_limits(config: Config) -> PeerLineLimits:
    """How much of the log is about peers."""
    limits = config.limits
    return PeerLineLimits(limits.log_lines_per_address_max, limits.unpublished_lines_per_minute_max)


def loop_shares(config: Config) -> LoopShares:
    """What RTMP connections may take of the loop's time."""
    limits = config.limits
    return LoopShares(
        stranger_ms=limits.loop_ms_per_stranger_max,
        address_ms=limits.loop_ms_per_address_max,
        strangers_ms=limits.loop_ms_of_strangers_max,
        publisher_ms=limits.loop_ms_per_publisher_max,
        overdue_s=limits.loop_overdue_s,
    )


def handshake_limits(config: Config, handshakes_max: int) -> HandshakeLimits:
    """How many TLS handshakes there may be, and how long each may take.

    Args:
        config: All of the configuration.
        handshakes_max: As many as there are descriptors for.
    """
    limits = config.limits
    return HandshakeLimits(handshakes_max, limits.tls_handshakes_per_address_max, limits.tls_handshake_timeout_s)


def verifier_options(config: Config) -> VerifierOptions:
    """What wrong keys may cost."""
    limits = config.limits
    return VerifierOptions(
        guess_limits=GuessLimits(
            per_address=limits.failed_publishes_per_address_max, per_key=limits.failed_publishes_per_key_max
        ),
        publishes_per_minute_max=limits.publishes_per_minute_max,
        denials_per_minute_max=limits.denials_per_minute_max,
    )


def stream_options(config: Config) -> StreamOptions:
    """How a live stream is packaged, and what one may be."""
    hls, limits = config.hls, config.limits
    return StreamOptions(
        segmenter=SegmenterOptions(part_target_ms=hls.part_target_ms, segment_target_ms=hls.segment_target_ms),
        rendition=RenditionOptions(
            window_segments=hls.window_segments, low_latency=hls.low_latency, held_bytes_max=limits.window_bytes_max
        ),
        limits=StreamLimits(
            bitrate_kbps_max=limits.bitrate_kbps_max,
            picture_pixels_max=limits.picture_pixels_max,
            gop=GopLimits(payload_bytes_max=limits.gop_bytes_max),
            intake=IntakeLimits(tracks_max=limits.tracks_max),
        ),
        demuxer=DemuxerKind(config.ingest.demuxer),
    )


def door_options(config: Config, descriptors: Descriptors) -> DoorOptions:
    """Bounds of the viewers' door.

    Args:
        config: All of the configuration.
        descriptors: What there are file descriptors for.
    """
    limits = config.limits
    return DoorOptions(
        connections_max=descriptors.viewers,
        files_max=descriptors.files,
        connections_per_address_max=limits.viewer_connections_per_address_max,
        proxies=TrustedProxies(config.http.trusted_proxies),
        head=HeadLimits(
            head_bytes=limits.request_head_bytes_max,
            request_line_bytes=limits.request_line_bytes_max,
            fields=limits.request_fields_max,
        ),
        unanswered_bytes_max=limits.unanswered_bytes_max,
        head_timeout_s=limits.viewer_head_timeout_s,
        body_timeout_s=limits.viewer_body_timeout_s + GRACE_S,
        idle_timeout_s=limits.viewer_idle_timeout_s,
        write_timeout_s=limits.viewer_write_timeout_s,
        answer_timeout_s=limits.viewer_answer_timeout_s,
    )


def port_limits(config: Config) -> PortLimits:
    """What peers of either port may ask of aiohttp."""
    limits = config.limits
    return PortLimits(limits.requests_per_second_max, limits.viewer_body_timeout_s)


def handler_limits(config: Config) -> HandlerLimits:
    """How long a connection to the admin port may take; who has not shown the token has less (``web.admin.places``)."""
    limits = config.limits
    return HandlerLimits(
        head_timeout_s=limits.viewer_head_timeout_s,
        body_timeout_s=limits.viewer_body_timeout_s + GRACE_S,
        idle_timeout_s=limits.viewer_idle_timeout_s,
        write_timeout_s=limits.viewer_write_timeout_s,
        answer_timeout_s=limits.viewer_answer_timeout_s,
        head_bytes_max=limits.request_head_bytes_max,
        unanswered_bytes_max=limits.unanswered_bytes_max,
    )


def media_timeouts(config: Config) -> MediaTimeouts:
    """How long viewers may take whose connection the viewers' door has handed over."""
    limits = config.limits
    return MediaTimeouts(write_s=limits.viewer_write_timeout_s, answer_s=limits.viewer_answer_timeout_s)


def studio_options(config: Config) -> StudioOptions:
    """What the broadcaster's page tells."""
    return StudioOptions(rtmp_url=config.rtmp_url, is_secure=config.public_url.startswith("https:"))


def webhook_endpoints(config: Config) -> list[Endpoint]:
    """Who is told what happens."""
    return [
        Endpoint(
            url=endpoint.url,
            secret=endpoint.secret.get_secret_value(),
            origin=endpoint.origin,
            types=frozenset(endpoint.events or EventType),
        )
        for endpoint in config.webhooks.endpoints
    ]


def outbox_options(config: Config) -> OutboxOptions:
    """How long each of them is waited for."""
    webhooks = config.webhooks
    return OutboxOptions(queue_max=webhooks.queue_max, timeout_s=webhooks.timeout_s, retry_for_s=webhooks.retry_for_s)


def hook_options(config: Config) -> HookOptions | None:
    """Who is asked over every publish; None where nobody is."""
    hook = config.publish_hook
    if not hook.url:
        return None
    return HookOptions(
        url=hook.url,
        secret=hook.secret.get_secret_value(),
        timeout_s=hook.timeout_s,
        allows_on_failure=hook.on_failure == "allow",
    )


def changed_settings(old: Config, new: Config) -> Iterator[tuple[str, bool]]:
    """Settings that differ, each with whether it takes effect without a restart; their values are not told."""
    for section in type(old).model_fields:
        before, after = getattr(old, section), getattr(new, section)
        for key in type(before).model_fields:
            if getattr(before, key) != getattr(after, key):
                yield f"{section}.{key}", section in RELOADABLE_SECTIONS
