"""How much memory does the server keep after a thousand publishers have vanished within a minute?

Method: rounds of 1,000 broadcasts in a minute on 100 channels. Each logs in, sends two to four seconds of media, and is
gone with RST; the channel's next one comes a few seconds later and takes the stream up again, where there was one.
After each round the bench waits until the reconnect windows and the ended playlists are over. Descriptors and tasks
must be as before; memory after the later rounds must be as after the first: the first round makes the allocator hold
some for good, which belongs to no publisher.

Left out: viewers.

    python -m bench.drops [--drops 1000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.broadcast import Broadcast
from bench.figures import metric, report
from bench.machine import open_descriptors, resident_bytes
from bench.publishing import CLIP_S, make_clip
from tests.support.server import run_server

if TYPE_CHECKING:
    from streamd.formats.flv.tag import FlvTag
    from tests.support.server import LiveServer

CHANNELS = 100
ROUND_S = 60.0
RECONNECT_WINDOW_S = 10
# The window, the longest playlist that an ended stream leaves for a while, and posters.
GRACE_S = RECONNECT_WINDOW_S + 35.0


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--drops", type=int, default=1000, help="in each minute")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    tags = make_clip(200, "160x90")
    settings = {"limits__connections_per_address_max": 1000, "live__reconnect_window_s": RECONNECT_WINDOW_S}
    with tempfile.TemporaryDirectory() as directory, run_server(Path(directory), **settings) as server:
        asyncio.run(measure(server, tags, arguments.drops, arguments.rounds))
        resumed = len(server.log_events("stream.resumed"))
        report("drops", "resumed", [float(resumed)], "streams")
        report("drops", "tracebacks", [float(server.log_text().count('"exception"'))], "")


async def measure(server: LiveServer, tags: list[FlvTag], drops: int, rounds: int) -> None:
    """Rounds of drops, and the server's resources after each."""
    pid = server.process.pid
    keys = [server.issue_key(f"channel{number}") for number in range(CHANNELS)]
    await asyncio.sleep(1)
    descriptors, tasks = open_descriptors(pid), metric(server, "streamd_tasks")
    chance = random.Random(1)
    for number in range(1, rounds + 1):
        jobs = []
        for drop in range(drops):
            jobs.append(asyncio.create_task(vanish(server, keys[drop % CHANNELS], tags, chance.uniform(2, 4))))
            await asyncio.sleep(ROUND_S / drops)
        await asyncio.gather(*jobs)
        await asyncio.sleep(GRACE_S)
        accepted = metric(server, 'streamd_publishes_total{result="accepted"}')
        report("drops", "accepted", [accepted], "publishes so far", round=number)
        report("drops", "descriptors.kept", [float(open_descriptors(pid) - descriptors)], "", round=number)
        report("drops", "tasks.kept", [metric(server, "streamd_tasks") - tasks], "", round=number)
        report("drops", "streams.kept", [metric(server, "streamd_streams_live")], "", round=number)
        report("drops", "memory", [resident_bytes(pid) / 1e6], "MB", round=number)


async def vanish(server: LiveServer, key: str, tags: list[FlvTag], seconds: float) -> None:
    """Go live for a while, and vanish."""
    broadcast = await Broadcast.begin(server.rtmp_port, key, tags, CLIP_S)
    await broadcast.send(seconds)
    broadcast.drop()


if __name__ == "__main__":
    main()
