"""A server's first hour, step by step, beside MediaMTX: python -m bench.first_hour [--mediamtx PATH] [--times N].

Each step is done some times on loopback, and its median printed: seconds that a person waits, and seconds of a
processor. A machine that is busy with other things makes the former longer than the latter; those compare.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# A step that takes longer is broken.
PATIENCE_S = 60.0
POLL_S = 0.005


@dataclass
class Steps:
    """Times of the steps of one server."""

    name: str
    waited: dict[str, list[float]] = field(default_factory=dict)
    used: dict[str, list[float]] = field(default_factory=dict)

    def note(self, step: str, waited_s: float, used_s: float | None = None) -> None:
        """Take a figure."""
        self.waited.setdefault(step, []).append(waited_s)
        if used_s is not None:
            self.used.setdefault(step, []).append(used_s)


def free_port() -> int:
    """A port that nobody has now."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port: int = taken.getsockname()[1]
        return port


def wait_for(is_there: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not is_there():
        if time.monotonic() > end:
            raise SystemExit("it does not come")
        time.sleep(POLL_S)


def answers(url: str) -> bool:
    """Whether an address answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def listens(port: int) -> bool:
    """Whether somebody takes connections."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def processor_s(process: subprocess.Popen[bytes]) -> float:
    """Seconds of a processor that a process has used."""
    ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def publishing(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """FFmpeg as a broadcaster, with keyframes 2 s apart."""
    command = ["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=s=640x360:r=30", "-f", "lavfi"]
    command += ["-i", "sine", "-c:v", "libx264", "-preset", "ultrafast", "-g", "60", "-c:a", "aac", "-f", "flv", url]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def command(steps: Steps, step: str, arguments: list[str], environment: dict[str, str]) -> str:
    """Run a command of the program, and note what it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    said = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    steps.note(step, time.perf_counter() - began, used)
    return said


def start(
    steps: Steps, step: str, arguments: list[str], environment: dict[str, str], is_ready: Callable[[], object]
) -> subprocess.Popen[bytes]:
    """Start a server and wait until it is ready."""
    began = time.perf_counter()
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(is_ready)
    steps.note(step, time.perf_counter() - began, processor_s(process))
    return process


def stop(steps: Steps, step: str, process: subprocess.Popen[bytes]) -> None:
    """Stop a server as a service manager does."""
    began = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE_S)
    steps.note(step, time.perf_counter() - began)


def first_hour_of_streamd(steps: Steps, program: list[str]) -> None:
    """All steps, once."""
    rtmp, http, admin = free_port(), free_port(), free_port()
    listening = {"RTMP": rtmp, "HTTP": http, "ADMIN": admin}
    environment = os.environ | {f"STREAMD_{name}__LISTEN": f"127.0.0.1:{port}" for name, port in listening.items()}
    with tempfile.TemporaryDirectory() as directory:
        here = ["--data-dir", directory]

        def is_ready() -> bool:
            return answers(f"http://127.0.0.1:{admin}/readyz")

        command(steps, "--version", [*program, "--version"], environment)
        serve = [*program, "serve", *here]
        server = start(steps, "first start to ready", serve, environment, is_ready)
        issue = [*program, "keys", "issue", "alice", "--json", *here]
        key = json.loads(command(steps, "a command (keys issue)", issue, environment))
        command(steps, "a command (keys list)", [*program, "keys", "list", *here], environment)
        stop(steps, "stop, nobody there", server)
        server = start(steps, "start to ready", serve, environment, is_ready)
        began = time.perf_counter()
        with publishing(f"rtmp://127.0.0.1:{rtmp}/live/{key['stream_key']}") as publisher:
            wait_for(lambda: answers(f"http://127.0.0.1:{http}/live/alice/main.m3u8"))
            steps.note("encoder started to first playlist", time.perf_counter() - began)
            time.sleep(2)
            began = time.perf_counter()
            subprocess.run(
                [*program, "keys", "revoke", key["id"], *here], env=environment, capture_output=True, check=True
            )
            publisher.wait(PATIENCE_S)
            steps.note("revoke to encoder cut", time.perf_counter() - began)
        key = json.loads(command(steps, "a command (keys issue)", issue, environment))
        with publishing(f"rtmp://127.0.0.1:{rtmp}/live/{key['stream_key']}"):
            wait_for(lambda: answers(f"http://127.0.0.1:{http}/live/alice/index.m3u8"))
            time.sleep(2)
            stop(steps, "stop, a broadcaster and no viewer", server)


def first_hour_of_mediamtx(steps: Steps, path: str) -> None:
    """The steps that it has, once; it has no commands, and keys are lines of its file."""
    ports = {name: free_port() for name in ("RTMP", "HLS", "RTSP", "WEBRTC", "SRT", "RTP", "RTCP", "API")}
    # An even port and the next for RTP and RTCP, which nobody uses here.
    environment = os.environ | {f"MTX_{name}ADDRESS": f"127.0.0.1:{port}" for name, port in ports.items()}
    environment |= {"MTX_RTSP": "no", "MTX_MOQ": "no"}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "mediamtx.yml"
        file.write_text("paths:\n  all_others:\n")
        command(steps, "--version", [path, "--version"], environment)
        serve = [path, str(file)]

        def is_ready() -> bool:
            return listens(ports["RTMP"]) and listens(ports["HLS"])

        server = start(steps, "first start to ready", serve, environment, is_ready)
        stop(steps, "stop, nobody there", server)
        server = start(steps, "start to ready", serve, environment, is_ready)
        began = time.perf_counter()
        with publishing(f"rtmp://127.0.0.1:{ports['RTMP']}/live/alice"):
            wait_for(lambda: answers(f"http://127.0.0.1:{ports['HLS']}/live/alice/index.m3u8"))
            steps.note("encoder started to first playlist", time.perf_counter() - began)
            time.sleep(2)
            stop(steps, "stop, a broadcaster and no viewer", server)


def main() -> None:
    """Do all of it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mediamtx", default="", help="its program; without, streamd alone")
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    ours, theirs = Steps("streamd"), Steps("MediaMTX")
    for _ in range(options.times):
        first_hour_of_streamd(ours, [sys.executable, "-m", "streamd"])
        if options.mediamtx:
            first_hour_of_mediamtx(theirs, options.mediamtx)
    print(f"{'step':<36} {'streamd':>18} {'MediaMTX':>18}   (seconds waited / of a processor, medians)")
    for step in ours.waited:
        cells = []
        for steps in (ours, theirs):
            waited, used = steps.waited.get(step), steps.used.get(step)
            text = "-" if not waited else f"{statistics.median(waited):.2f}"
            cells.append(f"{text} / {statistics.median(used):.2f}" if used else text)
        print(f"{step:<36} {cells[0]:>18} {cells[1]:>18}")


if __name__ == "__main__":
    main()
