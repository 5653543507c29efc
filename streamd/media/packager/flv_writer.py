"""Writes a live stream as the FLV byte stream of HTTP-FLV viewers.

Adobe Flash Video File Format Specification 10.1, Annex E (E.2 to E.5); Enhanced RTMP v2 for codecs newer than it.

Timestamps are the low 32 bits of the publisher's: a viewer who joins begins in the middle of them, as players of live
FLV expect. H.264 and MP3 always have the older header, as few players know another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.formats.amf.amf0 import write_values
from streamd.formats.amf.values import EcmaArray
from streamd.formats.codecs.codec import AAC, CODECS_WITHOUT_HEADER, H264, MP3
from streamd.formats.codecs.random_access import can_start, unit_length_bytes
from streamd.formats.flv import audio, video
from streamd.formats.flv.tag import FlvTag, TagType, flv_header, previous_tag_size, serialise, tag_header
from streamd.formats.payload import first_bytes, views
from streamd.media.packager.start_points import StartPoints
from streamd.media.packet import Track, TrackKind

if TYPE_CHECKING:
    from collections.abc import Sequence

# E.4.3.1, VideoTagHeader: FrameType in the upper four bits, CodecID 7 is AVC; the upper bit is Enhanced RTMP's.
# A plain integer: every tag's type is compared with it.
_VIDEO = int(TagType.VIDEO)
_IS_EX_HEADER = 0x80
_FRAME_TYPE = 0x70
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


class FlvWriter:
    """Writes the tags of one set of tracks.

    Args:
        tracks: The tracks as they were opened; every tag that is written belongs to one of them.

    Attributes:
        head: Start of the byte stream: FLV header, ``onMetaData`` and the sequence headers.
        has_video: Only some tags can begin a stream.
    """

    def __init__(self, tracks: Sequence[Track]) -> None:
        kinds = {track.kind for track in tracks}
        self.has_video = TrackKind.VIDEO in kinds
        self._is_h264 = any(_fourcc(track) == H264 for track in tracks)
        self._is_mp3 = any(_fourcc(track) == MP3 for track in tracks)
        self._has_audio = TrackKind.AUDIO in kinds
        video_track = next((track for track in tracks if track.kind is TrackKind.VIDEO), None)
        self._codec = _fourcc(video_track) if video_track is not None else ""
        self._length_bytes = unit_length_bytes(self._codec, video_track.codec_config) if video_track is not None else 0
        self._starts = StartPoints()
        # A header holds for players from its place in the stream, whatever its time.
        self._headers = b"".join(serialise(FlvTag(*each)) for each in _header_tags(tracks))
        self.head = flv_header(has_video=self.has_video, has_audio=self._has_audio) + self._headers

    def head_after(self, previous: FlvWriter) -> bytes | None:
        """Return the bytes that viewers of ``previous`` get before the first tag of this one.

        Returns:
            New sequence headers; empty if they are the same; None if the stream has to end, as players make room only
            for the tracks that the FLV header names.
        """
        if (self.has_video, self._has_audio) != (previous.has_video, previous._has_audio):
            return None
        return b"" if self._headers == previous._headers else self._headers

    def is_video(self, tag: FlvTag) -> bool:
        """Tell whether it is a frame of the video track."""
        return tag.tag_type == _VIDEO

    def is_keyframe(self, tag: FlvTag) -> bool:
        """Tell whether it is a frame of the video track with which viewers begin."""
        if tag.tag_type != _VIDEO:
            return False
        # The gate has looked.
        head = tag.head
        if head is None:
            return first_bytes(tag.payload)[0] & _FRAME_TYPE == _KEYFRAME
        if not head.is_keyframe:
            return False
        is_sync = can_start(self._codec, tag.payload, head.body_at, self._length_bytes)
        return self._starts.is_start(is_sync=is_sync, time_ms=tag.timestamp_ms)

    def last_keyframe(self, tags: Sequence[FlvTag]) -> int:
        """The index of the last video frame with which viewers begin; -1 if there is none."""
        last = -1
        for index in range(len(tags)):
            if self.is_keyframe(tags[index]):
                last = index
        return last

    def payload_bytes(self, tags: Sequence[FlvTag]) -> int:
        """Total size of their payloads."""
        total = 0
        for tag in tags:
            total += len(tag.payload)
        return total

    def time_ms(self, tag: FlvTag) -> int:
        """Its decode time, milliseconds."""
        return tag.timestamp_ms

    def write(self, tags: Sequence[FlvTag]) -> bytes:
        """Write tags as they stand in the byte stream; their bodies are copied once, into it."""
        pieces: list[bytes | memoryview] = []
        for tag in tags:
            body = tag.payload
            if self._is_h264 and tag.tag_type == _VIDEO and first_bytes(tag.payload)[0] & _IS_EX_HEADER:
                body = _plain_avc(bytes(body))
            elif self._is_mp3 and tag.tag_type == TagType.AUDIO:
                body = _MP3_HEAD + bytes(body)[_EXTENDED_HEADER_BYTES:]
            size = len(body)
            pieces += (tag_header(tag.tag_type, tag.timestamp_ms, size), *views(body), previous_tag_size(size))
        return b"".join(pieces)


def _header_tags(tracks: Sequence[Track]) -> list[tuple[TagType, int, bytes]]:
    headers = [(TagType.SCRIPT, 0, write_values("onMetaData", _metadata(tracks)))]
    for track in tracks:
        if track.kind is TrackKind.AUDIO:
            if _fourcc(track) not in CODECS_WITHOUT_HEADER:
                headers.append((TagType.AUDIO, 0, audio.sequence_header(_fourcc(track), 0, track.codec_config)))
        elif _fourcc(track) == H264:
            headers.append((TagType.VIDEO, 0, _AVC_SEQUENCE_HEADER + track.codec_config))
        else:
            headers.append((TagType.VIDEO, 0, video.sequence_header(_fourcc(track), 0, track.codec_config)))
    return headers


def _metadata(tracks: Sequence[Track]) -> EcmaArray:
    """Describe the tracks as they are, without the publisher's claims.

    Spec: FLV 10.1 E.5; Enhanced RTMP v2 "Enhancing onMetaData": a codec without a number is named by its FourCC's.
    """
    kinds = {track.kind for track in tracks}
    values = EcmaArray(hasVideo=TrackKind.VIDEO in kinds, hasAudio=TrackKind.AUDIO in kinds)
    for track in tracks:
        fourcc = _fourcc(track)
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


def _fourcc(track: Track) -> str:
    """RFC 6381: the codecs parameter begins with the sample entry's name, which is the FourCC but for MP3's."""
    return MP3 if track.codec in _MP3_CODECS else track.codec.partition(".")[0]


def _plain_avc(payload: bytes) -> bytes:
    """Write a frame with an extended header as AVCVIDEOPACKET (E.4.3.2)."""
    packet = video.parse_video(payload)[0]
    head = bytes((packet.frame_type << 4 | _CODEC_ID_AVC, video.VideoPacketType.CODED_FRAMES))
    composition_time = packet.composition_time_ms.to_bytes(_COMPOSITION_TIME_BYTES, "big", signed=True)
    return head + composition_time + payload[packet.start : packet.end]
