from __future__ import annotations

from pathlib import Path

import pytest

from streamd.process.cli import EXIT_FAILED, EXIT_USAGE
from tests.support.cli import issue, run


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("keys", "issue", "A b"), "2 to 64 small letters"),
            (("keys", "issue", "alice", "--expires", "soon"), "write a number and a unit"),
            (("keys", "issue", "alice", "--expires", "0s"), "lives for no time"),
            (("keys", "issue", "alice", "--expires", "999999w"), "beyond the calendar"),
            (("keys", "issue", "alice", "--label", "x" * 101), "101 characters"),
            (("keys", "rotate", "0000000000", "--overlap", "31d"), "at most 30d"),
            (("keys", "revoke", "nonsense"), "not a key id"),
            (("keys", "revoke"), "Missing argument"),
            (("streams", "kick", "../x"), "2 to 64 small letters"),
            (("users", "suspend", "../x"), "2 to 64 small letters"),
            (("users", "limit", "alice"), "or both"),
            (("audit", "--limit", "0"), "not in the range"),
            (("nonsense",), "No such command"),
        ],
    )
    def test_what_was_typed_wrong_is_said_without_a_traceback(
        self, data_dir: Path, arguments: tuple[str, ...], says: str
    ) -> None:
        result = run(*arguments, data_dir=data_dir) if len(arguments) > 1 else run(*arguments)
        assert (result.exit_code, says in result.stderr) == (EXIT_USAGE, True)
        assert "Traceback" not in result.output

    @pytest.mark.parametrize("text", ["90s", "10m", "12h", "30d", "2w", "1h30m"])
    def test_durations_are_written_as_people_do(self, data_dir: Path, text: str) -> None:
        issue(data_dir, "alice", "--expires", text)

    def test_a_data_directory_that_cannot_be_is_one_line(self, data_dir: Path) -> None:
        data_dir.touch()
        result = run("keys", "list", data_dir=data_dir / "x")
        assert (result.exit_code, result.stderr.count("\n")) == (EXIT_USAGE, 1)

    def test_a_damaged_database_is_one_clear_line(self, data_dir: Path) -> None:
        data_dir.mkdir()
        (data_dir / "streamd.db").write_bytes(b"nonsense" * 1000)
        result = run("keys", "list", data_dir=data_dir)
        assert result.exit_code == EXIT_FAILED
        assert "damaged or not a database" in result.stderr.splitlines()[-1]
