"""The parts of all pages of reports: their frame, their language, their addresses, and the fields of a form.

The address of some has a token in it: it is told to nobody (``Referrer-Policy``), kept by no cache and found by no
search engine.
"""

from __future__ import annotations

import html
import logging
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlencode

from aiohttp import hdrs, web

from streamd.doors.web.assets import UP, answer
from streamd.doors.web.fields import media_type
from streamd.doors.web.headers import form_headers
from streamd.doors.web.public.locked_pages import FORM_TYPE, NO_STORE
from streamd.doors.web.refusals import may_tell, route_of

if TYPE_CHECKING:
    from streamd.doors.web.assets import StaticFiles
    from streamd.errors import StoreUnavailableError
    from streamd.services.moderation.cases.report_menu import ReportMenu, Words

log = logging.getLogger(__name__)

# A form of ours has five.
FIELDS_MAX: Final = 8
_LANGUAGE: Final = re.compile(r"[A-Za-z-]{1,16}")
_QUIET: Final = {"Referrer-Policy": "no-referrer"}
_NATIVE: Final = {"en": "English", "id": "Bahasa Indonesia"}
# Fields of an address that a page keeps when its language changes.
_KEPT: Final = frozenset(("at", "option", "token"))


class ReportFrame:
    """Makes the pages.

    Args:
        menu: Has the words, in all languages.
        files: Have the templates.
    """

    def __init__(self, menu: ReportMenu, files: StaticFiles) -> None:
        self._menu = menu
        self._files = files

    def words(self, request: web.Request) -> Words:
        """The words in the language that was asked for, or that the browser prefers."""
        return self._menu.words_for(request.query.get("lang", ""), request.headers.get(hdrs.ACCEPT_LANGUAGE, ""))

    def fill(self, template: str, **values: str) -> str:
        """Fill a template that is the content of a page."""
        return self._files.fill(template, **values)

    def page(
        self, request: web.Request, words: Words, heading: str, content: str, status: int = 200, root: str = UP
    ) -> web.Response:
        """Answer with a page.

        Args:
            request: What is answered.
            words: In the page's language.
            heading: Of the window, as text.
            content: As HTML.
            status: Of the answer.
            root: The way from the page to the root of the server.
        """
        made = self._files.page(
            "report",
            level=1,
            root=root,
            language=words.language,
            languages=self._languages(request, words),
            heading=html.escape(heading),
            content=content,
        )
        headers = form_headers(is_embedded=False) | _QUIET | {hdrs.CONTENT_LANGUAGE: words.language}
        return answer(request, made, headers, NO_STORE, status=status)

    def section(
        self, request: web.Request, words: Words, heading: str, lines: list[str], status: int = 200, root: str = UP
    ) -> web.Response:
        """Answer with a page of a heading and lines of HTML; the other arguments are those of ``page``."""
        body = "\n      ".join([f"<h1>{html.escape(heading)}</h1>", *lines])
        content = f'<section class="report">\n      {body}\n    </section>'
        return self.page(request, words, heading, content, status, root)

    def missing(self, request: web.Request, words: Words, root: str = UP) -> web.Response:
        """Answer that the page is not there, or is nobody's who has no such token."""
        return self.section(request, words, words.page["missing"], [paragraph(words.page["missing-detail"])], 404, root)

    def _languages(self, request: web.Request, words: Words) -> str:
        """Links to this page in each language."""
        links = []
        for language in self._menu.languages:
            query = {**{name: value for name, value in request.query.items() if name in _KEPT}, "lang": language}
            current = ' aria-current="true"' if language == words.language else ""
            address = html.escape(f"{_last(request)}?{urlencode(query)}")
            links.append(f'<a href="{address}" lang="{language}"{current}>{_NATIVE.get(language, language)}</a>')
        return "".join(links)


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph, as HTML, of one of the classes of ``report.css``."""
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{html.escape(text)}</p>"


def quoted(text: str) -> str:
    """A paragraph that somebody has written, in whatever direction they write."""
    return f'<p class="said" dir="auto">{html.escape(text)}</p>'


def alert(text: str) -> str:
    """The fault of a form that was sent, as HTML; empty for none."""
    return f'<p class="form-error" role="alert">{html.escape(text)}</p>' if text else ""


def see_other(request: web.Request, path: str, token: str) -> web.Response:
    """Lead to a page of a token, in the language of this one."""
    location = f"{path}?{urlencode({'token': token, **_lang(request)})}"
    return web.Response(status=303, headers={hdrs.LOCATION: location, hdrs.CACHE_CONTROL: NO_STORE, **_QUIET})


def own_address(request: web.Request) -> str:
    """A page's own address, relative; what a form of it is sent to."""
    query = {name: value for name, value in request.query.items() if name == "token"} | _lang(request)
    return f"{_last(request)}?{urlencode(query)}" if query else _last(request)


def note_failure(request: web.Request, error: StoreUnavailableError) -> None:
    """Say in the log that the store failed."""
    if may_tell(request, "store"):
        log.warning("store.failed", extra={"path": route_of(request), "reason": str(error)})


async def read_form(request: web.Request) -> dict[str, str]:
    """Read the fields that somebody has filled in; there are none where it is no form of ours."""
    if media_type(request) != FORM_TYPE:
        return {}
    try:
        body = (await request.read()).decode("ascii")
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="replace")
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def _lang(request: web.Request) -> dict[str, str]:
    """The language that was asked for by name, to go on with."""
    lang = request.query.get("lang", "")
    return {"lang": lang} if _LANGUAGE.fullmatch(lang) else {}


def _last(request: web.Request) -> str:
    """The last part of a page's address: its links are relative, under whatever path a proxy has put the server."""
    return quote(request.path.rpartition("/")[2], safe="")
