"""FLV as libavformat is to read it here: the guesses that it leaves out, and the streams that must result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import av
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.video.stream import VideoStream

from streamd.errors import DemuxError
from streamd.formats.codecs.sequence_parameter_set import FRAME_MACROBLOCKS_MAX
from streamd.formats.flv.tag import TagType
from streamd.media.cmaf_header import MediaStream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

    from streamd.media.intake.track import TrackHeader

# libavformat's own least "probesize".
PROBE_BYTES_MIN = 32
# Level 6.2 of H.264 and HEVC.
_PICTURE_PIXELS_MAX = FRAME_MACROBLOCKS_MAX * 256


class ByteSource(Protocol):
    """The file that libavformat reads."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none is the end."""


def open_flv(source: ByteSource, *, buffer_bytes: int, probe_bytes: int, streams_max: int) -> InputContainer:
    """Open an FLV byte stream.

    Args:
        source: From its header on.
        buffer_bytes: Bytes read at once; larger frames are read whole.
        probe_bytes: Just the bytes that there are: probing must not reach the end of them.
        streams_max: A tag that would make another stream fails instead: PyAV reads beyond its array of streams then.

    Raises:
        DemuxError: libavformat cannot.
    """
    try:
        return av.open(
            source,
            "r",
            format="flv",
            buffer_size=buffer_bytes,
            options=_options(probe_bytes, streams_max),
        )
    except FFmpegError as exc:
        raise DemuxError(f"libavformat cannot open the stream: {exc.strerror}") from exc


def _options(probe_bytes: int, streams_max: int) -> dict[str, str]:
    return {
        "probesize": str(max(probe_bytes, PROBE_BYTES_MIN)),
        # "nofillin": packets as the container has them, no timestamp inferred. "noparse": libavcodec's H.264
        # parser takes every I picture for a keyframe, and x264's at scene cuts are not; FLV's frame type knows.
        "fflags": "+nofillin+noparse",
        "correct_ts_overflow": "0",
        # PreviousTagSize is ours and right; on a difference libavformat would search for the next tag.
        "flv_ignore_prevtag": "1",
        "max_streams": str(streams_max),
        "max_pixels": str(_PICTURE_PIXELS_MAX),
        # Frames are never decoded here: ``streamd.media.picture`` decodes them where that can do no harm.
        "codec_whitelist": "none",
    }


def streams_of_tracks(found: Sequence[Stream], headers: Sequence[TrackHeader]) -> list[MediaStream]:
    """Return the stream of each track, in their order.

    Raises:
        DemuxError: There are others, or in another order.
    """
    wanted = [(VideoStream if header.kind is TagType.VIDEO else AudioStream, header.track_id) for header in headers]
    streams = [stream for stream in found if isinstance(stream, VideoStream | AudioStream)]
    # libavformat takes the multitrack id for the stream's.
    if [(type(stream), stream.id) for stream in found] != wanted:
        raise DemuxError(f"libavformat found {[stream.type for stream in found]} for {len(wanted)} tracks")
    return streams
