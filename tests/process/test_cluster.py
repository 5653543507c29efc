from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamd.errors import ConfigError
from streamd.process.binding import StartError
from streamd.process.cluster import _read_secret, node_name
from streamd.process.config import config_text, load_config, secrets_of

if TYPE_CHECKING:
    from collections.abc import Mapping

WHOLE = {
    "STREAMD_KEYS__DATABASE_URL": "postgresql+asyncpg://streamd@/streamd",
    "STREAMD_CLUSTER__NATS_URL": "nats://u:hidden-word@10.0.0.2:4222, nats://10.0.0.3",
    "STREAMD_CLUSTER__LISTEN": "10.0.0.11:8082",
    "STREAMD_CLUSTER__ADVERTISE": "http://10.0.0.11:8082",
}


def faults(environ: Mapping[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(None, environ=environ)
    return str(caught.value)


def test_a_server_that_is_alone_loads_nothing_of_it() -> None:
    program = (
        "import sys, pathlib, tempfile\n"
        "from streamd.clock import SystemClock\n"
        "from streamd.process.config import load_config\n"
        "from streamd.process.server import Server\n"
        "Server(load_config(None, environ={}, data_dir=pathlib.Path(tempfile.mkdtemp())), SystemClock())\n"
        "print([name for name in sys.modules if 'cluster' in name.split('.') or name.split('.')[0] == 'nats'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_cluster_needs_all_of_it(tmp_path: Path) -> None:
    told = faults({"STREAMD_CLUSTER__NATS_URL": "nats://10.0.0.2"})
    for part in ("keys.database_url", "cluster.listen", "cluster.advertise", "cluster.secret_file"):
        assert part.rpartition(".")[2] in told
    told = faults({**WHOLE, "STREAMD_CLUSTER__SECRET_FILE": str(tmp_path / "none")})
    assert "there is no such file" in told


@pytest.mark.parametrize(
    ("key", "value", "advice"),
    [
        ("NATS_URL", "http://10.0.0.2", "write nats://"),
        ("NATS_URL", "nats://10.0.0.2:port", "write nats://"),
        ("NODE", "A b", "small letters"),
        ("ADVERTISE", "10.0.0.11:8082", "write http://"),
        ("ADVERTISE", "http://10.0.0.11:8082/x", "write http://"),
        ("ROLE", "king", "write one of"),
        ("ON_ISOLATION", "maybe", "write one of"),
        ("LEASE_S", "1", "write 2 or more"),
    ],
)
def test_faults_say_what_to_write(key: str, value: str, advice: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x" * 16)
    environ = {**WHOLE, "STREAMD_CLUSTER__SECRET_FILE": str(secret), f"STREAMD_CLUSTER__{key}": value}
    assert advice in faults(environ)


def test_passwords_are_masked(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x" * 16)
    config = load_config(None, environ={**WHOLE, "STREAMD_CLUSTER__SECRET_FILE": str(secret)})
    assert "hidden-word" not in config_text(config)
    assert "hidden-word" in secrets_of(config)


def test_the_secret_has_to_be_one(tmp_path: Path) -> None:
    for text in (b"", b"short\n", b"x" * 5000):
        path = tmp_path / "secret"
        path.write_bytes(text)
        with pytest.raises(StartError, match="write 16 to"):
            _read_secret(str(path))
    with pytest.raises(StartError, match="cannot be read"):
        _read_secret(str(tmp_path / "none"))


def test_a_node_is_called_like_its_machine() -> None:
    assert [node_name(host) for host in ("Node-1.example.org", "täst", "", "___")] == ["node-1", "t-st", "node", "node"]
