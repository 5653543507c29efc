"""Headers of audio and video tags, plain and Enhanced RTMP's: packets inside their tag, or ``FlvError``."""

from __future__ import annotations

from streamd.errors import FlvError
from streamd.formats.flv.audio import parse_audio
from streamd.formats.flv.audio import single_track as single_audio_track
from streamd.formats.flv.video import VideoPacketType, parse_video
from streamd.formats.flv.video import single_track as single_video_track

HEADS = (
    b"\x17\x00\x00\x00\x00",
    b"\x17\x01\x00\x00\x00",
    b"\x27\x01\x80\x00\x00",
    b"\x57\x00",
    b"\x90avc1",
    b"\xa1avc1",
    b"\xa3hvc1",
    b"\x96\x01avc1\x00",
    b"\x96\x11avc1\x00\x00\x00",
    b"\x96\x21",
    b"\x97\x02\x00\x00\x00\x01avc1",
    b"\xaf\x00",
    b"\xaf\x01",
    b"\xa2\x01",
    b"\x2f",
    b"\x90mp4a",
    b"\x91mp4a",
    b"\x95\x11mp4a\x00\x00\x00",
    b"\x94Opus",
    b"\x96\x00av01\x01",
    b"\x96\x01vp09\x01",
    b"\x90hvc1",
    b"\x95\x01.mp3\x01\xff\xfb\x94\x64",
    b"\x91ac-3\x0b\x77",
    b"\x90fLaC",
)
"""How tags begin that encoders send, and some that only an attacker does."""


def seeds() -> list[bytes]:
    many = b"\x96\x21avc1\x00\x00\x00\x04\x00\x00\x00xhvc1\x01\x00\x00\x00av01\x02\x00\x00\x02ab"
    return [*(head + b"rest of it" for head in HEADS), many, b"\x97\xff\x01\x00" + bytes(257) + b"\x01avc1\x00\x00\x00"]


def run(data: bytes) -> None:
    """Args: data: A tag's body."""
    if not data:
        return
    try:
        for video in parse_video(data):
            assert 0 < video.start <= video.end <= len(data)
            alone = single_video_track(data, video)
            (again,) = parse_video(alone)
            assert (again.codec, again.track_id, again.packet_type) == (video.codec, video.track_id, video.packet_type)
            # Of a sequence header it says nothing.
            if video.packet_type is VideoPacketType.CODED_FRAMES:
                assert again.composition_time_ms == video.composition_time_ms
            assert alone[again.start : again.end] == data[video.start : video.end]
    except FlvError:
        pass
    try:
        for audio in parse_audio(data):
            assert 0 < audio.start <= audio.end <= len(data)
            alone = single_audio_track(data, audio)
            (same,) = parse_audio(alone)
            assert (same.codec, same.track_id, same.packet_type) == (audio.codec, audio.track_id, audio.packet_type)
            assert alone[same.start : same.end] == data[audio.start : audio.end]
    except FlvError:
        pass
