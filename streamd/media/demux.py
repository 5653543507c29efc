"""The demuxer: FLV tags in, packets out, through libavformat, in lockstep with the caller.

A starved reader is at its end for libavformat, and stays there. So every batch of tags is followed by a *marker*, a
script tag of our own that libavformat returns as a packet of a data stream: packets are read until the marker comes
back, and then the batch is out and nothing is buffered.

Only tags that ``streamd.flv.intake`` let through may come here. What is wrong inside them ends in ``DemuxError``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import av
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.video.stream import VideoStream

from streamd.errors import DemuxError, LocalStateError, TrackRefusedError
from streamd.flv.sequence_parameter_set import FRAME_MACROBLOCKS_MAX
from streamd.flv.tag import FlvTag, TagType, flv_header, previous_tag_size, tag_header
from streamd.media.cmaf_header import MediaStream, write_cmaf_header
from streamd.media.packet import VIDEO_TIMESCALE, MediaPacket, Track, TrackKind

if TYPE_CHECKING:
    from av.container import InputContainer

    from streamd.flv.intake import Open, TrackHeader

# A script tag: its name as an AMF0 string, and a null. libavformat returns script data that it does not know as a
# packet, if it is longer than 18 bytes (flvdec.c: "size > 13 + 1 + 4").
_MARKER_NAME = b"streamd.lockstep"
_MARKER = b"\x02" + len(_MARKER_NAME).to_bytes(2, "big") + _MARKER_NAME + b"\x05"
# Probing reads on until it has seen ``probesize`` bytes of packets. The headers of tags are no part of packets, so
# that markers have to make up for them; longer ones do it in fewer reads.
_PROBE_MARKER = _MARKER + bytes(1024)
# libavformat's own least "probesize".
_PROBE_BYTES_MIN = 32
# The marker before the first tag makes its stream, before any other.
_MARKER_STREAM = 0

# Frames larger than this are read straight into the packet.
_READ_BUFFER_BYTES = 4096
# Level 6.2 of H.264 and HEVC. Probing decodes a frame, which must not allocate more for one that lies in its headers.
_PICTURE_PIXELS_MAX = FRAME_MACROBLOCKS_MAX * 256
# Tags are numbered in place of their timestamps, far below the sign of a 32-bit timestamp.
_NUMBERS_END = 1 << 30


class FlvDemuxer:
    """One libavformat demuxer, for as long as the tracks stay as they were at open.

    libavformat is given the number of a tag in place of its timestamp, and a packet gets the time of the tag whose
    number it carries: unwrapped, beyond 32 bits if need be, and untouched by what libavformat would infer.

    Attributes:
        tracks: The tracks, video first; ``track_id`` counts from 1.
        opening_packets: The packets of the tags with which it was opened.
    """

    def __init__(self, source: _TagSource, container: InputContainer) -> None:
        self._source = source
        self._container = container
        self._packets = container.demux()
        self._is_closed = False
        self.tracks: tuple[Track, ...] = ()
        self.opening_packets: list[MediaPacket] = []
        self._streams: list[MediaStream] = []

    @classmethod
    def open(cls, opening: Open) -> FlvDemuxer:
        """Open a demuxer with the tags that the gate collected.

        Blocks for 1 to 20 ms, most of it without the GIL: call it in a thread.

        Raises:
            DemuxError: libavformat does not find the tracks in these tags.
            TrackRefusedError: Nobody knows the picture size of a track, and there are others.
        """
        source = _TagSource()
        tags = (*opening.headers, *opening.tags)
        payload_bytes = sum(len(tag.payload) for tag in tags)
        probe_bytes = max(len(_MARKER) + payload_bytes, _PROBE_BYTES_MIN)
        source.start()
        source.put(tags)
        source.probe_markers = probe_bytes // len(_PROBE_MARKER) + 2
        try:
            container = av.open(
                source,
                "r",
                format="flv",
                buffer_size=_READ_BUFFER_BYTES,
                options=_options(probe_bytes, len(opening.tracks)),
            )
        except FFmpegError as exc:
            raise DemuxError(f"libavformat cannot open the stream: {exc.strerror}") from exc
        source.probe_markers = 0
        demuxer = cls(source, container)
        try:
            streams = _media_streams(container, opening.tracks)
            demuxer.tracks = tuple(
                _track(track_id, header, stream, opening.frame_rate_hint)
                for track_id, (header, stream) in enumerate(zip(opening.tracks, streams, strict=True), 1)
            )
            demuxer._streams = streams
            # Some codecs have a frame for a header, which makes their stream and is not to be played.
            demuxer.opening_packets = demuxer._take(tags, skipped=len(opening.headers))
        except BaseException:
            demuxer.close()
            raise
        return demuxer

    def demux(self, tags: Sequence[FlvTag]) -> list[MediaPacket]:
        """Demux tags that the gate let through; every packet of theirs is in the answer, in order.

        Cheapest in batches: each costs a marker.

        Raises:
            DemuxError: libavformat failed or lost step; this demuxer is of no more use.
            LocalStateError: It is closed.
        """
        if self._is_closed:
            raise LocalStateError("the demuxer is closed")
        if not tags:
            return []
        self._source.put(tags)
        return self._take(tags)

    def write_cmaf_header(self, tracks: Sequence[Track]) -> bytes:
        """Write ``ftyp`` and ``moov`` for some of the tracks; they are numbered from 1 there, in this order.

        Blocks for some milliseconds, as ``open`` does.

        Raises:
            TrackRefusedError: libavformat has no sample entry for a codec, or its configuration does not make one.
            DemuxError: The same of the only track.
            LocalStateError: It is closed.
        """
        if self._is_closed:
            raise LocalStateError("the demuxer is closed")
        try:
            return write_cmaf_header([self._streams[track.track_id - 1] for track in tracks], tracks)
        except DemuxError:
            if len(tracks) == len(self.tracks) == 1:
                raise
            if len(tracks) == 1:
                raise TrackRefusedError(tracks[0].track_id - 1, f"no CMAF header for {tracks[0].codec}") from None
            for track in tracks:
                self.write_cmaf_header([track])
            raise

    def close(self) -> None:
        """Free what libavformat holds; again is no error."""
        if not self._is_closed:
            self._is_closed = True
            self._container.close()

    def _take(self, tags: Sequence[FlvTag], skipped: int = 0) -> list[MediaPacket]:
        """Read the packets of the batch that was put last, but for those of its first ``skipped`` tags."""
        first_number = self._source.first_number
        first_taken = first_number + skipped
        marker_number = first_number + len(tags)
        taken: list[MediaPacket] = []
        try:
            for packet in self._packets:
                number = packet.dts
                stream_index = packet.stream_index
                if stream_index == _MARKER_STREAM:
                    if number == marker_number:
                        return taken
                    # One that probing left behind.
                    continue
                presentation = packet.pts
                if number is None or presentation is None or not first_number <= number < marker_number:
                    break
                if number < first_taken:
                    continue
                dts_ms = tags[number - first_number].timestamp_ms
                taken.append(
                    MediaPacket(
                        # Streams are numbered from 0 with the markers' first, tracks from 1 without it.
                        track_id=stream_index,
                        dts_ms=dts_ms,
                        pts_ms=dts_ms + presentation - number,
                        is_keyframe=packet.is_keyframe,
                        payload=bytes(packet),
                    )
                )
        except FFmpegError as exc:
            raise DemuxError(f"libavformat cannot read the stream: {exc.strerror}") from exc
        raise DemuxError("libavformat lost step with the tags")


class _TagSource:
    """The file that libavformat reads: the tags put last, then a marker, then the end.

    A marker is a piece of its own: no read ends inside it. libavformat reads the name of a script tag and then seeks
    back to its start, which it can only within one filling of its buffer (flvdec.c: "avio_seek(s->pb, meta_pos,
    SEEK_SET)"); a marker cut in two would come out short, and the rest of it be taken for the next tag.

    Attributes:
        first_number: Number of the first tag that was put last.
        probe_markers: How many markers more to serve instead of the end.
    """

    def __init__(self) -> None:
        self.first_number = 0
        self.probe_markers = 0
        self._next_number = 0
        # FLV header, tags, marker: in the order in which they are read; of the first, what stands before the offset
        # has been.
        self._unread: deque[bytes] = deque()
        self._offset = 0

    def start(self) -> None:
        """Put what an FLV byte stream begins with, and the marker that makes the markers' stream."""
        # The header's flags are left 0: they would make probing wait for streams.
        self._unread = deque([flv_header(has_video=False, has_audio=False), _framed(TagType.SCRIPT, 0, _MARKER)])
        self._next_number = 1

    def put(self, tags: Sequence[FlvTag]) -> None:
        """Add tags and the marker behind them."""
        if self._next_number + len(tags) >= _NUMBERS_END:
            self._next_number = 0
        number = self.first_number = self._next_number
        pieces: list[bytes] = []
        for tag_type, _, payload in tags:
            size = len(payload)
            pieces += (tag_header(tag_type, number, size), payload, previous_tag_size(size))
            number += 1
        self._unread += (b"".join(pieces), _framed(TagType.SCRIPT, number, _MARKER))
        self._next_number = number + 1

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes of one piece; none is the end for libavformat."""
        if not self._unread:
            if not self.probe_markers:
                return b""
            self.probe_markers -= 1
            self._unread.append(_framed(TagType.SCRIPT, 0, _PROBE_MARKER))
        piece, start = self._unread[0], self._offset
        end = self._offset = start + size
        if end >= len(piece):
            del self._unread[0]
            self._offset = 0
        return piece[start:end]


def _framed(tag_type: int, number: int, payload: bytes) -> bytes:
    return tag_header(tag_type, number, len(payload)) + payload + previous_tag_size(len(payload))


def _options(probe_bytes: int, tracks: int) -> dict[str, str]:
    return {
        # Just the bytes that are there: probing must not reach the end of them.
        "probesize": str(probe_bytes),
        # "nofillin": packets as the container has them, no timestamp inferred. "noparse": libavcodec's H.264 parser
        # takes every I picture for a keyframe, and x264's at scene cuts are not; FLV's frame type knows.
        "fflags": "+nofillin+noparse",
        "correct_ts_overflow": "0",
        # PreviousTagSize is ours and right; on a difference libavformat would search for the next tag.
        "flv_ignore_prevtag": "1",
        # A tag that would make another stream fails instead: PyAV reads beyond its array of streams then.
        "max_streams": str(1 + tracks),
        "max_pixels": str(_PICTURE_PIXELS_MAX),
    }


def _media_streams(container: InputContainer, headers: Sequence[TrackHeader]) -> list[MediaStream]:
    """Return the stream of each track, in their order."""
    found = list(container.streams)[_MARKER_STREAM + 1 :]
    wanted = [(VideoStream if header.kind is TagType.VIDEO else AudioStream, header.track_id) for header in headers]
    streams = [stream for stream in found if isinstance(stream, VideoStream | AudioStream)]
    # libavformat takes the multitrack id for the stream's.
    if [(type(stream), stream.id) for stream in found] != wanted:
        raise DemuxError(f"libavformat found {[stream.type for stream in found]} for {len(wanted)} tracks")
    return streams


def _track(track_id: int, header: TrackHeader, stream: MediaStream, frame_rate_hint: float) -> Track:
    config = header.config
    if isinstance(stream, VideoStream):
        width, height = (config.width, config.height) if config.width else (stream.width, stream.height)
        if not width or not height:
            raise TrackRefusedError(track_id - 1, f"no picture size in the configuration of {header.codec}")
        return Track(
            track_id=track_id,
            kind=TrackKind.VIDEO,
            codec=config.codec_string,
            timescale=VIDEO_TIMESCALE,
            codec_config=header.record,
            width=width,
            height=height,
            frame_rate_hint=frame_rate_hint,
        )
    return Track(
        track_id=track_id,
        kind=TrackKind.AUDIO,
        codec=config.codec_string,
        timescale=config.sample_rate,
        codec_config=header.record,
        channels=config.channels or stream.channels,
        frame_ticks=config.frame_ticks,
    )
