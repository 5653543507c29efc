"""A configuration file: a configuration, or a ``ConfigError`` that names every fault on one line each."""

from __future__ import annotations

import tempfile
from pathlib import Path

from streamd.errors import ConfigError
from streamd.process.config import config_text, default_config_text, load_config

_ENVIRONMENT = b"STREAMD_"


def seeds() -> list[bytes]:
    text = default_config_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [
        "\n".join(lines).encode(),
        b'[rtmp]\nlisten = "[::1]:1935"\ntls_listen = ":443"\ntls_cert = "x"\n',
        b"[limits]\nconnections_max = -1\nmessage_bytes_max = 1e400\nstreams_max = 9999999999999999999\nx = nan\n",
        b'[admin]\nhosts = ["a", 1]\ntoken = "short"\n[admin]\n',
        b'[keys]\ndatabase_url = "postgresql+asyncpg://u:p@[h/d"\n',
        b"STREAMD_LIMITS__STREAMS_MAX=1\nSTREAMD_RTMP__LISTEN=:99999\nSTREAMD_X__Y=1\nSTREAMD_ADMIN__HOSTS=a,b",
        b"server.data_dir = 5\n[[rtmp]]\n'a'.b = 1\n\"\\u0000\" = 2\n",
    ]


def run(data: bytes) -> None:
    """Args: data: The file; or, where it begins with ``STREAMD_``, the environment, a variable a line."""
    if data.startswith(_ENVIRONMENT):
        lines = data.decode("utf-8", "surrogateescape").replace("\0", "").splitlines()
        _load(None, dict(line.partition("=")[::2] for line in lines))
        return
    with tempfile.NamedTemporaryFile(suffix=".toml", dir=_DIRECTORY) as file:
        file.write(data)
        file.flush()
        _load(Path(file.name), {})


def _load(path: Path | None, environ: dict[str, str]) -> None:
    try:
        config = load_config(path, environ=environ)
    except ConfigError as exc:
        assert exc.faults
        assert all("\n" not in fault for fault in exc.faults)
    else:
        assert config_text(config)


# In memory, where there is such a place: a file is written for each input.
_DIRECTORY = next((path for path in ("/dev/shm",) if Path(path).is_dir()), None)
