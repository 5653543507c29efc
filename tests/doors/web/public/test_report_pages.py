"""The pages of reports, as a browser without scripts has them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urljoin

import pytest
import pytest_asyncio
from aiohttp import ClientResponse, hdrs

from streamd.services.keys.key_store import KeyStore
from streamd.services.moderation.cases.case_records import Outcome
from streamd.services.moderation.options import ModerationOptions
from tests.support.moderation import MAX, MINA, ModerationHouse
from tests.support.moderation_doors import ModerationDoors

pytestmark = pytest.mark.asyncio

AT = "2025-12-31T23:59:00.000Z"


class Reader(HTMLParser):
    """What a browser makes of a page: elements with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [each for name, each in self.elements if name == tag and wanted.items() <= each.items()]


class Browser:
    """Without scripts, and with the address that it is at."""

    def __init__(self, doors: ModerationDoors) -> None:
        self.doors = doors
        self.at = ""
        self.page = Reader("")
        self.headers: Any = {}
        self.status = 0

    async def get(self, path: str, **headers: str) -> Browser:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.doors.public.get(path, headers=fields) as response:
            await self._take(response)
        return self

    async def send(self, **changes: str) -> Browser:
        """Send the page's form with what was typed; a browser follows what it is answered."""
        (form,) = self.page.all("form", method="post")
        fields = {str(each["name"]): each["value"] or "" for each in self.page.all("input", type="hidden")}
        fields |= {
            str(each["name"]): each["value"] or "" for each in self.page.all("input", type="radio") if "checked" in each
        }
        path = urljoin(self.at, form["action"] or "")
        async with self.doors.public.post(path, data=fields | changes) as response:
            await self._take(response)
        return self

    async def _take(self, response: ClientResponse) -> None:
        self.at, self.status, self.headers = response.url.raw_path_qs, response.status, response.headers
        self.page = Reader(await response.text())


@pytest_asyncio.fixture
async def doors(store: KeyStore) -> AsyncIterator[ModerationDoors]:
    house = await ModerationHouse(store, ModerationOptions(reports_per_address_per_10_min=5)).start()
    house.viewers.live["alice"] = 7
    async with ModerationDoors(house).open() as doors:
        yield doors
    await house.moderation.close()


@pytest.fixture
def browser(doors: ModerationDoors) -> Browser:
    return Browser(doors)


FILLED = {"option": "violence-people", "explanation": "He hits her.", "good_faith": "yes"}


class TestTheForm:
    async def test_it_has_every_reason_and_no_script(self, browser: Browser) -> None:
        await browser.get("/report/alice")
        assert browser.status == 200
        assert "Report alice" in browser.page.text
        assert len(browser.page.all("input", type="radio")) > 25
        assert not browser.page.all("script")
        assert "form-action 'self'" in browser.headers["Content-Security-Policy"]
        assert browser.headers["Referrer-Policy"] == "no-referrer"
        assert browser.headers[hdrs.CACHE_CONTROL] == "no-store"

    async def test_it_is_in_the_readers_language(self, browser: Browser) -> None:
        await browser.get("/report/alice", Accept_Language="id-ID,id;q=0.9,en;q=0.5")
        assert "Laporkan alice" in browser.page.text
        assert browser.page.all("html") == [{"lang": "id"}]
        await browser.get("/report/alice?lang=id")
        await browser.send(**FILLED)
        assert "Laporan Anda" in browser.page.text
        links = {each["lang"]: each["href"] for each in browser.page.all("a") if "lang" in each}
        await browser.get(urljoin(browser.at, links["en"] or ""))
        assert "Your report" in browser.page.text

    async def test_a_report_goes_from_the_form_to_the_case(self, browser: Browser) -> None:
        await browser.get(f"/report/alice?{urlencode({'at': AT})}")
        assert "2025-12-31 23:59:00" in browser.page.text
        await browser.send(**FILLED, contact="Eva")
        assert browser.status == 200
        assert re.search(r"[0-9A-Z]{4}-[0-9A-Z]{2}", browser.page.text)
        case = await browser.doors.house.case()
        (report,) = (await browser.doors.house.moderation.reports.store.reports_of(case.id, limit=5)).items
        assert (report.explanation, report.contact) == ("He hits her.", "Eva")
        assert report.at is not None
        assert report.at.isoformat().startswith("2025-12-31T23:59")
        assert case.viewers == 7

    async def test_what_was_chosen_in_the_player_is_chosen_here(self, browser: Browser) -> None:
        await browser.get("/report/alice?option=violence-people")
        (chosen,) = [each for each in browser.page.all("input", type="radio") if "checked" in each]
        assert chosen["value"] == "violence-people"
        await browser.get("/report/alice?option=hate")
        assert len([each for each in browser.page.all("details") if "open" in each]) == 1

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"option": ""}, "Choose what is wrong"),
            ({"option": "hate"}, "Choose what is wrong"),
            ({"option": "nothing"}, "Choose what is wrong"),
            ({"option": "privacy", "explanation": " "}, "Say in a few words"),
            ({"good_faith": ""}, "Confirm"),
            ({"explanation": "x" * 5001}, "5001 characters"),
        ],
    )
    async def test_what_is_missing_is_said_and_what_was_typed_stays(
        self, browser: Browser, changes: dict[str, str], said: str
    ) -> None:
        await browser.get(f"/report/alice?{urlencode({'at': AT})}")
        await browser.send(**FILLED | {"contact": "Eva"} | changes)
        assert browser.status == 422
        assert said in browser.page.text
        assert browser.page.all("input", id="contact")[0]["value"] == "Eva"
        assert browser.page.all("input", name="at")[0]["value"] == AT
        assert await browser.doors.house.cases() == []
        await browser.send(**FILLED)
        assert len(await browser.doors.house.cases()) == 1

    @pytest.mark.parametrize(
        "at", ["2999-01-01T00:00:00Z", "99999999999999", "x", "0001-01-01T00:00:00+14:00", "\u0661", "NaN", "1e999"]
    )
    async def test_a_time_that_cannot_be_is_no_time(self, browser: Browser, at: str) -> None:
        await browser.get(f"/report/alice?{urlencode({'at': at})}")
        assert browser.page.all("input", name="at")[0]["value"] == ""
        await browser.send(**FILLED | {"at": at})
        assert len(await browser.doors.house.cases()) == 1

    async def test_the_time_of_a_script_is_read_too(self, browser: Browser) -> None:
        await browser.get("/report/alice?at=1767225540000")
        assert browser.page.all("input", name="at")[0]["value"] == AT

    @pytest.mark.parametrize(
        "name", ["%3Cscript%3Ealert(1)%3C%2Fscript%3E", "%E2%80%AEecila", "%00", "x" * 3000, "%22%3E"]
    )
    async def test_a_name_is_text(self, browser: Browser, name: str) -> None:
        evil = '"><script>'
        await browser.get(f"/report/{name}?{urlencode(dict.fromkeys(('at', 'option', 'lang'), evil))}")
        assert not browser.page.all("script")
        assert "\u202e" not in browser.page.text
        await browser.send(**FILLED)
        assert (browser.status, browser.page.all("script")) == (422, [])

    async def test_html_that_was_typed_is_text(self, browser: Browser) -> None:
        await browser.get("/report/alice")
        await browser.send(option="", explanation="</textarea><script>alert(1)</script>", contact='"><img src=x>')
        assert not browser.page.all("script")
        assert not browser.page.all("img")

    async def test_a_name_that_never_was_looks_the_same(self, browser: Browser) -> None:
        texts = []
        for name in ("alice", "never"):
            await browser.get(f"/report/{name}")
            await browser.send(**FILLED)
            texts.append(re.sub(r"[0-9A-Z]{4}-[0-9A-Z]{2}", "REF", browser.page.text))
        assert texts[0] == texts[1]

    async def test_too_many_are_told_in_words(self, browser: Browser) -> None:
        for _ in range(5):
            await browser.get("/report/alice")
            await browser.send(**FILLED)
        await browser.get("/report/alice?lang=id")
        await browser.send(**FILLED)
        assert browser.status == 429
        assert "Tunggu sepuluh menit" in browser.page.text

    async def test_a_form_of_another_site_is_refused(self, doors: ModerationDoors) -> None:
        async with doors.public.post("/report/alice", data=FILLED, headers={"Origin": "https://evil.example"}) as sent:
            assert sent.status == 403
        assert await doors.house.cases() == []

    async def test_what_is_no_form_is_an_empty_one(self, doors: ModerationDoors) -> None:
        async with doors.public.post("/report/alice", json=FILLED) as response:
            assert response.status == 422
        many = urlencode([(f"x{number}", "1") for number in range(1000)])
        headers = {hdrs.CONTENT_TYPE: "application/x-www-form-urlencoded"}
        async with doors.public.post("/report/alice", data=many, headers=headers) as response:
            assert response.status == 422


class TestTheStatus:
    async def reported(self, browser: Browser) -> str:
        await browser.get("/report/alice")
        await browser.send(**FILLED)
        return browser.at

    async def test_it_follows_the_case(self, browser: Browser) -> None:
        at = await self.reported(browser)
        house = browser.doors.house
        found = (await house.case()).id
        assert "waits for a person" in browser.page.text
        await house.moderation.cases.claim(found, by=MINA)
        assert "looking at it" in (await browser.get(at)).page.text
        await house.decide(found, reason="<b>He</b> did.")
        await browser.get(at)
        assert "was taken down" in browser.page.text
        assert "<b>He</b> did." in browser.page.text
        assert "mina" not in browser.page.text

    async def test_a_complaint_is_made_there_and_answered_there(self, browser: Browser) -> None:
        at = await self.reported(browser)
        house = browser.doors.house
        await house.decide((await house.case()).id, outcome=Outcome.NO_ACTION)
        await browser.get(at)
        await browser.send(text=" ")
        assert (browser.status, "Say why" in browser.page.text) == (422, True)
        await browser.send(text="It is no play.")
        assert "Your complaint was received" in browser.page.text
        assert not browser.page.all("form")
        (appeal,) = (await house.moderation.appeals.store.page(limit=5)).items
        await house.moderation.appeals.decide(appeal.id, is_reversed=True, reason="You are right.", by=MAX)
        await browser.get(at)
        assert "waits for a person" in browser.page.text

    async def test_a_manifestly_unfounded_report_is_warned(self, browser: Browser) -> None:
        at = await self.reported(browser)
        house = browser.doors.house
        await house.decide((await house.case()).id, outcome=Outcome.NO_ACTION, is_unfounded=True)
        assert "manifestly unfounded" in (await browser.get(at)).page.text

    @pytest.mark.parametrize(
        "path", ["/report/status/rpt_x?token=y", "/report/status/x", f"/report/status/rpt_{'0' * 26}?token="]
    )
    async def test_what_is_not_there(self, browser: Browser, path: str) -> None:
        await browser.get(path)
        assert (browser.status, "no such report" in browser.page.text) == (404, True)
        async with browser.doors.public.post(path, data={"text": "x"}) as response:
            assert response.status == 404


class TestABroadcastersComplaint:
    async def taken_down(self, browser: Browser) -> str:
        house = browser.doors.house
        await house.report()
        decision = await house.decide((await house.case()).id, reason="He <i>hits</i> her.")
        return f"/appeal/{decision.takedown_id}?token={house.moderation.appeals.token_for(decision.takedown_id)}"

    async def test_it_is_made_and_answered_on_one_page(self, browser: Browser) -> None:
        path = await self.taken_down(browser)
        await browser.get(f"{path}&lang=id")
        assert "alice diturunkan" in browser.page.text
        await browser.get(path)
        assert "alice was taken down" in browser.page.text
        assert "He <i>hits</i> her." in browser.page.text
        assert browser.headers["Referrer-Policy"] == "no-referrer"
        await browser.send(text="")
        assert (browser.status, "Say why" in browser.page.text) == (422, True)
        await browser.send(text="It was a play.")
        assert "Your complaint was received" in browser.page.text
        assert not browser.page.all("form")
        house = browser.doors.house
        (appeal,) = (await house.moderation.appeals.store.page(limit=5)).items
        await house.moderation.appeals.decide(appeal.id, is_reversed=True, reason="You are right.", by=MAX)
        await browser.get(path)
        assert "You are right." in browser.page.text
        assert "The decision was reversed" in browser.page.text

    async def test_twice_is_once(self, browser: Browser) -> None:
        path = await self.taken_down(browser)
        await browser.get(path)
        await browser.send(text="It was a play.")
        async with browser.doors.public.post(path, data={"text": "Again."}) as response:
            assert response.status == 409
            assert "No complaint can be made" in await response.text()

    @pytest.mark.parametrize("path", ["/appeal/dec_x?token=y", "/appeal/x", f"/appeal/tkd_{'0' * 26}?token=ap_"])
    async def test_what_is_not_there(self, browser: Browser, path: str) -> None:
        await browser.get(path)
        assert browser.status == 404
        async with browser.doors.public.post(path, data={"text": "x"}) as response:
            assert response.status == 404


class TestThePlayersButton:
    async def test_it_leads_to_the_page_without_scripts(self, browser: Browser) -> None:
        await browser.get("/watch/alice")
        (link,) = browser.page.all("a", id="report")
        await browser.get(urljoin("/watch/alice", link["href"] or ""))
        assert "Report alice" in browser.page.text

    async def test_recordings_and_clips_have_one(self, browser: Browser) -> None:
        for path, name in ((f"/watch/vod/rec_{'0' * 26}", "rec_"), (f"/clip/clip_{'0' * 26}", "clip_")):
            await browser.get(path)
            (link,) = browser.page.all("a", id="report")
            assert urljoin(path, link["href"] or "").startswith(f"/report/{name}")
