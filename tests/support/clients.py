"""The encoders that people publish with, run as they are: their command lines and their lives.

A client is started on a server URL and a stream key, shows a moving picture with a tone in real
time, ends by itself after ``seconds`` and is ended for certain when its ``with`` is left. What it
prints is kept with the key struck out, so that no key reaches a test report.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.process.workers.testcard import Order
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY_SHOWN_AS = "STREAM_KEY"

# ffmpeg writes its trailer, gst-launch sends end of stream and flushes: both within a second or two.
GOODBYE_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Picture:
    """What a client encodes: H.264 and AAC, small enough for two cores that also run the server."""

    width: int = 320
    height: int = 180
    frames_per_second: int = 30
    keyframe_interval_s: int = 2
    video_kbps: int = 150
    audio_kbps: int = 64
    sample_rate: int = 48_000
    marks_seconds: bool = False
    """Black and silent but for a white flash and a beep, both 0.1 s, at each full second (ffmpeg only)."""

    @property
    def keyframe_interval_frames(self) -> int:
        return self.keyframe_interval_s * self.frames_per_second


@dataclass(frozen=True)
class Command:
    """A client's command line and input, with the secret in them that nothing may show."""

    name: str
    argv: tuple[str, ...] = field(repr=False)
    secret: str = field(repr=False)
    stdin: bytes = field(default=b"", repr=False)
    stop_signal: signal.Signals = signal.SIGINT
    """What makes this client end its stream and say goodbye."""

    def redact(self, text: str) -> str:
        """``text`` without the stream key."""
        return text.replace(self.secret, KEY_SHOWN_AS)

    @property
    def shown(self) -> str:
        """The command line as a person would type it, without the key."""
        program, *arguments = self.argv
        here_document = f" <<< {shlex.quote(self.stdin.decode())}" if self.stdin else ""
        return self.redact(shlex.join([Path(program).name, *arguments]) + here_document)


def ffmpeg(server_url: str, stream_key: str, seconds: float, picture: Picture) -> Command:
    """The ffmpeg command line tool, libx264 with B-frames and its own AAC encoder."""
    shape = f"size={picture.width}x{picture.height}:rate={picture.frames_per_second}"
    if picture.marks_seconds:
        video = f"color=black:{shape},drawbox=color=white:t=fill:enable='lt(mod(t,1),0.1)'"
        audio = f"aevalsrc='0.8*sin(2*PI*1000*t)*lt(mod(t,1),0.1)':sample_rate={picture.sample_rate}"
    else:
        video = f"testsrc2={shape}"
        audio = f"sine=frequency=440:sample_rate={picture.sample_rate}"
    argv = [
        *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning"),
        *("-re", "-f", "lavfi", "-i", video, "-re", "-f", "lavfi", "-i", audio),
        *("-t", f"{seconds:g}", "-pix_fmt", "yuv420p"),
        *("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-sc_threshold", "0"),
        *("-g", str(picture.keyframe_interval_frames), "-b:v", f"{picture.video_kbps}k"),
        *("-maxrate", f"{picture.video_kbps}k", "-bufsize", f"{2 * picture.video_kbps}k"),
        *("-c:a", "aac", "-b:a", f"{picture.audio_kbps}k", "-ac", "2"),
        *("-f", "flv", f"{server_url}/{stream_key}"),
    ]
    return Command("ffmpeg", tuple(argv), stream_key)


def pyav(server_url: str, stream_key: str, seconds: float, picture: Picture) -> Command:
    """PyAV's FFmpeg, newer than the distribution's, through the test card."""
    order = Order(
        url=server_url,
        stream_key=stream_key,
        duration_s=seconds,
        width=picture.width,
        height=picture.height,
        frame_rate=str(picture.frames_per_second),
        keyframe_interval_s=picture.keyframe_interval_s,
        b_frames=2,
        video_bitrate=1000 * picture.video_kbps,
        audio_bitrate=1000 * picture.audio_kbps,
    )
    return Command(
        "pyav",
        (sys.executable, "-m", "streamd.process.workers.testcard"),
        stream_key,
        stdin=json.dumps(dataclasses.asdict(order)).encode(),
        stop_signal=signal.SIGTERM,
    )


def rtmp2sink(server_url: str, stream_key: str, seconds: float, picture: Picture) -> Command:
    """GStreamer's own RTMP client."""
    sink = f"rtmp2sink location={server_url}/{stream_key}"
    return Command("rtmp2sink", _gstreamer(sink, seconds, picture), stream_key)


def librtmp(server_url: str, stream_key: str, seconds: float, picture: Picture) -> Command:
    """librtmp, through GStreamer: Debian builds no other publisher on it (rtmpdump plays, its ffmpeg has none)."""
    # librtmp splits its argument at spaces; live=1 is how its users write a live stream.
    sink = f'rtmpsink location="{server_url}/{stream_key} live=1"'
    return Command("librtmp", _gstreamer(sink, seconds, picture), stream_key)


# Without it, the muxer of a live pipeline goes on without a track that is late, as all are on a loaded machine.
_MUX_LATENCY_NS = 1_000_000_000


def _gstreamer(sink: str, seconds: float, picture: Picture) -> tuple[str, ...]:
    samples_per_buffer = 1024
    # format=I420: without it videotestsrc negotiates 4:4:4, which no browser decodes.
    pipeline = f"""
        flvmux name=mux streamable=true latency={_MUX_LATENCY_NS} ! {sink}
        videotestsrc is-live=true num-buffers={round(seconds * picture.frames_per_second)}
            ! video/x-raw,format=I420,width={picture.width},height={picture.height}
            ! videorate ! video/x-raw,framerate={picture.frames_per_second}/1
            ! x264enc bitrate={picture.video_kbps} key-int-max={picture.keyframe_interval_frames}
                speed-preset=veryfast tune=zerolatency
            ! h264parse ! queue ! mux.
        audiotestsrc is-live=true samplesperbuffer={samples_per_buffer}
                num-buffers={round(seconds * picture.sample_rate / samples_per_buffer)}
            ! audio/x-raw,rate={picture.sample_rate},channels=2
            ! audioconvert ! avenc_aac bitrate={1000 * picture.audio_kbps} ! aacparse ! queue ! mux.
    """
    return ("gst-launch-1.0", "-q", "-e", *shlex.split(pipeline))


PUBLISHERS: dict[str, Callable[[str, str, float, Picture], Command]] = {
    "ffmpeg": ffmpeg,
    "pyav": pyav,
    "rtmp2sink": rtmp2sink,
    "librtmp": librtmp,
}


class Client:
    """A client that runs. Made by ``running``."""

    def __init__(self, command: Command, process: subprocess.Popen[bytes], output_path: Path) -> None:
        self._command = command
        self._process = process
        self._output_path = output_path
        self._whole_output: str | None = None

    @property
    def output(self) -> str:
        """What the client printed so far, without the key."""
        if self._whole_output is not None:
            return self._whole_output
        return self._command.redact(self._output_path.read_text(errors="replace"))

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def finish(self, timeout_s: float) -> int:
        """Wait until the client ends by itself.

        Returns:
            Its exit code; negative for a signal.

        Raises:
            AssertionError: It runs on; the message has what it printed.
        """
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            # The original exception names the command line, and so the key.
            raise AssertionError(f"{self._command.name} runs on after {timeout_s} s:\n{self.output}") from None

    def stop(self) -> None:
        """End it as its user does, so that it says goodbye; kill it if it does not."""
        if self.is_running:
            self._process.send_signal(self._command.stop_signal)
            try:
                self._process.wait(GOODBYE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it without a goodbye, as a crash does: the kernel closes its socket."""
        self._process.kill()
        self._process.wait()

    def keep_output(self) -> None:
        """Remember all that it printed, past the file in which that stands."""
        self._whole_output = self.output


@contextlib.contextmanager
def running(command: Command) -> Iterator[Client]:
    """Start a client, and end it for certain."""
    require(command.argv[0])
    with tempfile.TemporaryDirectory(prefix=f"streamd-{command.name}-") as folder:
        input_path, output_path = Path(folder) / "input", Path(folder) / "output"
        input_path.write_bytes(command.stdin)
        with input_path.open("rb") as stdin, output_path.open("wb") as output:
            process = subprocess.Popen(
                command.argv,
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"LC_ALL": "C.UTF-8"},
            )
        client = Client(command, process, output_path)
        try:
            yield client
        finally:
            client.stop()
            client.keep_output()


def make_clip(path: Path) -> Path:
    """Write ten seconds of a moving picture with a tone to ``path``, for a client that plays a file."""
    require("ffmpeg")
    subprocess.run(
        [
            *("ffmpeg", "-nostdin", "-y", "-loglevel", "error"),
            *("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30", "-f", "lavfi", "-i", "sine=frequency=440"),
            *("-t", "10", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"),
            str(path),
        ],
        check=True,
    )
    return path
