"""A server under attack beside one that nobody attacks: the same broadcast on both, watched on both.

What the attacked one serves must be the other's bytes, and no later than a machine that is busy attacking makes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.flv_media import h264_aac
from tests.support.server import LiveServer, wait_until
from tests.support.tag_publisher import TagPublisher, publishing, repeated
from tests.support.viewers import Crowd, part_number

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANNEL = "control"
# Time limits are for people on bad networks; these are for a test that waits for each.
LIMITS = {
    "limits__handshake_timeout_s": 5,
    "limits__publish_timeout_s": 5,
    "limits__media_timeout_s": 8,
    "limits__viewer_head_timeout_s": 3,
    "limits__viewer_idle_timeout_s": 5,
    "limits__viewer_write_timeout_s": 3,
    "limits__viewer_answer_timeout_s": 10,
    "live__reconnect_window_s": 1,
}
CLIP_S = 10
SETTLE_TIMEOUT_S = 40.0


@dataclass
class Witness:
    """What viewers of the control stream saw, while a block ran."""

    attacked: Crowd
    quiet: Crowd
    delays_s: list[float] = field(default_factory=list)
    """How much later than the other server the attacked one had each part."""

    def compare(self) -> int:
        """Compare all parts that both have seen.

        Returns:
            How many there are.

        Raises:
            AssertionError: A part is missing, or has other bytes.
        """
        assert not self.attacked.faults, self.attacked.faults
        assert not self.quiet.faults, self.quiet.faults
        attacked, quiet = _parts(self.attacked), _parts(self.quiet)
        known = {self.quiet.media[path]: index for index, path in enumerate(quiet)}
        first = next(index for index, path in enumerate(attacked) if self.attacked.media[path] in known)
        offset = known[self.attacked.media[attacked[first]]]
        pairs = list(zip(attacked[first:], quiet[offset:], strict=False))
        for path, other in pairs:
            assert self.attacked.media[path] == self.quiet.media[other], f"{path} has other bytes than unattacked"
            self.delays_s.append(self.attacked.arrived_s[path] - self.quiet.arrived_s[other])
        # The two began within a second of each other, and ended together.
        assert len(pairs) >= min(len(attacked), len(quiet)) - 4
        return len(pairs)


def _parts(crowd: Crowd) -> list[str]:
    return sorted((path for path in crowd.media if "/part" in path), key=part_number)


@contextlib.contextmanager
def control_stream(servers: tuple[LiveServer, LiveServer]) -> Iterator[None]:
    """Broadcast the same tags to both servers, in real time, until the block is left."""
    tags = h264_aac(CLIP_S, gop=60)
    with contextlib.ExitStack() as stack:
        for server in servers:
            publisher = stack.enter_context(TagPublisher(server.rtmp_port, server.issue_key(CHANNEL)))
            stack.enter_context(publishing(publisher, repeated(tags, CLIP_S * 1000)))
        for server in servers:
            server.wait_until_playable(CHANNEL)
        yield


@contextlib.contextmanager
def watching(attacked: LiveServer, quiet: LiveServer) -> Iterator[Witness]:
    """Watch the control stream on both, in a thread, until the block is left."""
    witness = Witness(Crowd(attacked.http_port, CHANNEL, 2), Crowd(quiet.http_port, CHANNEL, 2))
    leave = threading.Event()

    async def watch() -> None:
        async def end() -> None:
            await asyncio.to_thread(leave.wait)
            for crowd in (witness.attacked, witness.quiet):
                crowd.end()

        async with asyncio.TaskGroup() as group:
            for crowd in (witness.attacked, witness.quiet):
                group.create_task(crowd.watch(None, 0.0))
            group.create_task(end())

    thread = threading.Thread(target=lambda: asyncio.run(watch()), daemon=True)
    thread.start()
    try:
        yield witness
    finally:
        leave.set()
        thread.join(SETTLE_TIMEOUT_S)
    assert not thread.is_alive(), "the viewers did not come to an end"


@dataclass(frozen=True)
class Footprint:
    """What a server holds."""

    descriptors: int
    resident_bytes: int

    @classmethod
    def of(cls, server: LiveServer) -> Footprint:
        proc = Path(f"/proc/{server.process.pid}")
        pages = int((proc / "statm").read_text().split()[1])
        return cls(len(os.listdir(proc / "fd")), pages * os.sysconf("SC_PAGE_SIZE"))


def wait_until_back(server: LiveServer, before: Footprint, growth_bytes: int) -> Footprint:
    """Wait until a server holds no more descriptors than before, and hardly more memory.

    Args:
        server: It.
        before: What it held.
        growth_bytes: What allocators keep for the next time, and the control stream's window.
    """

    def is_back() -> Footprint | None:
        now = Footprint.of(server)
        is_less = now.descriptors <= before.descriptors and now.resident_bytes - before.resident_bytes <= growth_bytes
        return now if is_less else None

    back: Footprint = wait_until(is_back, SETTLE_TIMEOUT_S, f"{before} again; it is {Footprint.of(server)}")
    return back


def limit_hits(server: LiveServer) -> dict[str, float]:
    """How often each limit has acted."""
    hits = {}
    for line in server.admin_get("/metrics").splitlines():
        if line.startswith("streamd_limit_hits_total{"):
            name, value = line.split('"')[1], line.rpartition(" ")[2]
            hits[name] = float(value)
    return hits
