"""The command line called as a shell would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from streamd.process.cli import main


def run(
    *arguments: str, data_dir: Path | None = None, env: dict[str, str] | None = None, stdin: str | None = None
) -> Result:
    options = [] if data_dir is None else ["--data-dir", str(data_dir)]
    return CliRunner().invoke(main, [*arguments, *options], env=env, input=stdin, prog_name="streamd")


def issue(data_dir: Path, user: str = "alice", *options: str) -> dict[str, Any]:
    result = run("keys", "issue", user, "--json", *options, data_dir=data_dir)
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer
