from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from streamd.process.data_dir import TOKEN_NAME
from streamd.process.doctor.check_result import Verdict
from streamd.process.doctor.data_directory import check_data_directory


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir(mode=0o700)
    return path


def verdicts(data_dir: Path) -> dict[str, Verdict]:
    return {finding.check: finding.verdict for finding in check_data_directory(data_dir)}


def test_one_that_is_as_the_server_makes_it(data_dir: Path) -> None:
    assert verdicts(data_dir) == {"server.data_dir": Verdict.OK, "disk": Verdict.OK}


def test_one_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    assert verdicts(tmp_path / "a" / "b")["server.data_dir"] is Verdict.OK
    assert list(tmp_path.iterdir()) == []


def test_one_that_we_may_not_write_to(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root, who may run this, may write everywhere.
    monkeypatch.setattr(os, "access", lambda *_: False)
    for path in (data_dir, data_dir / "inner"):
        assert verdicts(path) == {"server.data_dir": Verdict.FAILED}


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert verdicts(tmp_path / "data") == {"server.data_dir": Verdict.FAILED}


def test_what_others_can_read(data_dir: Path) -> None:
    data_dir.chmod(0o755)
    (data_dir / TOKEN_NAME).touch(mode=0o644)
    found = {finding.check: finding for finding in check_data_directory(data_dir)}
    assert found["server.data_dir"].advice == f"chmod 700 {data_dir}"
    assert (found["admin token"].verdict, found["admin token"].advice) == (
        Verdict.FAILED,
        f"chmod 600 {data_dir / TOKEN_NAME}",
    )


def test_what_others_can_write_to(data_dir: Path) -> None:
    data_dir.chmod(0o777)
    found = {finding.check: finding for finding in check_data_directory(data_dir)}["server.data_dir"]
    assert (found.verdict, found.advice) == (Verdict.FAILED, f"chmod 700 {data_dir}")


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(
    ("free", "verdict"), [(10**12, Verdict.OK), (100 * 2**20, Verdict.WARNING), (2**20, Verdict.FAILED)]
)
def test_room(data_dir: Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: Verdict) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free))
    assert verdicts(data_dir)["disk"] is verdict
