"""The part of the configuration that each service is told: the same at the start and when it is read again.

A limit has one name: the field of an option bears the name of its key, and so the telling is a loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from streamd.doors.delivery.door import DoorOptions
from streamd.doors.delivery.handler_watch import HandlerLimits
from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.ingest.deadlines import IngestOptions
from streamd.doors.ingest.open_connections import ListenerLimits
from streamd.doors.ingest.read_turns import LoopShares
from streamd.doors.tls.handshakes import HandshakeLimits
from streamd.doors.web.port import PortLimits
from streamd.doors.web.public.media import MediaTimeouts
from streamd.doors.web.public.studio import StudioOptions
from streamd.formats.amf.values import Limits as AmfLimits
from streamd.formats.rtmp.connection_options import ConnectionOptions
from streamd.media.demux import DemuxerKind
from streamd.media.packager.rendition import RenditionOptions
from streamd.media.packager.segmenter import SegmenterOptions
from streamd.services.bounds.peer_lines import PeerLineLimits
from streamd.services.keys.publish_hook import HookFormat, HookOptions
from streamd.services.keys.verifier import VerifierOptions
from streamd.services.live.stream_options import StreamOptions
from streamd.services.playback.gate_options import GateOptions
from streamd.services.playback.hook import PlaybackHookOptions
from streamd.services.playback.policy import Policy
from streamd.services.recording.clip_records import ClipMaker
from streamd.services.recording.clips import ClipOptions
from streamd.services.recording.recorder import RecorderOptions
from streamd.services.recording.recording_writer import WriterOptions
from streamd.services.recording.records import RecordingMode
from streamd.services.recording.retention import RetentionOptions
from streamd.services.recording.storyboarder import StoryboardOptions
from streamd.services.storage.place import Place, StorageOptions, keep_local_days

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from streamd.process.config import Config
    from streamd.process.config.sections import Section
    from streamd.process.resources import Descriptors

Options = TypeVar("Options", bound="DataclassInstance")

# Sections of which every key is taken when the configuration is read again. A running
# stream keeps its segments, an open connection the limits of its protocol.
RELOADABLE_SECTIONS = frozenset(
    {"clips", "dvr", "hls", "ingest", "live", "limits", "log", "moderation", "playback", "privacy", "recording"}
)

# Settings of these that need a restart all the same: routes and rooms are there or are not.
RESTART_SETTINGS = frozenset({("moderation", "enabled")})


def told(options: Options, *sections: Section, **known: object) -> Options:
    """Options with what the configuration says: a field that bears the name of a key is that key's value.

    Args:
        options: With their defaults; what they contain is told likewise.
        sections: Where the keys are; no two of them have one of the same name.
        known: Fields whose values are not in the configuration as they are.
    """
    changes = dict(known)
    for each in fields(options):
        value = getattr(options, each.name)
        if each.name in known:
            continue
        if is_dataclass(value) and not isinstance(value, type):
            changes[each.name] = told(value, *sections)
        for section in sections:
            if each.name in type(section).model_fields:
                changes[each.name] = getattr(section, each.name)
    return replace(options, **changes)


def ingest_options(config: Config) -> IngestOptions:
    """Limits of an RTMP connection."""
    return told(IngestOptions(), config.limits)


def connection_options(config: Config) -> ConnectionOptions:
    """Limits of RTMP itself."""
    # A command has no more text than bytes.
    amf_limits = told(AmfLimits(), config.limits, text_bytes=config.limits.command_bytes_max)
    return told(ConnectionOptions(), config.limits, amf_limits=amf_limits)


def listener_limits(config: Config, connections_max: int) -> ListenerLimits:
    """How many RTMP connections there may be.

    Args:
        config: All of the configuration.
        connections_max: As many as there are descriptors for.
    """
    return told(ListenerLimits(), config.limits, connections_max=connections_max)


def peer_line_limits(config: Config) -> PeerLineLimits:
    """How much of the log is about peers."""
    return told(PeerLineLimits(), config.limits)


def loop_shares(config: Config) -> LoopShares:
    """The share of the loop's time that RTMP connections may take."""
    return told(LoopShares(), config.limits)


def handshake_limits(config: Config, handshakes_max: int) -> HandshakeLimits:
    """How many TLS handshakes there may be, and how long each may take.

    Args:
        config: All of the configuration.
        handshakes_max: As many as there are descriptors for.
    """
    return told(HandshakeLimits(), config.limits, tls_handshakes_max=handshakes_max)


def verifier_options(config: Config) -> VerifierOptions:
    """The bounds on the cost of wrong keys."""
    return told(VerifierOptions(), config.limits)


def stream_options(config: Config) -> StreamOptions:
    """How a live stream is packaged, and what one may be."""
    return told(
        StreamOptions(SegmenterOptions(), RenditionOptions()),
        config.limits,
        config.hls,
        demuxer=DemuxerKind(config.ingest.demuxer),
    )


def recorder_options(config: Config) -> RecorderOptions:
    """Which broadcasts are recorded, and where."""
    return RecorderOptions(
        mode=RecordingMode(config.recording.mode),
        directory=config.recordings_dir,
        writer=told(WriterOptions(), config.recording),
        retention=told(RetentionOptions(), config.recording, config.clips),
    )


def clip_options(config: Config) -> ClipOptions:
    """Who makes clips, and how long ones."""
    return told(ClipOptions(), config.clips, who=ClipMaker(config.clips.who))


def storage_options(config: Config) -> StorageOptions | None:
    """The bucket for recordings; None where they stay on the disk."""
    if not config.storage.url:
        return None
    place = Place.parse(config.storage.url)
    return told(
        StorageOptions(place), config.storage, place=place, keep_local_days=keep_local_days(config.storage.keep_local)
    )


def storyboard_options(config: Config) -> StoryboardOptions:
    """Which pictures of recordings are drawn: none where nothing of publishers is decoded."""
    options = told(StoryboardOptions(), config.recording)
    return options if config.http.posters else replace(options, storyboard_interval_s=0)


def door_options(config: Config, descriptors: Descriptors) -> DoorOptions:
    """Bounds of the viewers' door.

    Args:
        config: All of the configuration.
        descriptors: How many of each there are file descriptors for.
    """
    return told(
        DoorOptions(),
        config.limits,
        viewer_connections_max=descriptors.viewers,
        files_max=descriptors.files,
        proxies=TrustedProxies(config.http.trusted_proxies),
    )


def port_limits(config: Config) -> PortLimits:
    """The bounds on what peers of either port ask of aiohttp."""
    return told(PortLimits(), config.limits)


def handler_limits(config: Config) -> HandlerLimits:
    """How long a connection to the admin port may take; one without the token has less (``web.admin.places``)."""
    return told(HandlerLimits(), config.limits)


def media_timeouts(config: Config) -> MediaTimeouts:
    """How long viewers may take whose connection the viewers' door has handed over."""
    return told(MediaTimeouts(), config.limits)


def studio_options(config: Config) -> StudioOptions:
    """The facts that the broadcaster's page tells."""
    return StudioOptions(
        rtmp_url=config.rtmp_url,
        is_secure=config.public_url.startswith("https:"),
        is_decided_elsewhere=config.publish_hook.decides,
    )


def hook_options(config: Config) -> HookOptions | None:
    """The service that is asked over every publish; None where there is none."""
    hook = config.publish_hook
    if not hook.url:
        return None
    return HookOptions(
        url=hook.url,
        secret=hook.secret.get_secret_value(),
        timeout_s=hook.timeout_s,
        allows_on_failure=hook.on_failure == "allow",
        decides=hook.decides,
        format=HookFormat(hook.format),
    )


def gate_options(config: Config) -> GateOptions:
    """Who may watch."""
    playback = config.playback
    return told(
        GateOptions(),
        playback,
        policy=Policy(playback.policy),
        referrers=tuple(playback.referrers),
        blocked_countries=frozenset(playback.blocked_countries),
    )


def playback_hook_options(config: Config) -> PlaybackHookOptions:
    """The service that says who may watch."""
    playback = config.playback
    return PlaybackHookOptions(
        url=playback.hook_url,
        secret=playback.hook_secret.get_secret_value(),
        allows_on_failure=playback.on_failure == "allow",
    )


def changed_settings(old: Config, new: Config) -> Iterator[tuple[str, bool]]:
    """Settings that differ, each with whether it takes effect without a restart; their values are not told."""
    for section in type(old).model_fields:
        before, after = getattr(old, section), getattr(new, section)
        for key in type(before).model_fields:
            if getattr(before, key) != getattr(after, key):
                is_taken = section in RELOADABLE_SECTIONS and (section, key) not in RESTART_SETTINGS
                yield f"{section}.{key}", is_taken


def taken_config(old: Config, new: Config) -> Config:
    """The configuration that holds once another one was read: what needs a restart is as it was."""
    taken = {section: getattr(new, section) for section in RELOADABLE_SECTIONS}
    for section, key in RESTART_SETTINGS:
        taken[section] = taken[section].model_copy(update={key: getattr(getattr(old, section), key)})
    return old.model_copy(update=taken)
