from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from streamd.clock import ManualClock
from streamd.services.events.event import Event, EventType
from streamd.services.events.outbox import MESSAGE_BYTES, Endpoint, OutboxOptions
from streamd.services.events.webhooks import Webhooks
from streamd.services.metrics import Metrics
from tests.support.receiver import OTHER_SECRET, SECRET, ScriptedPoster

pytestmark = pytest.mark.asyncio

AT = datetime(2026, 1, 1, tzinfo=UTC)
ENDED = frozenset({EventType.STREAM_ENDED})


def webhooks(sender: ScriptedPoster, *endpoints: Endpoint) -> Webhooks:
    return Webhooks(endpoints, sender=sender, clock=ManualClock(), metrics=Metrics(), options=OutboxOptions())


async def test_each_endpoint_is_told_what_it_asked_for_signed_with_its_own_secret() -> None:
    sender = ScriptedPoster()
    hooks = webhooks(
        sender, Endpoint("http://a/", SECRET, "http://a"), Endpoint("http://b/", OTHER_SECRET, "http://b", ENDED)
    )
    hooks.start()
    hooks.tell(Event(EventType.STREAM_STARTED, AT, {"stream": "alice"}))
    hooks.tell(Event(EventType.STREAM_ENDED, AT, {"stream": "alice"}))
    await hooks.close(drain_s=10)
    told = [(request.path, json.loads(request.body)["type"]) for request in sender.requests]
    assert sorted(told) == [
        ("http://a/", "stream.ended"),
        ("http://a/", "stream.started"),
        ("http://b/", "stream.ended"),
    ]
    # The same event has the same id wherever it is told, and another signature for another secret.
    first, second = (r.headers for r in sender.requests if json.loads(r.body)["type"] == "stream.ended")
    assert first["webhook-id"] == second["webhook-id"]
    assert first["webhook-signature"] != second["webhook-signature"]


async def test_one_that_does_not_answer_keeps_no_other_waiting() -> None:
    silent, swift = ScriptedPoster(), ScriptedPoster()
    silent.hold = asyncio.Event()
    hooks = webhooks(silent, Endpoint("http://a/", SECRET, "http://a"))
    others = webhooks(swift, Endpoint("http://b/", SECRET, "http://b"))
    for each in (hooks, others):
        each.start()
        each.tell(Event(EventType.STREAM_ENDED, AT))
    await others.close(drain_s=10)
    assert len(swift.requests) == 1
    await hooks.close(drain_s=0)


async def test_what_cannot_be_told_in_time_is_lost_and_said(caplog: pytest.LogCaptureFixture) -> None:
    sender = ScriptedPoster()
    sender.hold = asyncio.Event()
    hooks = webhooks(sender, Endpoint("http://a/", SECRET, "http://a"))
    hooks.start()
    for _ in range(3):
        hooks.tell(Event(EventType.STREAM_ENDED, AT))
    await hooks.close(drain_s=0)
    (record,) = (record for record in caplog.records if record.message == "webhook.lost")
    assert vars(record)["messages"] == 3


async def test_without_endpoints_there_is_nothing_to_do() -> None:
    hooks = webhooks(ScriptedPoster())
    hooks.start()
    hooks.tell(Event(EventType.STREAM_ENDED, AT))
    await hooks.close(drain_s=0)


async def test_messages_that_wait_are_held_once_for_all_endpoints() -> None:
    sender = ScriptedPoster()
    hooks = webhooks(sender, Endpoint("http://a/", SECRET, "http://a"), Endpoint("http://b/", OTHER_SECRET, "http://b"))
    assert hooks.held_bytes == 0
    hooks.tell(Event(EventType.STREAM_ENDED, AT, {"stream": "alice"}))
    one = hooks.held_bytes
    assert one > MESSAGE_BYTES
    hooks.tell(Event(EventType.STREAM_ENDED, AT, {"stream": "alice"}))
    assert hooks.held_bytes == 2 * one
    hooks.start()
    await hooks.close(drain_s=10)
    assert hooks.held_bytes == 0
