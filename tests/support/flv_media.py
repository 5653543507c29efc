"""Small FLV streams, encoded in memory once per test run."""

from __future__ import annotations

import array
import functools
import io
import itertools
import math
import random
from fractions import Fraction
from typing import TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from streamd.formats.flv.tag import FlvReader, FlvTag, TagType, flv_header, serialise

EncodedPacket: TypeAlias = "av.Packet[VideoStream] | av.Packet[AudioStream]"

FRAME_RATE = 30
SAMPLE_RATE = 48_000
AAC_FRAME_SAMPLES = 1024
WIDTH = 160
HEIGHT = 96


@functools.cache
def h264_aac(seconds: int = 2, bframes: int = 0, gop: int = 30) -> tuple[FlvTag, ...]:
    """H.264 and AAC as an encoder publishes them, without the script tag."""
    return media_tags(_encode(seconds, video=True, audio=True, bframes=bframes, gop=gop))


@functools.cache
def h264_with_scene_cut() -> tuple[FlvTag, ...]:
    """H.264 with an I picture that is no IDR: a scene cut too soon after a keyframe, as OBS's defaults have them."""
    return media_tags(_encode(1, video=True, audio=False, gop=30, scene_cut_at=10))


@functools.cache
def h264_only(seconds: int = 2, bframes: int = 0, gop: int = 30, width: int = WIDTH) -> tuple[FlvTag, ...]:
    """H.264 alone."""
    return media_tags(_encode(seconds, video=True, audio=False, bframes=bframes, gop=gop, width=width))


@functools.cache
def aac_only(seconds: int = 2, sample_rate: int = SAMPLE_RATE, layout: str = "stereo") -> tuple[FlvTag, ...]:
    """AAC alone."""
    return media_tags(_encode(seconds, video=False, audio=True, sample_rate=sample_rate, layout=layout))


@functools.cache
def flv_bytes(seconds: int = 2, bframes: int = 0, gop: int = 30) -> bytes:
    """The FLV file that ``h264_aac`` is read from."""
    return _encode(seconds, video=True, audio=True, bframes=bframes, gop=gop)


def media_tags(flv: bytes) -> tuple[FlvTag, ...]:
    """The audio and video tags of an FLV byte stream, without the end of sequence."""
    tags = FlvReader().receive_data(flv)
    return tuple(tag for tag in tags if tag.tag_type != TagType.SCRIPT and not is_sequence_end(tag))


def is_sequence_end(tag: FlvTag) -> bool:
    return tag.tag_type == TagType.VIDEO and bytes(tag.payload)[:2] == b"\x17\x02"


def is_sequence_header(tag: FlvTag) -> bool:
    """For the older headers of AVC and AAC."""
    return bytes(tag.payload)[1] == 0


def to_flv(tags: tuple[FlvTag, ...] | list[FlvTag]) -> bytes:
    """A file of these tags, for another reader."""
    return flv_header(has_video=True, has_audio=True) + b"".join(serialise(tag) for tag in tags)


def _encode(
    seconds: int,
    *,
    video: bool,
    audio: bool,
    bframes: int = 0,
    gop: int = 30,
    width: int = WIDTH,
    scene_cut_at: int | None = None,
    sample_rate: int = SAMPLE_RATE,
    layout: str = "stereo",
) -> bytes:
    output = io.BytesIO()
    with av.open(output, "w", format="flv") as container:
        # Interleaved by time, as a live encoder sends.
        packets = sorted(
            itertools.chain(
                _video_packets(container, seconds, bframes, gop, width, scene_cut_at) if video else [],
                _audio_packets(container, seconds, sample_rate, layout) if audio else [],
            ),
            key=lambda packet: Fraction(packet.dts or 0) * (packet.time_base or 1),
        )
        container.mux(packets)
    return output.getvalue()


def _video_packets(
    container: OutputContainer, seconds: int, bframes: int, gop: int, width: int, scene_cut_at: int | None
) -> list[EncodedPacket]:
    stream = container.add_stream("libx264", rate=FRAME_RATE)
    stream.width, stream.height, stream.pix_fmt = width, HEIGHT, "yuv420p"
    stream.options = {
        "preset": "veryfast",
        "bf": str(bframes),
        "b_strategy": "0",
        "g": str(gop),
        "sc_threshold": "0" if scene_cut_at is None else "40",
        "keyint_min": str(gop),
        "threads": "1",
    }
    packets: list[EncodedPacket] = []
    noise = random.Random(0)  # The same pictures in every run
    for index in range(seconds * FRAME_RATE):
        frame = av.VideoFrame(width, HEIGHT, "yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
        luma, *chroma = frame.planes
        # A ramp that moves, so that frames differ and have vectors.
        ramp = bytes((column + index * 4) & 0xFF for column in range(luma.line_size))
        luma.update(noise.randbytes(luma.buffer_size) if index == scene_cut_at else ramp * luma.height)
        for plane in chroma:
            plane.update(b"\x80" * plane.buffer_size)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _audio_packets(container: OutputContainer, seconds: int, sample_rate: int, layout: str) -> list[EncodedPacket]:
    stream = container.add_stream("aac", rate=sample_rate)
    stream.layout = layout
    packets: list[EncodedPacket] = []
    tone = array.array("f", (math.sin(math.tau * 440 * n / sample_rate) for n in range(AAC_FRAME_SAMPLES)))
    for index in range(seconds * sample_rate // AAC_FRAME_SAMPLES):
        frame = av.AudioFrame(format="fltp", layout=layout, samples=AAC_FRAME_SAMPLES)
        for plane in frame.planes:
            plane.update(tone.tobytes().ljust(plane.buffer_size, b"\0"))
        frame.sample_rate, frame.pts = sample_rate, index * AAC_FRAME_SAMPLES
        frame.time_base = Fraction(1, sample_rate)
        packets += stream.encode(frame)
    return packets + stream.encode(None)
