"""How much does a second of watching cost the server, and how soon does a part reach its waiting viewers?

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
``first_byte``  Among the viewers of ``llhls`` are probes that connect with them. From the moment that the publisher has
             handed the last frame of a part to the kernel, to the arrival of the first byte of the playlist
             (``first_byte``) and of the last byte of the part itself (``part_fetched``), by the kernel's clock of
             arrivals (``SO_TIMESTAMPNS``), so that a busy load core does not count. Ingest is part of it.
``idle``     Resident memory of a connection that has asked for one playlist and stays. It is measured first: memory
             that viewers leave to the allocator would be used again.

Left out: TLS, networks, other streams; socket buffers, which are the kernel's memory; gzipped playlists, which the
generator does not request. An idle core wakes dearly: compare figures of the same run only.

    python -m bench.delivery --viewload PATH [idle=5000] [hls=500,1000,5000] [nginx=1000] [llhls=100,1000] [flv=1000]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from bench.figures import report
from bench.machine import LOAD_CORE, SERVER_CORE, cpu_seconds, pin, resident_bytes
from bench.nginx import run_nginx
from bench.probes import NAME, SETTLE_S, Probes, Publisher
from bench.publishing import make_clip
from tests.support.server import run_server

if TYPE_CHECKING:
    from streamd.formats.flv.tag import FlvTag
    from tests.support.server import LiveServer

BITRATE_KBPS = 2500
WINDOWS = 3
WINDOW_S = 6.0
VIEWERS_PER_RAMP_SECOND = 500
DEFAULT_CASES = ("idle=5000", "hls=500,1000,5000", "nginx=1000", "llhls=100,500,1000", "flv=500,1000")
# The capacity of one core is measured, not assumed; a case that cannot keep up says so.
CASES = ("hls", "nginx", "llhls", "flv", "idle")

NGINX_CONFIG = """
events {{ worker_connections 16384; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp4 m4s mp4; }}
  client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
  server {{ listen 127.0.0.1:{port}; root {directory}; location ~ m4s$ {{ open_file_cache max=100; }} }}
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
    """The parts that all cases share."""

    server: LiveServer
    viewload: Path
    publisher: Publisher

    async def settle(self, seconds: float) -> None:
        """Wait, and check that the stream goes on."""
        await asyncio.sleep(seconds)
        self.publisher.assert_alive()


async def measure(server: LiveServer, tags: list[FlvTag], viewload: Path, cases: list[tuple[str, int]]) -> None:
    """Publish, and run the cases one after another."""
    publisher = Publisher(server.rtmp_port, server.issue_key(NAME), tags)
    async with publisher.running():
        bench = Bench(server, viewload, publisher)
        # Seconds until the window of segments is full, and playlists have their final length.
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
            report("delivery", f"llhls.{name}", delays, "ms after the part's last frame", viewers=viewers)


async def measure_nginx(bench: Bench, viewers: int) -> None:
    """CPU of nginx for the same segments."""
    with run_nginx(NGINX_CONFIG, "www") as (worker, port, www):
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
        # Memory of passing bytes is given back.
        await bench.settle(3)
        report(
            "delivery",
            "idle.memory",
            [(resident_bytes(pid) - before) / connections],
            "bytes/connection",
            viewers=connections,
        )
    finally:
        for connection in sockets:
            connection.close()


async def under_load(
    bench: Bench, mode: str, path: str, port: int, viewers: int, pid: int
) -> tuple[list[float], dict[str, Any]]:
    """Run the generator, and read the CPU of a process in three windows.

    Returns:
        Milliseconds of CPU a second of watching, by window; the last line of the generator.
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
    """Seconds in which viewers connect."""
    return max(2.0, viewers / VIEWERS_PER_RAMP_SECOND)


# -- nginx ------------------------------------------------------------------------------------


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


# -- reports ------------------------------------------------------------------------------------


def report_load(case: str, viewers: int, windows: list[float], load: dict[str, Any]) -> None:
    """Report the cost and the latencies of a number of viewers."""
    report("delivery", f"{case}.cpu", windows, "ms/viewer-second", viewers=viewers)
    names = ("flv_lag_ms_p50", "flv_lag_ms_p99") if case == "flv" else ("seg_ms_p50", "seg_ms_p99")
    for name in (*names, "stalls", "stalled_now", "skipped", "errors", "per_viewer_mbps"):
        report("delivery", f"{case}.{name}", [float(load[name])], "", viewers=viewers)


if __name__ == "__main__":
    main()
