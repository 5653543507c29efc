from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from streamd.process.account import TOKEN_VARIABLE
from streamd.process.cli import EXIT_FAILED, EXIT_USAGE, ask
from streamd.process.data_dir import RunningServer, ServerLock
from tests.support.cli import run
from tests.support.live_streams import Streams

HEAVY = {"aiohttp", "sqlalchemy", "aiosqlite", "alembic", "av", "uvloop", "structlog", "obstore", "cryptography"}
# What a server does; the rest of the house says what it asks for and what it answers.
SERVERS = {"streamd.process.server", "streamd.process.local_keys", "streamd.services.keys.key_store"}


class TestAskingAServer:
    """A command is over in 0.3 s of a processor; each of these takes as long by itself."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ("keys", "issue", "alice"),
            ("keys", "list"),
            ("keys", "revoke", "7k2m9xq4ct"),
            ("users", "list"),
            ("users", "suspend", "alice"),
            ("streams", "list"),
            ("streams", "kick", "alice"),
            ("audit",),
            ("operators", "list"),
            ("recordings", "list"),
            ("playback", "keys", "list"),
            ("playback", "token", "alice"),
        ],
        ids=" ".join,
    )
    def test_it_loads_no_library_of_a_server(self, server: Streams, data_dir: Path, arguments: tuple[str, ...]) -> None:
        code = (
            "import contextlib, io, sys; from streamd.process.cli import main\n"
            "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
            f"    main({[*arguments, '--data-dir', str(data_dir)]!r}, standalone_mode=False)\n"
            "print(*sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        modules = set(done.stdout.split())
        assert "streamd.process.admin_connection" in modules
        assert "no server to ask" not in done.stderr
        assert {name.partition(".")[0] for name in modules} & HEAVY == set()
        assert modules & SERVERS == set()


class TestWhatIsNoText:
    """The command line and the environment may hold any bytes."""

    @pytest.mark.parametrize("token", ["sop_abc\n", "sop_\udcff"])
    def test_a_token_is_refused_by_the_command(self, server: Streams, data_dir: Path, token: str) -> None:
        result = run("users", "list", data_dir=data_dir, env={TOKEN_VARIABLE: token})
        assert (result.exit_code, result.exception.__class__) == (EXIT_FAILED, SystemExit)
        assert f"{TOKEN_VARIABLE} holds a line break" in result.stderr

    @pytest.mark.parametrize("account", ["bob\nAuthorization: x", "bob\udcff"])
    def test_an_account_is_named_all_the_same(
        self, server: Streams, data_dir: Path, monkeypatch: pytest.MonkeyPatch, account: str
    ) -> None:
        monkeypatch.setattr(ask, "account_name", lambda _: account)
        assert run("users", "list", data_dir=data_dir).exit_code == 0

    @pytest.mark.parametrize(
        "arguments", [("users", "delete", "alice", "--yes", "--reason"), ("playback", "keys", "delete")], ids=" ".join
    )
    def test_an_argument_is_refused(self, server: Streams, data_dir: Path, arguments: tuple[str, ...]) -> None:
        result = run(*arguments, "\udcff", data_dir=data_dir)
        assert (result.exit_code, "write it in UTF-8" in result.stderr) == (EXIT_USAGE, True)


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

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            (b"SSH-2.0-something\r\n", "is not streamd's admin API"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "it is of another version"),
        ],
    )
    def test_something_else_on_that_port_is_no_reason_to(self, data_dir: Path, said: bytes, told: str) -> None:
        data_dir.mkdir(mode=0o700)
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as other, ServerLock(data_dir) as lock:
            lock.announce(RunningServer(1, *other.getsockname()))

            def babble() -> None:
                connection, _ = other.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(said)

            thread = threading.Thread(target=babble)
            thread.start()
            result = run("keys", "issue", "alice", data_dir=data_dir)
            thread.join(10)
        assert (result.exit_code, told in result.stderr) == (EXIT_FAILED, True)
        assert not (data_dir / "streamd.db").exists()

    def test_one_that_is_starting_is_waited_for(self, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ask, "START_WAIT_S", 0.1)
        data_dir.mkdir(mode=0o700)
        with ServerLock(data_dir):
            result = run("streams", "list", data_dir=data_dir)
        assert (result.exit_code, "without an admin API" in result.stderr) == (EXIT_FAILED, True)
