from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest

from streamd.clock import ManualClock
from streamd.errors import ReceiverUnreachableError
from streamd.services.events.event import EventType
from streamd.services.events.outbox import BACKOFF_MAX_S, LINES_PER_MINUTE_MAX, Endpoint, Message, Outbox, OutboxOptions
from streamd.services.events.sender import ReceiverAnswer
from streamd.services.metrics import Metrics
from tests.support.receiver import SECRET, ScriptedPoster

pytestmark = pytest.mark.asyncio

UNREACHABLE = ReceiverUnreachableError("nobody there")


class Room:
    """An outbox on a clock that its waits move."""

    def __init__(self, *script: int | ReceiverAnswer | Exception, **options: float) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.sender = ScriptedPoster(*script)
        self.waits: list[float] = []
        self.outbox = Outbox(
            Endpoint("http://a.example/x?token=t", SECRET, "http://a.example", frozenset({EventType.KEY_ISSUED})),
            sender=self.sender,
            clock=self.clock,
            metrics=self.metrics,
            options=OutboxOptions(**options),  # type: ignore[arg-type]  # numbers
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.advance(seconds)

    def put(self, name: str, event_type: EventType = EventType.KEY_ISSUED, about: str = "") -> None:
        self.outbox.put(Message(f"msg_{name}", event_type, name.encode(), self.clock.monotonic(), about))

    def sent(self) -> list[str]:
        return [request.body.decode() for request in self.sender.requests]

    def count(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("streamd_webhook_messages_total", {"result": result}) or 0.0

    @property
    def waiting(self) -> float | None:
        return self.metrics.registry.get_sample_value("streamd_webhook_messages_waiting")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.outbox.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def deliver(self, *names: str) -> None:
        for name in names:
            self.put(name)
        async with self.running():
            await self.outbox.drained()
        assert (self.outbox.unsettled, self.waiting) == (0, 0)


class TestDelivery:
    async def test_messages_are_sent_in_order_each_once(self) -> None:
        room = Room()
        await room.deliver("a", "b", "c")
        assert (room.sent(), room.waits, room.count("delivered")) == (["a", "b", "c"], [], 3)

    async def test_what_the_endpoint_did_not_ask_for_is_not_sent(self) -> None:
        room = Room()
        room.put("x", EventType.STREAM_ENDED)
        await room.deliver("a")
        assert room.sent() == ["a"]

    async def test_an_attempt_has_its_time_limit(self) -> None:
        room = Room(timeout_s=7)
        await room.deliver("a")
        assert room.sender.timeouts == [7]


class TestRetries:
    @pytest.mark.parametrize("failure", [UNREACHABLE, 500, 502, 503, 504, 408, 425, 429])
    async def test_what_may_pass_is_tried_again_and_nothing_overtakes(self, failure: int | Exception) -> None:
        room = Room(failure, failure)
        await room.deliver("a", "b")
        assert (room.sent(), len(room.waits), room.count("delivered")) == (["a", "a", "a", "b"], 2, 2)

    async def test_each_attempt_keeps_the_id_and_has_its_own_time(self) -> None:
        """Standard Webhooks, "Webhook metadata"."""
        room = Room(500)
        await room.deliver("a")
        first, second = (request.headers for request in room.sender.requests)
        assert first["webhook-id"] == second["webhook-id"] == "msg_a"
        assert int(second["webhook-timestamp"]) > int(first["webhook-timestamp"])
        assert first["webhook-signature"] != second["webhook-signature"]

    async def test_waits_double_with_jitter_up_to_a_limit(self) -> None:
        room = Room(*[500] * 20, retry_for_s=1e6)
        await room.deliver("a")
        for number, wait in enumerate(room.waits):
            assert min(2**number, BACKOFF_MAX_S) <= wait <= min(2**number + 1, BACKOFF_MAX_S)

    async def test_a_message_that_is_too_old_is_given_up_and_the_next_has_its_turn(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        room = Room(*[UNREACHABLE] * 4, retry_for_s=5)
        await room.deliver("a")
        assert (room.sent(), room.count("failed")) == (["a"] * 4, 1)
        room.sender.script.clear()
        await room.deliver("b")
        assert room.count("delivered") == 1
        assert [record.message for record in caplog.records] == [
            "webhook.failing",
            "webhook.not_delivered",
            "webhook.recovered",
        ]
        assert [getattr(record, "reason", "") for record in caplog.records] == ["nobody there", "nobody there", ""]
        assert "token" not in str([vars(record) for record in caplog.records])

    @pytest.mark.parametrize("status", [301, 308, 400, 401, 404, 410])
    async def test_what_the_receiver_refuses_is_not_sent_again(self, status: int) -> None:
        room = Room(status)
        await room.deliver("a", "b")
        assert (room.sent(), room.count("refused"), room.count("delivered")) == (["a", "b"], 1, 1)

    async def test_a_receiver_that_says_when_is_not_asked_before(self) -> None:
        """RFC 9110 section 10.2.3."""
        room = Room(ReceiverAnswer(503, retry_after_s=120), ReceiverAnswer(429, retry_after_s=1e9))
        await room.deliver("a")
        assert room.waits == [120, BACKOFF_MAX_S]

    async def test_a_fault_of_ours_ends_that_message_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        room = Room(RuntimeError("ours"))
        await room.deliver("a", "b")
        assert (room.count("failed"), room.count("delivered")) == (1, 1)
        assert "ours" in caplog.text


class TestFullQueue:
    async def test_the_oldest_that_waits_makes_room_and_is_counted(self) -> None:
        room = Room(queue_max=2)
        for name in "abcd":
            room.put(name)
        assert (room.count("dropped"), room.waiting, room.outbox.unsettled) == (2, 2, 2)
        await room.deliver()
        assert room.sent() == ["c", "d"]

    async def test_whoever_has_the_most_in_it_makes_room(self) -> None:
        room = Room(queue_max=6)
        for name in ("alice 1", "bob 1", "mallory 1", "alice 2"):
            room.put(name, about=name.partition(" ")[0])
        for number in range(2, 100):
            room.put(f"mallory {number}", about="mallory")
        room.put("bob 2", about="bob")
        assert (room.count("dropped"), room.waiting) == (97, 6)
        await room.deliver()
        assert room.sent() == ["alice 1", "bob 1", "alice 2", "mallory 98", "mallory 99", "bob 2"]

    async def test_drains_also_when_nothing_was_put(self) -> None:
        await Room().outbox.drained()


async def test_an_endpoint_that_refuses_all_is_told_of_some_times_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    room = Room(*[404] * 1000)
    await room.deliver(*map(str, range(1000)))
    assert room.count("refused") == 1000
    assert len(caplog.records) == LINES_PER_MINUTE_MAX
    room.clock.advance(60)
    room.sender.script.append(404)
    await room.deliver("again")
    assert len(caplog.records) == LINES_PER_MINUTE_MAX + 1
