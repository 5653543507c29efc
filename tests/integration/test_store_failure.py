"""A key store that goes away: publishes are refused, running streams go on, and it heals by itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import urllib.error
from typing import TYPE_CHECKING

import pytest

from streamd.services.store import schema
from tests.support.patience import PATIENCE_S
from tests.support.postgresql import run_postgresql
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until
from tests.support.small_disk import small_disk
from tests.support.socket_publisher import SocketPublisher, answer_to_publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.postgresql import PostgresqlServer
    from tests.support.server import LiveServer
    from tests.support.small_disk import SmallDisk

pytestmark = pytest.mark.integration

STARTED, REJECTED, DENIED = "NetStream.Publish.Start", "NetStream.Publish.Rejected", "NetStream.Publish.Denied"
# Long enough for the test's own store to answer on a loaded machine, short enough to wait for in a test.
VERIFY_TIMEOUT_S = 2
# wal.html, WAL-index: "The locking is done on bytes 120 through 127" of the -shm file; every read takes one of them.
WAL_LOCKS_AT, WAL_LOCKS = 120, 8


@contextlib.contextmanager
def locked_by_another_process(database: Path) -> Iterator[None]:
    """Hold every lock that SQLite knows, as a process that is stuck in the middle of a recovery does."""
    with database.with_name(database.name + "-shm").open("r+b") as shared_memory:
        fcntl.lockf(shared_memory, fcntl.LOCK_EX, WAL_LOCKS, WAL_LOCKS_AT, os.SEEK_SET)
        yield


def last_part(server: LiveServer) -> int:
    text = server.get("/live/alice/main.m3u8")[2].decode()
    assert "#EXT-X-ENDLIST" not in text
    return max(int(number) for number in re.findall(r"part(\d+)\.m4s", text))


def check_that_it_is_survived(server: LiveServer, fail: Callable[[], object], heal: Callable[[], None]) -> None:
    """One whole failure: before, during, after."""
    live, other = server.issue_key("alice"), server.issue_key("bob")
    assert server.is_ready()
    with publish(server.rtmp_url, live) as publisher:
        server.wait_until_playable("alice")
        fail()
        wait_until(lambda: not server.is_ready(), PATIENCE_S, "an answer that it is not ready")
        part = last_part(server)
        assert answer_to_publish(server.rtmp_port, other) == REJECTED
        assert server.wait_for_log("store.failed", PATIENCE_S)
        wait_until(lambda: last_part(server) > part + 2, PATIENCE_S, "parts while the store is away")
        heal()
        wait_until(server.is_ready, PATIENCE_S, "an answer that it is ready")
        with SocketPublisher(server.rtmp_port) as after:
            assert after.publish(other) == STARTED
        assert publisher.process.poll() is None
        assert server.wait_for_log("store.recovered", PATIENCE_S)
        # What was learned meanwhile is not lost.
        key_id = live.split("_")[1]
        wait_until(
            lambda: server.admin("GET", f"/api/v1/keys/{key_id}")["last_used_at"], PATIENCE_S, "the key's last use"
        )
        assert server.revoke(key_id)["closed"] == ["alice"]
        assert publisher.wait() != 0
    refusals = [record["reason"] for record in server.log_events("publish.refused")]
    assert len(refusals) == 1
    assert refusals[0].startswith("key store unavailable")


def test_sqlite_that_another_process_locks(tmp_path: Path) -> None:
    with (
        run_server(tmp_path, limits__verify_timeout_s=VERIFY_TIMEOUT_S) as server,
        contextlib.ExitStack() as lock,
    ):
        database = server.data_dir / "streamd.db"
        check_that_it_is_survived(server, lambda: lock.enter_context(locked_by_another_process(database)), lock.close)


@contextlib.contextmanager
def server_on_postgresql(tmp_path: Path) -> Iterator[tuple[LiveServer, PostgresqlServer]]:
    with (
        run_postgresql() as database,
        run_server(tmp_path, keys__database_url=database.url, limits__verify_timeout_s=VERIFY_TIMEOUT_S) as server,
    ):
        yield server, database


def test_postgresql_that_does_not_answer(tmp_path: Path) -> None:
    with server_on_postgresql(tmp_path) as (server, database), contextlib.ExitStack() as fault:
        check_that_it_is_survived(server, lambda: fault.enter_context(database.paused()), fault.close)


def test_postgresql_that_another_client_locks(tmp_path: Path) -> None:
    tables = ", ".join(table.name for table in (schema.users, schema.keys, schema.audit))
    with server_on_postgresql(tmp_path) as (server, database), contextlib.ExitStack() as fault:
        check_that_it_is_survived(
            server, lambda: fault.enter_context(database.busy_with(f"LOCK TABLE {tables}")), fault.close
        )


def test_postgresql_that_is_full_still_lets_in_who_has_a_good_key(tmp_path: Path) -> None:
    with server_on_postgresql(tmp_path) as (server, database):
        bob = server.issue_key("bob")
        # What a server says whose disk is full, to everyone who writes to one of our tables.
        database.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$"
        )
        tables = [table.name for table in (schema.users, schema.keys, schema.audit)]
        for table in tables:
            database.execute(
                f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION full_disk()"
            )
        with pytest.raises(urllib.error.HTTPError) as refused:
            server.issue_key("carol")
        with refused.value as answer:
            assert answer.code == 503
        assert answer_to_publish(server.rtmp_port, bob) == STARTED
        # Said by who writes last uses down; what was answered to the operator names its path.
        assert server.wait_for_log("store.failed", PATIENCE_S, path=None)
        for table in tables:
            database.execute(f"DROP TRIGGER full_disk ON {table}")
        assert server.issue_key("carol")
        assert server.wait_for_log("store.recovered", PATIENCE_S)
        used = f"/api/v1/keys/{bob.split('_')[1]}"
        wait_until(lambda: server.admin("GET", used)["last_used_at"], PATIENCE_S, "the key's last use")


def test_postgresql_whose_disk_is_full_still_lets_in_who_has_a_good_key(tmp_path: Path) -> None:
    with run_postgresql() as database, small_disk(database.directory / "disk", megabytes=8) as disk:
        database.keep_tables_on(disk.path)
        with run_server(tmp_path, keys__database_url=database.url) as server:
            check_that_a_full_disk_is_survived(server, disk)


def check_that_a_full_disk_is_survived(server: LiveServer, disk: SmallDisk) -> None:
    bob = server.issue_key("bob")
    with publish(server.rtmp_url, server.issue_key("alice")):
        server.wait_until_playable("alice")
        disk.fill()

        wait_until(lambda: is_full(server), PATIENCE_S, "a key that cannot be stored")
        part = last_part(server)
        assert answer_to_publish(server.rtmp_port, bob) == STARTED
        wait_until(lambda: last_part(server) > part + 2, PATIENCE_S, "parts while the disk is full")
        disk.clear()
        assert server.issue_key("carol")


def is_full(server: LiveServer) -> bool:
    """Whether no key can be stored; what room there is in pages that are begun is used up by asking."""
    try:
        server.issue_key("carol")
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code == 503
    return False


def check_that_takedowns_hold(server: LiveServer, fail: Callable[[], object]) -> tuple[str, str]:
    """Revoke a key and suspend a user while the store fails; returns the keys of both."""
    alice, bob, carol = server.issue_key("alice"), server.issue_key("bob"), server.issue_key("carol")
    with (
        publish(server.rtmp_url, alice) as revoked,
        publish(server.rtmp_url, bob) as suspended,
        publish(server.rtmp_url, carol) as kicked,
    ):
        for name in ("alice", "bob", "carol"):
            server.wait_until_playable(name)
        fail()
        wait_until(lambda: is_full(server), PATIENCE_S, "a store that takes nothing")
        answer = server.revoke(alice.split("_")[1])
        assert (answer["closed"], "not in the key store yet" in answer["unwritten"]) == (["alice"], True)
        answer = server.admin("PATCH", "/api/v1/users/bob", {"state": "suspended", "reason": "test"})
        assert (answer["closed"], "not in the key store yet" in answer["unwritten"]) == (["bob"], True)
        answer = server.admin("POST", "/api/v1/streams/carol/kick", {"reason": "test"})
        assert (answer["kicked"], "the audit log" in answer["unwritten"]) == (True, True)
        assert [publisher.wait() != 0 for publisher in (revoked, suspended, kicked)] == [True] * 3
    assert "#EXT-X-ENDLIST" in server.get("/live/alice/main.m3u8")[2].decode()
    assert server.get("/live/bob/index.m3u8")[0] == 410
    return alice, bob


def check_that_they_are_written(server: LiveServer, alice: str, bob: str) -> None:
    assert server.wait_for_log("key.revoked", key_id=alice.split("_")[1], closed=["alice"])
    assert server.wait_for_log("user.suspended", user="bob")
    wait_until(lambda: "streamd_acts_waiting 0.0" in server.admin_get("/metrics"), PATIENCE_S, "nothing that waits")
    for key in (alice, bob):
        assert answer_to_publish(server.rtmp_port, key) == DENIED
    rows = server.admin("GET", "/api/v1/audit?newest_first=true")["entries"]
    assert {"key.revoked", "user.suspended", "stream.closed"} <= {row["action"] for row in rows}


def test_takedowns_with_a_full_disk_hold_over_a_restart_and_are_written_later(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=4) as disk:
        data = disk.path / "data"
        data.mkdir(mode=0o700)
        (tmp_path / "data").symlink_to(data)
        with run_server(tmp_path, live__reconnect_window_s=0) as server:
            alice, bob = check_that_takedowns_hold(server, disk.fill)
            assert server.is_ready()
            assert "the disk of the data directory is full" in server.readiness()["warnings"]
            # It can be read, so it is known that the keys were good.
            for key in (alice, bob):
                assert answer_to_publish(server.rtmp_port, key) == DENIED
            server.kill()
        with run_server(tmp_path, live__reconnect_window_s=0) as after:
            for key in (alice, bob):
                assert answer_to_publish(after.rtmp_port, key) == DENIED
            assert after.get("/live/bob/index.m3u8")[0] == 410
            disk.clear()
            check_that_they_are_written(after, alice, bob)


def test_takedowns_without_their_postgresql_hold_and_are_written_later(tmp_path: Path) -> None:
    with server_on_postgresql(tmp_path) as (server, database):
        alice, bob = check_that_takedowns_hold(server, database.stop)
        database.start()
        check_that_they_are_written(server, alice, bob)


def test_takedowns_beside_a_postgresql_that_hangs_are_done_at_once(tmp_path: Path) -> None:
    with server_on_postgresql(tmp_path) as (server, database):
        alice = server.issue_key("alice")
        with publish(server.rtmp_url, alice) as publisher:
            server.wait_until_playable("alice")
            with database.paused():
                answer = server.revoke(alice.split("_")[1])
                assert (answer["closed"], "does not answer" in answer["unwritten"]) == (["alice"], True)
                assert publisher.wait() != 0
        assert server.wait_for_log("key.revoked", key_id=alice.split("_")[1])
        assert answer_to_publish(server.rtmp_port, alice) == DENIED


def test_postgresql_that_stops_and_starts(tmp_path: Path) -> None:
    with server_on_postgresql(tmp_path) as (server, database):
        check_that_it_is_survived(server, database.stop, database.start)
