"""The header of a video tag: VideoTagHeader and the extended one of Enhanced RTMP.

FLV 10.1 E.4.3.1 (VideoTagHeader), E.4.3.2 (AVCVIDEOPACKET); Enhanced RTMP v2 "Extended VideoTagHeader".
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from streamd.errors import FlvError
from streamd.formats.codecs.codec import H264, HEVC, fourcc_bytes
from streamd.formats.flv.enhanced import (
    TRACKS_READ_MAX,
    MultitrackType,
    TrackBody,
    one_track,
    read_fourcc,
    read_mod_ex,
    read_tracks,
)
from streamd.formats.flv.frame import COMPOSITION_TIME_BYTES, FrameHead, read_composition_time

_IS_EX_HEADER = 0x80
_FRAME_TYPE = 0x70
_CODEC_ID = 0x0F
_CODEC_ID_AVC = 7
# Not in FLV 10.1: how HEVC was carried before Enhanced RTMP, laid out like AVC.
_CODEC_ID_HEVC = 12
_LEGACY_CODECS = {
    2: "sorenson-h263",
    3: "screen-video",
    4: "vp6",
    5: "vp6-alpha",
    6: "screen-video-2",
    _CODEC_ID_AVC: H264,
    _CODEC_ID_HEVC: HEVC,
}
# Frame type, packet type and the 24 bits of composition time.
_AVC_HEADER_BYTES = 5
# "if ((videoFourCc == Avc1) || (videoFourCc == Hvc1) || (videoFourCc == Vvc1))": those that reorder frames.
_CODECS_WITH_COMPOSITION_TIME = frozenset({H264, HEVC, "vvc1"})


class FrameType(enum.IntEnum):
    """VideoFrameType (E.4.3.1)."""

    KEY = 1
    INTER = 2
    DISPOSABLE_INTER = 3
    GENERATED_KEY = 4
    COMMAND = 5


class VideoPacketType(enum.IntEnum):
    """VideoPacketType of Enhanced RTMP; AVCPacketType (E.4.3.2) has the same first three."""

    SEQUENCE_START = 0
    CODED_FRAMES = 1
    SEQUENCE_END = 2
    CODED_FRAMES_X = 3
    METADATA = 4
    MPEG2TS_SEQUENCE_START = 5
    MULTITRACK = 6
    MOD_EX = 7


_AVC_PACKET_TYPES = (VideoPacketType.SEQUENCE_START, VideoPacketType.CODED_FRAMES, VideoPacketType.SEQUENCE_END)


class VideoPacket(NamedTuple):
    """One track's share of a video tag."""

    frame_type: int
    """``FrameType``, or a value that the specification reserves."""
    packet_type: VideoPacketType
    """Kind of the body; never ``MULTITRACK`` or ``MOD_EX``, which are read through."""
    codec: str
    """FourCC, or a name of ours for a codec that has none."""
    track_id: int
    """Multitrack id; 0 for a tag without multitrack."""
    composition_time_ms: int
    """Presentation time minus decode time, milliseconds; may be negative."""
    offset_ns: int
    """Nanoseconds to add to the presentation time (ModEx TimestampOffsetNano)."""
    start: int
    """Offset in the payload of the body: configuration record, NAL units, OBUs…"""
    end: int
    """Offset behind the body."""


def parse_video(payload: bytes, tracks_read_max: int = TRACKS_READ_MAX) -> list[VideoPacket]:
    """Read a video tag's header.

    Args:
        payload: The tag's body, not empty.
        tracks_read_max: Tracks of a multitrack message that are read; the rest is ignored.

    Returns:
        One packet, or one for each track of a multitrack message. A command frame has none.

    Raises:
        FlvError: The tag ends inside its header, a track is longer than the tag, or a type is reserved.
    """
    head = payload[0]
    frame_type = (head & _FRAME_TYPE) >> 4
    if head & _IS_EX_HEADER:
        return _parse_extended(payload, frame_type, tracks_read_max)
    # E.4.3.1: "If FrameType = 5, instead of a video payload, the Video Data Body contains a UI8".
    if frame_type == FrameType.COMMAND:
        return []
    codec_id = head & _CODEC_ID
    codec = _LEGACY_CODECS.get(codec_id) or f"flv-video-{codec_id}"
    end = len(payload)
    if codec_id not in (_CODEC_ID_AVC, _CODEC_ID_HEVC):
        return [VideoPacket(frame_type, VideoPacketType.CODED_FRAMES, codec, 0, 0, 0, 1, end)]
    if end < _AVC_HEADER_BYTES:
        raise FlvError(f"an AVC tag of {end} bytes, its header alone has {_AVC_HEADER_BYTES}")
    if payload[1] >= len(_AVC_PACKET_TYPES):
        raise FlvError(f"AVCPacketType {payload[1]}")
    packet_type = _AVC_PACKET_TYPES[payload[1]]
    composition_time_ms = read_composition_time(payload, 2)
    return [
        VideoPacket(frame_type, packet_type, codec, 0, composition_time_ms, 0, _AVC_HEADER_BYTES, end),
    ]


def _parse_extended(payload: bytes, frame_type: int, tracks_read_max: int) -> list[VideoPacket]:
    packet_type = payload[0] & 0x0F
    offset = 1
    offset_ns = 0
    if packet_type == VideoPacketType.MOD_EX:
        packet_type, offset, offset_ns = read_mod_ex(payload, offset, packet_type)
    # "if (videoPacketType != VideoPacketType.Metadata && videoFrameType == VideoFrameType.Command)": a UI8 and no body.
    if frame_type == FrameType.COMMAND and packet_type != VideoPacketType.METADATA:
        return []
    if packet_type == VideoPacketType.MULTITRACK:
        packet_type, tracks = read_tracks(payload, offset, tracks_read_max)
    else:
        codec, offset = read_fourcc(payload, offset)
        tracks = [TrackBody(codec, 0, offset, len(payload))]
    # "fetch VideoPacketType … videoPacketType != VideoPacketType.Multitrack" inside a multitrack message.
    if packet_type >= VideoPacketType.MULTITRACK:
        raise FlvError(f"VideoPacketType {packet_type}")
    return [_packet(payload, frame_type, VideoPacketType(packet_type), track, offset_ns) for track in tracks]


def _packet(
    payload: bytes, frame_type: int, packet_type: VideoPacketType, track: TrackBody, offset_ns: int
) -> VideoPacket:
    codec, track_id, start, end = track
    composition_time_ms = 0
    if packet_type == VideoPacketType.CODED_FRAMES and codec in _CODECS_WITH_COMPOSITION_TIME:
        if end - start < COMPOSITION_TIME_BYTES:
            raise FlvError("coded frames without their composition time")
        composition_time_ms = read_composition_time(payload, start)
        start += COMPOSITION_TIME_BYTES
    return VideoPacket(frame_type, packet_type, codec, track_id, composition_time_ms, offset_ns, start, end)


def single_track(payload: bytes, packet: VideoPacket) -> bytes:
    """Write one track's share as a tag of its own, without ModEx, in the one form that its frames have.

    Track 0 has no multitrack header. The other tracks have that of ``MultitrackType.ONE_TRACK``, as OBS sends them.

    Returns:
        ``payload`` itself where it is such a tag already.
    """
    packet_type = payload[0] & 0x0F
    if not payload[0] & _IS_EX_HEADER:
        # HEVC in its old form is for old players: libavformat does not read it.
        is_single = packet.codec != HEVC
    elif packet_type == VideoPacketType.MULTITRACK:
        is_single = packet.track_id > 0 and payload[1] >> 4 == MultitrackType.ONE_TRACK
    else:
        is_single = packet_type != VideoPacketType.MOD_EX
    if is_single:
        return payload
    body = payload[packet.start : packet.end]
    if packet.packet_type == VideoPacketType.CODED_FRAMES and packet.codec in _CODECS_WITH_COMPOSITION_TIME:
        body = packet.composition_time_ms.to_bytes(COMPOSITION_TIME_BYTES, "big", signed=True) + body
    return _extended(packet.frame_type, packet.packet_type, packet.codec, packet.track_id) + body


def frame_heads(codec: str, track_id: int) -> dict[bytes, FrameHead]:
    """List the possible heads of a track's frames after ``single_track``, each with its meaning.

    Args:
        codec: FourCC.
        track_id: Multitrack id.
    """
    heads: dict[bytes, FrameHead] = {}
    # Three bits, of which some values are reserved: to be passed on, as parse_video does.
    for frame_type in set(range(8)) - {FrameType.COMMAND}:
        is_keyframe = frame_type == FrameType.KEY
        if codec == H264 and not track_id:
            first = bytes((frame_type << 4 | _CODEC_ID_AVC, VideoPacketType.CODED_FRAMES))
            heads[first] = FrameHead(_AVC_HEADER_BYTES, len(first), is_keyframe, track_id, 0)
        for packet_type in (VideoPacketType.CODED_FRAMES, VideoPacketType.CODED_FRAMES_X):
            first = _extended(frame_type, packet_type, codec, track_id)
            if packet_type is VideoPacketType.CODED_FRAMES and codec in _CODECS_WITH_COMPOSITION_TIME:
                heads[first] = FrameHead(len(first) + COMPOSITION_TIME_BYTES, len(first), is_keyframe, track_id, 0)
            else:
                heads[first] = FrameHead(len(first), 0, is_keyframe, track_id, 0)
    return heads


def sequence_header(codec: str, track_id: int, record: bytes) -> bytes:
    """Write the payload of a sequence header tag with an extended header, as in ``single_track``.

    Args:
        codec: FourCC.
        track_id: Multitrack id.
        record: Codec configuration record.
    """
    return _extended(FrameType.KEY, VideoPacketType.SEQUENCE_START, codec, track_id) + record


def _extended(frame_type: int, packet_type: VideoPacketType, codec: str, track_id: int) -> bytes:
    """Write an extended header."""
    head = _IS_EX_HEADER | frame_type << 4
    if not track_id:
        return bytes((head | packet_type,)) + fourcc_bytes(codec)
    return bytes((head | VideoPacketType.MULTITRACK, one_track(packet_type))) + fourcc_bytes(codec) + bytes((track_id,))
