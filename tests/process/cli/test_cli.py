from __future__ import annotations

import re

import pytest

from streamd import __version__
from streamd.process.cli import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_USAGE
from tests.support.cli import run


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
