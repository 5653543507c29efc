"""The assistant: what it is told, and what it may answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from streamd.clock import ManualClock
from streamd.errors import AssistantError, ReceiverUnreachableError
from streamd.services.events.sender import ReceiverAnswer
from streamd.services.moderation.categories import Category
from streamd.services.moderation.machine.assistant import (
    ANSWER_BYTES_MAX,
    ANSWER_S,
    QUESTION_CHARS_MAX,
    REST_S,
    REST_S_MAX,
    SUMMARY_CHARS_MAX,
    WAITING_MAX,
    Assistant,
    AssistantOptions,
    question,
    read_answer,
)
from streamd.services.moderation.machine.drafts import CaseFacts
from streamd.services.moderation.machine.findings import FindingSource, PictureFinding, Suggestion
from streamd.services.moderation.machine.sight import Look

AT = datetime(2026, 11, 30, tzinfo=UTC)
FACTS = CaseFacts("case_1", "demo", Category.VIOLENCE, AT, explanations=("they fight",), reports=2)
FINDING = PictureFinding(
    "f", "case_1", "demo", AT, FindingSource.REPORT, Look(words=("FIGHT CLUB",)), signs=("blood 0.90",)
)
SAID = {"category": "SELF_HARM", "priority": 1, "summary": "A person is hurt."}


def completion(content: object) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


class FakeSender:
    """Answers what it is given."""

    def __init__(self, *answers: ReceiverAnswer | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any], Mapping[str, str], float, int]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, answer_bytes_max: int = 0
    ) -> ReceiverAnswer:
        self.asked.append((url, json.loads(body), headers, timeout_s, answer_bytes_max))
        await self.may_answer.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def assistant_of(sender: FakeSender, clock: ManualClock | None = None, **options: str) -> Assistant:
    known = {"url": "https://assistant.example/v1"} | options
    return Assistant(AssistantOptions(**known), sender, clock or ManualClock())


GOOD = ReceiverAnswer(200, body=completion(json.dumps(SAID)))


class TestTheQuestion:
    def test_goes_to_the_chat_completions_with_the_key(self) -> None:
        sender = FakeSender(GOOD)
        suggestion = asyncio.run(assistant_of(sender, key="secret", model="small").suggest(FACTS, FINDING))
        assert suggestion == Suggestion(Category.SELF_HARM, 2.0, "A person is hurt.")
        ((url, body, headers, timeout_s, bytes_max),) = sender.asked
        assert url == "https://assistant.example/v1/chat/completions"
        assert headers["Authorization"] == "Bearer secret"
        assert (timeout_s, bytes_max) == (ANSWER_S, ANSWER_BYTES_MAX + 1)
        assert body["model"] == "small"
        case = json.loads(body["messages"][1]["content"])
        assert case == {
            "channel": "demo",
            "category": "VIOLENCE",
            "reports": 2,
            "explanations": ["they fight"],
            "found": ["blood 0.90"],
            "words_in_picture": ["FIGHT CLUB"],
        }

    @pytest.mark.parametrize(
        "url", ["https://a.example/v1", "https://a.example/v1/", "https://a.example/v1/chat/completions"]
    )
    def test_goes_to_the_same_place_however_it_is_named(self, url: str) -> None:
        assert AssistantOptions(url).endpoint == "https://a.example/v1/chat/completions"

    def test_has_neither_a_key_nor_a_model_that_is_not_named(self) -> None:
        sender = FakeSender(GOOD)
        asyncio.run(assistant_of(sender).suggest(FACTS, None))
        ((_, body, headers, _, _),) = sender.asked
        assert "model" not in body
        assert "Authorization" not in headers

    def test_is_bounded_whatever_a_crowd_writes(self) -> None:
        facts = CaseFacts("c", "demo", Category.VIOLENCE, AT, explanations=("\U0001f600" * 10_000,) * 1000)
        finding = PictureFinding(
            "f", "c", "d", AT, FindingSource.SCAN, Look(words=("w" * 200,) * 50), signs=("s" * 200,) * 90
        )
        content = question(facts, finding, "")["messages"][1]["content"]
        assert len(content) <= QUESTION_CHARS_MAX
        assert json.loads(content)["explanations"], "a bit of each is said"


class TestAnAnswer:
    @pytest.mark.parametrize(
        "content",
        [json.dumps(SAID), f"```json\n{json.dumps(SAID)}\n```", f"Here it is:\n```\n{json.dumps(SAID)}\n```\nDone."],
    )
    def test_is_an_object_with_or_without_fences(self, content: str) -> None:
        assert read_answer(completion(content)).category is Category.SELF_HARM

    @pytest.mark.parametrize(("priority", "factor"), [(0, 0.5), (0.5, 1.0), (1, 2.0)])
    def test_moves_a_case_by_two_at_most(self, priority: float, factor: float) -> None:
        assert read_answer(completion(json.dumps({"priority": priority}))).factor == factor

    @pytest.mark.parametrize("priority", [2, -1, 10**400, float("nan"), float("inf"), True, "1", None, [1]])
    def test_has_no_other_priority(self, priority: object) -> None:
        said = {"priority": priority, "summary": "s"}
        assert read_answer(completion(json.dumps(said))) == Suggestion(summary="s")

    @pytest.mark.parametrize("category", ["CATS", 7, None, "mro", "__class__", "violence"])
    def test_has_no_other_category(self, category: object) -> None:
        assert read_answer(completion(json.dumps({"category": category, "summary": "s"}))).category is None

    def test_has_a_summary_that_fits_and_can_be_read(self) -> None:
        said = {"summary": f"\u202eevil\u200b\x00 \ud800{'x' * 100_00}"}
        summary = read_answer(completion(json.dumps(said))).summary
        assert summary.startswith("evil ?x")
        assert len(summary) == SUMMARY_CHARS_MAX

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"<!doctype html><title>Sign in</title>", "HTML"),
            (b"  \n<html>", "HTML"),
            (b"", "its answer is no JSON"),
            (b"\xff\xfe", "its answer is no JSON"),
            (b"[" * 60_000, "its answer is no JSON"),
            (b"[]", "no JSON object"),
            (b'{"error": "no"}', "without choices"),
            (b'{"choices": []}', "without choices"),
            (b'{"choices": [null]}', "without choices"),
            (completion(None), "without text"),
            (completion([{"type": "text"}]), "without text"),
            (completion("I cannot help with that."), "what it wrote is no JSON"),
            (completion("[1]"), "what it wrote is no JSON object"),
            (completion("{}"), "neither"),
            (b" " * (ANSWER_BYTES_MAX + 1), "more than"),
        ],
    )
    def test_of_another_kind_is_refused(self, body: bytes, reason: str) -> None:
        with pytest.raises(AssistantError, match=reason):
            read_answer(body)


class TestAServiceThatFails:
    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (ReceiverUnreachableError("no answer within 20 s"), "no answer"),
            (ReceiverAnswer(503), "HTTP 503"),
            (ReceiverAnswer(302, location="http://169.254.169.254/"), "HTTP 302"),
            (ReceiverAnswer(200, body=b"<html>"), "HTML"),
        ],
    )
    def test_rests_and_is_asked_again(self, answer: ReceiverAnswer | Exception, reason: str) -> None:
        async def use() -> None:
            clock, sender = ManualClock(), FakeSender(answer, answer, GOOD)
            assistant = assistant_of(sender, clock)
            for rest_s in (REST_S, 2 * REST_S):
                with pytest.raises(AssistantError, match=reason):
                    await assistant.suggest(FACTS, None)
                clock.advance(rest_s - 0.001)
                assert await assistant.suggest(FACTS, None) is None
                clock.advance(0.001)
            assert await assistant.suggest(FACTS, None) is not None
            assert len(sender.asked) == 3

        asyncio.run(use())

    def test_rests_ten_minutes_at_most(self) -> None:
        async def use() -> None:
            clock, sender = ManualClock(), FakeSender(ReceiverAnswer(500))
            assistant = assistant_of(sender, clock)
            for _ in range(20):
                with pytest.raises(AssistantError):
                    await assistant.suggest(FACTS, None)
                clock.advance(REST_S_MAX)

        asyncio.run(use())

    def test_that_hangs_is_waited_for_by_so_many_and_asked_one_at_a_time(self) -> None:
        async def use() -> None:
            sender = FakeSender(GOOD)
            sender.may_answer.clear()
            assistant = assistant_of(sender)
            waiting = [asyncio.create_task(assistant.suggest(FACTS, None)) for _ in range(WAITING_MAX)]
            await asyncio.sleep(0)
            assert await assistant.suggest(FACTS, None) is None, "a case more has no suggestion"
            assert len(sender.asked) == 1
            sender.may_answer.set()
            assert all(await asyncio.gather(*waiting))
            assert len(sender.asked) == WAITING_MAX

        asyncio.run(use())

    def test_is_not_asked_by_those_who_waited_while_it_failed(self) -> None:
        async def use() -> None:
            sender = FakeSender(ReceiverAnswer(500))
            sender.may_answer.clear()
            assistant = assistant_of(sender)
            waiting = [asyncio.create_task(assistant.suggest(FACTS, None)) for _ in range(3)]
            await asyncio.sleep(0)
            sender.may_answer.set()
            first, *others = await asyncio.gather(*waiting, return_exceptions=True)
            assert isinstance(first, AssistantError)
            assert others == [None, None]
            assert len(sender.asked) == 1

        asyncio.run(use())
