"""How many more publishers and viewers does a server of several workers carry than one process?

Method: a server of one process and one of ``--workers`` at the same time on core 0, so that the machine's other work
meets both; publishers, and viewers over HTTPS, on core 1: so many for each process, as what a stream costs depends on
how many there are in its process. What counts is CPU, the kernel's account of all processes of each server
(``/proc/PID/task/*/schedstat``) in the same windows: with a core for each worker, a server of *n* carries *n* times
what one carries, times what each costs at one by what each costs at *n*.

``ingest``     Publishers by ``--rtmpload`` (as for ``ingest.py``), nobody watching.
``llhls-tls``  Viewers by ``--viewload`` (as for ``tls.py``) of one stream, which all workers serve.

Left out: what a second core would bring or take by its caches; networks.

    python -m bench.workers --viewload PATH --rtmpload PATH [--tree PATH] [--workers 2] [ingest=40] [llhls-tls=100]
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import report
from bench.machine import LOAD_CORE, children, cpu_seconds, on_core
from bench.pairs import BITRATE_KBPS, FILL_S, INGEST_FILL_S, RAMP_S, ROOT, SETTLE_S, SIZE, Tree, serving
from bench.probes import NAME, Publisher
from bench.publishing import make_clip, write_clip

if TYPE_CHECKING:
    from tests.support.server import LiveServer

WINDOWS = 3
WINDOW_S = 5.0
CASES = ("ingest", "llhls-tls")


def main() -> None:
    """Measure the cases that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--viewload", type=Path, required=True)
    parser.add_argument("--rtmpload", type=Path, required=True)
    parser.add_argument("--tree", type=Path, default=ROOT, help="a compiled tree")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("cases", nargs="*", default=("ingest=40", "llhls-tls=100"), metavar="CASE=NUMBER")
    arguments = parser.parse_intermixed_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for each in arguments.cases:
        case, _, number = each.partition("=")
        if case not in CASES:
            parser.error(f"{case} is none of {', '.join(CASES)}")
        asyncio.run(measure(case, int(number), arguments))


async def measure(case: str, number: int, arguments: argparse.Namespace) -> None:
    """Measure one case, and report."""
    tree, workers = arguments.tree.resolve(), arguments.workers
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(
                serving(
                    Tree(tree, {"server__workers": str(count)}),
                    Path(directory, str(count)),
                    is_tls=case.endswith("tls"),
                )
            )
            for count in (1, workers)
        ]
        run = publish if case == "ingest" else watch
        windows = await run(servers, number, arguments, Path(directory))
    ratios = [several / workers / one for one, several in windows]
    report(
        "workers",
        case,
        [workers / ratio for ratio in ratios],
        "times what one process carries",
        number=number,
        workers=workers,
        one_ms=round(statistics.median(one for one, _ in windows) * 1000 / number, 4),
        several_ms=round(statistics.median(several for _, several in windows) * 1000 / number / workers, 4),
        load=round(os.getloadavg()[0], 1),
    )


async def publish(
    servers: list[LiveServer], number: int, arguments: argparse.Namespace, directory: Path
) -> list[tuple[float, float]]:
    """Have as many publishers at each."""
    clip = directory / "clip.flv"
    write_clip(clip, BITRATE_KBPS, SIZE)
    commands = []
    for server, count in zip(servers, (number, number * arguments.workers), strict=True):
        keys = directory / f"keys{count}"
        keys.write_text("".join(server.issue_key(f"bench{each}") + "\n" for each in range(count)))
        command = [arguments.rtmpload, "-H", "127.0.0.1", "-p", server.rtmp_port, "-a", "live", "-K", keys]
        duration_s = INGEST_FILL_S + WINDOWS * WINDOW_S + 2
        commands.append([*map(str, command), "-n", str(count), "-f", str(clip), "-d", str(duration_s), "-r", "3"])
    return await under(commands, servers, INGEST_FILL_S, ("fails", "closed", "unsent_bytes"))


async def watch(
    servers: list[LiveServer], number: int, arguments: argparse.Namespace, directory: Path
) -> list[tuple[float, float]]:
    """Have as many viewers of one stream at each, over HTTPS."""
    del directory
    tags = make_clip(BITRATE_KBPS, SIZE)
    async with contextlib.AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(Publisher(server.rtmp_port, server.issue_key(NAME), tags).running())
        await asyncio.sleep(FILL_S)
        commands = []
        for server, count in zip(servers, (number, number * arguments.workers), strict=True):
            command = [arguments.viewload, "-q", "-t", "-H", "127.0.0.1", "-p", server.http_port, "-m", "llhls"]
            duration_s = RAMP_S + SETTLE_S + WINDOWS * WINDOW_S + 2
            command += ["-P", f"/live/{NAME}/main.m3u8", "-V", count, "-r", RAMP_S, "-d", duration_s]
            commands.append([*map(str, command)])
        return await under(commands, servers, RAMP_S + SETTLE_S, ("errors", "skipped"))


async def under(
    commands: list[list[str]], servers: list[LiveServer], settle_s: float, faults: tuple[str, ...]
) -> list[tuple[float, float]]:
    """Run the generators, and read the CPU of both servers in the same windows, seconds a second."""
    with on_core(LOAD_CORE):
        loads = [
            await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
            for command in commands
        ]
    await asyncio.sleep(settle_s)
    windows = []
    for _ in range(WINDOWS):
        before, begun_at = [cpu_of(server) for server in servers], time.monotonic()
        await asyncio.sleep(WINDOW_S)
        elapsed_s = time.monotonic() - begun_at
        one, several = ((cpu_of(each) - then) / elapsed_s for each, then in zip(servers, before, strict=True))
        windows.append((one, several))
    for load in loads:
        said: dict[str, Any] = json.loads((await load.communicate())[0].splitlines()[-1])
        if any(said.get(fault) for fault in faults):
            print(f"a server could not keep up: {said}", file=sys.stderr)
    return windows


def cpu_of(server: LiveServer) -> float:
    """CPU of all processes of a server so far, seconds."""
    pid = server.process.pid
    return cpu_seconds(pid) + sum(cpu_seconds(child) for child in children(pid))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), on_core(LOAD_CORE):
        main()
