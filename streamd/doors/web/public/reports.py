"""The public's calls about reports: the menu of reasons, reports, what became of them, and complaints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from streamd.doors.web.host import host_name
from streamd.doors.web.json_api import InvalidRequestError, NotFoundError, answer, problems, read_body, read_query
from streamd.doors.web.models.reports import (
    AppealRequest,
    AppealTold,
    ReportOptions,
    ReportOptionsQuery,
    ReportPath,
    ReportReceipt,
    ReportRequest,
    ReportStanding,
    StatusQuery,
)
from streamd.doors.web.openapi import Operation
from streamd.doors.web.public.forwarded import root_of
from streamd.services.moderation.ids import reference_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamd.services.moderation.cases.report_menu import ReportMenu
    from streamd.services.moderation.moderation import Moderation

# The menu of one language; a player asks for it at each click.
MENU_CACHE: Final = "max-age=60"


class ReportRoutes:
    """The calls.

    Args:
        moderation: The server's.
        menu: What can be reported, in all languages.
        root: Path of the viewers' URL of this server, without a slash at the end: addresses begin with it.
    """

    def __init__(self, moderation: Moderation, menu: ReportMenu, root: str = "") -> None:
        self._root = root
        self._moderation = moderation
        self._menu = menu

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        return [
            Operation(
                "GET", "/api/v1/report-options", self.list_report_options, ReportOptions,
                query=ReportOptionsQuery, problems=(404, 422), needs_token=False,
            ),
            Operation(
                "POST", "/api/v1/reports", self.make_report, ReportReceipt, 202,
                body=ReportRequest, problems=(401, 503), needs_token=False,
            ),
            Operation(
                "GET", "/api/v1/reports/{id}", self.get_report, ReportStanding,
                path_model=ReportPath, query=StatusQuery, problems=(404, 422, 503), needs_token=False,
            ),
            Operation(
                "POST", "/api/v1/appeals", self.make_appeal, AppealTold, 202,
                body=AppealRequest, problems=(404, 409, 503), needs_token=False,
            ),
        ]  # fmt: skip

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the public application."""
        add = {"GET": app.router.add_get, "POST": app.router.add_post}
        for operation in self.operations():
            add[operation.method](operation.path, _with_problems(operation.handler))

    async def list_report_options(self, request: web.Request) -> web.StreamResponse:
        """Show what a reporter can choose next, in their language.

        A client shows the texts that it gets, sends back what was chosen as `option`, and goes on until there is a
        `category` to send with the report: the menu can change without clients.
        """
        query = read_query(request, ReportOptionsQuery)
        words = self._menu.words_for(query.lang, request.headers.get(hdrs.ACCEPT_LANGUAGE, ""))
        step = self._menu.step(query.option, words)
        if step is None:
            raise NotFoundError("there is no such option")
        shown = ReportOptions.of(step, words, list(self._menu.languages))
        headers: dict[str, str] = {
            hdrs.CACHE_CONTROL: MENU_CACHE,
            hdrs.VARY: hdrs.ACCEPT_LANGUAGE,
            hdrs.CONTENT_LANGUAGE: words.language,
        }
        return answer(shown, headers=headers)

    async def make_report(self, request: web.Request) -> web.StreamResponse:
        """Report a channel, a recording or a clip.

        It is seen by moderators when this is answered. `[moderation] reports_per_address_per_10_min` bounds the
        reports of one address; a trusted flagger sends their token as `Authorization: Bearer TOKEN`, and is not held
        to it. A name that does not exist is answered like one that does.
        """
        body = await read_body(request, ReportRequest)
        flagger = self._flagger(request)
        moderation = self._moderation
        target = await moderation.subjects.find(body.subject, own_hosts(request))
        receipt = await moderation.reports.file(
            target,
            body.category,
            keyword=body.specification,
            explanation=body.explanation,
            at=body.at,
            contact=body.contact,
            address=request.remote or "",
            flagger=flagger,
            viewers=moderation.subjects.viewers_of(target) if target is not None else 0,
        )
        page = f"{root_of(request, self._root)}/report/status/{receipt.id}?token={receipt.status_token}"
        shown = ReportReceipt(id=receipt.id, reference=receipt.reference, status_token=receipt.status_token, page=page)
        return answer(shown, status=202)

    async def get_report(self, request: web.Request) -> web.StreamResponse:
        """Tell a reporter what became of their report.

        The token of the report is sent as `Authorization: Bearer TOKEN`, or as `token`. A wrong one is 404.
        """
        query = read_query(request, StatusQuery)
        token = query.token or _bearer(request)
        status = await self._moderation.statuses.of(request.match_info["id"], token)
        return answer(ReportStanding.of(status, token))

    async def make_appeal(self, request: web.Request) -> web.StreamResponse:
        """Complain about a decision, for six months, free of charge. Somebody else than its author decides."""
        body = await read_body(request, AppealRequest)
        self._moderation.reports.spend(request.remote or "")
        report_id, _, token = body.token.rpartition(".")
        appeal = await self._moderation.appeals.file(body.decision, token, body.text, report_id=report_id)
        told = AppealTold(id=appeal.id, reference=reference_of(appeal.id), state=appeal.state)
        return answer(told, status=202)

    def _flagger(self, request: web.Request) -> str:
        """The trusted flagger who reports; empty where it is somebody else.

        Raises:
            InvalidRequestError: A token is shown that is nobody's.
        """
        token = _bearer(request)
        if not token:
            return ""
        flagger = self._moderation.reports.flagger_of(token)
        if flagger is None:
            raise InvalidRequestError(401, "that is no trusted flagger's token; send none to report like everybody")
        return flagger


def own_hosts(request: web.Request) -> tuple[str, ...]:
    """The host that a request came to, under which its sender has seen what they report."""
    name = host_name(request.headers.get(hdrs.HOST, ""))
    return (f"[{name}]" if ":" in name else name,) if name else ()


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _with_problems(
    handler: Callable[..., Awaitable[web.StreamResponse]],
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        response = await problems(request, handler)
        if response.status == 401:
            response.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="streamd reports"'
        return response

    return serve
