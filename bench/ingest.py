"""What does a publisher cost the server, from the socket to the playlist, and how soon is a part there?

Method: ``streamd serve`` as a process of its own on core 0; the load on core 1: a generator in C that is named with
``--rtmpload``, since no Python program sends for 400 publishers from one core and has time left. It must understand
``-H HOST -p PORT -a APP -K KEYS -n NUMBER -f FLV -d SECONDS -r RAMP_S`` (``-k`` in place of ``-K`` for names with
``{i}``), send as OBS does (chunk size 4096, a write for each message), print a JSON line every second with ``real``
(wall clock) and ``mbps`` (sent), and end with one that has ``fails``, ``closed`` and ``unsent_bytes``.

``cost``     CPU of the server's process for a second of one stream: what the scheduler counted in three windows, when
             those of the playlists are full; the median is quoted. Before them, the first 25 s, from the first connect
             on. The same load on nginx-rtmp with HLS on tmpfs comes in the same run, before and after, and its median
             too. Nobody watches. For how long the kernel was short of memory for sockets is reported with it: others on
             the machine make it so, each message wakes the server then, and the figures are not to be used.
``memory``   Of the same runs: resident memory that came with the streams, for each, and what of it is media in the
             windows of the playlists, by their own count.
``latency``  Among the publishers is one that remembers when it gave the last frame of a part to the kernel, with
             viewers that wait for each of its parts (``probes.py``): to the first byte of the playlist
             that lists the part.
``connect``  All publishers connect within one second. Somebody else asks for a small answer every 5 ms meanwhile: how
             long it takes is how long the loop was held. From the accepted publish to the tracks, by the admin API.

Left out: TLS, networks with loss, B-frames.

    python -m bench.ingest --rtmpload PATH [cost=50,100,200] [cost6=50] [native=100] [latency=100,400] [connect=100]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import metric, report
from bench.machine import LOAD_CORE, SERVER_CORE, cpu_seconds, pin, resident_bytes, tcp_pressure_s
from bench.nginx import run_nginx
from bench.probes import NAME, SETTLE_S, Probes, Publisher
from bench.publishing import CLIP_S, write_clip
from streamd.formats.flv.tag import FlvReader
from tests.support.server import run_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.server import LiveServer

WINDOWS = 3
WINDOW_S = 6.0
# From the first connect: then the window of a playlist is full.
FIRST_S = 25.0
RAMP_S = 4.0
LATENCY_S = 60.0
PING_INTERVAL_S = 0.005
CASES = {"cost": (2500, "1280x720"), "cost6": (6000, "1920x1080"), "latency": (2500, "1280x720")}
CASES["connect"] = CASES["latency"]
CASES["native"], CASES["native6"] = CASES["cost"], CASES["cost6"]
DEFAULT_CASES = ("cost=50,100,200", "cost6=50", "native=100", "native6=50", "latency=100,400", "connect=100")

NGINX_CONFIG = """
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
events {{ worker_connections 2048; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 4096;
  application live {{ live on; hls on; hls_path {directory}; hls_fragment 2s; hls_playlist_length 14s; }} }} }}
"""


def main() -> None:
    """Measure the cases that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rtmpload", type=Path, help="the load generator, compiled; see the head of this script")
    parser.add_argument("cases", nargs="*", default=DEFAULT_CASES, metavar="CASE=PUBLISHERS,…")
    arguments = parser.parse_args()
    if arguments.rtmpload is None or not os.access(arguments.rtmpload, os.X_OK):
        parser.error("--rtmpload has to name a load generator; what it must understand is in the head of this script")
    os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory() as directory:
        for argument in arguments.cases:
            case, _, numbers = argument.partition("=")
            if case not in CASES:
                parser.error(f"no such case: {case}")
            clip = Path(directory, f"{case}.flv")
            write_clip(clip, *CASES[case])
            load = Load(arguments.rtmpload.resolve(), clip)
            for number in map(int, numbers.split(",")):
                if case == "latency":
                    measure_latency(load, number)
                elif case == "connect":
                    measure_connect(load, number)
                else:
                    measure_cost(case, load, number)


@dataclass(frozen=True)
class Load:
    """The generator, and what it sends."""

    program: Path
    clip: Path

    @property
    def megabits_per_second(self) -> float:
        """Of one publisher; what the chunk stream adds is as much as what the FLV file does."""
        return self.clip.stat().st_size * 8e-6 / CLIP_S

    def start(
        self, port: int, names: list[str], seconds: float, publishers: int, ramp_s: float
    ) -> subprocess.Popen[bytes]:
        """Let publishers come within ``ramp_s``.

        Args:
            port: Of the server.
            names: Which options name the streams.
            seconds: How long it takes, ramp included.
            publishers: How many.
            ramp_s: As said.
        """
        command = [str(self.program), "-H", "127.0.0.1", "-p", str(port), "-a", "live", *names, "-n", str(publishers)]
        command += ["-f", str(self.clip), "-d", str(seconds), "-r", str(ramp_s)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def end_of(load: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Wait for a generator; what it says at its end."""
    said: dict[str, Any] = json.loads(load.communicate()[0].splitlines()[-1])
    return said


# -- cost and memory ----------------------------------------------------------------------------


def measure_cost(case: str, load: Load, publishers: int) -> None:
    """CPU and memory of both servers, nginx first and last."""
    nginx_first, nginx = cost_of_nginx(load, publishers)
    with streamd("native" if case.startswith("native") else "pyav") as server:
        pid, names = server.process.pid, keys(load, server, publishers)
        before = resident_bytes(pid)
        held: list[float] = []

        def weigh() -> None:
            held.extend((resident_bytes(pid) - before, metric(server, "streamd_media_held_bytes")))

        pressure_s = tcp_pressure_s()
        first, windows, said = under_load(load, pid, server.rtmp_port, names, publishers, weigh)
        pressure_s = tcp_pressure_s() - pressure_s
        grown, media = held
    nginx_first, nginx = (
        before + after for before, after in zip((nginx_first, nginx), cost_of_nginx(load, publishers), strict=True)
    )
    for name, streamds, nginxs in (("first.", first, nginx_first), ("", windows, nginx)):
        report("ingest", f"{case}.{name}streamd", streamds, "ms/stream-second", publishers=publishers)
        report("ingest", f"{case}.{name}nginx", nginxs, "ms/stream-second", publishers=publishers)
        ratio = statistics.median(streamds) / statistics.median(nginxs)
        report("ingest", f"{case}.{name}ratio", [ratio], "", publishers=publishers)
    report("ingest", f"{case}.tcp_pressure", [pressure_s], "s", publishers=publishers)
    report("ingest", f"{case}.memory", [grown / publishers], "bytes/stream", publishers=publishers)
    report("ingest", f"{case}.media", [media / publishers], "bytes/stream", publishers=publishers)
    report_end(case, said, publishers)


def cost_of_nginx(load: Load, publishers: int) -> tuple[list[float], list[float]]:
    """CPU of nginx-rtmp for the same load: in the first seconds, and in each window."""
    with run_nginx(NGINX_CONFIG, "hls") as (worker, port, _):
        first, windows, _ = under_load(load, worker, port, ["-k", "s{i}"], publishers, lambda: None)
        return first, windows


def under_load(
    load: Load, pid: int, port: int, names: list[str], publishers: int, at_end: Callable[[], None]
) -> tuple[list[float], list[float], dict[str, Any]]:
    """Run the generator against a server, which may be streamd or nginx.

    Args:
        load: The generator.
        pid: Process of the server.
        port: Its port.
        names: Options of the generator that name the streams.
        publishers: How many.
        at_end: Called when the last window is over and all still publish.

    Returns:
        CPU milliseconds for a second of one stream as far as it was sent: in the first ``FIRST_S``, one figure, and in
        each window; and what the generator said at its end.
    """
    marks = [(cpu_seconds(pid), time.time())]
    generator = load.start(port, names, FIRST_S + WINDOWS * WINDOW_S + 2, publishers, RAMP_S)
    for seconds in (FIRST_S, *[WINDOW_S] * WINDOWS):
        time.sleep(seconds)
        marks.append((cpu_seconds(pid), time.time()))
    at_end()
    said = [json.loads(line) for line in generator.communicate()[0].splitlines()]
    costs: list[float] = []
    for (cpu_before, since), (cpu, until) in itertools.pairwise(marks):
        # On a machine that others use as well, a generator may fall behind: what it did not send, did not cost.
        megabits = sum(second["mbps"] for second in said[:-1] if since < second["real"] <= until)
        costs.append((cpu - cpu_before) * 1000 / (megabits / load.megabits_per_second))
    return costs[:1], costs[1:], said[-1]


@contextlib.contextmanager
def streamd(demuxer: str = "pyav") -> Iterator[LiveServer]:
    """A server on its core that lets everybody in, and reads their frames with this demuxer."""
    with (
        tempfile.TemporaryDirectory() as directory,
        run_server(Path(directory), limits__connections_per_address_max=10_000, ingest__demuxer=demuxer) as server,
    ):
        pin(server.process.pid, SERVER_CORE)
        yield server


def keys(load: Load, server: LiveServer, publishers: int) -> list[str]:
    """Options of the generator that name a stream key for each publisher."""
    path = load.clip.with_suffix(".keys")
    path.write_text("".join(f"{server.issue_key(f'bench{index}')}\n" for index in range(publishers)))
    return ["-K", str(path)]


# -- latency ------------------------------------------------------------------------------------


def measure_latency(load: Load, publishers: int) -> None:
    """From the last frame of a part to its playlist, among other publishers."""
    tags = FlvReader().receive_data(load.clip.read_bytes())
    with streamd() as server:
        names = keys(load, server, publishers - 1)
        publisher = Publisher(server.rtmp_port, server.issue_key(NAME), tags)
        probes = Probes(server.http_port, publisher)

        async def follow() -> None:
            async with publisher.running():
                await asyncio.sleep(SETTLE_S)
                async with probes.running(ramp_s=RAMP_S):
                    await asyncio.sleep(RAMP_S + SETTLE_S + LATENCY_S)
                publisher.assert_alive()

        generator = load.start(server.rtmp_port, names, RAMP_S + 2 * SETTLE_S + LATENCY_S, publishers - 1, RAMP_S)
        asyncio.run(follow())
        said = end_of(generator)
        report(
            "ingest",
            "latency.first_byte",
            probes.first_byte_ms,
            "ms after the part's last frame",
            publishers=publishers,
        )
        report(
            "ingest",
            "latency.latest",
            [max(probes.first_byte_ms)],
            "ms after the part's last frame",
            publishers=publishers,
        )
        report_end("latency", said, publishers)


# -- connecting ---------------------------------------------------------------------------------


def measure_connect(load: Load, publishers: int) -> None:
    """How long the loop is held, and when all are live, while all publishers connect within a second."""
    with streamd() as server:
        names = keys(load, server, publishers)
        generator = load.start(server.rtmp_port, names, 2 * SETTLE_S, publishers, 1.0)
        answers_ms: list[float] = []
        until = time.monotonic() + SETTLE_S
        with socket.create_connection(("127.0.0.1", server.http_port)) as connection:
            request = b"GET /live/nobody/index.m3u8 HTTP/1.1\r\nHost: bench\r\n\r\n"
            while time.monotonic() < until:
                asked_at = time.monotonic()
                connection.sendall(request)
                connection.recv(65_536)
                answers_ms.append((time.monotonic() - asked_at) * 1000)
                time.sleep(PING_INTERVAL_S)
        streams = server.admin("GET", "/api/v1/streams")["streams"]
        live = sum(bool(stream["codecs"]) for stream in streams)
        end_of(generator)
        after_s = [record["after_s"] for record in server.log_events("stream.playable")]
    report("ingest", "connect.answer", answers_ms, "ms for a small answer meanwhile", publishers=publishers)
    report("ingest", "connect.answer_latest", [max(answers_ms)], "ms", publishers=publishers)
    report("ingest", "connect.live", [float(live)], "streams with tracks at the end of it", publishers=publishers)
    report(
        "ingest",
        "connect.playable",
        after_s,
        "s from the publish to the first part",
        publishers=publishers,
    )


# -- reports ------------------------------------------------------------------------------------


def report_end(case: str, said: dict[str, Any], publishers: int) -> None:
    """Report what was lost."""
    for name in ("fails", "closed", "unsent_bytes"):
        report("ingest", f"{case}.{name}", [float(said[name])], "", publishers=publishers)


if __name__ == "__main__":
    main()
