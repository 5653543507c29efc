"""The content of a tag: the share of each track in it, read from its header in full."""

from __future__ import annotations

import enum
from typing import NamedTuple

from streamd.formats.flv import audio, video
from streamd.formats.flv.audio import AudioPacket, parse_audio
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.formats.flv.video import FrameType, VideoPacket, parse_video
from streamd.media.intake.track import TrackKey


class ShareKind(enum.Enum):
    """The share of a track in a tag."""

    FRAME = enum.auto()
    HEADER = enum.auto()
    """A sequence header."""
    TRANSPORT_HEADER = enum.auto()
    """MPEG2TSSequenceStart: AV1's descriptor for a transport stream, not a configuration record."""
    SEQUENCE_END = enum.auto()
    METADATA = enum.auto()
    """Colour or channel information in band."""


# By VideoPacketType.
_VIDEO_KINDS = (
    ShareKind.HEADER,
    ShareKind.FRAME,
    ShareKind.SEQUENCE_END,
    ShareKind.FRAME,
    ShareKind.METADATA,
    ShareKind.TRANSPORT_HEADER,
)
# By AudioPacketType, of which one value is reserved.
_AUDIO_KINDS = (
    ShareKind.HEADER,
    ShareKind.FRAME,
    ShareKind.SEQUENCE_END,
    ShareKind.METADATA,
    ShareKind.METADATA,
)


class Share(NamedTuple):
    """One track's share of a tag."""

    kind: ShareKind
    key: TrackKey
    """The track."""
    codec: str
    """FourCC, or a name of ours for a codec that has none."""
    body_bytes: int
    """Length of the frame, or of the configuration record."""
    can_start: bool
    """A decoder can start with it: sound, or a keyframe."""
    composition_time_ms: int
    """Presentation time minus decode time."""
    tag: FlvTag
    """All of it."""
    payload: bytes
    """The tag's."""
    packet: VideoPacket | AudioPacket
    """Its header's word on this share."""

    def body(self) -> bytes:
        """Copy the frame, or the configuration record."""
        return self.payload[self.packet.start : self.packet.end]

    def canonical(self) -> FlvTag:
        """Write the share as a tag of its own, in the one form that libavformat may see.

        Returns:
            The tag itself where it is such a tag already.
        """
        packet = self.packet
        if isinstance(packet, VideoPacket):
            payload = video.single_track(self.payload, packet)
        else:
            payload = audio.single_track(self.payload, packet)
        tag = self.tag
        return tag if payload is self.payload else FlvTag(tag.tag_type, tag.timestamp_ms, payload)


def read_shares(tag: FlvTag, tracks_read_max: int) -> list[Share]:
    """Read the header of an audio or video tag.

    Args:
        tag: Not empty.
        tracks_read_max: Tracks of a multitrack message that are read; those behind them are not looked at.

    Returns:
        One share, or one for each track of a multitrack message. A command frame has none.

    Raises:
        FlvError: The tag ends inside its header, a track is longer than the tag, or a type is reserved.
    """
    payload = bytes(tag.payload)
    if tag.tag_type == TagType.VIDEO:
        return [
            Share(
                _VIDEO_KINDS[packet.packet_type],
                (TagType.VIDEO, packet.track_id),
                packet.codec,
                packet.end - packet.start,
                packet.frame_type == FrameType.KEY,
                packet.composition_time_ms,
                tag,
                payload,
                packet,
            )
            for packet in parse_video(payload, tracks_read_max)
        ]
    return [
        Share(
            _AUDIO_KINDS[packet.packet_type],
            (TagType.AUDIO, packet.track_id),
            packet.codec,
            packet.end - packet.start,
            True,
            0,
            tag,
            payload,
            packet,
        )
        for packet in parse_audio(payload, tracks_read_max)
    ]
