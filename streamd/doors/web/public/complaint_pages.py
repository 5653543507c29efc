"""The pages on which somebody learns of a decision and complains about it, which work without scripts.

``/report/status/{id}`` is a reporter's, and ``/appeal/{id}`` the broadcaster's; a token in the address says whose.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from streamd.doors.web.assets import UP
from streamd.doors.web.public.report_frame import (
    alert,
    note_failure,
    own_address,
    paragraph,
    quoted,
    read_form,
    see_other,
)
from streamd.errors import (
    CaseNotFoundError,
    CaseStateError,
    ReportRefusedError,
    StoreUnavailableError,
    TooManyReportsError,
)
from streamd.services.moderation.cases.appeals import APPEAL_PERIOD
from streamd.services.moderation.cases.case_records import AppealState, Outcome
from streamd.services.moderation.cases.report_status import ReportState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from aiohttp import web

    from streamd.clock import Clock
    from streamd.doors.web.public.report_frame import ReportFrame
    from streamd.services.moderation.cases.case_records import Appeal
    from streamd.services.moderation.cases.report_menu import Words
    from streamd.services.moderation.cases.report_status import ReportStatus
    from streamd.services.moderation.moderation import Moderation

_APPEAL_TEXTS: Final = {
    AppealState.OPEN: "appealed",
    AppealState.UPHELD: "appeal-upheld",
    AppealState.REVERSED: "appeal-reversed",
}
# The ways from the two kinds of page to the root of the server.
_FROM_STATUS: Final = UP * 2
_FROM_APPEAL: Final = UP


class ComplaintPages:
    """The pages.

    Args:
        moderation: The server's.
        frame: Makes them.
        clock: Tells whether a complaint can still be made.
    """

    def __init__(self, moderation: Moderation, frame: ReportFrame, clock: Clock) -> None:
        self._moderation = moderation
        self._frame = frame
        self._clock = clock

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the public application."""
        app.router.add_get("/report/status/{id}", self._show_status)
        app.router.add_post("/report/status/{id}", self._take_from_reporter)
        app.router.add_get("/appeal/{id}", self._show_decision)
        app.router.add_post("/appeal/{id}", self._take_from_broadcaster)

    # -- a reporter -----------------------------------------------------------------------------

    async def _take_from_reporter(self, request: web.Request) -> web.Response:
        async def file(report_id: str, token: str, text: str) -> None:
            status = await self._moderation.statuses.of(report_id, token)
            if status.decision is None:
                raise CaseStateError("nothing is decided that a complaint could be about")
            self._moderation.reports.spend(request.remote or "")
            await self._moderation.appeals.file(status.decision.id, token, text, report_id=report_id)

        return await self._take(request, file, self._show_status, _FROM_STATUS)

    async def _show_status(self, request: web.Request, error: str = "", code: int = 200) -> web.Response:
        words = self._frame.words(request)
        heading = words.page["status-title"]
        try:
            status = await self._moderation.statuses.of(request.match_info["id"], request.query.get("token", ""))
        except CaseNotFoundError:
            return self._frame.missing(request, words, _FROM_STATUS)
        except StoreUnavailableError as exc:
            note_failure(request, exc)
            return self._frame.section(request, words, heading, [alert(words.errors["busy"])], 503, _FROM_STATUS)
        lines = _status_lines(request, words, status, error)
        return self._frame.section(request, words, heading, lines, code, _FROM_STATUS)

    # -- the broadcaster ------------------------------------------------------------------------

    async def _take_from_broadcaster(self, request: web.Request) -> web.Response:
        async def file(decision_id: str, token: str, text: str) -> None:
            self._moderation.reports.spend(request.remote or "")
            await self._moderation.appeals.file(decision_id, token, text)

        return await self._take(request, file, self._show_decision, _FROM_APPEAL)

    async def _show_decision(self, request: web.Request, error: str = "", code: int = 200) -> web.Response:
        words = self._frame.words(request)
        page, heading = words.page, words.page["complaint"]
        try:
            decision, found, appeal = await self._moderation.appeals.standing(
                request.match_info["id"], request.query.get("token", "")
            )
        except CaseNotFoundError:
            return self._frame.missing(request, words, _FROM_APPEAL)
        except StoreUnavailableError as exc:
            note_failure(request, exc)
            return self._frame.section(request, words, heading, [alert(words.errors["busy"])], 503, _FROM_APPEAL)
        lines = [paragraph(page["complaint-about"].format(what=found.target.id, at=f"{decision.at:%Y-%m-%d %H:%M}"))]
        if decision.reason:
            lines.append(quoted(decision.reason))
        if decision.reversed_at is not None:
            lines.append(paragraph(page["reversed"]))
        until = decision.at + APPEAL_PERIOD
        may = appeal is None and decision.reversed_at is None and found.decision_id == decision.id
        may = may and self._clock.now() <= until
        lines += _complaint_lines(request, words, appeal, until if may else None, error)
        return self._frame.section(request, words, heading, lines, code, _FROM_APPEAL)

    # -- both -----------------------------------------------------------------------------------

    async def _take(
        self,
        request: web.Request,
        file: Callable[[str, str, str], Awaitable[None]],
        show: Callable[[web.Request, str, int], Awaitable[web.Response]],
        root: str,
    ) -> web.Response:
        """Take a complaint that was sent by a form.

        Args:
            request: Has the form.
            file: Files it, given the id and the token in the address, and the text.
            show: Shows the page again, with an error and a status.
            root: The way to the root of the server.
        """
        words, about = self._frame.words(request), request.match_info["id"]
        token = request.query.get("token", "")
        text = (await read_form(request)).get("text", "")
        if not text.strip():
            return await show(request, words.errors["appeal"], 422)
        try:
            await file(about, token, text)
        except CaseNotFoundError:
            return self._frame.missing(request, words, root)
        except CaseStateError:
            return await show(request, words.errors["closed"], 409)
        except ReportRefusedError as exc:
            return await show(request, str(exc), 422)
        except TooManyReportsError:
            return await show(request, words.errors["too-many"], 429)
        except StoreUnavailableError as exc:
            note_failure(request, exc)
            return await show(request, words.errors["busy"], 503)
        return see_other(request, about, token)


def _status_lines(request: web.Request, words: Words, status: ReportStatus, error: str) -> list[str]:
    """Say to a reporter what became of their report."""
    page = words.page
    lines = [paragraph(page["reference"], "hint"), paragraph(status.reference, "reference")]
    decision, appeal = status.decision, status.appeal
    if decision is None:
        if status.state is ReportState.RECEIVED:
            lines.append(paragraph(page["received"].format(at=f"{status.received_at:%Y-%m-%d %H:%M}")))
        else:
            lines.append(paragraph(page["under-review"]))
        return [*lines, paragraph(page["sent-detail"], "hint")]
    word = "decided-taken-down" if decision.outcome is Outcome.TAKEN_DOWN else "decided-no-action"
    lines.append(paragraph(page[word].format(at=f"{decision.at:%Y-%m-%d %H:%M}")))
    if decision.reason:
        lines.append(quoted(decision.reason))
    if decision.reversed_at is not None:
        lines.append(paragraph(page["reversed"]))
    if status.is_warned:
        lines.append(paragraph(page["warning"], "callout warning"))
    return [*lines, *_complaint_lines(request, words, appeal, status.appeal_until, error)]


def _complaint_lines(
    request: web.Request, words: Words, appeal: Appeal | None, until: datetime | None, error: str
) -> list[str]:
    """Say how a complaint stands, and show the form for one where it can be made until a time."""
    page, lines = words.page, []
    if appeal is not None:
        lines.append(paragraph(page[_APPEAL_TEXTS[appeal.state]]))
        if appeal.reason:
            lines.append(quoted(appeal.reason))
    if until is None:
        return [*lines, alert(error)] if error else lines
    return [
        *lines,
        paragraph(page["redress"].format(until=f"{until:%Y-%m-%d}"), "hint"),
        f'<form method="post" action="{html.escape(own_address(request))}">'
        f'<label for="text">{html.escape(page["appeal"])}</label>'
        '<textarea id="text" name="text" rows="5" maxlength="5000" dir="auto" required></textarea>'
        f'{alert(error)}<button class="button" type="submit">{html.escape(page["appeal-send"])}</button></form>',
    ]
