"""Reports as the public sends them: by API, with one answer for what is there and what is not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import hdrs

from streamd.services.keys.key_store import KeyStore
from streamd.services.moderation.cases.case_records import Outcome
from streamd.services.moderation.options import ModerationOptions
from tests.support.moderation import MAX, MINA, ModerationHouse
from tests.support.moderation_doors import ModerationDoors

pytestmark = pytest.mark.asyncio

FLAGGER = "fl_0123456789abcdefghijklmnopqrstuv"
OPTIONS = ModerationOptions(
    reports_per_address_per_10_min=5, trusted_flaggers=(f"Helpline={sha256(FLAGGER.encode()).hexdigest()}",)
)


@pytest_asyncio.fixture
async def doors(store: KeyStore) -> AsyncIterator[ModerationDoors]:
    house = await ModerationHouse(store, OPTIONS).start()
    house.viewers.live["alice"] = 7
    async with ModerationDoors(house).open() as doors:
        yield doors
    await house.moderation.close()


class TestTheMenu:
    async def get(self, doors: ModerationDoors, query: str = "", language: str = "", status: int = 200) -> Any:
        headers = {hdrs.ACCEPT_LANGUAGE: language} if language else {}
        async with doors.public.get(f"/api/v1/report-options{query}", headers=headers) as response:
            assert response.status == status, await response.text()
            assert status != 200 or "Accept-Language" in response.headers[hdrs.VARY]
            return await response.json(content_type=None)

    async def test_a_client_that_knows_nothing_gets_to_a_category(self, doors: ModerationDoors) -> None:
        step = await self.get(doors, "?stream=alice")
        assert (step["text"], step["category"]) == ("What is wrong?", None)
        while step["options"]:
            step = await self.get(doors, f"?stream=alice&option={step['options'][0]['id']}")
        assert (step["category"], step["explanation"]) == ("PROTECTION_OF_MINORS", "optional")
        assert step["specification"] == "KEYWORD_CHILD_SEXUAL_ABUSE_MATERIAL"

    async def test_it_is_in_the_readers_language(self, doors: ModerationDoors) -> None:
        assert (await self.get(doors, language="id-ID,id;q=0.9"))["text"] == "Apa yang salah?"
        assert (await self.get(doors, "?lang=id", "en"))["language"] == "id"
        assert (await self.get(doors, language="tlh"))["language"] == "en"

    async def test_what_is_no_option(self, doors: ModerationDoors) -> None:
        await self.get(doors, "?option=nothing", status=404)
        await self.get(doors, f"?option={'x' * 100}", status=422)
        await self.get(doors, "?option=scam&option=hate", status=422)


class TestReporting:
    async def test_it_is_there_when_it_is_answered(self, doors: ModerationDoors) -> None:
        at = (doors.house.clock.now() - timedelta(minutes=1)).isoformat()
        receipt = await doors.report({"stream": "alice", "explanation": "He hits her.", "at": at})
        assert set(receipt) == {"id", "reference", "status_token", "page"}
        case = await doors.house.case()
        assert (case.target.id, case.viewers) == ("alice", 7)
        async with doors.public.get(receipt["page"]) as page:
            assert receipt["reference"] in await page.text()

    async def test_behind_a_proxy_its_page_is_where_the_proxy_has_put_the_server(self, doors: ModerationDoors) -> None:
        body = {"stream": "alice", "category": "VIOLENCE", "explanation": "He hits her.", "good_faith": True}
        prefix = {"X-Forwarded-Prefix": "/tv"}
        async with doors.public.post("/api/v1/reports", json=body, headers=prefix) as answer:
            assert (await answer.json())["page"].startswith("/tv/report/status/rpt_")

    async def test_a_url_of_the_host_that_it_came_to_is_ours(self, doors: ModerationDoors) -> None:
        url = str(doors.public.make_url("/watch/alice"))
        await doors.report({"url": url})
        await doors.report({"url": "https://live.example.org/watch/alice"})
        assert (await doors.house.case()).reports == 2

    async def test_a_name_that_never_was_is_answered_like_a_quiet_one(self, doors: ModerationDoors) -> None:
        await doors.house.keys.issue("quiet", by=MINA)
        answers = [await doors.report({"stream": name}) for name in ("quiet", "never-was")]
        assert {(len(each["status_token"]), len(each["page"])) for each in answers} == {
            (len(answers[0]["status_token"]), len(answers[0]["page"]))
        }
        standings = []
        for each in answers:
            async with doors.public.get(f"/api/v1/reports/{each['id']}?token={each['status_token']}") as response:
                assert response.status == 200
                standing = await response.json()
                standings.append({name: standing[name] for name in standing if name not in ("id", "reference")})
        assert standings[0] == standings[1]

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({}, "stream, recording, clip or url"),
            ({"stream": "alice", "clip": "x"}, "one of them"),
            ({"url": "https://elsewhere.example/watch/alice"}, "another site"),
            ({"stream": "al\u200bice"}, ""),
            ({"stream": "alice", "category": "BECAUSE"}, "category"),
            ({"stream": "alice", "good_faith": False}, "good_faith"),
            ({"stream": "alice", "explanation": "x" * 5001}, "5000"),
            ({"stream": "alice", "at": "2999-01-01T00:00:00Z"}, "future"),
            ({"stream": "alice", "at": "0001-01-01T00:00:00+14:00"}, "at"),
            ({"stream": "alice", "at": "2026-01-01T00:00:00"}, "at"),
            ({"stream": "alice", "more": 1}, ""),
        ],
    )
    async def test_what_is_no_report(self, doors: ModerationDoors, body: dict[str, Any], said: str) -> None:
        problem = await doors.report(body, status=422)
        assert said in json.dumps(problem)
        assert await doors.house.cases() == []

    async def test_a_megabyte_is_not_read(self, doors: ModerationDoors) -> None:
        await doors.report({"stream": "alice", "explanation": "x" * 1_000_000}, status=413)

    @pytest.mark.parametrize("raw", ["{", "[]", '{"stream": "alice", "stream": "bob"}'])
    async def test_what_is_no_json_object(self, doors: ModerationDoors, raw: str) -> None:
        async with doors.public.post(
            "/api/v1/reports", data=raw, headers={hdrs.CONTENT_TYPE: "application/json"}
        ) as response:
            assert response.status in (400, 422)

    async def test_a_page_of_another_site_reports_nothing(self, doors: ModerationDoors) -> None:
        await doors.report({"stream": "alice"}, status=403, Origin="https://evil.example")

    async def test_past_its_share_an_address_is_told_to_wait(self, doors: ModerationDoors) -> None:
        for _ in range(5):
            await doors.report({"stream": "alice"}, X_Forwarded_For="192.0.2.1")
        async with doors.public.post(
            "/api/v1/reports",
            json={"stream": "alice", "category": "VIOLENCE", "good_faith": True},
            headers={"X-Forwarded-For": "192.0.2.1"},
        ) as response:
            assert (response.status, response.headers[hdrs.RETRY_AFTER]) == (429, "120")
        await doors.report({"stream": "alice"}, X_Forwarded_For="192.0.2.2")

    async def test_a_trusted_flagger_shows_a_token(self, doors: ModerationDoors) -> None:
        for number in range(7):
            await doors.report({"stream": "alice", "explanation": str(number)}, Authorization=f"Bearer {FLAGGER}")
        assert (await doors.house.case()).has_flagger
        await doors.report({"stream": "alice"}, status=401, Authorization="Bearer fl_wrong")

    async def test_it_is_described(self, doors: ModerationDoors) -> None:
        async with doors.public.get("/api/v1/openapi.json") as response:
            paths = (await response.json())["paths"]
        assert {"/api/v1/report-options", "/api/v1/reports", "/api/v1/reports/{id}", "/api/v1/appeals"} <= set(paths)
        assert paths["/api/v1/reports"]["post"]["responses"].keys() >= {"202", "401", "413", "422", "429", "503"}


class TestStandings:
    async def get(self, doors: ModerationDoors, receipt: dict[str, Any], status: int = 200) -> Any:
        headers = {hdrs.AUTHORIZATION: f"Bearer {receipt['status_token']}"}
        async with doors.public.get(f"/api/v1/reports/{receipt['id']}", headers=headers) as response:
            assert response.status == status
            return await response.json(content_type=None)

    async def test_the_reporter_is_told_the_decision_and_may_complain(self, doors: ModerationDoors) -> None:
        receipt = await doors.report({"stream": "alice"})
        assert (await self.get(doors, receipt))["state"] == "received"
        found = (await doors.house.case()).id
        await doors.house.moderation.cases.claim(found, by=MINA)
        assert (await self.get(doors, receipt))["state"] == "under_review"
        await doors.house.decide(found, outcome=Outcome.NO_ACTION)
        standing = await self.get(doors, receipt)
        decision = standing["decision"]
        assert (standing["state"], decision["outcome"], decision["reason"]) == ("decided", "no_action", "It is a play.")
        assert "actor" not in decision
        complaint = {"decision": decision["id"], "token": decision["appeal_token"], "text": "It is no play."}
        async with doors.public.post("/api/v1/appeals", json=complaint) as response:
            assert response.status == 202, await response.text()
            appeal = await response.json()
        standing = await self.get(doors, receipt)
        assert (standing["appeal"]["id"], standing["decision"]["appeal_token"]) == (appeal["id"], None)
        await doors.house.moderation.appeals.decide(appeal["id"], is_reversed=False, reason="It is.", by=MAX)
        assert (await self.get(doors, receipt))["appeal"]["state"] == "upheld"

    async def test_a_wrong_token_is_as_one_that_never_was(self, doors: ModerationDoors) -> None:
        receipt = await doors.report({"stream": "alice"})
        other = await doors.report({"stream": "alice"})
        wrong = await self.get(doors, receipt | {"status_token": other["status_token"]}, status=404)
        none = await self.get(doors, receipt | {"id": f"rpt_{'0' * 26}"}, status=404)
        assert wrong == none
        async with doors.public.get("/api/v1/reports/nothing") as response:
            assert response.status == 404


class TestAppeals:
    async def post(self, doors: ModerationDoors, status: int, **body: Any) -> Any:
        async with doors.public.post("/api/v1/appeals", json=body) as response:
            assert response.status == status, await response.text()
            return await response.json(content_type=None)

    async def test_the_broadcaster_complains_by_the_token_of_the_statement(self, doors: ModerationDoors) -> None:
        await doors.report({"stream": "alice"})
        decision = await doors.house.decide((await doors.house.case()).id)
        token = doors.house.moderation.appeals.token_for(decision.id)
        told = await self.post(doors, 202, decision=decision.id, token=token, text="It was a play.")
        assert told["state"] == "open"
        await self.post(doors, 409, decision=decision.id, token=token, text="Again.")
        await self.post(doors, 404, decision=decision.id, token="ap_wrong", text="x")
        await self.post(doors, 404, decision=f"dec_{'0' * 26}", token=token, text="x")
        await self.post(doors, 422, decision="nothing", token=token, text="x")

    async def test_they_are_bounded_as_reports_are(self, doors: ModerationDoors) -> None:
        for _ in range(5):
            await self.post(doors, 404, decision=f"dec_{'0' * 26}", token="ap_", text="x")
        await self.post(doors, 429, decision=f"dec_{'0' * 26}", token="ap_", text="x")
