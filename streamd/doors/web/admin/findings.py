"""The calls of the admin API about what the machine has found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.admin.guards import ACTOR
from streamd.doors.web.json_api import NotFoundError, answer
from streamd.doors.web.models.findings import (
    AssistanceState,
    DraftAnswer,
    FindingAnswer,
    FindingList,
    FindingPath,
    FindingsPath,
    JudgeRequest,
)
from streamd.doors.web.openapi import Operation
from streamd.services.moderation.ids import IdKind, is_id
from streamd.services.operators.roles import Right

if TYPE_CHECKING:
    from aiohttp import web

    from streamd.services.moderation.machine.assistance import Assistance


class FindingDesk:
    """Tells moderators what the machine has found, and drafts what they could write.

    Args:
        assistance: The machine.
    """

    def __init__(self, assistance: Assistance) -> None:
        self._assistance = assistance

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        one = "/api/v1/cases/{id}"
        return [
            Operation(
                "GET", f"{one}/findings", self.list_findings, FindingList,
                path_model=FindingsPath, problems=(404, 503), right=Right.TAKEDOWN,
            ),
            Operation(
                "POST", f"{one}/findings/{{finding}}/judge", self.judge_finding, FindingAnswer,
                path_model=FindingPath, body=JudgeRequest, problems=(404, 409, 503), right=Right.TAKEDOWN,
            ),
            Operation(
                "GET", f"{one}/draft", self.draft_statement, DraftAnswer,
                path_model=FindingsPath, problems=(404, 503), right=Right.TAKEDOWN,
            ),
            Operation(
                "GET", "/api/v1/assistance", self.show_assistance, AssistanceState, problems=(503,), right=Right.READ
            ),
        ]  # fmt: skip

    async def list_findings(self, request: web.Request) -> web.Response:
        """List what the machine has seen in pictures of a case, the newest first: known pictures, scores, words."""
        found = await self._assistance.findings(_case_id(request))
        return answer(FindingList(findings=[FindingAnswer.of(each) for each in found]))

    async def judge_finding(self, request: web.Request, body: JudgeRequest) -> web.Response:
        """Say whether the machine was right about one picture: its error rate is made of that.

        What is said here stays, whatever is decided about the case; a finding of which nobody says anything is counted
        with the decision. 409 where the machine has found nothing in the picture.
        """
        case_id, finding_id = _case_id(request), request.match_info["finding"]
        found = await self._assistance.judge(case_id, finding_id, agreed=body.agreed, by=request[ACTOR])
        if found is None:
            raise NotFoundError("there is no such finding in this case")
        return answer(FindingAnswer.of(found))

    async def draft_statement(self, request: web.Request) -> web.Response:
        """Draft a statement of reasons from what is known of a case; its ground is for a person to write."""
        draft = await self._assistance.draft(_case_id(request))
        if draft is None:
            raise NotFoundError("there is no such case")
        return answer(DraftAnswer.of(draft))

    async def show_assistance(self, _: web.Request) -> web.Response:
        """Show what the machine can do here, its lists, and how often people agreed with it."""
        return answer(AssistanceState.of(await self._assistance.record(), self._assistance.ready))


def _case_id(request: web.Request) -> str:
    """The case in the path.

    Raises:
        NotFoundError: It is none.
    """
    case_id = request.match_info["id"]
    if not is_id(IdKind.CASE, case_id):
        raise NotFoundError("there is no such case")
    return case_id
