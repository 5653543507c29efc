"""The claims of a publisher's onMetaData about its tracks (FLV 10.1 E.5; Enhanced RTMP v2 "Enhancing onMetaData").

Claims, not facts: encoders promise tracks that never come. They shorten a wait, and never start one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_VIDEO_PROPERTIES = frozenset({"videocodecid", "videodatarate", "videoTrackIdInfoMap"})
_AUDIO_PROPERTIES = frozenset({"audiocodecid", "audiodatarate", "audiosamplerate", "audioTrackIdInfoMap"})
# Above any camera, and low enough that arithmetic with it stays meaningful.
_FRAME_RATE_MAX = 1000.0
# "obs-output module (libobs version 30.2.3)" has 41 characters.
_ENCODER_LENGTH_MAX = 100


@dataclass(frozen=True, slots=True)
class StreamMetadata:
    """The part of onMetaData that decides how the stream is opened."""

    lacks_video: bool = False
    """The publisher describes its audio and no video."""
    lacks_audio: bool = False
    """The publisher describes its video and no audio."""
    frame_rate: float = 0.0
    """Frames a second; 0 where none is claimed."""
    encoder: str = ""
    """The name that the software of the publisher gives itself: printable, and short. OBS says it here alone: its
    ``flashVer`` is that of Adobe's Flash Media Live Encoder."""


def read_metadata(properties: Mapping[str, object]) -> StreamMetadata:
    """Read the object of an onMetaData message, which may hold anything; no content of it is an error.

    Args:
        properties: The decoded AMF object or ECMA array.
    """
    # Asked for one by one: there may be thousands of others.
    describes_video = any(name in properties for name in _VIDEO_PROPERTIES)
    describes_audio = any(name in properties for name in _AUDIO_PROPERTIES)
    return StreamMetadata(
        lacks_video=properties.get("hasVideo") is False or (describes_audio and not describes_video),
        lacks_audio=properties.get("hasAudio") is False or (describes_video and not describes_audio),
        frame_rate=_frame_rate(properties.get("framerate")),
        encoder=_encoder(properties.get("encoder")),
    )


def _frame_rate(value: object) -> float:
    # The comparison is false for NaN, and no infinity passes it.
    if isinstance(value, int | float) and 0 < value <= _FRAME_RATE_MAX:
        return float(value)
    return 0.0


def _encoder(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(letter for letter in value[:_ENCODER_LENGTH_MAX] if letter.isprintable()).strip()
