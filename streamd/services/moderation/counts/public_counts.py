"""The days that the public can count: read from the audit log once, and kept.

Each row is read once in its life: rows are numbered without gaps, in the order in which they are committed, so that
whoever remembers a number knows what is new, also of rows that tell of a day long past. A log of a million rows is gone
through in the background, some rows at a time.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from streamd.errors import StoreUnavailableError
from streamd.services.moderation.counts.counts import ACTS, DayCounts
from streamd.services.store.schema import audit, audit_chain, transparency_cursor, transparency_days

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from streamd.clock import Clock
    from streamd.services.store.database import Database

log = logging.getLogger(__name__)

# Rows of one step of the loop: five milliseconds, where all of them count.
ROWS_AT_ONCE = 250
# The place is written down now and then in a long log, and where many rows have counted nowhere: the next server
# reads so many again.
ROWS_UNSAVED_MAX = 50_000
# The public sees an act after this time.
LOOK_INTERVAL_S = 5.0
# Ten years, of some kilobytes a day. Older days are in the database, and told by ``streamd transparency``.
DAYS_HELD_MAX = 3660
# Of one answer: a year, which the law wants a report of.
DAYS_ASKED_MAX = 366


class PublicCounts:
    """Counts, and tells.

    Args:
        database: Has the audit log, and what was counted.
        clock: For today, and for when to look.

    Attributes:
        revision: A number that changes with every change.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self.revision = 0
        self._database = database
        self._clock = clock
        self._days: dict[str, DayCounts] = {}
        self._first: date | None = None
        self._sequence = self._saved_sequence = 0
        self._changed: set[str] = set()
        self._is_loaded = False
        self._is_failing = False
        self._next_at = clock.monotonic()
        self._task: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Count what is new, if it is time to; called about once a second."""
        now = self._clock.monotonic()
        if now < self._next_at or (self._task is not None and not self._task.done()):
            return
        self._next_at = now + LOOK_INTERVAL_S
        self._task = asyncio.create_task(self._look())

    async def close(self) -> None:
        """Count no more, and write down what was counted."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._is_loaded:
            try:
                await self._save()
            except StoreUnavailableError:
                # The next server reads those rows again.
                log.debug("transparency.unsaved")

    async def catch_up(self) -> None:
        """Count all that is new.

        Raises:
            StoreUnavailableError: It could not be read or written.
        """
        if not self._is_loaded:
            await self._load()
        while await self._read_some():
            if self._sequence - self._saved_sequence >= ROWS_UNSAVED_MAX:
                await self._save()
        if self._changed:
            await self._save()

    # -- telling -----------------------------------------------------------------------------------

    @property
    def today(self) -> date:
        """The day that it is (UTC)."""
        return self._clock.now().date()

    @property
    def first_day(self) -> date:
        """The first day of which something is known; today where nothing is."""
        return min(self.today, self._first) if self._first is not None else self.today

    def day(self, day: date) -> DayCounts | None:
        """The counts of a day; None of one that is to come, or before the first."""
        if not self.first_day <= day <= self.today:
            return None
        return self._days.get(day.isoformat()) or DayCounts()

    def days(self, first: date, last: date) -> Iterator[tuple[date, DayCounts]]:
        """The days from one to another, the first first, ``DAYS_ASKED_MAX`` at most; also those without an act."""
        # Also of the first day and the last that a calendar has, before and behind which there is none.
        first, last = max(first, self.first_day), min(last, self.today)
        number = min((last - first).days + 1, DAYS_ASKED_MAX)
        for back in reversed(range(number)):
            day = last - timedelta(days=back)
            if (counts := self.day(day)) is not None:
                yield day, counts

    # -- inside ------------------------------------------------------------------------------------

    async def _look(self) -> None:
        try:
            await self.catch_up()
            self._is_failing = False
        except StoreUnavailableError as exc:
            if not self._is_failing:
                log.warning("transparency.delayed", extra={"reason": str(exc)})
            self._is_failing = True

    async def _load(self) -> None:
        """Take what was counted before, by this server or another."""
        async with self._database.reading() as connection:
            # The number first: what another server adds meanwhile is found out when this one saves.
            cursor = (await connection.execute(select(transparency_cursor.c.sequence))).scalar_one()
        query = select(transparency_days).order_by(transparency_days.c.day.desc()).limit(DAYS_HELD_MAX)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        sequence = cursor
        days: dict[str, DayCounts] = {}
        try:
            for row in rows:
                days[row.day] = DayCounts.from_json(row.counts)
                # A day with many different times takes some milliseconds.
                await asyncio.sleep(0)
        except ValueError:
            # Somebody has written there. The log has it all.
            log.warning("transparency.recounted", extra={"rows": cursor})
            days, sequence = {}, 0
        # All at once: whoever is stopped before leaves what was there before.
        self._days, self._sequence, self._saved_sequence = days, sequence, cursor
        self._first = min(map(date.fromisoformat, self._days), default=None)
        self._changed.clear()
        self._is_loaded = True
        self.revision += 1

    async def _read_some(self) -> bool:
        """Count the next rows; whether there may be more."""
        async with self._database.reading() as connection:
            end = (await connection.execute(select(audit_chain.c.end_sequence))).scalar_one()
        stop = min(end, self._sequence + ROWS_AT_ONCE)
        if stop <= self._sequence:
            return False
        query = (
            select(audit.c.at, audit.c.action, audit.c.reason, audit.c.count.label("times"))
            .where(audit.c.sequence > self._sequence, audit.c.sequence <= stop, audit.c.action.in_(ACTS))
            .order_by(audit.c.sequence)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        for row in rows:
            day = row.at.date().isoformat()
            counts = self._days.get(day)
            if counts is None:
                counts = self._days[day] = DayCounts()
                self._first = min(filter(None, (self._first, row.at.date())))
            counts.add(row.action, row.reason, row.times)
            self._changed.add(day)
        if rows:
            self.revision += 1
        self._sequence = stop
        return bool(stop < end)

    async def _save(self) -> None:
        """Write down what was counted, unless another server has counted it meanwhile: then take that."""
        if self._sequence == self._saved_sequence and not self._changed:
            return
        changed: dict[str, str] = {}
        for day in sorted(self._changed):
            changed[day] = self._days[day].to_json()
            await asyncio.sleep(0)
        async with self._database.writing() as connection:
            moved = await connection.execute(
                update(transparency_cursor)
                .where(transparency_cursor.c.sequence == self._saved_sequence)
                .values(sequence=self._sequence)
            )
            if moved.rowcount:
                for day, text in changed.items():
                    row = {"day": day, "counts": text}
                    await connection.execute(self._database.insert_new(transparency_days).values(row))
                    await connection.execute(
                        update(transparency_days).where(transparency_days.c.day == day).values(counts=text)
                    )
        if moved.rowcount:
            self._saved_sequence = self._sequence
            self._changed -= set(changed)
        else:
            await self._load()


async def recount(database: Database, first: date | None = None, last: date | None = None) -> dict[str, DayCounts]:
    """Count the audit log anew, and look at nothing that was counted before.

    Args:
        database: Has it.
        first: Only from this day on (UTC).
        last: Only up to this day.

    Returns:
        The days on which something was done, by date, the first first.

    Raises:
        StoreUnavailableError: It could not be read.
    """
    days: dict[str, DayCounts] = {}
    async for at, action, reason, times in counted_rows(database, first, last):
        days.setdefault(at.date().isoformat(), DayCounts()).add(action, reason, times)
    return dict(sorted(days.items()))


async def counted_rows(
    database: Database, first: date | None = None, last: date | None = None
) -> AsyncIterator[tuple[datetime, str, str, int]]:
    """The rows of the audit log that count, in their order: time, action, reason, and how often it was done.

    Args:
        database: Has it.
        first: As of ``recount``.
        last: Likewise.

    Raises:
        StoreUnavailableError: It could not be read.
    """
    query = select(audit.c.at, audit.c.action, audit.c.reason, audit.c.count.label("times"))
    query = query.where(audit.c.action.in_(ACTS)).order_by(audit.c.sequence)
    if first is not None:
        query = query.where(audit.c.at >= _midnight(first))
    if last is not None:
        query = query.where(audit.c.at <= datetime.combine(last, time.max, UTC))
    async with database.scanning() as connection:
        rows = await connection.stream(query)
        async for part in rows.partitions(ROWS_AT_ONCE):
            for row in part:
                yield row.at, row.action, row.reason, row.times


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
