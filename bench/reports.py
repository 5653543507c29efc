"""Do 100,000 reports from 10,000 addresses hold up a live stream, and does memory stay flat?

Method: ``streamd serve`` as a process of its own behind a proxy that names the addresses, with one stream of the test
clip in real time. A process floods ``POST /api/v1/reports`` over some connections, each request from the next address;
half of the addresses report the live channel, the others names that are nowhere. Told are how late the loop was and how
late parts were, by the server's own histograms over the flood; how long its thread waited for a processor that others
used, by the kernel's accounting; and the resident memory.

Left out: real networks and TLS. Server, flood and publisher share the machine.

    python -m bench.reports [--reports 100000] [--addresses 10000] [--connections 32]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import report
from tests.hostile.siege import CHANNEL, CLIP_S, Footprint
from tests.support.flv_media import h264_aac
from tests.support.server import run_server
from tests.support.tag_publisher import TagPublisher, publishing, repeated

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    from tests.support.server import LiveServer

# Of a histogram of the server's: its bounds in seconds, and how many observations were within.
Buckets = dict[float, float]


def main() -> None:
    """Flood a server, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--reports", type=int, default=100_000)
    parser.add_argument("--addresses", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    options = {
        "moderation__enabled": "true",
        "moderation__scan": "off",
        "http__trusted_proxies": "127.0.0.0/8",
        "limits__viewer_connections_per_address_max": arguments.connections + 8,
    }
    tags = h264_aac(CLIP_S, gop=60)
    with tempfile.TemporaryDirectory() as directory, run_server(Path(directory), **options) as server:
        publisher = TagPublisher(server.rtmp_port, server.issue_key(CHANNEL))
        with publisher, publishing(publisher, repeated(tags, CLIP_S * 1000)):
            server.wait_until_playable(CHANNEL)
            time.sleep(3 * CLIP_S)
            measure(server, "nobody", 0, arguments.addresses, arguments.connections)
            measure(server, "the flood", arguments.reports, arguments.addresses, arguments.connections)


def measure(server: LiveServer, name: str, reports: int, addresses: int, connections: int) -> None:
    """Send reports, or look for a while where there are none, and report."""
    before = Footprint.of(server)
    lag, delay, waited = buckets(server, "loop_lag"), buckets(server, "part_delay"), run_delay_s(server)
    began = time.monotonic()
    statuses: dict[int, int] = {}
    if reports:
        context = multiprocessing.get_context("spawn")
        said: Queue[dict[int, int]] = context.Queue()
        process = context.Process(target=flood, args=(server.http_port, reports, addresses, connections, said))
        process.start()
        statuses = said.get(timeout=3600)
        process.join()
    else:
        time.sleep(20)
    took_s = time.monotonic() - began
    lag, delay = since(lag, buckets(server, "loop_lag")), since(delay, buckets(server, "part_delay"))
    after = Footprint.of(server)
    report(
        "reports", name, [took_s], "s",
        statuses={str(status): count for status, count in sorted(statuses.items())},
        loop_lag_p50_ms=quantile_ms(lag, 0.5),
        loop_lag_p99_ms=quantile_ms(lag, 0.99),
        loop_lag_max_ms=quantile_ms(lag, 1),
        part_delay_p99_ms=quantile_ms(delay, 0.99), part_delay_max_ms=quantile_ms(delay, 1),
        waited_for_a_processor_s=round(run_delay_s(server) - waited, 2),
        memory_mb=[round(each.resident_bytes / 1e6, 1) for each in (before, after)],
        load=round(os.getloadavg()[0], 1),
    )  # fmt: skip


def flood(port: int, reports: int, addresses: int, connections: int, said: Queue[dict[int, int]]) -> None:
    """Send reports over some connections, and say what they were answered."""
    said.put(asyncio.run(_flood(port, reports, addresses, connections)))


async def _flood(port: int, reports: int, addresses: int, connections: int) -> dict[int, int]:
    statuses: Counter[int] = Counter()
    numbers = iter(range(reports))

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            address = number % addresses
            body = {
                "stream": CHANNEL if address % 2 else f"nobody-{number}",
                "category": "VIOLENCE",
                "explanation": f"They show {number}. " + "x" * 200,
                "good_faith": True,
            }
            data = json.dumps(body).encode()
            source = f"10.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"
            writer.write(
                f"POST /api/v1/reports HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {source}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                + data
            )
            head = await reader.readuntil(b"\r\n\r\n")
            statuses[int(head[9:12])] += 1
            length = re.search(rb"(?i)content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length is not None else 0)
        writer.close()

    await asyncio.gather(*(send() for _ in range(connections)))
    return dict(statuses)


def buckets(server: LiveServer, name: str) -> Buckets:
    """A histogram of the server's."""
    pattern = rf'^streamd_{name}_seconds_bucket\{{le="([^"]+)"\}} (\S+)$'
    found = re.findall(pattern, server.admin_get("/metrics"), re.MULTILINE)
    return {float(bound): float(count) for bound, count in found}


def since(before: Buckets, after: Buckets) -> Buckets:
    """What was observed between two looks."""
    return {bound: count - before.get(bound, 0) for bound, count in after.items()}


def quantile_ms(found: Buckets, share: float) -> float:
    """The bound that a share of all observations are within, milliseconds."""
    total = max(found.values(), default=0)
    within = (bound for bound, count in sorted(found.items()) if count >= share * total)
    return round(next(within, 0.0) * 1000, 1)


def run_delay_s(server: LiveServer) -> float:
    """How long the server's thread has waited for a processor so far, seconds."""
    text = Path(f"/proc/{server.process.pid}/schedstat").read_text("ascii")
    return int(text.split()[1]) / 1e9


if __name__ == "__main__":
    main()
