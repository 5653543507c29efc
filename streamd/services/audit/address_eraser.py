"""Erases the addresses of the audit log, and of keys' last uses, when they have been kept for long enough.

The rows stay: who did what to which key, and when. A look is at most one slice of the log, so that a log of a million
rows is gone through in the background, from its beginning on at every start.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from streamd.services.store.schema import audit, keys

if TYPE_CHECKING:
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.store.database import Database

log = logging.getLogger(__name__)

# Rows of one look: a few milliseconds of the database.
ROWS_AT_ONCE = 1_000
# An address is kept an hour longer than asked for at the most.
PAUSE_S = 3600.0


class AddressEraser:
    """Erases old addresses.

    Args:
        database: Where they are.
        clock: Wall time says what is old; loop time, when to look.
        keep_days: How long an address is kept; 0 is for ever.
    """

    def __init__(self, database: Database, clock: Clock, keep_days: int) -> None:
        self._database = database
        self._clock = clock
        self._keep_days = keep_days
        # Rows up to this one have been looked at.
        self._sequence = 0
        self._has_begun = False
        self._next_at = clock.monotonic()

    def configure(self, keep_days: int) -> None:
        """Take another time from now on."""
        if keep_days != self._keep_days:
            self._keep_days = keep_days
            # Addresses that were too young for the time before may be old now.
            self._has_begun = False
            self._next_at = self._clock.monotonic()

    async def look(self) -> None:
        """Erase what is old in one slice of the log, if it is time to.

        Raises:
            StoreUnavailableError: It could not be read or written; the next look tries again.
        """
        if not self._keep_days or self._clock.monotonic() < self._next_at:
            return
        before = self._clock.now() - timedelta(days=self._keep_days)
        if not self._has_begun:
            await self._erase_last_uses(before)
            self._has_begun = True
        if not await self._erase_slice(before):
            self._has_begun = False
            self._next_at = self._clock.monotonic() + PAUSE_S

    async def _erase_last_uses(self, before: datetime) -> None:
        async with self._database.writing() as connection:
            await connection.execute(
                update(keys)
                .where(keys.c.last_used_at < before, keys.c.last_used_address != "")
                .values(last_used_address="")
            )

    async def _erase_slice(self, before: datetime) -> bool:
        """Erase in the next rows; return whether there may be more that are old."""
        query = (
            select(audit.c.sequence, audit.c.at, audit.c.address)
            .where(audit.c.sequence > self._sequence)
            .order_by(audit.c.sequence)
            .limit(ROWS_AT_ONCE)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        # Rows are written in the order of their times, but for a few that waited some minutes.
        old = []
        for row in rows:
            if row.at >= before:
                break
            old.append(row)
        if with_address := [row.sequence for row in old if row.address]:
            async with self._database.writing() as connection:
                await connection.execute(
                    update(audit).where(audit.c.sequence.in_(with_address)).values(address="", address_salt=None)
                )
            log.info("addresses.erased", extra={"rows": len(with_address), "before": before.isoformat()})
        if old:
            self._sequence = old[-1].sequence
        return len(old) == ROWS_AT_ONCE
