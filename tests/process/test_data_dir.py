from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from streamd.errors import DataDirError
from streamd.process.data_dir import (
    LOCK_NAME,
    TOKEN_NAME,
    RunningServer,
    ServerLock,
    admin_token,
    find_server,
    prepare_data_dir,
)

SERVER = RunningServer(pid=4711, admin_host="127.0.0.1", admin_port=8081)


class TestDirectory:
    def test_it_is_made_for_nobody_but_us(self, tmp_path: Path) -> None:
        prepare_data_dir(tmp_path / "a" / "b")
        assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
        prepare_data_dir(tmp_path / "a" / "b")

    def test_a_file_in_its_place_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        with pytest.raises(DataDirError, match="cannot be made: File exists"):
            prepare_data_dir(tmp_path / "a")

    def test_one_that_cannot_be_written_is_one_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(DataDirError, match="cannot be written to"):
            prepare_data_dir(tmp_path)


class TestStrangers:
    """Whoever can put files of their own in place of ours has the admin token and the keys."""

    @pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702, 0o703])
    def test_a_directory_that_everybody_can_write_to_is_refused(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "data"
        path.mkdir()
        path.chmod(mode)
        with pytest.raises(DataDirError, match=f"run: chmod 700 {path}"):
            prepare_data_dir(path)
        path.chmod(0o700)
        prepare_data_dir(path)

    @pytest.mark.parametrize("mode", [0o755, 0o750, 0o2770])
    def test_one_that_others_can_read_or_a_group_can_write_to_is_the_operators_choice(
        self, tmp_path: Path, mode: int
    ) -> None:
        path = tmp_path / "data"
        path.mkdir()
        path.chmod(mode)
        prepare_data_dir(path)

    def test_one_in_a_directory_where_everybody_can_rename_it_is_refused(self, tmp_path: Path) -> None:
        parent = tmp_path / "parent"
        parent.mkdir()
        parent.chmod(0o777)
        with pytest.raises(DataDirError, match=f"run: chmod o-w {parent}$"):
            prepare_data_dir(parent / "inner" / "data")
        # As /tmp: only the owner of a directory can rename it.
        parent.chmod(0o1777)
        prepare_data_dir(parent / "inner" / "data")

    def test_one_of_another_user_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        owner = tmp_path.stat().st_uid or 4711
        os.chown(tmp_path, owner, -1)
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
        with pytest.raises(DataDirError, match=f"run: chown {owner + 1} "):
            prepare_data_dir(tmp_path)
        # Root looks after the directories of services.
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        prepare_data_dir(tmp_path)


class TestLock:
    def test_who_runs_is_found_as_long_as_he_runs(self, tmp_path: Path) -> None:
        assert find_server(tmp_path) is None
        with ServerLock(tmp_path) as lock:
            assert find_server(tmp_path) == RunningServer(pid=0, admin_host="", admin_port=0)
            lock.announce(SERVER)
            assert find_server(tmp_path) == SERVER
        assert find_server(tmp_path) is None

    def test_a_second_server_is_refused(self, tmp_path: Path) -> None:
        with ServerLock(tmp_path), pytest.raises(DataDirError, match="another streamd server runs"):
            ServerLock(tmp_path)
        ServerLock(tmp_path).release()

    def test_a_server_that_was_killed_leaves_nothing_behind(self, tmp_path: Path) -> None:
        program = (
            "import os, sys; from pathlib import Path; from streamd.process.data_dir import *;"
            "ServerLock(Path(sys.argv[1])).announce(RunningServer(1, 'h', 2)); os.kill(os.getpid(), 9)"
        )
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=30)
        assert (tmp_path / LOCK_NAME).stat().st_size > 0
        assert find_server(tmp_path) is None

    def test_looking_does_not_make_anything(self, tmp_path: Path) -> None:
        assert find_server(tmp_path / "none") is None
        assert list(tmp_path.iterdir()) == []


class TestToken:
    def test_it_is_made_once_and_kept_for_its_owner(self, tmp_path: Path) -> None:
        token = admin_token(tmp_path)
        assert len(token) >= 43
        assert admin_token(tmp_path) == token
        assert stat.S_IMODE((tmp_path / TOKEN_NAME).stat().st_mode) == 0o600

    def test_one_that_others_can_read_is_refused(self, tmp_path: Path) -> None:
        token = admin_token(tmp_path)
        (tmp_path / TOKEN_NAME).chmod(0o644)
        with pytest.raises(DataDirError, match="chmod 600") as caught:
            admin_token(tmp_path)
        assert token not in str(caught.value)

    def test_an_empty_one_is_said_to_be_empty(self, tmp_path: Path) -> None:
        (tmp_path / TOKEN_NAME).touch(mode=0o600)
        with pytest.raises(DataDirError, match="is empty"):
            admin_token(tmp_path)

    def test_a_directory_that_is_missing_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(DataDirError, match="cannot be read or made"):
            admin_token(tmp_path / "none")
