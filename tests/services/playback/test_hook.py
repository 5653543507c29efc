"""The operator's service that says who may watch."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Mapping

import pytest

from streamd.clock import ManualClock
from streamd.errors import PlaybackRefusedError, ReceiverUnreachableError
from streamd.services.events.sender import ReceiverAnswer
from streamd.services.playback import hook
from streamd.services.playback.hook import ANSWER_S, HookVerdict, PlaybackHookOptions, ViewerHook
from streamd.services.playback.visitor import Visitor

pytestmark = pytest.mark.asyncio
SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"
VISITOR = Visitor("192.0.2.7", "https://example.org/", "player/1")


class Service:
    """Answers as it is told."""

    def __init__(self) -> None:
        self.answer: ReceiverAnswer | Exception = ReceiverAnswer(200)
        self.bodies: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, answer_bytes_max: int = 0
    ) -> ReceiverAnswer:
        self.bodies.append(body)
        await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class House:
    def __init__(self, *, allows_on_failure: bool = False) -> None:
        self.clock, self.service = ManualClock(), Service()
        options = PlaybackHookOptions("https://hook.example/", SECRET, allows_on_failure)
        self.withdrawn_at = {"demo": 0, "other": 0}
        self.hook = ViewerHook(
            options,
            self.service,
            self.clock,
            lambda channel, owner: max(self.withdrawn_at[channel], self.withdrawn_at.get(owner, 0)),
        )

    async def ask(self, visitor: Visitor = VISITOR, **changes: str) -> HookVerdict:
        facts = {"channel": "demo", "token": "", "query": "a=b", "owner": ""} | changes
        return await self.hook.ask(facts["channel"], visitor, facts["token"], facts["query"], owner=facts["owner"])

    async def refused(self) -> tuple[int, str]:
        with pytest.raises(PlaybackRefusedError) as refused:
            await self.ask()
        return refused.value.status, refused.value.reason


async def test_what_it_is_told() -> None:
    house = House()
    await house.ask(token="t")
    said = json.loads(house.service.bodies[0])
    assert said["type"] == "playback.requested"
    assert said["data"] == {
        "channel": "demo", "address": "192.0.2.7", "user_agent": "player/1", "referrer": "https://example.org/",
        "token": "t", "query": "a=b",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (b"", HookVerdict(True)), (b"{}", HookVerdict(True)), (b'{"ttl_s": 60, "max": 2}', HookVerdict(True, 60, 2)),
        (b'{"ttl_s": null, "else": 1}', HookVerdict(True)),
    ],
)  # fmt: skip
async def test_what_it_says(body: bytes, verdict: HookVerdict) -> None:
    house = House()
    house.service.answer = ReceiverAnswer(200, body=body)
    assert await house.ask() == verdict


async def test_it_is_asked_once_for_a_while() -> None:
    house = House()
    for _ in range(5):
        await house.ask()
    house.clock.advance(ANSWER_S)
    await house.ask()
    await house.ask(channel="other")
    assert len(house.service.bodies) == 3


async def test_what_it_said_before_a_channel_was_withdrawn_is_asked_anew() -> None:
    house = House()
    await house.ask()
    await house.ask(channel="other")
    house.withdrawn_at["demo"] = 1
    await house.ask()
    await house.ask(channel="other")
    assert [json.loads(body)["data"]["channel"] for body in house.service.bodies] == ["demo", "other", "demo"]


async def test_a_crowd_that_asks_the_same_is_one_question() -> None:
    house = House()
    house.service.gate.clear()
    asked = [asyncio.create_task(house.ask()) for _ in range(100)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    house.service.gate.set()
    await asyncio.gather(*asked)
    assert len(house.service.bodies) == 1


async def test_a_refusal_is_remembered() -> None:
    house = House()
    house.service.answer = ReceiverAnswer(403, body=b"x" * 100)
    assert await house.refused() == (403, "forbidden")
    assert await house.refused() == (403, "forbidden")
    assert len(house.service.bodies) == 1


FAILURES = [
    ReceiverUnreachableError("no answer within 3 s"), ReceiverAnswer(500), ReceiverAnswer(302, location="http://a/"),
    ReceiverAnswer(200, body=b"x" * 4096), ReceiverAnswer(200, body=b"[]"), ReceiverAnswer(200, body=b'{"ttl_s": "1"}'),
    ReceiverAnswer(200, body=b'{"ttl_s": 0}'), ReceiverAnswer(200, body=b'{"ttl_s": 1e400}'),
    ReceiverAnswer(200, body=b'{"max": -1}'), ReceiverAnswer(200, body=b'{"max": true}'),
    ReceiverAnswer(200, body=b"[" * 4000),
]  # fmt: skip


@pytest.mark.parametrize("answer", FAILURES)
async def test_what_is_no_answer_refuses(answer: ReceiverAnswer | Exception, caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    house.service.answer = answer
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            assert await house.refused() == (503, "undecided")
    assert [record.msg for record in caplog.records] == ["playback_hook.failed"]


@pytest.mark.parametrize("answer", FAILURES)
async def test_or_lets_in_where_the_operator_wants_it(answer: ReceiverAnswer | Exception) -> None:
    house = House(allows_on_failure=True)
    house.service.answer = answer
    assert await house.ask() == HookVerdict(True)


async def test_one_that_hangs_is_asked_only_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "QUESTIONS_MAX", 2)
    house = House()
    house.service.gate.clear()
    asked = [asyncio.create_task(house.ask(query=str(number))) for number in range(2)]
    await asyncio.sleep(0)
    assert await house.refused() == (503, "undecided")
    house.service.gate.set()
    await asyncio.gather(*asked)


async def test_one_address_asks_only_so_much_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "QUESTIONS_PER_SOURCE_MAX", 2)
    house = House()
    house.service.gate.clear()
    asked = [asyncio.create_task(house.ask(query=str(number))) for number in range(2)]
    await asyncio.sleep(0)
    assert await house.refused() == (429, "too_often")
    other = asyncio.create_task(house.ask(Visitor("198.51.100.1")))
    await asyncio.sleep(0)
    house.service.gate.set()
    await asyncio.gather(*asked, other)
    await house.ask()


async def test_one_address_asks_only_so_often_and_what_is_known_is_no_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hook, "QUESTIONS_PER_MINUTE_MAX", 5)
    house = House()
    for number in range(5):
        await house.ask(query=str(number))
    assert await house.refused() == (429, "too_often")
    await house.ask(query="4")
    await house.ask(Visitor("198.51.100.1"))
    house.clock.advance(12)
    await house.ask()
    assert len(house.service.bodies) == 7


async def test_what_it_said_of_a_recording_before_its_channel_was_withdrawn_is_asked_anew() -> None:
    house = House()
    house.withdrawn_at["rec_1"] = 0
    await house.ask(channel="rec_1", owner="demo")
    house.withdrawn_at["demo"] = 1
    await house.ask(channel="rec_1", owner="demo")
    assert len(house.service.bodies) == 2


async def test_its_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook, "ANSWERS_MAX", 3)
    house = House()
    for number in range(10):
        await house.ask(query=str(number))
    assert len(house.hook._answers) == 3
