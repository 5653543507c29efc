"""A user who is deleted, and addresses that were kept for long enough, on a real server."""

from __future__ import annotations

import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until
from tests.support.socket_publisher import SocketPublisher

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_deleted_user_is_off_the_air_and_gone(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        key = server.issue_key("alice")
        with publish(server.rtmp_url, key):
            server.wait_until_playable("alice")
            answer = server.admin("DELETE", "/api/v1/users/alice")
            assert answer == {"name": "alice", "keys": 1, "closed": ["alice"]}
            assert status(server.playlist_url("alice")) == 410
        with SocketPublisher(server.rtmp_port) as publisher:
            assert publisher.publish(key) == "NetStream.Publish.Denied"
        assert server.admin("GET", "/api/v1/users")["users"] == []
        # Somebody else may have the name.
        again = server.issue_key("alice")
        with SocketPublisher(server.rtmp_port) as publisher:
            publisher.go_live(again)
            server.wait_until_playable("alice")


def test_addresses_are_erased_when_they_are_old(tmp_path: Path) -> None:
    def addresses() -> list[str]:
        with closing(sqlite3.connect(server.data_dir / "streamd.db")) as database:
            rows = database.execute("SELECT address FROM audit UNION ALL SELECT last_used_address FROM keys")
            return [address for (address,) in rows if address]

    with run_server(tmp_path) as server, SocketPublisher(server.rtmp_port) as publisher:
        publisher.go_live(server.issue_key("alice"))
        wait_until(lambda: len(addresses()) >= 3, PATIENCE_S, "acts and a last use are written")
    # Years pass: the log is what it is, and only its clock is another.
    with closing(sqlite3.connect(server.data_dir / "streamd.db")) as database:
        database.execute("DROP TRIGGER audit_refuses_update")
        database.execute("UPDATE audit SET at = '2020-01-01 00:00:00.000000'")
        database.execute("UPDATE keys SET last_used_at = '2020-01-01 00:00:00.000000'")
        database.commit()
    with run_server(tmp_path, privacy__keep_addresses_days="30") as server:
        wait_until(lambda: addresses() == [], PATIENCE_S, "old addresses are erased")
        assert server.admin("GET", "/api/v1/audit")["entries"][0]["action"] == "user.created"
