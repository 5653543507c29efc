"""The scripts, as the shells run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamd.process.cli.completion import SHELLS
from tests.support.cli import run


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_its_script(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert f"_STREAMD_COMPLETE={shell}_complete" in result.stdout


def test_another_shell_is_not_known() -> None:
    assert "is not one of 'bash', 'zsh', 'fish'" in run("completion", "tcsh").stderr


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
