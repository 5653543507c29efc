"""The calls of the admin API about cases and complaints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.admin.guards import ACTOR, ASKER
from streamd.doors.web.admin.targets import find_dark
from streamd.doors.web.json_api import InvalidRequestError, answer
from streamd.doors.web.models.cases import (
    REPORTS_SHOWN,
    AppealDecideRequest,
    AppealPage,
    AppealPath,
    AppealQuery,
    AppealShown,
    CaseDetail,
    CasePage,
    CasePath,
    CaseQuery,
    CaseShown,
    ClaimRequest,
    DecideRequest,
    DecisionShown,
    NoteRequest,
    ReopenRequest,
    ReportListQuery,
    ReportPage,
    ReportShown,
)
from streamd.doors.web.openapi import Operation
from streamd.services.moderation.cases.case_records import AppealState, CaseFilter
from streamd.services.moderation.ids import reference_end
from streamd.services.operators.roles import RIGHTS, Right
from streamd.services.store.page import Page

if TYPE_CHECKING:
    from aiohttp import web

    from streamd.services.moderation.moderation import Moderation
    from streamd.services.moderation.target import Targets

# Cases of the reports with one reference; nearly always it is one.
REFERRED_MAX = 10


class CaseDesk:
    """Lists cases, and has them claimed, noted, decided and reopened.

    Args:
        moderation: The server's.
        targets: Finds what a moderator names.
    """

    def __init__(self, moderation: Moderation, targets: Targets) -> None:
        self._moderation = moderation
        self._targets = targets

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        one, right = "/api/v1/cases/{id}", Right.TAKEDOWN
        return [
            Operation(
                "GET", "/api/v1/cases", self.list_cases, CasePage, query=CaseQuery, problems=(503,), right=Right.READ
            ),
            Operation(
                "GET", one, self.get_case, CaseDetail, path_model=CasePath, problems=(503,), right=Right.READ
            ),
            Operation(
                "GET", f"{one}/reports", self.list_case_reports, ReportPage,
                path_model=CasePath, query=ReportListQuery, problems=(503,), right=Right.READ,
            ),
            Operation(
                "POST", f"{one}/claim", self.claim_case, CaseShown,
                path_model=CasePath, body=ClaimRequest, problems=(409, 503), right=right,
            ),
            Operation(
                "POST", f"{one}/note", self.note_case, CaseShown,
                path_model=CasePath, body=NoteRequest, problems=(409, 503), right=right,
            ),
            Operation(
                "POST", f"{one}/decide", self.decide_case, DecisionShown,
                path_model=CasePath, body=DecideRequest, problems=(409, 503), right=right,
            ),
            Operation(
                "POST", f"{one}/reopen", self.reopen_case, CaseShown,
                path_model=CasePath, body=ReopenRequest, problems=(409, 503), right=right,
            ),
            Operation(
                "GET", "/api/v1/appeals", self.list_appeals, AppealPage,
                query=AppealQuery, problems=(503,), right=Right.READ,
            ),
            Operation(
                "POST", "/api/v1/appeals/{id}/decide", self.decide_appeal, AppealShown,
                path_model=AppealPath, body=AppealDecideRequest, problems=(409, 503), right=right,
            ),
        ]  # fmt: skip

    async def list_cases(self, _: web.Request, query: CaseQuery) -> web.Response:
        """List cases, the most urgent first.

        Priority is the severity of the category, times log2(1 + different reporters), times the reporters' record (0.2
        to 3; 10 with a trusted flagger), times log10(10 + viewers), times what a machine makes of it.
        """
        store = self._moderation.cases.store
        if query.reference:
            end = reference_end(query.reference)
            if end is None:
                raise InvalidRequestError(422, "the query does not validate", ["reference: it is like 7F3K-92"])
            reports = await self._moderation.reports.store.find_reports(end, limit=REFERRED_MAX)
            ids = dict.fromkeys(report.case_id for report in reports)
            found = [case for case_id in ids if (case := await store.find(case_id)) is not None]
            return answer(CasePage.of(Page(found, has_more=False)))
        narrow = CaseFilter(query.state, query.channel or "", query.claimed_by)
        page = await store.page(narrow, by_priority=query.order == "priority", after=query.after, limit=query.limit)
        return answer(CasePage.of(page))

    async def get_case(self, request: web.Request) -> web.Response:
        """Show a case with its reports, its history, its decisions and the complaints about them."""
        case = await self._moderation.cases.find(request.match_info["id"])
        store = self._moderation.cases.store
        reports = await self._moderation.reports.store.reports_of(case.id, limit=REPORTS_SHOWN)
        shows_contact = _may_decide(request)
        return answer(
            CaseDetail.with_all(
                case,
                [ReportShown.of(each, shows_contact=shows_contact) for each in reports.items],
                await store.history(case.id),
                await store.decisions_of(case.id),
                await self._moderation.appeals.store.of_case(case.id),
            )
        )

    async def list_case_reports(self, request: web.Request, query: ReportListQuery) -> web.Response:
        """List the reports of a case whose texts are kept: up to a thousand; further ones are counted."""
        case = await self._moderation.cases.find(request.match_info["id"])
        page = await self._moderation.reports.store.reports_of(case.id, after=query.after, limit=query.limit)
        return answer(ReportPage.of(page, shows_contact=_may_decide(request)))

    async def claim_case(self, request: web.Request, body: ClaimRequest) -> web.Response:
        """Take a case: nobody else decides it then."""
        case = await self._moderation.cases.claim(
            request.match_info["id"], by=request[ACTOR], takes_over=body.take_over
        )
        return answer(CaseShown.of(case))

    async def note_case(self, request: web.Request, body: NoteRequest) -> web.Response:
        """Write a note into a case, for whoever looks at it after."""
        case = await self._moderation.cases.note(request.match_info["id"], body.text, by=request[ACTOR])
        return answer(CaseShown.of(case))

    async def decide_case(self, request: web.Request, body: DecideRequest) -> web.Response:
        """Decide a case; what is taken down is dark when this is answered.

        409 where somebody has decided it, or another has it. A takedown needs a statement of reasons with a ground, and
        what stays needs a reason.
        """
        cases = self._moderation.cases
        # One that is not there is that, whatever else is wrong.
        case = await cases.find(request.match_info["id"])
        target = None if body.target is None else await find_dark(self._targets, body.target, request)
        decision = await cases.decide(
            case.id,
            body.outcome,
            by=request[ACTOR],
            statement=body.statement,
            target=target,
            reason=body.reason,
            is_unfounded=body.unfounded,
        )
        return answer(DecisionShown.of(decision))

    async def reopen_case(self, request: web.Request, body: ReopenRequest) -> web.Response:
        """Have a decided case decided anew; what was taken down stays so until it is restored."""
        case = await self._moderation.cases.reopen(request.match_info["id"], body.reason, by=request[ACTOR])
        return answer(CaseShown.of(case))

    async def list_appeals(self, _: web.Request, query: AppealQuery) -> web.Response:
        """List complaints about decisions; those that wait, the first first."""
        page = await self._moderation.appeals.store.page(query.state, after=query.after, limit=query.limit)
        return answer(AppealPage.of(page))

    async def decide_appeal(self, request: web.Request, body: AppealDecideRequest) -> web.Response:
        """Decide a complaint; a decision that is reversed is undone in one act.

        403 for whoever made the first decision: somebody else decides over it.
        """
        appeal = await self._moderation.appeals.decide(
            request.match_info["id"],
            is_reversed=body.outcome is AppealState.REVERSED,
            reason=body.reason,
            by=request[ACTOR],
        )
        return answer(AppealShown.of(appeal))


def _may_decide(request: web.Request) -> bool:
    """Whether whoever asks is told how reporters want to be reached."""
    return Right.TAKEDOWN in RIGHTS[request[ASKER].role]
