"""The deploy hook that brings a renewed certificate to where streamd reads it."""

from __future__ import annotations

import grp
import os
import stat
import subprocess
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[2] / "configs" / "renewed-certificate"
TIMEOUT_S = 30.0


@pytest.fixture
def lineage(tmp_path: Path) -> Path:
    """A directory as certbot has one for each name."""
    directory = tmp_path / "live" / "live.example.org"
    directory.mkdir(parents=True)
    (directory / "fullchain.pem").write_text("chain 1\n", "ascii")
    (directory / "privkey.pem").write_text("key 1\n", "ascii")
    return directory


def run_hook(target: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RENEWED_", "LEGO_"))}
    env |= {"STREAMD_TLS_DIR": str(target), "STREAMD_GROUP": grp.getgrgid(os.getgid()).gr_name, **environment}
    return subprocess.run(["sh", HOOK], env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def certbot(lineage: Path) -> dict[str, str]:
    return {"RENEWED_LINEAGE": str(lineage)}


def lego4(lineage: Path, prefix: str = "LEGO_") -> dict[str, str]:
    paths = {"CERT_PATH": lineage / "fullchain.pem", "CERT_KEY_PATH": lineage / "privkey.pem"}
    return {f"{prefix}{name}": str(path) for name, path in paths.items()}


def lego5(lineage: Path) -> dict[str, str]:
    return lego4(lineage, "LEGO_HOOK_")


@pytest.mark.parametrize("client", [certbot, lego4, lego5])
def test_it_copies_both_files_and_at_a_renewal_again(lineage: Path, tmp_path: Path, client: object) -> None:
    assert callable(client)
    target = tmp_path / "tls"
    for number in (1, 2):
        (lineage / "fullchain.pem").write_text(f"chain {number}\n", "ascii")
        (lineage / "privkey.pem").write_text(f"key {number}\n", "ascii")
        done = run_hook(target, **client(lineage))
        assert (done.returncode, done.stderr) == (0, "")
        assert (target / "cert.pem").read_text("ascii") == f"chain {number}\n"
        assert (target / "key.pem").read_text("ascii") == f"key {number}\n"
    assert sorted(path.name for path in target.iterdir()) == ["cert.pem", "key.pem"]


def test_the_key_is_for_the_group_and_nobody_else(lineage: Path, tmp_path: Path) -> None:
    run_hook(tmp_path / "tls", **certbot(lineage))
    assert stat.S_IMODE((tmp_path / "tls/key.pem").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o750


def test_a_file_that_is_not_there_leaves_what_was(lineage: Path, tmp_path: Path) -> None:
    run_hook(tmp_path / "tls", **certbot(lineage))
    (lineage / "fullchain.pem").unlink()
    (lineage / "privkey.pem").write_text("key 2\n", "ascii")
    assert run_hook(tmp_path / "tls", **certbot(lineage)).returncode != 0
    assert (tmp_path / "tls/key.pem").read_text("ascii") == "key 1\n"


def test_by_hand_it_says_what_it_is(tmp_path: Path) -> None:
    done = run_hook(tmp_path / "tls")
    assert done.returncode != 0
    assert "deploy hook" in done.stderr
