"""nginx, to be measured beside streamd."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.machine import SERVER_CORE, children, pin

if TYPE_CHECKING:
    from collections.abc import Iterator

START_TIMEOUT_S = 20.0
CONFIG = """
daemon off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log;
"""


@contextlib.contextmanager
def run_nginx(config: str, name: str) -> Iterator[tuple[int, int, Path]]:
    """Run nginx on the server's core, with a directory on tmpfs.

    Args:
        config: Its configuration beside ``CONFIG``; ``{port}``, ``{directory}`` and ``{root}``, the directory of its
            other files, are filled in.
        name: Of the directory.

    Yields:
        The process id of its only worker, its port, and the directory.
    """
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise SystemExit("no nginx on PATH; leave the case out")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as temporary:
        root = Path(temporary)
        root.chmod(0o755)
        directory = root / name
        directory.mkdir()
        directory.chmod(0o777)  # the worker is another user's where we are root
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port: int = listener.getsockname()[1]
        file = root / "nginx.conf"
        file.write_text((CONFIG + config).format(root=root, port=port, directory=directory))
        process = subprocess.Popen([program, "-c", str(file), "-p", temporary], stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not _is_listening(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"nginx did not start: {_last_line(root / 'error.log')}")
                time.sleep(0.05)
            # The RTMP module has a manager of its files beside it.
            worker, *_ = children(process.pid)
            pin(worker, SERVER_CORE)
            yield worker, port, directory
        finally:
            process.terminate()
            process.wait(10)


def _is_listening(port: int) -> bool:
    """Whether somebody accepts connections."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _last_line(file: Path) -> str:
    lines = file.read_text().splitlines() if file.exists() else []
    return lines[-1] if lines else "it says nothing of it"
