"""What does a second of one publisher's stream cost the server, from the socket to the playlist?

Method: ``streamd serve`` as a process of its own on one core; on another core this process, which replays
one encoded clip as N publishers in real time, in the way that OBS sends (chunk size 4096, one write a message).
CPU is the server's user and system time between two readings, after a warm-up in which every stream has
become playable; the case is measured in three windows, and the median is quoted.

Left out: viewers, TLS, networks with loss. Publishers on loopback deliver each message as one read, which is the
dearest way to receive it.

    python bench/ingest.py [--streams 50] [--bitrate 2500] [--window 6]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from streamd import amf0
from streamd.flv.tag import FlvReader, TagType
from streamd.rtmp.chunk import ChunkWriter
from streamd.rtmp.message import Message, MessageType
from streamd.testcard import Order, broadcast
from tests.support.server import run_server

if TYPE_CHECKING:
    from streamd.amf import Value
    from streamd.flv.tag import FlvTag
    from tests.support.server import LiveServer

SERVER_CORE = 0
LOAD_CORE = 1
CLIP_S = 10
CHUNK_SIZE = 4096  # OBS
WARM_UP_S = 6.0  # beyond the second keyframe of every stream
WINDOWS = 3


def main() -> None:
    """Measure one case and report it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--bitrate", type=int, default=2500, help="kilobits a second of video")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--window", type=float, default=6.0, help="seconds of each of the three windows")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    tags = make_clip(arguments.bitrate, arguments.size)
    with (
        tempfile.TemporaryDirectory() as directory,
        run_server(Path(directory), limits__connections_per_address_max=10_000) as server,
    ):
        for task in Path(f"/proc/{server.process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {SERVER_CORE})
        figures = asyncio.run(measure(server, tags, arguments.streams, arguments.window))
    report(arguments.streams, arguments.bitrate, figures)


def make_clip(bitrate_kbps: int, size: str) -> list[FlvTag]:
    """Encode the clip that every publisher sends: H.264 with 2 s GOPs at 30 frames a second, and AAC."""
    width, height = map(int, size.split("x"))
    with tempfile.TemporaryDirectory() as directory:
        broadcast(
            Order(directory, "clip.flv", CLIP_S, width, height, video_bitrate=bitrate_kbps * 1000, is_real_time=False)
        )
        return FlvReader().receive_data(Path(directory, "clip.flv").read_bytes())


async def measure(server: LiveServer, tags: list[FlvTag], streams: int, window_s: float) -> dict[str, list[float]]:
    """Publish, wait until all is playable, and read the server's CPU and memory."""
    keys = [server.issue_key(f"bench{index}") for index in range(streams)]
    memory_before = resident_bytes(server.process.pid)
    publishers = [
        asyncio.create_task(publish(server.rtmp_port, key, tags, index / streams)) for index, key in enumerate(keys)
    ]
    await asyncio.sleep(WARM_UP_S + 1.0)
    figures: dict[str, list[float]] = {"cpu_ms": [], "memory_bytes": []}
    for _ in range(WINDOWS):
        cpu_before, started_at = cpu_seconds(server.process.pid), time.monotonic()
        await asyncio.sleep(window_s)
        elapsed_s = time.monotonic() - started_at
        figures["cpu_ms"].append((cpu_seconds(server.process.pid) - cpu_before) * 1000 / elapsed_s / streams)
    figures["memory_bytes"].append((resident_bytes(server.process.pid) - memory_before) / streams)
    ended = [task for task in publishers if task.done()]
    for task in publishers:
        task.cancel()
    await asyncio.gather(*publishers, return_exceptions=True)
    if ended:
        raise SystemExit(f"{len(ended)} of {streams} publishers ended before their time")
    return figures


async def publish(port: int, stream_key: str, tags: list[FlvTag], delay_s: float) -> None:
    """Log in as OBS does and send the clip over and over, in real time, until cancelled."""
    await asyncio.sleep(delay_s)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    drain = asyncio.create_task(read_all(reader))
    chunks = ChunkWriter()
    try:
        writer.write(b"\x03" + bytes(1536) + bytes(1536))
        writer.write(chunks.set_chunk_size(CHUNK_SIZE))
        for stream_id, values in login(stream_key):
            command = Message(MessageType.COMMAND_AMF0, 0, stream_id, amf0.write_values(*values))
            writer.write(chunks.write(command, 3))
        await writer.drain()
        started_at = time.monotonic() + 0.5  # by then the key is verified
        offset_ms = 0
        while True:
            for tag in tags:
                is_header = tag.tag_type == TagType.SCRIPT or tag.payload[1] == 0
                if is_header and offset_ms:
                    continue
                ahead_s = started_at + (offset_ms + tag.timestamp_ms) / 1000 - time.monotonic()
                if ahead_s > 0:
                    await asyncio.sleep(ahead_s)
                writer.write(chunks.write(Message(tag.tag_type, offset_ms + tag.timestamp_ms, 1, tag.payload), 4))
            offset_ms += CLIP_S * 1000
            await writer.drain()
    finally:
        drain.cancel()
        writer.close()


def login(stream_key: str) -> list[tuple[int, tuple[Value, ...]]]:
    """OBS's commands: message stream id and values."""
    return [
        (0, ("connect", 1.0, {"app": "live", "type": "nonprivate", "tcUrl": "rtmp://127.0.0.1/live"})),
        (0, ("releaseStream", 2.0, None, stream_key)),
        (0, ("FCPublish", 3.0, None, stream_key)),
        (0, ("createStream", 4.0, None)),
        (1, ("publish", 5.0, None, stream_key, "live")),
    ]


async def read_all(reader: asyncio.StreamReader) -> None:
    """Read and forget what the server answers, as OBS does while it streams."""
    while await reader.read(65_536):
        pass


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def report(streams: int, bitrate_kbps: int, figures: dict[str, list[float]]) -> None:
    """Print one JSON line for each figure, and a line for people."""
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    for name, unit in (("cpu_ms", "ms a second of stream"), ("memory_bytes", "bytes a stream, media included")):
        values = figures[name]
        case = {
            "name": f"ingest.{name}",
            "value": statistics.median(values),
            "unit": unit,
            "n": len(values),
            "streams": streams,
            "bitrate_kbps": bitrate_kbps,
            "values": [round(value, 3) for value in values],
            "commit": revision,
            "python": platform.python_version(),
            "av": version("av"),
            "cpu": os.cpu_count(),
        }
        print(json.dumps(case))
        print(f"{streams} streams, {bitrate_kbps} kb/s: {case['value']:.3f} {unit}", file=sys.stderr)


if __name__ == "__main__":
    main()
