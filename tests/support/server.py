"""A real server for integration tests: ``streamd serve`` as a process of its own, on free loopback ports."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

POLL_S = 0.02
# Any stream key; the pattern's own text is none.
STREAM_KEY = re.compile(r"sk_([0-9a-z]{10})_[0-9A-Za-z]{32}")


def wait_until(condition: Any, timeout_s: float, what: str) -> Any:
    """Poll ``condition`` until it returns something true, and return that.

    For what another process does; inside this process tests wait for events.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {timeout_s:g} s")
        time.sleep(POLL_S)


@dataclass
class LiveServer:
    """A running server and what a test asks of it."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    log_path: Path
    rtmp_port: int
    http_port: int
    admin_port: int
    env: dict[str, str] = field(repr=False)
    tls: ssl.SSLContext | None = None
    """Trusts the server's certificate, where viewers are served over HTTPS."""
    secrets: set[str] = field(default_factory=set, repr=False)
    """Secret parts of the stream keys that were issued through here."""

    @property
    def rtmp_url(self) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/live"

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}" if self.tls is None else f"https://localhost:{self.http_port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def admin_token(self) -> str:
        return (self.data_dir / "admin-token").read_text().strip()

    @property
    def rtmps_url(self) -> str:
        """Where it listens for RTMPS; only with ``rtmp__tls_listen``."""
        port = self.log_events("server.started")[0]["rtmps"].rsplit(":", 1)[1]
        return f"rtmps://localhost:{port}/live"

    def playlist_url(self, name: str, playlist: str = "index") -> str:
        return f"{self.http_url}/live/{name}/{playlist}.m3u8"

    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace")

    def log_events(self, event: str) -> list[dict[str, Any]]:
        """The log records whose event is ``event``, oldest first."""
        records = []
        for line in self.log_text().splitlines():
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if record.get("event") == event:
                    records.append(record)
        return records

    def wait_for_log(self, event: str, timeout_s: float = PATIENCE_S, **fields: object) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            for record in self.log_events(event):
                if all(record.get(name) == value for name, value in fields.items()):
                    return record
            return None

        record: dict[str, Any] = wait_until(found, timeout_s, f"log event {event} {fields}")
        return record

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A call of the admin API; a stream key in its answer is one that was not seen before."""
        answer = json.loads(self.admin_get(path, method, None if body is None else json.dumps(body).encode()))
        if isinstance(answer, dict) and (stream_key := answer.get("stream_key")):
            self.secrets.add(stream_key.rpartition("_")[2])
        return answer

    def admin_get(self, path: str, method: str = "GET", body: bytes | None = None) -> str:
        """The text of an answer of the admin port, in which no secret may stand that was shown before."""
        request = urllib.request.Request(
            self.admin_url + path,
            method=method,
            data=body,
            headers={"Authorization": f"Bearer {self.admin_token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            text: str = response.read().decode()
        self._assert_no_secret_in(text, f"the answer to {method} {path}")
        return text

    def is_ready(self) -> bool:
        return bool(self.readiness()["status"] == "ok")

    def readiness(self) -> dict[str, Any]:
        """What ``/readyz`` tells."""
        try:
            with urllib.request.urlopen(f"{self.admin_url}/readyz", timeout=PATIENCE_S) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 503:
                    raise
                text = error.read()
        told: dict[str, Any] = json.loads(text)
        return told

    def issue_key(self, user: str, **options: object) -> str:
        return str(self.admin("POST", "/api/v1/keys", {"user": user, **options})["stream_key"])

    def assert_no_secret_is_seen(self) -> None:
        """Look for secrets where a running server shows itself: its metrics, API, pages and process title."""
        for path in ("/metrics", "/openapi.json", "/api/v1/keys?limit=1000", "/api/v1/audit?limit=1000"):
            self.admin_get(path)
        self._assert_no_secret_in(json.dumps(self.readiness()), "/readyz")
        for path in ("/", "/api/v1/streams"):
            self._assert_no_secret_in(self.get(path)[2].decode(), path)
        title = Path(f"/proc/{self.process.pid}/cmdline")
        if title.exists():
            self._assert_no_secret_in(title.read_text(), "the process title")

    def assert_no_secret_was_written(self) -> None:
        """Look for secrets in all that the server has written: its log, and the files of its data directory."""
        text = self.log_text()
        self._assert_no_secret_in(text, "the log")
        # Also those that were issued behind our back, by the command line; and the admin token.
        found = STREAM_KEY.search(text)
        assert found is None, f"a stream key with id {found[1]} is in the log" if found else ""
        token = self.data_dir / "admin-token"
        assert not token.exists() or self.admin_token not in text, "the admin token is in the log"
        for path in self.data_dir.rglob("*"):
            if path.is_file():
                self._assert_no_secret_in(path.read_bytes().decode("latin-1"), path.name)

    def _assert_no_secret_in(self, text: str, place: str) -> None:
        # The secret itself must not reach the test's report either.
        has_secret = any(secret in text for secret in self.secrets)
        assert not has_secret, f"the secret of a stream key is in {place}"

    def revoke(self, key_id: str, reason: str = "test") -> dict[str, Any]:
        answer: dict[str, Any] = self.admin("POST", f"/api/v1/keys/{key_id}/revoke", {"reason": reason})
        return answer

    def get(self, path: str, timeout_s: float = PATIENCE_S) -> tuple[int, dict[str, str], bytes]:
        """GET from the public port: status, headers with names in lower case, body."""
        try:
            with urllib.request.urlopen(self.http_url + path, timeout=timeout_s, context=self.tls) as response:
                return response.status, {k.lower(): v for k, v in response.headers.items()}, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()

    def wait_until_playable(self, name: str, timeout_s: float = PATIENCE_S) -> str:
        """Wait for the multivariant playlist and return its text."""

        def playlist() -> str | None:
            status, _, body = self.get(f"/live/{name}/index.m3u8")
            return body.decode() if status == 200 else None

        text: str = wait_until(playlist, timeout_s, f"a playlist of {name}")
        return text

    def command(self, *arguments: str, stdin: str = "") -> str:
        """What a command of streamd says that asks this server; it has to succeed."""
        command = [sys.executable, "-m", "streamd", *arguments, "--data-dir", str(self.data_dir)]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=self.env
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said

    def open_files(self) -> int:
        """How many descriptors it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def kill(self) -> None:
        """SIGKILL: nothing is ended, nothing is written."""
        self.process.kill()
        self.process.wait()

    def listening(self) -> dict[str, object]:
        """Settings for a server in the place of this one."""
        ports = {"rtmp": self.rtmp_port, "http": self.http_port, "admin": self.admin_port}
        return {f"{name}__listen": f"127.0.0.1:{port}" for name, port in ports.items()}

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"the server did not stop within {PATIENCE_S:g} s of SIGTERM") from None
        return self.process.returncode


@contextlib.contextmanager
def run_server(
    tmp_path: Path, prefix: Sequence[str] = (), arguments: Sequence[str] = (), /, **settings: object
) -> Iterator[LiveServer]:
    """Run ``streamd serve`` until the block is left.

    Args:
        tmp_path: Where its data directory and log go.
        prefix: Command to run it under, such as ``prlimit``.
        arguments: Further ones for ``streamd serve``.
        settings: Configuration as ``section__key=value``, over the defaults.
    """
    data_dir = tmp_path / "data"
    log_path = tmp_path / "server.log"
    values: dict[str, object] = {
        "rtmp__listen": "127.0.0.1:0",
        "http__listen": "127.0.0.1:0",
        "admin__listen": "127.0.0.1:0",
        "log__format": "json",
    } | settings
    env = {k: v for k, v in os.environ.items() if not k.startswith("STREAMD_")}
    env |= {f"STREAMD_{name.upper()}": str(value) for name, value in values.items()}
    with log_path.open("wb") as log_file:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "streamd", "serve", "--data-dir", str(data_dir), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            env=env,
        )
    cert = settings.get("http__tls_cert")
    tls = ssl.create_default_context(cafile=str(cert)) if cert else None
    server = LiveServer(process, data_dir, log_path, 0, 0, 0, env, tls)
    try:

        def started() -> dict[str, Any] | None:
            if process.poll() is not None:
                raise AssertionError(f"the server ended with {process.returncode}:\n{server.log_text()}")
            return next(iter(server.log_events("server.started")), None)

        record = wait_until(started, PATIENCE_S, "the start of the server")
        server.rtmp_port, server.http_port, server.admin_port = (
            int(str(record[name]).rsplit(":", 1)[1]) for name in ("rtmp", "http", "admin")
        )
        yield server
        if process.poll() is None:
            server.assert_no_secret_is_seen()
    finally:
        server.stop()
    server.assert_no_secret_was_written()
