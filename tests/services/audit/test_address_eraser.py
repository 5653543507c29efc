from __future__ import annotations

from datetime import timedelta

import pytest

from streamd.clock import ManualClock
from streamd.services.audit.address_eraser import PAUSE_S, ROWS_AT_ONCE, AddressEraser
from streamd.services.audit.records import AuditEntry
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.records import KeyUse
from tests.support.stored_keys import add, key_id

pytestmark = pytest.mark.asyncio

ADDRESS = "192.0.2.7"
DAY = timedelta(days=1)


class Log:
    """A store with rows of this many days ago, and its eraser."""

    def __init__(self, store: KeyStore, keep_days: int = 7) -> None:
        self.store, self.clock = store, ManualClock()
        self.eraser = AddressEraser(store.database, self.clock, keep_days)

    async def write(self, *days_ago: float) -> None:
        now = self.clock.now()
        await self.store.audit.append(
            AuditEntry(now - days * DAY, "admin", "key.issued", ADDRESS, user="alice", reason="x") for days in days_ago
        )

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            await self.eraser.look()

    async def addresses(self) -> list[str]:
        rows = (await self.store.audit.page(after=0, limit=10_000)).items
        assert all((row.entry.user, row.entry.reason) == ("alice", "x") for row in rows)
        return [row.entry.address for row in rows]


async def test_old_addresses_are_erased_and_the_rows_stay(store: KeyStore) -> None:
    log = Log(store)
    await log.write(30, 8, 7, 6.9, 0)
    await log.look()
    assert await log.addresses() == ["", "", ADDRESS, ADDRESS, ADDRESS]


async def test_they_grow_old_while_the_server_runs(store: KeyStore) -> None:
    log = Log(store)
    await log.write(6, 5)
    await log.look()
    log.clock.advance(1.5 * 86_400)
    await log.look()
    assert await log.addresses() == ["", ADDRESS]
    log.clock.advance(86_400)
    await log.look()
    assert await log.addresses() == ["", ""]


async def test_a_long_log_is_gone_through_in_slices_and_then_left_alone(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(store)
    await log.write(*[8] * (ROWS_AT_ONCE + 1))
    await log.look()
    assert (await log.addresses()).count("") == ROWS_AT_ONCE
    await log.look()
    assert (await log.addresses()).count("") == ROWS_AT_ONCE + 1
    await log.write(8)
    await log.look()
    assert (await log.addresses())[-1] == ADDRESS, "the next look is in an hour"
    log.clock.advance(PAUSE_S)
    await log.look()
    assert (await log.addresses())[-1] == ""


async def test_addresses_of_last_uses_are_erased_too(store: KeyStore) -> None:
    log = Log(store)
    for number, days in enumerate((8, 6), 1):
        await add(store, number)
        await store.record_uses({key_id(number): KeyUse(log.clock.now() - days * DAY, ADDRESS)})
    await log.look()
    old, young = [await store.get_key(key_id(number)) for number in (1, 2)]
    assert (old.last_used_address, young.last_used_address) == ("", ADDRESS)
    assert old.last_used_at == log.clock.now() - 8 * DAY


async def test_nothing_is_erased_unless_it_is_asked_for(store: KeyStore) -> None:
    log = Log(store, keep_days=0)
    await log.write(1000)
    await log.look()
    assert await log.addresses() == [ADDRESS]
    log.eraser.configure(7)
    await log.look()
    assert await log.addresses() == [""]


async def test_a_shorter_time_holds_from_the_next_look_on(store: KeyStore) -> None:
    log = Log(store)
    await log.write(8, 3)
    await log.look()
    log.eraser.configure(2)
    await log.look()
    assert await log.addresses() == ["", ""]
