from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from streamd.clock import ManualClock
from streamd.errors import (
    KeyNotFoundError,
    KeyRejectedError,
    KeyRequestError,
    KeyStateError,
    StoreUnavailableError,
    UserNotFoundError,
)
from streamd.keys import service as service_module
from streamd.keys.admission import Admission, Denial
from streamd.keys.guessing import GuessLimits
from streamd.keys.records import (
    SERVER_LIMITS,
    Actor,
    AuditEntry,
    IssuedKey,
    KeyStanding,
    KeyState,
    KeyUse,
    PublishLimits,
    UserState,
)
from streamd.keys.service import KeyOptions, KeyService
from streamd.keys.store import KeyStore
from streamd.keys.stream_key import StreamKey

pytestmark = pytest.mark.asyncio

ADMIN = Actor("admin", "192.0.2.1")
PEER = "198.51.100.7"


class Streams:
    """The streams of a registry: name by key id, and what closed them."""

    def __init__(self) -> None:
        self.live: dict[str, str] = {}
        self.admissions: list[Admission] = []
        self.closed: list[tuple[str, str]] = []

    async def close_streams(self, key_ids: Collection[str], reason: str) -> list[str]:
        names = [name for key_id, name in self.live.items() if key_id in key_ids]
        self.live = {key_id: name for key_id, name in self.live.items() if key_id not in key_ids}
        self.closed += [(name, reason) for name in names]
        return names


class FragileStore(KeyStore):
    """A store that can be made to fail."""

    is_down = False

    def _check_up(self) -> None:
        if self.is_down:
            raise StoreUnavailableError("the key store is down")

    async def suspended_users(self) -> set[str]:
        self._check_up()
        return await super().suspended_users()

    async def record_uses(self, uses: Mapping[str, KeyUse]) -> None:
        self._check_up()
        await super().record_uses(uses)

    async def record_closed(self, key_id: str, streams: Collection[str]) -> None:
        self._check_up()
        await super().record_closed(key_id, streams)

    async def append_audit(self, entries: Iterable[AuditEntry]) -> None:
        self._check_up()
        await super().append_audit(entries)


@pytest_asyncio.fixture
async def fragile(tmp_path: Path) -> AsyncIterator[FragileStore]:
    store = FragileStore(f"sqlite+aiosqlite:///{tmp_path / 'streamd.db'}")
    await store.start()
    yield store
    await store.close()


class House:
    """A key service with all that it works with."""

    def __init__(self, store: KeyStore) -> None:
        self.store = store
        self.clock = ManualClock()
        self.streams = Streams()
        self.keys = KeyService(store, self.clock)
        self.keys.attach(self.streams)

    async def issue(self, user: str = "alice", seconds: float | None = None) -> IssuedKey:
        expires_at = None if seconds is None else self.clock.now() + timedelta(seconds=seconds)
        return await self.keys.issue(user, by=ADMIN, expires_at=expires_at)

    async def publish(self, issued: IssuedKey) -> Admission:
        admission = await self.keys.verify(issued.stream_key.reveal(), PEER)
        assert self.keys.is_admissible(admission)
        self.streams.live[admission.key_id] = admission.user
        self.streams.admissions.append(admission)
        return admission

    async def denial(self, stream_key: str) -> str:
        with pytest.raises(KeyRejectedError) as caught:
            await self.keys.verify(stream_key, PEER)
        assert str(caught.value) == KeyRejectedError.description
        return caught.value.reason

    async def audited(self) -> list[str]:
        return [row.entry.action for row in (await self.keys.list_audit()).items]


@pytest.fixture
def house(fragile: FragileStore) -> House:
    return House(fragile)


class TestVerify:
    async def test_a_good_key_admits_its_user(self, house: House) -> None:
        issued = await house.issue("alice", seconds=60)
        admission = await house.keys.verify(issued.stream_key.reveal(), PEER)
        assert (admission.key_id, admission.user) == (issued.record.key_id, "alice")
        assert admission.expires_at == house.clock.now() + timedelta(seconds=60)
        assert house.keys.is_admissible(admission)

    async def test_each_denial_has_its_reason_for_us_and_one_text_for_the_publisher(self, house: House) -> None:
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

    async def test_a_wrong_secret_of_a_revoked_key_does_not_tell_that_it_is_revoked(self, house: House) -> None:
        issued = await house.issue()
        await house.keys.revoke(issued.record.key_id, by=ADMIN)
        assert await house.denial(StreamKey(issued.record.key_id, "a" * 32).reveal()) == Denial.UNKNOWN

    async def test_where_the_store_cannot_be_asked_nobody_is_admitted(self, house: House) -> None:
        issued = await house.issue()
        await house.store.close()
        house.store._reader = KeyStore("sqlite+aiosqlite:////nonexistent/streamd.db")._reader
        with pytest.raises(StoreUnavailableError):
            await house.keys.verify(issued.stream_key.reveal(), PEER)

    async def test_the_last_use_is_seen_at_once_and_written_by_the_sweep(self, house: House) -> None:
        issued = await house.issue()
        await house.publish(issued)
        expected = (house.clock.now(), PEER)
        seen = await house.keys.get_key(issued.record.key_id)
        assert (seen.last_used_at, seen.last_used_address) == expected
        assert (await house.store.get_key(issued.record.key_id)).last_used_at is None
        await house.keys.sweep()
        written = await house.store.get_key(issued.record.key_id)
        assert (written.last_used_at, written.last_used_address) == expected

    async def test_uses_that_cannot_be_written_wait_within_bounds(
        self, house: House, fragile: FragileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service_module, "USES_WAITING_MAX", 2)
        issued = [await house.issue() for _ in range(3)]
        fragile.is_down = True
        for key in issued:
            await house.publish(key)
            with pytest.raises(StoreUnavailableError):
                await house.keys.sweep()
        fragile.is_down = False
        await house.keys.close()
        used = [(await house.store.get_key(key.record.key_id)).last_used_at is not None for key in issued]
        assert used == [False, True, True]


class TestIssue:
    @pytest.mark.parametrize("user", ["", "a", "-a", "A", "a b", "a/b", "../x", "é", "a" * 65, "ab\n", "ab\x00"])
    async def test_a_name_outside_the_grammar_is_refused(self, house: House, user: str) -> None:
        with pytest.raises(KeyRequestError, match="user name"):
            await house.keys.issue(user, by=ADMIN)

    @pytest.mark.parametrize(
        ("label", "what"),
        [
            ("x" * 101, "101 characters"),
            ("a\nb", "line break"),
            ("a\x00b", "control"),
            ("\ud800", "control"),
            ("sk_7k2m9xq4ct_" + "a" * 32, "holds a stream key"),
        ],
    )
    async def test_a_label_that_cannot_be_shown_is_refused(self, house: House, label: str, what: str) -> None:
        with pytest.raises(KeyRequestError, match=what) as caught:
            await house.keys.issue("alice", by=ADMIN, label=label)
        assert label not in str(caught.value)

    async def test_a_date_that_is_not_in_the_future_is_refused(self, house: House) -> None:
        with pytest.raises(KeyRequestError, match="past"):
            await house.issue(seconds=0)
        assert await house.audited() == []

    async def test_what_is_not_the_form_of_an_id_is_not_repeated(self, house: House) -> None:
        whole = (await house.issue()).stream_key.reveal()
        for call in (house.keys.get_key(whole), house.keys.revoke(whole, by=ADMIN), house.keys.rotate(whole, by=ADMIN)):
            with pytest.raises(KeyNotFoundError) as caught:
                await call
            assert whole not in repr(caught.value)
        with pytest.raises(UserNotFoundError) as unknown:
            await house.keys.suspend(whole, by=ADMIN)
        assert whole not in repr(unknown.value)


class TestRevoke:
    async def test_when_it_returns_the_key_is_dead_and_its_stream_closed(self, house: House) -> None:
        issued = await house.issue()
        admission = await house.publish(issued)
        result = await house.keys.revoke(issued.record.key_id, by=ADMIN, reason="leaked")
        assert result.closed == ("alice",)
        assert house.streams.live == {}
        assert house.streams.closed == [("alice", "revoked")]
        assert not house.keys.is_admissible(admission)
        assert await house.denial(issued.stream_key.reveal()) == Denial.REVOKED
        assert await house.audited() == ["user.created", "key.issued", "key.revoked", "stream.closed"]

    async def test_again_answers_the_same_also_after_a_restart(self, house: House) -> None:
        issued = await house.issue()
        await house.publish(issued)
        once = await house.keys.revoke(issued.record.key_id, by=ADMIN)
        house.clock.advance(60)
        assert await house.keys.revoke(issued.record.key_id, by=ADMIN, reason="x") == once
        assert await House(house.store).keys.revoke(issued.record.key_id, by=ADMIN) == once

    async def test_a_store_that_fails_after_the_commit_does_not_take_back_what_is_done(
        self, house: House, fragile: FragileStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        issued = await house.issue()
        await house.publish(issued)
        fragile.is_down = True
        assert (await house.keys.revoke(issued.record.key_id, by=ADMIN)).closed == ("alice",)
        assert house.streams.live == {}
        assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [
            "audit.lost",
            "closed_streams.lost",
        ]

    async def test_another_key_of_the_user_goes_on(self, house: House) -> None:
        first, second = await house.issue(), await house.issue()
        admission = await house.publish(second)
        assert (await house.keys.revoke(first.record.key_id, by=ADMIN)).closed == ()
        assert house.keys.is_admissible(admission)
        assert house.streams.live == {second.record.key_id: "alice"}


class TestRotate:
    async def test_without_overlap_the_old_key_dies_at_once(self, house: House) -> None:
        old = await house.issue()
        await house.publish(old)
        new = await house.keys.rotate(old.record.key_id, by=ADMIN)
        assert house.streams.closed == [("alice", "revoked")]
        assert await house.denial(old.stream_key.reveal()) == Denial.REVOKED
        await house.publish(new)

    async def test_in_the_overlap_both_work_and_at_its_end_the_old_one_is_closed(self, house: House) -> None:
        old = await house.issue()
        admission = await house.publish(old)
        new = await house.keys.rotate(old.record.key_id, by=ADMIN, overlap_s=600)
        assert admission.expires_at == house.clock.now() + timedelta(seconds=600)
        await house.keys.verify(new.stream_key.reveal(), PEER)
        house.clock.advance(599)
        await house.keys.sweep()
        assert house.streams.live == {old.record.key_id: "alice"}
        house.clock.advance(1)
        assert not house.keys.is_admissible(admission)
        await house.keys.sweep()
        assert house.streams.closed == [("alice", "expired")]
        assert await house.denial(old.stream_key.reveal()) == Denial.EXPIRED
        assert (await house.audited())[-1] == "stream.closed"

    @pytest.mark.parametrize("overlap_s", [-1, 1e9, float("nan")])
    async def test_an_overlap_that_cannot_be_is_refused(self, house: House, overlap_s: float) -> None:
        old = await house.issue()
        with pytest.raises(KeyRequestError):
            await house.keys.rotate(old.record.key_id, by=ADMIN, overlap_s=overlap_s)

    async def test_a_dead_key_cannot_be_rotated(self, house: House) -> None:
        old = await house.issue()
        await house.keys.revoke(old.record.key_id, by=ADMIN)
        with pytest.raises(KeyStateError):
            await house.keys.rotate(old.record.key_id, by=ADMIN)


class TestExpiry:
    async def test_a_running_stream_is_closed_on_time(self, house: House) -> None:
        admission = await house.publish(await house.issue(seconds=60))
        house.clock.advance(59.999)
        await house.keys.sweep()
        assert house.streams.closed == []
        house.clock.advance(0.001)
        await house.keys.sweep()
        assert house.streams.closed == [("alice", "expired")]
        assert admission.ended_by is Denial.EXPIRED

    async def test_a_wall_clock_that_is_stepped_is_believed(self, house: House) -> None:
        await house.publish(await house.issue(seconds=3600))
        house.clock.step_wall(3600)
        await house.keys.sweep()
        assert house.streams.closed == [("alice", "expired")]

    async def test_a_step_back_lets_no_revoked_key_in_and_gives_no_guesses_back(self, house: House) -> None:
        revoked = await house.issue()
        await house.keys.revoke(revoked.record.key_id, by=ADMIN)
        limits = GuessLimits(per_address=2)
        house.keys.set_guess_limits(limits)
        wrong = [StreamKey.generate().reveal() for _ in range(4)]
        assert [await house.denial(key) for key in wrong[:2]] == [Denial.UNKNOWN] * 2
        for step_s in (-3600, 7200):
            house.clock.step_wall(step_s)
            assert await house.denial(wrong[2]) == Denial.RATE_LIMITED, "budgets fill with time that passes"
        house.clock.advance(60)
        house.clock.step_wall(-7200)
        assert await house.denial(revoked.stream_key.reveal()) == Denial.REVOKED

    async def test_it_is_closed_also_where_the_store_is_down(self, house: House, fragile: FragileStore) -> None:
        await house.publish(await house.issue(seconds=60))
        fragile.is_down = True
        house.clock.advance(60)
        with pytest.raises(StoreUnavailableError):
            await house.keys.sweep()
        assert house.streams.closed == [("alice", "expired")]


class TestSuspend:
    async def test_it_closes_what_runs_on_any_key_of_the_user(self, house: House) -> None:
        first, second, other = await house.issue(), await house.issue(), await house.issue("bob")
        await house.publish(first)
        await house.publish(other)
        user = await house.keys.suspend("alice", by=ADMIN, reason="abuse")
        assert (user.state, user.suspend_reason) == (UserState.SUSPENDED, "abuse")
        assert house.streams.closed == [("alice", "suspended")]
        assert house.streams.live == {other.record.key_id: "bob"}
        assert house.keys.is_suspended("alice")
        assert await house.denial(second.stream_key.reveal()) == Denial.SUSPENDED

    async def test_restoring_lets_the_keys_work_again(self, house: House) -> None:
        issued = await house.issue()
        await house.keys.suspend("alice", by=ADMIN)
        user = await house.keys.restore("alice", by=ADMIN)
        assert user.state is UserState.ACTIVE
        assert not house.keys.is_suspended("alice")
        await house.publish(issued)

    async def test_who_is_suspended_is_known_after_a_restart(self, house: House) -> None:
        await house.issue()
        await house.keys.suspend("alice", by=ADMIN)
        again = House(house.store)
        await again.keys.start()
        assert again.keys.is_suspended("alice")


class TestLimit:
    async def test_it_holds_for_what_runs_and_for_what_comes(self, house: House) -> None:
        issued, other = await house.issue(), await house.issue("bob")
        running, others = await house.publish(issued), await house.publish(other)
        user = await house.keys.limit("alice", {"bitrate_kbps_max": 6000}, by=ADMIN, reason="plan")
        assert user.limits == running.limits == PublishLimits(bitrate_kbps_max=6000)
        assert (await house.publish(issued)).limits == user.limits
        assert others.limits == SERVER_LIMITS

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            ({"bitrate_kbps_max": 99}, "bitrate_kbps_max is from 100"),
            ({"picture_pixels_max": 35_651_585}, "picture_pixels_max is from 16384 to 35651584"),
            ({"tracks_max": 1}, "limits are"),
        ],
    )
    async def test_what_cannot_be_is_refused(self, house: House, change: dict[str, int | None], what: str) -> None:
        await house.issue()
        with pytest.raises(KeyRequestError, match=what):
            await house.keys.limit("alice", change, by=ADMIN)


class TestOtherProcess:
    """The command line on the store, or a second server: ``sweep`` finds what they did."""

    async def recheck(self, house: House) -> None:
        house.clock.advance(KeyOptions().recheck_interval_s)
        await house.keys.sweep()

    @pytest.mark.parametrize("what", ["revoked", "suspended", "expired"])
    async def test_what_died_there_is_closed_here(self, house: House, what: str) -> None:
        issued = await house.issue()
        admission = await house.publish(issued)
        other = KeyService(house.store, house.clock)
        match what:
            case "revoked":
                await other.revoke(issued.record.key_id, by=ADMIN)
            case "suspended":
                await other.suspend("alice", by=ADMIN)
            case _:
                await other.rotate(issued.record.key_id, by=ADMIN, overlap_s=1)
        await self.recheck(house)
        await house.keys.sweep()
        assert house.streams.closed == [("alice", what)]
        assert admission.ended_by == what
        assert house.keys.is_suspended("alice") == (what == "suspended")

    async def test_what_lives_goes_on(self, house: House) -> None:
        admission = await house.publish(await house.issue())
        await self.recheck(house)
        assert house.keys.is_admissible(admission)

    async def test_limits_that_were_changed_there_hold_here(self, house: House) -> None:
        admission = await house.publish(await house.issue())
        await KeyService(house.store, house.clock).limit("alice", {"bitrate_kbps_max": 6000}, by=ADMIN)
        await self.recheck(house)
        assert admission.limits == PublishLimits(bitrate_kbps_max=6000)

    async def test_a_key_whose_row_is_gone_is_closed(self, house: House) -> None:
        issued = await house.issue()
        await house.publish(issued)
        await house.keys.sweep()
        async with house.store._writing() as connection:
            await connection.exec_driver_sql("DELETE FROM keys")
        await self.recheck(house)
        assert house.streams.closed == [("alice", "unknown")]

    async def test_what_was_read_before_a_change_of_our_own_is_not_believed(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await house.issue()
        await house.keys.suspend("alice", by=ADMIN)
        reading = house.store.standings

        async def restored_meanwhile(key_ids: Collection[str]) -> dict[str, KeyStanding]:
            # The suspended users are read already; now alice is restored.
            await house.keys.restore("alice", by=ADMIN)
            monkeypatch.setattr(house.store, "standings", reading)
            return await reading(key_ids)

        monkeypatch.setattr(house.store, "standings", restored_meanwhile)
        await self.recheck(house)
        assert not house.keys.is_suspended("alice")
        await house.keys.sweep()
        assert not house.keys.is_suspended("alice")

    async def test_streams_go_on_while_the_store_is_down(self, house: House, fragile: FragileStore) -> None:
        admission = await house.publish(await house.issue())
        await house.keys.sweep()
        fragile.is_down = True
        with pytest.raises(StoreUnavailableError):
            await self.recheck(house)
        assert house.keys.is_admissible(admission)
        fragile.is_down = False
        await self.recheck(house)


class TestRun:
    async def test_it_sweeps_says_once_that_the_store_failed_and_that_it_came_back(
        self, fragile: FragileStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        ticks = 0
        done = asyncio.Event()

        async def sleep(seconds: float) -> None:
            nonlocal ticks
            ticks += 1
            clock.advance(seconds)
            fragile.is_down = 2 <= ticks <= 4
            if ticks == 7:
                done.set()
                await asyncio.Event().wait()

        clock = ManualClock()
        options = KeyOptions(sweep_interval_s=1, recheck_interval_s=1)
        keys = KeyService(fragile, clock, options, sleep=sleep)
        with caplog.at_level(logging.INFO):
            task = asyncio.create_task(keys.run())
            await done.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        events = [r.message for r in caplog.records if r.name == "streamd.keys.service"]
        assert events == ["store.failed", "store.recovered"]

    async def test_a_stream_that_cannot_be_closed_does_not_end_the_sweeps(
        self, fragile: FragileStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        attempts = asyncio.Semaphore(0)

        class Stuck(Streams):
            async def close_streams(self, key_ids: Collection[str], reason: str) -> list[str]:
                attempts.release()
                raise RuntimeError("stuck")

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(0)

        clock = ManualClock()
        keys = KeyService(fragile, clock, sleep=sleep)
        keys.attach(Stuck())
        admissions = []
        for _ in range(2):
            issued = await keys.issue("alice", by=ADMIN, expires_at=clock.now() + timedelta(seconds=5))
            admissions.append(await keys.verify(issued.stream_key.reveal(), PEER))
            clock.advance(5)
            task = asyncio.create_task(keys.run())
            await attempts.acquire()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class TestList:
    async def test_states_are_those_of_now(self, house: House) -> None:
        await house.issue(seconds=10)
        house.clock.advance(10)
        page = await house.keys.list_keys(state=KeyState.EXPIRED)
        assert [house.keys.state_of(record) for record in page.items] == [KeyState.EXPIRED]

    async def test_a_kick_is_in_the_audit_log(self, house: House) -> None:
        await house.keys.record_kick("alice", by=ADMIN, reason="test")
        entry = (await house.keys.list_audit()).items[0].entry
        assert (entry.action, entry.stream, entry.reason, entry.address) == (
            "stream.kicked", "alice", "test", "192.0.2.1",
        )  # fmt: skip


async def test_no_secret_reaches_log_or_repr(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        issued = await house.issue()
        admission = await house.publish(issued)
        new = await house.keys.rotate(issued.record.key_id, by=ADMIN, overlap_s=5)
        await house.denial(StreamKey(issued.record.key_id, "b" * 32).reveal())
        await house.keys.revoke(issued.record.key_id, by=ADMIN)
    written = f"{issued!r} {admission!r} {new!r} " + " ".join(
        f"{record.getMessage()} {record.__dict__}" for record in caplog.records
    )
    assert issued.record.key_id in written
    for secret in (issued.stream_key.secret, new.stream_key.secret, "b" * 32):
        assert secret not in written


class TestGuessing:
    async def test_over_budget_nothing_is_looked_up_and_the_answer_is_the_same(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = counted_look_ups(house, monkeypatch)
        limit = GuessLimits().per_address
        reasons = [await house.denial(StreamKey.generate().reveal()) for _ in range(limit + 10)]
        assert reasons == [Denial.UNKNOWN] * limit + [Denial.RATE_LIMITED] * 10
        assert len(asked) == limit
        house.clock.advance(1)
        assert await house.denial(StreamKey.generate().reveal()) == Denial.UNKNOWN

    async def test_what_is_no_key_costs_its_address_too(self, house: House) -> None:
        for _ in range(GuessLimits().per_address):
            assert await house.denial("test") == Denial.MALFORMED
        assert await house.denial(StreamKey.generate().reveal()) == Denial.RATE_LIMITED

    async def test_the_user_whose_key_id_is_guessed_gets_in(self, house: House) -> None:
        issued = await house.issue()
        keys = KeyService(house.store, house.clock)  # as after a restart: it has seen none of them
        for number in range(100):
            with pytest.raises(KeyRejectedError):
                await keys.verify(StreamKey(issued.record.key_id, "x" * 32).reveal(), f"192.0.2.{number}")
        assert (await keys.verify(issued.stream_key.reveal(), PEER)).user == "alice"

    @pytest.mark.parametrize("known_by", ["issue", "rotation", "publish"])
    async def test_a_known_key_gets_in_from_a_noisy_address(self, house: House, known_by: str) -> None:
        issued = await house.issue()
        if known_by == "rotation":
            issued = await house.keys.rotate(issued.record.key_id, by=ADMIN)
        elif known_by == "publish":
            house.keys = KeyService(house.store, house.clock)
            await house.publish(issued)
        for _ in range(100):
            await house.denial("test")
        assert (await house.keys.verify(issued.stream_key.reveal(), PEER)).user == "alice"

    @pytest.mark.parametrize("death", ["revoked", "expired", "suspended"])
    async def test_the_holder_of_a_dead_key_is_limited_like_a_guesser(
        self, house: House, monkeypatch: pytest.MonkeyPatch, death: str
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
                await house.keys.sweep()
        asked = counted_look_ups(house, monkeypatch)
        reasons = {await house.denial(issued.stream_key.reveal()) for _ in range(100)}
        assert reasons == {death, Denial.RATE_LIMITED}
        assert len(asked) == GuessLimits().per_key

    async def test_a_restored_user_gets_in_when_a_token_is_back(self, house: House) -> None:
        issued = await house.issue()
        await house.keys.suspend("alice", by=ADMIN)
        for _ in range(100):
            await house.denial(issued.stream_key.reveal())
        await house.keys.restore("alice", by=ADMIN)
        house.clock.advance(60 / GuessLimits().per_key)
        await house.publish(issued)

    async def test_a_store_that_fails_costs_nobody_a_token(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        issued = await house.issue()

        async def fail(key_id: str) -> KeyStanding | None:
            raise StoreUnavailableError("gone")

        with monkeypatch.context() as broken:
            broken.setattr(house.store, "standing", fail)
            for _ in range(100):
                with pytest.raises(StoreUnavailableError):
                    await house.keys.verify(StreamKey.generate().reveal(), PEER)
        await house.publish(issued)
        assert await house.denial(StreamKey.generate().reveal()) == Denial.UNKNOWN

    async def test_the_audit_log_counts_refusals_by_address_key_and_reason(self, house: House) -> None:
        issued = await house.issue()
        for _ in range(30):
            await house.denial(StreamKey(issued.record.key_id, "x" * 32).reveal())
        for _ in range(50):
            await house.denial(StreamKey.generate().reveal())
        await house.keys.sweep()
        assert "publish.denied" not in await house.audited()
        house.clock.advance(60)
        await house.keys.sweep()
        rows = [row.entry for row in (await house.keys.list_audit()).items if row.entry.action == "publish.denied"]
        assert [(row.address, row.key_id, row.reason, row.count) for row in rows] == [
            (PEER, issued.record.key_id, "unknown", 20),
            (PEER, issued.record.key_id, "rate_limited", 10),
            # Ids that somebody made up are not a row each.
            (PEER, None, "unknown", 40),
            (PEER, None, "rate_limited", 10),
        ]

    async def test_refusals_wait_for_a_store_that_is_down_and_are_written_at_the_end(
        self, house: House, fragile: FragileStore
    ) -> None:
        await house.denial("test")
        house.clock.advance(60)
        fragile.is_down = True
        with pytest.raises(StoreUnavailableError):
            await house.keys.sweep()
        fragile.is_down = False
        await house.keys.close()
        assert await house.audited() == ["publish.denied"]


def counted_look_ups(house: House, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Key ids that are looked up in the store from now on."""
    asked: list[str] = []
    look_up = house.store.standing

    async def counted(key_id: str) -> KeyStanding | None:
        asked.append(key_id)
        return await look_up(key_id)

    monkeypatch.setattr(house.store, "standing", counted)
    return asked
