"""The default of every limit that an operator may set, and of what else acts below the process, said once.

The code in which a setting acts takes its default from here, and so does the configuration, which has the reason for
each beside its key (``process/config/sections.py``). The name of a setting is that key everywhere: in options, in
errors, in metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """The keys of ``[limits]``; times in seconds (``_s``), sizes in bytes, counts without a unit."""

    connections_max: int = 2000
    connections_per_address_max: int = 64
    handshakes_max: int = 1000
    loop_ms_per_stranger_max: int = 20
    loop_ms_per_address_max: int = 50
    loop_ms_of_strangers_max: int = 200
    loop_ms_per_publisher_max: int = 200
    loop_overdue_s: float = 10.0
    tls_handshakes_max: int = 1000
    tls_handshakes_per_address_max: int = 250
    proxy_header_timeout_s: float = 5.0
    tls_handshake_timeout_s: float = 10.0
    streams_max: int = 500
    memory_bytes_max: int = 0
    handshake_timeout_s: float = 10.0
    publish_timeout_s: float = 10.0
    verify_timeout_s: float = 5.0
    failed_publishes_per_address_max: int = 60
    failed_publishes_per_key_max: int = 20
    publishes_per_minute_max: int = 60
    denials_per_minute_max: int = 100
    unpublished_lines_per_minute_max: int = 300
    log_lines_per_address_max: int = 60
    media_timeout_s: float = 15.0
    message_bytes_max: int = 8 * 1024 * 1024
    held_bytes_max: int = 16 * 1024 * 1024
    chunk_streams_max: int = 64
    chunk_size_min: int = 128
    messages_per_read_max: int = 4096
    messages_per_second_max: int = 10_000
    command_bytes_max: int = 128 * 1024
    pending_bytes_max: int = 64 * 1024
    pending_messages_max: int = 128
    unsent_answers_bytes_max: int = 64 * 1024
    amf_depth_max: int = 32
    amf_values_max: int = 4096
    amf_string_bytes_max: int = 65_535
    bitrate_kbps_max: int = 100_000
    picture_pixels_max: int = 35_651_584
    tracks_max: int = 8
    window_bytes_max: int = 256 * 1024 * 1024
    gop_bytes_max: int = 16 * 1024 * 1024
    waiting_requests_max: int = 20_000
    waiting_requests_per_address_max: int = 5000
    viewer_connections_max: int = 20_000
    viewer_connections_per_address_max: int = 10_000
    requests_per_second_max: float = 100.0
    request_head_bytes_max: int = 16 * 1024
    request_line_bytes_max: int = 8000
    request_fields_max: int = 100
    unanswered_bytes_max: int = 64 * 1024
    viewer_head_timeout_s: float = 10.0
    viewer_body_timeout_s: float = 10.0
    viewer_idle_timeout_s: float = 75.0
    viewer_write_timeout_s: float = 15.0
    viewer_answer_timeout_s: float = 120.0
    drain_timeout_s: float = 10.0
    channel_metrics_max: int = 200
    evidence_bytes_max: int = 20 * 1024**3


DEFAULT: Final = Limits()


@dataclass(frozen=True, slots=True)
class Hls:
    """The keys of ``[hls]``; times in milliseconds (``_ms``)."""

    part_target_ms: int = 500
    segment_target_ms: int = 2000
    # Apple's authoring specification asks for six segments in a live playlist; one more is to spare.
    window_segments: int = 7
    low_latency: bool = True


@dataclass(frozen=True, slots=True)
class Obs:
    """The keys of ``[obs]``."""

    ladder: tuple[str, ...] = ("1080p@6000", "720p@3000", "480p@1200")
    encoders: tuple[str, ...] = ("obs_x264",)
    keyframe_interval_s: int = 2
    audio_bitrate_kbps: int = 160


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The keys of ``[webhooks]`` that are no addresses; times in seconds."""

    timeout_s: float = 15.0
    retry_for_s: float = 3600.0
    queue_max: int = 1000


@dataclass(frozen=True, slots=True)
class PublishHook:
    """The keys of ``[publish_hook]`` that are no addresses; times in seconds."""

    timeout_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Restream:
    """The keys of ``[restream]`` that are no addresses; times in seconds."""

    # YouTube, Twitch, Facebook, and as many more.
    targets_per_user_max: int = 6
    # A hiccup of the network is over within it.
    queue_s: float = 5.0
    give_up_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Recording:
    """The keys of ``[recording]`` with a unit; times in seconds (``_s``) or days, sizes in bytes."""

    fsync_s: float = 2.0
    file_s: int = 60
    min_free_bytes: int = 2 * 1024**3
    max_bytes: int = 0
    keep_days: int = 30
    storyboard_interval_s: int = 10


@dataclass(frozen=True, slots=True)
class Clips:
    """The keys of ``[clips]`` with a unit; times in seconds (``_s``) or days."""

    viewers_pin_days: int = 90
    max_s: int = 90
    per_address_per_hour: int = 10


@dataclass(frozen=True, slots=True)
class Playback:
    """The keys of ``[playback]`` with a unit; times in seconds."""

    leeway_s: int = 5
    ticket_s: int = 43_200
    viewers_per_session: int = 1


@dataclass(frozen=True, slots=True)
class Moderation:
    """The keys of ``[moderation]`` with a unit; times in seconds (``_s``) or days, a score from 0 to 1."""

    reports_per_address_per_10_min: int = 5
    evidence_s: int = 30
    evidence_keep_days: int = 183
    classifier_score_min: float = 0.6
    scan_pictures_per_s: int = 10


HLS: Final = Hls()
OBS: Final = Obs()
WEBHOOKS: Final = Webhooks()
PUBLISH_HOOK: Final = PublishHook()
RESTREAM: Final = Restream()
RECORDING: Final = Recording()
CLIPS: Final = Clips()
PLAYBACK: Final = Playback()
MODERATION: Final = Moderation()
