"""The sessions of the pages, kept for the next server on the same data directory: whoever was signed in stays so.

The file has the hash of a session's token, its name and its times. It is written when one begins or ends, and
otherwise once a minute, for when it was last used: a server that is killed loses no more than that.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import TypeAdapter, ValidationError

from streamd.doors.web.sessions import SessionRecord
from streamd.services.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from streamd.clock import Clock
    from streamd.doors.web.sessions import Sessions

log = logging.getLogger(__name__)

# How much longer a session lies idle than it did, after a server was killed.
WRITE_INTERVAL_S = 60.0

_RECORDS = TypeAdapter(dict[str, list[SessionRecord]])


class Page(Protocol):
    """A page that people sign in to."""

    @property
    def sessions(self) -> Sessions[Any]:
        """The people who are signed in."""

    def restore(self, records: Iterable[SessionRecord]) -> None:
        """Go on with the sessions that a server before this one had."""


class SessionFile:
    """The file that they are kept in.

    Args:
        path: Where it is; another file beside it is written to first.
        clock: For how often it is written.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._pages: dict[str, Page] = {}
        # Of pages that this server does not have: kept as they were.
        self._others = self._load()
        # A server that stops saves beside the sweep that may be saving.
        self._writing = asyncio.Lock()
        self._saved: object = None
        self._is_failing = False

    def keep(self, name: str, page: Page) -> None:
        """Give a page the sessions that it had before, and keep those it has from now on.

        Args:
            name: The key that they are kept under.
            page: Without a session yet.
        """
        page.restore(self._others.pop(name, []))
        self._pages[name] = page

    async def save(self, *, is_last: bool = False) -> None:
        """Write the file if a session has begun or ended, or it is time; called once a second.

        Args:
            is_last: The server ends: write it in any case.
        """
        async with self._writing:
            await self._save(is_last)

    async def _save(self, is_last: bool) -> None:
        sessions = {name: page.sessions for name, page in self._pages.items()}
        minute = self._clock.monotonic() // WRITE_INTERVAL_S if any(map(len, sessions.values())) else 0
        state = ([each.revision for each in sessions.values()], minute)
        if not self._pages or (state == self._saved and not is_last):
            return
        records = self._others | {name: each.records() for name, each in sessions.items()}
        try:
            await asyncio.to_thread(replace_file, self._path, _RECORDS.dump_json(records))
        except OSError as exc:
            # Tried again a second later; said once.
            if not self._is_failing:
                log.warning("sessions.unwritable", extra={"path": str(self._path), "reason": exc.strerror})
            self._is_failing = True
        else:
            self._saved = state
            self._is_failing = False

    def _load(self) -> dict[str, list[SessionRecord]]:
        try:
            return _RECORDS.validate_json(self._path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValidationError) as exc:
            # To sign in again is better than a server that does not start.
            why = exc.strerror if isinstance(exc, OSError) else "not in the form in which it is written"
            log.warning("sessions.unreadable", extra={"path": str(self._path), "reason": why})
            return {}
