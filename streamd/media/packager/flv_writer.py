"""Writes a live stream as FLV tags: as the byte stream of HTTP-FLV viewers, or as the messages of RTMP players.

Adobe Flash Video File Format Specification 10.1, Annex E (E.2 to E.5); RTMP 1.0 (2012) section 7.1.

Timestamps are the low 32 bits of the publisher's: a viewer who joins begins in the middle of them, as players of live
FLV expect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.formats.amf.amf0 import write_values
from streamd.formats.codecs.random_access import can_start, unit_length_bytes
from streamd.formats.flv.tag import FlvTag, TagType, flv_header, previous_tag_size, tag_header
from streamd.formats.payload import first_bytes, views
from streamd.media.packager.plain_tags import PlainTags, fourcc_of
from streamd.media.packager.start_points import StartPoints
from streamd.media.packet import Track, TrackKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.formats.payload import Payload
    from streamd.formats.rtmp.media_writer import MediaWriter

# A plain integer: every tag's type is compared with it.
_VIDEO = int(TagType.VIDEO)
# E.4.3.1, VideoTagHeader: FrameType in the upper four bits; the upper bit is Enhanced RTMP's.
_FRAME_TYPE = 0x70
_KEYFRAME = 0x10


class FlvWriter:
    """Writes the tags of one set of tracks.

    Args:
        tracks: The tracks as they were opened; every tag that is written belongs to one of them.
        messages: Writes tags as messages of RTMP; None for a byte stream.

    Attributes:
        head: Start of the stream: the FLV header of a byte stream, ``onMetaData`` and the sequence headers.
        has_video: Only some tags can begin a stream.
    """

    def __init__(self, tracks: Sequence[Track], messages: MediaWriter | None = None) -> None:
        kinds = {track.kind for track in tracks}
        self.has_video = TrackKind.VIDEO in kinds
        self._plain = plain = PlainTags(tracks)
        self._messages = messages
        self._has_audio = TrackKind.AUDIO in kinds
        video_track = next((track for track in tracks if track.kind is TrackKind.VIDEO), None)
        self._codec = fourcc_of(video_track) if video_track is not None else ""
        self._length_bytes = unit_length_bytes(self._codec, video_track.codec_config) if video_track is not None else 0
        self._starts = StartPoints()
        # A header holds for players from its place in the stream, whatever its time.
        metadata = write_values("onMetaData", plain.metadata)
        headers = ((TagType.SCRIPT, metadata), *plain.headers)
        self._headers = b"".join([piece for kind, header in headers for piece in self._frame(kind, 0, header)])
        self.head = self._headers
        if messages is None:
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
            pieces += self._frame(tag.tag_type, tag.timestamp_ms, self._plain.body(tag))
        return b"".join(pieces)

    def _frame(self, tag_type: int, timestamp_ms: int, body: bytes | Payload) -> list[bytes | memoryview]:
        """A tag with what stands around its body, in pieces."""
        if self._messages is not None:
            return self._messages.write(tag_type, timestamp_ms, body)
        size = len(body)
        return [tag_header(tag_type, timestamp_ms, size), *views(body), previous_tag_size(size)]
