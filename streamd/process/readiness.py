"""Whether a broadcaster with a good key would be let in now, and what else an operator should know: ``/readyz``.

Asked without a token by balancers and orchestrators, so a reason names no key, user, address or path. The key store is
asked by the API itself, with the question that a publish asks.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streamd.doors.ingest.listener import RtmpListener
    from streamd.process.services import Services

# Less than an audit row and what SQLite adds to it: what is written next finds no room.
FREE_BYTES_MIN = 1024 * 1024


class Readiness:
    """Says why no broadcaster should be sent here.

    Args:
        services: They decide over a publish.
        rtmp: Where it would come in.
        data_dir: The disk that the server writes to.
        closing_because: Why the server lets nobody in any more; None while it does.
    """

    def __init__(
        self, services: Services, rtmp: RtmpListener, data_dir: Path, closing_because: Callable[[], str | None]
    ) -> None:
        self._services = services
        self._rtmp = rtmp
        self._data_dir = data_dir
        self._closing_because = closing_because

    def why_not(self) -> str | None:
        """Why a broadcaster would not be let in; None where nothing of ours speaks against it."""
        if (reason := self._closing_because()) is not None:
            return reason
        if not self._rtmp.is_accepting:
            return "no listener for broadcasters is open"
        if not _has_descriptor():
            return "no file descriptor is left"
        if self._rtmp.is_full_of_publishers:
            return "as many publishers are connected as limits.connections_max allows"
        if self._services.registry.is_full:
            return "as many streams are live as limits.streams_max allows"
        if self._services.machine.memory.is_full:
            return "there is no memory for one more stream (limits.memory_bytes_max)"
        return None

    async def warnings(self) -> list[str]:
        """The faults that keep no broadcaster out, and should not last."""
        found = []
        if len(self._services.keys.takedowns):
            found.append("revocations or suspensions hold here and are not in the key store yet")
        if self._services.key_sweeper.has_failed:
            found.append("the key store does not take what is to be written")
        if not await asyncio.to_thread(_has_room, self._data_dir):
            found.append("the disk of the data directory is full")
        return found


def _has_descriptor() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:  # EMFILE: none of ours is left; ENFILE: none of the machine's
        return False
    return True


def _has_room(directory: Path) -> bool:
    try:
        disk = os.statvfs(directory)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize >= FREE_BYTES_MIN
