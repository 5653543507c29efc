from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

import pytest

from streamd.process.cli import EXIT_FAILED, ask
from streamd.process.data_dir import RunningServer, ServerLock
from tests.support.cli import run


class TestServerThatDoesNotAnswer:
    def test_the_store_is_worked_on_and_that_is_said(self, data_dir: Path) -> None:
        data_dir.mkdir(mode=0o700)
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as unused:
            port = unused.getsockname()[1]
        with ServerLock(data_dir) as lock:
            lock.announce(RunningServer(1, "127.0.0.1", port))
            result = run("keys", "issue", "alice", data_dir=data_dir)
        assert result.exit_code == 0
        assert "nobody answers at the admin address" in result.stderr
        assert "follows within 5 s" in result.stderr

    def test_something_else_on_that_port_is_no_reason_to(self, data_dir: Path) -> None:
        data_dir.mkdir(mode=0o700)
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as other, ServerLock(data_dir) as lock:
            lock.announce(RunningServer(1, *other.getsockname()))

            def babble() -> None:
                connection, _ = other.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"SSH-2.0-something\r\n")

            thread = threading.Thread(target=babble)
            thread.start()
            result = run("keys", "issue", "alice", data_dir=data_dir)
            thread.join(10)
        assert (result.exit_code, "is not streamd's admin API" in result.stderr) == (EXIT_FAILED, True)
        assert not (data_dir / "streamd.db").exists()

    def test_one_that_is_starting_is_waited_for(self, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ask, "START_WAIT_S", 0.1)
        data_dir.mkdir(mode=0o700)
        with ServerLock(data_dir):
            result = run("streams", "list", data_dir=data_dir)
        assert (result.exit_code, "without an admin API" in result.stderr) == (EXIT_FAILED, True)
