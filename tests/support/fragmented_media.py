"""Real media as it is recorded: a CMAF header, and fragments whose times begin where the test says."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from streamd.formats.cmaf.decode_times import decode_times, timescales
from tests.support.priority import keeping_priority

FRAME_RATE = 30
SAMPLE_RATE = 48_000
_SAMPLES = 1024


@dataclass(frozen=True)
class FragmentedMedia:
    """A header, and a fragment for each second."""

    header: bytes
    fragments: tuple[bytes, ...]


def fragmented_media(
    seconds: int = 6, *, began_s: int = 0, has_picture: bool = True, has_sound: bool = True, width: int = 160
) -> FragmentedMedia:
    """Encode H.264 and AAC.

    Args:
        seconds: How long.
        began_s: Its first time.
        has_picture: Whether there is a picture.
        has_sound: Whether there is sound.
        width: Of the picture, pixels.
    """
    output = io.BytesIO()
    options = {"movflags": "empty_moov+default_base_moof", "frag_duration": "1000000"}
    with keeping_priority(), av.open(output, "w", format="mp4", options=options) as container:
        video = sound = None
        if has_picture:
            video = container.add_stream(
                "libx264", rate=FRAME_RATE, options={"preset": "ultrafast", "x264-params": "scenecut=0:keyint=30"}
            )
            assert isinstance(video, VideoStream)
            video.width, video.height, video.pix_fmt = width, 96, "yuv420p"
        if has_sound:
            sound = container.add_stream("aac", rate=SAMPLE_RATE)
            assert isinstance(sound, AudioStream)
            sound.codec_context.layout = "mono"
        for second in range(seconds):
            if video is not None:
                for number in range(FRAME_RATE):
                    frame = av.VideoFrame(width, 96, "yuv420p")
                    for plane in frame.planes:
                        plane.update(bytes([(7 * second + number) % 256]) * plane.buffer_size)
                    frame.pts, frame.time_base = FRAME_RATE * second + number, Fraction(1, FRAME_RATE)
                    container.mux(video.encode(frame))
            if sound is not None:
                first, last = second * SAMPLE_RATE // _SAMPLES, (second + 1) * SAMPLE_RATE // _SAMPLES
                for number in range(first, last):
                    tone = av.AudioFrame("fltp", "mono", _SAMPLES)
                    for channel in tone.planes:
                        channel.update(bytes(channel.buffer_size))
                    tone.sample_rate = SAMPLE_RATE
                    tone.pts, tone.time_base = number * _SAMPLES, Fraction(1, SAMPLE_RATE)
                    container.mux(sound.encode(tone))
        for stream in (video, sound):
            if stream is not None:
                container.mux(stream.encode(None))
    data = output.getvalue()
    starts = []
    at = 0
    while at < len(data):
        if data[at + 4 : at + 8] in (b"moof", b"mfra"):
            starts.append(at)
        at += int.from_bytes(data[at : at + 4], "big")
    pieces = tuple(data[start:stop] for start, stop in zip(starts, [*starts[1:], len(data)], strict=True))
    header = data[: starts[0]]
    return FragmentedMedia(header, tuple(_later(each, header, began_s) for each in pieces if each[4:8] == b"moof"))


def _later(fragment: bytes, header: bytes, seconds: int) -> bytes:
    moof_bytes = int.from_bytes(fragment[:4], "big")
    changed = bytearray(fragment)
    for time in decode_times(fragment[:moof_bytes]):
        ticks = time.ticks + seconds * timescales(header)[time.track_id]
        changed[time.offset : time.offset + time.size_bytes] = ticks.to_bytes(time.size_bytes, "big")
    return bytes(changed)
