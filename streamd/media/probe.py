"""What libavformat makes of the tags with which a stream begins: the tracks that are in them, and their CMAF header.

Only tags that ``streamd.flv.intake`` let through may come here. What is wrong inside them ends in ``DemuxError``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import av
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.video.stream import VideoStream

from streamd.errors import DemuxError, TrackRefusedError
from streamd.flv.codec import read_picture_size
from streamd.flv.frame import head_sizes
from streamd.flv.intake import frame_heads
from streamd.flv.sequence_parameter_set import FRAME_MACROBLOCKS_MAX
from streamd.flv.tag import TagType, flv_header, serialise
from streamd.media.cmaf_header import MediaStream, write_cmaf_header
from streamd.media.packet import VIDEO_TIMESCALE, Track, TrackKind
from streamd.payload import first_bytes

if TYPE_CHECKING:
    from av.container import InputContainer

    from streamd.flv.intake import Open, TrackHeader
    from streamd.flv.tag import FlvTag

# libavformat's own least "probesize".
_PROBE_BYTES_MIN = 32
# Level 6.2 of H.264 and HEVC.
_PICTURE_PIXELS_MAX = FRAME_MACROBLOCKS_MAX * 256


class Probe:
    """libavformat with the tags of an opening. A context manager: what libavformat holds is freed at its end.

    No decoder is opened: what the configuration records and the frames' own headers do not say is not known.
    Making one blocks for a millisecond or more, most of it without the GIL: do it in a thread.

    Args:
        opening: What the gate collected.

    Raises:
        DemuxError: libavformat does not find the tracks in these tags.
        TrackRefusedError: Nobody knows the picture size of a track, and there are others.

    Attributes:
        tracks: The tracks, video first; ``track_id`` counts from 1.
    """

    def __init__(self, opening: Open) -> None:
        tags = (*opening.headers, *opening.tags)
        # The header's flags are left 0: they would make probing wait for streams.
        flv = flv_header(has_video=False, has_audio=False) + b"".join(map(serialise, tags))
        try:
            self._container = av.open(
                io.BytesIO(flv),
                "r",
                format="flv",
                buffer_size=len(flv),
                options=_options(len(flv), len(opening.tracks)),
            )
        except FFmpegError as exc:
            raise DemuxError(f"libavformat cannot open the stream: {exc.strerror}") from exc
        try:
            self._streams = _media_streams(self._container, opening.tracks)
            self.tracks = tuple(
                _track(track_id, header, stream, opening)
                for track_id, (header, stream) in enumerate(zip(opening.tracks, self._streams, strict=True), 1)
            )
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def write_cmaf_header(self, tracks: Sequence[Track]) -> bytes:
        """Write ``ftyp`` and ``moov`` for some of the tracks; they are numbered from 1 there, in this order.

        Blocks for some milliseconds.

        Raises:
            TrackRefusedError: libavformat has no sample entry for a codec, or its configuration does not make one.
            DemuxError: The same of the only track.
        """
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


def _options(probe_bytes: int, tracks: int) -> dict[str, str]:
    return {
        "probesize": str(max(probe_bytes, _PROBE_BYTES_MIN)),
        # "nofillin": no timestamp inferred. "noparse": what the decoder finds counts, not what a parser guesses.
        "fflags": "+nofillin+noparse",
        "correct_ts_overflow": "0",
        # PreviousTagSize is ours and right; on a difference libavformat would search for the next tag.
        "flv_ignore_prevtag": "1",
        "max_streams": str(tracks),
        # A publisher's frames are decoded where that can do no harm (``streamd.media.picture``), and not here.
        "codec_whitelist": "none",
        "max_pixels": str(_PICTURE_PIXELS_MAX),
    }


def _media_streams(container: InputContainer, headers: Sequence[TrackHeader]) -> list[MediaStream]:
    """Return the stream of each track, in their order."""
    found = list(container.streams)
    wanted = [(VideoStream if header.kind is TagType.VIDEO else AudioStream, header.track_id) for header in headers]
    streams = [stream for stream in found if isinstance(stream, VideoStream | AudioStream)]
    # libavformat takes the multitrack id for the stream's.
    if [(type(stream), stream.id) for stream in found] != wanted:
        raise DemuxError(f"libavformat found {[stream.type for stream in found]} for {len(wanted)} tracks")
    return streams


def _track(track_id: int, header: TrackHeader, stream: MediaStream, opening: Open) -> Track:
    config = header.config
    if isinstance(stream, VideoStream):
        width, height = config.width, config.height
        if not width:
            width, height = _picture_size(header, opening.tags)
        if not width:
            raise TrackRefusedError(track_id - 1, f"no picture size in the configuration of {header.codec}")
        return Track(
            track_id=track_id,
            kind=TrackKind.VIDEO,
            codec=config.codec_string,
            timescale=VIDEO_TIMESCALE,
            codec_config=header.record,
            width=width,
            height=height,
            frame_rate_hint=opening.frame_rate_hint,
        )
    return Track(
        track_id=track_id,
        kind=TrackKind.AUDIO,
        codec=config.codec_string,
        timescale=config.sample_rate,
        codec_config=header.record,
        channels=config.channels,
        frame_ticks=config.frame_ticks,
    )


def _picture_size(header: TrackHeader, tags: Sequence[FlvTag]) -> tuple[int, int]:
    """Read a track's picture size in its first keyframe; zeros where it is not said there."""
    heads = frame_heads(header)
    sizes = head_sizes(heads)
    for tag in tags:
        first = first_bytes(tag.payload)
        head = next((found for size in sizes if (found := heads.get(first[:size])) is not None), None)
        if head is not None and head.is_keyframe:
            size = read_picture_size(header.codec, bytes(tag.payload)[head.body_at :])
            return (size.width, size.height) if size is not None else (0, 0)
    return 0, 0
