from __future__ import annotations

import os
import resource

import pytest

from streamd.process.config import load_config
from streamd.process.data_dir import RunningServer
from streamd.process.doctor.check_result import Verdict
from streamd.process.doctor.machine import check_clock, check_open_files
from streamd.process.machine import wanted_descriptors

CONFIG = load_config(
    None, environ={"STREAMD_LIMITS__CONNECTIONS_MAX": "100", "STREAMD_LIMITS__VIEWER_CONNECTIONS_MAX": "1000"}
)
NEEDED = wanted_descriptors(CONFIG)


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [(NEEDED, Verdict.OK), (NEEDED - 1, Verdict.WARNING), (resource.RLIM_INFINITY, Verdict.OK)],
)
def test_open_files_are_compared_with_what_the_limits_allow(
    monkeypatch: pytest.MonkeyPatch, limit: int, verdict: Verdict
) -> None:
    monkeypatch.setattr(resource, "prlimit", lambda *_: (limit, limit))
    finding = check_open_files(CONFIG, None)
    assert (finding.verdict, f"LimitNOFILE={NEEDED}" in finding.advice) == (verdict, verdict is Verdict.WARNING)


def test_it_is_the_servers_limit_that_counts() -> None:
    server = RunningServer(os.getppid(), "", 0)
    limit = resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)[0]
    assert str(limit) in check_open_files(CONFIG, server).message


def test_a_limit_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(resource, "prlimit", refuse)
    assert check_open_files(CONFIG, RunningServer(1, "", 0)).verdict is Verdict.WARNING


def test_the_kernel_is_asked_about_the_clock() -> None:
    assert check_clock().verdict in (Verdict.OK, Verdict.WARNING)
