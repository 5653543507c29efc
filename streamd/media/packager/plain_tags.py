"""Says a publisher's frames in FLV's oldest words, which every receiver of FLV tags knows: players and other servers.

Adobe Flash Video File Format Specification 10.1, Annex E (E.4, E.5); Enhanced RTMP v2 for codecs newer than it.

H.264 and MP3 always have the older header, as few know another. All else goes out as it came in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.formats.amf.values import EcmaArray
from streamd.formats.codecs.codec import AAC, CODECS_WITHOUT_HEADER, H264, MP3
from streamd.formats.flv import audio, video
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.formats.payload import first_bytes
from streamd.media.packet import Track, TrackKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.formats.payload import Payload

# A plain integer: every tag's type is compared with it.
_VIDEO = int(TagType.VIDEO)
# E.4.3.1, VideoTagHeader: FrameType in the upper four bits, CodecID 7 is AVC; the upper bit is Enhanced RTMP's.
_IS_EX_HEADER = 0x80
_KEYFRAME = 0x10
_CODEC_ID_AVC = 7
_AVC_SEQUENCE_HEADER = bytes((_KEYFRAME | _CODEC_ID_AVC, video.VideoPacketType.SEQUENCE_START, 0, 0, 0))
# E.4.2.1, SoundFormat.
_SOUND_FORMATS = {AAC: 10, MP3: 2}
# E.4.2.1: MP3, SoundRate 44 kHz for want of 48, SoundSize 16 bits, SoundType stereo; players go by the frames.
_MP3_HEAD = b"\x2f"
_MP3_CODECS = frozenset({"mp4a.6B", "mp4a.69"})
# Of Enhanced RTMP: packet type and FourCC.
_EXTENDED_HEADER_BYTES = 5
_COMPOSITION_TIME_BYTES = 3


class PlainTags:
    """The tags of one set of tracks.

    Args:
        tracks: The tracks as they were opened; every frame belongs to one of them.

    Attributes:
        metadata: The values of ``onMetaData``: the tracks as they are, without the publisher's claims.
        headers: The type and the body of each sequence header.
    """

    def __init__(self, tracks: Sequence[Track]) -> None:
        self.metadata = _metadata(tracks)
        self.headers = _headers(tracks)
        self._is_h264 = any(fourcc_of(track) == H264 for track in tracks)
        self._is_mp3 = any(fourcc_of(track) == MP3 for track in tracks)

    def body(self, tag: FlvTag) -> bytes | Payload:
        """The body of a frame's tag; it is the publisher's own, but for H.264 and MP3 under a newer header."""
        body = tag.payload
        if tag.tag_type == _VIDEO:
            if self._is_h264 and first_bytes(body)[0] & _IS_EX_HEADER:
                return _plain_avc(bytes(body))
        elif self._is_mp3 and tag.tag_type == TagType.AUDIO:
            return _MP3_HEAD + bytes(body)[_EXTENDED_HEADER_BYTES:]
        return body


def fourcc_of(track: Track) -> str:
    """RFC 6381: the codecs parameter begins with the sample entry's name, which is the FourCC but for MP3's."""
    return MP3 if track.codec in _MP3_CODECS else track.codec.partition(".")[0]


def _headers(tracks: Sequence[Track]) -> list[tuple[TagType, bytes]]:
    headers: list[tuple[TagType, bytes]] = []
    for track in tracks:
        fourcc = fourcc_of(track)
        if track.kind is TrackKind.AUDIO:
            if fourcc not in CODECS_WITHOUT_HEADER:
                headers.append((TagType.AUDIO, audio.sequence_header(fourcc, 0, track.codec_config)))
        elif fourcc == H264:
            headers.append((TagType.VIDEO, _AVC_SEQUENCE_HEADER + track.codec_config))
        else:
            headers.append((TagType.VIDEO, video.sequence_header(fourcc, 0, track.codec_config)))
    return headers


def _metadata(tracks: Sequence[Track]) -> EcmaArray:
    """Describe the tracks as they are, without the publisher's claims.

    Spec: FLV 10.1 E.5; Enhanced RTMP v2 "Enhancing onMetaData": a codec without a number is named by its FourCC's.
    """
    kinds = {track.kind for track in tracks}
    values = EcmaArray(hasVideo=TrackKind.VIDEO in kinds, hasAudio=TrackKind.AUDIO in kinds)
    for track in tracks:
        fourcc = fourcc_of(track)
        number = int.from_bytes(fourcc.encode(), "big")
        if track.kind is TrackKind.VIDEO:
            # The coded size, as FFmpeg writes it: players of FLV find the shape of a sample in the codec's own headers.
            values["width"] = track.width
            values["height"] = track.height
            values["videocodecid"] = _CODEC_ID_AVC if fourcc == H264 else number
            if track.frame_rate_hint:
                values["framerate"] = track.frame_rate_hint
        else:
            values["audiocodecid"] = _SOUND_FORMATS.get(fourcc, number)
            values["audiosamplerate"] = track.timescale
            values["stereo"] = track.channels >= 2
    return values


def _plain_avc(payload: bytes) -> bytes:
    """Write a frame with an extended header as AVCVIDEOPACKET (E.4.3.2)."""
    packet = video.parse_video(payload)[0]
    head = bytes((packet.frame_type << 4 | _CODEC_ID_AVC, video.VideoPacketType.CODED_FRAMES))
    composition_time = packet.composition_time_ms.to_bytes(_COMPOSITION_TIME_BYTES, "big", signed=True)
    return head + composition_time + payload[packet.start : packet.end]
