"""Appeals in the database: every change is one transaction with its audit row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, and_, exists, func, or_, select, update

from streamd.errors import CaseStateError
from streamd.services.audit.audit_log import append_entries
from streamd.services.audit.records import Actor
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.cases import reporter_record
from streamd.services.moderation.cases.case_records import (
    Appeal,
    AppealState,
    Case,
    CaseAct,
    CaseState,
    Decision,
    Outcome,
    Party,
)
from streamd.services.moderation.cases.case_rows import case_entry, note
from streamd.services.moderation.cases.report_store import PUBLIC
from streamd.services.store.page import Page
from streamd.services.store.schema import appeals, cases, decisions, takedowns

if TYPE_CHECKING:
    from datetime import datetime

    from streamd.services.store.database import Database

# Of one decision: the broadcaster's, and some of those who reported; 5,000 characters each.
APPEALS_PER_DECISION_MAX: Final = 100
_COLUMNS: Final = tuple(column for column in appeals.c if column.name != "appellant")


class AppealStore:
    """Appeals in one database.

    Args:
        database: The key store's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, appeal: Appeal, found: Case, *, appellant: str) -> None:
        """Write an appeal.

        Args:
            appeal: The appeal.
            found: Its case.
            appellant: The report of the reporter; empty for the broadcaster. Each appeals once.

        Raises:
            CaseStateError: They have appealed already, or there are too many.
            StoreUnavailableError: It could not be written.
        """
        of_it = appeals.c.decision_id == appeal.decision_id
        async with self._database.writing() as connection:
            number = (await connection.execute(select(func.count()).select_from(appeals).where(of_it))).scalar_one()
            if number >= APPEALS_PER_DECISION_MAX:
                raise CaseStateError("many have appealed against this decision; it is being looked at")
            values = {
                "id": appeal.id,
                "decision_id": appeal.decision_id,
                "case_id": appeal.case_id,
                "party": appeal.party.value,
                "appellant": appellant,
                "text": appeal.text,
                "received_at": appeal.received_at,
                "state": appeal.state.value,
                "decided_by": "",
                "decided_at": None,
                "reason": "",
            }
            done = await connection.execute(self._database.insert_new(appeals).values(values))
            if not done.rowcount:
                raise CaseStateError("you have appealed against this decision already")
            by = Actor(PUBLIC)
            await note(
                connection, found.id, appeal.received_at, by.name, CaseAct.APPEALED, appeal.party.value, is_needed=True
            )
            entry = case_entry(appeal.received_at, by, "appeal.received", found)
            await append_entries(connection, [entry])

    async def find(self, appeal_id: str) -> Appeal | None:
        """Find an appeal; None where there is none."""
        async with self._database.reading() as connection:
            query = select(*_COLUMNS).where(appeals.c.id == appeal_id)
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _appeal(row)

    async def page(self, state: AppealState | None = None, *, after: str = "", limit: int) -> Page[Appeal]:
        """Appeals, the first first: whoever waits longest is answered next."""
        query = select(*_COLUMNS).order_by(appeals.c.id).limit(limit + 1)
        if state is not None:
            query = query.where(appeals.c.state == state)
        if after:
            query = query.where(appeals.c.id > after)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return Page([_appeal(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def of_case(self, case_id: str) -> list[Appeal]:
        """The appeals of a case, the first first."""
        query = select(*_COLUMNS).where(appeals.c.case_id == case_id).order_by(appeals.c.id)
        async with self._database.reading() as connection:
            rows = await connection.execute(query.limit(APPEALS_PER_DECISION_MAX))
            return [_appeal(row) for row in rows]

    async def of_reporter(self, decision_id: str, report_id: str) -> Appeal | None:
        """The appeal of a reporter against a decision; None where there is none."""
        query = select(*_COLUMNS).where(appeals.c.decision_id == decision_id, appeals.c.appellant == report_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _appeal(row)

    async def decide(
        self,
        appeal: Appeal,
        found: Case,
        decision: Decision,
        state: AppealState,
        reason: str,
        *,
        now: datetime,
        by: Actor,
    ) -> Appeal:
        """Write the decision over an appeal, and that the first one is reversed where it is.

        Raises:
            CaseStateError: Somebody has decided it, or another appeal has reversed the decision.
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            values = {"state": state.value, "decided_by": by.name, "decided_at": now, "reason": reason}
            is_open = (appeals.c.id == appeal.id) & (appeals.c.state == AppealState.OPEN)
            if not (await connection.execute(update(appeals).where(is_open).values(values))).rowcount:
                raise CaseStateError("somebody has decided the appeal")
            if state is AppealState.REVERSED:
                stands = (decisions.c.id == decision.id) & decisions.c.reversed_at.is_(None)
                if not (await connection.execute(update(decisions).where(stands).values(reversed_at=now))).rowcount:
                    raise CaseStateError("another appeal has reversed the decision")
                await reporter_record.note_reversal(
                    connection, found.id, decision.outcome, is_unfounded=decision.is_unfounded
                )
            seconds = max(0, int((now - appeal.received_at).total_seconds()))
            said = f"{appeal.party.value}: {state.value}: {reason}"
            await note(connection, found.id, now, by.name, CaseAct.ANSWERED, said, is_needed=True)
            details = ActDetails(found.category.value, found.source_type.value, outcome=state.value, seconds=seconds)
            entry = case_entry(now, by, "appeal.decided", found, words=reason, details=details)
            await append_entries(connection, [entry])
            row = (await connection.execute(select(*_COLUMNS).where(appeals.c.id == appeal.id))).one()
            return _appeal(row)

    async def unfinished(self, before: datetime) -> list[Appeal]:
        """The appeals that have reversed a decision up to a time which is not undone: what was dark still is.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        is_dark = exists().where(takedowns.c.id == decisions.c.takedown_id, takedowns.c.restored_at.is_(None))
        is_closed = exists().where(cases.c.decision_id == decisions.c.id, cases.c.state == CaseState.DECIDED)
        left = or_(
            and_(decisions.c.outcome == Outcome.TAKEN_DOWN, is_dark),
            and_(decisions.c.outcome == Outcome.NO_ACTION, is_closed),
        )
        query = (
            select(*_COLUMNS)
            .join(decisions, decisions.c.id == appeals.c.decision_id)
            .where(appeals.c.state == AppealState.REVERSED, appeals.c.decided_at <= before, left)
            .order_by(appeals.c.id)
        )
        async with self._database.reading() as connection:
            return [_appeal(row) for row in await connection.execute(query)]

    async def undo(self, appeal: Appeal, decision: Decision, now: datetime) -> None:
        """Take back a decision over an appeal that could not be carried out."""
        async with self._database.writing() as connection:
            values = {"state": AppealState.OPEN.value, "decided_by": "", "decided_at": None, "reason": ""}
            await connection.execute(update(appeals).where(appeals.c.id == appeal.id).values(values))
            await connection.execute(update(decisions).where(decisions.c.id == decision.id).values(reversed_at=None))
            await reporter_record.note_decision(
                self._database,
                connection,
                decision.case_id,
                decision.outcome,
                is_unfounded=decision.is_unfounded,
                now=now,
            )


def _appeal(row: Row[Any]) -> Appeal:
    values = row._asdict()
    return Appeal(**values | {"party": Party(values["party"]), "state": AppealState(values["state"])})
