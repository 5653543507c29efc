"""The CMAF header, written by libavformat's MP4 muxer: it knows every codec's sample entry.

No decoder has looked at the streams (``streamd.media.probe``). So this module sets the fields that a sample entry takes
from a decoder.

ISO/IEC 14496-12 section 8.2 (``moov``), 14496-14 and -15 (``mp4a``, ``avc1``), and their kin for other codecs.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

import av
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.video.stream import VideoStream

from streamd.errors import DemuxError
from streamd.formats.cmaf.header import write_header
from streamd.formats.codecs.flac import sample_bits
from streamd.media.packet import VIDEO_TIMESCALE, Track

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.codeccontext import VideoCodecContext

MediaStream: TypeAlias = VideoStream | AudioStream

# Their sample entries (dac3, dec3) are made from a frame: the moov has to wait for one. The frame's content does not
# matter: only the moov is kept.
_CODECS_BY_FRAME = frozenset({"ac3", "eac3"})
_MUXER_OPTIONS = {
    "use_editlist": "0",
    "video_track_timescale": str(VIDEO_TIMESCALE),
    "fflags": "+bitexact",
}
# A moov without samples, at once or with the first frame, and no index behind the last fragment.
_MOVFLAGS = "empty_moov+default_base_moof+skip_trailer"
_MOVFLAGS_DELAYED = f"{_MOVFLAGS}+delay_moov"

# Frames of these codecs have one length, and the sample entry says their bit rate; all but E-AC-3's decoder round it.
_BIT_RATE_STEPS = {"ac3": 1000, "mp3": 1000, "eac3": 1}
# vpcC is made of the pixel format: chroma subsampling 0 to 3, and the bits of a sample.
_VP9_CHROMA = ("420", "420", "422", "444")

# enum AVColorRange.
_LIMITED_RANGE = 1
_FULL_RANGE = 2

# 14496-12 section 12.2.3, AudioSampleEntry: samplesize, two more fields, the sample rate, and the size of the box.
_SAMPLE_SIZE_BEFORE_DFLA = 2 + 4 + 4 + 4

# The size of a box is written when its content is.
_UNFINISHED_MOOV = bytes(4) + b"moov"


def write_cmaf_header(streams: Sequence[MediaStream], tracks: Sequence[Track]) -> bytes:
    """Write ``ftyp`` and ``moov`` for streams of a demuxer.

    Args:
        streams: The demuxer's streams.
        tracks: Their codecs and timescales, parallel to ``streams``; track ids in the header count from 1, whatever
            those of ``tracks`` are.

    Raises:
        DemuxError: libavformat has no sample entry for a codec, or its configuration does not make one.
    """
    output = io.BytesIO()
    needs_frame = any(stream.codec_context.codec.canonical_name in _CODECS_BY_FRAME for stream in streams)
    options = {**_MUXER_OPTIONS, "movflags": _MOVFLAGS_DELAYED if needs_frame else _MOVFLAGS}
    try:
        with av.open(output, "w", format="mp4", options=options) as muxer:
            copies: list[MediaStream] = []
            for stream, track in zip(streams, tracks, strict=True):
                copy = muxer.add_stream_from_template(stream, opaque=True)
                if isinstance(copy, AudioStream):
                    # The muxer's audio timescale is the sample rate; probing may have made it the decoder's.
                    copy.sample_rate = track.timescale
                    if track.channels:
                        # Likewise; Chromium refuses Opus whose sample entry and dOps say different numbers.
                        copy.codec_context.layout = f"{track.channels}c"
                else:
                    # RFC 6381: the codecs parameter begins with the sample entry's name; HEVC has two to choose from.
                    copy.codec_context.codec_tag = track.codec.partition(".")[0]
                    # Probing learns the size from a decoder, which a damaged first frame keeps silent.
                    copy.width, copy.height = track.width, track.height
                _say_what_a_decoder_would(copy, track)
                copies.append(copy)
            muxer.start_encoding()
            if needs_frame:
                _mux_frames(muxer, copies, tracks)
    except (FFmpegError, ValueError) as exc:
        # PyAV raises ValueError for a codec that MP4 has no sample entry for.
        raise DemuxError(f"libavformat cannot write the CMAF header: {exc}") from exc
    movie = output.getvalue()
    if _UNFINISHED_MOOV in movie:
        # With delay_moov, libavformat stops silently in the middle of a box where it cannot read the frame.
        raise DemuxError("libavformat cannot write the CMAF header: it made no sample entry of the first frame")
    return write_header(_with_sample_sizes(movie, tracks), [track.shown_width for track in tracks])


def _say_what_a_decoder_would(copy: MediaStream, track: Track) -> None:
    """Set the fields that the sample entry takes from a decoder, by the codec configuration."""
    record, context = track.codec_config, copy.codec_context
    codec = context.codec.canonical_name
    if codec in _BIT_RATE_STEPS:
        step = _BIT_RATE_STEPS[codec]
        context.bit_rate = round(len(record) * 8 * track.timescale / track.frame_ticks / step) * step
    if isinstance(copy, VideoStream):
        _say_picture_format(copy.codec_context, track)
    if codec == "vp9" and isinstance(copy, VideoStream):
        bits = record[6] >> 4
        chroma = _VP9_CHROMA[record[6] >> 1 & 0x07]
        copy.codec_context.pix_fmt = f"yuv{chroma}p" if bits == 8 else f"yuv{chroma}p{bits}le"


def _say_picture_format(context: VideoCodecContext, track: Track) -> None:
    """Set the fields that ``colr`` and ``pasp`` (14496-12, 12.1.4 and 12.1.5) and vpcC are made of."""
    colours = track.colours
    context.color_primaries, context.color_trc = colours.primaries, colours.transfer
    context.colorspace = colours.matrix
    context.color_range = _FULL_RANGE if colours.is_full_range else _LIMITED_RANGE
    if track.aspect.width:
        context.sample_aspect_ratio = Fraction(track.aspect.width, track.aspect.height)


def _with_sample_sizes(movie: bytes, tracks: Sequence[Track]) -> bytes:
    """Write the bits of a sample into the sample entries of FLAC (Encapsulation of FLAC in ISO BMFF, 3.3.1)."""
    for track in tracks:
        if track.codec == "fLaC":
            # Version and flags, and the header of the last metadata block, which is STREAMINFO.
            box = movie.find(b"dfLa" + bytes(4) + b"\x80\x00\x00\x22" + track.codec_config)
            size_at = box - _SAMPLE_SIZE_BEFORE_DFLA
            movie = movie[:size_at] + sample_bits(track.codec_config).to_bytes(2, "big") + movie[size_at + 2 :]
    return movie


def _mux_frames(muxer: OutputContainer, copies: Sequence[MediaStream], tracks: Sequence[Track]) -> None:
    """Mux a frame of each track whose codec configuration is one."""
    for copy, track in zip(copies, tracks, strict=True):
        if copy.codec_context.codec.canonical_name in _CODECS_BY_FRAME:
            packet = av.Packet(track.codec_config)
            packet.stream = copy
            packet.pts = packet.dts = 0
            packet.time_base = Fraction(1, track.timescale)
            muxer.mux_one(packet)
