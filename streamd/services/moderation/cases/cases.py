"""The acts of moderators on cases: who has one, what is noted, what is decided, and what becomes of it.

Two moderators never decide over each other: a decision is written first, in one transaction that lets one through, and
carried out then. Where it cannot be carried out it is taken back, also by the next server after one that has ended
between the two.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from streamd.errors import CaseNotFoundError, CaseStateError, ReportRefusedError, StatementError
from streamd.services.audit.records import SERVER
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
    from streamd.services.audit.records import Actor
    from streamd.services.events.event import EventSink
    from streamd.services.moderation.acts.takedown import Takedown
    from streamd.services.moderation.cases.case_store import BegunDecision, CaseStore
    from streamd.services.moderation.cases.receipts import Receipts
    from streamd.services.moderation.categories import Category
    from streamd.services.moderation.target import Target

log = logging.getLogger(__name__)

NOTE_LENGTH_MAX: Final = 5000
REASON_LENGTH_MAX: Final = 2000
SUMMARY_LENGTH_MAX: Final = 2000


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

    async def start(self) -> None:
        """Take back what a server before this one has decided and not carried out.

        Raises:
            StoreUnavailableError: It cannot be read or written.
        """
        for begun in await self.store.unfinished_decisions():
            log.warning("decision.undone", extra={"case": begun.case.id, "decision": begun.decision.id})
            try:
                await self.store.undo_decision(begun)
            except CaseStateError as exc:
                # It was reported again meanwhile: the other case is the one to decide.
                log.warning("decision.superseded", extra={"case": begun.case.id, "reason": str(exc)})

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
            StoreUnavailableError: It could not be written; nothing is decided.
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
            self._decide(found.id, outcome, checked, target or found.target, reason, is_unfounded=is_unfounded, by=by)
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

    async def note_machine(self, case_id: str, *, priority_factor: float, on_top: bool, summary: str) -> Case:
        """Set what a machine makes of a case: how soon it should be looked at, and why. It decides nothing.

        Raises:
            CaseNotFoundError: There is none.
            StoreUnavailableError: It could not be written.
        """
        summary = said(summary[:SUMMARY_LENGTH_MAX], SUMMARY_LENGTH_MAX, "the summary")
        noted = await self.store.note_machine(case_id, factor=priority_factor, is_on_top=on_top, summary=summary)
        self._on_change()
        return noted

    # -- inside ---------------------------------------------------------------------------------

    async def _decide(
        self,
        case_id: str,
        outcome: Outcome,
        statement: Statement | None,
        target: Target,
        reason: str,
        *,
        is_unfounded: bool,
        by: Actor,
    ) -> Decision:
        now = self._clock.now()
        as_json = {} if statement is None else statement.as_json()
        begun = await self.store.begin_decision(
            case_id, outcome, as_json, reason, is_unfounded=is_unfounded, now=now, by=by
        )
        takedown_id = ""
        if statement is not None:
            assert self.takedowns is not None, "asked before"
            try:
                takedown = await self.takedowns.take_down(
                    target, statement, actor=by, case_id=case_id, since=begun.case.opened_at
                )
            except Exception:
                await self._undo(begun)
                raise
            takedown_id = takedown.id
        details = details_of(
            begun.case,
            now,
            outcome=outcome.value,
            ground="" if statement is None else statement.decision_ground.name,
            territorial_scope=() if statement is None else statement.territorial_scope,
            automated_detection=statement is not None and statement.automated_detection,
            automated_decision=(AutomatedDecision.NOT_AUTOMATED if statement is None else statement.automated_decision),
        )
        decision = await self.store.end_decision(begun, takedown_id, details=details, now=now, by=by)
        log.info("case.decided", extra={"case": case_id, "outcome": outcome.value, "by": by.name})
        about: dict[str, Value] = {
            "user": begun.case.target.channel,
            "case": case_id,
            "decision": decision.id,
            "outcome": outcome.value,
            "reason": reason,
            "takedown": takedown_id or None,
            "appeal_token": self._receipts().appeal_token(decision.id) if takedown_id else None,
        }
        self._tell(Event(EventType.CASE_DECIDED, now, about))
        self._on_change()
        if self.assistance is not None:
            is_taken_down = outcome is Outcome.TAKEN_DOWN
            category = begun.case.category
            await self.assistance.note_decision(case_id, agreed=is_taken_down, by=by, category=category)
        return decision

    async def _undo(self, begun: BegunDecision) -> None:
        try:
            await self.store.undo_decision(begun)
        except Exception:
            # The next start takes it back.
            log.exception("decision.left", extra={"case": begun.case.id, "by": SERVER.name})


def _checked(case_id: str) -> str:
    if not is_id(IdKind.CASE, case_id):
        raise CaseNotFoundError("there is no such case")
    return case_id
