from __future__ import annotations

import json

import pytest

from streamd.clock import ManualClock
from streamd.errors import PublishError, PublishForbiddenError, PublishUndecidedError, ReceiverUnreachableError
from streamd.services.keys.admission import Admission
from streamd.services.keys.publish_hook import HookOptions, PublishHook
from streamd.services.metrics import Metrics
from tests.support.receiver import SECRET, ScriptedPoster

pytestmark = pytest.mark.asyncio

ADMISSION = Admission("7k2m9xq4ct", "alice")
UNREACHABLE = ReceiverUnreachableError("no answer within 3 s")


async def decide(sender: ScriptedPoster, *, allows_on_failure: bool = False) -> tuple[type[PublishError] | None, str]:
    """What came of it, and what was counted."""
    metrics = Metrics()
    options = HookOptions("http://a.example/", SECRET, timeout_s=2, allows_on_failure=allows_on_failure)
    hook = PublishHook(options, sender=sender, clock=ManualClock(), metrics=metrics)
    refusal = None
    try:
        await hook.decide(ADMISSION, "192.0.2.7", "FMLE/3.0")
    except PublishError as error:
        refusal = type(error)
    name = "streamd_publish_hook_answers_total"
    (counted,) = (
        result
        for result in ("allowed", "forbidden", "failed")
        if metrics.registry.get_sample_value(name, {"result": result})
    )
    return refusal, counted


@pytest.mark.parametrize(
    ("answer", "refusal", "counted"),
    [
        (200, None, "allowed"),
        (204, None, "allowed"),
        (400, PublishForbiddenError, "forbidden"),
        (403, PublishForbiddenError, "forbidden"),
        (302, PublishUndecidedError, "failed"),
        (500, PublishUndecidedError, "failed"),
        (UNREACHABLE, PublishUndecidedError, "failed"),
    ],
)
async def test_2xx_allows_4xx_forbids_and_all_else_is_no_answer(
    answer: int | Exception, refusal: type[PublishError] | None, counted: str
) -> None:
    assert await decide(ScriptedPoster(answer)) == (refusal, counted)


@pytest.mark.parametrize("answer", [302, 500, UNREACHABLE])
async def test_no_answer_lets_it_through_where_the_operator_says_so(answer: int | Exception) -> None:
    assert await decide(ScriptedPoster(answer), allows_on_failure=True) == (None, "failed")


async def test_a_no_is_a_no_even_then() -> None:
    assert await decide(ScriptedPoster(403), allows_on_failure=True) == (PublishForbiddenError, "forbidden")


async def test_the_question_says_who_wants_to_publish_and_never_the_key() -> None:
    sender = ScriptedPoster()
    await decide(sender)
    (request,) = sender.requests
    assert json.loads(request.body) == {
        "type": "publish.requested",
        "timestamp": "2026-01-01T00:00:00.000000Z",
        "data": {
            "stream": "alice",
            "user": "alice",
            "key_id": "7k2m9xq4ct",
            "address": "192.0.2.7",
            "encoder": "FMLE/3.0",
        },
    }
    assert set(request.headers) == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    assert sender.timeouts == [2]
