"""A log that was tampered with is found out, on both databases, whatever was done to it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from streamd.clock import ManualClock
from streamd.services.audit.address_eraser import AddressEraser
from streamd.services.audit.audit_log import AuditLog, append_entries
from streamd.services.audit.records import AuditEntry
from streamd.services.audit.verify import FAULTS_MAX, ChainEnd, Verdict, verify_log
from streamd.services.keys.key_store import KeyStore
from streamd.services.store.migrations import migrate
from tests.support.stored_keys import NOW

pytestmark = pytest.mark.asyncio

ENTRY = AuditEntry(NOW, "alice", "key.revoked", "192.0.2.1", "bob", "7k2m9xq4ct", None, "leaked")
ENTRIES = [ENTRY, replace(ENTRY, address="", reason=""), replace(ENTRY, subject="carol", count=5), ENTRY, ENTRY]
# Of a row, what may not be changed, and to what.
CHANGES: dict[str, Any] = {
    "at": "2026-01-01 00:00:00.000001",
    "actor": "mallory",
    "address": "192.0.2.9",
    "action": "key.issued",
    "user": "rob",
    "key_id": "p3v8n5w2rz",
    "stream": "bob",
    "subject": "bob",
    "reason": "leaked!",
    "count": 2,
    "address_salt": b"x" * 16,
    "address_digest": b"x" * 32,
    "hash": b"x" * 32,
}


async def verify(store: KeyStore, *anchors: ChainEnd) -> Verdict:
    return await verify_log(store.database, anchors)


async def tamper(store: KeyStore, statement: str, **values: Any) -> None:
    """Do what the triggers of the database would not have, as whoever owns it can."""
    async with store.database.writing() as connection:
        if store.database.is_sqlite:
            for trigger in ("audit_refuses_update", "audit_refuses_delete"):
                await connection.execute(text(f"DROP TRIGGER IF EXISTS {trigger}"))
        else:
            await connection.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        await connection.execute(text(statement), values)


async def test_a_log_that_nobody_touched_is_whole(store: KeyStore) -> None:
    await store.audit.append(ENTRIES[:2])
    await store.audit.append(ENTRIES[2:])
    verdict = await verify(store)
    assert verdict.faults == ()
    assert (verdict.rows, verdict.rows_before_chain, verdict.end.sequence) == (5, 0, 5)


async def test_an_empty_log_is_whole(store: KeyStore) -> None:
    verdict = await verify(store)
    assert (verdict.rows, verdict.faults, verdict.end.sequence) == (0, (), 0)


@pytest.mark.parametrize("column", CHANGES)
async def test_a_changed_field_is_found_with_its_row(store: KeyStore, column: str) -> None:
    await store.audit.append(ENTRIES)
    value = CHANGES[column]
    if column == "at" and not store.database.is_sqlite:
        value = NOW.replace(microsecond=1)
    await tamper(store, f'UPDATE audit SET "{column}" = :value WHERE sequence = 3', value=value)
    verdict = await verify(store)
    assert verdict.faults
    assert verdict.faults[0].startswith("row 3")


async def test_any_flipped_bit_of_a_value_is_found(store: KeyStore) -> None:
    await store.audit.append(ENTRIES)
    async with store.database.reading() as connection:
        row = (await connection.execute(text("SELECT address_digest, hash FROM audit WHERE sequence = 2"))).one()
        salted = (await connection.execute(text("SELECT address_salt FROM audit WHERE sequence = 3"))).one()
    for sequence, column, was in ((2, "hash", row.hash), (3, "address_salt", salted.address_salt)):
        for place in range(len(was)):
            flipped = bytes([*was[:place], was[place] ^ 1, *was[place + 1 :]])
            await tamper(store, f"UPDATE audit SET {column} = :value WHERE sequence = {sequence}", value=flipped)
            assert (await verify(store)).fault_count
        await tamper(store, f"UPDATE audit SET {column} = :value WHERE sequence = {sequence}", value=was)
    assert (await verify(store)).faults == ()


@pytest.mark.parametrize(
    ("removed", "fault"),
    [
        ("sequence = 1", "row 1 is missing before row 2"),
        ("sequence IN (2, 3)", "rows 2 to 3 are missing before row 4"),
        ("sequence = 5", "row 5 is missing at the end"),
        ("sequence > 2", "rows 3 to 5 are missing at the end"),
        ("sequence > 0", "rows 1 to 5 are missing at the end"),
    ],
)
async def test_a_removed_row_is_found(store: KeyStore, removed: str, fault: str) -> None:
    await store.audit.append(ENTRIES)
    await tamper(store, f"DELETE FROM audit WHERE {removed}")
    assert fault in (await verify(store)).faults


async def test_a_removed_end_whose_trace_is_removed_as_well_is_found_by_what_was_noted(store: KeyStore) -> None:
    await store.audit.append(ENTRIES)
    noted = (await verify(store)).end
    async with store.database.reading() as connection:
        last = (await connection.execute(text("SELECT hash FROM audit WHERE sequence = 3"))).scalar_one()
    await tamper(store, "DELETE FROM audit WHERE sequence > 3")
    await tamper(store, "UPDATE audit_chain SET end_sequence = 3, end_hash = :hash", hash=last)
    assert (await verify(store)).faults == ()
    assert (await verify(store, noted)).faults == ("row 5, which was noted before, is missing",)
    # Nor does it help to write others in their place.
    await store.audit.append([ENTRY, ENTRY])
    assert (await verify(store, noted)).faults == ("row 5 is not the one that was noted before",)
    assert (await verify(store, ChainEnd(3, last))).faults == ()


async def test_rows_that_change_places_are_found(store: KeyStore) -> None:
    await store.audit.append(ENTRIES)
    for was, becomes in ((2, 99), (3, 2), (99, 3)):
        await tamper(store, f"UPDATE audit SET sequence = {becomes} WHERE sequence = {was}")
    assert {fault.partition(" does")[0] for fault in (await verify(store)).faults} >= {"row 2", "row 3"}


async def test_a_row_that_was_put_in_behind_the_end_is_found(store: KeyStore) -> None:
    await store.audit.append(ENTRIES)
    await tamper(
        store,
        "INSERT INTO audit (sequence, at, actor, address, action, reason) "
        "SELECT 6, at, actor, '', action, reason FROM audit WHERE sequence = 1",
    )
    assert "row 6 is behind the end of the chain" in (await verify(store)).faults


@pytest.mark.parametrize("column", ["begin_hash", "end_hash"])
async def test_a_changed_end_or_beginning_of_the_chain_is_found(store: KeyStore, column: str) -> None:
    await store.audit.append(ENTRIES)
    await tamper(store, f"UPDATE audit_chain SET {column} = :value", value=b"x" * 32)
    assert (await verify(store)).faults


async def test_a_chain_that_is_gone_is_found(store: KeyStore) -> None:
    await store.audit.append(ENTRIES)
    await tamper(store, "DELETE FROM audit_chain")
    assert (await verify(store)).faults == ("the beginning and the end of the chain are missing",)


async def test_erased_addresses_leave_the_chain_whole_and_no_way_back_to_them(store: KeyStore) -> None:
    clock = ManualClock()
    await store.audit.append(replace(entry, at=clock.now()) for entry in ENTRIES)
    clock.advance(10 * 86_400)
    await AddressEraser(store.database, clock, keep_days=1).look()
    async with store.database.reading() as connection:
        left = (await connection.execute(text("SELECT address, address_salt FROM audit"))).all()
    assert {tuple(row) for row in left} == {("", None)}
    assert (await verify(store)).faults == ()


async def test_an_address_that_is_erased_without_its_salt_is_found(store: KeyStore) -> None:
    """Whoever has the salt can try all addresses."""
    await store.audit.append(ENTRIES)
    await tamper(store, "UPDATE audit SET address = '' WHERE sequence = 1")
    assert (await verify(store)).faults == ("row 1: its address is erased, and the salt is not",)


async def test_an_address_that_is_put_into_a_row_without_one_is_found(store: KeyStore) -> None:
    await store.audit.append(ENTRIES)
    await tamper(store, "UPDATE audit SET address = '192.0.2.7' WHERE sequence = 2")
    assert (await verify(store)).faults == ("row 2: an address was added",)


async def test_writers_at_once_on_several_servers_make_one_chain(store: KeyStore, database_url: str) -> None:
    others = [KeyStore(database_url) for _ in range(3)]
    for other in others:
        await other.start()
    writers = [each.audit.append([replace(ENTRY, reason=str(number))] * 2) for number in range(15) for each in others]
    await asyncio.gather(*writers)
    verdict = await verify(store)
    assert (verdict.rows, verdict.end.sequence, verdict.faults) == (90, 90, ())
    for other in others:
        await other.close()


async def test_a_transaction_that_fails_leaves_no_gap(store: KeyStore) -> None:
    await store.audit.append(ENTRIES)
    with contextlib.suppress(ZeroDivisionError):
        async with store.database.writing() as connection:
            await append_entries(connection, ENTRIES)
            raise ZeroDivisionError
    await store.audit.append(ENTRIES)
    verdict = await verify(store)
    assert (verdict.end.sequence, verdict.faults) == (10, ())


@pytest.mark.empty_database
class TestOldRows:
    """What was there before the log was a chain."""

    @pytest_asyncio.fixture
    async def old(self, database_url: str) -> KeyStore:
        store = KeyStore(database_url)
        async with store.database.writing() as connection:
            await connection.run_sync(migrate, "0008")
            for number in (1, 2, 4):
                at = f"2026-01-01 00:00:0{number}.000000" if store.database.is_sqlite else NOW
                await connection.execute(
                    text(
                        "INSERT INTO audit (sequence, at, actor, address, action, reason) "
                        "VALUES (:number, :at, 'admin', '192.0.2.1', 'x.done', '')"
                    ),
                    {"number": number, "at": at},
                )
        await store.start()
        await store.audit.append(ENTRIES)
        return store

    async def test_they_have_one_hash_together(self, old: KeyStore) -> None:
        verdict = await verify(old)
        assert (verdict.faults, verdict.rows, verdict.rows_before_chain, verdict.end.sequence) == ((), 8, 3, 9)
        await tamper(old, "UPDATE audit SET address = '' WHERE sequence < 3")
        assert (await verify(old)).faults == ()
        await old.close()

    @pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
    @pytest.mark.parametrize("sequence", [1, 4])
    async def test_a_change_of_one_is_found(self, old: KeyStore, change: str, sequence: int) -> None:
        await tamper(old, f"{change} WHERE sequence = {sequence}")
        (fault,) = (await verify(old)).faults
        assert fault == "rows 1 to 4, which are older than the chain, are not as they were when it began"
        await old.close()


class TestBytesOfAFile:
    """SQLite's file, of which whoever has the machine can change any byte."""

    async def test_a_flipped_byte_within_any_value_is_found(self, tmp_path: Path) -> None:
        path = tmp_path / "streamd.db"
        store = KeyStore(f"sqlite+aiosqlite:///{path}")
        await store.start()
        await AuditLog(store.database).append(replace(ENTRY, reason=f"reason-{number}") for number in range(3))
        async with store.database.reading() as connection:
            row_2 = (await connection.execute(text("SELECT hash FROM audit WHERE sequence = 2"))).one()
        await store.close()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        whole = path.read_bytes()
        reason = whole.index(b"reason-1")
        # All of a row lies together, from its time to its hash.
        for place in range(whole.rindex(b"2026", 0, reason), whole.index(row_2.hash) + len(row_2.hash)):
            path.write_bytes(bytes([*whole[:place], whole[place] ^ 0x04, *whole[place + 1 :]]))
            store = KeyStore(f"sqlite+aiosqlite:///{path}", is_reading=True)
            verdict = await verify(store)
            await store.close()
            assert verdict.fault_count, whole[place - 8 : place + 8]


async def test_a_log_that_was_written_over_is_told_of_in_so_many_lines(store: KeyStore) -> None:
    await store.audit.append([ENTRY] * (FAULTS_MAX + 50))
    await tamper(store, "UPDATE audit SET actor = 'mallory'")
    verdict = await verify(store)
    assert (len(verdict.faults), verdict.fault_count) == (FAULTS_MAX, FAULTS_MAX + 50)
