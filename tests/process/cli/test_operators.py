from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from streamd.process.account import TOKEN_VARIABLE, account_name
from streamd.process.cli import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_USAGE
from tests.support.cli import issue, run

ME = f"cli/{account_name({})}"


@pytest.fixture(params=[True, False], ids=["server", "store"])
def _where(request: pytest.FixtureRequest, data_dir: Path) -> None:
    """Everything is done over a server's API, and on the store itself."""
    if request.param:
        request.getfixturevalue("server")


def operators(*arguments: str, data_dir: Path, **options: Any) -> str:
    result = run("operators", *arguments, data_dir=data_dir, **options)
    assert result.exit_code == 0, result.output
    return result.stdout


def add(data_dir: Path, name: str = "carol", role: str = "operator", *options: str) -> str:
    new = json.loads(operators("add", name, "--role", role, "--json", *options, data_dir=data_dir))
    assert (new["name"], new["role"]) == (name, role)
    return str(new["token"])


def listed(data_dir: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(operators("list", "--json", data_dir=data_dir))
    return found


@pytest.mark.usefixtures("_where")
class TestOperators:
    def test_one_is_added_and_the_token_shown_once(self, data_dir: Path) -> None:
        shown = operators("add", "carol", "--role", "moderator", "--expires", "90d", data_dir=data_dir)
        (token,) = re.findall(r"so_[a-z0-9]{10}_[0-9A-Za-z]{32}", shown)
        assert "carol, moderator, until 2" in shown
        assert "streamd operators revoke carol" in shown
        table = operators("list", data_dir=data_dir)
        assert re.search(r"^carol +moderator +active +no +2.*Z +2.*Z +never", table, re.MULTILINE)
        assert token.rpartition("_")[2] not in table
        (carol,) = listed(data_dir)
        assert carol["created_by"] == ME

    def test_the_whole_life_of_one(self, data_dir: Path) -> None:
        old = add(data_dir)
        assert operators("rotate", "carol", "--json", data_dir=data_dir) != old
        assert "carol is auditor" in operators("role", "carol", "auditor", data_dir=data_dir)
        assert "expires: 2" in operators("expire", "carol", "--in", "30d", data_dir=data_dir)
        assert "expires: never" in operators("expire", "carol", "--never", data_dir=data_dir)
        assert "token alone" in operators("reset-code", "carol", data_dir=data_dir)
        assert "is revoked since" in operators("revoke", "carol", "--reason", "left", data_dir=data_dir)
        (carol,) = listed(data_dir)
        assert (carol["state"], carol["role"], carol["revoke_reason"]) == ("revoked", "auditor", "left")
        assert "is deleted" in operators("delete", "carol", "--yes", data_dir=data_dir)
        assert listed(data_dir) == []
        rows = json.loads(run("audit", "--json", data_dir=data_dir).stdout)["entries"]
        assert {(row["actor"], row["subject"]) for row in rows} == {(ME, "carol")}
        assert [row["action"] for row in reversed(rows)] == [
            "operator.added", "operator.rotated", "operator.changed", "operator.changed", "operator.changed",
            "operator.revoked", "operator.deleted",
        ]  # fmt: skip

    def test_an_empty_list_says_how_to_begin(self, data_dir: Path) -> None:
        issue(data_dir)
        assert "streamd operators add NAME" in run("operators", "list", data_dir=data_dir).stderr

    @pytest.mark.parametrize(
        ("arguments", "exit_code"),
        [
            (("add", "carol"), EXIT_USAGE),
            (("add", "carol", "--role", "king"), EXIT_USAGE),
            (("add", "Carol", "--role", "admin"), EXIT_USAGE),
            (("add", "root", "--role", "admin"), EXIT_USAGE),
            (("add", "dave", "--role", "admin"), EXIT_FAILED),
            (("add", "carol", "--role", "admin", "--expires", "0d"), EXIT_USAGE),
            (("revoke", "nobody"), EXIT_NOT_FOUND),
            (("rotate", "nobody"), EXIT_NOT_FOUND),
            (("role", "nobody", "admin"), EXIT_NOT_FOUND),
            (("expire", "dave"), EXIT_USAGE),
            (("expire", "dave", "--never", "--in", "1d"), EXIT_USAGE),
        ],
    )
    def test_what_cannot_be_is_one_line(self, data_dir: Path, arguments: tuple[str, ...], exit_code: int) -> None:
        add(data_dir, "dave")
        result = run("operators", *arguments, data_dir=data_dir)
        assert result.exit_code == exit_code, result.output
        assert "Traceback" not in result.output


@pytest.mark.usefixtures("server")
class TestActingByName:
    """Without a server, whoever has the files has all of it, and no token is asked for."""

    def test_commands_act_in_the_name_of_whose_token_is_in_the_environment(self, data_dir: Path) -> None:
        env = {TOKEN_VARIABLE: add(data_dir)}
        assert run("keys", "issue", "alice", data_dir=data_dir, env=env).exit_code == 0
        (row, *_) = json.loads(run("audit", "--json", data_dir=data_dir, env=env).stdout)["entries"]
        assert (row["action"], row["actor"]) == ("key.issued", "carol")

    def test_and_may_do_no_more_than_they(self, data_dir: Path) -> None:
        env = {TOKEN_VARIABLE: add(data_dir, role="moderator")}
        result = run("keys", "issue", "alice", data_dir=data_dir, env=env)
        assert result.exit_code == EXIT_FAILED
        assert "this is for the role admin or operator; carol is moderator" in result.stderr

    def test_a_token_that_is_dead_is_said_to_be(self, data_dir: Path) -> None:
        env = {TOKEN_VARIABLE: add(data_dir)}
        operators("revoke", "carol", data_dir=data_dir)
        result = run("keys", "list", data_dir=data_dir, env=env)
        assert result.exit_code == EXIT_FAILED
        assert f"the token in {TOKEN_VARIABLE}" in result.stderr


class TestAccounts:
    def test_behind_sudo_it_is_whoever_typed_the_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 0)
        assert account_name({"SUDO_USER": "alice"}) == "alice"
        monkeypatch.setattr("os.geteuid", lambda: 123_456)
        assert account_name({"SUDO_USER": "alice"}) == "123456"
