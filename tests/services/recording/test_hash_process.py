"""The hash of a recording's file from a process beside the server's; the real one, and ones that fail."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import TYPE_CHECKING

import pytest

from streamd.process.workers.commands import HASH_COMMAND
from streamd.process.workers.hash_worker import NICENESS
from streamd.services.recording import hash_process
from streamd.services.recording.hash_process import FILES_HERE, HERE_BYTES_MAX, HashProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def real() -> Iterator[HashProcess]:
    process = HashProcess(HASH_COMMAND, ENVIRONMENT)
    yield process
    process.close()


def file_of(directory: Path, size_bytes: int) -> tuple[Path, str]:
    path = directory / f"{size_bytes}.m4s"
    path.write_bytes(os.urandom(size_bytes))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_files_are_hashed_beside_the_server(tmp_path: Path, real: HashProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_process, "file_sha256", None)
    for size_bytes in (HERE_BYTES_MAX + 1, 3_000_000):
        path, digest = file_of(tmp_path, size_bytes)
        assert real.file_sha256(path) == digest
    worker = real._worker
    assert worker is not None
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) == min(19, os.nice(0) + NICENESS)
    real.close()
    assert worker.returncode == -9


def test_small_ones_are_hashed_here(tmp_path: Path, real: HashProcess) -> None:
    path, digest = file_of(tmp_path, HERE_BYTES_MAX)
    assert real.file_sha256(path) == digest
    assert real._worker is None


def test_a_path_that_is_not_there_any_more_is_told_as_ever(tmp_path: Path, real: HashProcess) -> None:
    with pytest.raises(FileNotFoundError):
        real.file_sha256(tmp_path / "gone")
    path, digest = file_of(tmp_path, 100_000)
    path.chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            real.file_sha256(path)
    path.chmod(0o600)
    assert real.file_sha256(path) == digest


@pytest.mark.parametrize(
    "code",
    ["", "import os; os.read(0, 9); os.write(1, b'x\\n')", "import os; os.read(0, 9); os.write(1, b'y' * 65)"],
    ids=["ends", "short", "long"],
)
def test_one_that_fails_costs_no_file_its_hash(tmp_path: Path, code: str) -> None:
    process = HashProcess((sys.executable, "-c", code), {})
    path, digest = file_of(tmp_path, 100_000)
    for _ in range(FILES_HERE + 1):
        assert process.file_sha256(path) == digest
        assert process._worker is None
    # Another one is tried, after a while.
    process._command = HASH_COMMAND
    process._environment = ENVIRONMENT
    assert process.file_sha256(path) == digest
    assert process._worker is not None
    process.close()
    assert process.file_sha256(path) == digest
    assert process._worker is None


def test_one_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_process, "ANSWER_TIMEOUT_S", 0.1)
    process = HashProcess((sys.executable, "-c", "import time; time.sleep(600)"), {})
    path, digest = file_of(tmp_path, 100_000)
    assert process.file_sha256(path) == digest
    assert process._worker is None


def test_one_that_is_not_there_is_done_without(tmp_path: Path) -> None:
    process = HashProcess(("/nonexistent/python",), {})
    path, digest = file_of(tmp_path, 100_000)
    assert process.file_sha256(path) == digest
