"""A server's first hour, step by step, beside MediaMTX.

    python -m bench.first_hour [--archive ARCHIVE] [--mediamtx PATH] [--times N]

Each step is done some times on loopback, in turns with the other server, and its median printed: seconds that a person
waits, and seconds of a processor. A machine that is busy with other things makes the former longer than the latter;
those compare. With an archive (``packaging/portable.py``) streamd is installed and upgraded by unpacking it, and so is
MediaMTX, from an archive that is made of its program.
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
import urllib.parse
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
    """Seconds of a processor that a process has used, and those that it has waited for."""
    ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def encode_to(url: str) -> subprocess.Popen[bytes]:
    """FFmpeg as a broadcaster, with keyframes 2 s apart."""
    command = ["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=s=640x360:r=30", "-f", "lavfi"]
    command += ["-i", "sine", "-c:v", "libx264", "-preset", "ultrafast", "-g", "60", "-c:a", "aac", "-f", "flv", url]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def publishing(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A broadcaster."""
    process = encode_to(url)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Encoder:
    """A broadcaster that comes back as soon as it is cut off.

    Args:
        url: Where it publishes.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._process = encode_to(url)

    def keep(self) -> None:
        """Begin again where it has ended."""
        if self._process.poll() is not None:
            self._process = encode_to(self._url)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def text_of(url: str) -> str:
    """What an address has; empty where it has nothing."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return str(response.read().decode())
    except (OSError, urllib.error.URLError):
        return ""


def newest_media(index: str) -> str:
    """The last part or segment of the first rendition of a multivariant playlist; empty where there is none."""
    playlists = [line for line in text_of(index).splitlines() if line and not line.startswith("#")]
    if not playlists:
        return ""
    lines = text_of(urllib.parse.urljoin(index, playlists[0])).splitlines()
    media = [line for line in lines if line.startswith("#EXT-X-PART:") or (line and not line.startswith("#"))]
    return media[-1] if media else ""


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


def unpack(steps: Steps, step: str, archive: Path, where: Path) -> None:
    """Unpack an archive, without the folder in it where it has one."""
    where.mkdir()
    strip = ["--strip-components=1"] if archive.name.startswith("streamd") else []
    command(steps, step, ["tar", "-C", str(where), *strip, "-xf", str(archive)], dict(os.environ))


def upgrade(
    steps: Steps,
    old: subprocess.Popen[bytes],
    url: str,
    index: str,
    start_new: Callable[[], subprocess.Popen[bytes]],
) -> None:
    """Replace a server on which somebody broadcasts by another; note when viewers have new media again.

    Args:
        steps: Gets what it took.
        old: Runs, with nobody on it.
        url: Where to publish.
        index: The multivariant playlist of that.
        start_new: Starts its successor, and waits until it is ready.
    """
    encoder = Encoder(url)
    new: subprocess.Popen[bytes] | None = None
    try:
        wait_for(lambda: newest_media(index))
        time.sleep(4)
        before = newest_media(index)
        began = time.perf_counter()
        old.send_signal(signal.SIGTERM)
        old.wait(PATIENCE_S)
        new = start_new()

        def goes_on() -> bool:
            encoder.keep()
            return newest_media(index) not in ("", before)

        wait_for(goes_on)
        steps.note("upgrade: stop to new media", time.perf_counter() - began)
    finally:
        encoder.stop()
        if new is not None:
            new.send_signal(signal.SIGTERM)
            new.wait(PATIENCE_S)


def first_hour_of_streamd(steps: Steps, program: list[str], archive: Path | None) -> None:
    """All steps, once."""
    rtmp, http, admin = free_port(), free_port(), free_port()
    listening = {"RTMP": rtmp, "HTTP": http, "ADMIN": admin}
    environment = os.environ | {f"STREAMD_{name}__LISTEN": f"127.0.0.1:{port}" for name, port in listening.items()}
    with tempfile.TemporaryDirectory() as directory:
        here = ["--data-dir", directory]

        def is_ready() -> bool:
            return answers(f"http://127.0.0.1:{admin}/readyz")

        if archive is not None:
            unpack(steps, "install", archive, Path(directory) / "installed")
            program = [f"{directory}/installed/streamd"]
            # A version manager's python3.11 on PATH is a script of its own, and takes longer than all else here.
            environment["PYTHON"] = os.path.realpath(sys.executable)
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
        url, index = (
            f"rtmp://127.0.0.1:{rtmp}/live/{key['stream_key']}",
            f"http://127.0.0.1:{http}/live/alice/index.m3u8",
        )
        with publishing(url):
            wait_for(lambda: answers(index))
            time.sleep(2)
            stop(steps, "stop, a broadcaster and no viewer", server)
        server = start(Steps(""), "", serve, environment, is_ready)
        if archive is not None:
            unpack(steps, "upgrade: unpack beside", archive, Path(directory) / "new")
            serve[0] = f"{directory}/new/streamd"
        upgrade(steps, server, url, index, lambda: start(Steps(""), "", serve, environment, is_ready))


def first_hour_of_mediamtx(steps: Steps, path: str, archive: Path | None) -> None:
    """The steps that it has, once; it has no commands, and keys are lines of its file."""
    ports = {name: free_port() for name in ("RTMP", "HLS", "RTSP", "WEBRTC", "SRT", "RTP", "RTCP", "API")}
    # An even port and the next for RTP and RTCP, which nobody uses here.
    environment = os.environ | {f"MTX_{name}ADDRESS": f"127.0.0.1:{port}" for name, port in ports.items()}
    environment |= {"MTX_RTSP": "no", "MTX_MOQ": "no"}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "mediamtx.yml"
        file.write_text("paths:\n  all_others:\n")
        if archive is not None:
            unpack(steps, "install", archive, Path(directory) / "installed")
            path = f"{directory}/installed/{Path(path).name}"
        command(steps, "--version", [path, "--version"], environment)
        serve = [path, str(file)]

        def is_ready() -> bool:
            return listens(ports["RTMP"]) and listens(ports["HLS"])

        server = start(steps, "first start to ready", serve, environment, is_ready)
        stop(steps, "stop, nobody there", server)
        server = start(steps, "start to ready", serve, environment, is_ready)
        began = time.perf_counter()
        url, index = (
            f"rtmp://127.0.0.1:{ports['RTMP']}/live/alice",
            f"http://127.0.0.1:{ports['HLS']}/live/alice/index.m3u8",
        )
        with publishing(url):
            wait_for(lambda: answers(index))
            steps.note("encoder started to first playlist", time.perf_counter() - began)
            time.sleep(2)
            stop(steps, "stop, a broadcaster and no viewer", server)
        server = start(Steps(""), "", serve, environment, is_ready)
        if archive is not None:
            unpack(steps, "upgrade: unpack beside", archive, Path(directory) / "new")
            serve[0] = f"{directory}/new/{Path(path).name}"
        upgrade(steps, server, url, index, lambda: start(Steps(""), "", serve, environment, is_ready))


def main() -> None:
    """Do all of it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mediamtx", default="", help="its program; without, streamd alone")
    parser.add_argument("--archive", type=Path, help="streamd's; without, the tree is what runs")
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    ours, theirs = Steps("streamd"), Steps("MediaMTX")
    with tempfile.TemporaryDirectory() as directory:
        program = Path(options.mediamtx)
        of_theirs = Path(directory) / "mediamtx.tar.gz" if options.archive and options.mediamtx else None
        if of_theirs is not None:
            subprocess.run(["tar", "-C", str(program.parent), "-czf", str(of_theirs), program.name], check=True)
        for _ in range(options.times):
            first_hour_of_streamd(ours, [sys.executable, "-m", "streamd"], options.archive)
            if options.mediamtx:
                first_hour_of_mediamtx(theirs, options.mediamtx, of_theirs)
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
