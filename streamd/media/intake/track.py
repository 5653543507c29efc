"""A track of a publisher: what names it, and what its sequence header says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from streamd.formats.codecs.codec import CODECS_WITHOUT_HEADER, CodecConfig
from streamd.formats.flv import audio, video
from streamd.formats.flv.tag import FlvTag, TagType

if TYPE_CHECKING:
    from streamd.formats.flv.frame import FrameHead

TrackKey: TypeAlias = tuple[TagType, int]
"""A track: its kind and its multitrack id."""


@dataclass(frozen=True, slots=True)
class TrackHeader:
    """A track as its sequence header describes it."""

    kind: TagType
    """``AUDIO`` or ``VIDEO``."""
    codec: str
    """FourCC."""
    record: bytes
    """Codec configuration: avcC, AudioSpecificConfig…; a frame, for a codec that has none."""
    config: CodecConfig
    """The same, read."""
    track_id: int = 0
    """Multitrack id."""

    @property
    def key(self) -> TrackKey:
        """The key that names the track."""
        return self.kind, self.track_id


def frame_heads(header: TrackHeader) -> dict[bytes, FrameHead]:
    """List how the tags of a track's frames can begin as the gate lets them through, and what that says of them."""
    list_heads = video.frame_heads if header.kind is TagType.VIDEO else audio.frame_heads
    return list_heads(header.codec, header.track_id)


def header_tag(header: TrackHeader, timestamp_ms: int) -> FlvTag:
    """Write a track's sequence header as a tag; a frame, for a codec that has none."""
    codec, track_id, record = header.codec, header.track_id, header.record
    if header.kind is TagType.VIDEO:
        payload = video.sequence_header(codec, track_id, record)
    elif codec in CODECS_WITHOUT_HEADER:
        payload = audio.coded_frame(codec, track_id, record)
    else:
        payload = audio.sequence_header(codec, track_id, record)
    return FlvTag(header.kind, timestamp_ms, payload)


def rank(key: TrackKey) -> tuple[bool, int]:
    """Order tracks as they are opened: video first, by id."""
    return key[0] is TagType.AUDIO, key[1]
