"""Notes where the audit log's chain ends, outside of the database: in a file, and now and then in the server's log.

A writer of the database can cut rows off its end, or write the whole log and its chain anew. They cannot
change what was noted elsewhere: the file in the data directory, the journal of the machine or of the host that lines of
the log are sent to, and an operator's own note of what ``streamd audit verify`` has said.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, TypeAdapter, ValidationError
from sqlalchemy import select

from streamd.services.audit.verify import ChainEnd
from streamd.services.store.schema import audit, audit_chain
from streamd.services.whole_file import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.clock import Clock
    from streamd.services.store.database import Database

log = logging.getLogger(__name__)

ANCHOR_NAME = "audit-anchor.json"
# A cut of the log within this time of a row leaves no trace in the file.
LOOK_INTERVAL_S = 10.0
# A line of the log an hour, where there are acts at all.
TELL_INTERVAL_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Noted:
    sequence: Annotated[int, Field(ge=0)]
    hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


_NOTED = TypeAdapter(_Noted)


def read_anchor(path: Path) -> ChainEnd | None:
    """The end that a server has noted; None where there is nothing that can be read."""
    try:
        noted = _NOTED.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return ChainEnd(noted.sequence, bytes.fromhex(noted.hash))


class AuditAnchor:
    """Notes the end of the chain.

    Args:
        database: Where the log is.
        clock: For when to look.
        path: The file.
    """

    def __init__(self, database: Database, clock: Clock, path: Path) -> None:
        self._database = database
        self._clock = clock
        self._path = path
        self._noted = read_anchor(path) or ChainEnd(0, b"")
        self._told = ChainEnd(0, b"")
        self._next_at = self._tell_at = clock.monotonic()
        self._is_broken = False
        self._is_failing = False

    async def look(self, *, is_last: bool = False) -> None:
        """Note the end, if it is time to and rows were added.

        Args:
            is_last: The server ends: note it in any case.

        Raises:
            StoreUnavailableError: The database cannot be read.
        """
        now = self._clock.monotonic()
        if now < self._next_at and not is_last:
            return
        self._next_at = now + LOOK_INTERVAL_S
        noted = self._noted
        async with self._database.reading() as connection:
            row = (await connection.execute(select(audit_chain))).one_or_none()
            query = select(audit.c.hash).where(audit.c.sequence == noted.sequence)
            there = (await connection.execute(query)).scalar_one_or_none()
        end = ChainEnd(0, b"") if row is None else ChainEnd(row.end_sequence, row.end_hash)
        if end.sequence < noted.sequence:
            self._tell_broken("audit.shortened", end)
            return
        # A log that goes on from what was noted has that row still; the end of one that was written anew would prove
        # what is wrong. Rows that are older than the chain have no hash of their own.
        if end.sequence == noted.sequence:
            there = end.hash
        elif row is not None and noted.sequence <= row.begin_sequence:
            there = noted.hash
        if there != noted.hash and noted.sequence:
            self._tell_broken("audit.rewritten", end)
            return
        if end != self._noted:
            await self._note(end)
        if end != self._told and now >= self._tell_at:
            self._tell_at, self._told = now + TELL_INTERVAL_S, end
            log.info("audit.anchored", extra={"sequence": end.sequence, "hash": end.hash.hex()})

    def _tell_broken(self, event: str, end: ChainEnd) -> None:
        """The log does not go on from what was noted, which stays, for whoever looks into it."""
        if not self._is_broken:
            log.warning(event, extra={"sequence": end.sequence, "noted": self._noted.sequence})
        self._is_broken = True

    async def _note(self, end: ChainEnd) -> None:
        data = _NOTED.dump_json(_Noted(end.sequence, end.hash.hex()))
        try:
            await asyncio.to_thread(replace_file, self._path, data)
        except OSError as exc:
            # Tried again at the next look; said once.
            if not self._is_failing:
                log.warning("audit.unanchored", extra={"path": str(self._path), "reason": exc.strerror})
            self._is_failing = True
        else:
            self._noted, self._is_failing = end, False
