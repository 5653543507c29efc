"""How much dearer is one tree of the program than another, on a machine that others work on too?

Method: ``streamd serve`` of both trees at the same time on core 0, each with the same publishers and viewers, which are
on core 1: the machine's other work meets both in the same seconds. CPU is the kernel's account of each process
(``/proc/PID/task/*/schedstat``) over the same windows; the ratio of a window is the second tree's CPU to the first's,
and the median of all windows is quoted. The server that is started later is up to 3 % cheaper with equal trees, so each
case runs as many rounds with the one first as with the other, with new servers each time. The same tree twice tells the
noise.

``flv``      Viewers of HTTP-FLV (``drain.py``), of one stream of 2.5 Mb/s (720p30, 2 s GOPs), per viewer.
``flv-tls``  The same over TLS.
``llhls``, ``hls``  Viewers by the generator that is named with ``--viewload`` (as for ``delivery.py``), per viewer.
``ingest``   Publishers by the generator that is named with ``--rtmpload`` (as for ``ingest.py``) and no viewers, per
             publisher.

Viewers' figures include the one stream. Its cost without a viewer is measured before they come, in both, and the ratio
without it is reported too (``net``). Trees are compiled by their ``packaging/compile_modules.py`` first. ``--setting``
is for one that only the second tree knows, such as ``ingest__demuxer=native`` where the first has no other reading.

Left out: memory, latency; what the two do to each other's caches.

    python -m bench.pairs BEFORE AFTER [--viewload PATH] [--rtmpload PATH] [--setting KEY=VALUE]
        [flv=100] [llhls=150] …
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import report
from bench.machine import LOAD_CORE, SERVER_CORE, cpu_seconds, on_core, started_on
from bench.probes import NAME, Publisher
from bench.publishing import make_clip, write_clip
from tests.support.certificates import ONE
from tests.support.server import run_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.server import LiveServer

ROOT = Path(__file__).parent.parent
BITRATE_KBPS, SIZE = 2500, "1280x720"
WINDOWS = 3
WINDOW_S = 5.0
# The window of a playlist is full by then, and an encoder's pace known.
FILL_S = 14.0
# The windows of a stream without viewers, before they come.
ALONE_WINDOWS = 2
RAMP_S = 6.0
# From the last viewer's start to its steady pace.
SETTLE_S = 4.0
INGEST_FILL_S = 24.0
CASES = ("flv", "flv-tls", "llhls", "hls", "ingest")
DEFAULT_CASES = ("flv=100", "flv-tls=60", "llhls=150", "hls=200", "ingest=50")


def main() -> None:
    """Measure the cases that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", type=Path, help="a compiled tree")
    parser.add_argument("after", type=Path, help="another one, or the same for the noise")
    parser.add_argument("--viewload", type=Path, help="the load generator of viewers, compiled; see bench/delivery.py")
    parser.add_argument("--rtmpload", type=Path, help="the load generator of publishers, compiled; see bench/ingest.py")
    parser.add_argument("--setting", action="append", default=[], metavar="KEY=VALUE", help="of the second")
    parser.add_argument("--rounds", type=int, default=2, help="an even number; the order of the trees alternates")
    parser.add_argument("cases", nargs="*", default=DEFAULT_CASES, metavar="CASE=NUMBER")
    arguments = parser.parse_intermixed_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    programs = Programs(arguments.viewload, arguments.rtmpload)
    for each in arguments.cases:
        case, _, number = each.partition("=")
        if case not in CASES:
            parser.error(f"{case} is none of {', '.join(CASES)}")
        if programs.of(case) is None and case in PROGRAMS:
            parser.error(f"{case} needs --{PROGRAMS[case]}")
        pair = (
            Tree(arguments.before.resolve()),
            Tree(arguments.after.resolve(), dict(each.split("=", 1) for each in arguments.setting)),
        )
        measure(case, int(number), pair, arguments.rounds, programs)


PROGRAMS = {"hls": "viewload", "llhls": "viewload", "ingest": "rtmpload"}


@dataclass(frozen=True)
class Programs:
    """The load generators in C."""

    viewload: Path | None
    rtmpload: Path | None

    def of(self, case: str) -> Path | None:
        """The one that a case needs."""
        path: Path | None = getattr(self, PROGRAMS[case]) if case in PROGRAMS else None
        return None if path is None else path.resolve()


@dataclass(frozen=True)
class Tree:
    """One of the two."""

    root: Path
    settings: dict[str, str] = field(default_factory=dict)


@dataclass
class Round:
    """CPU of both trees in the same windows, seconds a second, by place in the pair."""

    windows: list[tuple[float, float]]
    alone: list[tuple[float, float]]
    """The same before viewers came; empty where there are none."""


def measure(case: str, number: int, pair: tuple[Tree, Tree], rounds: int, programs: Programs) -> None:
    """Measure one case, and report.

    Args:
        case: Its name.
        number: Viewers, or publishers.
        pair: Before and after.
        rounds: How often, with the order changed each time.
        programs: The load generators.
    """
    done: list[Round] = []
    for turn in range(rounds):
        is_turned = bool(turn % 2)
        with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
            order = pair[::-1] if is_turned else pair
            servers = [
                stack.enter_context(serving(tree, Path(directory, str(place)), is_tls=case.endswith("tls")))
                for place, tree in enumerate(order)
            ]
            if case == "ingest":
                found = Round(publish(servers, number, Path(directory), programs), [])
            else:
                found = asyncio.run(watch(case, servers, number, programs))
        if is_turned:
            found = Round([each[::-1] for each in found.windows], [each[::-1] for each in found.alone])
        done.append(found)
    windows = [each for each_round in done for each in each_round.windows]
    ratios = [after / before for before, after in windows]
    facts: dict[str, object] = {
        "number": number,
        "before_ms": round(statistics.median(before for before, _ in windows) * 1000 / number, 4),
        "after_ms": round(statistics.median(after for _, after in windows) * 1000 / number, 4),
        "least": round(min(ratios), 4),
        "most": round(max(ratios), 4),
        "rounds": [round(statistics.median(after / before for before, after in each.windows), 4) for each in done],
    }
    alone = [each for each_round in done for each in each_round.alone]
    if alone:
        alone_before = statistics.median(before for before, _ in alone)
        alone_after = statistics.median(after for _, after in alone)
        net = [(after - alone_after) / (before - alone_before) for before, after in windows]
        facts |= {
            "alone_before_ms": round(alone_before * 1000, 3),
            "alone_after_ms": round(alone_after * 1000, 3),
            "net": round(statistics.median(net), 4),
        }
    report("pairs", case, ratios, "of the CPU before", **facts)


@contextlib.contextmanager
def serving(tree: Tree, directory: Path, *, is_tls: bool) -> Iterator[LiveServer]:
    """Run the server of a tree on its core."""
    directory.mkdir()
    settings: dict[str, object] = {"limits__viewer_connections_per_address_max": 5000, **tree.settings}
    if is_tls:
        cert, key = directory / "cert.pem", directory / "key.pem"
        cert.write_text(ONE.cert)
        key.write_text(ONE.key)
        settings |= {"http__tls_cert": cert, "http__tls_key": key}
    with contextlib.ExitStack() as stack:
        # ``python -m`` looks for the program in the working directory first.
        with contextlib.chdir(tree.root):
            server = stack.enter_context(started_on(SERVER_CORE, run_server(directory, **settings)))
        yield server


async def watch(case: str, servers: list[LiveServer], viewers: int, programs: Programs) -> Round:
    """Have as many viewers at each server, and measure."""
    tags = make_clip(BITRATE_KBPS, SIZE)
    async with contextlib.AsyncExitStack() as stack:
        publishers = [Publisher(each.rtmp_port, each.issue_key(NAME), tags) for each in servers]
        for publisher in publishers:
            await stack.enter_async_context(publisher.running())
        await asyncio.sleep(FILL_S)
        alone = [await window(servers) for _ in range(ALONE_WINDOWS)]
        if case.startswith("flv"):
            await stack.enter_async_context(draining(servers, viewers, is_tls=case.endswith("tls")))
        else:
            await stack.enter_async_context(viewing(case, servers, viewers, programs))
        await asyncio.sleep(SETTLE_S)
        windows = [await window(servers) for _ in range(WINDOWS)]
        for publisher in publishers:
            publisher.assert_alive()
    return Round(windows, alone)


@contextlib.asynccontextmanager
async def draining(servers: list[LiveServer], viewers: int, *, is_tls: bool) -> AsyncIterator[None]:
    """Viewers of HTTP-FLV, from when all have come until the block is left."""
    command = [sys.executable, "-m", "bench.drain", "--viewers", str(viewers), "--ramp", str(RAMP_S)]
    command += [*(["--tls"] if is_tls else []), f"/live/{NAME}.flv", *(str(each.http_port) for each in servers)]
    with on_core(LOAD_CORE):
        load = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
    assert load.stdin is not None
    assert load.stdout is not None
    if not await load.stdout.readline():
        raise SystemExit("the viewers did not come")
    yield
    load.stdin.close()
    if await load.wait():
        raise SystemExit("viewers were closed")


@contextlib.asynccontextmanager
async def viewing(case: str, servers: list[LiveServer], viewers: int, programs: Programs) -> AsyncIterator[None]:
    """Viewers by the generator, from when all have come; the block is left before they go."""
    duration_s = RAMP_S + SETTLE_S + WINDOWS * WINDOW_S + 2
    loads = []
    for server in servers:
        command = [str(programs.of(case)), "-q", "-H", "127.0.0.1", "-p", str(server.http_port), "-m", case]
        command += ["-P", f"/live/{NAME}/main.m3u8", "-V", str(viewers), "-r", str(RAMP_S), "-d", str(duration_s)]
        with on_core(LOAD_CORE):
            loads.append(await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE))
    await asyncio.sleep(RAMP_S)
    yield
    for load in loads:
        said: dict[str, Any] = json.loads((await load.communicate())[0].splitlines()[-1])
        if any(said[fault] for fault in ("errors", "stalls", "skipped")):
            print(f"a server could not keep up: {said}", file=sys.stderr)


def publish(
    servers: list[LiveServer], publishers: int, directory: Path, programs: Programs
) -> list[tuple[float, float]]:
    """Have as many publishers at each server, and measure."""
    clip = directory / "clip.flv"
    write_clip(clip, BITRATE_KBPS, SIZE)
    duration_s = INGEST_FILL_S + WINDOWS * WINDOW_S + 2
    loads = []
    for place, server in enumerate(servers):
        keys = directory / f"keys{place}"
        keys.write_text("".join(server.issue_key(f"bench{number}") + "\n" for number in range(publishers)))
        command = [str(programs.of("ingest")), "-H", "127.0.0.1", "-p", str(server.rtmp_port), "-a", "live"]
        command += ["-K", str(keys), "-n", str(publishers), "-f", str(clip), "-d", str(duration_s), "-r", "3"]
        with on_core(LOAD_CORE):
            loads.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
    time.sleep(INGEST_FILL_S)
    windows = [asyncio.run(window(servers)) for _ in range(WINDOWS)]
    for load in loads:
        said: dict[str, Any] = json.loads(load.communicate()[0].splitlines()[-1])
        if any(said[fault] for fault in ("fails", "closed", "unsent_bytes")):
            print(f"a server could not keep up: {said}", file=sys.stderr)
    return windows


async def window(servers: list[LiveServer]) -> tuple[float, float]:
    """CPU of both in one window, seconds a second."""
    pids = [server.process.pid for server in servers]
    before, begun_at = [cpu_seconds(pid) for pid in pids], time.monotonic()
    await asyncio.sleep(WINDOW_S)
    elapsed_s = time.monotonic() - begun_at
    first, second = ((cpu_seconds(pid) - earlier) / elapsed_s for pid, earlier in zip(pids, before, strict=True))
    return first, second


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), on_core(LOAD_CORE):
        main()
