from __future__ import annotations

import json
from typing import TYPE_CHECKING

from streamd.process.cli import EXIT_FAILED
from tests.support.cli import issue, run

if TYPE_CHECKING:
    from pathlib import Path


def test_no_evidence_is_whole(data_dir: Path) -> None:
    issue(data_dir)
    result = run("evidence", "verify", data_dir=data_dir)
    assert result.exit_code == 0, result.output
    assert "The evidence is whole: 0 pieces." in result.stdout
    assert json.loads(run("evidence", "verify", "--json", data_dir=data_dir).stdout)["ok"]


def test_what_nobody_knows_of_is_told(data_dir: Path) -> None:
    issue(data_dir)
    (data_dir / "evidence" / "evi_01kjmg3m00aaaaaaaaaaaaaaaa").mkdir(parents=True)
    result = run("evidence", "verify", data_dir=data_dir)
    assert result.exit_code == EXIT_FAILED
    assert "evi_01kjmg3m00aaaaaaaaaaaaaaaa: a folder that the index does not know" in result.stdout
    assert "not as it was kept: 1 fault" in result.stderr


def test_a_place_that_was_noted_and_is_gone_is_told(data_dir: Path) -> None:
    issue(data_dir)
    result = run("evidence", "verify", "--anchor", f"3:{'0' * 64}", data_dir=data_dir)
    assert result.exit_code == EXIT_FAILED
    assert "number 3, which was noted, is missing" in result.stdout
