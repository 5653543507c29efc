"""The public's figures and the operator's address: ``/transparency``, its files, and ``/legal``.

Everything is answered from memory: no request asks the database. A page is made once for all who ask, until a count
changes.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from streamd.doors.web.assets import HERE, UP, Asset, answer
from streamd.doors.web.headers import PAGE_HEADERS
from streamd.doors.web.public.counts_page import day_name, one_day, overview
from streamd.services.moderation.counts.counts import CSV_HEAD
from streamd.services.moderation.counts.public_counts import DAYS_ASKED_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.doors.web.assets import StaticFiles
    from streamd.services.moderation.counts.public_counts import PublicCounts

# Days of one page.
PAGE_DAYS: Final = 30
# Pages and files that are remembered until a count changes: 10 to 200 kB each, as many as people look at in a moment.
REMEMBERED_MAX: Final = 32
# Days whose lines are made in one step of the loop: up to a millisecond each, once.
DAYS_AT_ONCE: Final = 4
CACHE_CONTROL: Final = "max-age=60"
# A year of days on which everything happens is a few megabytes; every web page may read it.
_CORS: Final = {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*", "X-Content-Type-Options": "nosniff"}
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_LEVEL: Final = 1


@dataclass(frozen=True, slots=True)
class Contacts:
    """Where authorities and users write to. Spec: Regulation (EU) 2022/2065, articles 11 to 13."""

    email: str = ""
    post: str = ""
    legal_representative: str = ""


class TransparencyRoutes:
    """The pages and files.

    Args:
        files: Make pages.
        contacts: Shown at ``/legal``; asked for each time.
        counts: What is counted; None where it is not published.
        can_report: There is a page for reports.
    """

    def __init__(
        self,
        files: StaticFiles,
        contacts: Callable[[], Contacts],
        counts: PublicCounts | None,
        *,
        can_report: bool = True,
    ) -> None:
        self._files = files
        self._contacts = contacts
        self._counts = counts
        self._can_report = can_report
        self._turn = asyncio.Lock()
        self._made: dict[tuple[str, str, str], Asset] = {}
        self._made_of: tuple[int, str] = (-1, "")

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the public application."""
        app.router.add_get("/legal", self._get_legal)
        if self._counts is not None:
            app.router.add_get("/transparency", self._get_overview)
            app.router.add_get("/transparency.csv", self._get_csv)
            app.router.add_get(r"/transparency/{date:\d{4}-\d\d-\d\d}.json", self._get_json)
            app.router.add_get(r"/transparency/{date:\d{4}-\d\d-\d\d}", self._get_day)

    @property
    def held_bytes(self) -> int:
        """Memory of what is remembered, bytes."""
        return sum(len(asset.plain) + len(asset.gzipped) for asset in self._made.values())

    async def _get_overview(self, request: web.Request) -> web.Response:
        counts = self._published
        last = counts.today
        if text := request.query.get("until", ""):
            last = _day(text)
        if not counts.first_day <= last <= counts.today:
            raise web.HTTPNotFound
        first = max(counts.first_day, last - timedelta(days=PAGE_DAYS - 1))

        def make() -> Asset:
            before = first - timedelta(days=1)
            content = overview(
                [*counts.days(first, last)],
                as_of=f"{day_name(counts.today)}",
                before=str(before) if before >= counts.first_day else "",
            )
            return self._page(HERE, "Transparency", "What was reported and taken down here, day by day.", content)

        return answer(request, self._remembered("overview", first, last, make), PAGE_HEADERS, CACHE_CONTROL)

    async def _get_day(self, request: web.Request) -> web.Response:
        counts = self._published
        day = _day(request.match_info["date"])
        found = counts.day(day)
        if found is None:
            raise web.HTTPNotFound

        def make() -> Asset:
            before, after = day - timedelta(days=1), day + timedelta(days=1)
            content = one_day(
                day,
                found,
                is_complete=day < counts.today,
                before=str(before) if counts.day(before) is not None else "",
                after=str(after) if counts.day(after) is not None else "",
            )
            title = day_name(day)
            return self._page(UP, title, f"What was reported and taken down here on {title}.", content)

        return answer(request, self._remembered("day", day, day, make), PAGE_HEADERS, CACHE_CONTROL)

    async def _get_json(self, request: web.Request) -> web.Response:
        """The counts of a day."""
        counts = self._published
        day = _day(request.match_info["date"])
        found = counts.day(day)
        if found is None:
            raise web.HTTPNotFound

        def make() -> Asset:
            body = {"date": str(day), "complete": day < counts.today, **found.shown()}
            return Asset.of(json.dumps(body, indent=1).encode(), "application/json", _LEVEL)

        return answer(request, self._remembered("json", day, day, make), _CORS, CACHE_CONTROL)

    async def _get_csv(self, request: web.Request) -> web.Response:
        """The counts of several days, a line for each count."""
        counts = self._published
        last = _asked(request, "to") or counts.today
        first = _asked(request, "from")
        if first is None:
            # No day comes before the first that a calendar has.
            first = max(counts.first_day, last - min(timedelta(days=PAGE_DAYS - 1), last - date.min))
        if first > last or (last - first).days >= DAYS_ASKED_MAX:
            raise web.HTTPBadRequest(text=f"from comes before to, and {DAYS_ASKED_MAX} days at most are between them")

        # One after another: a year is half a megabyte to be joined and compressed.
        async with self._turn:
            asset = self._known("csv", first, last)
            if asset is None:
                pieces = [CSV_HEAD]
                for number, (day, found) in enumerate(counts.days(first, last)):
                    pieces.append(found.csv_lines(str(day)))
                    if number % DAYS_AT_ONCE == 0:
                        await asyncio.sleep(0)
                made = await asyncio.to_thread(partial(_csv, pieces))
                asset = self._known("csv", first, last) or self._remember("csv", first, last, made)
        headers = _CORS | {hdrs.CONTENT_DISPOSITION: f'attachment; filename="transparency-{first}-{last}.csv"'}
        return answer(request, asset, headers, CACHE_CONTROL)

    async def _get_legal(self, request: web.Request) -> web.Response:
        contacts = self._contacts()
        content = _legal(contacts, can_report=self._can_report, has_counts=self._counts is not None)
        page = self._page(HERE, "Contact", "Points of contact of this server.", content)
        return answer(request, page, PAGE_HEADERS, CACHE_CONTROL)

    @property
    def _published(self) -> PublicCounts:
        assert self._counts is not None, "these have no routes where there are none"
        return self._counts

    def _page(self, root: str, title: str, description: str, content: str) -> Asset:
        return self._files.page(
            "counts", level=_LEVEL, root=root, title=title, description=description, content=content
        )

    def _remembered(self, kind: str, first: date, last: date, make: Callable[[], Asset]) -> Asset:
        """What was made for another who has asked, unless a count, or the day, has changed."""
        return self._known(kind, first, last) or self._remember(kind, first, last, make())

    def _known(self, kind: str, first: date, last: date) -> Asset | None:
        made_of = self._published.revision, str(self._published.today)
        if made_of != self._made_of:
            self._made.clear()
            self._made_of = made_of
        return self._made.get((kind, str(first), str(last)))

    def _remember(self, kind: str, first: date, last: date, asset: Asset) -> Asset:
        while len(self._made) >= REMEMBERED_MAX:
            del self._made[next(iter(self._made))]
        self._made[kind, str(first), str(last)] = asset
        return asset


def _csv(pieces: list[str]) -> Asset:
    return Asset.of("".join(pieces).encode(), "text/csv; charset=utf-8", _LEVEL)


def _asked(request: web.Request, name: str) -> date | None:
    """A day in the query; None where it is left out."""
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        return _day(text)
    except web.HTTPNotFound:
        raise web.HTTPBadRequest(text=f"{name} is a day, such as 2026-11-30") from None


def _day(text: str) -> date:
    """A day as it stands in an address.

    Raises:
        HTTPNotFound: There is no such day.
    """
    if not _DATE.fullmatch(text) or not text.isascii():
        raise web.HTTPNotFound
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise web.HTTPNotFound from None


def _legal(contacts: Contacts, *, can_report: bool, has_counts: bool) -> str:
    parts: list[str] = []
    if contacts.email:
        address = html.escape(contacts.email)
        parts.append(
            "<h2>Authorities and users</h2><p>Member States’ authorities, the Commission and the Board for Digital "
            "Services, and everybody who uses this server, write to (Regulation (EU) 2022/2065, articles 11 and 12): "
            f'<a href="mailto:{address}">{address}</a></p>'
        )
    if contacts.post:
        parts.append(f"<h2>By post</h2><address>{html.escape(contacts.post)}</address>")
    if contacts.legal_representative:
        parts.append(
            "<h2>Legal representative in the European Union</h2><p>Article 13:</p>"
            f"<address>{html.escape(contacts.legal_representative)}</address>"
        )
    if not parts:
        parts.append("<p>Whoever runs this server has not named a point of contact.</p>")
    if can_report:
        parts.append(
            "<h2>To report something</h2><p>What you watch can be reported where you watch it, with the button "
            "<em>Report</em>, or at <code>/report/</code> and the name of the channel. You need no account.</p>"
        )
    if has_counts:
        parts.append('<p class="ways"><a href="./transparency">What was reported and taken down here</a></p>')
    return "\n    ".join(parts)
