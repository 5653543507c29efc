"""What the public can count, over HTTP: a page that needs no script, files, and the points of contact."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.clock import ManualClock
from streamd.doors.web.assets import StaticFiles
from streamd.doors.web.public.counts_page import _round_up, duration
from streamd.doors.web.public.pages import Pages
from streamd.doors.web.public.transparency import REMEMBERED_MAX, Contacts, TransparencyRoutes
from streamd.services.audit.audit_log import AuditLog
from streamd.services.audit.records import AuditEntry
from streamd.services.keys.key_store import KeyStore
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.counts.counts import ACTS
from streamd.services.moderation.counts.public_counts import DAYS_ASKED_MAX, PublicCounts
from tests.support.stores import migrated_sqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TODAY = NOW.date()


class Reader(HTMLParser):
    """What a page has: elements by name, links, and text."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def links(self) -> list[str]:
        return [str(attributes["href"]) for tag, attributes in self.elements if tag == "a"]


@dataclass
class Site:
    """The pages of a server that has counted."""

    store: KeyStore
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    contacts: Contacts = field(default_factory=Contacts)

    def __post_init__(self) -> None:
        self.counts = PublicCounts(self.store.database, self.clock)
        self.routes = TransparencyRoutes(StaticFiles(), lambda: self.contacts, self.counts)
        app = web.Application()
        self.routes.add_to(app)
        self.client: TestClient[web.Request, web.Application] = TestClient(TestServer(app))

    async def note(self, action: str, day: date = TODAY, count: int = 1, **details: Any) -> None:
        at = datetime(day.year, day.month, day.day, 10, tzinfo=UTC)
        reason = ActDetails(**details).text("words of nobody's business: 192.0.2.7")
        await AuditLog(self.store.database).append([AuditEntry(at, "mo", action, reason=reason, count=count)])
        await self.counts.catch_up()

    async def get(self, path: str, status: int = 200) -> tuple[str, Any]:
        async with self.client.get(path) as response:
            text = await response.text()
            assert response.status == status, text
            return text, response.headers

    async def page(self, path: str) -> Reader:
        text, headers = await self.get(path)
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        reader = Reader()
        reader.feed(text)
        assert not [tag for tag, attributes in reader.elements if tag == "script" or "style" in attributes]
        assert "192.0.2.7" not in text
        assert not re.search(r"\bmo\b", reader.text)
        return reader


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    store = KeyStore(migrated_sqlite(tmp_path / "streamd.db"))
    await store.start()
    site = Site(store)
    await site.counts.catch_up()
    async with site.client:
        yield site
    await store.close()


async def test_the_page_has_a_bar_and_a_line_a_day_and_the_numbers(site: Site) -> None:
    await site.note("report.received", TODAY - timedelta(days=9), 7, category="VIOLENCE")
    await site.note("takedown.made", TODAY, 3, category="SCAMS_AND_FRAUD")
    await site.note("case.decided", TODAY, category="VIOLENCE", seconds=95)
    page = await site.page("/transparency")
    bars = [
        attributes
        for tag, attributes in page.elements
        if tag == "rect" and "height" in attributes and attributes.get("y")
    ]
    assert len(bars) == 2 * 10
    assert {tag for tag, _ in page.elements} >= {"svg", "title", "table", "caption"}
    assert "21 November 2026: 7 reports" in page.text
    assert "30 November 2026: 3 takedowns" in page.text
    assert "violence" in page.text
    assert "scams and fraud" in page.text
    assert "1 min" in page.text
    assert f"./transparency/{TODAY}" in page.links
    svg = next(attributes for tag, attributes in page.elements if tag == "svg" and attributes.get("role") == "img")
    assert svg["aria-label"]


async def test_the_page_of_a_day(site: Site) -> None:
    await site.note(
        "report.received", TODAY - timedelta(days=1), 2, category="SELF_HARM", source_type="SOURCE_ARTICLE_16"
    )
    await site.note("takedown.made", TODAY - timedelta(days=1), territorial_scope=("DE",), ground="ILLEGAL_CONTENT")
    page = await site.page(f"/transparency/{TODAY - timedelta(days=1)}")
    assert "self-harm" in page.text
    assert "anybody" in page.text
    assert "DE" in page.text
    assert f"./{TODAY}" in page.links
    assert "goes on" not in page.text
    assert "goes on" in (await site.page(f"/transparency/{TODAY}")).text


async def test_a_day_as_json_says_whether_it_is_over(site: Site) -> None:
    await site.note("report.received", TODAY, 4, category="VIOLENCE")
    text, headers = await site.get(f"/transparency/{TODAY}.json")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Content-Type"].startswith("application/json")
    async with site.client.get(f"/transparency/{TODAY}.json") as response:
        found = await response.json()
    assert (found["date"], found["complete"]) == (str(TODAY), False)
    assert found["reports"] == {
        "total": 4,
        "by_category": {"VIOLENCE": 4},
        "by_country": {"everywhere": 4},
        "by_automated_detection": {"no": 4},
    }
    assert set(found) == {"date", "complete", *ACTS.values()}
    site.clock.advance(86_400)
    async with site.client.get(f"/transparency/{TODAY}.json") as response:
        assert (await response.json())["complete"]
    assert text


async def test_days_as_csv(site: Site) -> None:
    for number in range(5):
        await site.note("takedown.made", TODAY - timedelta(days=number), number + 1, category="VIOLENCE")
    first, last = TODAY - timedelta(days=3), TODAY - timedelta(days=1)
    text, headers = await site.get(f"/transparency.csv?from={first}&to={last}")
    assert headers["Content-Disposition"] == f'attachment; filename="transparency-{first}-{last}.csv"'
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sorted({row["date"] for row in rows}) == [str(first + timedelta(days=number)) for number in range(3)]
    by_day = {row["date"]: row["count"] for row in rows if (row["what"], row["by"]) == ("takedowns", "category")}
    assert by_day == {str(TODAY - timedelta(days=number)): str(number + 1) for number in (1, 2, 3)}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/transparency/2026-11-31", 404),
        ("/transparency/2026-12-01", 404),
        ("/transparency/0000-00-00.json", 404),
        ("/transparency/2019-01-01", 404),
        ("/transparency/٢٠٢٦-11-30", 404),
        ("/transparency?until=1066-10-14", 404),
        ("/transparency?until=tomorrow", 404),
        ("/transparency.csv?from=yesterday", 400),
        ("/transparency.csv?from=2026-11-30&to=2026-11-29", 400),
        ("/transparency.csv?from=0001-01-01&to=9999-12-31", 400),
        ("/transparency.csv?to=0001-01-05", 400),
        ("/transparency.csv?from=0001-01-01&to=0001-01-01", 200),
        ("/transparency.csv?from=9999-12-31&to=9999-12-31", 200),
        ("/transparency/0001-01-01.json", 404),
        ("/transparency?until=9999-12-31", 404),
    ],
)
async def test_days_that_are_none(site: Site, path: str, status: int) -> None:
    await site.get(path, status)


async def test_what_is_remembered_is_bounded_and_made_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.note("report.received", TODAY - timedelta(days=3 * REMEMBERED_MAX))
    made = 0
    page = StaticFiles.page

    def count(self: StaticFiles, *args: Any, **values: Any) -> Any:
        nonlocal made
        made += 1
        return page(self, *args, **values)

    monkeypatch.setattr(StaticFiles, "page", count)
    for _ in range(5):
        await site.get("/transparency")
    assert made == 1
    for number in range(2 * REMEMBERED_MAX):
        await site.get(f"/transparency?until={TODAY - timedelta(days=number)}")
        await site.get(f"/transparency.csv?to={TODAY - timedelta(days=number)}")
    assert len(site.routes._made) <= REMEMBERED_MAX
    assert site.routes.held_bytes
    await site.note("report.received")
    made = 0
    assert "2" in (await site.page("/transparency")).text
    assert made == 1


async def test_a_year_is_the_most_of_one_file(site: Site) -> None:
    await site.note("report.received", TODAY - timedelta(days=2 * DAYS_ASKED_MAX))
    first = TODAY - timedelta(days=DAYS_ASKED_MAX - 1)
    text, _ = await site.get(f"/transparency.csv?from={first}&to={TODAY}")
    assert len({line.split(",")[0] for line in text.splitlines()[1:]}) == DAYS_ASKED_MAX
    await site.get(f"/transparency.csv?from={first - timedelta(days=1)}&to={TODAY}", 400)


async def test_a_value_that_somebody_made_up_is_text(site: Site) -> None:
    await site.note("report.received", category="<script>alert(1)</script>")
    text, _ = await site.get("/transparency")
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text


async def test_the_points_of_contact(site: Site) -> None:
    text, headers = await site.get("/legal")
    assert "has not named" in text
    site.contacts = Contacts("dsa@example.org", "A Street 1\n1000 Town", "Somebody <GmbH>")
    text, headers = await site.get("/legal")
    assert 'href="mailto:dsa@example.org"' in text
    assert "A Street 1\n1000 Town" in text
    assert "Somebody &lt;GmbH&gt;" in text
    assert "/report/" in text
    assert "./transparency" in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]


async def test_without_counts_there_is_the_contact_alone(site: Site) -> None:
    app = web.Application()
    TransparencyRoutes(StaticFiles(), Contacts, None).add_to(app)
    async with TestClient(TestServer(app)) as client:
        for path, status in (("/legal", 200), ("/transparency", 404), (f"/transparency/{TODAY}.json", 404)):
            async with client.get(path) as response:
                assert response.status == status
                assert "transparency" not in await response.text()


@pytest.mark.parametrize("has_list", [True, False])
async def test_the_first_page_leads_there(has_list: bool) -> None:
    for more, links in (
        ({}, []),
        ({"Contact": "legal", "Transparency": "transparency"}, ["./legal", "./transparency"]),
    ):
        app = web.Application()
        Pages(has_list=has_list, more=more).add_to(app)
        async with TestClient(TestServer(app)) as client, client.get("/") as response:
            reader = Reader()
            reader.feed(await response.text())
        assert [link for link in reader.links if link in ("./legal", "./transparency")] == links


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "1 h 0 min"), (200_000, "2 days")]
)
async def test_lengths_of_time(seconds: int, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 99, 1000, 123_456, 10**9])
async def test_the_top_of_a_chart_is_round_and_not_far_above(count: int) -> None:
    top = _round_up(count)
    assert count <= top <= max(10, 2 * count)
    assert top % 2 == 0
