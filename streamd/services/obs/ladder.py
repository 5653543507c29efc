"""OBS's multitrack video ("Enhanced Broadcasting"): the ladder of encoders that a broadcaster's OBS is to run.

OBS 30.2 and later posts its abilities and gets its encoders (``GetClientConfiguration``), or its user pastes the same
JSON (Settings → Stream → Config Override). The server transcodes nothing: each rung of the ladder arrives as a video
track of its own and becomes a variant.

OBS sends the stream key as ``authentication``. No answer holds a key: OBS keeps its own key where an ingest endpoint
names none, and it writes a pasted configuration to its log as it is.

Spec: there is none; ``frontend/utility/models/multitrack-video.hpp`` of OBS Studio 32 has the JSON that OBS posts and
reads, and ``MultitrackVideoOutput.cpp`` there uses it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from streamd.errors import StreamdError
from streamd.limits import OBS
from streamd.services.keys.records import SERVER_LIMITS, PublishLimits

# The version of the answers' schema. OBS does not look at it.
SCHEMA_VERSION = "2025-01-25"
# Tracks of a kind that ingest takes (``IntakeLimits.tracks_max``); OBS itself has 10 outputs.
RUNGS_MAX = 8
# The encoder that every OBS has.
SOFTWARE_ENCODER = "obs_x264"
# Share of a user's bit rate that a ladder may have. The rate is measured over 5 s (services/live/meter.py), in which a
# constant bit rate with a buffer of one second, such as OBS's, may send 6 s of media.
BITRATE_SHARE = Fraction(5, 6)
_UINT32_MAX = 2**32 - 1

_Count = Annotated[int, Field(ge=0, le=_UINT32_MAX)]
_Pixels = Annotated[int, Field(ge=2, le=16_384)]


class Rung(NamedTuple):
    """One video track of a ladder."""

    lines: int
    """The shorter side of the picture, pixels: 1080 of 1920×1080, and of 1080×1920."""
    bitrate_kbps: int

    @classmethod
    def parse(cls, text: str) -> Rung:
        """Read ``LINESp@KBPS``.

        Raises:
            ValueError: It is not that, or no encoder would make it.
        """
        match = re.fullmatch(r"(\d{2,4})p@(\d{2,6})", text)
        if match is None or int(match[1]) % 2 or int(match[1]) < 2:
            raise ValueError('write lines and kb/s of each video track, for example ["1080p@6000", "720p@3000"]')
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class ObsOptions:
    """The operator's configuration of it: ``[obs]``."""

    ladder: Sequence[Rung] = tuple(map(Rung.parse, OBS.ladder))
    """Video tracks; at most ``RUNGS_MAX``, none where this is not offered."""
    encoders: Sequence[str] = OBS.encoders
    """OBS's names of encoders; the first that an OBS has is used, or the last if it names none."""
    keyframe_interval_s: int = OBS.keyframe_interval_s
    audio_bitrate_kbps: int = OBS.audio_bitrate_kbps
    rtmp_urls: Sequence[str] = ()
    """Where broadcasters connect, ``rtmp://`` or ``rtmps://``, the best first; without the stream key."""
    limits: PublishLimits = SERVER_LIMITS
    """Limits of a user without limits of their own; None is unlimited."""


class NoRungFitsError(StreamdError):
    """No rung of the ladder may be sent; the message names the allowed rate and size."""


# -- what OBS posts -----------------------------------------------------------------------------


class _Posted(BaseModel):
    # Fields of another version of OBS are no fault. Their checks are made for the first OBS that asks.
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class FrameRate(_Posted):
    """Frames a second."""

    numerator: Annotated[int, Field(ge=1, le=_UINT32_MAX)]
    denominator: Annotated[int, Field(ge=1, le=_UINT32_MAX)]


class Canvas(_Posted):
    """The canvas that OBS composes: Settings → Video."""

    width: _Pixels
    """Output (Scaled) Resolution."""
    height: _Pixels
    framerate: FrameRate | None = None


class Client(_Posted):
    """The program that asks."""

    supported_encoders: frozenset[str] = frozenset()
    """Its encoders; OBS before 32 does not say."""


class Preferences(_Posted):
    """The wishes of its user: Settings → Stream → Multitrack Video."""

    maximum_aggregate_bitrate: _Count | None = None
    """Kilobits a second for all tracks; None is automatic."""
    maximum_video_tracks: _Count | None = None
    """None is automatic."""
    vod_track_audio: bool = False
    """A second audio track, for the recording, is switched on."""
    audio_channels: Annotated[int, Field(ge=1, le=8)] = 2
    canvases: tuple[Canvas, ...] = ()
    """The main canvas first. OBS before 32 has one alone, and names its fields in the preferences themselves."""
    width: _Pixels | None = None
    height: _Pixels | None = None
    framerate: FrameRate | None = None

    @property
    def canvas(self) -> Canvas | None:
        """The main canvas; None where OBS names none."""
        if self.canvases:
            return self.canvases[0]
        if self.width is None or self.height is None:
            return None
        return Canvas(width=self.width, height=self.height, framerate=self.framerate)


class PostData(_Posted):
    """The fields of OBS's request that matter here."""

    authentication: SecretStr = SecretStr("")
    """The stream key, and a query if its user added one."""
    client: Client = Client()
    preferences: Preferences = Preferences()


# -- what OBS reads -----------------------------------------------------------------------------


class _Answered(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class Meta(_Answered):
    """OBS wants all three and looks at the last alone, which it adds to the stream key's query if it is not empty."""

    service: str = "streamd"
    schema_version: str = SCHEMA_VERSION
    config_id: str = ""


class Status(_Answered):
    """Whether to go live: on ``error`` OBS shows the text and does not."""

    result: Literal["success", "error"] = "success"
    html_en_us: str | None = None


class IngestEndpoint(_Answered):
    """Where to publish; OBS takes the first of the protocol that it wants, unless its user typed a server."""

    protocol: Literal["RTMP", "RTMPS"]
    url_template: str


class VideoEncoder(_Answered):
    """One video track."""

    type: str
    width: int
    height: int
    framerate: FrameRate | None = None
    settings: dict[str, str | int]
    canvas_index: int = 0


class AudioEncoder(_Answered):
    """One audio track. OBS takes the encoder and the mixer's track from its own settings."""

    codec: str = "ffmpeg_aac"
    track_id: int = 1
    channels: int
    settings: dict[str, int]


class AudioEncoders(_Answered):
    """The audio tracks: one for viewers, and a second one for the recording."""

    live: list[AudioEncoder]
    vod: list[AudioEncoder] | None = None


class GoLiveConfig(_Answered):
    """The encoders that OBS is to run and the endpoints to send to."""

    meta: Meta = Meta()
    status: Status = Status()
    ingest_endpoints: list[IngestEndpoint] = []
    encoder_configurations: list[VideoEncoder] = []
    audio_configurations: AudioEncoders = AudioEncoders(live=[], vod=None)

    def as_json(self) -> dict[str, Any]:
        """The document, without fields that are not set."""
        return self.model_dump(mode="json", exclude_none=True)


def refusal(html: str) -> GoLiveConfig:
    """The answer that makes OBS show a text and stay off the air.

    Args:
        html: The text; OBS shows it as HTML.
    """
    return GoLiveConfig(status=Status(result="error", html_en_us=html))


def go_live_config(
    options: ObsOptions,
    preferences: Preferences,
    supported_encoders: frozenset[str],
    limits: PublishLimits = SERVER_LIMITS,
) -> GoLiveConfig:
    """Fit the ladder to the abilities of one OBS, the wishes of its user, and the user's limits.

    Args:
        options: The operator's; there is at least one rung.
        preferences: OBS's; the defaults for another asker than OBS.
        supported_encoders: OBS's names of its encoders; empty where it does not say.
        limits: The user's own.

    Raises:
        NoRungFitsError: The smallest rung is more than the user may send.
    """
    canvas = preferences.canvas or Canvas(width=1920, height=1080)
    encoder = next((name for name in options.encoders if name in supported_encoders), options.encoders[-1])
    audio = AudioEncoder(channels=preferences.audio_channels, settings={"bitrate": options.audio_bitrate_kbps})
    return GoLiveConfig(
        ingest_endpoints=[
            IngestEndpoint(
                protocol="RTMPS" if url.startswith("rtmps:") else "RTMP",
                # OBS cuts the query off; other programs put the key there.
                url_template=f"{url}/{{stream_key}}",
            )
            for url in options.rtmp_urls
        ],
        encoder_configurations=[
            _video_encoder(encoder, rung, canvas, options.keyframe_interval_s)
            for rung in _fit(options, preferences, canvas, limits)
        ],
        audio_configurations=AudioEncoders(live=[audio], vod=[audio] if preferences.vod_track_audio else None),
    )


def _fit(options: ObsOptions, preferences: Preferences, canvas: Canvas, limits: PublishLimits) -> list[Rung]:
    """The rungs that fit, the best first; at least one."""
    ladder = sorted(options.ladder, reverse=True)
    lines_max = min(canvas.width, canvas.height)
    # Enlarging a picture costs bits and shows no more.
    rungs = [rung for rung in ladder if rung.lines <= lines_max] or [Rung(lines_max // 2 * 2, ladder[-1].bitrate_kbps)]
    audio_kbps = options.audio_bitrate_kbps * (2 if preferences.vod_track_audio else 1)
    rungs = _allowed(rungs, canvas, audio_kbps, limits.or_else(options.limits))
    if preferences.maximum_aggregate_bitrate is not None:
        video_kbps = preferences.maximum_aggregate_bitrate - audio_kbps
        while len(rungs) > 1 and _kbps(rungs) > video_kbps:
            del rungs[0]
    # The ends of a ladder are worth most: the best picture, and the one for the slowest line.
    while preferences.maximum_video_tracks and len(rungs) > preferences.maximum_video_tracks:
        del rungs[1 if len(rungs) > 2 else -1]
    return rungs


def _allowed(rungs: list[Rung], canvas: Canvas, audio_kbps: int, limits: PublishLimits) -> list[Rung]:
    """The rungs that may be sent together with the sound: a stream beyond its limits ends."""
    if limits.picture_pixels_max is not None:
        rungs = [rung for rung in rungs if math.prod(_size(rung, canvas)) <= limits.picture_pixels_max]
        if not rungs:
            raise NoRungFitsError(f"pictures of {limits.picture_pixels_max} pixels")
    if limits.bitrate_kbps_max is not None:
        video_kbps = limits.bitrate_kbps_max * BITRATE_SHARE - audio_kbps
        while _kbps(rungs) > video_kbps:
            del rungs[0]
            if not rungs:
                raise NoRungFitsError(f"{limits.bitrate_kbps_max} kb/s with the sound")
    return rungs


def _kbps(rungs: Sequence[Rung]) -> int:
    return sum(rung.bitrate_kbps for rung in rungs)


def _size(rung: Rung, canvas: Canvas) -> tuple[int, int]:
    """Width and height of a rung's picture, pixels."""
    longer = Fraction(rung.lines * max(canvas.width, canvas.height), min(canvas.width, canvas.height))
    # 4:2:0 halves both sides.
    size = (2 * round(longer / 2), rung.lines)
    return size if canvas.width >= canvas.height else size[::-1]


def _video_encoder(encoder: str, rung: Rung, canvas: Canvas, keyframe_interval_s: int) -> VideoEncoder:
    width, height = _size(rung, canvas)
    settings: dict[str, str | int] = {
        "rate_control": "CBR",
        "bitrate": rung.bitrate_kbps,
        # Segments of all variants begin with keyframes of the same time.
        "keyint_sec": keyframe_interval_s,
        "profile": "high",
    }
    if encoder == SOFTWARE_ENCODER:
        # Several encoders share one processor; and a keyframe at a scene's cut comes at another time in each of them.
        settings |= {"preset": "veryfast", "x264opts": "scenecut=0"}
    return VideoEncoder(type=encoder, width=width, height=height, framerate=canvas.framerate, settings=settings)
