"""How much dearer is a viewer over TLS than one in clear text, and than a viewer of nginx over TLS?

Method: all servers at the same time on core 0, so that the machine's other work meets them in the same seconds: the
program in clear text, the program over TLS (once for each ``--tree``), and for ``hls`` nginx with the same segments on
tmpfs, in clear text and over TLS, with the same certificate and OpenSSL. Each of ours has one stream of 2.5 Mb/s
(720p30, 2 s GOPs, 500 ms parts). On core 1 are the publishers and the viewers, by the generator that is named with
``--viewload`` (as for ``delivery.py``, with ``-t`` for TLS and ``-c`` for viewers that take bodies out of the kernel,
as those over TLS have to). CPU is the kernel's account of each process
(``/proc/PID/task/*/schedstat``) over the same windows; what the stream costs without viewers is measured before they
come and taken off. ``dropped`` is a server in clear text whose viewers leave bodies in the kernel (``MSG_TRUNC``), as
in ``delivery.py``: the loopback then hands the core that sends its own pages back, which no network does.

Left out: handshakes, which are before the windows; memory (``silent.py``); HTTP/2, which neither speaks here.

    python -m bench.tls --viewload PATH [--tree PATH]… [llhls=200] [hls=200] [flv=200]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.delivery import mirror_segments
from bench.figures import report
from bench.machine import LOAD_CORE, cpu_seconds, on_core
from bench.nginx import run_nginx
from bench.pairs import BITRATE_KBPS, ROOT, SIZE, Tree, serving
from bench.probes import NAME, Publisher
from bench.publishing import make_clip
from tests.support.certificates import ONE

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = ("llhls", "hls", "flv")
WINDOWS = 3
WINDOW_S = 5.0
FILL_S = 12.0
RAMP_S = 6.0
SETTLE_S = 4.0
NGINX_CONFIG = """
events {{ worker_connections 16384; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp4 m4s mp4; }}
  client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
  server {{ listen 127.0.0.1:{port} %s; root {directory}; location ~ m4s$ {{ open_file_cache max=100; }} }}
}}
"""


@dataclass(frozen=True)
class Served:
    """One server that is measured."""

    name: str
    pid: int
    port: int
    path: str
    is_tls: bool
    is_dropped: bool = False


def main() -> None:
    """Measure the cases that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--viewload", type=Path, required=True, help="the load generator; see bench/delivery.py")
    parser.add_argument("--tree", type=Path, action="append", help="a compiled tree, the first one in clear text too")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("cases", nargs="*", default=("llhls=200", "hls=200", "flv=200"), metavar="CASE=VIEWERS")
    arguments = parser.parse_intermixed_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    trees = [each.resolve() for each in arguments.tree or [ROOT]]
    for each in arguments.cases:
        case, _, number = each.partition("=")
        if case not in CASES:
            parser.error(f"{case} is none of {', '.join(CASES)}")
        for _ in range(arguments.rounds):
            asyncio.run(measure(case, int(number), trees, arguments.viewload.resolve()))


async def measure(case: str, viewers: int, trees: list[Path], viewload: Path) -> None:
    """Measure one case, and report."""
    with tempfile.TemporaryDirectory() as directory:
        async with contextlib.AsyncExitStack() as stack:
            named = [("plain", trees[0], False), ("dropped", trees[0], False)]
            named += [(f"tls {tree.name}", tree, True) for tree in trees]
            servers = [
                stack.enter_context(serving(Tree(tree), Path(directory, str(place)), is_tls=is_tls))
                for place, (_, tree, is_tls) in enumerate(named)
            ]
            tags = make_clip(BITRATE_KBPS, SIZE)
            publishers = [Publisher(each.rtmp_port, each.issue_key(NAME), tags) for each in servers]
            for publisher in publishers:
                await stack.enter_async_context(publisher.running())
            path = f"/live/{NAME}.flv" if case == "flv" else f"/live/{NAME}/main.m3u8"
            served = [
                Served(name, each.process.pid, each.http_port, path, is_tls, name == "dropped")
                for (name, _, is_tls), each in zip(named, servers, strict=True)
            ]
            await asyncio.sleep(FILL_S)
            alone = await window(served)
            if case == "hls":
                for is_tls in (False, True):
                    worker, port, www = stack.enter_context(nginx(Path(directory), is_tls=is_tls))
                    mirror = asyncio.create_task(mirror_segments(servers[0].playlist_url(NAME, "main"), www))
                    stack.callback(mirror.cancel)
                    served.append(Served("nginx tls" if is_tls else "nginx", worker, port, "/main.m3u8", is_tls))
                await asyncio.sleep(3)
            windows = await under_load(case, served, viewers, viewload)
            for publisher in publishers:
                publisher.assert_alive()
    report_all(case, viewers, served, alone, windows)


@contextlib.contextmanager
def nginx(directory: Path, *, is_tls: bool) -> Iterator[tuple[int, int, Path]]:
    """Run nginx, in clear text or with the certificate that ours has."""
    cert, key = directory / "nginx-cert.pem", directory / "nginx-key.pem"
    cert.write_text(ONE.cert)
    key.write_text(ONE.key)
    listens = f"ssl; ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3"
    with run_nginx(NGINX_CONFIG % (listens if is_tls else ""), "www") as found:
        yield found


async def under_load(case: str, served: list[Served], viewers: int, viewload: Path) -> list[list[float]]:
    """Have as many viewers at each; CPU of each in the same windows, seconds a second."""
    loads = []
    for each in served:
        command = [str(viewload), "-q", "-H", "127.0.0.1", "-p", str(each.port), "-m", case, "-P", each.path]
        command += ["-V", str(viewers), "-r", str(RAMP_S), "-d", str(RAMP_S + SETTLE_S + WINDOWS * WINDOW_S + 2)]
        with on_core(LOAD_CORE):
            loads.append(
                await asyncio.create_subprocess_exec(
                    *command,
                    *(["-t"] if each.is_tls else [] if each.is_dropped else ["-c"]),
                    stdout=asyncio.subprocess.PIPE,
                )
            )
    await asyncio.sleep(RAMP_S + SETTLE_S)
    windows = [await window(served) for _ in range(WINDOWS)]
    for load, each in zip(loads, served, strict=True):
        said: dict[str, Any] = json.loads((await load.communicate())[0].splitlines()[-1])
        if any(said[fault] for fault in ("errors", "stalls", "skipped")):
            print(f"{each.name} could not keep up: {said}", file=sys.stderr)
        print(f"{each.name}: {said['per_viewer_mbps']} Mb/s a viewer", file=sys.stderr)
    return windows


async def window(served: list[Served]) -> list[float]:
    """CPU of each in one window, seconds a second."""
    before, begun_at = [cpu_seconds(each.pid) for each in served], time.monotonic()
    await asyncio.sleep(WINDOW_S)
    elapsed_s = time.monotonic() - begun_at
    return [(cpu_seconds(each.pid) - earlier) / elapsed_s for each, earlier in zip(served, before, strict=True)]


def report_all(case: str, viewers: int, served: list[Served], alone: list[float], windows: list[list[float]]) -> None:
    """Report the cost of a viewer at each server, and its ratio to the plain one's in the same windows."""
    idle = [*alone, *[0.0] * (len(served) - len(alone))]
    net = [[(cpu - rest) * 1000 / viewers for cpu, rest in zip(each, idle, strict=True)] for each in windows]
    for place, server in enumerate(served):
        ratios = [each[place] / each[0] for each in net]
        report(
            "tls",
            f"{case}.{server.name}",
            [each[place] for each in net],
            "ms/viewer-second",
            viewers=viewers,
            to_plain=round(statistics.median(ratios), 3),
            least=round(min(ratios), 3),
            most=round(max(ratios), 3),
            load=round(os.getloadavg()[0], 1),
        )
        print(f"{'':46} {statistics.median(ratios):.3f} of plain", file=sys.stderr)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), on_core(LOAD_CORE):
        main()
