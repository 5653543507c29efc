"""The header of an audio tag: AudioTagHeader and the extended one of Enhanced RTMP.

FLV 10.1 E.4.2.1 (AudioTagHeader), E.4.2.2 (AACAUDIODATA); Enhanced RTMP v2 "Extended AudioTagHeader".
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from streamd.errors import FlvError
from streamd.formats.codecs.codec import AAC, MP3, fourcc_bytes
from streamd.formats.flv.enhanced import (
    TRACKS_READ_MAX,
    MultitrackType,
    TrackBody,
    one_track,
    read_fourcc,
    read_mod_ex,
    read_tracks,
)
from streamd.formats.flv.frame import FrameHead

_SOUND_FORMAT_MP3 = 2
_SOUND_FORMAT_EX_HEADER = 9
_SOUND_FORMAT_AAC = 10
_LEGACY_CODECS = {
    0: "pcm",
    1: "adpcm",
    _SOUND_FORMAT_MP3: MP3,
    3: "pcm-le",
    4: "nellymoser-16k",
    5: "nellymoser-8k",
    6: "nellymoser",
    7: "g711-a",
    8: "g711-mu",
    _SOUND_FORMAT_AAC: AAC,
    11: "speex",
    14: "mp3-8k",
}
_AAC_HEADER_BYTES = 2
# E.4.2.1: "If the SoundFormat indicates AAC, the SoundType should be 1 (stereo) and the SoundRate should be 3
# (44 kHz)"; SoundSize 1, "This parameter only pertains to uncompressed formats".
_AAC_HEAD = 0xAF


class AudioPacketType(enum.IntEnum):
    """AudioPacketType of Enhanced RTMP; AACPacketType (E.4.2.1) has the same first two."""

    SEQUENCE_START = 0
    CODED_FRAMES = 1
    SEQUENCE_END = 2
    MULTICHANNEL_CONFIG = 4
    MULTITRACK = 5
    MOD_EX = 7


_AAC_PACKET_TYPES = (AudioPacketType.SEQUENCE_START, AudioPacketType.CODED_FRAMES)
_BODY_TYPES = frozenset(AudioPacketType) - {AudioPacketType.MULTITRACK, AudioPacketType.MOD_EX}


class AudioPacket(NamedTuple):
    """One track's share of an audio tag."""

    packet_type: AudioPacketType
    """Kind of the body; never ``MULTITRACK`` or ``MOD_EX``, which are read through."""
    codec: str
    """FourCC, or a name of ours for a codec that has none."""
    track_id: int
    """Multitrack id; 0 for a tag without multitrack."""
    offset_ns: int
    """Nanoseconds to add to the presentation time (ModEx TimestampOffsetNano)."""
    start: int
    """Offset in the payload of the body: AudioSpecificConfig, an access unit…"""
    end: int
    """Offset behind the body."""


def parse_audio(payload: bytes, tracks_read_max: int = TRACKS_READ_MAX) -> list[AudioPacket]:
    """Read an audio tag's header.

    SoundRate, SoundSize and SoundType are ignored: the codec's own configuration is right, and for AAC they are
    constants (E.4.2.1).

    Args:
        payload: The tag's body, not empty.
        tracks_read_max: Tracks of a multitrack message that are read; the rest is ignored.

    Returns:
        One packet, or one for each track of a multitrack message.

    Raises:
        FlvError: The tag ends inside its header, a track is longer than the tag, or a type is reserved.
    """
    sound_format = payload[0] >> 4
    if sound_format == _SOUND_FORMAT_EX_HEADER:
        return _parse_extended(payload, tracks_read_max)
    codec = _LEGACY_CODECS.get(sound_format) or f"flv-audio-{sound_format}"
    end = len(payload)
    if sound_format != _SOUND_FORMAT_AAC:
        return [AudioPacket(AudioPacketType.CODED_FRAMES, codec, 0, 0, 1, end)]
    if end < _AAC_HEADER_BYTES:
        raise FlvError("an AAC tag of 1 byte, its header alone has 2")
    if payload[1] >= len(_AAC_PACKET_TYPES):
        raise FlvError(f"AACPacketType {payload[1]}")
    return [AudioPacket(_AAC_PACKET_TYPES[payload[1]], codec, 0, 0, _AAC_HEADER_BYTES, end)]


def _parse_extended(payload: bytes, tracks_read_max: int) -> list[AudioPacket]:
    packet_type = payload[0] & 0x0F
    offset = 1
    offset_ns = 0
    if packet_type == AudioPacketType.MOD_EX:
        packet_type, offset, offset_ns = read_mod_ex(payload, offset, packet_type)
    if packet_type == AudioPacketType.MULTITRACK:
        packet_type, tracks = read_tracks(payload, offset, tracks_read_max)
    else:
        codec, offset = read_fourcc(payload, offset)
        tracks = [TrackBody(codec, 0, offset, len(payload))]
    if packet_type not in _BODY_TYPES:
        raise FlvError(f"AudioPacketType {packet_type}")
    body_type = AudioPacketType(packet_type)
    return [AudioPacket(body_type, track.codec, track.track_id, offset_ns, track.start, track.end) for track in tracks]


def single_track(payload: bytes, packet: AudioPacket) -> bytes:
    """Write one track's share as a tag of its own, without ModEx, in the one form that its frames have.

    Track 0 has no multitrack header, and AAC there the older header with its constants; MP3 always has the extended
    one: libavformat takes a change of SoundSize or of header for another stream. The other tracks have the header of
    ``MultitrackType.ONE_TRACK``, as OBS sends them.

    Returns:
        ``payload`` itself where it is such a tag already.
    """
    packet_type = payload[0] & 0x0F
    if payload[0] >> 4 != _SOUND_FORMAT_EX_HEADER:
        is_single = payload[0] == _AAC_HEAD or packet.codec not in (AAC, MP3)
    elif packet_type == AudioPacketType.MULTITRACK:
        is_single = packet.track_id > 0 and payload[1] >> 4 == MultitrackType.ONE_TRACK
    else:
        is_single = packet_type != AudioPacketType.MOD_EX and packet.codec != AAC
    if is_single:
        return payload
    return _header(packet.packet_type, packet.codec, packet.track_id) + payload[packet.start : packet.end]


def frame_heads(codec: str, track_id: int) -> dict[bytes, FrameHead]:
    """List the possible heads of a track's frames after ``single_track``, each with its meaning.

    Args:
        codec: FourCC.
        track_id: Multitrack id.
    """
    first = _header(AudioPacketType.CODED_FRAMES, codec, track_id)
    return {first: FrameHead(len(first), composition_time_at=0, is_keyframe=True, track_id=track_id, track_number=0)}


def sequence_header(codec: str, track_id: int, record: bytes) -> bytes:
    """Write the payload of a sequence header tag, as in ``single_track``.

    Args:
        codec: FourCC.
        track_id: Multitrack id.
        record: Codec configuration record.
    """
    return _header(AudioPacketType.SEQUENCE_START, codec, track_id) + record


def coded_frame(codec: str, track_id: int, frame: bytes) -> bytes:
    """Write the payload of a frame's tag, as in ``single_track``.

    Args:
        codec: FourCC.
        track_id: Multitrack id.
        frame: An access unit.
    """
    return _header(AudioPacketType.CODED_FRAMES, codec, track_id) + frame


def _header(packet_type: AudioPacketType, codec: str, track_id: int) -> bytes:
    if track_id:
        head = _SOUND_FORMAT_EX_HEADER << 4 | AudioPacketType.MULTITRACK
        return bytes((head, one_track(packet_type))) + fourcc_bytes(codec) + bytes((track_id,))
    if codec == AAC:
        return bytes((_AAC_HEAD, packet_type))
    return bytes((_SOUND_FORMAT_EX_HEADER << 4 | packet_type,)) + fourcc_bytes(codec)
