from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamd.process.cli import EXIT_FAILED, EXIT_USAGE
from tests.support.cli import run

# Any that are free, so that nothing of this machine's fails.
PORTS = {f"STREAMD_{name}__LISTEN": "127.0.0.1:0" for name in ("RTMP", "HTTP", "ADMIN")}


def test_a_machine_that_will_do(data_dir: Path) -> None:
    result = run("doctor", data_dir=data_dir, env=PORTS)
    assert result.exit_code == 0
    assert "will be made at the first start" in result.stdout
    assert not data_dir.exists()


def test_what_fails_is_the_exit_code_and_says_what_to_do(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    (data_dir / "streamd.db").write_bytes(b"nonsense" * 1000)
    result = run("doctor", "--json", data_dir=data_dir, env=PORTS)
    findings = {finding["check"]: finding for finding in json.loads(result.stdout)}
    assert result.exit_code == EXIT_FAILED
    assert findings["keys.database_url"]["verdict"] == "failed"
    assert all(finding["advice"] for finding in findings.values() if finding["verdict"] != "ok")


def test_a_faulty_configuration_is_said_first(data_dir: Path) -> None:
    assert run("doctor", data_dir=data_dir, env={"STREAMD_RTMP__LISTEN": "x"}).exit_code == EXIT_USAGE


@pytest.mark.usefixtures("server")
def test_beside_a_server_that_runs(data_dir: Path) -> None:
    result = run("doctor", "--json", data_dir=data_dir, env=PORTS)
    (database,) = (f for f in json.loads(result.stdout) if f["check"] == "keys.database_url")
    assert database["verdict"] == "ok"
