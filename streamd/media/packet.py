"""The demuxer's output: tracks and packets, with no type of libav in them.

These are the values that the media line carries from floor to floor. Any codec fits: particulars are in ``codec`` (RFC
6381) and in the CMAF header that libavformat wrote.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from streamd.formats import memory
from streamd.formats.codecs.picture_format import NO_ASPECT, NO_COLOURS, Colours, SampleAspect, shown_width
from streamd.formats.payload import Payload

# Milliseconds: the timebase of RTMP and FLV.
WIRE_TIMESCALE = 1000
# The customary clock of video in CMAF; 24, 25, 30, 50 and 60 frames a second and their 1000/1001 kin fit.
VIDEO_TIMESCALE = 90_000


class TrackKind(enum.Enum):
    """The kind of a track."""

    VIDEO = "video"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class Track:
    """One elementary stream of a publisher, as it stands in the CMAF header.

    Equal tracks can follow each other under one CMAF header; anything else needs a new one.
    """

    track_id: int
    """CMAF ``track_ID``, from 1; the id on every ``MediaPacket`` and ``traf``."""
    kind: TrackKind
    codec: str
    """RFC 6381 codecs parameter, for example ``avc1.640028`` or ``mp4a.40.2``."""
    timescale: int
    """Ticks a second of the track: 90000 for video, the sample rate for audio."""
    codec_config: bytes = b""
    """Decoder configuration as the publisher sent it: avcC, AudioSpecificConfig…; a frame, where a codec has none."""
    width: int = 0
    """Coded picture width in pixels; 0 for audio."""
    height: int = 0
    """Coded picture height in pixels; 0 for audio."""
    aspect: SampleAspect = NO_ASPECT
    """The shape of a sample, where the codec's headers say it."""
    colours: Colours = NO_COLOURS
    """The colours that the numbers of a picture mean, likewise."""
    frame_rate_hint: float = 0.0
    """Frames a second that the publisher's metadata claims; 0 where it claims none."""
    channels: int = 0
    """Audio channels; 0 for video."""
    frame_ticks: int = 0
    """Samples in one audio frame (AAC-LC: 1024), by which audio is counted; 0 for video, and for audio whose frames
    differ in length (Opus), which goes by its timestamps."""

    @property
    def shown_width(self) -> int:
        """How wide the picture is shown, in pixels that are square; its height is ``height``. 0 for audio."""
        return shown_width(self.width, self.aspect)


@dataclass
class MediaPacket:
    """One coded frame in the publisher's own time. It is not changed.

    Timestamps are unwrapped milliseconds: they never wrap, and may be negative or step back if
    the publisher's do.
    """

    __slots__ = ("body_at", "dts_ms", "is_keyframe", "payload", "pts_ms", "track_id")

    track_id: int
    dts_ms: int
    """Decode time, milliseconds (``WIRE_TIMESCALE``)."""
    pts_ms: int
    """Presentation time, milliseconds; for H.264 with B-frames above ``dts_ms``."""
    is_keyframe: bool
    """A decoder can start here. Always true for audio."""
    payload: bytes | Payload
    """Ends with the frame in its CMAF sample form (H.264: length-prefixed NAL units; AAC: a raw access unit). It is the
    FLV tag's payload, so every holder of the frame holds the same bytes."""
    body_at: int
    """Offset of the frame in it."""


def new_packet(
    track_id: int, dts_ms: int, pts_ms: int, is_keyframe: bool, payload: bytes | Payload, body_at: int
) -> MediaPacket:
    """Make a packet; compiled, it takes a fifth of the time of a call of the class."""
    packet = MediaPacket.__new__(MediaPacket)
    packet.track_id = track_id
    packet.dts_ms = dts_ms
    packet.pts_ms = pts_ms
    packet.is_keyframe = is_keyframe
    packet.payload = payload
    packet.body_at = body_at
    return packet


@dataclass
class Sample:
    """One frame on the stream's timeline, in the timescale of its track.

    Decode times of a track never decrease from one sample to the next. It is not changed, but for its duration and for
    what its first bytes say.
    """

    __slots__ = ("body_at", "dts_ticks", "duration_ticks", "is_keyframe", "is_sync", "payload", "pts_ticks", "track_id")

    track_id: int
    dts_ticks: int
    pts_ticks: int
    is_keyframe: bool
    payload: bytes | Payload
    """As in ``MediaPacket``."""
    body_at: int
    duration_ticks: int
    """Its duration, known with the next sample of its track (``SampleTimer``); 0 before that."""
    is_sync: bool
    """A decoder can start here, and shows this frame and all that follow. A keyframe by its encoder's word alone, such
    as a recovery point, is none."""


def new_sample(
    track_id: int, dts_ticks: int, pts_ticks: int, is_keyframe: bool, payload: bytes | Payload, body_at: int
) -> Sample:
    """Make a sample whose duration is not known yet, likewise."""
    sample = Sample.__new__(Sample)
    sample.track_id = track_id
    sample.dts_ticks = dts_ticks
    sample.pts_ticks = pts_ticks
    sample.is_keyframe = is_keyframe
    sample.payload = payload
    sample.body_at = body_at
    sample.duration_ticks = 0
    sample.is_sync = is_keyframe
    memory.untrack(sample)
    return sample
