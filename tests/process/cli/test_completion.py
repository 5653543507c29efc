"""The scripts, as the shells run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamd.process.cli import main
from streamd.process.cli.completion import SHELLS
from tests.support.cli import issue, run
from tests.support.live_streams import Streams, summary


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_script(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert f"_STREAMD_COMPLETE={shell}_complete" in result.stdout


def test_another_shell_is_not_known() -> None:
    assert "is not one of 'bash', 'zsh', 'fish'" in run("completion", "tcsh").stderr


def offered(*arguments: str, typed: str = "", **env: str) -> list[str]:
    """What fish would offer, a line each: value and remark."""
    words = " ".join(("streamd", *arguments))
    instruction = {"_STREAMD_COMPLETE": "fish_complete", "COMP_WORDS": words, "COMP_CWORD": typed}
    result = CliRunner().invoke(main, [], env=instruction | env, prog_name="streamd", complete_var="_STREAMD_COMPLETE")
    assert result.stderr == ""
    return [line.partition(",")[2].partition("\t")[0] for line in result.stdout.splitlines() if line]


class TestWhatThereIsIsOffered:
    def test_keys_that_work_users_and_nothing_else(self, data_dir: Path) -> None:
        good, dead = issue(data_dir, "alice", "--label", "studio"), issue(data_dir, "bob")
        run("keys", "revoke", dead["id"], data_dir=data_dir)
        env = {"STREAMD_SERVER__DATA_DIR": str(data_dir)}
        assert offered("keys", "revoke", **env) == [good["id"]]
        assert offered("keys", "rotate", typed=good["id"][:3], **env) == [good["id"]]
        assert offered("keys", "rotate", typed="zz", **env) == []
        assert offered("users", "suspend", **env) == ["alice", "bob"]
        assert offered("users", "suspend", typed="b", **env) == ["bob"]
        assert offered("keys", "list", "--user", typed="a", **env) == ["alice"]

    def test_live_streams(self, server: Streams, data_dir: Path) -> None:
        server.live = {name: summary(name) for name in ("alice", "bob")}
        env = {"STREAMD_SERVER__DATA_DIR": str(data_dir)}
        assert offered("streams", "kick", **env) == ["alice", "bob"]
        assert offered("streams", "kick", typed="b", **env) == ["bob"]

    def test_operators(self, data_dir: Path) -> None:
        for name in ("carol", "dave"):
            run("operators", "add", name, "--role", "auditor", data_dir=data_dir)
        env = {"STREAMD_SERVER__DATA_DIR": str(data_dir)}
        assert offered("operators", "revoke", **env) == ["carol", "dave"]
        assert offered("operators", "rotate", typed="d", **env) == ["dave"]

    def test_where_there_is_no_store_nothing_is_offered_said_or_made(self, data_dir: Path) -> None:
        env = {"STREAMD_SERVER__DATA_DIR": str(data_dir)}
        for words in (("keys", "revoke"), ("users", "suspend"), ("streams", "kick"), ("operators", "revoke")):
            assert offered(*words, **env) == []
        assert not data_dir.exists()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("streamd key", ["keys"]), ("streamd keys r", ["revoke", "rotate"]), ("streamd doc", ["doctor"])],
)
def test_bash_completes(tmp_path: Path, typed: str, offered: list[str]) -> None:
    command = tmp_path / "streamd"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m streamd "$@"\n')
    command.chmod(0o755)
    words = typed.split()
    script = f"""
        {run("completion", "bash").stdout}
        COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}
        _streamd_completion streamd {words[-1]} {words[-2]}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == offered
