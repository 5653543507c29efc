"""Cases over the admin API: who may do what, what is told, and how soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import hdrs

from streamd.services.keys.key_store import KeyStore
from streamd.services.moderation.categories import Category
from streamd.services.moderation.options import ModerationOptions
from streamd.services.operators.roles import Role
from tests.support.moderation import MINA, STATEMENT, ModerationHouse
from tests.support.moderation_doors import TOKEN, ModerationDoors
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.asyncio

DECISION = {"outcome": "taken_down", "statement": STATEMENT}


@pytest_asyncio.fixture
async def doors(store: KeyStore) -> AsyncIterator[ModerationDoors]:
    house = await ModerationHouse(store, ModerationOptions(reports_per_address_per_10_min=1000)).start()
    async with ModerationDoors(house).open() as doors:
        yield doors
    await house.moderation.close()


async def case_id(doors: ModerationDoors, **more: Any) -> str:
    await doors.house.report(**more)
    return (await doors.house.cases())[0].id


class TestTheQueue:
    async def test_the_most_urgent_come_first(self, doors: ModerationDoors) -> None:
        for category in (Category.OTHER_VIOLATION_TC, Category.PROTECTION_OF_MINORS, Category.VIOLENCE):
            await doors.house.report(category=category)
        page = await doors.act("GET", "/api/v1/cases?limit=2")
        assert [case["category"] for case in page["cases"]] == ["PROTECTION_OF_MINORS", "VIOLENCE"]
        rest = await doors.act("GET", f"/api/v1/cases?limit=2&after={page['next_after']}")
        assert ([case["category"] for case in rest["cases"]], rest["next_after"]) == (["OTHER_VIOLATION_TC"], None)
        shown = page["cases"][0]
        assert shown["target"] == {"kind": "channel", "id": "alice", "channel": "alice", "path": "/watch/alice"}
        assert (shown["title"], shown["priority"], shown["state"]) == ("protection of minors", 10.0, "open")

    async def test_a_case_is_found_by_what_a_reporter_says_aloud(self, doors: ModerationDoors) -> None:
        receipt = await doors.house.report()
        await doors.house.report(category=Category.SELF_HARM)
        for said in (receipt.reference, receipt.reference.lower().replace("-", "")):
            (case,) = (await doors.act("GET", f"/api/v1/cases?reference={said}"))["cases"]
            assert case["category"] == "VIOLENCE"
        assert (await doors.act("GET", "/api/v1/cases?reference=0000-00"))["cases"] == []
        await doors.act("GET", "/api/v1/cases?reference=%25", status=422)

    @pytest.mark.parametrize("query", ["state=nothing", "order=best", "after=x", "limit=0", "channel=%3Cb%3E", "x=1"])
    async def test_what_is_no_query(self, doors: ModerationDoors, query: str) -> None:
        await doors.act("GET", f"/api/v1/cases?{query}", status=422)


class TestOneCase:
    async def test_it_shows_all_that_there_is(self, doors: ModerationDoors) -> None:
        receipt = await doors.house.report(explanation="<b>He</b> hits her.", contact="Eva")
        found = (await doors.house.case()).id
        await doors.act("POST", f"/api/v1/cases/{found}/note", body={"text": "Seen before."})
        await doors.act("POST", f"/api/v1/cases/{found}/decide", body=DECISION)
        case = await doors.act("GET", f"/api/v1/cases/{found}")
        (report,) = case["newest_reports"]
        assert (report["reference"], report["explanation"], report["contact"]) == (
            receipt.reference, "<b>He</b> hits her.", "Eva",
        )  # fmt: skip
        assert [act["act"] for act in case["history"]] == ["opened", "noted", "decided"]
        (decision,) = case["decisions"]
        assert decision["statement"]["decision_ground"] == "DECISION_GROUND_ILLEGAL_CONTENT"
        assert (decision["actor"], case["decision"]) == ("root", decision["id"])

    async def test_how_to_reach_a_reporter_is_for_those_who_decide(self, doors: ModerationDoors) -> None:
        found = await case_id(doors, contact="Eva")
        contacts = {}
        for role in (Role.MODERATOR, Role.AUDITOR, Role.OPERATOR):
            token = await doors.add(role.value + "-1", role)
            case = await doors.act("GET", f"/api/v1/cases/{found}", token)
            page = await doors.act("GET", f"/api/v1/cases/{found}/reports", token)
            contacts[role] = case["newest_reports"][0]["contact"], page["reports"][0]["contact"]
        assert contacts == {
            Role.MODERATOR: ("Eva", "Eva"), Role.AUDITOR: ("", ""), Role.OPERATOR: ("", ""),
        }  # fmt: skip

    async def test_its_reports_come_in_pages(self, doors: ModerationDoors) -> None:
        found = [await case_id(doors, number=number) for number in range(5)][-1]
        path, after, seen = f"/api/v1/cases/{found}/reports", "", 0
        while True:
            page = await doors.act("GET", f"{path}?limit=2&after={after}")
            seen += len(page["reports"])
            if page["next_after"] is None:
                break
            after = page["next_after"]
        assert seen == 5

    @pytest.mark.parametrize("wrong", ["x", f"case_{'0' * 26}", "case_%00"])
    async def test_one_that_is_not_there(self, doors: ModerationDoors, wrong: str) -> None:
        await doors.act("GET", f"/api/v1/cases/{wrong}", status=404)
        for act, body in (("claim", {}), ("note", {"text": "x"}), ("decide", DECISION), ("reopen", {})):
            await doors.act("POST", f"/api/v1/cases/{wrong}/{act}", body=body, status=404)


class TestDeciding:
    async def test_two_moderators_never_decide_over_each_other(self, doors: ModerationDoors) -> None:
        found = await case_id(doors)
        mina, max_ = await doors.add("mina"), await doors.add("max")

        async def decide(token: str) -> int:
            async with doors.ask("POST", f"/api/v1/cases/{found}/decide", token, DECISION) as response:
                return int(response.status)

        assert sorted(await asyncio.gather(decide(mina), decide(max_))) == [200, 409]
        assert len(doors.house.takedowns.done) == 1
        decided = doors.house.takedowns.done[0][2]
        problem = await doors.act("POST", f"/api/v1/cases/{found}/decide", mina, DECISION, status=409)
        assert decided in problem["detail"]

    async def test_a_case_that_another_has(self, doors: ModerationDoors) -> None:
        found = await case_id(doors)
        mina, max_ = await doors.add("mina"), await doors.add("max")
        await doors.act("POST", f"/api/v1/cases/{found}/claim", mina)
        await doors.act("POST", f"/api/v1/cases/{found}/claim", max_, status=409)
        await doors.act("POST", f"/api/v1/cases/{found}/decide", max_, DECISION, status=409)
        taken = await doors.act("POST", f"/api/v1/cases/{found}/claim", max_, {"take_over": True})
        assert (taken["state"], taken["claimed_by"]) == ("claimed", "max")
        await doors.act("POST", f"/api/v1/cases/{found}/decide", max_, DECISION)

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"outcome": "taken_down"},
            {"outcome": "taken_down", "statement": {}},
            {"outcome": "taken_down", "statement": STATEMENT | {"decision_ground": None}},
            {"outcome": "taken_down", "statement": {"decision_facts": "He did."}},
            {"outcome": "no_action"},
            {"outcome": "perhaps"},
            DECISION | {"target": "https://elsewhere.example/watch/alice"},
            DECISION | {"reason": "x" * 2001},
        ],
    )
    async def test_a_decision_without_a_ground_or_a_reason(self, doors: ModerationDoors, body: dict[str, Any]) -> None:
        found = await case_id(doors)
        await doors.act("POST", f"/api/v1/cases/{found}/decide", body=body, status=422)
        assert doors.house.takedowns.done == []

    async def test_more_than_was_reported(self, doors: ModerationDoors) -> None:
        found = await case_id(doors)
        body = DECISION | {"target": "https://live.example.org/watch/bob"}
        await doors.act("POST", f"/api/v1/cases/{found}/decide", body=body)
        assert doors.house.takedowns.done[0][0].id == "bob"

    async def test_more_is_named_as_the_moderator_sees_it(self, doors: ModerationDoors) -> None:
        """By the host under which they reach the server, as a takedown without a case is."""
        found = await case_id(doors)
        headers = {hdrs.AUTHORIZATION: f"Bearer {TOKEN}", hdrs.HOST: "192.0.2.80:8081"}
        body = DECISION | {"target": "http://192.0.2.80/watch/bob"}
        async with doors.admin.post(f"/api/v1/cases/{found}/decide", json=body, headers=headers) as answer:
            assert answer.status == 200
        assert doors.house.takedowns.done[0][0].id == "bob"

    async def test_reopening(self, doors: ModerationDoors) -> None:
        found = await case_id(doors)
        await doors.act("POST", f"/api/v1/cases/{found}/reopen", body={"reason": "x"}, status=409)
        await doors.act("POST", f"/api/v1/cases/{found}/decide", body={"outcome": "no_action", "reason": "A play."})
        opened = await doors.act("POST", f"/api/v1/cases/{found}/reopen", body={"reason": "No play."})
        assert opened["state"] == "open"

    async def test_keys_are_none_of_a_moderators_and_cases_none_of_others(self, doors: ModerationDoors) -> None:
        found = await case_id(doors)
        mina = await doors.add("mina")
        await doors.act("POST", "/api/v1/keys", mina, {"user": "alice"}, status=403)
        for role in (Role.OPERATOR, Role.AUDITOR):
            token = await doors.add(role.value + "-1", role)
            await doors.act("POST", f"/api/v1/cases/{found}/decide", token, DECISION, status=403)
        await doors.operators.revoke("mina", by=MINA)
        await doors.act("POST", f"/api/v1/cases/{found}/decide", mina, DECISION, status=401)


class TestAppeals:
    async def test_the_moderator_of_the_first_decision_does_not_decide_it(self, doors: ModerationDoors) -> None:
        found = await case_id(doors)
        mina, max_ = await doors.add("mina"), await doors.add("max")
        decision = await doors.act("POST", f"/api/v1/cases/{found}/decide", mina, DECISION)
        appeals = doors.house.moderation.appeals
        await appeals.file(decision["id"], appeals.token_for(decision["id"]), "It was a play.")
        (appeal,) = (await doors.act("GET", "/api/v1/appeals", mina))["appeals"]
        assert (appeal["party"], appeal["text"]) == ("broadcaster", "It was a play.")
        path, body = f"/api/v1/appeals/{appeal['id']}/decide", {"outcome": "reversed", "reason": "It was."}
        await doors.act("POST", path, mina, body, status=403)
        assert doors.house.takedowns.restored == []
        decided = await doors.act("POST", path, max_, body)
        assert (decided["state"], decided["decided_by"]) == ("reversed", "max")
        assert doors.house.takedowns.restored == [(decision["takedown"], "max", "It was.")]
        await doors.act("POST", path, max_, body, status=409)
        assert (await doors.act("GET", "/api/v1/appeals"))["appeals"] == []
        assert len((await doors.act("GET", "/api/v1/appeals?state=reversed"))["appeals"]) == 1

    @pytest.mark.parametrize("body", [{}, {"outcome": "open", "reason": "x"}, {"outcome": "upheld"}])
    async def test_what_is_no_decision(self, doors: ModerationDoors, body: dict[str, Any]) -> None:
        await doors.act("POST", f"/api/v1/appeals/apl_{'0' * 26}/decide", body=body, status=422)

    async def test_one_that_is_not_there(self, doors: ModerationDoors) -> None:
        body = {"outcome": "upheld", "reason": "x"}
        await doors.act("POST", f"/api/v1/appeals/apl_{'0' * 26}/decide", body=body, status=404)


class TestEvents:
    async def test_a_console_hears_of_a_report_with_the_report(self, doors: ModerationDoors) -> None:
        """Not at the next look of a second: nothing here ticks."""
        async with doors.ask("GET", "/api/v1/events") as stream, asyncio.timeout(PATIENCE_S):
            await doors.report({"stream": "never-was"})
            await doors.house.report()
            lines = []
            while b"event: cases\n" not in lines:
                lines.append(await stream.content.readline())
            assert await stream.content.readline() == b"data: 1\n"
