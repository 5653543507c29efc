"""Complaints of reporters and broadcasters about a decision, for six months; somebody else decides them.

Spec: Regulation (EU) 2022/2065 article 20: complaints are free, "for a period of at least six months following the
decision", and are decided "not solely on the basis of automated means".
"""

from __future__ import annotations

import contextlib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from streamd.errors import (
    CaseNotFoundError,
    CaseStateError,
    ModerationStateError,
    OwnDecisionError,
    ReportRefusedError,
    StoreUnavailableError,
    TakedownNotFoundError,
)
from streamd.services.audit.records import Actor
from streamd.services.events.event import Event, EventType, Value
from streamd.services.keys.request import REASON_LENGTH_MAX
from streamd.services.moderation.cases.case_records import Appeal, AppealState, Case, CaseAct, Decision, Outcome, Party
from streamd.services.moderation.cases.cases import SETTLE_INTERVAL_S, UNDER_WAY
from streamd.services.moderation.cases.reports import EXPLANATION_LENGTH_MAX, said
from streamd.services.moderation.ids import IdKind, is_id, new_id, reference_of
from streamd.services.operators.records import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.events.event import EventSink
    from streamd.services.moderation.cases.appeal_store import AppealStore
    from streamd.services.moderation.cases.cases import Cases
    from streamd.services.moderation.cases.receipts import Receipts

log = logging.getLogger(__name__)

# "At least six months."
APPEAL_PERIOD: Final = timedelta(days=184)
# The command line of the machine acts with the admin token, by the account's name.
_CLI: Final = "cli/"


class Appeals:
    """Takes and decides them.

    Args:
        store: Keeps them.
        cases: Their cases.
        clock: For times.
        receipts: Reads tokens.
        tell: Gets the events.
        on_change: Called when there is something new for moderators.
    """

    def __init__(
        self,
        store: AppealStore,
        cases: Cases,
        clock: Clock,
        receipts: Callable[[], Receipts],
        *,
        tell: EventSink,
        on_change: Callable[[], None],
    ) -> None:
        self.store = store
        self._cases = cases
        self._clock = clock
        self._receipts = receipts
        self._tell = tell
        self._on_change = on_change
        # Ids of the appeals that are being decided here.
        self._under_way: set[str] = set()
        self._next_settle_at = clock.monotonic() + SETTLE_INTERVAL_S

    async def start(self) -> None:
        """Undo what was reversed by a server before this one, and not undone.

        Raises:
            StoreUnavailableError: It cannot be read.
        """
        # A decision of another server on the same database in this moment is its own.
        is_alone = self._cases.store.database.is_sqlite
        await self._settle(self._clock.now() - (timedelta() if is_alone else UNDER_WAY))

    async def look(self) -> None:
        """Undo what was reversed and not undone; called about once a second.

        Raises:
            StoreUnavailableError: It cannot be read.
        """
        now = self._clock.monotonic()
        if now >= self._next_settle_at:
            self._next_settle_at = now + SETTLE_INTERVAL_S
            await self._settle(self._clock.now() - UNDER_WAY)

    def token_for(self, decision_id: str) -> str:
        """The token by which the broadcaster complains, to be shown with the statement of reasons.

        Args:
            decision_id: The decision, or the takedown that it is.
        """
        return self._receipts().appeal_token(decision_id)

    async def file(self, decision_id: str, token: str, text: str, *, report_id: str = "") -> Appeal:
        """Take an appeal.

        Args:
            decision_id: Against which decision; or the takedown that it is.
            token: The broadcaster's, or with ``report_id`` the reporter's.
            text: In their words.
            report_id: The report of whoever has its status token.

        Raises:
            CaseNotFoundError: There is no such decision, or the token is not of it.
            CaseStateError: They have appealed already, or it is too late.
            ReportRefusedError: The text is empty or too long.
            StoreUnavailableError: It could not be written.
        """
        text = said(text, EXPLANATION_LENGTH_MAX, "the text")
        if not text:
            raise ReportRefusedError("say why the decision is wrong")
        now = self._clock.now()
        decision, found, party = await self._behind(decision_id, token, report_id)
        if now > decision.at + APPEAL_PERIOD:
            raise CaseStateError("the decision is more than six months old")
        if decision.reversed_at is not None or found.decision_id != decision.id:
            raise CaseStateError("the decision does not stand any more")
        appeal = Appeal(
            new_id(IdKind.APPEAL, now), decision.id, found.id, party, text, now, AppealState.OPEN, "", None, ""
        )
        await self.store.add(appeal, found, appellant=report_id)
        self._tell(Event(EventType.APPEAL_RECEIVED, now, _about(appeal, found)))
        self._on_change()
        return appeal

    async def standing(self, decision_id: str, token: str) -> tuple[Decision, Case, Appeal | None]:
        """A decision as far as the broadcaster that it is over may know it, and their appeal.

        Args:
            decision_id: The decision, or the takedown that it is.
            token: Of it.

        Raises:
            CaseNotFoundError: There is no such decision, or the token is not of it.
            StoreUnavailableError: It could not be read.
        """
        decision, found, _ = await self._behind(decision_id, token, "")
        return decision, found, await self.store.of_reporter(decision.id, "")

    async def decide(self, appeal_id: str, *, is_reversed: bool, reason: str, by: Actor) -> Appeal:
        """Decide an appeal; a decision that is reversed is undone in one act.

        The target is back when this returns; a case that was left alone is open again.

        Raises:
            CaseNotFoundError: There is no such appeal.
            CaseStateError: It is decided, or the decision does not stand any more.
            OwnDecisionError: The decision is the actor's own.
            ReportRefusedError: The reason is missing or too long.
            StoreUnavailableError: It could not be written; nothing is decided.
        """
        reason = said(reason, EXPLANATION_LENGTH_MAX, "the reason")
        if not reason:
            raise ReportRefusedError("a decision needs a reason: whoever appealed is told it")
        appeal = await self.store.find(appeal_id) if is_id(IdKind.APPEAL, appeal_id) else None
        if appeal is None:
            raise CaseNotFoundError("there is no such appeal")
        decision = await self._cases.store.decision(appeal.decision_id)
        found = await self._cases.store.find(appeal.case_id)
        if decision is None or found is None:
            raise CaseNotFoundError("there is no such appeal")
        if _person(decision.actor) == _person(by.name):
            raise OwnDecisionError("the decision is yours: somebody else decides the appeal")
        if appeal.state is not AppealState.OPEN:
            raise CaseStateError(f"{appeal.decided_by} has decided the appeal")
        state = AppealState.REVERSED if is_reversed else AppealState.UPHELD
        now = self._clock.now()
        self._under_way.add(appeal.id)
        try:
            decided = await self.store.decide(appeal, found, decision, state, reason, now=now, by=by)
            if is_reversed:
                try:
                    await self._undo(found, decision, reason, by)
                except Exception:
                    # The moderator tries again; a target that is back stays so. Where even this cannot be written, a
                    # later look undoes the decision.
                    await self.store.undo(appeal, decision, now)
                    raise
        finally:
            self._under_way.discard(appeal.id)
        log.info("appeal.decided", extra={"appeal": appeal.id, "state": state.value, "by": by.name})
        self._tell(Event(EventType.APPEAL_DECIDED, now, _about(decided, found) | {"reason": reason}))
        self._on_change()
        return decided

    async def _settle(self, before: datetime) -> None:
        """Undo the decisions that were reversed before a time, and that nobody has undone."""
        for appeal in await self.store.unfinished(before):
            decision = await self._cases.store.decision(appeal.decision_id)
            found = await self._cases.store.find(appeal.case_id)
            if decision is None or found is None or appeal.id in self._under_way:
                continue
            log.warning("appeal.settled", extra={"appeal": appeal.id, "decision": decision.id})
            try:
                await self._undo(found, decision, appeal.reason, Actor(appeal.decided_by))
            except CaseStateError:
                # Another case is open about the same: that one is decided first.
                await self.store.undo(appeal, decision, self._clock.now())
            except StoreUnavailableError as exc:
                # The next look tries again: no server fails to start for it.
                log.warning("appeal.left", extra={"appeal": appeal.id, "reason": str(exc)})
                continue
            self._on_change()

    async def _undo(self, found: Case, decision: Decision, reason: str, by: Actor) -> None:
        """Have a decision that was reversed have no effect any more."""
        if decision.outcome is Outcome.TAKEN_DOWN:
            takedowns = self._cases.takedowns
            if takedowns is not None and decision.takedown_id:
                said_shortly = " ".join(reason.split())[:REASON_LENGTH_MAX]
                # Where somebody has restored it by hand, or a block has ended, it is as it should be.
                with contextlib.suppress(ModerationStateError, TakedownNotFoundError):
                    await takedowns.restore(decision.takedown_id, actor=by, reason=said_shortly)
            if self._cases.assistance is not None:
                # The last decision is right about what the machine has seen.
                await self._cases.assistance.note_decision(found.id, agreed=False, by=by, category=found.category)
            return
        await self._cases.store.reopen(found.id, reason, act=CaseAct.REVERSED, now=self._clock.now(), by=by)

    async def _behind(self, decision_id: str, token: str, report_id: str) -> tuple[Decision, Case, Party]:
        """The decision that a token opens, its case, and whose token it is.

        Raises:
            CaseNotFoundError: It opens none.
        """
        unknown = CaseNotFoundError("there is no such decision, or this is not its token")
        case_id = self._receipts().case_behind(report_id, token) if report_id else None
        if case_id is None and (report_id or not self._receipts().is_appeal_token(decision_id, token)):
            raise unknown
        decision = await self._decision(decision_id)
        found = await self._cases.store.find(decision.case_id) if decision is not None else None
        if decision is None or found is None or case_id not in (None, found.id):
            raise unknown
        return decision, found, Party.BROADCASTER if case_id is None else Party.REPORTER

    async def _decision(self, named: str) -> Decision | None:
        """The decision of an id, or behind the takedown or the block of an id; None where there is none."""
        if is_id(IdKind.DECISION, named):
            return await self._cases.store.decision(named)
        takedowns = self._cases.takedowns
        if takedowns is None or not (is_id(IdKind.TAKEDOWN, named) or is_id(IdKind.BLOCK, named)):
            return None
        try:
            takedown = await takedowns.find(named)
        except TakedownNotFoundError:
            return None
        return await self._cases.store.decision_behind(takedown)


def _about(appeal: Appeal, found: Case) -> dict[str, Value]:
    return {
        "user": found.target.channel,
        "appeal": appeal.id,
        "reference": reference_of(appeal.id),
        "decision": appeal.decision_id,
        "case": found.id,
        "party": appeal.party.value,
        "state": appeal.state.value,
    }


def _person(actor: str) -> str:
    """Who somebody is: whoever has the admin token is one, by whatever account they use it."""
    return ROOT if actor.startswith(_CLI) else actor
