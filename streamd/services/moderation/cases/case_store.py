"""Cases, decisions and their history in the database: every act is one transaction with its audit row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, insert, or_, select, update

from streamd.errors import CaseStateError
from streamd.services.audit.audit_log import append_entries
from streamd.services.moderation.cases import reporter_record
from streamd.services.moderation.cases.case_records import (
    ALL_CASES,
    Case,
    CaseAct,
    CaseFilter,
    CaseState,
    Decision,
    HistoryEntry,
    NewReport,
    Outcome,
)
from streamd.services.moderation.cases.case_rows import (
    HISTORY_MAX,
    case_entry,
    case_from,
    case_of,
    decision_of,
    decision_row,
    find_decision,
    held,
    note,
    open_case,
    state_before,
)
from streamd.services.moderation.cases.priority import Weight, priority_of
from streamd.services.moderation.cases.report_store import new_case
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.store.page import Page
from streamd.services.store.schema import case_history, cases, decisions

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from streamd.services.audit.records import Actor
    from streamd.services.moderation.act_details import ActDetails
    from streamd.services.moderation.acts.takedown import Takedown
    from streamd.services.store.database import Database


@dataclass(frozen=True, slots=True)
class BegunDecision:
    """A decision that is written, and not carried out yet."""

    case: Case
    """As it was before."""
    decision: Decision


class CaseStore:
    """Cases in one database.

    Args:
        database: The key store's.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    # -- cases ----------------------------------------------------------------------------------

    async def find(self, case_id: str) -> Case | None:
        """Find a case; None where there is none.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        async with self.database.reading() as connection:
            row = (await connection.execute(select(cases).where(cases.c.id == case_id))).one_or_none()
        return None if row is None else case_from(row)

    async def page(
        self, found: CaseFilter = ALL_CASES, *, by_priority: bool = True, after: str = "", limit: int
    ) -> Page[Case]:
        """Cases, those that come first or the newest first.

        Args:
            found: Which.
            by_priority: The most urgent first; else the newest.
            after: Only those that come after the case of this id; empty for all.
            limit: How many at most.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        order = (cases.c.priority.desc(), cases.c.id.desc()) if by_priority else (cases.c.id.desc(),)
        query = select(cases).order_by(*order).limit(limit + 1)
        if found.state is not None:
            query = query.where(cases.c.state == found.state)
        if found.channel:
            query = query.where(cases.c.channel == found.channel)
        if found.claimed_by:
            query = query.where(cases.c.claimed_by == found.claimed_by)
        if after and by_priority:
            last = select(cases.c.priority).where(cases.c.id == after).scalar_subquery()
            query = query.where(or_(cases.c.priority < last, and_(cases.c.priority == last, cases.c.id < after)))
        elif after:
            query = query.where(cases.c.id < after)
        async with self.database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return Page([case_from(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def counts(self) -> dict[CaseState, int]:
        """How many cases there are in each state."""
        query = select(cases.c.state, func.count()).group_by(cases.c.state)
        async with self.database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return {CaseState(state): number for state, number in rows}

    async def history(self, case_id: str) -> list[HistoryEntry]:
        """What was done in a case, in order."""
        query = select(case_history).where(case_history.c.case_id == case_id).order_by(case_history.c.sequence)
        async with self.database.reading() as connection:
            rows = await connection.execute(query.limit(HISTORY_MAX))
            return [HistoryEntry(row.sequence, row.at, row.actor, row.act, row.text) for row in rows]

    async def claim(self, case_id: str, *, takes_over: bool, now: datetime, by: Actor) -> Case:
        """Give a case to a moderator.

        Raises:
            CaseNotFoundError: There is none.
            CaseStateError: It is decided; or another has it, and it is not taken over.
            StoreUnavailableError: It could not be written.
        """
        async with self.database.writing() as connection:
            found = await held(connection, case_id)
            if found.state is CaseState.DECIDED:
                raise CaseStateError("the case is decided; reopen it first")
            if found.claimed_by == by.name:
                return found
            if found.claimed_by and not takes_over:
                raise CaseStateError(f"{found.claimed_by} has the case; take it over, or leave it to them")
            values = {"state": CaseState.CLAIMED.value, "claimed_by": by.name, "claimed_at": now}
            await connection.execute(update(cases).where(cases.c.id == case_id).values(values))
            said = f"taken over from {found.claimed_by}" if found.claimed_by else ""
            await note(connection, case_id, now, by.name, CaseAct.CLAIMED, said)
            await append_entries(connection, [case_entry(now, by, "case.claimed", found, words=said)])
            return await held(connection, case_id)

    async def note(self, case_id: str, text: str, *, now: datetime, by: Actor) -> Case:
        """Write a note into a case, for whoever looks at it after.

        Raises:
            CaseNotFoundError: There is none.
            CaseStateError: It has too many.
            StoreUnavailableError: It could not be written.
        """
        async with self.database.writing() as connection:
            found = await held(connection, case_id)
            await note(connection, case_id, now, by.name, CaseAct.NOTED, text)
            await append_entries(connection, [case_entry(now, by, "case.noted", found)])
            return found

    async def begin_takedown(
        self, case_id: str, statement: dict[str, Any], reason: str, *, now: datetime, by: Actor
    ) -> BegunDecision:
        """Write a decision to take something down, so that nobody else decides; it is taken down after this.

        Raises:
            CaseNotFoundError: There is no such case.
            CaseStateError: Somebody has decided it, or another has it.
            StoreUnavailableError: It could not be written.
        """
        decision = Decision(
            new_id(IdKind.DECISION, now), case_id, now, by.name, Outcome.TAKEN_DOWN, reason, statement, "", False, None
        )
        async with self.database.writing() as connection:
            return await _begin(connection, decision)

    async def end_takedown(
        self, begun: BegunDecision, takedown_id: str, *, details: ActDetails, now: datetime, by: Actor
    ) -> Decision:
        """Write that what was to be taken down is, with its row of the audit log.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self.database.writing() as connection:
            changed = update(decisions).where(decisions.c.id == begun.decision.id).values(takedown_id=takedown_id)
            await connection.execute(changed)
            await self._end(connection, begun, details=details, now=now, by=by)
            found = await find_decision(connection, begun.decision.id)
            assert found is not None, "it was written"
            return found

    async def leave_alone(
        self,
        case_id: str,
        reason: str,
        *,
        is_unfounded: bool,
        details: Callable[[Case, datetime], ActDetails],
        now: datetime,
        by: Actor,
    ) -> BegunDecision:
        """Write the decision that nothing is taken down: there is nothing to carry out, and so it is one transaction.

        Args:
            case_id: The case.
            reason: In the moderator's words.
            is_unfounded: The reports were manifestly unfounded.
            details: What is counted of it, by the case as it was and the time.
            now: Aware.
            by: The moderator.

        Raises:
            CaseNotFoundError: There is no such case.
            CaseStateError: Somebody has decided it, or another has it.
            StoreUnavailableError: It could not be written.
        """
        decision = Decision(
            new_id(IdKind.DECISION, now), case_id, now, by.name, Outcome.NO_ACTION, reason, {}, "", is_unfounded, None
        )
        async with self.database.writing() as connection:
            begun = await _begin(connection, decision)
            await self._end(connection, begun, details=details(begun.case, now), now=now, by=by)
            return begun

    async def _end(
        self, connection: AsyncConnection, begun: BegunDecision, *, details: ActDetails, now: datetime, by: Actor
    ) -> None:
        decision = begun.decision
        said = decision.outcome.value + (f": {decision.reason}" if decision.reason else "")
        await note(connection, begun.case.id, now, by.name, CaseAct.DECIDED, said, is_needed=True)
        await reporter_record.note_decision(
            self.database, connection, begun.case.id, decision.outcome, is_unfounded=decision.is_unfounded, now=now
        )
        row = case_entry(now, by, "case.decided", begun.case, words=decision.reason, details=details)
        await append_entries(connection, [row])

    async def undo_decision(self, begun: BegunDecision) -> None:
        """Take back a decision that could not be carried out: the case is as it was."""
        async with self.database.writing() as connection:
            await connection.execute(decisions.delete().where(decisions.c.id == begun.decision.id))
            await self._reopen(connection, begun.case, begun.case.state, begun.case.decision_id)

    async def unfinished_decisions(self, before: datetime) -> list[BegunDecision]:
        """Decisions of up to a time of which nobody has written that they were carried out."""
        query = (
            select(cases, decisions.c.id.label("begun"))
            .join(decisions, decisions.c.id == cases.c.decision_id)
            .where(cases.c.state == CaseState.DECIDED, decisions.c.outcome == Outcome.TAKEN_DOWN)
            .where(decisions.c.takedown_id == "", decisions.c.at <= before)
        )
        async with self.database.reading() as connection:
            rows = (await connection.execute(query)).all()
        found: list[BegunDecision] = []
        for row in rows:
            values = row._asdict()
            decision_id = values.pop("begun")
            case = case_of(values | {"decision_id": None, "state": state_before(values["claimed_by"]).value})
            decision = await self.decision(decision_id)
            assert decision is not None, "it was joined"
            found.append(BegunDecision(case, decision))
        return found

    async def reopen(
        self, case_id: str, reason: str, *, act: CaseAct = CaseAct.REOPENED, now: datetime, by: Actor
    ) -> Case:
        """Have a decided case decided anew; what was taken down stays so until it is restored.

        Raises:
            CaseNotFoundError: There is none.
            CaseStateError: It is not decided; or another is open about the same.
            StoreUnavailableError: It could not be written.
        """
        async with self.database.writing() as connection:
            found = await held(connection, case_id)
            if found.state is not CaseState.DECIDED:
                raise CaseStateError("the case is open")
            await self._reopen(connection, found, CaseState.OPEN, found.decision_id)
            await note(connection, case_id, now, by.name, act, reason)
            await append_entries(connection, [case_entry(now, by, "case.reopened", found, words=reason)])
            return await held(connection, case_id)

    async def _reopen(
        self, connection: AsyncConnection, found: Case, state: CaseState, decision_id: str | None
    ) -> None:
        key = f"{found.target.kind.value}:{found.target.id}:{found.category.value}"
        other = await open_case(connection, key)
        if other is not None and other.id != found.id:
            raise CaseStateError(f"there is an open case about the same: {other.id}")
        values = {
            "state": state.value,
            "open_key": key,
            "decision_id": decision_id,
            "claimed_by": found.claimed_by if state is CaseState.CLAIMED else "",
            "claimed_at": found.claimed_at if state is CaseState.CLAIMED else None,
        }
        await connection.execute(update(cases).where(cases.c.id == found.id).values(values))

    async def note_machine(
        self, case_id: str, *, factor: float, is_on_top: bool, is_restricted: bool, summary: str
    ) -> Case:
        """Set what a machine makes of a case: how soon it should be looked at, why, and by whom alone.

        Raises:
            CaseNotFoundError: There is none.
            StoreUnavailableError: It could not be written.
        """
        async with self.database.writing() as connection:
            found = await held(connection, case_id)
            on_top = found.is_on_top or is_on_top
            weight = Weight(
                found.category,
                found.reporters,
                found.records,
                found.has_flagger,
                found.viewers,
                factor,
                is_on_top=on_top,
            )
            values = {
                "machine_factor": factor,
                "is_on_top": on_top,
                # As with what is said by people: nothing takes it back.
                "is_restricted": found.is_restricted or is_restricted,
                "machine_summary": summary,
                "priority": priority_of(weight),
            }
            await connection.execute(update(cases).where(cases.c.id == case_id).values(values))
            return await held(connection, case_id)

    # -- decisions ------------------------------------------------------------------------------

    async def decision(self, decision_id: str) -> Decision | None:
        """Find a decision; None where there is none."""
        async with self.database.reading() as connection:
            return await find_decision(connection, decision_id)

    async def decision_behind(self, takedown: Takedown) -> Decision | None:
        """The decision that a takedown, or a block, carries out; of one that carries none out, a case is made for it.

        Its ids are those of the takedown, so that it is made once.

        Returns:
            The decision; None while its case is being decided.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        if takedown.case_id:
            of_case = select(decisions).where(decisions.c.case_id == takedown.case_id)
            begun = (decisions.c.takedown_id == "") & (decisions.c.outcome == Outcome.TAKEN_DOWN)
            query = of_case.where((decisions.c.takedown_id == takedown.id) | begun).order_by(
                decisions.c.takedown_id.desc()
            )
            async with self.database.reading() as connection:
                row = (await connection.execute(query.limit(1))).one_or_none()
            if row is not None:
                # Of one that is being decided, it is known in a moment.
                return decision_of(row) if row.takedown_id else None
            # It was made beside the case, by somebody who named it.
        _, _, ulid = takedown.id.partition("_")
        case_id, decision_id = IdKind.CASE.value + ulid, IdKind.DECISION.value + ulid
        decision = Decision(
            decision_id,
            case_id,
            takedown.made_at,
            takedown.made_by,
            Outcome.TAKEN_DOWN,
            "",
            takedown.statement.as_json(),
            takedown.id,
            False,
            None,
        )
        unreported = NewReport("", takedown.target, takedown.statement.category, takedown.made_at, "")
        values = new_case(unreported, takedown.made_at, takedown.statement.source_type) | {
            "id": case_id,
            "open_key": None,
            "state": CaseState.DECIDED.value,
            "decision_id": decision_id,
        }
        async with self.database.writing() as connection:
            await connection.execute(self.database.insert_new(cases).values(values))
            await connection.execute(self.database.insert_new(decisions).values(decision_row(decision)))
            return await find_decision(connection, decision_id)

    async def decisions_of(self, case_id: str) -> list[Decision]:
        """The decisions of a case, the first first; another follows one that was reopened."""
        query = select(decisions).where(decisions.c.case_id == case_id).order_by(decisions.c.id).limit(HISTORY_MAX)
        async with self.database.reading() as connection:
            return [decision_of(row) for row in await connection.execute(query)]


async def _begin(connection: AsyncConnection, decision: Decision) -> BegunDecision:
    """Write a decision of a case that nobody else has decided, or has.

    Raises:
        CaseNotFoundError: There is no such case.
        CaseStateError: Somebody has decided it, or another has it.
    """
    found = await held(connection, decision.case_id)
    if found.state is CaseState.DECIDED:
        last = await find_decision(connection, found.decision_id or "")
        raise CaseStateError(f"{last.actor if last else 'somebody'} has decided the case; reopen it first")
    if found.claimed_by not in ("", decision.actor):
        raise CaseStateError(f"{found.claimed_by} has the case; take it over, or leave it to them")
    await connection.execute(insert(decisions).values(decision_row(decision)))
    values = {"state": CaseState.DECIDED.value, "decision_id": decision.id, "open_key": None}
    await connection.execute(update(cases).where(cases.c.id == found.id).values(values))
    return BegunDecision(found, decision)
