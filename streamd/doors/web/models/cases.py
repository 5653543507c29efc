"""Cases, decisions and complaints, for moderators."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from streamd.doors.web.models.common import PAGE_LIMIT_DEFAULT, ApiModel, Limit, UserName
from streamd.services.moderation.cases.case_records import (
    Appeal,
    AppealState,
    Case,
    CaseState,
    Decision,
    HistoryEntry,
    Outcome,
    Party,
    Report,
)
from streamd.services.moderation.categories import TITLES, Category
from streamd.services.moderation.ids import IdKind, id_pattern, reference_of
from streamd.services.moderation.statement import SourceType
from streamd.services.moderation.target import URL_CHARS_MAX, TargetKind
from streamd.services.store.page import Page

CaseId = Annotated[str, Field(pattern=id_pattern(IdKind.CASE))]
AppealId = Annotated[str, Field(pattern=id_pattern(IdKind.APPEAL))]
ReportCursor = Annotated[str, Field(pattern=f"{id_pattern(IdKind.REPORT)}|^$")]
# Reports that are shown with a case; the rest are asked for.
REPORTS_SHOWN = 50


class CasePath(ApiModel):
    """The case in a path."""

    id: CaseId


class AppealPath(ApiModel):
    """The complaint in a path."""

    id: AppealId


class CaseQuery(ApiModel):
    """Which cases to list."""

    state: CaseState | None = None
    """Only those in this state; null for all."""
    channel: UserName | None = None
    """Only those about this channel."""
    claimed_by: Annotated[str, Field(max_length=64)] = ""
    """Only those that this moderator has."""
    reference: Annotated[str, Field(max_length=16)] = ""
    """Only the case of the report with this reference, as a reporter says it: `7F3K-92`."""
    order: Literal["priority", "newest"] = "priority"
    after: Annotated[str, Field(pattern=f"{id_pattern(IdKind.CASE)}|^$")] = ""
    """`next_after` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class TargetShown(ApiModel):
    """What a case is about."""

    kind: TargetKind
    id: str
    channel: str
    path: str
    """Where viewers see it."""


class CaseShown(ApiModel):
    """A case."""

    id: str
    target: TargetShown
    category: Category
    title: str
    """The category in words."""
    source_type: SourceType
    state: CaseState
    restricted: bool
    """Child sexual abuse: its evidence is for those who must see it."""
    on_top: bool
    """A picture of it is known: it comes before all others."""
    priority: float
    reports: int
    reporters: int
    """Different ones, up to a thousand."""
    viewers: int
    """The most that there were at a report."""
    machine_summary: str
    """What a machine has found; it decides nothing."""
    opened_at: datetime
    last_report_at: datetime
    claimed_by: str
    claimed_at: datetime | None
    decision: str | None
    """Id of the last decision."""

    @classmethod
    def of(cls, case: Case) -> Self:
        """A case as it goes out."""
        return cls(**_case_fields(case))


def _case_fields(case: Case) -> dict[str, Any]:
    target = case.target
    return {
        "id": case.id,
        "target": TargetShown(kind=target.kind, id=target.id, channel=target.channel, path=target.path),
        "category": case.category,
        "title": TITLES[case.category],
        "source_type": case.source_type,
        "state": case.state,
        "restricted": case.is_restricted,
        "on_top": case.is_on_top,
        "priority": round(case.priority, 3),
        "reports": case.reports,
        "reporters": case.reporters,
        "viewers": case.viewers,
        "machine_summary": case.machine_summary,
        "opened_at": case.opened_at,
        "last_report_at": case.last_report_at,
        "claimed_by": case.claimed_by,
        "claimed_at": case.claimed_at,
        "decision": case.decision_id,
    }


class CasePage(ApiModel):
    """Cases in their order."""

    cases: list[CaseShown]
    next_after: str | None
    """``after`` of the next page; null on the last."""

    @classmethod
    def of(cls, page: Page[Case]) -> Self:
        """The answer to a list of cases."""
        return cls(
            cases=[CaseShown.of(case) for case in page.items], next_after=page.items[-1].id if page.has_more else None
        )


class ReportShown(ApiModel):
    """A report."""

    id: str
    reference: str
    received_at: datetime
    at: datetime | None
    """What was playing, where the reporter has said so."""
    specification: str
    explanation: str
    contact: str
    """How the reporter wants to be reached; for those who may decide."""
    flagger: str
    """The trusted flagger that it came from; empty for none."""

    @classmethod
    def of(cls, report: Report, *, shows_contact: bool) -> Self:
        """A report as it goes out."""
        return cls(
            id=report.id,
            reference=reference_of(report.id),
            received_at=report.received_at,
            at=report.at,
            specification=report.keyword,
            explanation=report.explanation,
            contact=report.contact if shows_contact else "",
            flagger=report.flagger,
        )


class ReportListQuery(ApiModel):
    """Which reports of a case to list."""

    after: ReportCursor = ""
    """`next_after` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class ReportPage(ApiModel):
    """Reports of a case, in the order in which they came."""

    reports: list[ReportShown]
    next_after: str | None

    @classmethod
    def of(cls, page: Page[Report], *, shows_contact: bool) -> Self:
        """The answer to a list of reports."""
        return cls(
            reports=[ReportShown.of(each, shows_contact=shows_contact) for each in page.items],
            next_after=page.items[-1].id if page.has_more else None,
        )


class HistoryShown(ApiModel):
    """An act in a case."""

    at: datetime
    actor: str
    act: str
    text: str


class DecisionShown(ApiModel):
    """A decision."""

    id: str
    case: str
    at: datetime
    actor: str
    outcome: Outcome
    reason: str
    statement: dict[str, Any] | None
    """The statement of reasons, after the Commission's schema; null where nothing was taken down."""
    takedown: str | None
    unfounded: bool
    reversed_at: datetime | None

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """A decision as it goes out."""
        return cls(
            id=decision.id,
            case=decision.case_id,
            at=decision.at,
            actor=decision.actor,
            outcome=decision.outcome,
            reason=decision.reason,
            statement=decision.statement or None,
            takedown=decision.takedown_id or None,
            unfounded=decision.is_unfounded,
            reversed_at=decision.reversed_at,
        )


class AppealShown(ApiModel):
    """A complaint."""

    id: str
    reference: str
    decision: str
    case: str
    party: Party
    text: str
    received_at: datetime
    state: AppealState
    decided_by: str
    decided_at: datetime | None
    reason: str

    @classmethod
    def of(cls, appeal: Appeal) -> Self:
        """A complaint as it goes out."""
        return cls(
            id=appeal.id,
            reference=reference_of(appeal.id),
            decision=appeal.decision_id,
            case=appeal.case_id,
            party=appeal.party,
            text=appeal.text,
            received_at=appeal.received_at,
            state=appeal.state,
            decided_by=appeal.decided_by,
            decided_at=appeal.decided_at,
            reason=appeal.reason,
        )


class CaseDetail(CaseShown):
    """A case with all that there is about it."""

    newest_reports: list[ReportShown]
    """The first of those whose texts are kept; ``GET /api/v1/cases/{id}/reports`` has them all."""
    history: list[HistoryShown]
    decisions: list[DecisionShown]
    appeals: list[AppealShown]

    @classmethod
    def with_all(
        cls,
        case: Case,
        reports: Sequence[ReportShown],
        history: Sequence[HistoryEntry],
        decisions: Sequence[Decision],
        appeals: Sequence[Appeal],
    ) -> Self:
        """A case as its page shows it."""
        return cls(
            **_case_fields(case),
            newest_reports=list(reports),
            history=[HistoryShown(at=each.at, actor=each.actor, act=each.act, text=each.text) for each in history],
            decisions=[DecisionShown.of(each) for each in decisions],
            appeals=[AppealShown.of(each) for each in appeals],
        )


class ClaimRequest(ApiModel):
    """Who takes a case."""

    take_over: bool = False
    """Also where another has it, who learns of it from the history."""


class NoteRequest(ApiModel):
    """A note in a case."""

    text: str
    """For whoever looks at it after; at most 5,000 characters."""


class DecideRequest(ApiModel):
    """A decision."""

    outcome: Outcome
    statement: dict[str, Any] | None = None
    """For a takedown, the statement of reasons: `decision_ground`, its explanation, `decision_facts` and what is
    decided, as in `POST /api/v1/takedowns`. Category and source are the case's where it says nothing else, and what is
    decided is that it is removed."""
    target: Annotated[str, Field(max_length=URL_CHARS_MAX)] | None = None
    """What is taken down, where it is more or less than what was reported: a URL, a name or an id."""
    reason: str = ""
    """For reporters and the broadcaster, in your words, at most 2,000 characters. Needed where nothing is taken
    down."""
    unfounded: bool = False
    """The reports were manifestly unfounded: their reporters are warned, and after three such decisions what they send
    is not looked at for 30 days."""


class ReopenRequest(ApiModel):
    """Why a case is decided anew."""

    reason: str = ""
    """At most 2,000 characters."""


class AppealQuery(ApiModel):
    """Which complaints to list."""

    state: AppealState | None = AppealState.OPEN
    after: Annotated[str, Field(pattern=f"{id_pattern(IdKind.APPEAL)}|^$")] = ""
    """`next_after` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class AppealPage(ApiModel):
    """Complaints, the first first."""

    appeals: list[AppealShown]
    next_after: str | None

    @classmethod
    def of(cls, page: Page[Appeal]) -> Self:
        """The answer to a list of complaints."""
        return cls(
            appeals=[AppealShown.of(each) for each in page.items],
            next_after=page.items[-1].id if page.has_more else None,
        )


class AppealDecideRequest(ApiModel):
    """A decision over a complaint."""

    outcome: Literal[AppealState.UPHELD, AppealState.REVERSED]
    """`upheld`: the first decision stays. `reversed`: what was taken down is back, and what was left alone is open
    again."""
    reason: str
    """For whoever complained, in your words; at most 5,000 characters."""
