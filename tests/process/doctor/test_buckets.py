"""What the doctor finds of a bucket without asking it; ``integration/test_storage.py`` asks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from streamd.process.config import load_config
from streamd.process.doctor.buckets import check_storage
from streamd.process.doctor.check_result import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.process.doctor.check_result import CheckResult


def found(**settings: str) -> list[CheckResult]:
    environ = {f"STREAMD_STORAGE__{name.upper()}": value for name, value in settings.items()}
    return list(check_storage(load_config(None, environ=environ)))


def test_without_a_bucket_nothing_is_looked_at() -> None:
    assert found() == []


def test_a_directory_is_looked_at_and_not_made(tmp_path: Path) -> None:
    (result,) = found(url=f"file://{tmp_path}/a/b")
    assert (result.check, result.verdict) == ("storage.url", Verdict.OK)
    assert not (tmp_path / "a").exists()


def test_a_directory_that_cannot_be_written_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root writes everywhere.
    monkeypatch.setattr(os, "access", lambda *_: False)
    (result,) = found(url=f"file://{tmp_path}/a")
    assert result.verdict is Verdict.FAILED


def test_a_place_that_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (result,) = found(url=f"file://{tmp_path}/file")
    assert (result.check, result.verdict) == ("storage.url", Verdict.FAILED)


def test_a_secret_that_everybody_may_read_is_warned_of(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret that nobody is shown")
    secret.chmod(0o644)
    settings = {"url": "s3://recordings", "endpoint": "http://127.0.0.1:9", "access_key_id": "AKID"}
    results = found(**settings, secret_access_key_file=str(secret))
    assert [(each.check, each.verdict) for each in results] == [
        ("storage.secret_access_key_file", Verdict.WARNING),
        ("storage.endpoint", Verdict.FAILED),
    ]
    assert "chmod 600" in results[0].advice
    assert secret.read_text() not in repr(results)
    secret.chmod(0o600)
    assert [each.check for each in found(**settings, secret_access_key_file=str(secret))] == ["storage.endpoint"]


def test_recordings_that_go_through_a_network_in_the_clear_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamd.process.doctor import buckets

    async def nothing(_: object) -> None:
        return None

    monkeypatch.setattr(buckets, "_try", nothing)
    assert [each.verdict for each in found(url="s3://recordings", endpoint="http://s3.example.org")] == [
        Verdict.WARNING,
        Verdict.OK,
    ]
    assert [each.verdict for each in found(url="s3://recordings", endpoint="http://localhost:9000")] == [Verdict.OK]
