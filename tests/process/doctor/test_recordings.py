"""What the doctor says of the directory of recordings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from streamd.process.config import load_config
from streamd.process.doctor import recordings
from streamd.process.doctor.check_result import CheckResult, Verdict
from streamd.process.doctor.recordings import HOUR_BYTES, HOURS_GOOD, check_recordings

if TYPE_CHECKING:
    from pathlib import Path

KEPT_BYTES = 1_000_000_000


def found(data_dir: Path, mode: str = "all") -> list[CheckResult]:
    environ = {"STREAMD_RECORDING__MODE": mode, "STREAMD_RECORDING__MIN_FREE_BYTES": str(KEPT_BYTES)}
    return list(check_recordings(load_config(None, environ=environ, data_dir=data_dir)))


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How much the disk has: as much as it has to, and more."""
    has = {"bytes": KEPT_BYTES + HOUR_BYTES * (HOURS_GOOD + 1)}
    monkeypatch.setattr(recordings, "free_bytes", lambda _: has["bytes"])
    return has


@pytest.mark.usefixtures("free")
def test_nothing_is_said_where_nothing_is_recorded(tmp_path: Path) -> None:
    assert found(tmp_path, "off") == []
    assert [each.verdict for each in found(tmp_path, "asked")] == [Verdict.OK]


@pytest.mark.usefixtures("free")
def test_a_user_may_be_recorded_where_the_rule_is_off(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    assert [each.verdict for each in found(tmp_path, "off")] == [Verdict.OK]


def test_room_is_told_in_hours(tmp_path: Path, free: dict[str, int]) -> None:
    (good,) = found(tmp_path)
    assert good.message == f"{tmp_path / 'recordings'} has room for {HOURS_GOOD + 1} hours at 6 Mb/s"
    free["bytes"] = KEPT_BYTES + HOUR_BYTES
    (little,) = found(tmp_path)
    assert (little.verdict, "room for 1 hours" in little.message) == (Verdict.WARNING, True)
    free["bytes"] = KEPT_BYTES
    (none,) = found(tmp_path)
    assert none.verdict is Verdict.FAILED
    assert "recording.min_free_bytes keeps 1.0 GB" in none.message


def test_a_directory_that_we_may_not_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root, who may run this, may write everywhere.
    monkeypatch.setattr(os, "access", lambda *_: False)
    (refused,) = found(tmp_path)
    assert refused.verdict is Verdict.FAILED
    assert refused.advice.endswith(str(tmp_path / "recordings"))


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "recordings").touch()
    assert [each.verdict for each in found(tmp_path)] == [Verdict.FAILED]
