from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from streamd import __version__
from streamd.process.cli import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_USAGE
from tests.support.cli import issue, run


class TestVersion:
    def test_it_waits_for_no_library_of_a_server(self) -> None:
        """0.2 s of a processor, of which each of these takes more."""
        code = (
            "import sys; from streamd.process.cli import main\n"
            "main(['--version'], standalone_mode=False)\n"
            "print(*sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        version, modules = done.stdout.splitlines()
        assert version.endswith(__version__)
        loaded = {name.partition(".")[0] for name in modules.split()}
        heavy = {"aiohttp", "sqlalchemy", "alembic", "pydantic", "av", "uvloop", "structlog", "rich", "asyncio"}
        assert loaded & heavy == set()


class TestLetters:
    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
    def test_a_label_in_any_script_is_shown_on_any_terminal(self, data_dir: Path, encoding: str) -> None:
        label = "студия 東京 🎥"
        issue(data_dir, "alice", "--label", label)
        command = [sys.executable, "-m", "streamd", "keys", "list", "--data-dir", str(data_dir)]
        env = os.environ | {"PYTHONIOENCODING": encoding}
        done = subprocess.run(command, env=env, capture_output=True, check=True, timeout=60)
        shown = label if encoding == "utf-8" else label.encode("ascii", "backslashreplace").decode()
        assert shown in done.stdout.decode(encoding)

    def test_so_is_a_message(self, data_dir: Path) -> None:
        command = [sys.executable, "-m", "streamd", "config", "check", "нет.toml"]
        env = os.environ | {"PYTHONIOENCODING": "latin-1"}
        done = subprocess.run(command, env=env, capture_output=True, check=False, timeout=60)
        assert (done.returncode, b"\\u043d" in done.stderr, b"Traceback" in done.stderr) == (EXIT_USAGE, True, False)


class TestHelp:
    @pytest.mark.parametrize(
        "command",
        [
            (),
            ("serve",),
            ("demo",),
            ("keys",),
            ("keys", "issue"),
            ("keys", "list"),
            ("keys", "revoke"),
            ("keys", "rotate"),
            ("users",),
            ("users", "list"),
            ("users", "suspend"),
            ("users", "restore"),
            ("audit",),
            ("streams",),
            ("streams", "list"),
            ("streams", "kick"),
            ("doctor",),
            ("completion",),
            ("config",),
            ("config", "check"),
            ("config", "show"),
        ],
    )
    def test_every_command_of_the_contract_explains_itself(self, command: tuple[str, ...]) -> None:
        result = run(*command, "--help")
        assert result.exit_code == 0
        assert len(result.output.splitlines()) > 5

    def test_exit_codes_are_documented(self) -> None:
        output = run("--help").output
        for code in (0, EXIT_FAILED, EXIT_USAGE, EXIT_NOT_FOUND):
            assert re.search(rf"^ +{code}  \w", output, re.MULTILINE)

    def test_the_version_is_told(self) -> None:
        assert run("--version").output == f"streamd, version {__version__}\n"
