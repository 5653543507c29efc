"""The acts of moderators on cases: taking one, notes, decisions, and their consequences.

Two moderators never decide over each other: a decision is written first, in one transaction that lets one through, and
carried out then. Where it cannot be carried out it is taken back. An act that a server left between the two, because it
ended or its store was away, is brought to its end later (``look``): decided where the takedown was made, and taken back
where it was not.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from streamd.errors import (
    CaseNotFoundError,
    CaseStateError,
    ReportRefusedError,
    StatementError,
    StoreUnavailableError,
)
from streamd.services.audit.records import SERVER, Actor
from streamd.services.events.event import Event, EventType, Value
from streamd.services.moderation.cases.case_records import Case, Decision, Outcome
from streamd.services.moderation.cases.case_rows import details_of
from streamd.services.moderation.cases.reports import said
from streamd.services.moderation.ids import IdKind, is_id
from streamd.services.moderation.statement import AutomatedDecision, Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.events.event import EventSink
    from streamd.services.moderation.act_details import ActDetails
    from streamd.services.moderation.acts.takedown import Takedown
    from streamd.services.moderation.cases.case_store import BegunDecision, CaseStore
    from streamd.services.moderation.cases.receipts import Receipts
    from streamd.services.moderation.categories import Category
    from streamd.services.moderation.target import Target

log = logging.getLogger(__name__)

NOTE_LENGTH_MAX: Final = 5000
REASON_LENGTH_MAX: Final = 2000
SUMMARY_LENGTH_MAX: Final = 2000
# A decision is carried out within seconds. One that is older and not carried out was left, here or by another server on
# the same database.
UNDER_WAY: Final = timedelta(seconds=60)
# Between two looks for such decisions.
SETTLE_INTERVAL_S: Final = 60.0


class Made(Protocol):
    """What a takedown says of itself."""

    @property
    def id(self) -> str:
        """Its id, ``tkd_…``."""


class TakesDown(Protocol):
    """The room of takedowns."""

    async def take_down(
        self,
        target: Target,
        statement: Statement,
        *,
        actor: Actor,
        case_id: str | None = None,
        since: datetime | None = None,
    ) -> Made:
        """Take a target down; all of it is dark when this returns."""

    async def restore(self, takedown_id: str, *, actor: Actor, reason: str) -> object:
        """Put back all that was taken down, in one act."""

    async def find(self, takedown_id: str) -> Takedown:
        """One takedown; raises ``TakedownNotFoundError`` where there is none."""

    async def of_case(self, case_id: str, since: datetime) -> Takedown | None:
        """The first takedown that was made for a case since a time; None where there is none."""


class LearnsOfDecisions(Protocol):
    """The machine's help."""

    async def note_decision(self, case_id: str, *, agreed: bool, by: Actor, category: Category | None = None) -> None:
        """Count whether a person saw in a case what the machine found there."""


class Cases:
    """Cases, for moderators.

    Args:
        store: Keeps them.
        clock: For the times of acts.
        receipts: Makes the broadcaster's token of a decision.
        tell: Gets the events.
        on_change: Called when there is something new for moderators.
    """

    def __init__(
        self,
        store: CaseStore,
        clock: Clock,
        receipts: Callable[[], Receipts],
        *,
        tell: EventSink,
        on_change: Callable[[], None],
    ) -> None:
        self.store = store
        self.takedowns: TakesDown | None = None
        """The room of takedowns; None where nothing can be taken down."""
        self.assistance: LearnsOfDecisions | None = None
        """The machine's help; None where there is none."""
        self._clock = clock
        self._receipts = receipts
        self._tell = tell
        self._on_change = on_change
        self._acts: set[asyncio.Task[Any]] = set()
        # Ids of the decisions that are being carried out here.
        self._under_way: set[str] = set()
        self._next_settle_at = clock.monotonic() + SETTLE_INTERVAL_S

    async def start(self) -> None:
        """Bring to its end what a server before this one has decided and not carried out.

        Raises:
            StoreUnavailableError: It cannot be read.
        """
        # A decision of another server on the same database in this moment is its own.
        is_alone = self.store.database.is_sqlite
        await self._settle(self._clock.now() - (timedelta() if is_alone else UNDER_WAY))

    async def look(self) -> None:
        """Bring to its end what was decided and not carried out; called about once a second.

        Raises:
            StoreUnavailableError: It cannot be read.
        """
        now = self._clock.monotonic()
        if now >= self._next_settle_at:
            self._next_settle_at = now + SETTLE_INTERVAL_S
            await self._settle(self._clock.now() - UNDER_WAY)

    async def close(self) -> None:
        """Finish the acts that were begun."""
        while self._acts:
            await asyncio.wait(self._acts)

    async def find(self, case_id: str) -> Case:
        """Find a case.

        Raises:
            CaseNotFoundError: There is none.
            StoreUnavailableError: It cannot be read.
        """
        found = await self.store.find(case_id) if is_id(IdKind.CASE, case_id) else None
        if found is None:
            raise CaseNotFoundError("there is no such case")
        return found

    async def claim(self, case_id: str, *, by: Actor, takes_over: bool = False) -> Case:
        """Take a case: nobody else decides it then.

        Args:
            case_id: The case.
            by: The moderator.
            takes_over: Also where another has it, who learns of it from the history.

        Raises:
            CaseNotFoundError: There is none.
            CaseStateError: It is decided; or another has it.
            StoreUnavailableError: It could not be written.
        """
        claimed = await self.store.claim(_checked(case_id), takes_over=takes_over, now=self._clock.now(), by=by)
        self._on_change()
        return claimed

    async def note(self, case_id: str, text: str, *, by: Actor) -> Case:
        """Write a note, for whoever looks at the case after.

        Raises:
            CaseNotFoundError: There is none.
            CaseStateError: It has too many.
            ReportRefusedError: The note is empty, or too long.
            StoreUnavailableError: It could not be written.
        """
        text = said(text, NOTE_LENGTH_MAX, "a note")
        if not text:
            raise ReportRefusedError("the note is empty")
        noted = await self.store.note(_checked(case_id), text, now=self._clock.now(), by=by)
        self._on_change()
        return noted

    async def decide(
        self,
        case_id: str,
        outcome: Outcome,
        *,
        by: Actor,
        statement: Mapping[str, Any] | None = None,
        target: Target | None = None,
        reason: str = "",
        is_unfounded: bool = False,
    ) -> Decision:
        """Decide a case; what is taken down is dark when this returns.

        Args:
            case_id: The case.
            outcome: What is decided.
            by: The moderator; nobody else decides the case after them, and no appeal against it is theirs to decide.
            statement: The statement of reasons for a takedown: ground, explanation and facts. Category and source are
                those of the case where it says nothing else, and what was decided is that it is removed.
            target: What is taken down, where it is more or less than what was reported.
            reason: In the moderator's words, for reporters and the broadcaster.
            is_unfounded: The reports were manifestly unfounded: their reporters are warned, and suspended later.

        Raises:
            CaseNotFoundError: There is no such case.
            CaseStateError: Somebody has decided it, or another has it.
            StatementError: A takedown needs a ground, and this has none.
            ReportRefusedError: The reason is missing or too long.
            StoreUnavailableError: It could not be written. Cases without takedown are not decided; others are dark,
                and decided as soon as that can be written.
        """
        reason = said(reason, REASON_LENGTH_MAX, "the reason")
        found = await self.find(case_id)
        checked: Statement | None = None
        if outcome is Outcome.TAKEN_DOWN:
            if not statement:
                raise StatementError("decision_ground", "a decision needs a ground: send the statement of reasons")
            if is_unfounded:
                raise StatementError("unfounded", "what is taken down was not reported without a reason")
            given = {name: value for name, value in statement.items() if value not in (None, "", [])}
            own: dict[str, Any] = {"category": found.category.value, "source_type": found.source_type.value}
            if not given.keys() & {"decision_visibility", "decision_provision", "decision_account"}:
                own["decision_visibility"] = ["CONTENT_REMOVED"]
            checked = Statement.of(own | given)
            if self.takedowns is None:
                raise CaseStateError("this server takes nothing down")
        elif statement:
            raise StatementError("statement", "nothing is taken down, and so needs no statement of reasons")
        elif not reason:
            raise ReportRefusedError("a decision needs a reason: reporters are told it")
        # A decision is carried out even if its moderator's browser goes away.
        task = asyncio.create_task(
            self._decide(found.id, checked, target or found.target, reason, is_unfounded=is_unfounded, by=by)
        )
        self._acts.add(task)
        task.add_done_callback(self._acts.discard)
        return await asyncio.shield(task)

    async def reopen(self, case_id: str, reason: str, *, by: Actor) -> Case:
        """Have a decided case decided anew; what was taken down stays so until it is restored.

        Raises:
            CaseNotFoundError: There is none.
            CaseStateError: It is not decided; or another is open about the same.
            StoreUnavailableError: It could not be written.
        """
        reason = said(reason, REASON_LENGTH_MAX, "the reason")
        opened = await self.store.reopen(_checked(case_id), reason, now=self._clock.now(), by=by)
        self._on_change()
        return opened

    async def note_machine(
        self, case_id: str, *, priority_factor: float, on_top: bool, restricted: bool, summary: str
    ) -> Case:
        """Set what a machine makes of a case: how soon it should be looked at, and why. It decides nothing.

        Args:
            case_id: The case.
            priority_factor: How much sooner.
            on_top: Before all cases that are not.
            restricted: Its evidence is seen by nobody who need not.
            summary: Why, in words.

        Raises:
            CaseNotFoundError: There is none.
            StoreUnavailableError: It could not be written.
        """
        summary = said(summary[:SUMMARY_LENGTH_MAX], SUMMARY_LENGTH_MAX, "the summary")
        noted = await self.store.note_machine(
            case_id, factor=priority_factor, is_on_top=on_top, is_restricted=restricted, summary=summary
        )
        self._on_change()
        return noted

    # -- inside ---------------------------------------------------------------------------------

    async def _decide(
        self,
        case_id: str,
        statement: Statement | None,
        target: Target,
        reason: str,
        *,
        is_unfounded: bool,
        by: Actor,
    ) -> Decision:
        now = self._clock.now()
        if statement is None:
            begun = await self.store.leave_alone(
                case_id, reason, is_unfounded=is_unfounded, details=_details, now=now, by=by
            )
            return await self._told(begun.case, begun.decision, by)
        assert self.takedowns is not None, "asked before"
        begun = await self.store.begin_takedown(case_id, statement.as_json(), reason, now=now, by=by)
        self._under_way.add(begun.decision.id)
        try:
            try:
                takedown = await self.takedowns.take_down(
                    target, statement, actor=by, case_id=case_id, since=begun.case.opened_at
                )
            except Exception:
                await self._undo(begun)
                raise
            return await self._end(begun, statement, takedown.id, by)
        finally:
            self._under_way.discard(begun.decision.id)

    async def _end(self, begun: BegunDecision, statement: Statement, takedown_id: str, by: Actor) -> Decision:
        """Write that a decision was carried out, and tell of it."""
        at = begun.decision.at
        details = _details(begun.case, at, statement)
        decision = await self.store.end_takedown(begun, takedown_id, details=details, now=at, by=by)
        return await self._told(begun.case, decision, by)

    async def _told(self, case: Case, decision: Decision, by: Actor) -> Decision:
        """Tell of a decision that is written and carried out; returns it."""
        is_taken_down = decision.outcome is Outcome.TAKEN_DOWN
        log.info("case.decided", extra={"case": case.id, "outcome": decision.outcome.value, "by": by.name})
        about: dict[str, Value] = {
            "user": case.target.channel,
            "case": case.id,
            "decision": decision.id,
            "outcome": decision.outcome.value,
            "reason": decision.reason,
            "takedown": decision.takedown_id or None,
            "appeal_token": self._receipts().appeal_token(decision.id) if is_taken_down else None,
        }
        self._tell(Event(EventType.CASE_DECIDED, decision.at, about))
        self._on_change()
        if self.assistance is not None:
            await self.assistance.note_decision(case.id, agreed=is_taken_down, by=by, category=case.category)
        return decision

    async def _undo(self, begun: BegunDecision) -> None:
        try:
            await self.store.undo_decision(begun)
        except Exception:
            # A later look takes it back.
            log.exception("decision.left", extra={"case": begun.case.id, "by": SERVER.name})

    async def _settle(self, before: datetime) -> None:
        """Bring decisions of before a time to their end that were left between being written and being carried out."""
        for begun in await self.store.unfinished_decisions(before):
            case, decision = begun.case, begun.decision
            if decision.id in self._under_way:
                continue
            try:
                await self._finish(begun)
            except CaseStateError as exc:
                # It was reported again meanwhile: the other case is the one to decide. That is said once.
                self._under_way.add(decision.id)
                log.warning("decision.superseded", extra={"case": case.id, "reason": str(exc)})
            except StoreUnavailableError as exc:
                # The next look tries again: no server fails to start for it.
                log.warning("decision.left", extra={"case": case.id, "reason": str(exc)})

    async def _finish(self, begun: BegunDecision) -> None:
        """Bring a decision that was left to its end: decided where the takedown was made, and taken back elsewhere."""
        case, decision = begun.case, begun.decision
        made = None if self.takedowns is None else await self.takedowns.of_case(case.id, decision.at)
        if made is not None:
            log.warning("decision.settled", extra={"case": case.id, "decision": decision.id, "takedown": made.id})
            await self._end(begun, Statement.of(decision.statement), made.id, Actor(decision.actor))
            return
        log.warning("decision.undone", extra={"case": case.id, "decision": decision.id})
        await self.store.undo_decision(begun)


def _details(case: Case, at: datetime, statement: Statement | None = None) -> ActDetails:
    """What is counted of a decision; without a statement nothing is taken down."""
    if statement is None:
        return details_of(
            case, at, outcome=Outcome.NO_ACTION.value, automated_decision=AutomatedDecision.NOT_AUTOMATED.value
        )
    return details_of(
        case,
        at,
        outcome=Outcome.TAKEN_DOWN.value,
        ground=statement.decision_ground.name,
        territorial_scope=statement.territorial_scope,
        automated_detection=statement.automated_detection,
        automated_decision=statement.automated_decision.value,
    )


def _checked(case_id: str) -> str:
    if not is_id(IdKind.CASE, case_id):
        raise CaseNotFoundError("there is no such case")
    return case_id
