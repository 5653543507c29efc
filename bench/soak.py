"""Does a server keep any memory of hours of bad use?

Method: ``streamd serve`` as a process of its own, and this process with all its users. Publishers on a number of
channels come, go live, say goodbye, vanish, fall silent, send garbage, show wrong keys, take a place that is taken,
have their keys revoked and rotated, and come back. Viewers of every kind come to the live channels and leave at random:
LL-HLS, HLS, HTTP-FLV, MP4, and some that read too slowly. Beside them one broadcast goes on all the time, and probes
measure how late its parts are. Every few seconds the server's memory, descriptors and tasks are read. The readings are
drawn, the first half after the warm-up is compared with the second, and a line is fitted to the memory of both. Random
choices are the same in every run.

Left out: TLS, networks with loss, real encoders and players.

    pip install matplotlib    # for the plot alone
    python -m bench.soak [--minutes 20] [--channels 8] [--viewers 24]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from bench.broadcast import Broadcast
from bench.figures import RESULTS, metric, percentile, report
from bench.machine import cpu_seconds, open_descriptors, resident_bytes
from bench.probes import NAME, Probes, Publisher
from bench.publishing import CLIP_S, make_clip
from tests.support.server import run_server

if TYPE_CHECKING:
    from streamd.formats.flv.tag import FlvTag
    from tests.support.server import LiveServer

SAMPLE_S = 5.0
WARM_UP_SHARE = 0.25
# Streams that wait for their publisher, playlists of ended ones, and connections that linger are gone after it.
RECONNECT_WINDOW_S = 10
GRACE_S = RECONNECT_WINDOW_S + 30.0
BITRATE_KBPS = 300
TIMEOUT = aiohttp.ClientTimeout(total=60, sock_read=30)


@dataclass
class Sample:
    """The server at one moment."""

    at_s: float
    memory_mb: float
    descriptors: int
    tasks: int
    streams: int
    cpu_share: float
    part_delay_p50_ms: float
    part_delay_p99_ms: float


@dataclass
class Crowd:
    """All users of the server."""

    server: LiveServer
    session: aiohttp.ClientSession
    tags: list[FlvTag]
    random: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    # -- publishers -------------------------------------------------------------------------

    async def use_channel(self, name: str) -> None:
        """One broadcaster, for ever."""
        key = await self._issue(name)
        endings = {
            "goodbye": self._goodbye,
            "drop": self._drop,
            "come_back": self._come_back,
            "silence": self._fall_silent,
            "garbage": self._send_garbage,
            "second_encoder": self._come_twice,
            "revoke": self._goodbye,
            "rotate": self._goodbye,
            "wrong_key": self._goodbye,
        }
        while True:
            how = self.random.choice([*endings])
            self.counts[f"publisher.{how}"] += 1
            if how == "wrong_key":
                wrong = await Broadcast.begin(self.server.rtmp_port, f"{key[:-4]}0000", self.tags, CLIP_S)
                await wrong.send(2)
                await wrong.close()
            broadcast = await self._begin(key)
            sending = asyncio.create_task(broadcast.send(self.random.uniform(4, 30)))
            await asyncio.sleep(self.random.uniform(1, 4))
            if how == "revoke":
                await self._admin("POST", f"/api/v1/keys/{key.split('_')[1]}/revoke", {"reason": "soak"})
                key = await self._issue(name)
            elif how == "rotate":
                answer = await self._admin("POST", f"/api/v1/keys/{key.split('_')[1]}/rotate", {"overlap_s": 5})
                key = str(answer["stream_key"])
            await sending
            await endings[how](broadcast, key)
            await asyncio.sleep(self.random.uniform(0, 3))

    async def _begin(self, key: str) -> Broadcast:
        return await Broadcast.begin(self.server.rtmp_port, key, self.tags, CLIP_S)

    async def _goodbye(self, broadcast: Broadcast, _: str) -> None:
        await broadcast.say_goodbye()

    async def _drop(self, broadcast: Broadcast, _: str) -> None:
        broadcast.drop()

    async def _come_back(self, broadcast: Broadcast, key: str) -> None:
        for _ in range(3):
            broadcast.drop()
            await asyncio.sleep(self.random.uniform(0, 4))
            broadcast = await self._begin(key)
            await broadcast.send(self.random.uniform(2, 6))
        await broadcast.say_goodbye()

    async def _fall_silent(self, broadcast: Broadcast, _: str) -> None:
        await asyncio.sleep(self.random.uniform(5, 25))
        broadcast.drop()

    async def _send_garbage(self, broadcast: Broadcast, _: str) -> None:
        broadcast.say(self.random.randbytes(5000))
        await asyncio.sleep(1)
        await broadcast.close()

    async def _come_twice(self, broadcast: Broadcast, key: str) -> None:
        second = await self._begin(key)
        await second.send(1)
        await second.close()
        await broadcast.say_goodbye()

    # -- keys -------------------------------------------------------------------------------

    async def churn_keys(self) -> None:
        """Issue, list, rotate and revoke keys without a publisher, for ever."""
        while True:
            key = await self._issue(f"churn{self.random.randrange(50)}")
            await self._admin("GET", "/api/v1/keys?limit=10")
            rotated = await self._admin("POST", f"/api/v1/keys/{key.split('_')[1]}/rotate", {})
            await self._admin("POST", f"/api/v1/keys/{rotated['id']}/revoke", {})
            self.counts["keys.churned"] += 1
            await asyncio.sleep(0.5)

    async def _issue(self, user: str) -> str:
        return str((await self._admin("POST", "/api/v1/keys", {"user": user}))["stream_key"])

    async def _admin(self, method: str, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {self.server.admin_token}"}
        async with self.session.request(method, self.server.admin_url + path, json=body, headers=headers) as answer:
            if answer.status >= 500:
                self.counts[f"admin.{answer.status}"] += 1
            found: dict[str, object] = await answer.json(content_type=None)
            return found

    # -- viewers ----------------------------------------------------------------------------

    async def watch(self) -> None:
        """One seat that viewers of all kinds take in turn, for ever."""
        kinds = {
            "llhls": self._watch_llhls,
            "hls": self._watch_hls,
            "flv": self._watch_flv,
            "mp4": self._watch_mp4,
            "slow": self._read_slowly,
        }
        while True:
            kind = self.random.choice([*kinds])
            async with self.session.get(f"{self.server.http_url}/api/v1/streams") as answer:
                live = [stream["name"] for stream in (await answer.json())["streams"]]
            if live:
                self.counts[f"viewer.{kind}"] += 1
                with contextlib.suppress(TimeoutError, aiohttp.ClientError):
                    async with asyncio.timeout(self.random.uniform(2, 30)):
                        await kinds[kind](f"{self.server.http_url}/live/{self.random.choice(live)}")
            await asyncio.sleep(self.random.uniform(0, 1))

    async def _watch_llhls(self, url: str) -> None:
        query = ""
        while (text := await self._get(f"{url}/main.m3u8{query}")) and b"#EXT-X-ENDLIST" not in text:
            hint = re.search(rb'PRELOAD-HINT:TYPE=PART,URI="([^"]+)"', text)
            first = re.search(rb"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)
            if hint is None or first is None:
                return
            msn = int(first[1]) + text.count(b"#EXTINF")
            part = text.rpartition(b"#EXTINF")[2].count(b"#EXT-X-PART:")
            query = f"?_HLS_msn={msn}&_HLS_part={part}"
            await self._get(f"{url}/{hint[1].decode()}")

    async def _watch_hls(self, url: str) -> None:
        while (text := await self._get(f"{url}/main.m3u8")) and b"#EXT-X-ENDLIST" not in text:
            segments = re.findall(rb"^(\S+\.m4s)$", text, re.MULTILINE)
            if segments:
                await self._get(f"{url}/{segments[-1].decode()}")
            await asyncio.sleep(2)

    async def _watch_flv(self, url: str) -> None:
        await self._read(f"{url}.flv", 65_536, 0)

    async def _watch_mp4(self, url: str) -> None:
        await self._read(f"{url}.mp4", 65_536, 0)

    async def _read_slowly(self, url: str) -> None:
        await self._read(f"{url}.flv", 500, 0.2)

    async def _get(self, url: str) -> bytes:
        async with self.session.get(url) as answer:
            if answer.status >= 500 and answer.status != 503:
                self.counts[f"public.{answer.status}"] += 1
            return await answer.read() if answer.status == 200 else b""

    async def _read(self, url: str, size: int, pause_s: float) -> None:
        async with self.session.get(url) as answer:
            async for _ in answer.content.iter_chunked(size):
                await asyncio.sleep(pause_s)


def main() -> None:
    """Soak a server and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--channels", type=int, default=8, help="publishers that misbehave")
    parser.add_argument("--viewers", type=int, default=24)
    arguments = parser.parse_args()
    tags = make_clip(BITRATE_KBPS, "320x180")
    settings = {
        "live__reconnect_window_s": RECONNECT_WINDOW_S,
        # All users have one address here; their wrong keys are a part of the soak.
        "limits__connections_per_address_max": 1000,
        "limits__failed_publishes_per_address_max": 10_000,
        "limits__failed_publishes_per_key_max": 10_000,
    }
    with tempfile.TemporaryDirectory() as directory, run_server(Path(directory), **settings) as server:
        samples, counts = asyncio.run(soak(server, tags, arguments))
        faults = [line for line in server.log_text().splitlines() if '"exception"' in line or "Traceback" in line]
    conclude(samples, counts, len(faults), arguments)


async def soak(
    server: LiveServer, tags: list[FlvTag], arguments: argparse.Namespace
) -> tuple[list[Sample], Counter[str]]:
    """Let the crowd in for a while, then wait until the server should have forgotten it.

    Returns:
        Samples; the last is of the time after the crowd, beside which only the steady broadcast went on.
    """
    samples: list[Sample] = []
    publisher = Publisher(server.rtmp_port, server.issue_key(NAME), tags)
    async with publisher.running(), aiohttp.ClientSession(timeout=TIMEOUT) as session:
        await asyncio.sleep(8)
        probes = Probes(server.http_port, publisher)
        crowd = Crowd(server, session, tags, random.Random(1))
        async with probes.running(0):
            started_at = time.monotonic()
            jobs = [asyncio.create_task(crowd.use_channel(f"channel{n}")) for n in range(arguments.channels)]
            jobs += [asyncio.create_task(crowd.watch()) for _ in range(arguments.viewers)]
            jobs.append(asyncio.create_task(crowd.churn_keys()))
            cpu_before, read_before = cpu_seconds(server.process.pid), started_at

            def sample() -> None:
                nonlocal cpu_before, read_before
                delays, probes.first_byte_ms = probes.first_byte_ms or [0.0], []
                probes.part_fetched_ms.clear()
                cpu, now = cpu_seconds(server.process.pid), time.monotonic()
                samples.append(
                    Sample(
                        at_s=round(now - started_at, 1),
                        memory_mb=resident_bytes(server.process.pid) / 1e6,
                        descriptors=open_descriptors(server.process.pid),
                        tasks=int(metric(server, "streamd_tasks")),
                        streams=int(metric(server, "streamd_streams_live")),
                        cpu_share=(cpu - cpu_before) / (now - read_before),
                        part_delay_p50_ms=percentile(delays, 0.5),
                        part_delay_p99_ms=percentile(delays, 0.99),
                    )
                )
                cpu_before, read_before = cpu, now

            while time.monotonic() < started_at + arguments.minutes * 60:
                await asyncio.sleep(SAMPLE_S)
                sample()
                publisher.assert_alive()
                for job in jobs:
                    if job.done():
                        job.result()
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            await session.close()
            await asyncio.sleep(GRACE_S)
            sample()
    return samples, crowd.counts


def conclude(samples: list[Sample], counts: Counter[str], faults: int, arguments: argparse.Namespace) -> None:
    """Report, keep the samples, and draw them."""
    *busy, after = samples
    busy = busy[int(len(busy) * WARM_UP_SHARE) :]
    halves = busy[: len(busy) // 2], busy[len(busy) // 2 :]
    how = {"minutes": arguments.minutes, "channels": arguments.channels, "viewers": arguments.viewers}
    for title, half in zip(("first half", "second half"), halves, strict=True):
        for name in ("memory_mb", "descriptors", "tasks", "part_delay_p50_ms", "part_delay_p99_ms", "cpu_share"):
            report("soak", name, [float(getattr(one, name)) for one in half], name.rpartition("_")[2], of=title, **how)
    for name in ("memory_mb", "descriptors", "tasks"):
        report("soak", name, [float(getattr(after, name))], name.rpartition("_")[2], of="after", **how)
    report("soak", "tracebacks", [float(faults)], "", **how)
    print(json.dumps(counts), file=sys.stderr)
    slope, _ = statistics.linear_regression([one.at_s / 3600 for one in busy], [one.memory_mb for one in busy])
    report("soak", "memory_slope", [slope], "MB/h", of="after the warm-up", **how)
    draw(samples)


def draw(samples: list[Sample]) -> None:
    """Draw the samples, one above the other."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    rows = {
        "memory, MB": ["memory_mb"],
        "descriptors, tasks": ["descriptors", "tasks"],
        "live streams": ["streams"],
        "part late by, ms": ["part_delay_p50_ms", "part_delay_p99_ms"],
    }
    figure, axes = plt.subplots(len(rows), 1, sharex=True, figsize=(8, 8), layout="constrained")
    minutes = [one.at_s / 60 for one in samples]
    for axis, (title, names) in zip(axes, rows.items(), strict=True):
        for name in names:
            axis.plot(minutes, [getattr(one, name) for one in samples], label=name, linewidth=1)
        axis.set_ylabel(title)
        axis.set_ylim(bottom=0)
        axis.grid(visible=True, alpha=0.3)
        if len(names) > 1:
            axis.legend(loc="upper left")
    axes[-1].set_xlabel("minutes; the last point is after the crowd")
    figure.savefig(RESULTS / "soak.svg")


if __name__ == "__main__":
    main()
