from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from streamd.errors import KeyRejectedError, KeyUsedTooOftenError, StoreUnavailableError
from streamd.services.keys.admission import Admission, Denial
from streamd.services.keys.guessing import GuessLimits
from streamd.services.keys.look_ups import PER_KEY_MAX, STRANGERS_MAX
from streamd.services.keys.records import KeyStanding
from streamd.services.keys.stream_key import StreamKey
from streamd.services.keys.verifier import RECOGNITIONS_PER_MINUTE_MAX, KeyVerifier, VerifierOptions
from tests.support.key_house import ADMIN, PEER, FragileStore, KeyHouse

pytestmark = pytest.mark.asyncio


class TestVerify:
    async def test_a_good_key_admits_its_user(self, house: KeyHouse) -> None:
        issued = await house.issue("alice", seconds=60)
        admission = await house.verifier.verify(issued.stream_key.reveal(), PEER)
        assert (admission.key_id, admission.user) == (issued.record.key_id, "alice")
        assert admission.expires_at == house.clock.now() + timedelta(seconds=60)
        assert house.verifier.admissions.is_admissible(admission)

    async def test_each_denial_has_its_reason_for_us_and_one_text_for_the_publisher(self, house: KeyHouse) -> None:
        good, expired, revoked = [await house.issue("alice", seconds) for seconds in (None, 10, None)]
        suspended = await house.issue("bob")
        await house.keys.revoke(revoked.record.key_id, by=ADMIN)
        await house.keys.suspend("bob", by=ADMIN)
        house.clock.advance(10)
        wrong = StreamKey(good.record.key_id, StreamKey.generate().secret)
        shown = {
            Denial.MALFORMED: "test",
            Denial.UNKNOWN: StreamKey.generate().reveal(),
            Denial.EXPIRED: expired.stream_key.reveal(),
            Denial.REVOKED: revoked.stream_key.reveal(),
            Denial.SUSPENDED: suspended.stream_key.reveal(),
        }
        assert {reason: await house.denial(key) for reason, key in shown.items()} == {
            reason: reason for reason in shown
        }
        assert await house.denial(wrong.reveal()) == Denial.UNKNOWN

    async def test_a_wrong_secret_of_a_revoked_key_does_not_tell_that_it_is_revoked(self, house: KeyHouse) -> None:
        issued = await house.issue()
        await house.keys.revoke(issued.record.key_id, by=ADMIN)
        assert await house.denial(StreamKey(issued.record.key_id, "a" * 32).reveal()) == Denial.UNKNOWN

    async def test_where_the_store_cannot_be_asked_nobody_is_admitted(
        self, house: KeyHouse, fragile: FragileStore
    ) -> None:
        issued = await house.issue()
        fragile.is_down = True
        with pytest.raises(StoreUnavailableError):
            await house.verifier.verify(issued.stream_key.reveal(), PEER)

    async def test_the_last_use_is_seen_at_once_and_written_by_the_sweep(self, house: KeyHouse) -> None:
        issued = await house.issue()
        await house.publish(issued)
        expected = (house.clock.now(), PEER)
        seen = await house.keys.get_key(issued.record.key_id)
        assert (seen.last_used_at, seen.last_used_address) == expected
        assert (await house.store.get_key(issued.record.key_id)).last_used_at is None
        await house.sweeper.sweep()
        written = await house.store.get_key(issued.record.key_id)
        assert (written.last_used_at, written.last_used_address) == expected


class TestGuessing:
    async def test_over_budget_nothing_is_looked_up_and_the_answer_is_the_same(
        self, house: KeyHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = counted_look_ups(house, monkeypatch)
        limit = GuessLimits().failed_publishes_per_address_max
        reasons = [await house.denial(StreamKey.generate().reveal()) for _ in range(limit + 10)]
        assert reasons == [Denial.UNKNOWN] * limit + [Denial.RATE_LIMITED] * 10
        assert len(asked) == limit
        house.clock.advance(1)
        assert await house.denial(StreamKey.generate().reveal()) == Denial.UNKNOWN

    async def test_what_is_no_key_costs_its_address_too(self, house: KeyHouse) -> None:
        for _ in range(GuessLimits().failed_publishes_per_address_max):
            assert await house.denial("test") == Denial.MALFORMED
        assert await house.denial(StreamKey.generate().reveal()) == Denial.RATE_LIMITED

    async def test_the_user_whose_key_id_is_guessed_gets_in(self, house: KeyHouse) -> None:
        issued = await house.issue()
        verifier = KeyVerifier(house.store, house.clock)  # as after a restart: it has seen none of them
        for number in range(100):
            with pytest.raises(KeyRejectedError):
                await verifier.verify(StreamKey(issued.record.key_id, "x" * 32).reveal(), f"192.0.2.{number}")
        assert (await verifier.verify(issued.stream_key.reveal(), PEER)).user == "alice"

    @pytest.mark.parametrize("known_by", ["issue", "rotation", "publish"])
    async def test_a_known_key_gets_in_from_a_noisy_address(self, house: KeyHouse, known_by: str) -> None:
        issued = await house.issue()
        if known_by == "rotation":
            issued = await house.keys.rotate(issued.record.key_id, by=ADMIN)
        elif known_by == "publish":
            house.verifier = KeyVerifier(house.store, house.clock)
            await house.publish(issued)
        for _ in range(100):
            await house.denial("test")
        assert (await house.verifier.verify(issued.stream_key.reveal(), PEER)).user == "alice"

    @pytest.mark.parametrize("death", ["revoked", "expired", "suspended"])
    async def test_the_holder_of_a_dead_key_is_limited_like_a_guesser(
        self, house: KeyHouse, monkeypatch: pytest.MonkeyPatch, death: str
    ) -> None:
        issued = await house.issue(seconds=60)
        await house.publish(issued)
        match death:
            case "revoked":
                await house.keys.revoke(issued.record.key_id, by=ADMIN)
            case "suspended":
                await house.keys.suspend("alice", by=ADMIN)
            case _:
                house.clock.advance(60)
                await house.sweeper.sweep()
        asked = counted_look_ups(house, monkeypatch)
        reasons = {await house.denial(issued.stream_key.reveal()) for _ in range(100)}
        assert reasons == {death, Denial.RATE_LIMITED}
        assert len(asked) == GuessLimits().failed_publishes_per_key_max

    async def test_a_restored_user_gets_in_when_a_token_is_back(self, house: KeyHouse) -> None:
        issued = await house.issue()
        await house.keys.suspend("alice", by=ADMIN)
        for _ in range(100):
            await house.denial(issued.stream_key.reveal())
        await house.keys.restore("alice", by=ADMIN)
        house.clock.advance(60 / GuessLimits().failed_publishes_per_key_max)
        await house.publish(issued)

    async def test_a_store_that_fails_costs_nobody_a_token(
        self, house: KeyHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        issued = await house.issue()

        async def fail(key_id: str) -> KeyStanding | None:
            raise StoreUnavailableError("gone")

        with monkeypatch.context() as broken:
            broken.setattr(house.store, "standing", fail)
            for _ in range(100):
                with pytest.raises(StoreUnavailableError):
                    await house.verifier.verify(StreamKey.generate().reveal(), PEER)
        await house.publish(issued)
        assert await house.denial(StreamKey.generate().reveal()) == Denial.UNKNOWN

    async def test_a_step_back_lets_no_revoked_key_in_and_gives_no_guesses_back(self, house: KeyHouse) -> None:
        revoked = await house.issue()
        await house.keys.revoke(revoked.record.key_id, by=ADMIN)
        house.verifier.configure(VerifierOptions(GuessLimits(failed_publishes_per_address_max=2)))
        wrong = [StreamKey.generate().reveal() for _ in range(4)]
        assert [await house.denial(key) for key in wrong[:2]] == [Denial.UNKNOWN] * 2
        for step_s in (-3600, 7200):
            house.clock.step_wall(step_s)
            assert await house.denial(wrong[2]) == Denial.RATE_LIMITED, "budgets fill with time that passes"
        house.clock.advance(60)
        house.clock.step_wall(-7200)
        assert await house.denial(revoked.stream_key.reveal()) == Denial.REVOKED


def counted_look_ups(house: KeyHouse, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Key ids that are looked up in the store from now on."""
    asked: list[str] = []
    look_up = house.store.standing

    async def counted(key_id: str) -> KeyStanding | None:
        asked.append(key_id)
        return await look_up(key_id)

    monkeypatch.setattr(house.store, "standing", counted)
    return asked


class TestAGoodKey:
    async def test_that_goes_live_too_often_is_not_looked_up_any_more_and_told_so(
        self, house: KeyHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        issued, other = await house.issue(), await house.issue("bob")
        house.verifier.configure(VerifierOptions(publishes_per_minute_max=6))
        asked = counted_look_ups(house, monkeypatch)
        for _ in range(6):
            await house.publish(issued)
        for _ in range(1000):
            with pytest.raises(KeyUsedTooOftenError, match="too often"):
                await house.publish(issued)
        assert len(asked) == 6
        await house.publish(other)
        wrong = StreamKey(issued.record.key_id, "x" * 32)
        assert await house.denial(wrong.reveal()) == Denial.UNKNOWN, "only who has the key is told"
        house.clock.advance(10)
        await house.publish(issued)
        attempts = [(attempt.result, attempt.count) for attempt in house.verifier.attempts.of(issued.record.key_id)]
        assert attempts == [(Denial.TOO_OFTEN, 1000), (Denial.UNKNOWN, 1)]
        entries = house.verifier.denials.take()
        assert [(entry.reason, entry.count) for entry in entries] == [("too_often", 1000), ("unknown", 1)]

    async def test_of_an_encoder_that_comes_back_is_never_refused(self, house: KeyHouse) -> None:
        """OBS at the shortest interval that it lets be set, into a line that drops at once."""
        issued = await house.issue()
        for _ in range(600):
            await house.publish(issued)
            house.clock.advance(1)

    async def test_may_be_shown_to_the_page_as_often_as_somebody_opens_it(
        self, house: KeyHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        issued = await house.issue()
        asked = counted_look_ups(house, monkeypatch)
        for _ in range(RECOGNITIONS_PER_MINUTE_MAX):
            await house.verifier.recognise(issued.stream_key.reveal(), PEER)
        with pytest.raises(KeyUsedTooOftenError):
            await house.verifier.recognise(issued.stream_key.reveal(), PEER)
        assert len(asked) == RECOGNITIONS_PER_MINUTE_MAX
        await house.publish(issued)


class TestASlowStore:
    async def test_is_asked_by_so_many_at_once_and_no_more(
        self, house: KeyHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        issued = await house.issue()
        gate, asked = asyncio.Event(), 0
        look_up = house.store.standing

        async def standing(key_id: str) -> KeyStanding | None:
            nonlocal asked
            asked += 1
            await gate.wait()
            return await look_up(key_id)

        monkeypatch.setattr(house.store, "standing", standing)
        strangers = [
            asyncio.create_task(house.verifier.verify(StreamKey.generate().reveal(), f"192.0.2.{number % 8}"))
            for number in range(1000)
        ]
        holders = [
            asyncio.create_task(house.verifier.verify(issued.stream_key.reveal(), "192.0.2.1")) for _ in range(20)
        ]
        for _ in range(10):
            await asyncio.sleep(0)
        assert asked == STRANGERS_MAX + PER_KEY_MAX
        gate.set()
        outcomes = await asyncio.gather(*strangers, *holders, return_exceptions=True)
        assert sum(isinstance(outcome, StoreUnavailableError) for outcome in outcomes) == 1020 - asked
        assert sum(isinstance(outcome, Admission) for outcome in outcomes) == PER_KEY_MAX
