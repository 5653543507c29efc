"""The verdict on a publish, without a connection: what is asked in which order, and what comes of it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from streamd.doors.ingest.broadcast import Broadcast
from streamd.doors.ingest.verdict import Refusal
from streamd.errors import (
    AlreadyPublishingError,
    KeyRejectedError,
    KeyUsedTooOftenError,
    PublishError,
    PublishForbiddenError,
    PublishUndecidedError,
    StoreUnavailableError,
)
from streamd.formats.rtmp.events import PublishRequested
from streamd.services.keys.admission import Denial
from tests.support.ingest import GOOD_KEY, OTHER_KEY, IngestRoom, settle
from tests.support.stand_in_publisher import StandInPublisher

if TYPE_CHECKING:
    from streamd.doors.ingest.verdict import PublishGate
    from streamd.services.keys.admission import Admission
    from streamd.services.live.live_stream import NameClaim

pytestmark = pytest.mark.asyncio

HERE = "192.0.2.7"


class WaitingPublisher(StandInPublisher):
    """A connection that waits for a verdict."""

    is_waiting = True


class Claim:
    """The name of a channel."""

    left = None
    numbers_until_s = 0

    def __init__(self) -> None:
        self.is_released = False

    def release(self) -> None:
        self.is_released = True


class SternGate:
    """A publish hook that says no."""

    def __init__(self, error: PublishError) -> None:
        self._error = error

    async def decide(self, admission: Admission, address: str, encoder: str) -> None:
        raise self._error


def asked(stream_key: str = GOOD_KEY) -> PublishRequested:
    return PublishRequested(stream_key, "live", "rtmp://host/live", "live")


async def decide(
    room: IngestRoom, stream_key: str = GOOD_KEY, applicant: WaitingPublisher | None = None
) -> Broadcast | Refusal | None:
    return await room.judge.decide(asked(stream_key), applicant or WaitingPublisher(), verify_timeout_s=10)


async def refusal(room: IngestRoom, stream_key: str = GOOD_KEY) -> Refusal:
    verdict = await decide(room, stream_key)
    assert isinstance(verdict, Refusal)
    return verdict


def publishes(room: IngestRoom) -> dict[str, float]:
    (metric,) = room.metrics.publishing.publishes_total.collect()
    return {
        sample.labels["result"]: sample.value
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.value
    }


class TestAccepted:
    async def test_the_broadcast_has_all_that_the_connection_needs(self) -> None:
        room = IngestRoom()
        applicant = WaitingPublisher()
        verdict = await decide(room, applicant=applicant)
        assert isinstance(verdict, Broadcast)
        assert verdict.stream is room.registry.find("alice")
        assert verdict.stream.broadcaster.publisher is applicant
        assert verdict.fields == {"key_id": "good", "stream": "alice"}
        assert room.keys.attempts.of("good") == (verdict.attempt,)
        assert publishes(room) == {"accepted": 1}

    async def test_no_turn_of_the_loop_lies_between_its_begin_and_the_caller(self) -> None:
        room = IngestRoom()
        turns: list[str] = []
        begin = room.registry.begin

        def noted(*args: object) -> object:
            asyncio.get_running_loop().call_soon(turns.append, "a turn")
            return begin(*args)  # type: ignore[arg-type]

        room.registry.begin = noted  # type: ignore[method-assign, assignment]
        await decide(room)
        assert turns == []


class TestRefused:
    @pytest.mark.parametrize("error", [PublishForbiddenError(), PublishUndecidedError()])
    async def test_the_hook_s_no_is_found_by_the_key(self, error: PublishError) -> None:
        gate: PublishGate = SternGate(error)
        room = IngestRoom(gate=gate)
        refused = await refusal(room)
        assert refused.error is error
        assert refused.fields == {"key_id": "good", "user": "alice"}
        assert room.keys.refusals == [("good", error.result, error.description, HERE)]
        assert publishes(room) == {error.result: 1}

    async def test_a_channel_that_is_live_already(self) -> None:
        room = IngestRoom()
        await decide(room)
        refused = await refusal(room)
        assert isinstance(refused.error, AlreadyPublishingError)
        assert refused.reason == "busy"
        assert room.keys.refusals[0][:2] == ("good", "busy")

    async def test_a_server_that_is_full_names_the_limit(self) -> None:
        room = IngestRoom(streams_max=0)
        refused = await refusal(room)
        assert refused.fields == {"key_id": "good", "user": "alice", "limit": "streams_max"}
        (attempt,) = room.keys.attempts.of("good")
        assert (attempt.result, attempt.detail) == ("rejected", refused.error.description)

    async def test_memory_that_is_short_names_the_limit(self) -> None:
        room = IngestRoom(take_place=lambda: None)
        assert (await refusal(room)).fields["limit"] == "memory_bytes_max"

    async def test_a_wrong_key_has_no_user(self) -> None:
        room = IngestRoom()
        refused = await refusal(room, "sk_bad_key")
        assert (refused.reason, refused.level) == ("unknown", logging.INFO)
        assert "user" not in refused.fields
        assert room.keys.refusals == []
        assert publishes(room) == {"denied": 1}

    async def test_a_key_that_died_while_it_was_verified(self) -> None:
        room = IngestRoom()
        room.keys.dead.add("good")
        refused = await refusal(room)
        assert isinstance(refused.error, KeyRejectedError)
        assert room.keys.refusals[0][:2] == ("good", "died_while_verified")

    @pytest.mark.parametrize(
        "error", [KeyRejectedError(Denial.RATE_LIMITED), KeyUsedTooOftenError(Denial.TOO_OFTEN, "good")]
    )
    async def test_what_comes_thousands_of_times_a_minute_is_no_line(self, error: KeyRejectedError) -> None:
        room = IngestRoom()
        room.keys.error = error
        assert (await refusal(room)).level == logging.DEBUG

    async def test_a_store_that_is_gone_says_nothing_about_the_key(self) -> None:
        room = IngestRoom()
        room.keys.error = StoreUnavailableError("no route to host")
        refused = await refusal(room)
        assert refused.reason == "key store unavailable: no route to host"
        assert refused.error.status_code == "NetStream.Publish.Rejected"
        assert publishes(room) == {"unavailable": 1}

    async def test_a_store_that_does_not_answer(self) -> None:
        room = IngestRoom()
        room.keys.hold = asyncio.get_running_loop().create_future()
        refused = await room.judge.decide(asked(), WaitingPublisher(), verify_timeout_s=0.001)
        assert isinstance(refused, Refusal)
        assert refused.reason == "key store unavailable: no answer within 0.001 s"
        assert room.limit_hits() == {"verify_timeout_s": 1}


class TestWithdrawn:
    async def test_a_connection_that_has_gone_begins_nothing_and_the_name_is_given_back(self) -> None:
        claim = Claim()
        applicant = WaitingPublisher()

        async def give_name(_: str, __: Admission) -> NameClaim:
            applicant.is_waiting = False
            return claim

        room = IngestRoom(ask_for_name=give_name)
        assert await decide(room, applicant=applicant) is None
        assert claim.is_released
        assert room.registry.find("alice") is None
        assert publishes(room) == {}


class TestTheSameKeyAgain:
    """A connection that is silent gives way to the same key, and the verdict waits while it may be so."""

    async def contest(self, room: IngestRoom, quiet_s: float, stream_key: str = GOOD_KEY) -> StandInPublisher:
        first = WaitingPublisher()
        await decide(room, applicant=first)
        first.quiet_for_s = quiet_s
        self.verdict = asyncio.create_task(decide(room, stream_key))
        return first

    async def test_takes_over_where_the_first_has_been_silent_for_two_seconds(self) -> None:
        room = IngestRoom()
        first = await self.contest(room, 2.0)
        assert isinstance(await self.verdict, Broadcast)
        assert first.kicks == ["This connection was silent, and the same stream key has come back on another one."]

    async def test_waits_where_the_first_may_be_gone(self) -> None:
        room = IngestRoom()
        first = await self.contest(room, 1.0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not self.verdict.done()
        first.quiet_for_s = 2.1
        assert isinstance(await self.verdict, Broadcast)

    async def test_is_refused_as_soon_as_the_first_sends_on(self) -> None:
        room = IngestRoom()
        first = await self.contest(room, 1.9)
        await settle(lambda: len(room.keys.asked) == 2)
        room.clock.advance(0.2)
        first.quiet_for_s = 0.1
        refused = await self.verdict
        assert isinstance(refused, Refusal)
        assert refused.reason == "busy"
        assert first.kicks == []

    async def test_another_key_of_the_same_user_takes_no_place(self) -> None:
        room = IngestRoom()
        first = await self.contest(room, 100.0, OTHER_KEY)
        assert isinstance(await self.verdict, Refusal)
        assert first.kicks == []
