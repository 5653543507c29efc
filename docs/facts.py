"""What the reference is made of, asked of a server that is started for it: the API's document."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

START_TIMEOUT_S = 60
_TOKEN = "only-for-the-documentation"  # noqa: S105  # the server lives for a second, on loopback, with no data


def write_facts(directory: Path) -> None:
    """Write ``openapi.json``.

    Raises:
        RuntimeError: The server did not start.
    """
    with tempfile.TemporaryDirectory() as data_dir:
        rtmp, http, admin = _free_ports(3)
        environment = {
            **os.environ,
            "STREAMD_SERVER__DATA_DIR": data_dir,
            "STREAMD_RTMP__LISTEN": f"127.0.0.1:{rtmp}",
            "STREAMD_HTTP__LISTEN": f"127.0.0.1:{http}",
            "STREAMD_ADMIN__LISTEN": f"127.0.0.1:{admin}",
            "STREAMD_ADMIN__TOKEN": _TOKEN,
        }
        command = [sys.executable, "-m", "streamd", "serve"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as server:  # noqa: S603
            try:
                origin = f"http://127.0.0.1:{admin}"
                _wait_until_ready(server, origin)
                openapi = _get(f"{origin}/openapi.json")
            finally:
                server.terminate()
    directory.mkdir(exist_ok=True)
    (directory / "openapi.json").write_text(openapi, "utf-8")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_until_ready(server: subprocess.Popen[bytes], origin: str) -> None:
    give_up_at = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up_at and server.poll() is None:
        try:
            _get(f"{origin}/readyz")
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server that the documentation asks did not start")


def _get(url: str) -> str:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {_TOKEN}"})  # noqa: S310  # loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        text: str = answer.read().decode()
    return text
