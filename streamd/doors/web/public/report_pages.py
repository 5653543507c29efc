"""The pages of reports, which work without scripts.

``/report/{name}`` takes a report, ``/report/status/{id}`` says what became of it, and on ``/appeal/{id}`` a broadcaster
complains about a decision. The address of the last two has a token in it: it is told to nobody (``Referrer-Policy``),
kept by no cache and found by no search engine.
"""

from __future__ import annotations

import html
import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlencode

from aiohttp import hdrs, web

from streamd.doors.web.assets import UP, answer
from streamd.doors.web.fields import media_type
from streamd.doors.web.headers import form_headers
from streamd.doors.web.public.locked_pages import FORM_TYPE, NO_STORE
from streamd.doors.web.public.reports import own_hosts
from streamd.doors.web.refusals import may_tell, route_of
from streamd.errors import (
    CaseNotFoundError,
    CaseStateError,
    ReporterSuspendedError,
    ReportRefusedError,
    ReportsBusyError,
    StoreUnavailableError,
    TargetRefusedError,
    TooManyReportsError,
)
from streamd.services.moderation.cases.appeals import APPEAL_PERIOD
from streamd.services.moderation.cases.case_records import AppealState, Outcome
from streamd.services.moderation.cases.report_status import ReportState
from streamd.services.moderation.cases.reports import AHEAD_MAX, EXPLANATION_LENGTH_MAX, OLDEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamd.clock import Clock
    from streamd.doors.web.assets import StaticFiles
    from streamd.services.moderation.cases.case_records import Appeal
    from streamd.services.moderation.cases.report_menu import ReportMenu, Words
    from streamd.services.moderation.cases.report_status import ReportStatus
    from streamd.services.moderation.moderation import Moderation

log = logging.getLogger(__name__)

# A form of ours has five.
FIELDS_MAX: Final = 8
_LANGUAGE: Final = re.compile(r"[A-Za-z-]{1,16}")
_QUIET: Final = {"Referrer-Policy": "no-referrer"}
_NATIVE: Final = {"en": "English", "id": "Bahasa Indonesia"}
# Milliseconds since 1970, as scripts have them, or RFC 3339.
_MILLISECONDS: Final = re.compile(r"[0-9]{1,14}")


class ReportPages:
    """The pages.

    Args:
        moderation: The server's.
        menu: What can be reported, in all languages.
        files: Have the templates.
        clock: For what is in the future.
    """

    def __init__(self, moderation: Moderation, menu: ReportMenu, files: StaticFiles, clock: Clock) -> None:
        self._moderation = moderation
        self._menu = menu
        self._files = files
        self._clock = clock

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the public application."""
        app.router.add_get("/report/{name}", self._get_form)
        app.router.add_post("/report/{name}", self._take_report)
        app.router.add_get("/report/status/{id}", self._get_status)
        app.router.add_post("/report/status/{id}", self._take_appeal)
        app.router.add_get("/appeal/{id}", self._get_complaint)
        app.router.add_post("/appeal/{id}", self._take_complaint)

    # -- the form -------------------------------------------------------------------------------

    async def _get_form(self, request: web.Request) -> web.Response:
        words = self._words(request)
        query = request.query
        given = {"at": query.get("at", ""), "option": query.get("option", "")}
        return self._form(request, words, given)

    async def _take_report(self, request: web.Request) -> web.Response:
        words = self._words(request)
        given = await _typed(request)
        reason = self._menu.reason(given.get("option", ""))
        explanation = given.get("explanation", "")
        if reason is None:
            return self._form(request, words, given, words.errors["category"], 422)
        if reason.explanation == "required" and not explanation.strip():
            return self._form(request, words, given, words.errors["explanation"], 422)
        if len(explanation) > EXPLANATION_LENGTH_MAX:
            said = words.errors["explanation-long"].format(length=len(explanation), max=EXPLANATION_LENGTH_MAX)
            return self._form(request, words, given, said, 422)
        if given.get("good_faith") != "yes":
            return self._form(request, words, given, words.errors["good-faith"], 422)
        moderation = self._moderation
        try:
            target = await moderation.subjects.find(request.match_info["name"], own_hosts(request))
            receipt = await moderation.reports.file(
                target,
                reason.category,
                keyword=reason.keyword,
                explanation=explanation,
                at=self._at(given.get("at", "")),
                contact=given.get("contact", ""),
                address=request.remote or "",
                viewers=moderation.subjects.viewers_of(target) if target is not None else 0,
            )
        except (ReportRefusedError, TargetRefusedError) as exc:
            return self._form(request, words, given, str(exc), 422)
        except TooManyReportsError:
            return self._form(request, words, given, words.errors["too-many"], 429)
        except ReporterSuspendedError:
            return self._form(request, words, given, words.errors["suspended"], 403)
        except ReportsBusyError:
            return self._form(request, words, given, words.errors["busy"], 503)
        except StoreUnavailableError as exc:
            _note(request, exc)
            return self._form(request, words, given, words.errors["busy"], 503)
        query = urlencode({"token": receipt.status_token, **_lang(request)})
        location = f"status/{receipt.id}?{query}"
        return web.Response(status=303, headers={hdrs.LOCATION: location, hdrs.CACHE_CONTROL: NO_STORE, **_QUIET})

    def _form(
        self, request: web.Request, words: Words, given: Mapping[str, str], error: str = "", status: int = 200
    ) -> web.Response:
        page, name = words.page, request.match_info["name"]
        at = self._at(given.get("at", ""))
        shown_at = at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if at is not None else ""
        playing = page["playing"].format(at=f"{at:%Y-%m-%d %H:%M:%S}") if at is not None else ""
        made = self._files.page(
            "report",
            level=1,
            root=UP,
            language=words.language,
            languages=self._languages(request, words),
            action=html.escape(_address(request)),
            heading=html.escape(page["heading"].format(name=_visible(name))),
            emergency=html.escape(page["emergency"]),
            error=f'<p class="form-error" role="alert">{html.escape(error)}</p>' if error else "",
            playing=f'<p class="hint">{html.escape(playing)}</p>' if playing else "",
            question=html.escape(words.options[""]),
            reasons=self._reasons(words, given.get("option", "")),
            explanation_label=html.escape(page["explanation"]),
            explanation_hint=html.escape(page["explanation-hint"]),
            explanation=html.escape(given.get("explanation", "")),
            contact_label=html.escape(page["contact"]),
            contact=html.escape(given.get("contact", "")),
            law=html.escape(page["law"]),
            good_faith=html.escape(page["good-faith"]),
            is_confirmed=" checked" if given.get("good_faith") == "yes" else "",
            at=html.escape(shown_at),
            send=html.escape(page["send"]),
        )
        headers = form_headers(is_embedded=False) | _QUIET | _varied(words)
        return answer(request, made, headers, NO_STORE, status=status)

    def _reasons(self, words: Words, chosen: str) -> str:
        """The reasons as radio buttons, each group of them behind its own heading."""
        lines = []
        for title, leaves in self._menu.groups(words):
            buttons = "".join(
                f'<label class="reason{" alone" if len(leaves) == 1 else ""}">'
                f'<input type="radio" name="option" value="{html.escape(choice.id)}"'
                f"{' checked' if choice.id == chosen else ''}>{html.escape(choice.text)}</label>"
                for choice, _ in leaves
            )
            if len(leaves) == 1:
                lines.append(buttons)
                continue
            # A group is open where one of it is chosen, or where the player has sent somebody to it.
            is_open = any(choice.id == chosen or choice.id.startswith(f"{chosen}-") for choice, _ in leaves if chosen)
            lines.append(
                f"<details{' open' if is_open else ''}><summary>{html.escape(title)}</summary>{buttons}</details>"
            )
        return "\n        ".join(lines)

    # -- what became of it ----------------------------------------------------------------------

    async def _get_status(self, request: web.Request) -> web.Response:
        return await self._show(request)

    async def _take_appeal(self, request: web.Request) -> web.Response:
        words, report_id = self._words(request), request.match_info["id"]
        token = request.query.get("token", "")
        given = await _typed(request)
        text = given.get("text", "")
        if not text.strip():
            return await self._show(request, words.errors["appeal"], 422)
        try:
            status = await self._moderation.statuses.of(report_id, token)
            if status.decision is None:
                return await self._show(request, words.errors["closed"], 409)
            self._moderation.reports.spend(request.remote or "")
            await self._moderation.appeals.file(status.decision.id, token, text, report_id=report_id)
        except CaseNotFoundError:
            return self._missing(request, words)
        except CaseStateError:
            return await self._show(request, words.errors["closed"], 409)
        except ReportRefusedError as exc:
            return await self._show(request, str(exc), 422)
        except TooManyReportsError:
            return await self._show(request, words.errors["too-many"], 429)
        except StoreUnavailableError as exc:
            _note(request, exc)
            return await self._show(request, words.errors["busy"], 503)
        location = f"{report_id}?{urlencode({'token': token, **_lang(request)})}"
        return web.Response(status=303, headers={hdrs.LOCATION: location, hdrs.CACHE_CONTROL: NO_STORE, **_QUIET})

    async def _show(self, request: web.Request, error: str = "", code: int = 200) -> web.Response:
        words = self._words(request)
        try:
            status = await self._moderation.statuses.of(request.match_info["id"], request.query.get("token", ""))
        except CaseNotFoundError:
            return self._missing(request, words)
        except StoreUnavailableError as exc:
            _note(request, exc)
            body = f'<p class="form-error" role="alert">{html.escape(words.errors["busy"])}</p>'
            return self._page(request, words, words.page["status-title"], body, 503)
        return self._page(request, words, words.page["status-title"], self._told(request, words, status, error), code)

    def _told(self, request: web.Request, words: Words, status: ReportStatus, error: str) -> str:
        page = words.page
        lines = [
            f'<p class="hint">{html.escape(page["reference"])}</p>',
            f'<p class="reference">{html.escape(status.reference)}</p>',
        ]

        def say(text: str, kind: str = "") -> None:
            lines.append(f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{html.escape(text)}</p>")

        decision, appeal = status.decision, status.appeal
        if decision is None:
            if status.state is ReportState.RECEIVED:
                say(page["received"].format(at=f"{status.received_at:%Y-%m-%d %H:%M}"))
            else:
                say(page["under-review"])
            say(page["sent-detail"], "hint")
            return "\n      ".join(lines)
        word = "decided-taken-down" if decision.outcome is Outcome.TAKEN_DOWN else "decided-no-action"
        say(page[word].format(at=f"{decision.at:%Y-%m-%d %H:%M}"))
        if decision.reason:
            lines.append(f'<p class="said" dir="auto">{html.escape(decision.reason)}</p>')
        if decision.reversed_at is not None:
            say(page["reversed"])
        if status.is_warned:
            say(page["warning"], "callout warning")
        lines += _complaint(request, words, appeal, status.appeal_until, error)
        return "\n      ".join(lines)

    # -- a broadcaster's complaint --------------------------------------------------------------

    async def _get_complaint(self, request: web.Request) -> web.Response:
        return await self._show_complaint(request)

    async def _take_complaint(self, request: web.Request) -> web.Response:
        words, decision_id = self._words(request), request.match_info["id"]
        token = request.query.get("token", "")
        text = (await _typed(request)).get("text", "")
        if not text.strip():
            return await self._show_complaint(request, words.errors["appeal"], 422)
        try:
            self._moderation.reports.spend(request.remote or "")
            await self._moderation.appeals.file(decision_id, token, text)
        except CaseNotFoundError:
            return self._missing(request, words, UP)
        except CaseStateError:
            return await self._show_complaint(request, words.errors["closed"], 409)
        except ReportRefusedError as exc:
            return await self._show_complaint(request, str(exc), 422)
        except TooManyReportsError:
            return await self._show_complaint(request, words.errors["too-many"], 429)
        except StoreUnavailableError as exc:
            _note(request, exc)
            return await self._show_complaint(request, words.errors["busy"], 503)
        location = f"{decision_id}?{urlencode({'token': token, **_lang(request)})}"
        return web.Response(status=303, headers={hdrs.LOCATION: location, hdrs.CACHE_CONTROL: NO_STORE, **_QUIET})

    async def _show_complaint(self, request: web.Request, error: str = "", code: int = 200) -> web.Response:
        words, page = self._words(request), self._words(request).page
        try:
            decision, found, appeal = await self._moderation.appeals.standing(
                request.match_info["id"], request.query.get("token", "")
            )
        except CaseNotFoundError:
            return self._missing(request, words, UP)
        except StoreUnavailableError as exc:
            _note(request, exc)
            body = f'<p class="form-error" role="alert">{html.escape(words.errors["busy"])}</p>'
            return self._page(request, words, page["complaint"], body, 503, UP)
        said = page["complaint-about"].format(what=found.target.id, at=f"{decision.at:%Y-%m-%d %H:%M}")
        lines = [f"<p>{html.escape(said)}</p>"]
        if decision.reason:
            lines.append(f'<p class="said" dir="auto">{html.escape(decision.reason)}</p>')
        if decision.reversed_at is not None:
            lines.append(f"<p>{html.escape(page['reversed'])}</p>")
        until = decision.at + APPEAL_PERIOD
        may = appeal is None and decision.reversed_at is None and found.decision_id == decision.id
        may = may and self._clock.now() <= until
        lines += _complaint(request, words, appeal, until if may else None, error)
        return self._page(request, words, page["complaint"], "\n      ".join(lines), code, UP)

    def _missing(self, request: web.Request, words: Words, root: str = UP * 2) -> web.Response:
        detail = f"<p>{html.escape(words.page['missing-detail'])}</p>"
        return self._page(request, words, words.page["missing"], detail, 404, root)

    def _page(
        self, request: web.Request, words: Words, heading: str, body: str, status: int, root: str = UP * 2
    ) -> web.Response:
        made = self._files.page(
            "report_status",
            level=1,
            root=root,
            language=words.language,
            languages=self._languages(request, words),
            heading=html.escape(heading),
            body=body,
        )
        headers = form_headers(is_embedded=False) | _QUIET | _varied(words)
        return answer(request, made, headers, NO_STORE, status=status)

    # -- inside ---------------------------------------------------------------------------------

    def _words(self, request: web.Request) -> Words:
        return self._menu.words_for(request.query.get("lang", ""), request.headers.get(hdrs.ACCEPT_LANGUAGE, ""))

    def _languages(self, request: web.Request, words: Words) -> str:
        """Links to this page in each language."""
        links = []
        for language in self._menu.languages:
            query = {**{name: value for name, value in request.query.items() if name in _KEPT}, "lang": language}
            current = ' aria-current="true"' if language == words.language else ""
            address = html.escape(f"{_last(request)}?{urlencode(query)}")
            links.append(f'<a href="{address}" lang="{language}"{current}>{_NATIVE.get(language, language)}</a>')
        return "".join(links)

    def _at(self, text: str) -> datetime | None:
        """What was playing, as a player or this form says it; None where that is nothing, or cannot have been."""
        try:
            if _MILLISECONDS.fullmatch(text):
                at = datetime.fromtimestamp(int(text) / 1000, UTC)
            else:
                at = datetime.fromisoformat(text)
            at = at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
        except (ValueError, OverflowError, OSError):
            return None
        now = self._clock.now()
        # Whoever has a wrong clock has seen it nevertheless: it was now.
        return None if at > now + AHEAD_MAX or at < OLDEST else min(at, now)


_KEPT: Final = frozenset(("at", "option", "token"))


_APPEAL_TEXTS: Final = {
    AppealState.OPEN: "appealed",
    AppealState.UPHELD: "appeal-upheld",
    AppealState.REVERSED: "appeal-reversed",
}


def _complaint(
    request: web.Request, words: Words, appeal: Appeal | None, until: datetime | None, error: str
) -> list[str]:
    """What became of a complaint, and the form for one where it can be made until a time."""
    page, lines = words.page, []
    if appeal is not None:
        lines.append(f"<p>{html.escape(page[_APPEAL_TEXTS[appeal.state]])}</p>")
        if appeal.reason:
            lines.append(f'<p class="said" dir="auto">{html.escape(appeal.reason)}</p>')
    alert = f'<p class="form-error" role="alert">{html.escape(error)}</p>' if error else ""
    if until is None:
        return [*lines, alert] if alert else lines
    redress = html.escape(page["redress"].format(until=f"{until:%Y-%m-%d}"))
    return [
        *lines,
        f'<p class="hint">{redress}</p>',
        f'<form method="post" action="{html.escape(_address(request))}">'
        f'<label for="text">{html.escape(page["appeal"])}</label>'
        '<textarea id="text" name="text" rows="5" maxlength="5000" dir="auto" required></textarea>'
        f'{alert}<button class="button" type="submit">{html.escape(page["appeal-send"])}</button></form>',
    ]


def _varied(words: Words) -> dict[str, str]:
    return {hdrs.CONTENT_LANGUAGE: words.language}


def _lang(request: web.Request) -> dict[str, str]:
    """The language that was asked for by name, to go on with."""
    lang = request.query.get("lang", "")
    return {"lang": lang} if _LANGUAGE.fullmatch(lang) else {}


def _last(request: web.Request) -> str:
    """The last part of a page's address: its links are relative, under whatever path a proxy has put the server."""
    return quote(request.path.rpartition("/")[2], safe="")


def _address(request: web.Request) -> str:
    """A page's own address, relative; what a form of it is sent to."""
    query = {name: value for name, value in request.query.items() if name == "token"} | _lang(request)
    return f"{_last(request)}?{urlencode(query)}" if query else _last(request)


def _visible(name: str) -> str:
    """A name from an address, as it is shown: without what nobody sees, and not for ever."""
    return "".join(each for each in name[:64] if each.isprintable())


def _note(request: web.Request, error: StoreUnavailableError) -> None:
    if may_tell(request, "store"):
        log.warning("store.failed", extra={"path": route_of(request), "reason": str(error)})


async def _typed(request: web.Request) -> dict[str, str]:
    """What was typed into a form; nothing where it is no form of ours."""
    if media_type(request) != FORM_TYPE:
        return {}
    try:
        body = (await request.read()).decode("ascii")
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="replace")
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}
