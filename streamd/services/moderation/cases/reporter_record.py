"""The memory of reporters: how often they were right, and that they were warned.

Kept by a keyed hash of the address or by a trusted flagger's name, and only once something that they reported was
decided: a crowd that reports leaves nothing here.

Spec: Regulation (EU) 2022/2065 article 23(2): "providers of online platforms shall suspend, for a reasonable period of
time and after having issued a prior warning, the processing of notices … by individuals … that frequently submit
notices … that are manifestly unfounded".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import case, delete, select, update

from streamd.services.moderation.cases.case_records import Outcome
from streamd.services.moderation.cases.priority import record_of
from streamd.services.store.schema import reporters, reports

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from streamd.services.store.database import Database

# The first manifestly unfounded decision warns, and the status of the report says so; from this one on it suspends.
UNFOUNDED_SUSPENDS: Final = 3
SUSPENSION: Final = timedelta(days=30)
# A record that nothing was added to for so long is forgotten: addresses change hands.
REMEMBERED: Final = timedelta(days=366)
# Names in one statement; a case has a thousand reporters at the most.
SOURCES_PER_QUERY: Final = 500


@dataclass(frozen=True, slots=True)
class ReporterRecord:
    """What is remembered of one reporter."""

    upheld: int = 0
    rejected: int = 0
    unfounded: int = 0
    suspended_until: datetime | None = None

    @property
    def weight(self) -> float:
        """How far they are believed, 0.2 to 3."""
        return record_of(self.upheld, self.rejected)

    def is_suspended(self, now: datetime) -> bool:
        """Whether their reports are not looked at."""
        return self.suspended_until is not None and now < self.suspended_until


NEW: Final = ReporterRecord()
"""A reporter that nothing is known of."""


async def records_of(connection: AsyncConnection, sources: Collection[str]) -> dict[str, ReporterRecord]:
    """What is remembered of some reporters; those that nothing is known of are left out."""
    found: dict[str, ReporterRecord] = {}
    wanted = list(sources)
    for start in range(0, len(wanted), SOURCES_PER_QUERY):
        query = select(reporters).where(reporters.c.source.in_(wanted[start : start + SOURCES_PER_QUERY]))
        for row in await connection.execute(query):
            found[row.source] = ReporterRecord(row.upheld, row.rejected, row.unfounded, row.suspended_until)
    return found


async def note_decision(
    database: Database,
    connection: AsyncConnection,
    case_id: str,
    outcome: Outcome,
    *,
    is_unfounded: bool,
    now: datetime,
) -> None:
    """Remember for everybody who reported a case how it was decided."""
    rows = await connection.execute(
        select(reports.c.source).where(reports.c.case_id == case_id, reports.c.source != "").distinct()
    )
    sources = [row.source for row in rows]
    if not sources:
        return
    fresh = [
        {"source": each, "upheld": 0, "rejected": 0, "unfounded": 0, "suspended_until": None, "changed_at": now}
        for each in sources
    ]
    is_upheld = outcome is Outcome.TAKEN_DOWN
    unfounded = reporters.c.unfounded + int(is_unfounded)
    for start in range(0, len(fresh), SOURCES_PER_QUERY):
        some = fresh[start : start + SOURCES_PER_QUERY]
        await connection.execute(database.insert_new(reporters), some)
        await connection.execute(
            update(reporters)
            .where(reporters.c.source.in_([each["source"] for each in some]))
            .values(
                upheld=reporters.c.upheld + int(is_upheld),
                rejected=reporters.c.rejected + int(not is_upheld),
                unfounded=unfounded,
                suspended_until=case(
                    (unfounded >= UNFOUNDED_SUSPENDS, now + SUSPENSION), else_=reporters.c.suspended_until
                )
                if is_unfounded
                else reporters.c.suspended_until,
                changed_at=now,
            )
        )


async def note_reversal(connection: AsyncConnection, case_id: str, outcome: Outcome, *, is_unfounded: bool) -> None:
    """Take back what ``note_decision`` has remembered: the decision was reversed."""
    sources = select(reports.c.source).where(reports.c.case_id == case_id, reports.c.source != "").distinct()
    was_upheld = outcome is Outcome.TAKEN_DOWN
    right, wrong = (
        (reporters.c.rejected, reporters.c.upheld) if was_upheld else (reporters.c.upheld, reporters.c.rejected)
    )
    less = case((wrong > 0, wrong - 1), else_=0)
    fewer = case((reporters.c.unfounded > 0, reporters.c.unfounded - 1), else_=0)
    values: dict[str, object] = {right.name: right + 1, wrong.name: less}
    if is_unfounded:
        values |= {"unfounded": fewer, "suspended_until": None}
    await connection.execute(update(reporters).where(reporters.c.source.in_(sources)).values(values))


async def forget_old(connection: AsyncConnection, now: datetime) -> int:
    """Forget records that nothing was added to for long; return how many."""
    forgotten = await connection.execute(delete(reporters).where(reporters.c.changed_at < now - REMEMBERED))
    return forgotten.rowcount
