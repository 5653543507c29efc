"""What does a second of watching cost the server, and how soon does a part reach those who wait for it?

Method
------
``streamd serve`` on core 0 with one 2.5 Mb/s stream (720p30, 2 s GOPs, 500 ms parts); on core 1 this process, which
publishes the stream in real time, and the viewers: a load generator in C that is named with ``--viewload``. It has to
understand ``-H HOST -p PORT -m hls|llhls|flv -P PATH -V VIEWERS -r RAMP_S -d DURATION_S`` and to end with one line of
JSON with ``stalls``, ``errors``, ``skipped``, and the latencies ``seg_ms_p50``, ``seg_ms_p99``, ``flv_lag_ms_p99``.

``hls``, ``llhls``, ``flv``  CPU a second of one viewer's watching, ingest and packaging of the stream included: the
             kernel's account (``/proc/PID/task/*/schedstat``) of the whole process between two readings, 6 s apart,
             three times after the ramp; the median is quoted. At several numbers of viewers, for growth.
``nginx``    The same load on nginx on core 0: the same segments, written to tmpfs as they come, ``sendfile``.
``first_byte``  Among the viewers of ``llhls`` are probes that came with them. From the moment that the publisher has
             handed the last frame of a part to the kernel, to the arrival of the first byte of the playlist
             (``first_byte``) and of the last byte of the part itself (``part_fetched``), by the kernel's clock of
             arrivals (``SO_TIMESTAMPNS``), so that a busy load core does not count. Ingest is part of it.
``idle``     Resident memory a connection that has asked for one playlist and stays. To be measured first: what viewers
             have left to the allocator would be used again.

Left out: TLS, networks, other streams; socket buffers, which are the kernel's memory; playlists in gzip, which the
generator does not ask for. An idle core wakes dearly: compare figures of the same run only.

    python -m bench.delivery --viewload PATH [idle=5000] [hls=500,1000,5000] [nginx=1000] [llhls=100,1000] [flv=1000]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from bench.publishing import CHUNK_SIZE, CLIP_S, login, make_clip, read_all
from streamd import amf0
from streamd.flv.tag import TagType
from streamd.rtmp.chunk import ChunkWriter
from streamd.rtmp.message import Message, MessageType
from tests.support.server import run_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from streamd.flv.tag import FlvTag
    from tests.support.server import LiveServer

SERVER_CORE, LOAD_CORE = 0, 1
RESULTS = Path(__file__).parent / "results" / "delivery.jsonl"

NAME = "bench"
BITRATE_KBPS = 2500
FRAMES_PER_PART = 15  # 500 ms at the clip's 30 frames a second
WINDOWS = 3
WINDOW_S = 6.0
# Beyond the first segment of the last viewer.
SETTLE_S = 4.0
VIEWERS_PER_RAMP_SECOND = 500
PROBES = 32
DEFAULT_CASES = ("idle=5000", "hls=500,1000,5000", "nginx=1000", "llhls=100,500,1000", "flv=500,1000")
# What one core of a small machine sends in time is measured, not assumed; a case that cannot keep up says so.
CASES = ("hls", "nginx", "llhls", "flv", "idle")
START_TIMEOUT_S = 20.0
CONTROL_BYTES = socket.CMSG_SPACE(16)
# The socket option of Linux, which Python has no name for; what arrives with it is a struct timespec.
SO_TIMESTAMPNS = 35

NGINX_CONFIG = """
daemon off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log;
events {{ worker_connections 16384; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp4 m4s mp4; }}
  client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
  server {{ listen 127.0.0.1:{port}; root {root}/www; location ~ m4s$ {{ open_file_cache max=100; }} }}
}}
"""


def main() -> None:
    """Measure the cases that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--viewload", type=Path, help="the load generator, compiled; see the head of this script")
    parser.add_argument("cases", nargs="*", default=DEFAULT_CASES, metavar="CASE=VIEWERS,…")
    arguments = parser.parse_args()
    if arguments.viewload is None or not os.access(arguments.viewload, os.X_OK):
        parser.error("--viewload has to name a load generator; what it must understand is in the head of this script")
    cases = [
        (case, int(viewers))
        for case, _, numbers in (argument.partition("=") for argument in arguments.cases)
        for viewers in numbers.split(",")
    ]
    if unknown := {case for case, _ in cases} - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    os.sched_setaffinity(0, {LOAD_CORE})
    tags = make_clip(BITRATE_KBPS, "1280x720")
    with tempfile.TemporaryDirectory() as directory, run_server(Path(directory)) as server:
        pin(server.process.pid, SERVER_CORE)
        asyncio.run(measure(server, tags, arguments.viewload.resolve(), cases))


@dataclass
class Bench:
    """What the cases share."""

    server: LiveServer
    viewload: Path
    publisher: Publisher

    async def settle(self, seconds: float) -> None:
        """Let time pass, and see that the stream goes on."""
        await asyncio.sleep(seconds)
        self.publisher.assert_alive()


async def measure(server: LiveServer, tags: list[FlvTag], viewload: Path, cases: list[tuple[str, int]]) -> None:
    """Publish, and run the cases one after another."""
    publisher = Publisher(server.rtmp_port, server.issue_key(NAME), tags)
    async with publisher.running():
        bench = Bench(server, viewload, publisher)
        # Until the window of segments is full, and playlists have the length that they keep.
        await bench.settle(20)
        for case, viewers in cases:
            match case:
                case "idle":
                    await measure_idle(bench, viewers)
                case "nginx":
                    await measure_nginx(bench, viewers)
                case _:
                    await measure_viewers(bench, case, viewers)
            await bench.settle(2)


# -- cases ------------------------------------------------------------------------------------


async def measure_viewers(bench: Bench, mode: str, viewers: int) -> None:
    """CPU and latencies of one number of viewers in one mode."""
    path = f"/live/{NAME}.flv" if mode == "flv" else f"/live/{NAME}/main.m3u8"
    port = bench.server.http_port
    async with contextlib.AsyncExitStack() as stack:
        probes = Probes(port, bench.publisher)
        if mode == "llhls":
            await stack.enter_async_context(probes.running(ramp_s(viewers)))
        windows, load = await under_load(bench, mode, path, port, viewers, bench.server.process.pid)
    report_load(mode, viewers, windows, load)
    if mode == "llhls":
        for name, delays in (("first_byte", probes.first_byte_ms), ("part_fetched", probes.part_fetched_ms)):
            report(f"delivery.llhls.{name}", delays, "ms after the part's last frame", viewers)


async def measure_nginx(bench: Bench, viewers: int) -> None:
    """CPU of nginx for the same segments."""
    with run_nginx() as (process, port, www):
        (worker,) = children(process.pid)
        mirror = asyncio.create_task(mirror_segments(bench.server.playlist_url(NAME, "main"), www))
        await bench.settle(5)
        windows, load = await under_load(bench, "hls", "/main.m3u8", port, viewers, worker)
        if mirror.done():
            mirror.result()
        mirror.cancel()
    report_load("nginx", viewers, windows, load)


async def measure_idle(bench: Bench, connections: int) -> None:
    """Memory of connections that have been answered once."""
    pid = bench.server.process.pid
    request = f"GET /live/{NAME}/main.m3u8 HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    sockets: list[socket.socket] = []
    try:
        before = resident_bytes(pid)
        for _ in range(connections):
            connection = socket.create_connection(("127.0.0.1", bench.server.http_port))
            sockets.append(connection)
            connection.sendall(request)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(0)
        # What was only passing through is given back.
        await bench.settle(3)
        report("delivery.idle.memory", [(resident_bytes(pid) - before) / connections], "bytes/connection", connections)
    finally:
        for connection in sockets:
            connection.close()


async def under_load(
    bench: Bench, mode: str, path: str, port: int, viewers: int, pid: int
) -> tuple[list[float], dict[str, Any]]:
    """Run the generator, and read the CPU of a process in three windows.

    Returns:
        Milliseconds of CPU a second of watching, by window; what the generator says at its end.
    """
    duration_s = ramp_s(viewers) + SETTLE_S + WINDOWS * WINDOW_S + 1
    command = [str(bench.viewload), "-q", "-H", "127.0.0.1", "-p", str(port), "-m", mode, "-P", path]
    command += ["-V", str(viewers), "-r", f"{ramp_s(viewers):g}", "-d", f"{duration_s:g}"]
    load = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    await bench.settle(ramp_s(viewers) + SETTLE_S)
    windows = []
    for _ in range(WINDOWS):
        cpu_before, started_at = cpu_seconds(pid), time.monotonic()
        await bench.settle(WINDOW_S)
        elapsed_s = time.monotonic() - started_at
        windows.append((cpu_seconds(pid) - cpu_before) * 1000 / elapsed_s / viewers)
    output, _ = await load.communicate()
    return windows, json.loads(output.splitlines()[-1])


def ramp_s(viewers: int) -> float:
    """How long viewers take to come."""
    return max(2.0, viewers / VIEWERS_PER_RAMP_SECOND)


# -- the publisher ----------------------------------------------------------------------------


class Publisher:
    """Sends the clip over and over as OBS does, and remembers when it sent the end of each part.

    Attributes:
        part_sent_at: For each part, when its last frame was handed to the kernel: wall clock, seconds.
    """

    def __init__(self, port: int, stream_key: str, tags: list[FlvTag]) -> None:
        self.part_sent_at: list[float] = []
        self._port = port
        self._stream_key = stream_key
        self._tags = tags
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publish until the block is left."""
        self._task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def assert_alive(self) -> None:
        """Raise what ended the publisher."""
        if self._task is not None and self._task.done():
            self._task.result()
            raise SystemExit("the publisher ended before its time")

    async def _run(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        drain = asyncio.create_task(read_all(reader))
        chunks = ChunkWriter()
        try:
            writer.write(b"\x03" + bytes(1536) + bytes(1536))
            writer.write(chunks.set_chunk_size(CHUNK_SIZE))
            for stream_id, values in login(self._stream_key):
                command = Message(MessageType.COMMAND_AMF0, 0, stream_id, amf0.write_values(*values))
                writer.write(chunks.write(command, 3))
            await writer.drain()
            started_at = time.monotonic() + 0.5  # by then the key is verified
            offset_ms = frames = 0
            while True:
                for tag in self._tags:
                    is_header = tag.tag_type == TagType.SCRIPT or tag.payload[1] == 0
                    if is_header and offset_ms:
                        continue
                    ahead_s = started_at + (offset_ms + tag.timestamp_ms) / 1000 - time.monotonic()
                    if ahead_s > 0:
                        await asyncio.sleep(ahead_s)
                    writer.write(chunks.write(Message(tag.tag_type, offset_ms + tag.timestamp_ms, 1, tag.payload), 4))
                    if tag.tag_type == TagType.VIDEO and not is_header:
                        is_keyframe = tag.payload[0] >> 4 == 1
                        # The clip's last part lacks a frame: it ends when the next keyframe comes.
                        is_end = frames % FRAMES_PER_PART != 0 if is_keyframe else (frames + 1) % FRAMES_PER_PART == 0
                        if is_end:
                            self.part_sent_at.append(time.time())
                        frames = 1 if is_keyframe else frames + 1
                offset_ms += CLIP_S * 1000
                await writer.drain()
        finally:
            drain.cancel()
            writer.close()


# -- the probes -------------------------------------------------------------------------------


class Probes:
    """Low-latency viewers that know when the kernel had what they were sent.

    Args:
        port: The server's.
        publisher: Knows when parts were complete.

    Attributes:
        first_byte_ms: From the last frame of a part to the first byte of the playlist that lists it.
        part_fetched_ms: From the last frame of a part to its last byte at the viewer.
    """

    def __init__(self, port: int, publisher: Publisher) -> None:
        self.first_byte_ms: list[float] = []
        self.part_fetched_ms: list[float] = []
        self._port = port
        self._publisher = publisher
        self._counts_from = 0.0

    @contextlib.asynccontextmanager
    async def running(self, ramp_s: float) -> AsyncIterator[None]:
        """Have them come among the other viewers, count when all are there, and leave with the block."""
        self._counts_from = time.time() + ramp_s + SETTLE_S
        tasks = [asyncio.create_task(self._follow(ramp_s * index / PROBES)) for index in range(PROBES)]
        try:
            yield
        finally:
            ended = [task for task in tasks if task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for task in ended:
                task.result()

    async def _follow(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        with contextlib.closing(TimedConnection(self._port)) as connection:
            text, _, _ = await connection.get(f"/live/{NAME}/main.m3u8")
            while True:
                msn, part, _ = edge(text.decode())
                query = f"?_HLS_msn={msn}&_HLS_part={part}"
                text, first_at, _ = await connection.get(f"/live/{NAME}/main.m3u8{query}")
                _, _, uri = edge(text.decode())
                _, _, last_at = await connection.get(f"/live/{NAME}/{uri}")
                if first_at > self._counts_from:
                    sent_at = max(at for at in self._publisher.part_sent_at[-40:] if at < first_at)
                    self.first_byte_ms.append((first_at - sent_at) * 1000)
                    self.part_fetched_ms.append((last_at - sent_at) * 1000)


class TimedConnection:
    """A connection that says when answers arrived."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    async def get(self, target: str) -> tuple[bytes, float, float]:
        """Ask for something and read all of the answer.

        Returns:
            The content; when the first and when the last byte of the answer arrived, wall clock, seconds.
        """
        self._socket.send(f"GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        received, first_at = await self._read()
        last_at = first_at
        while (head_end := received.find(b"\r\n\r\n")) < 0:
            received += (await self._read())[0]
        head = received[:head_end].decode("latin-1")
        length = re.search(r"(?im)^content-length: *([0-9]+)", head)
        assert head.startswith("HTTP/1.1 200 "), head
        assert length is not None, head
        content = bytearray(received[head_end + 4 :])
        while len(content) < int(length[1]):
            data, last_at = await self._read()
            content += data
        return bytes(content), first_at, last_at

    async def _read(self) -> tuple[bytes, float]:
        """Read what is there; when the last of it arrived."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(1 << 20, CONTROL_BYTES)
            except BlockingIOError:
                readable = asyncio.Event()
                loop.add_reader(self._socket, readable.set)
                try:
                    await readable.wait()
                finally:
                    loop.remove_reader(self._socket)
                continue
            if not data:
                raise ConnectionError("the server closed the connection of a probe")
            for level, kind, value in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                    seconds, nanoseconds = struct.unpack("@qq", value)
                    return data, seconds + nanoseconds / 1e9
            # The kernel begins to stamp arrivals a moment after the first socket has asked for it.
            return data, time.time()


def edge(playlist: str) -> tuple[int, int, str]:
    """Read what comes next, as _HLS_msn and _HLS_part, and the URI of the last part."""
    found = re.search(r"#EXT-X-MEDIA-SEQUENCE:([0-9]+)", playlist)
    parts = re.findall(r'#EXT-X-PART:.*URI="([^"]+)"', playlist)
    assert found is not None, playlist
    open_segment = playlist[playlist.rindex("#EXTINF") :].partition("\n")[2].partition("\n")[2]
    msn = int(found[1]) + playlist.count("#EXTINF")
    return msn, open_segment.count("#EXT-X-PART:"), parts[-1]


# -- nginx ------------------------------------------------------------------------------------


@contextlib.contextmanager
def run_nginx() -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """Run nginx on the server's core; its port, and the directory on tmpfs that it serves."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise SystemExit("no nginx on PATH; leave the case out")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        root = Path(directory)
        root.chmod(0o755)
        www = root / "www"
        www.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port: int = listener.getsockname()[1]
        config = root / "nginx.conf"
        config.write_text(NGINX_CONFIG.format(root=root, port=port))
        process = subprocess.Popen([program, "-c", str(config), "-p", directory], stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not is_listening(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("nginx did not start")
                time.sleep(0.05)
            pin(process.pid, SERVER_CORE)
            for child in children(process.pid):
                pin(child, SERVER_CORE)
            yield process, port, www
        finally:
            process.terminate()
            process.wait(10)


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


async def mirror_segments(playlist_url: str, www: Path) -> None:
    """Keep a directory as a plain HLS packager would: each segment once, then the playlist, renamed into place."""
    base = playlist_url.rpartition("/")[0]
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(playlist_url) as response:
                lines = (await response.text()).splitlines()
            uris = [line for line in lines if line and not line.startswith("#")]
            uris += re.findall(r'#EXT-X-MAP:URI="([^"]+)"', "\n".join(lines))
            for uri in uris:
                if not (www / uri).exists():
                    async with session.get(f"{base}/{uri}") as response:
                        (www / uri).parent.mkdir(exist_ok=True)
                        (www / uri).write_bytes(await response.read())
            low_latency = ("#EXT-X-PART", "#EXT-X-SERVER-CONTROL", "#EXT-X-PRELOAD-HINT")
            text = "\n".join(line for line in lines if not line.startswith(low_latency)) + "\n"
            (www / "main.tmp").write_text(text)
            (www / "main.tmp").rename(www / "main.m3u8")
            await asyncio.sleep(0.5)


# -- readings and reports -----------------------------------------------------------------------


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process on one core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def children(pid: int) -> list[int]:
    """Processes that a process without threads has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """Time that all threads of a process have had a core, as the scheduler counts it."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def report_load(case: str, viewers: int, windows: list[float], load: dict[str, Any]) -> None:
    """Report what a number of viewers cost and got."""
    report(f"delivery.{case}.cpu", windows, "ms/viewer-second", viewers)
    names = ("flv_lag_ms_p50", "flv_lag_ms_p99") if case == "flv" else ("seg_ms_p50", "seg_ms_p99")
    for name in (*names, "stalls", "stalled_now", "skipped", "errors", "per_viewer_mbps"):
        report(f"delivery.{case}.{name}", [float(load[name])], "", viewers)


def report(name: str, values: list[float], unit: str, viewers: int) -> None:
    """Print one JSON line, keep it, and print a line for people."""
    ordered = sorted(values)

    def percentile(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4)

    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    case = {
        "name": name,
        "value": round(statistics.median(ordered), 4),
        "unit": unit,
        "n": len(ordered),
        "p50": percentile(0.5),
        "p95": percentile(0.95),
        "p99": percentile(0.99),
        "viewers": viewers,
        "commit": revision,
        "python": platform.python_version(),
        "av": version("av"),
        "cpu": os.cpu_count(),
    }
    line = json.dumps(case)
    print(line, flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(line + "\n")
    print(
        f"{name:34} {viewers:>6} viewers {case['value']:>10.3f} {unit}"
        + (f"  p99 {case['p99']:.3f}" if len(ordered) > WINDOWS else ""),
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
