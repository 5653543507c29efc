"""Keeps the index up to date in the background: recordings go on while the database is away."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from streamd.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamd.services.recording.index import RecordingIndex
    from streamd.services.recording.records import RecordingRecord

log = logging.getLogger(__name__)

# A database that is away is asked again after this, seconds.
RETRY_S = 5.0


class IndexKeeper:
    """Tells the index what has become of recordings, each as it is now.

    Args:
        index: The index.
        sleep: Waits.
    """

    def __init__(self, index: RecordingIndex, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self._index = index
        self._sleep = sleep
        # By id: a recording that changes while the database is away waits once.
        self._unsaved: dict[str, RecordingRecord] = {}
        self._task: asyncio.Task[None] | None = None

    def keep(self, record: RecordingRecord) -> None:
        """Have the index know this of a recording, soon."""
        self._unsaved[record.id] = record
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    @property
    def is_behind(self) -> bool:
        """Whether the index has still to be told something."""
        return bool(self._unsaved)

    async def flush(self) -> None:
        """Tell it all that waits, now.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        await self._save_all()

    async def close(self) -> None:
        """Tell it all that waits; a database that is away is not waited for: the folders know."""
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        try:
            await self._save_all()
        except StoreUnavailableError as exc:
            log.warning("recording.index_behind", extra={"recordings": len(self._unsaved), "reason": str(exc)})

    async def _run(self) -> None:
        is_told = False
        try:
            while self._unsaved:
                try:
                    await self._save_all()
                except StoreUnavailableError as exc:
                    if not is_told:
                        log.warning(
                            "recording.index_behind", extra={"recordings": len(self._unsaved), "reason": str(exc)}
                        )
                    is_told = True
                    await self._sleep(RETRY_S)
        finally:
            self._task = None

    async def _save_all(self) -> None:
        while self._unsaved:
            recording_id, record = next(iter(self._unsaved.items()))
            await self._index.save(record)
            if self._unsaved.get(recording_id) is record:
                del self._unsaved[recording_id]
