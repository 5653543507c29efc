"""How much do thousands of idle connections cost: memory for each, and delay of a playing stream's parts?

Method: ``streamd serve`` as a process of its own, its time limits far away, with one stream of the test clip in real
time. Each case opens its connections, waits a window, and closes them. Memory is the resident set of the server's
process, less its size before the first case: the next case uses memory that one leaves to the allocator. Part delay is
the server's own histogram over the window (``streamd_part_delay_seconds``: how much later than one part's duration
after the part before), its quantiles interpolated.

Left out: TLS, and connections of real networks. Server and clients share the machine, and opening is a flood.

    python -m bench.idle [--rtmp 5000] [--http 10000] [--window 10]
"""

from __future__ import annotations

import argparse
import itertools
import re
import resource
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import report
from tests.hostile.attacker import LOGIN
from tests.hostile.siege import CHANNEL, CLIP_S, Footprint
from tests.support.flv_media import h264_aac
from tests.support.rtmp_wire import SIMPLE_HANDSHAKE
from tests.support.server import run_server, wait_until
from tests.support.tag_publisher import TagPublisher, publishing, repeated

if TYPE_CHECKING:
    from tests.support.server import LiveServer

FAR_AWAY_S = 3600
# Connections from one source address, each address used once: a case never meets ports in TIME_WAIT of an earlier one.
PER_ADDRESS = 5_000
CONNECT_TIMEOUT_S = 30.0
SETTLE_TIMEOUT_S = 60.0
BUCKET = re.compile(r'^streamd_part_delay_seconds_bucket\{le="([^"]+)"\} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """Connections of one kind."""

    name: str
    port: str
    says: bytes


CASES = (
    Case("RTMP, silent", "rtmp", b""),
    Case("RTMP, C0 and C1", "rtmp", SIMPLE_HANDSHAKE[:1537]),
    Case("RTMP, logged in", "rtmp", SIMPLE_HANDSHAKE + LOGIN),
    Case("HTTP, silent", "http", b""),
    Case("HTTP, kept after an answer", "http", f"GET /live/{CHANNEL}/index.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n".encode()),
)

# Connections so far.
opened = itertools.count()
# Just above the number that is opened: the server shares its descriptors by these limits.
SPARE = 100


def main() -> None:
    """Measure every case, then all of RTMP's first and HTTP's last at once, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rtmp", type=int, default=5000)
    parser.add_argument("--http", type=int, default=10_000)
    parser.add_argument("--window", type=float, default=10.0)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    counts = {"rtmp": arguments.rtmp, "http": arguments.http}
    limits: dict[str, object] = {
        **{f"limits__{name}": FAR_AWAY_S for name in ("handshake_timeout_s", "publish_timeout_s")},
        **{f"limits__{name}": FAR_AWAY_S for name in ("viewer_head_timeout_s", "viewer_idle_timeout_s")},
        **{f"limits__{name}": arguments.rtmp + SPARE for name in ("connections_max", "connections_per_address_max")},
        "limits__handshakes_max": arguments.rtmp + SPARE,
        "limits__viewer_connections_max": arguments.http + SPARE,
        "limits__viewer_connections_per_address_max": arguments.http + SPARE,
    }
    tags = h264_aac(CLIP_S, gop=60)
    with tempfile.TemporaryDirectory() as directory, run_server(Path(directory), **limits) as server:
        publisher = TagPublisher(server.rtmp_port, server.issue_key(CHANNEL))
        with publisher, publishing(publisher, repeated(tags, CLIP_S * 1000)):
            server.wait_until_playable(CHANNEL)
            # The window of the playlist is full, and memory has its size.
            time.sleep(3 * CLIP_S)
            alone = Footprint.of(server)
            measure(server, alone, "nothing", [], arguments.window)
            for case in CASES:
                measure(server, alone, case.name, [(case, counts[case.port])], arguments.window)
            both = [(CASES[0], counts["rtmp"]), (CASES[-1], counts["http"])]
            measure(server, alone, "both at once", both, arguments.window)


def measure(server: LiveServer, alone: Footprint, name: str, what: list[tuple[Case, int]], window_s: float) -> None:
    """Open connections, look at the server for a while, close them, and report.

    Args:
        server: It.
        alone: Its memory before the first case.
        name: The case's.
        what: The connections, and their number.
        window_s: Seconds to look.
    """
    before = Footprint.of(server)
    opened_at = time.monotonic()
    sockets = [connect(server, case) for case, count in what for _ in range(count)]
    wait_until(
        lambda: Footprint.of(server).descriptors >= before.descriptors + len(sockets), SETTLE_TIMEOUT_S, "accepting"
    )
    opening_s = time.monotonic() - opened_at
    start = buckets(server)
    time.sleep(window_s)
    delays = {le: count - start[le] for le, count in buckets(server).items()}
    held = Footprint.of(server)
    for connection in sockets:
        connection.close()
    wait_until(lambda: Footprint.of(server).descriptors <= before.descriptors, SETTLE_TIMEOUT_S, "closing")
    after = Footprint.of(server)
    grown = held.resident_bytes - alone.resident_bytes
    report(
        "idle",
        name,
        [grown / len(sockets) if sockets else 0.0],
        "bytes a connection",
        n=len(sockets),
        part_delay_p50_ms=quantile_ms(delays, 0.5),
        part_delay_p99_ms=quantile_ms(delays, 0.99),
        parts=delays[float("inf")],
        opening_s=round(opening_s, 2),
        left_bytes=after.resident_bytes - alone.resident_bytes,
    )


def connect(server: LiveServer, case: Case) -> socket.socket:
    """Open one connection and send the bytes of its kind; read nothing."""
    port = server.rtmp_port if case.port == "rtmp" else server.http_port
    source = f"127.2.0.{1 + next(opened) // PER_ADDRESS}"
    connection = socket.create_connection(("127.0.0.1", port), CONNECT_TIMEOUT_S, source_address=(source, 0))
    if case.says:
        connection.sendall(case.says)
    return connection


def buckets(server: LiveServer) -> dict[float, float]:
    """The histogram of part delays: how many parts were no later, by seconds."""
    return {float(le): float(count) for le, count in BUCKET.findall(server.admin_get("/metrics"))}


def quantile_ms(delays: dict[float, float], quantile: float) -> float:
    """Interpolate within a bucket, as Prometheus does."""
    rank = quantile * delays[float("inf")]
    below, lower = 0.0, 0.0
    for upper, count in sorted(delays.items()):
        if count >= rank:
            share = (rank - below) / (count - below) if count > below else 1.0
            return round(1000 * (lower + (min(upper, 10.0) - lower) * share), 2)
        below, lower = count, upper
    raise AssertionError("no part")


if __name__ == "__main__":
    main()
