"""Which keys are known before they show themselves: after a start, and where another process makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from streamd.clock import ManualClock
from streamd.errors import KeyRejectedError, StoreUnavailableError
from streamd.services.keys import living_hashes
from streamd.services.keys.guessing import GuessGuard
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.living_hashes import LivingHashes
from streamd.services.keys.records import IssuedKey, KeyUse, LivingKey
from streamd.services.keys.service import KeyService
from streamd.services.keys.stream_key import StreamKey
from streamd.services.keys.sweeper import KeySweeper
from streamd.services.keys.verifier import KeyVerifier
from tests.support.ingest import settle
from tests.support.key_house import ADMIN, PEER

pytestmark = pytest.mark.asyncio


class Process:
    """One process on a store, which others may use too."""

    def __init__(self, store: KeyStore, clock: ManualClock) -> None:
        self.clock = clock
        self.verifier = KeyVerifier(store, clock)
        self.keys = KeyService(store, clock, self.verifier)
        self.sweeper = KeySweeper(store, clock, self.verifier)

    async def recheck(self) -> None:
        self.clock.advance(5)
        await self.sweeper.sweep()

    async def lets_in(self, issued: IssuedKey) -> bool:
        """Whether a key gets in while somebody guesses from the same address."""
        for _ in range(100):
            with pytest.raises(KeyRejectedError):
                await self.verifier.verify(StreamKey.generate().reveal(), PEER)
        try:
            await self.verifier.verify(issued.stream_key.reveal(), PEER)
        except KeyRejectedError:
            return False
        return True


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def other(store: KeyStore, clock: ManualClock) -> Process:
    return Process(store, clock)


async def started(store: KeyStore, clock: ManualClock) -> Process:
    process = Process(store, clock)
    await process.verifier.start()
    await process.verifier.hashes.close()
    return process


class TestAfterAStart:
    async def test_a_key_gets_in_from_a_noisy_address(
        self, store: KeyStore, clock: ManualClock, other: Process
    ) -> None:
        issued = await other.keys.issue("alice", by=ADMIN)
        assert await (await started(store, clock)).lets_in(issued)

    async def test_the_dead_are_not_known(self, store: KeyStore, clock: ManualClock, other: Process) -> None:
        soon = clock.now() + timedelta(seconds=1)
        expired = await other.keys.issue("alice", by=ADMIN, expires_at=soon)
        revoked = await other.keys.issue("alice", by=ADMIN)
        suspended = await other.keys.issue("bob", by=ADMIN)
        await other.keys.revoke(revoked.record.key_id, by=ADMIN)
        await other.keys.suspend("bob", by=ADMIN)
        clock.advance(1)
        process = await started(store, clock)
        for issued in (expired, revoked, suspended):
            assert not await process.lets_in(issued)

    async def test_a_store_that_fails_then_is_asked_again(
        self, store: KeyStore, clock: ManualClock, other: Process, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        issued = await other.keys.issue("alice", by=ADMIN)
        with monkeypatch.context() as patch:

            async def fail() -> int:
                raise StoreUnavailableError("the key store is down")

            patch.setattr(store, "newest_key_sequence", fail)
            process = await started(store, clock)
        assert not await process.lets_in(issued)
        await process.recheck()
        assert await process.lets_in(issued)


class TestAnotherProcess:
    async def test_its_keys_are_known_after_the_next_look(
        self, store: KeyStore, clock: ManualClock, other: Process
    ) -> None:
        process = await started(store, clock)
        issued = await other.keys.issue("alice", by=ADMIN)
        assert not await process.lets_in(issued)
        await process.recheck()
        assert await process.lets_in(issued)

    @pytest.mark.parametrize("is_elsewhere", [False, True])
    async def test_keys_of_a_user_who_is_restored_are_known_after_the_next_look(
        self, store: KeyStore, clock: ManualClock, other: Process, is_elsewhere: bool
    ) -> None:
        issued = await other.keys.issue("alice", by=ADMIN)
        await other.keys.suspend("alice", by=ADMIN)
        process = await started(store, clock)
        await (other if is_elsewhere else process).keys.restore("alice", by=ADMIN)
        assert not await process.lets_in(issued)
        await process.recheck()
        assert await process.lets_in(issued)


class TestTheStore:
    async def test_gives_those_first_that_were_lately_used_or_issued(
        self, store: KeyStore, clock: ManualClock, other: Process
    ) -> None:
        ids = []
        for _ in range(5):
            ids.append((await other.keys.issue("alice", by=ADMIN)).record.key_id)
            clock.advance(1)
        await store.record_uses({ids[1]: KeyUse(clock.now(), PEER)})
        expected = [ids[index] for index in (1, 4, 3, 2, 0)]
        for at_once in (1, 2, 100):
            slices = [part async for part in store.living_hashes(now=clock.now(), limit=4, at_once=at_once)]
            assert [len(part) for part in slices] == {1: [1] * 4, 2: [2, 2], 100: [4]}[at_once]
            assert [key.key_id for part in slices for key in part] == expected[:4]
        assert [part async for part in store.living_hashes(now=clock.now(), limit=4, at_once=4, user="bob")] == []

    async def test_gives_what_was_issued_after_another(
        self, store: KeyStore, clock: ManualClock, other: Process
    ) -> None:
        assert await store.newest_key_sequence() == 0
        records = [(await other.keys.issue("alice", by=ADMIN)).record for _ in range(4)]
        assert await store.newest_key_sequence() == records[-1].sequence
        await other.keys.revoke(records[2].key_id, by=ADMIN)
        after = records[0].sequence
        for limit, expected in ((1, [records[1]]), (10, [records[1], records[3]])):
            found = await store.hashes_issued(after=after, now=clock.now(), limit=limit)
            assert [key.key_id for key in found] == [record.key_id for record in expected]


class ManyKeys:
    """A store with more keys than anybody remembers, read until a test lets it go on."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[int] = []
        self.gate = asyncio.Event()

    async def newest_key_sequence(self) -> int:
        return self.count

    async def living_hashes(self, *, limit: int, at_once: int, **_: Any) -> AsyncIterator[list[LivingKey]]:
        self.asked.append(limit)
        await self.gate.wait()
        rows = [LivingKey(number, f"key{number}", b"") for number in range(self.count, 0, -1)][:limit]
        for start in range(0, len(rows), at_once):
            yield rows[start : start + at_once]


class TestMoreThanAreRemembered:
    async def test_the_start_does_not_wait_for_them_and_the_newest_are_kept(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(living_hashes, "START_WAIT_S", 0)
        store, guard = ManyKeys(5000), GuessGuard(hashes_max=2000)
        hashes = LivingHashes(store, ManualClock(), guard)  # type: ignore[arg-type]  # what it asks
        guard.remember("shown", b"")
        await hashes.start()
        assert not guard.knows("key5000")
        store.gate.set()
        loop, turns = asyncio.get_running_loop(), 0

        def look_on() -> None:
            nonlocal turns
            turns += 1
            if not guard.knows("key3002"):
                loop.call_soon(look_on)

        look_on()
        await hashes.look()  # nothing, while all are read
        await settle(lambda: guard.knows("key3002"))
        await hashes.close()
        assert store.asked == [2000]
        assert turns >= 2, "the others have their turn between two slices"
        assert not guard.knows("key3001"), "2000, and one has shown itself"
        for number in range(1999):
            guard.remember(f"new{number}", b"")
        assert guard.knows("shown")
        assert not guard.knows("key5000")
