"""The channels' entries of the directory, kept for the supervisor after this one: its publishers come back to them."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

from streamd.services.whole_file import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.process.crew.switchboard import Switchboard

log = logging.getLogger(__name__)

NAME = "workers-streams.json"
# Twenty thousand entries of 16 kB each are more than this; a file that is larger is none of ours.
FILE_BYTES_MAX = 64 * 1024 * 1024


class KeptEntries:
    """The file.

    Args:
        directory: The data directory.
        switchboard: Has the entries.
    """

    def __init__(self, directory: Path, switchboard: Switchboard) -> None:
        self._path = directory / NAME
        self._switchboard = switchboard
        self._revision = 0

    def load(self) -> None:
        """Go on with what there is; what cannot be read is passed over, and streams begin anew."""
        try:
            if self._path.stat().st_size > FILE_BYTES_MAX:
                raise ValueError(f"larger than {FILE_BYTES_MAX} bytes")
            kept = json.loads(self._path.read_bytes())
            self._switchboard.restore({str(key): str(value) for key, value in kept.items()})
        except FileNotFoundError:
            pass
        except (OSError, ValueError, AttributeError, RecursionError) as exc:
            log.warning("restart_record.unreadable", extra={"file": NAME, "reason": str(exc)})
        self._revision = self._switchboard.revision

    async def save(self) -> None:
        """Write what has changed; called about once a second, and at the end."""
        revision = self._switchboard.revision
        if revision == self._revision:
            return
        data = json.dumps(self._switchboard.kept()).encode()
        try:
            await asyncio.to_thread(replace_file, self._path, data)
        except OSError as exc:
            log.warning("restart_record.unwritten", extra={"file": NAME, "reason": str(exc)})
            return
        self._revision = revision
