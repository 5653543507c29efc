"""Commands that read leave everything as it is; those that change something make nothing that was not there."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from streamd.process.cli import EXIT_USAGE
from streamd.process.data_dir import RunningServer, ServerLock
from tests.support.cli import issue, run

READING = [("keys", "list"), ("users", "list"), ("audit",), ("keys", "list", "--json")]
CHANGING = [
    ("keys", "revoke", "7k2m9xq4ct"),
    ("keys", "rotate", "7k2m9xq4ct"),
    ("users", "suspend", "alice"),
    ("users", "restore", "alice"),
    ("users", "limit", "alice", "--bitrate-kbps-max", "6000"),
]


def state(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_uid)
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("command", [*READING, *CHANGING])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_mistyped_directory_stays_as_it_is_and_is_said(
    tmp_path: Path, command: tuple[str, ...], is_there: bool
) -> None:
    typo = tmp_path / "TYPO"
    if is_there:
        typo.mkdir(mode=0o700)
    result = run(*command, data_dir=typo)
    assert (result.exit_code, result.stdout) == (EXIT_USAGE, "")
    assert f"there is no key store {typo / 'streamd.db'}" in result.stderr
    assert typo.exists() is is_there
    assert state(tmp_path) == {}


def test_a_check_of_an_import_makes_no_key_store(tmp_path: Path) -> None:
    typo = tmp_path / "TYPO"
    result = run("keys", "import", "-", "--check", data_dir=typo, stdin="alice,Xk29sQm4Tz81LdRw")
    assert (result.exit_code, typo.exists()) == (EXIT_USAGE, False)
    assert f"there is no key store {typo / 'streamd.db'}" in result.stderr


@pytest.mark.parametrize("command", READING)
def test_what_is_read_stays_as_it_is(data_dir: Path, command: tuple[str, ...]) -> None:
    issue(data_dir)
    before = state(data_dir)
    result = run(*command, data_dir=data_dir)
    assert (result.exit_code, bool(result.stdout)) == (0, True)
    assert state(data_dir) == before


def test_what_a_server_that_was_killed_has_written_last_is_read(data_dir: Path) -> None:
    key = issue(data_dir)
    # A writer that is there, with its -wal file.
    with contextlib.closing(sqlite3.connect(data_dir / "streamd.db")) as writer:
        writer.execute("UPDATE keys SET label = 'last'")
        writer.commit()
        assert (data_dir / "streamd.db-wal").exists()
        listed = run("keys", "list", data_dir=data_dir).stdout
    assert (key["id"] in listed, "last" in listed) == (True, True)


def test_an_older_schema_is_said_and_left(data_dir: Path) -> None:
    issue(data_dir)
    with contextlib.closing(sqlite3.connect(data_dir / "streamd.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.commit()
    before = state(data_dir)
    result = run("keys", "list", data_dir=data_dir)
    assert (result.exit_code, "made by an older streamd" in result.stderr) == (1, True)
    assert state(data_dir) == before


def test_no_token_is_made_for_a_server_that_has_another(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    with ServerLock(data_dir) as lock:
        lock.announce(RunningServer(1, "127.0.0.1", 1))
        run("streams", "list", data_dir=data_dir)
    assert not (data_dir / "admin-token").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give files away")
def test_the_first_key_of_root_is_in_files_of_the_directorys_owner(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    os.chown(data_dir, 65534, 65534)
    issue(data_dir)
    assert {path.name: (path.stat().st_uid, path.stat().st_gid) for path in data_dir.iterdir()} == {
        "streamd.db": (65534, 65534)
    }
