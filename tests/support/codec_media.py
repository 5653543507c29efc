"""Small FLV streams in any codec and with any number of tracks, as PyAV's FLV muxer writes them."""

from __future__ import annotations

import array
import functools
import io
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from streamd.formats.codecs.picture_format import NO_ASPECT, NO_COLOURS, Colours, SampleAspect
from streamd.formats.flv.tag import FlvReader, FlvTag, TagType
from streamd.formats.flv.video import VideoPacketType, parse_video
from tests.support.priority import keeping_priority

if TYPE_CHECKING:
    from av.container import OutputContainer

    from tests.support.flv_media import EncodedPacket

FRAME_RATE = 30
SAMPLE_RATE = 48_000
# Encoders without a frame size of their own are given AAC's.
_FRAME_SAMPLES = 1024

_VIDEO_OPTIONS = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "scenecut=0"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:scenecut=0:bframes=2:open-gop=0"},
    "libsvtav1": {"preset": "12", "svtav1-params": "scd=0"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
}


@dataclass(frozen=True)
class VideoTrack:
    """One video track to encode."""

    encoder: str = "libx264"
    width: int = 320
    height: int = 192
    keyframe_interval: int = FRAME_RATE
    """Frames."""
    bit_rate: int = 200_000
    has_intra_refresh: bool = False
    """Of x264: it flags recovery points as keyframes, and only the first picture is one."""
    aspect: SampleAspect = NO_ASPECT
    colours: Colours = NO_COLOURS


@dataclass(frozen=True)
class AudioTrack:
    """One audio track to encode: a tone."""

    encoder: str = "aac"
    frequency_hz: int = 440


@functools.cache
def encoded(
    video: tuple[VideoTrack, ...] = (VideoTrack(),), audio: tuple[AudioTrack, ...] = (AudioTrack(),), seconds: int = 4
) -> tuple[FlvTag, ...]:
    """The tags of a broadcast, without script tags and ends of sequences, interleaved as a live encoder sends them."""
    output = io.BytesIO()
    with keeping_priority(), av.open(output, "w", format="flv") as container:
        streams = [
            *(_add_video(container, track) for track in video),
            *(_add_audio(container, track) for track in audio),
        ]
        packets: list[EncodedPacket] = []
        for stream, track in zip(streams, (*video, *audio), strict=True):
            if isinstance(track, VideoTrack):
                packets += _pictures(stream, track, seconds)  # type: ignore[arg-type]
            else:
                packets += _sounds(stream, track, seconds)  # type: ignore[arg-type]
        packets.sort(key=lambda packet: Fraction(packet.dts or 0) * (packet.time_base or 1))
        container.mux(packets)
    tags = FlvReader().receive_data(output.getvalue())
    return tuple(tag for tag in tags if tag.tag_type != TagType.SCRIPT and not _is_end(tag))


def _is_end(tag: FlvTag) -> bool:
    return tag.tag_type == TagType.VIDEO and any(
        packet.packet_type is VideoPacketType.SEQUENCE_END for packet in parse_video(bytes(tag.payload))
    )


def _add_video(container: OutputContainer, track: VideoTrack) -> VideoStream:
    stream = container.add_stream(track.encoder, rate=FRAME_RATE)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = track.width, track.height, "yuv420p"
    stream.bit_rate = track.bit_rate
    context, colours = stream.codec_context, track.colours
    context.color_primaries, context.color_trc = colours.primaries, colours.transfer
    context.colorspace, context.color_range = colours.matrix, _range(colours)
    if track.aspect.width:
        context.sample_aspect_ratio = Fraction(track.aspect.width, track.aspect.height)
    interval = str(track.keyframe_interval)
    stream.options = {**_VIDEO_OPTIONS[track.encoder], "g": interval, "keyint_min": interval, "threads": "1"}
    if track.has_intra_refresh:
        stream.options |= {"x264-params": "scenecut=0:intra-refresh=1"}
    return stream


def _range(colours: Colours) -> int:
    """An AVColorRange: full, limited, or unspecified where the colours are, too."""
    return 2 if colours.is_full_range else 1 if colours != NO_COLOURS else 0


def _add_audio(container: OutputContainer, track: AudioTrack) -> AudioStream:
    stream = container.add_stream(track.encoder, rate=SAMPLE_RATE)
    assert isinstance(stream, AudioStream)
    stream.layout = "stereo"
    return stream


def _pictures(stream: VideoStream, track: VideoTrack, seconds: int) -> list[EncodedPacket]:
    packets: list[EncodedPacket] = []
    for index in range(seconds * FRAME_RATE):
        frame = av.VideoFrame(track.width, track.height, "yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
        # Where they say others than their encoder, libavcodec takes theirs.
        frame.color_primaries, frame.color_trc = track.colours.primaries, track.colours.transfer
        frame.colorspace, frame.color_range = track.colours.matrix, _range(track.colours)
        luma, *chroma = frame.planes
        luma.update(bytes((column + index * 4) & 0xFF for column in range(luma.line_size)) * luma.height)
        for plane in chroma:
            plane.update(b"\x80" * plane.buffer_size)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _sounds(stream: AudioStream, track: AudioTrack, seconds: int) -> list[EncodedPacket]:
    context = stream.codec_context
    if not context.is_open:
        context.open()
    assert context.format is not None
    sample_format = context.format.name
    samples = context.frame_size or _FRAME_SAMPLES
    is_planar, is_float = sample_format.endswith("p"), "flt" in sample_format
    packets: list[EncodedPacket] = []
    for index in range(seconds * SAMPLE_RATE // samples):
        frame = av.AudioFrame(format=sample_format, layout="stereo", samples=samples)
        wave = [
            0.3 * math.sin(math.tau * track.frequency_hz * n / SAMPLE_RATE)
            for n in range(index * samples, (index + 1) * samples)
        ]
        if not is_planar:
            wave = [value for value in wave for _ in range(2)]
        samples_data = array.array("f", wave) if is_float else array.array("h", [round(32767 * v) for v in wave])
        data = samples_data.tobytes()
        for plane in frame.planes:
            plane.update(data.ljust(plane.buffer_size, b"\0"))
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, index * samples, Fraction(1, SAMPLE_RATE)
        packets += stream.encode(frame)
    return packets + stream.encode(None)
