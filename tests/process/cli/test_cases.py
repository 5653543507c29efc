"""``streamd cases``, asked of a server on which one thing was reported."""

from __future__ import annotations

import json
import re
import sqlite3
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from streamd.process.cli import EXIT_USAGE
from streamd.process.config.values import _check_flaggers
from tests.support.cli import run


def cases(*arguments: str, data_dir: Path) -> str:
    result = run("cases", *arguments, data_dir=data_dir)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.reported
@pytest.mark.usefixtures("server")
class TestReading:
    def listed(self, data_dir: Path, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(cases("list", "--json", *arguments, data_dir=data_dir))
        return found

    def test_the_list_shows_what_waits(self, data_dir: Path) -> None:
        table = cases("list", data_dir=data_dir)
        assert re.search(r"^case_\w{26} +13\.\d +channel erin +violence +open +1 ", table, re.MULTILINE)
        (case,) = self.listed(data_dir, "--state", "open", "--channel", "erin", "--newest")
        assert case["target"]["id"] == "erin"
        assert self.listed(data_dir, "--state", "decided") == []
        assert run("cases", "list", "--channel", "bob", data_dir=data_dir).stderr == "There are no cases.\n"

    def test_a_case_is_shown_by_its_id_and_by_what_a_reporter_says(self, data_dir: Path) -> None:
        (case,) = self.listed(data_dir)
        shown = cases("show", case["id"], data_dir=data_dir)
        assert "channel erin (/watch/erin)" in shown
        assert "He hits a person." in shown
        (reference,) = re.findall(r"^([0-9A-Z]{4}-[0-9A-Z]{2}) ", shown, re.MULTILINE)
        for said in (reference, reference.lower()):
            assert cases("show", said, data_dir=data_dir) == shown
        assert json.loads(cases("show", reference, "--json", data_dir=data_dir))["id"] == case["id"]

    def test_what_the_machine_has_seen_is_shown_and_judged(self, data_dir: Path) -> None:
        (case,) = self.listed(data_dir)
        nothing = run("cases", "findings", case["id"], data_dir=data_dir)
        assert nothing.stderr == "The machine has looked at no picture of this case.\n"
        finding = "fnd_" + case["id"].removeprefix("case_")
        with sqlite3.connect(data_dir / "streamd.db") as database:
            database.execute(
                "INSERT INTO findings (id, case_id, channel, at, source, hash, quality, matches, scores, words, fault,"
                " duplicates, signs, suggestion, judged_by) VALUES (?, ?, 'erin', '2026-01-01 00:00:00.000000',"
                """ 'report', '', 0, '[]', '[]', '["\\u001b[2J"]', '', '[]', '["knife 0.91"]', '', '')""",
                (finding, case["id"]),
            )
        shown = cases("findings", case["id"], data_dir=data_dir)
        assert "knife 0.91" in shown
        assert "\x1b" not in shown
        assert re.search("wrong +cli/root", cases("findings", case["id"], "--wrong", finding, data_dir=data_dir))
        (found,) = json.loads(cases("findings", case["id"], "--json", data_dir=data_dir))
        assert (found["agreed"], found["judged_by"]) == (False, "cli/root")
        both = ("--wrong", finding, "--right", finding)
        assert run("cases", "findings", case["id"], *both, data_dir=data_dir).exit_code == EXIT_USAGE
        other = run("cases", "findings", case["id"], "--right", f"fnd_{'0' * 26}", data_dir=data_dir)
        assert "no such finding" in other.stderr

    @pytest.mark.parametrize(
        ("case", "code", "said"),
        [
            ("nothing", EXIT_USAGE, "7F3K-92"),
            ("0000-00", 1, "no case of a report"),
            (f"case_{'0' * 26}", 1, "there is no such case"),
        ],
    )
    def test_what_is_not_there(self, data_dir: Path, case: str, code: int, said: str) -> None:
        result = run("cases", "show", case, data_dir=data_dir)
        assert result.exit_code != 0
        assert said in result.stderr
        assert (result.exit_code == EXIT_USAGE) is (code == EXIT_USAGE)


class TestFlaggers:
    def test_the_line_for_the_configuration_fits_the_token(self) -> None:
        result = run("cases", "flagger", "Child Helpline")
        (token,) = re.findall(r"fl_[\w-]{32}", result.stdout)
        (line,) = re.findall(r'"(Child Helpline=[0-9a-f]{64})"', result.stdout)
        assert line == f"Child Helpline={sha256(token.encode()).hexdigest()}"
        assert _check_flaggers([line]) == [line]

    @pytest.mark.parametrize("name", ["", " ", "a=b", "x" * 65])
    def test_what_is_no_name(self, name: str) -> None:
        assert run("cases", "flagger", name).exit_code == EXIT_USAGE
