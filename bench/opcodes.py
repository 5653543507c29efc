"""How much work does each compiled module take off the interpreter?

Method: a server that runs as Python alone, with a tracer in it that counts the interpreter's opcodes by module
(``sys.settrace``), has publishers of one stream of 2.5 Mb/s each. After their windows have begun, it counts for some
seconds: ``ingest`` with the native reading and nobody watching, ``pyav`` likewise with PyAV's, and ``viewers`` with one
stream that viewers follow over HTTP-FLV and TLS, while as many ask for each playlist and part of it. An opcode is 10 to
30 ns of a core here, and a compiled module takes none: its count is nearly all of what compiling it brings. Counts are
the same on a busy machine, but for how many frames are read at once.

Left out: the cost of the compiled form itself, and of what the C library, OpenSSL, libavformat and the kernel do.

    python -m bench.opcodes [--publishers 3] [--viewers 6] [--seconds 15]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import report
from bench.probes import Publisher
from bench.publishing import make_clip
from tests.support import certificates
from tests.support.server import LiveServer, run_server, wait_until

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from streamd.formats.flv.tag import FlvTag

ROOT = Path(__file__).parents[1]
# Until the first segments are there, under a tracer.
SETTLE_S = 8.0
COUNTS_TIMEOUT_S = 30.0
CLIP = (2500, "1280x720")

# Runs in the server's process, before all else of it: Python imports a module of this name at its start.
TRACER = """
import json, os, sys, threading, time
from collections import Counter

directory, root = os.environ["OPCODES_DIR"], os.environ["OPCODES_ROOT"]
counts, names = Counter(), {}

def count(frame, event, arg):
    if event == "opcode":
        counts[frame.f_code.co_filename] += 1
    return count

def trace(frame, event, arg):
    if not frame.f_code.co_filename.startswith(root):
        return None
    frame.f_trace_opcodes, frame.f_trace_lines = True, False
    return count

def keep():
    while not os.path.exists(directory + "/begin"):
        time.sleep(0.02)
    before = Counter(counts)
    while not os.path.exists(directory + "/end"):
        time.sleep(0.02)
    counts.subtract(before)
    with open(directory + "/counts.new", "w") as file:
        json.dump(counts, file)
    os.rename(directory + "/counts.new", directory + "/counts")

if sys.argv[:1] == ["-m"]:
    threading.Thread(target=keep, daemon=True).start()
    sys.settrace(trace)
"""


def main() -> None:
    """Count each case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--publishers", type=int, default=3)
    parser.add_argument("--viewers", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=15.0)
    arguments = parser.parse_args()
    compiled = [path.with_suffix(".py") for path in sorted((ROOT / "streamd").rglob("*.pxd"))]
    if any([*path.parent.glob(f"{path.stem}.*.so")] for path in compiled):
        parser.error("this tree is compiled: run it in one that is not")
    tags = make_clip(*CLIP)
    cases = {
        "ingest": (arguments.publishers, 0, "native"),
        "pyav": (arguments.publishers, 0, "pyav"),
        "viewers": (1, arguments.viewers, "native"),
    }
    for case, (publishers, viewers, demuxer) in cases.items():
        counts = asyncio.run(counted(tags, publishers, viewers, demuxer, arguments.seconds))
        units, unit = (viewers, "opcodes/viewer-second") if viewers else (publishers, "opcodes/stream-second")
        for path in compiled:
            if count := counts.get(str(path), 0):
                name = path.relative_to(ROOT / "streamd").with_suffix("").as_posix()
                report("opcodes", f"{case}.{name}", [count / units / arguments.seconds], unit)
        others = sum(count for path, count in counts.items() if Path(path) not in compiled)
        report("opcodes", f"{case}.others", [others / units / arguments.seconds], unit)


async def counted(tags: list[FlvTag], publishers: int, viewers: int, demuxer: str, seconds: float) -> dict[str, int]:
    """Count opcodes by file, in a server with publishers and viewers."""
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        (directory / "sitecustomize.py").write_text(TRACER)
        (directory / "cert.pem").write_text(certificates.ONE.cert)
        (directory / "key.pem").write_text(certificates.ONE.key)
        os.environ |= {
            "OPCODES_DIR": text,
            "OPCODES_ROOT": str(ROOT / "streamd"),
            "PYTHONPATH": f"{text}:{os.environ.get('PYTHONPATH', ROOT)}",
        }
        tls = {"http__tls_cert": directory / "cert.pem", "http__tls_key": directory / "key.pem"} if viewers else {}
        with run_server(directory, ingest__demuxer=demuxer, **tls) as server:
            async with contextlib.AsyncExitStack() as running:
                for number in range(publishers):
                    publisher = Publisher(server.rtmp_port, server.issue_key(f"channel{number}"), tags)
                    await running.enter_async_context(publisher.running())
                await asyncio.sleep(SETTLE_S)
                for _ in range(viewers):
                    await running.enter_async_context(following(server))
                (directory / "begin").touch()
                await asyncio.sleep(seconds)
                (directory / "end").touch()
                await asyncio.to_thread(wait_until, (directory / "counts").exists, COUNTS_TIMEOUT_S, "the count")
            counts: dict[str, int] = json.loads((directory / "counts").read_text())
    return counts


@contextlib.asynccontextmanager
async def following(server: LiveServer) -> AsyncIterator[None]:
    """A viewer who follows HTTP-FLV, and one who asks for each new part, each with a connection of their own."""
    tasks = [asyncio.create_task(_follow(server)), asyncio.create_task(_ask(server))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


async def _connect(server: LiveServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    tls: ssl.SSLContext | None = server.tls
    return await asyncio.open_connection("localhost", server.http_port, ssl=tls)


async def _follow(server: LiveServer) -> None:
    reader, writer = await _connect(server)
    writer.write(b"GET /live/channel0.flv HTTP/1.1\r\nHost: localhost\r\n\r\n")
    try:
        while await reader.read(65_536):
            pass
    finally:
        writer.close()


async def _ask(server: LiveServer) -> None:
    reader, writer = await _connect(server)

    async def get(path: str) -> str:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None, head
        return (await reader.readexactly(int(length[1]))).decode("latin-1")

    try:
        while True:
            playlist = await get("/live/channel0/main.m3u8")
            # The part that comes next is asked for before it is there, and answered when it is.
            (hint,) = re.findall(r'PRELOAD-HINT:TYPE=PART,URI="([^"]+)"', playlist)
            await get(f"/live/channel0/{hint}")
    finally:
        writer.close()


if __name__ == "__main__":
    main()
