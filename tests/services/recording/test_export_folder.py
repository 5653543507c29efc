"""The folders of servers' exports beside each other."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from streamd.services.recording import export_folder
from streamd.services.recording.export_folder import ExportFolder
from streamd.services.recording.folder import claim_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_each_server_has_one_of_its_own(tmp_path: Path) -> None:
    first, second = ExportFolder(tmp_path / ".exports"), ExportFolder(tmp_path / ".exports")
    first.open()
    (first.path / "rec.mp4").write_bytes(b"first")
    second.open()
    second.open()
    assert first.path != second.path
    assert first.path.stat().st_mode & 0o077 == 0
    assert (first.path / "rec.mp4").read_bytes() == b"first"
    first.close()
    second.close()


def test_what_was_left_is_removed(tmp_path: Path) -> None:
    left = ExportFolder(tmp_path)
    left.open()
    (left.path / "rec.mp4").write_bytes(b"left")
    left.close()
    left.close()
    (tmp_path / "of_before.mp4").write_bytes(b"without a folder")
    folder = ExportFolder(tmp_path)
    folder.open()
    assert [*tmp_path.iterdir()] == [folder.path]
    folder.close()


def test_one_that_another_server_takes_for_left_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ExportFolder(tmp_path)
    removed: list[Path] = []

    def claim(path: Path) -> int:
        if len(removed) < 2:
            # In the moment before, or in the one behind.
            removed.append(path)
            claimed = claim_folder(path) if len(removed) == 1 else -1
            shutil.rmtree(path)
            return claimed if claimed >= 0 else claim_folder(path)
        return claim_folder(path)

    monkeypatch.setattr(export_folder, "claim_folder", claim)
    folder.open()
    assert len(removed) == 2
    assert folder.path.is_dir()
    folder.close()


def test_a_disk_that_takes_nothing_is_told_of(tmp_path: Path) -> None:
    (tmp_path / ".exports").write_bytes(b"in its place")
    with pytest.raises(OSError, match=r".+"):
        ExportFolder(tmp_path / ".exports").open()
