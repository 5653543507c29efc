"""The answers of the gate to a tag: the frame itself, or an act of its owner in its place."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from streamd.formats.flv.tag import FlvTag

if TYPE_CHECKING:
    from streamd.media.intake.track import TrackHeader


class TagDropReason(enum.Enum):
    """Why a tag goes no further."""

    SCRIPT = "script"
    """Script data, or a tag type that carries no media; metadata comes in by ``Intake.metadata``."""
    EMPTY = "empty"
    """No payload: what Enhanced RTMP sends for silence."""
    MALFORMED = "malformed"
    """It ends inside its header, or uses a value that the specification reserves."""
    COMMAND_FRAME = "command_frame"
    METADATA = "metadata"
    """Colour or channel information in band."""
    SEQUENCE_END = "sequence_end"
    REPEATED_HEADER = "repeated_header"
    """A sequence header equal to the last one."""
    UNSUPPORTED_CODEC = "unsupported_codec"
    BAD_CODEC_CONFIG = "bad_codec_config"
    NO_HEADER = "no_header"
    """A frame of a track whose codec configuration has not come, or was for another codec."""
    EXTRA_TRACK = "extra_track"
    """More tracks of a kind than ``IntakeLimits.tracks_max``."""
    COMPOSITION_TIME = "composition_time"
    """Beyond ``COMPOSITION_TIME_MAX_MS``."""
    BEFORE_KEYFRAME = "before_keyframe"
    """A frame that nothing can decode or show before the keyframe with which the stream, or its track, begins."""
    HEADER_FLOOD = "header_flood"
    """A sequence header, or a frame that stands for another one, past what ``HeaderReader`` reads."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The tag was taken in; there is nothing to do."""


HOLD = Hold()


@dataclass(frozen=True, slots=True)
class Open:
    """Close the demuxer, if there is one, and open a new one with these tags."""

    tracks: tuple[TrackHeader, ...]
    """The tracks to open: video, then audio, each by its id."""
    headers: tuple[FlvTag, ...]
    """A sequence header for each track, in their order; a frame that is not to be played, for a codec that has none."""
    tags: tuple[FlvTag, ...]
    """Frames. The first of each video track is a keyframe."""
    frame_rate_hint: float
    """Frames a second that the publisher's metadata claims; 0 where it claims none."""


@dataclass(frozen=True, slots=True)
class Split:
    """Receive each of these tags in its place: the message carries several tracks, or silence goes before it."""

    tags: tuple[FlvTag, ...]
    """In order."""
    is_multitrack: bool = field(default=False, compare=False)
    """They are the tracks of one message, and not silence."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The tag goes no further; it is counted in ``Intake.drops``."""

    reason: TagDropReason
    detail: str = ""
    """The words for a log line: the codec, or the malformed part."""
    limit: str = field(default="", compare=False)
    """Name of the bound that was passed; empty where none was."""


Action: TypeAlias = FlvTag | Hold | Open | Split | Drop
"""A tag is the frame to give to the demuxer that is open, or being opened: most often the very one that came."""
