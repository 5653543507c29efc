"""What the database does when all is well, when it is old or new, and when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from streamd.errors import StoreUnavailableError
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.records import KeyStanding
from streamd.services.store import database, postgres, sqlite
from streamd.services.store.database import Database
from streamd.services.store.migrations import migrate
from tests.support.stored_keys import LATER, NOW, add, key_id

pytestmark = [pytest.mark.asyncio, pytest.mark.empty_database]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(offset)
        file.write(data)


class TestSqlite:
    """What is particular to a file."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "streamd.db"

    def open(self, path: Path) -> KeyStore:
        return KeyStore(f"sqlite+aiosqlite:///{path}")

    async def test_it_is_durable_on_power_loss(self, path: Path) -> None:
        store = self.open(path)
        await store.start()
        async with store.database.reading() as connection:
            pragmas = [
                (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
        assert pragmas == ["wal", 2, 1, 5000]
        await store.close()

    async def test_expired_keys_are_found_by_an_index(self, path: Path) -> None:
        store = self.open(path)
        await store.start()
        asked: list[tuple[str, Any]] = []

        def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
            asked.append((statement, parameters))

        event.listen(store.database._reader.sync_engine, "before_cursor_execute", note)
        await store.keys_expired(NOW, LATER)
        ((statement, parameters),) = asked
        async with store.database.reading() as connection:
            plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)).all()
        assert "USING INDEX ix_keys_expires_at" in plan[0][-1]
        await store.close()

    async def test_nobody_else_can_read_it(self, path: Path) -> None:
        store = self.open(path)
        await store.start()
        await add(store, 1)
        assert mode(path) == mode(path.with_name("streamd.db-wal")) == 0o600
        await store.close()

    async def fails(self, store: KeyStore) -> str:
        with pytest.raises(StoreUnavailableError) as caught:
            await store.start()
        await store.close()
        message = str(caught.value)
        assert "\n" not in message
        return message

    async def test_a_file_that_is_no_database_is_said_to_be_none(self, path: Path) -> None:
        overwrite(path, 0, b"not a database at all" * 100)
        assert "damaged or not a database" in await self.fails(self.open(path))

    async def test_a_damaged_page_is_said_to_be_damage(self, path: Path) -> None:
        store = self.open(path)
        await store.start()
        for number in range(50):
            await add(store, number, label="x" * 90)
        await store.close()
        overwrite(path, 4096, b"\xff" * 40_000)
        assert "is damaged" in await self.fails(self.open(path))

    async def test_a_directory_that_is_missing_is_said_to_be(self, tmp_path: Path) -> None:
        message = await self.fails(self.open(tmp_path / "none" / "streamd.db"))
        assert "check that its directory exists" in message

    async def test_a_read_only_database_still_verifies_and_refuses_to_write(self, path: Path) -> None:
        store = self.open(path)
        await store.start()
        await add(store, 1)
        await store.close()
        store = KeyStore(f"sqlite+aiosqlite:///file:{path}?mode=ro&uri=true")
        assert await store.standing(key_id(1)) is not None
        with pytest.raises(StoreUnavailableError, match="cannot be written"):
            await add(store, 2)
        await store.close()

    async def test_a_read_that_fails_when_its_caller_has_left_is_no_news(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failing, unhandled = asyncio.Event(), list[object]()
        store = KeyStore(f"sqlite+aiosqlite:///{path}")

        async def fails(_: object) -> dict[str, KeyStanding]:
            await failing.wait()
            raise StoreUnavailableError

        monkeypatch.setattr(store, "standings", fails)
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        caller = asyncio.create_task(store.standing("7k2m9xq4ct"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        caller.cancel()
        failing.set()
        await store.close()
        with pytest.raises(asyncio.CancelledError):
            await caller
        gc.collect()
        assert unhandled == []

    async def test_a_locked_database_is_said_to_be_locked(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("streamd.services.store.sqlite.BUSY_TIMEOUT_MS", 10)
        store = self.open(path)
        await store.start()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError, match="locked by another process"):
                await add(store, 1)
            other.execute("ROLLBACK")
        await add(store, 1)
        await store.close()

    async def test_a_full_disk_leaves_no_half_key(self, path: Path) -> None:
        store = self.open(path)
        await store.start()
        await add(store, 0)
        async with store.database.reading() as connection:
            pages = (await connection.execute(text("PRAGMA page_count"))).scalar_one()
        await store.close()
        store = self.open(path)

        async def fill() -> None:
            for number in range(1, 1000):
                # A limit on the file's pages is what SQLite reports as a full disk.
                async with store.database.writing() as connection:
                    await connection.execute(text(f"PRAGMA max_page_count = {pages}"))
                await add(store, number, user=f"user{number}", label="x" * 90)

        with pytest.raises(StoreUnavailableError, match="the disk is full"):
            await fill()
        users = len((await store.list_users(state=None, after="", limit=1000)).items)
        keys = len((await store.list_keys(user=None, state=None, now=NOW, after=0, limit=1000)).items)
        assert users == keys
        assert len((await store.audit.page(after=0, limit=10_000)).items) == users + keys
        await store.close()


class TestMigrations:
    async def test_starting_again_changes_nothing(self, database_url: str) -> None:
        for _ in range(2):
            store = KeyStore(database_url)
            await store.start()
            await store.close()

    async def test_a_newer_schema_is_refused_by_name(self, database_url: str) -> None:
        store = KeyStore(database_url)
        await store.start()
        async with store.database.writing() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StoreUnavailableError, match=r"newer streamd \(schema 9999\)"):
            await store.start()
        await store.close()

    async def test_an_older_schema_is_brought_up_to_date_with_its_rows(self, database_url: str) -> None:
        store = KeyStore(database_url)
        async with store.database.writing() as connection:
            await connection.run_sync(migrate, "0001")
            await connection.execute(
                text("INSERT INTO audit (at, actor, address, action, reason) VALUES (:at, 'admin', '', 'x.done', '')"),
                {"at": "2026-01-01 00:00:00.000000" if store.database.is_sqlite else NOW},
            )
        await store.start()
        (row,) = (await store.audit.page(after=0, limit=10)).items
        assert (row.entry.action, row.entry.count) == ("x.done", 1)
        await store.close()

    async def test_the_steps_make_the_tables_that_the_code_expects(self, store: KeyStore) -> None:
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext
        from sqlalchemy import Connection

        from streamd.services.store.schema import metadata

        def differences(connection: Connection) -> list[Any]:
            return list(compare_metadata(MigrationContext.configure(connection), metadata))

        async with store.database.writing() as connection:
            assert await connection.run_sync(differences) == []


class TestUrls:
    @pytest.mark.parametrize(
        "url", ["", "nonsense", "mysql+aiomysql://u:hunter22@host/db", "postgresql://u:hunter22@host/db"]
    )
    async def test_a_database_that_we_do_not_know_is_refused_without_its_password(self, url: str) -> None:
        with pytest.raises(StoreUnavailableError) as caught:
            KeyStore(url)
        assert "hunter22" not in str(caught.value)

    async def test_a_database_that_is_not_there_is_one_line_without_its_password(self) -> None:
        store = KeyStore("postgresql+asyncpg://u:hunter22@127.0.0.1:1/db")
        with pytest.raises(StoreUnavailableError) as caught:
            await store.start()
        assert "hunter22" not in str(caught.value)
        assert "\n" not in str(caught.value)
        await store.close()

    async def test_a_driver_that_is_missing_is_named_with_its_cure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "asyncpg", None)
        with pytest.raises(StoreUnavailableError, match="pip install asyncpg"):
            KeyStore("postgresql+asyncpg://host/db")


async def test_writes_wait_for_no_reads(store: KeyStore) -> None:
    """However many ask to be let in, and however slow the database is: a revocation is one act."""
    readers = sqlite.READERS_MAX if store.database.is_sqlite else postgres.READERS_MAX
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(readers):
            connection = await stack.enter_async_context(store.database.reading())
            await connection.execute(text("SELECT 1"))
        waiting = [asyncio.create_task(store.standing("7k2m9xq4ct")) for _ in range(10)]
        await add(store, 1)
        assert not any(task.done() for task in waiting)
    assert await asyncio.gather(*waiting) == [None] * 10


async def test_reads_that_nobody_waits_for_are_bounded(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "READS_MAX", 5)
    gate = asyncio.Event()
    for _ in range(5):
        caller = asyncio.create_task(store.database.abandonable(_pass(gate)))
        await asyncio.sleep(0)
        caller.cancel()
    with pytest.raises(StoreUnavailableError, match="5 reads to answer already"):
        await store.standing("7k2m9xq4ct")
    gate.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await store.standing("7k2m9xq4ct") is None


async def _pass(gate: asyncio.Event) -> None:
    await gate.wait()


async def test_where_it_is_is_told_without_password_and_query() -> None:
    database = Database("postgresql+asyncpg://ann:hunter22@db.example/streamd?password=hunter23&ssl=require")
    assert database.location == "postgresql+asyncpg://ann:***@db.example/streamd"


async def test_a_database_that_is_not_there_is_told_in_words(tmp_path: Path) -> None:
    database = Database(f"postgresql+asyncpg://ann@/streamd?host={tmp_path}")
    with pytest.raises(StoreUnavailableError, match="cannot be reached: No such file or directory"):
        await database.start()
    await database.close()
