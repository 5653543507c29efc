"""What dies by itself or in another process, and what waits to be written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from datetime import timedelta

import pytest

from streamd.clock import ManualClock
from streamd.errors import KeyRejectedError, StoreUnavailableError
from streamd.services.keys import last_uses
from streamd.services.keys.admission import Denial
from streamd.services.keys.records import KeyStanding, PublishLimits
from streamd.services.keys.service import KeyService
from streamd.services.keys.stream_key import StreamKey
from streamd.services.keys.sweeper import KeySweeper, SweepOptions
from streamd.services.keys.verifier import KeyVerifier, VerifierOptions
from tests.support.key_house import ADMIN, PEER, FragileStore, KeyHouse, Streams

pytestmark = pytest.mark.asyncio


class TestExpiry:
    async def test_a_running_stream_is_closed_on_time(self, house: KeyHouse) -> None:
        admission = await house.publish(await house.issue(seconds=60))
        house.clock.advance(59.999)
        await house.sweeper.sweep()
        assert house.streams.closed == []
        house.clock.advance(0.001)
        await house.sweeper.sweep()
        assert house.streams.closed == [("alice", "expired")]
        assert admission.ended_by is Denial.EXPIRED

    async def test_a_wall_clock_that_is_stepped_is_believed(self, house: KeyHouse) -> None:
        await house.publish(await house.issue(seconds=3600))
        house.clock.step_wall(3600)
        await house.sweeper.sweep()
        assert house.streams.closed == [("alice", "expired")]

    async def test_it_is_closed_also_where_the_store_is_down(self, house: KeyHouse, fragile: FragileStore) -> None:
        await house.publish(await house.issue(seconds=60))
        fragile.is_down = True
        house.clock.advance(60)
        with pytest.raises(StoreUnavailableError):
            await house.sweeper.sweep()
        assert house.streams.closed == [("alice", "expired")]


class TestOtherProcess:
    """The command line on the store, or a second server: ``sweep`` finds what they did."""

    async def recheck(self, house: KeyHouse) -> None:
        house.clock.advance(SweepOptions().recheck_interval_s)
        await house.sweeper.sweep()

    @pytest.mark.parametrize("what", ["revoked", "suspended", "expired"])
    async def test_what_died_there_is_closed_here(self, house: KeyHouse, what: str) -> None:
        issued = await house.issue()
        admission = await house.publish(issued)
        other = KeyHouse(house.store).keys
        match what:
            case "revoked":
                await other.revoke(issued.record.key_id, by=ADMIN)
            case "suspended":
                await other.suspend("alice", by=ADMIN)
            case _:
                await other.rotate(issued.record.key_id, by=ADMIN, overlap_s=1)
        await self.recheck(house)
        await house.sweeper.sweep()
        assert house.streams.closed == [("alice", what)]
        assert admission.ended_by == what
        assert house.verifier.admissions.is_suspended("alice") == (what == "suspended")

    async def test_what_lives_goes_on(self, house: KeyHouse) -> None:
        admission = await house.publish(await house.issue())
        await self.recheck(house)
        assert house.verifier.admissions.is_admissible(admission)

    async def test_limits_that_were_changed_there_hold_here(self, house: KeyHouse) -> None:
        admission = await house.publish(await house.issue())
        await KeyHouse(house.store).keys.limit("alice", {"bitrate_kbps_max": 6000}, by=ADMIN)
        await self.recheck(house)
        assert admission.limits == PublishLimits(bitrate_kbps_max=6000)

    async def test_a_key_whose_row_is_gone_is_closed(self, house: KeyHouse) -> None:
        issued = await house.issue()
        await house.publish(issued)
        await house.sweeper.sweep()
        async with house.store.database.writing() as connection:
            await connection.exec_driver_sql("DELETE FROM keys")
        await self.recheck(house)
        assert house.streams.closed == [("alice", "unknown")]

    async def test_what_was_read_before_a_change_of_our_own_is_not_believed(
        self, house: KeyHouse, monkeypatch: pytest.MonkeyPatch
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
        assert not house.verifier.admissions.is_suspended("alice")
        await house.sweeper.sweep()
        assert not house.verifier.admissions.is_suspended("alice")

    async def test_streams_go_on_while_the_store_is_down(self, house: KeyHouse, fragile: FragileStore) -> None:
        admission = await house.publish(await house.issue())
        await house.sweeper.sweep()
        fragile.is_down = True
        with pytest.raises(StoreUnavailableError):
            await self.recheck(house)
        assert house.verifier.admissions.is_admissible(admission)
        fragile.is_down = False
        await self.recheck(house)

    async def test_a_store_that_can_only_be_read_still_tells_of_it(
        self, house: KeyHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As with a full disk."""
        issued = await house.issue()
        await house.publish(issued)
        await KeyHouse(house.store).keys.revoke(issued.record.key_id, by=ADMIN)

        async def full(_: object) -> None:
            raise StoreUnavailableError("the disk is full")

        monkeypatch.setattr(house.store, "record_uses", full)
        house.clock.advance(SweepOptions().recheck_interval_s)
        with pytest.raises(StoreUnavailableError, match="the disk is full"):
            await house.sweeper.sweep()
        assert house.streams.closed == [("alice", "revoked")]


class TestWriting:
    async def test_uses_that_cannot_be_written_wait_within_bounds(
        self, house: KeyHouse, fragile: FragileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(last_uses, "USES_WAITING_MAX", 2)
        issued = [await house.issue() for _ in range(3)]
        for key in issued:
            await house.publish(key)
            fragile.is_down = True
            with pytest.raises(StoreUnavailableError):
                await house.sweeper.sweep()
            fragile.is_down = False
        await house.sweeper.close()
        used = [(await house.store.get_key(key.record.key_id)).last_used_at is not None for key in issued]
        assert used == [False, True, True]

    async def test_the_audit_log_counts_refusals_by_address_key_and_reason(self, house: KeyHouse) -> None:
        issued = await house.issue()
        for _ in range(30):
            await house.denial(StreamKey(issued.record.key_id, "x" * 32).reveal())
        for _ in range(50):
            await house.denial(StreamKey.generate().reveal())
        await house.sweeper.sweep()
        assert "publish.denied" not in await house.audited()
        house.clock.advance(60)
        await house.sweeper.sweep()
        rows = [row.entry for row in (await house.keys.list_audit()).items if row.entry.action == "publish.denied"]
        assert [(row.address, row.key_id, row.reason, row.count) for row in rows] == [
            (PEER, issued.record.key_id, "unknown", 20),
            (PEER, issued.record.key_id, "rate_limited", 10),
            # Ids that somebody made up are not a row each.
            (PEER, None, "unknown", 40),
            (PEER, None, "rate_limited", 10),
        ]

    async def test_the_rows_about_refusals_are_as_many_as_is_configured_again(self, house: KeyHouse) -> None:
        house.verifier.configure(VerifierOptions(denials_per_minute_max=1))
        for peer in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
            with pytest.raises(KeyRejectedError):
                await house.verifier.verify("test", peer)
        house.clock.advance(60)
        await house.sweeper.sweep()
        rows = [row.entry for row in (await house.keys.list_audit()).items]
        assert [(row.address, row.count) for row in rows] == [("192.0.2.1", 1), ("", 2)]

    async def test_refusals_wait_for_a_store_that_is_down_and_are_written_at_the_end(
        self, house: KeyHouse, fragile: FragileStore
    ) -> None:
        await house.denial("test")
        house.clock.advance(60)
        fragile.is_down = True
        with pytest.raises(StoreUnavailableError):
            await house.sweeper.sweep()
        fragile.is_down = False
        await house.sweeper.close()
        assert await house.audited() == ["publish.denied"]


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
        options = SweepOptions(sweep_interval_s=1, recheck_interval_s=1)
        sweeper = KeySweeper(fragile, clock, KeyVerifier(fragile, clock), options, sleep=sleep)
        with caplog.at_level(logging.INFO):
            task = asyncio.create_task(sweeper.run())
            await done.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        events = [r.message for r in caplog.records if r.name == "streamd.services.keys.sweeper"]
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
        verifier = KeyVerifier(fragile, clock)
        verifier.admissions.attach(Stuck())
        keys = KeyService(fragile, clock, verifier)
        sweeper = KeySweeper(fragile, clock, verifier, sleep=sleep)
        admissions = []
        for _ in range(2):
            issued = await keys.issue("alice", by=ADMIN, expires_at=clock.now() + timedelta(seconds=5))
            admissions.append(await verifier.verify(issued.stream_key.reveal(), PEER))
            clock.advance(5)
            task = asyncio.create_task(sweeper.run())
            await attempts.acquire()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
