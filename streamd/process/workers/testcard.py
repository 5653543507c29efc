"""A broadcaster for demonstrations and tests: a moving test picture with a clock and a tone, over real RTMP.

PyAV's FFmpeg is the client, so what the server sees is what ffmpeg sends. It runs as a process of its
own (``python -m streamd.process.workers.testcard``) and reads its order, stream key included, as one JSON object from
standard input: a key in an argument would stand in the process list.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import av.filter
from av.video.frame import PictureType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

SAMPLE_RATE = 48_000
# Exit codes of the process: refused or cut by the server; the order is unusable.
EXIT_ENDED_BY_SERVER = 3
EXIT_BAD_ORDER = 2

# Segments of a seven-segment digit, as bits: top, top right, bottom right, bottom, bottom left, top left, middle.
_DIGITS = (0x3F, 0x06, 0x5B, 0x4F, 0x66, 0x6D, 0x7D, 0x07, 0x7F, 0x6F)
_WHITE = 235  # luma of white in limited range (BT.601)
_BLACK = 16
_GREY = 128  # chroma of no colour


@dataclass(frozen=True, slots=True)
class Order:
    """The broadcast to send, and its server."""

    url: str
    """``rtmp://host:port/app``."""
    stream_key: str = dataclasses.field(repr=False)
    duration_s: float | None = None
    """Seconds of media, or None until the process is told to stop (SIGTERM)."""
    width: int = 640
    height: int = 360
    frame_rate: str = "30"
    """Frames a second, as an integer or a fraction (``30000/1001``)."""
    keyframe_interval_s: float = 2.0
    b_frames: int = 0
    video_bitrate: int = 1_200_000
    audio_bitrate: int = 128_000
    has_video: bool = True
    has_audio: bool = True
    is_real_time: bool = True
    """Send at the pace of the clock; otherwise as fast as the server takes it."""
    says_goodbye: bool = True
    """End as an encoder does (FCUnpublish, deleteStream); otherwise just drop the connection."""


class TestPicture:
    """FFmpeg's moving test picture with the UTC time of day drawn over it.

    Args:
        order: Size and frame rate.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(self, order: Order) -> None:
        self._order = order
        graph = av.filter.Graph()
        size = f"{order.width}x{order.height}"
        source = graph.add("testsrc2", f"size={size}:rate={order.frame_rate}")
        pixels = graph.add("format", "yuv420p")
        sink = graph.add("buffersink")
        source.link_to(pixels)
        pixels.link_to(sink)
        graph.configure()
        self._graph = graph

    def frame(self, index: int, shown_at: datetime) -> av.VideoFrame:
        """Draw frame ``index``.

        Args:
            index: Number of the frame, from 0.
            shown_at: The time of day to show, UTC.

        Returns:
            A yuv420p frame with ``pts`` in frames.
        """
        frame = self._graph.vpull()
        frame.pict_type = PictureType.NONE  # the filter says I, which would force a keyframe
        frame.pts = index
        frame.time_base = 1 / Fraction(self._order.frame_rate)
        _draw_clock(frame, f"{shown_at:%H:%M:%S}.{shown_at.microsecond // 100_000}")
        return frame


def _draw_clock(frame: av.VideoFrame, text: str) -> None:
    """Draw ``text`` (digits, ``:`` and ``.``) into the lower left of a yuv420p frame."""
    planes = [(memoryview(plane).cast("B"), plane.line_size) for plane in frame.planes]
    unit = max(2, frame.height // 60) & ~1  # thickness of a stroke, pixels; even, as 4:2:0 chroma wants it

    def fill(x: int, y: int, width: int, height: int, value: int, plane: int = 0) -> None:
        pixels, stride = planes[plane]
        row = bytes([value]) * width
        for line in range(y, y + height):
            pixels[line * stride + x : line * stride + x + width] = row

    digit_width, digit_height, gap = 4 * unit, 7 * unit, unit
    widths = [digit_width if c.isdigit() else unit for c in text]
    total = sum(widths) + gap * (len(text) + 1)
    if total + 2 * unit > frame.width or digit_height + 4 * unit > frame.height:
        return  # a picture too small for a clock has none
    x, y = unit, frame.height - digit_height - 3 * unit
    fill(x, y, total, digit_height + 2 * unit, _BLACK)
    for chroma in (1, 2):
        fill(x // 2, y // 2, total // 2, digit_height // 2 + unit, _GREY, chroma)
    x, y = x + gap, y + unit
    half = digit_height // 2
    for character, width in zip(text, widths, strict=True):
        if character.isdigit():
            bars = (
                (x, y, digit_width, unit),
                (x + digit_width - unit, y, unit, half),
                (x + digit_width - unit, y + half, unit, digit_height - half),
                (x, y + digit_height - unit, digit_width, unit),
                (x, y + half, unit, digit_height - half),
                (x, y, unit, half),
                (x, y + half, digit_width, unit),
            )
            for bit, bar in enumerate(bars):
                if _DIGITS[int(character)] >> bit & 1:
                    fill(*bar, _WHITE)
        else:
            fill(x, y + digit_height - unit, unit, unit, _WHITE)
            if character == ":":
                fill(x, y + 2 * unit, unit, unit, _WHITE)
        x += width + gap


class _Encoders:
    """The encoded streams of one broadcast, in the order in which they are to be sent."""

    def __init__(self, container: OutputContainer, order: Order) -> None:
        self._order = order
        self.frame_rate = Fraction(order.frame_rate)
        self._video: VideoStream | None = None
        self._audio: AudioStream | None = None
        if order.has_video:
            video = container.add_stream("libx264", rate=self.frame_rate)
            video.width, video.height, video.pix_fmt = order.width, order.height, "yuv420p"
            video.bit_rate = order.video_bitrate
            # Strict CBR with closed GOPs, as live services ask of encoders.
            keyint = max(1, round(order.keyframe_interval_s * self.frame_rate))
            video.options = {
                "preset": "ultrafast",
                "tune": "zerolatency" if order.b_frames == 0 else "fastdecode",
                "profile": "main",
                "maxrate": str(order.video_bitrate),
                "bufsize": str(order.video_bitrate),
                "x264-params": f"keyint={keyint}:min-keyint={keyint}:scenecut=0:bframes={order.b_frames}:nal-hrd=cbr",
            }
            self._video = video
            self._picture = TestPicture(order)
        if order.has_audio:
            audio = container.add_stream("aac", rate=SAMPLE_RATE)
            audio.layout = "stereo"
            audio.bit_rate = order.audio_bitrate
            self._audio = audio
            graph = av.filter.Graph()
            # A quiet A with a beep each second, by which sound and picture can be compared.
            tone = graph.add("sine", f"frequency=440:beep_factor=2:sample_rate={SAMPLE_RATE}:samples_per_frame=1024")
            volume = graph.add("volume", "0.25")
            shape = graph.add("aformat", f"sample_fmts=fltp:channel_layouts=stereo:sample_rates={SAMPLE_RATE}")
            sink = graph.add("abuffersink")
            tone.link_to(volume)
            volume.link_to(shape)
            shape.link_to(sink)
            graph.configure()
            self._tone = graph

    def packets(self) -> Iterator[tuple[float, list[Packet[Any]]]]:
        """Yield ``(media time in seconds, packets to send then)`` until the order's duration is reached."""
        video_frames = audio_frames = 0
        started_at = datetime.now(UTC).timestamp()
        while True:
            video_s = float(video_frames / self.frame_rate) if self._video is not None else float("inf")
            audio_s = audio_frames * 1024 / SAMPLE_RATE if self._audio is not None else float("inf")
            now_s = min(video_s, audio_s)
            if self._order.duration_s is not None and now_s >= self._order.duration_s:
                return
            if self._video is not None and video_s <= audio_s:
                shown_at = datetime.fromtimestamp(started_at + now_s, UTC)
                yield now_s, self._video.encode(self._picture.frame(video_frames, shown_at))
                video_frames += 1
            elif self._audio is not None:
                sound = self._tone.pull()
                assert isinstance(sound, av.AudioFrame)
                sound.pts, sound.time_base = audio_frames * 1024, Fraction(1, SAMPLE_RATE)
                yield now_s, self._audio.encode(sound)
                audio_frames += 1

    def flush(self) -> list[Packet[Any]]:
        """Return what the encoders still hold."""
        rest = self._video.encode(None) if self._video is not None else []
        return rest + (self._audio.encode(None) if self._audio is not None else [])


def broadcast(order: Order) -> None:
    """Broadcast until the order's duration is reached.

    Args:
        order: The broadcast, and its server.

    Raises:
        av.error.FFmpegError: The server refused or ended the broadcast. Its text may hold the URL: do not print it.
        ValueError: Neither video nor audio is asked for.
    """
    if not (order.has_video or order.has_audio):
        raise ValueError("a broadcast needs video or audio")
    # Leaving the block says goodbye (FCUnpublish, deleteStream), however it is left.
    with av.open(f"{order.url}/{order.stream_key}", "w", format="flv") as container:
        encoders = _Encoders(container, order)
        started_at = time.monotonic()  # noqa: TID251  # a client in a process of its own, not the server
        for media_s, packets in encoders.packets():
            if order.is_real_time and (ahead_s := started_at + media_s - time.monotonic()) > 0:  # noqa: TID251
                time.sleep(ahead_s)
            for packet in packets:
                container.mux(packet)
        if not order.says_goodbye:
            os._exit(0)  # the kernel closes the socket
        for packet in encoders.flush():
            container.mux(packet)


def main() -> int:
    """Read an order from standard input and carry it out.

    Returns:
        0 when the whole broadcast was sent, ``EXIT_ENDED_BY_SERVER`` when the server refused or ended it,
        ``EXIT_BAD_ORDER`` for an unusable order.
    """
    # SIGTERM ends the broadcast as an encoder's stop button does: by unwinding through container.close().
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that started us
    try:
        order = Order(**json.loads(sys.stdin.readline()))
    except (TypeError, ValueError) as exc:
        sys.stderr.write(f"testcard: unusable order: {type(exc).__name__}\n")
        return EXIT_BAD_ORDER
    try:
        broadcast(order)
    except av.error.FFmpegError as exc:
        # Only the error's name: its text holds the URL, and that holds the stream key.
        sys.stderr.write(f"testcard: broadcast ended by the server: {exc.strerror}\n")
        return EXIT_ENDED_BY_SERVER
    return 0


if __name__ == "__main__":
    sys.exit(main())
