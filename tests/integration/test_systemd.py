"""The systemd unit, as systemd reads it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until
from tests.support.tools import require

pytestmark = pytest.mark.integration

UNIT = Path(__file__).parents[2] / "configs/streamd.service"
# "OK"; tenths. What talks to the whole internet cannot come much lower.
EXPOSURE_MAX = 20


def analyze(*arguments: str) -> str:
    require("systemd-analyze")
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        env=os.environ | {"LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_has_no_fault(tmp_path: Path) -> None:
    # The program that it names is on the machines that it is for.
    text = UNIT.read_text().replace("/opt/streamd/bin/streamd", "/bin/sh")
    copy = tmp_path / UNIT.name
    copy.write_text(text)
    assert analyze("verify", str(copy)) == ""


def test_it_may_do_little() -> None:
    text = analyze("security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", str(UNIT))
    found = re.search(r"exposure level for streamd.service: (\S+)", text)
    assert found is not None
    assert f"says {found[1]} of 10" in UNIT.read_text(), "the unit's own head tells it"


def test_the_picture_worker_may_lock_itself_in() -> None:
    """Older systemd has these calls in no group."""
    filters = re.findall(r"^SystemCallFilter=(.+)$", UNIT.read_text(), re.MULTILINE)
    # What stands after a "~" takes away; later lines add to what is left.
    added = " ".join(filters[filters.index("~@privileged") + 1 :]).split()
    assert {"seccomp", "landlock_create_ruleset", "landlock_restrict_self"} <= set(added)


def test_the_server_tells_when_it_is_ready_and_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with run_server(tmp_path) as server:
            assert notify.recv(100) == b"READY=1"
            assert notify.recv(100) == b"WATCHDOG=1"
            assert server.stop() == 0
        states: list[bytes] = []

        def is_stopping() -> bool:
            states.append(notify.recv(100))
            return states[-1] == b"STOPPING=1"

        wait_until(is_stopping, PATIENCE_S, "a word of the end")
