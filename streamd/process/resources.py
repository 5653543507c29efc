"""The process's share of its machine: file descriptors and memory, and how much of them there is.

Linux: proc(5), getrlimit(2), cgroup v2 ("memory.max").
"""

from __future__ import annotations

import bisect
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# Kept for what is no viewer's and no encoder's: the key store (up to 4 files of SQLite with 3 descriptors each, or 10
# connections to PostgreSQL), the admin API (64 connections), certificates that are read again, listeners and the loop
# itself.
DESCRIPTORS_RESERVED = 128
# Encoders come first: however many viewers there are, this much of the descriptors is theirs if they need it.
ENCODERS_SHARE_MAX = 0.5
# A peer whose TLS handshake is not complete is no viewer yet.
HANDSHAKES_SHARE_MAX = 0.1
# A file spares copying, a connection is a viewer.
FILES_SHARE_MAX = 0.1
# Of what the machine or the container has, where no ceiling is set: the rest is the kernel's, whose buffers of sockets
# are not in our size.
MEMORY_SHARE = 0.8
# A new stream takes so much once its window is full, and has by then: 14 s of 6 Mb/s, and its demuxer.
STREAM_BYTES = 16 * 1024 * 1024
STREAM_FILLS_S = 15.0

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def raise_descriptor_limit() -> int:
    """Ask for all the file descriptors that we may have without being root; returns how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # a sandbox that forbids to ask, or macOS, where "no bound" is not to be had
            return soft
    return hard


class Descriptors(NamedTuple):
    """How many of each may be open at once."""

    encoders: int
    """RTMP connections."""
    viewers: int
    """Viewers' connections."""
    files: int
    """Popular bodies as files in memory."""
    handshakes: int
    """Connections whose TLS handshake is in progress."""


def share_descriptors(
    encoders_max: int, viewers_max: int, files_max: int, handshakes_max: int, descriptors: int
) -> Descriptors:
    """How many connections and files may be open, so that the process never runs out of descriptors.

    A server without a descriptor to spare can neither open its database nor accept the operator who wants to know why;
    what is refused within these bounds is refused cleanly.

    Args:
        encoders_max: RTMP connections, as configured.
        viewers_max: Viewers' connections, as configured.
        files_max: Files in memory that are of use.
        handshakes_max: TLS handshakes in progress, as configured; 0 without TLS.
        descriptors: The number that the process may open; negative for no bound (``RLIM_INFINITY``).

    Returns:
        Of connections at least 1 each, and of everything at most what is wanted.
    """
    if descriptors < 0:
        return Descriptors(encoders_max, viewers_max, files_max, handshakes_max)
    room = max(0, descriptors - DESCRIPTORS_RESERVED)
    files = min(files_max, int(room * FILES_SHARE_MAX))
    handshakes = min(handshakes_max, int(room * HANDSHAKES_SHARE_MAX))
    encoders = max(1, min(encoders_max, int(room * ENCODERS_SHARE_MAX)))
    return Descriptors(encoders, max(1, min(viewers_max, room - files - handshakes - encoders)), files, handshakes)


def descriptors_needed(encoders_max: int, viewers_max: int, files_max: int, handshakes_max: int) -> int:
    """The fewest descriptors that leave encoders and viewers all that is wanted (``share_descriptors``)."""

    def suffices(descriptors: int) -> bool:
        shared = share_descriptors(encoders_max, viewers_max, files_max, handshakes_max, descriptors)
        return (shared.encoders, shared.viewers) == (encoders_max, viewers_max)

    enough = DESCRIPTORS_RESERVED + 2 * encoders_max + viewers_max + files_max + handshakes_max
    return bisect.bisect_left(range(enough), True, key=suffices)


def memory_total_bytes() -> int:
    """Memory that the machine has, or the container (cgroup v2) where that has less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(total, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return total


def memory_used_bytes() -> int:
    """Resident size of this process."""
    try:
        resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        # Elsewhere than on Linux only the largest size there has been is told, there in bytes.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return resident_pages * os.sysconf("SC_PAGE_SIZE")


class MemoryPlace:
    """Memory that a stream will take, kept free for it until it has taken it, or until it is over.

    Args:
        ceiling: Of which it is a part.
        taken_at: Loop time at which the stream began, seconds.
    """

    __slots__ = ("_ceiling", "taken_at")

    def __init__(self, ceiling: MemoryCeiling, taken_at: float) -> None:
        self._ceiling = ceiling
        self.taken_at = taken_at

    def release(self) -> None:
        """Give the place back; again is the same as once."""
        self._ceiling.give_back(self)


class MemoryCeiling:
    """Refuses what is new while memory is short, so that what runs has enough.

    A stream takes its memory in its first seconds and not when it is admitted, and after a restart hundreds come at
    once: those that are young count with what they will take. One that ends young takes no more memory, and its end
    gives the place back.

    Args:
        ceiling_bytes: Size past which nothing new begins; 0 for a share of what there is.
        now: Reads the loop time, seconds.
        used_bytes: Reads the size of the process.
    """

    def __init__(
        self, ceiling_bytes: int, *, now: Callable[[], float], used_bytes: Callable[[], int] = memory_used_bytes
    ) -> None:
        self._now = now
        self._read_used = used_bytes
        # Oldest first; no more than there are live streams.
        self._young: dict[MemoryPlace, None] = {}
        self.set(ceiling_bytes)
        self.look()

    def set(self, ceiling_bytes: int) -> None:
        """Take another ceiling; 0 for a share of what there is."""
        self.ceiling_bytes = ceiling_bytes or int(memory_total_bytes() * MEMORY_SHARE)

    def look(self) -> None:
        """Read how much is used; called about once a second."""
        self.used_bytes = self._read_used()

    @property
    def excess_bytes(self) -> int:
        """How much the process is past the ceiling, as of the last look; negative below it."""
        return self.used_bytes - self.ceiling_bytes

    @property
    def is_full(self) -> bool:
        """Whether a new stream would have no room."""
        old = self._now() - STREAM_FILLS_S
        while self._young and (first := next(iter(self._young))).taken_at <= old:
            # Its memory is in the size of the process by now.
            del self._young[first]
        return self.used_bytes + (len(self._young) + 1) * STREAM_BYTES > self.ceiling_bytes

    def admit(self) -> MemoryPlace | None:
        """Take in a new stream, or say by None that there is no room for it."""
        if self.is_full:
            return None
        place = MemoryPlace(self, self._now())
        self._young[place] = None
        return place

    def give_back(self, place: MemoryPlace) -> None:
        """Take note that what a place was for is over (``MemoryPlace.release``)."""
        self._young.pop(place, None)
