"""The CMAF header, written by libavformat's MP4 muxer: it knows every codec's sample entry.

ISO/IEC 14496-12 section 8.2 (``moov``), 14496-14 and -15 (``mp4a``, ``avc1``), and their kin for other codecs.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TypeAlias

import av
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.video.stream import VideoStream

from streamd.cmaf.header import write_header
from streamd.errors import DemuxError
from streamd.media.packet import VIDEO_TIMESCALE, Track

MediaStream: TypeAlias = VideoStream | AudioStream

_MUXER_OPTIONS = {
    # A moov without samples, at once, and nothing behind the last fragment.
    "movflags": "empty_moov+default_base_moof+skip_trailer",
    "use_editlist": "0",
    "video_track_timescale": str(VIDEO_TIMESCALE),
    "fflags": "+bitexact",
}


def write_cmaf_header(streams: Sequence[MediaStream], tracks: Sequence[Track]) -> bytes:
    """Write ``ftyp`` and ``moov`` for streams of a demuxer.

    Args:
        streams: The demuxer's streams.
        tracks: What they are to be called and counted in, parallel to ``streams``; ids count from 1.

    Raises:
        DemuxError: libavformat has no sample entry for a codec, or its configuration does not make one.
    """
    output = io.BytesIO()
    try:
        with av.open(output, "w", format="mp4", options=_MUXER_OPTIONS) as muxer:
            for stream, track in zip(streams, tracks, strict=True):
                copy = muxer.add_stream_from_template(stream, opaque=True)
                if isinstance(copy, AudioStream):
                    # The muxer's audio timescale is the sample rate; probing may have made it the decoder's.
                    copy.sample_rate = track.timescale
                else:
                    # RFC 6381: the codecs parameter begins with the sample entry's name; HEVC has two to choose from.
                    copy.codec_context.codec_tag = track.codec.partition(".")[0]
                    # Probing learns the size from a decoder, which a damaged first frame keeps silent.
                    copy.width, copy.height = track.width, track.height
            muxer.start_encoding()
    except (FFmpegError, ValueError) as exc:
        # PyAV raises ValueError for a codec that MP4 has no sample entry for.
        raise DemuxError(f"libavformat cannot write the CMAF header: {exc}") from exc
    return write_header(output.getvalue())
