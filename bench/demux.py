"""What does a packet cost each demuxer, with warm caches and with cold ones?

Method: a process for each demuxer, on one core, which take turns: in each round one goes once through its streams, and
each stream's batch of tags is put into slabs and then demuxed, with a clock around that call alone. So what others do
on the machine meets all of them alike; the median of the rounds' medians is quoted. Before each call a process may read
memory from end to end: as much as evicts the core's own caches (4 MB), or all that the machine's cores share (64 MB),
as a server finds them that comes back to a stream after half a second.

Left out: what the server does before and after it.

    python -m bench.demux [--streams 60] [--rounds 30] [--batch 38,1] [--evict 0,4,64]
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from bench.figures import report
from bench.machine import SERVER_CORE
from bench.publishing import make_clip
from streamd.formats.flv.tag import FlvTag
from streamd.formats.payload import PayloadLog
from streamd.media.demux import DemuxerKind, open_demuxer
from streamd.process.allocator import use_one_heap
from tests.support.gate import through_gate

if TYPE_CHECKING:
    from streamd.media.packet import MediaPacket

# Rounds in which memory is asked for that stays.
WARMING_ROUNDS = 2
# Batches of which each stream keeps the packets, as a playlist's window does, to a tenth.
KEPT_BATCHES = 6
CLIP = (2500, "1280x720")


def main() -> None:
    """Let the demuxers take turns."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--batch", default="38,1", help="how many tags at a time")
    parser.add_argument("--evict", default="0,4,64", help="how many megabytes are read before each batch")
    parser.add_argument("--worker", choices=[kind.value for kind in DemuxerKind], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(DemuxerKind(arguments.worker), arguments.streams, int(arguments.batch), int(arguments.evict))
        return
    for evict in arguments.evict.split(","):
        for batch in arguments.batch.split(","):
            for kind, costs in take_turns(arguments.streams, arguments.rounds, batch, evict).items():
                report("demux", f"{kind}.batch_{batch}.evict_{evict}", costs, "us/packet", streams=arguments.streams)


def take_turns(streams: int, rounds: int, batch: str, evict: str) -> dict[str, list[float]]:
    """Ask each demuxer's process for one round after the other.

    Returns:
        By demuxer, the median of each round, microseconds a packet.
    """
    command = [sys.executable, "-m", "bench.demux", "--streams", str(streams), "--batch", batch, "--evict", evict]
    workers = {
        kind.value: subprocess.Popen(
            [*command, "--worker", kind.value], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for kind in DemuxerKind
    }
    costs: dict[str, list[float]] = {kind: [] for kind in workers}
    for _ in range(WARMING_ROUNDS + rounds):
        for kind, worker in workers.items():
            assert worker.stdin is not None
            assert worker.stdout is not None
            print(file=worker.stdin, flush=True)
            costs[kind].append(float(worker.stdout.readline()))
    for worker in workers.values():
        worker.communicate()
    return {kind: measured[WARMING_ROUNDS:] for kind, measured in costs.items()}


def work(kind: DemuxerKind, streams: int, batch: int, evict: int) -> None:
    """Do a round for each line that is read."""
    os.sched_setaffinity(0, {SERVER_CORE})
    use_one_heap()
    opening, frames = through_gate(make_clip(*CLIP))
    tags = [(frame.tag_type, frame.timestamp_ms, bytes(frame.payload)) for frame in frames]
    batches = [tags[start : start + batch] for start in range(0, len(tags) - batch + 1, batch)]
    demuxers = [open_demuxer(kind, opening) for _ in range(streams)]
    logs = [PayloadLog() for _ in range(streams)]
    kept: list[deque[list[MediaPacket]]] = [deque(maxlen=KEPT_BATCHES) for _ in range(streams)]
    # Written: memory of zeros would be one page of the kernel's, over and over.
    memory = b"\1" * (evict << 20)
    find = ctypes.CDLL(None).memchr
    find.argtypes, find.restype = (ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t), ctypes.c_void_p
    for number, _ in enumerate(sys.stdin):
        costs: list[float] = []
        for demuxer, payloads, packets in zip(demuxers, logs, kept, strict=True):
            frames = [
                FlvTag(tag_type, timestamp_ms, payloads.append(payload, 0, len(payload), len(payload)))
                for tag_type, timestamp_ms, payload in batches[number % len(batches)]
            ]
            # There is none, so all of the memory is read.
            find(memory, 0, len(memory))
            begun = time.perf_counter_ns()
            packets.append(demuxer.demux(frames))
            costs.append((time.perf_counter_ns() - begun) / 1000 / batch)
        print(statistics.median(costs), flush=True)


if __name__ == "__main__":
    main()
