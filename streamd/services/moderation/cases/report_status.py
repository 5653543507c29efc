"""What a reporter may know of their report: that it was received, is looked at, was decided, and how to complain."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from streamd.errors import CaseNotFoundError
from streamd.services.moderation.cases.appeals import APPEAL_PERIOD
from streamd.services.moderation.cases.case_records import Appeal, CaseState, Decision
from streamd.services.moderation.ids import IdKind, reference_of
from streamd.services.ulid import time_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.services.moderation.cases.appeal_store import AppealStore
    from streamd.services.moderation.cases.case_store import CaseStore
    from streamd.services.moderation.cases.receipts import Receipts


class ReportState(StrEnum):
    """How a report stands, for whoever sent it."""

    RECEIVED = "received"
    UNDER_REVIEW = "under_review"
    DECIDED = "decided"


_STATES = {
    CaseState.OPEN: ReportState.RECEIVED,
    CaseState.CLAIMED: ReportState.UNDER_REVIEW,
    CaseState.DECIDED: ReportState.DECIDED,
}


@dataclass(frozen=True, slots=True)
class ReportStatus:
    """How a report stands."""

    id: str
    reference: str
    received_at: datetime
    state: ReportState
    decision: Decision | None = None
    appeal: Appeal | None = None
    """The reporter's own against the decision."""
    appeal_until: datetime | None = None
    """Until when they may appeal; None where they may not."""
    is_warned: bool = False
    """Their report was manifestly unfounded; after some of these, reports from there are not looked at."""


class ReportStatuses:
    """Tells reporters.

    Args:
        cases: Have the decisions.
        appeals: Those of reporters.
        clock: For how long they may appeal.
        receipts: Reads tokens.
    """

    def __init__(self, cases: CaseStore, appeals: AppealStore, clock: Clock, receipts: Callable[[], Receipts]) -> None:
        self._cases = cases
        self._appeals = appeals
        self._clock = clock
        self._receipts = receipts

    async def of(self, report_id: str, token: str) -> ReportStatus:
        """How a report stands.

        Args:
            report_id: The report.
            token: Its status token.

        Raises:
            CaseNotFoundError: There is no such report, or this is not its token.
            StoreUnavailableError: It could not be read.
        """
        case_id = self._receipts().case_behind(report_id, token)
        if case_id is None:
            raise CaseNotFoundError("there is no such report, or this is not its token")
        received_at = time_of(report_id.removeprefix(IdKind.REPORT.value))
        reference = reference_of(report_id)
        found = await self._cases.find(case_id)
        # A report about what is not there is received, and no more, as are those that wait for somebody.
        if found is None:
            return ReportStatus(report_id, reference, received_at, ReportState.RECEIVED)
        decision = None
        if found.state is CaseState.DECIDED and found.decision_id:
            decision = await self._cases.decision(found.decision_id)
        if decision is None:
            return ReportStatus(report_id, reference, received_at, _STATES[found.state])
        appeal = await self._appeals.of_reporter(decision.id, report_id)
        until = decision.at + APPEAL_PERIOD
        may_appeal = appeal is None and decision.reversed_at is None and self._clock.now() <= until
        return ReportStatus(
            report_id,
            reference,
            received_at,
            ReportState.DECIDED,
            decision,
            appeal,
            until if may_appeal else None,
            decision.is_unfounded and decision.reversed_at is None,
        )
