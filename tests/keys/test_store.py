from __future__ import annotations

import asyncio
import gc
import sqlite3
import stat
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from streamd.errors import KeyNotFoundError, KeyStateError, StoreUnavailableError, UserNotFoundError
from streamd.keys.migrations import migrate
from streamd.keys.records import (
    SERVER_LIMITS,
    Actor,
    AuditEntry,
    KeyRecord,
    KeyStanding,
    KeyState,
    KeyUse,
    PublishLimits,
    UserState,
)
from streamd.keys.store import IDS_PER_QUERY_MAX, KeyStore

pytestmark = pytest.mark.asyncio

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ADMIN = Actor("admin", "192.0.2.1")
HASH = bytes(range(32))


def key_id(number: int) -> str:
    return f"{number:010}"


async def add(store: KeyStore, number: int, user: str = "alice", **changes: Any) -> KeyRecord:
    values: dict[str, Any] = {"label": "", "expires_at": None, "now": NOW, "by": ADMIN} | changes
    return await store.add_key(key_id=key_id(number), secret_hash=HASH, user=user, **values)


async def actions(store: KeyStore) -> list[tuple[str, str | None]]:
    return [(row.entry.action, row.entry.key_id) for row in (await store.list_audit(after=0, limit=100)).items]


class TestKeys:
    async def test_a_key_comes_back_as_it_was_added(self, store: KeyStore) -> None:
        added = await add(store, 1, label="main 🎥", expires_at=LATER)
        assert await store.get_key(key_id(1)) == added
        assert added == KeyRecord(
            sequence=1, key_id=key_id(1), user="alice", label="main 🎥", created_at=NOW, created_by="admin",
            expires_at=LATER,
        )  # fmt: skip

    async def test_a_new_user_is_created_once_and_both_are_audited(self, store: KeyStore) -> None:
        await add(store, 1)
        await add(store, 2)
        assert await actions(store) == [("user.created", None), ("key.issued", key_id(1)), ("key.issued", key_id(2))]

    async def test_a_taken_id_adds_nothing_at_all(self, store: KeyStore) -> None:
        await add(store, 1)
        before = await actions(store)
        with pytest.raises(StoreUnavailableError):
            await add(store, 1, user="bob")
        assert await actions(store) == before
        with pytest.raises(UserNotFoundError):
            await store.get_user("bob")

    async def test_the_error_of_a_failed_write_does_not_quote_what_was_written(self, store: KeyStore) -> None:
        await add(store, 1)
        with pytest.raises(StoreUnavailableError) as caught:
            await add(store, 1, label="a label of mine")
        assert "a label of mine" not in f"{caught.value!r} {caught.value.__cause__!r}"
        assert "\n" not in str(caught.value)

    async def test_an_unknown_id_is_said_to_be_unknown(self, store: KeyStore) -> None:
        with pytest.raises(KeyNotFoundError):
            await store.get_key(key_id(9))
        with pytest.raises(KeyNotFoundError):
            await store.revoke_key(key_id(9), reason="", now=NOW, by=ADMIN)
        assert await store.standing(key_id(9)) is None


class TestListing:
    @pytest.mark.parametrize("is_newest_first", [False, True])
    async def test_pages_follow_each_other_without_gap_or_overlap(
        self, store: KeyStore, *, is_newest_first: bool
    ) -> None:
        for number in range(5):
            await add(store, number)
        seen: list[str] = []
        after, more = 0, True
        while more:
            page = await store.list_keys(
                user=None, state=None, now=NOW, after=after, limit=2, is_newest_first=is_newest_first
            )
            seen += [record.key_id for record in page.items]
            after, more = page.items[-1].sequence, page.has_more
        issued = [key_id(number) for number in range(5)]
        assert seen == (issued[::-1] if is_newest_first else issued)

    async def test_filters_by_user_and_state_agree_with_the_record(self, store: KeyStore) -> None:
        await add(store, 1)
        await add(store, 2, expires_at=NOW)
        await add(store, 3, expires_at=LATER)
        await add(store, 4, user="bob")
        await store.revoke_key(key_id(3), reason="", now=NOW, by=ADMIN)
        found: dict[KeyState, list[str]] = {}
        for state in KeyState:
            page = await store.list_keys(user="alice", state=state, now=NOW, after=0, limit=10)
            assert all(record.state_at(NOW) is state for record in page.items)
            found[state] = [record.key_id for record in page.items]
        assert found == {
            KeyState.ACTIVE: [key_id(1)],
            KeyState.EXPIRED: [key_id(2)],
            KeyState.REVOKED: [key_id(3)],
        }

    async def test_users_are_in_the_order_of_their_bytes(self, store: KeyStore) -> None:
        names = ["a-b", "a0", "a_b", "ab", "b-"]
        for number, name in enumerate(reversed(names)):
            await add(store, number, user=name)
        first = await store.list_users(state=None, after="", limit=3)
        rest = await store.list_users(state=None, after=first.items[-1].name, limit=3)
        assert [user.name for user in (*first.items, *rest.items)] == names
        assert (first.has_more, rest.has_more) == (True, False)


class TestStanding:
    async def test_it_is_what_decides_over_a_publish(self, store: KeyStore) -> None:
        await add(store, 1, expires_at=LATER)
        standing = await store.standing(key_id(1))
        assert standing is not None
        assert (standing.user, standing.secret_hash, standing.expires_at) == ("alice", HASH, LATER)
        assert not standing.is_revoked
        assert not standing.is_suspended

    async def test_it_says_revoked_and_suspended(self, store: KeyStore) -> None:
        await add(store, 1)
        await store.revoke_key(key_id(1), reason="", now=NOW, by=ADMIN)
        await store.suspend_user("alice", reason="", now=NOW, by=ADMIN)
        standing = await store.standing(key_id(1))
        assert standing is not None
        assert standing.is_revoked
        assert standing.is_suspended

    async def test_more_ids_than_one_query_takes_are_all_found(self, store: KeyStore) -> None:
        await add(store, 1)
        last = IDS_PER_QUERY_MAX + 5
        await add(store, last)
        found = await store.standings([key_id(number) for number in range(last + 1)])
        assert set(found) == {key_id(1), key_id(last)}

    async def test_uses_are_noted_for_many_keys_at_once(self, store: KeyStore) -> None:
        await add(store, 1)
        await add(store, 2)
        await store.record_uses({key_id(1): KeyUse(NOW, "192.0.2.7"), key_id(2): KeyUse(LATER, "2001:db8::7")})
        record = await store.get_key(key_id(2))
        assert (record.last_used_at, record.last_used_address) == (LATER, "2001:db8::7")


class TestRevoke:
    async def test_a_revoked_key_says_when_why_and_by_whom(self, store: KeyStore) -> None:
        await add(store, 1)
        record = await store.revoke_key(key_id(1), reason="leaked", now=LATER, by=ADMIN)
        assert (record.revoked_at, record.revoke_reason, record.revoked_by) == (LATER, "leaked", "admin")
        last = (await store.list_audit(after=2, limit=1)).items[0].entry
        assert last == AuditEntry(
            at=LATER, actor="admin", action="key.revoked", address="192.0.2.1", user="alice", key_id=key_id(1),
            reason="leaked",
        )  # fmt: skip

    async def test_again_is_the_same_as_once(self, store: KeyStore) -> None:
        await add(store, 1)
        once = await store.revoke_key(key_id(1), reason="leaked", now=NOW, by=ADMIN)
        audited = await actions(store)
        again = await store.revoke_key(key_id(1), reason="other", now=LATER, by=Actor("bob"))
        assert again == once
        assert await actions(store) == audited

    async def test_what_it_closed_is_kept_with_the_key(self, store: KeyStore) -> None:
        await add(store, 1)
        await store.record_closed(key_id(1), ["alice", "bob"])
        assert (await store.get_key(key_id(1))).closed_streams == ("alice", "bob")


class TestRotate:
    async def rotate(self, store: KeyStore, old_until: datetime) -> tuple[KeyRecord, KeyRecord]:
        return await store.rotate_key(
            key_id(1), new_key_id=key_id(2), new_secret_hash=HASH, old_until=old_until, now=NOW, by=ADMIN
        )

    async def test_the_new_key_has_the_old_ones_user_label_and_expiry(self, store: KeyStore) -> None:
        await add(store, 1, label="main", expires_at=LATER + timedelta(days=1))
        old, new = await self.rotate(store, LATER)
        assert (new.user, new.label, new.expires_at) == ("alice", "main", LATER + timedelta(days=1))
        assert (old.expires_at, old.replaced_by, old.revoked_at) == (LATER, key_id(2), None)

    async def test_without_overlap_the_old_key_is_revoked(self, store: KeyStore) -> None:
        await add(store, 1)
        old, _ = await self.rotate(store, NOW)
        assert (old.revoked_at, old.revoke_reason) == (NOW, "rotated")

    async def test_an_overlap_never_gives_the_old_key_more_time(self, store: KeyStore) -> None:
        await add(store, 1, expires_at=NOW + timedelta(minutes=1))
        old, _ = await self.rotate(store, LATER)
        assert old.expires_at == NOW + timedelta(minutes=1)

    @pytest.mark.parametrize("state", ["revoked", "expired", "already rotated"])
    async def test_a_dead_or_rotated_key_is_refused_and_nothing_is_written(self, store: KeyStore, state: str) -> None:
        await add(store, 1, expires_at=NOW if state == "expired" else None)
        if state == "revoked":
            await store.revoke_key(key_id(1), reason="", now=NOW, by=ADMIN)
        elif state == "already rotated":
            await store.rotate_key(
                key_id(1), new_key_id=key_id(3), new_secret_hash=HASH, old_until=LATER, now=NOW, by=ADMIN
            )
        audited = await actions(store)
        with pytest.raises(KeyStateError, match=state):
            await self.rotate(store, LATER)
        assert await actions(store) == audited
        assert await store.standing(key_id(2)) is None


class TestUsers:
    async def test_suspending_names_the_keys_that_are_not_revoked(self, store: KeyStore) -> None:
        for number in (1, 2):
            await add(store, number)
        await add(store, 3, user="bob")
        await store.revoke_key(key_id(1), reason="", now=NOW, by=ADMIN)
        user, key_ids = await store.suspend_user("alice", reason="abuse", now=LATER, by=ADMIN)
        assert (user.state, user.suspended_at, user.suspend_reason) == (UserState.SUSPENDED, LATER, "abuse")
        assert key_ids == {key_id(2)}
        assert await store.suspended_users() == {"alice"}
        assert [u.name for u in (await store.list_users(state=UserState.ACTIVE, after="", limit=9)).items] == ["bob"]

    async def test_suspending_and_restoring_again_change_nothing(self, store: KeyStore) -> None:
        await add(store, 1)
        once, _ = await store.suspend_user("alice", reason="abuse", now=NOW, by=ADMIN)
        again, _ = await store.suspend_user("alice", reason="x", now=LATER, by=ADMIN)
        assert again == once
        restored = await store.restore_user("alice", reason="", now=LATER, by=ADMIN)
        assert restored.state is UserState.ACTIVE
        assert await store.restore_user("alice", reason="", now=LATER, by=ADMIN) == restored
        assert [action for action, _ in await actions(store)][2:] == ["user.suspended", "user.restored"]

    async def test_limits_are_the_servers_until_others_are_said(self, store: KeyStore) -> None:
        await add(store, 1)
        assert (await store.get_user("alice")).limits == SERVER_LIMITS
        user = await store.limit_user("alice", {"bitrate_kbps_max": 6000}, reason="plan", now=NOW, by=ADMIN)
        assert user.limits == PublishLimits(6000, None)
        user = await store.limit_user("alice", {"picture_pixels_max": 2_088_960}, reason="", now=NOW, by=ADMIN)
        assert user == await store.get_user("alice")
        assert user.limits == PublishLimits(6000, 2_088_960)
        standing = await store.standing(key_id(1))
        assert standing is not None
        assert standing.limits == user.limits
        change = dict.fromkeys(("bitrate_kbps_max", "picture_pixels_max"))
        assert (await store.limit_user("alice", change, reason="", now=NOW, by=ADMIN)).limits == SERVER_LIMITS
        # Once more changes nothing, and is no news.
        await store.limit_user("alice", change, reason="", now=NOW, by=ADMIN)
        rows = (await store.list_audit(after=2, limit=100)).items
        assert [(row.entry.action, row.entry.user, row.entry.reason) for row in rows] == [
            ("user.limited", "alice", "bitrate_kbps_max=6000: plan"),
            ("user.limited", "alice", "picture_pixels_max=2088960"),
            ("user.limited", "alice", "bitrate_kbps_max=default picture_pixels_max=default"),
        ]

    async def test_an_unknown_user_is_said_to_be_unknown(self, store: KeyStore) -> None:
        with pytest.raises(UserNotFoundError):
            await store.suspend_user("nobody", reason="", now=NOW, by=ADMIN)
        with pytest.raises(UserNotFoundError):
            await store.limit_user("nobody", {"bitrate_kbps_max": 6000}, reason="", now=NOW, by=ADMIN)


class TestAudit:
    @pytest.mark.parametrize("statement", ["UPDATE audit SET reason = 'x'", "DELETE FROM audit"])
    async def test_rows_can_only_be_added(self, store: KeyStore, statement: str) -> None:
        await add(store, 1)
        with pytest.raises(StoreUnavailableError, match="append-only"):
            async with store._writing() as connection:
                await connection.execute(text(statement))
        assert len(await actions(store)) == 2

    async def test_rows_come_in_pages(self, store: KeyStore) -> None:
        await store.append_audit(AuditEntry(NOW, "admin", f"a.{number}") for number in range(3))
        first = await store.list_audit(after=0, limit=2)
        rest = await store.list_audit(after=first.items[-1].sequence, limit=2)
        assert [row.entry.action for row in (*first.items, *rest.items)] == ["a.0", "a.1", "a.2"]
        assert (first.has_more, rest.has_more) == (True, False)

    async def test_or_from_the_last_back(self, store: KeyStore) -> None:
        await store.append_audit(AuditEntry(NOW, "admin", f"a.{number}", count=number) for number in range(1, 4))
        first = await store.list_audit(after=0, limit=2, is_newest_first=True)
        rest = await store.list_audit(after=first.items[-1].sequence, limit=2, is_newest_first=True)
        assert [row.entry.count for row in (*first.items, *rest.items)] == [3, 2, 1]
        assert (first.has_more, rest.has_more) == (True, False)

    @pytest.mark.parametrize(
        ("search", "found"),
        [("BOB", 2), ("key.rev", 1), ("a reason", 1), ("100%", 1), ("%", 1), ("_", 0), ("192.0.2.1", 6), ("nobody", 0)],
    )
    async def test_it_is_searched_for_any_text(self, store: KeyStore, search: str, found: int) -> None:
        await add(store, 1)
        await add(store, 2, user="bob")
        await store.revoke_key(key_id(1), reason="A reason", now=NOW, by=ADMIN)
        await store.suspend_user("alice", reason="100%", now=NOW, by=ADMIN)
        page = await store.list_audit(after=0, limit=10, search=search)
        assert len(page.items) == found


class TestTwoProcesses:
    """Two stores on one database stand for two processes."""

    async def test_changes_of_both_are_kept(self, store: KeyStore, database_url: str) -> None:
        other = KeyStore(database_url)
        await other.start()
        await asyncio.gather(*(add((store, other)[number % 2], number) for number in range(20)))
        assert len((await store.list_keys(user=None, state=None, now=NOW, after=0, limit=100)).items) == 20
        await other.close()

    async def test_two_that_start_at_once_make_the_schema_once(self, database_url: str) -> None:
        stores = [KeyStore(database_url) for _ in range(3)]
        await asyncio.gather(*(store.start() for store in stores))
        await add(stores[0], 1)
        assert (await stores[2].get_key(key_id(1))).user == "alice"
        for store in stores:
            await store.close()

    async def test_two_revocations_at_once_are_one(self, store: KeyStore) -> None:
        await add(store, 1)
        both = await asyncio.gather(
            *(store.revoke_key(key_id(1), reason=reason, now=NOW, by=ADMIN) for reason in ("a", "b"))
        )
        assert both[0] == both[1]


class TestCancellation:
    async def test_a_reader_who_goes_away_leaves_a_store_that_works(self, store: KeyStore) -> None:
        await add(store, 1)
        for _ in range(20):
            reading = asyncio.create_task(store.standing(key_id(1)))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        assert await store.standing(key_id(1)) is not None


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
        async with store._reading() as connection:
            pragmas = [
                (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
        assert pragmas == ["wal", 2, 1, 5000]
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
        monkeypatch.setattr("streamd.keys.sqlite.BUSY_TIMEOUT_MS", 10)
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
        async with store._reading() as connection:
            pages = (await connection.execute(text("PRAGMA page_count"))).scalar_one()
        await store.close()
        store = self.open(path)

        async def fill() -> None:
            for number in range(1, 1000):
                # A limit on the file's pages is what SQLite reports as a full disk.
                async with store._writing() as connection:
                    await connection.execute(text(f"PRAGMA max_page_count = {pages}"))
                await add(store, number, user=f"user{number}", label="x" * 90)

        with pytest.raises(StoreUnavailableError, match="the disk is full"):
            await fill()
        users = len((await store.list_users(state=None, after="", limit=1000)).items)
        keys = len((await store.list_keys(user=None, state=None, now=NOW, after=0, limit=1000)).items)
        assert users == keys
        assert len((await store.list_audit(after=0, limit=10_000)).items) == users + keys
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
        async with store._writing() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StoreUnavailableError, match=r"newer streamd \(schema 9999\)"):
            await store.start()
        await store.close()

    async def test_an_older_schema_is_brought_up_to_date_with_its_rows(self, database_url: str) -> None:
        store = KeyStore(database_url)
        async with store._writing() as connection:
            await connection.run_sync(migrate, "0001")
            await connection.execute(
                text("INSERT INTO audit (at, actor, address, action, reason) VALUES (:at, 'admin', '', 'x.done', '')"),
                {"at": "2026-01-01 00:00:00.000000" if store._is_sqlite else NOW},
            )
        await store.start()
        (row,) = (await store.list_audit(after=0, limit=10)).items
        assert (row.entry.action, row.entry.count) == ("x.done", 1)
        await store.close()

    async def test_the_steps_make_the_tables_that_the_code_expects(self, store: KeyStore) -> None:
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext
        from sqlalchemy import Connection

        from streamd.keys.schema import metadata

        def differences(connection: Connection) -> list[Any]:
            return list(compare_metadata(MigrationContext.configure(connection), metadata))

        async with store._writing() as connection:
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
        with pytest.raises(StoreUnavailableError, match=r"pip install 'streamd\[postgresql\]'"):
            KeyStore("postgresql+asyncpg://host/db")
