from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry

from streamd import __version__, cli
from streamd.cli import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_USAGE, main
from streamd.clock import SystemClock
from streamd.config import Config
from streamd.data_dir import TOKEN_NAME, RunningServer, ServerLock, admin_token
from streamd.keys.service import KeyService
from streamd.keys.store import KeyStore
from streamd.keys.stream_key import StreamKey
from streamd.web.admin import admin_app


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def run(*arguments: str, data_dir: Path | None = None, env: dict[str, str] | None = None) -> Result:
    options = [] if data_dir is None else ["--data-dir", str(data_dir)]
    return CliRunner().invoke(main, [*arguments, *options], env=env, prog_name="streamd")


def issue(data_dir: Path, user: str = "alice", *options: str) -> dict[str, Any]:
    result = run("keys", "issue", user, "--json", *options, data_dir=data_dir)
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@dataclass(frozen=True)
class Summary:
    name: str
    key_id: str
    live_since: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    publisher_address: str = "192.0.2.1"
    encoder: str = "obs"
    codecs: tuple[str, ...] = ("avc1.640028",)
    width: int = 1920
    height: int = 1080
    bitrate_bps: float = 6e6
    frame_rate: float = 60.0
    keyframe_interval_s: float | None = None
    health: tuple[str, ...] = ()
    viewers: dict[str, int] = field(default_factory=lambda: {"hls": 3})


class Streams:
    def __init__(self) -> None:
        self.live: dict[str, Summary] = {}

    def summaries(self) -> Sequence[Summary]:
        return [*self.live.values()]

    def summary(self, name: str) -> Summary | None:
        return self.live.get(name)

    async def kick(self, name: str) -> bool:
        return self.live.pop(name, None) is not None

    async def close_streams(self, key_ids: Collection[str], reason: str) -> list[str]:
        closed = [name for name, stream in self.live.items() if stream.key_id in key_ids]
        for name in closed:
            del self.live[name]
        return closed


@pytest.fixture
def server(data_dir: Path) -> Iterator[Streams]:
    """A server's key service and admin API, in a thread of its own, on ``data_dir``."""
    data_dir.mkdir(mode=0o700)
    streams = Streams()
    started, stopped = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        store = KeyStore(f"sqlite+aiosqlite:///{data_dir / 'streamd.db'}")
        with ServerLock(data_dir) as lock:
            await store.start()
            keys = KeyService(store, SystemClock())
            keys.attach(streams)
            app = admin_app(
                keys=keys,
                streams=streams,
                metrics=CollectorRegistry(),
                token=admin_token(data_dir),
                rtmp_url="rtmp://live.example.org/live",
            )
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            lock.announce(RunningServer(1, *runner.addresses[0][:2]))
            started.set()
            await stopped.wait()
            await runner.cleanup()
            await store.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(10)
    yield streams
    loops[0].call_soon_threadsafe(stopped.set)
    thread.join(10)


class TestHelp:
    @pytest.mark.parametrize(
        "command",
        [
            (),
            ("serve",),
            ("demo",),
            ("keys",),
            ("keys", "issue"),
            ("keys", "list"),
            ("keys", "revoke"),
            ("keys", "rotate"),
            ("users",),
            ("users", "list"),
            ("users", "suspend"),
            ("users", "restore"),
            ("audit",),
            ("streams",),
            ("streams", "list"),
            ("streams", "kick"),
            ("config",),
            ("config", "check"),
            ("config", "show"),
        ],
    )
    def test_every_command_of_the_contract_explains_itself(self, command: tuple[str, ...]) -> None:
        result = run(*command, "--help")
        assert result.exit_code == 0
        assert len(result.output.splitlines()) > 5

    def test_exit_codes_are_documented(self) -> None:
        output = run("--help").output
        for code in (0, EXIT_FAILED, EXIT_USAGE, EXIT_NOT_FOUND):
            assert re.search(rf"^ +{code}  \w", output, re.MULTILINE)

    def test_the_version_is_told(self) -> None:
        assert run("--version").output == f"streamd, version {__version__}\n"


class TestKeysOnTheStore:
    """Where no server runs."""

    def test_a_key_is_issued_shown_once_and_listed_without_its_secret(self, data_dir: Path) -> None:
        result = run("keys", "issue", "alice", "--label", "main [b]", data_dir=data_dir)
        assert result.exit_code == 0
        found = re.search(r"sk_\w+", result.stdout)
        assert found is not None
        key = StreamKey.parse(found[0])
        assert key is not None
        assert "rtmp://localhost/live" in result.stdout
        assert f"streamd keys revoke {key.key_id}" in result.stdout
        assert "working on the key store itself" in result.stderr
        listed = run("keys", "list", data_dir=data_dir)
        assert re.search(rf"{key.key_id} +alice +main \[b\] +active", listed.stdout)
        assert key.secret not in listed.output

    def test_json_is_all_that_stdout_has(self, data_dir: Path) -> None:
        key = issue(data_dir, "alice", "--expires", "30d")
        assert set(key) == {"id", "user", "label", "state", "stream_key", "rtmp_url", "created_at", "expires_at"}
        lifetime = datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"])
        assert abs(lifetime.total_seconds() - 30 * 86_400) < 60
        (listed,) = json.loads(run("keys", "list", "--json", "--user", "alice", data_dir=data_dir).stdout)
        assert (listed["id"], listed["state"], listed["created_by"]) == (key["id"], "active", "cli")
        assert json.loads(run("keys", "list", "--json", "--user", "bob", data_dir=data_dir).stdout) == []

    def test_revoking_by_id_or_by_the_whole_key(self, data_dir: Path) -> None:
        key = issue(data_dir)
        for name in (key["id"], key["stream_key"]):
            result = run("keys", "revoke", name, "--reason", "leaked", data_dir=data_dir)
            assert result.exit_code == 0
            assert f"Key {key['id']} was revoked" in result.stdout
            assert key["stream_key"] not in result.output

    def test_rotating_prints_the_new_key(self, data_dir: Path) -> None:
        key = issue(data_dir)
        result = run("keys", "rotate", key["id"], "--overlap", "10m", "--json", data_dir=data_dir)
        new = json.loads(result.stdout)
        assert new["id"] != key["id"]
        again = run("keys", "rotate", key["id"], data_dir=data_dir)
        assert (again.exit_code, f"already rotated, to {new['id']}" in again.stderr) == (EXIT_FAILED, True)

    def test_no_keys_is_said_and_not_a_failure(self, data_dir: Path) -> None:
        result = run("keys", "list", data_dir=data_dir)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "There are no keys" in result.stderr


class TestKeysOnTheServer:
    def test_it_is_the_server_that_issues(self, server: Streams, data_dir: Path) -> None:
        result = run("keys", "issue", "alice", "--label", "main", data_dir=data_dir)
        assert "rtmp://live.example.org/live" in result.stdout
        assert result.stderr == ""
        assert re.search(r"alice +main +active", run("keys", "list", data_dir=data_dir).stdout)

    def test_revoking_cuts_the_stream(self, server: Streams, data_dir: Path) -> None:
        key = issue(data_dir)
        server.live["alice"] = Summary("alice", key["id"])
        result = run("keys", "revoke", key["id"], data_dir=data_dir)
        assert "Stream alice was closed." in result.stdout
        assert server.live == {}
        again = run("keys", "revoke", key["id"], "--json", data_dir=data_dir)
        assert json.loads(again.stdout)["closed"] == ["alice"]

    def test_rotating_and_its_refusals(self, server: Streams, data_dir: Path) -> None:
        key = issue(data_dir)
        assert run("keys", "rotate", key["id"], data_dir=data_dir).exit_code == 0
        again = run("keys", "rotate", key["id"], data_dir=data_dir)
        assert (again.exit_code, "revoked" in again.stderr) == (EXIT_FAILED, True)
        unknown = run("keys", "revoke", "0000000000", data_dir=data_dir)
        assert (unknown.exit_code, "no stream key has id" in unknown.stderr) == (EXIT_NOT_FOUND, True)

    def test_a_wrong_token_is_said_and_the_store_is_left_alone(self, server: Streams, data_dir: Path) -> None:
        (data_dir / TOKEN_NAME).write_text("another-token-another\n")
        result = run("keys", "issue", "alice", data_dir=data_dir)
        assert result.exit_code == EXIT_FAILED
        assert "does not accept this data directory's admin token" in result.stderr

    def test_long_lists_are_fetched_whole(
        self, server: Streams, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("streamd.admin_client.PAGE_LIMIT_MAX", 2)
        ids = [issue(data_dir)["id"] for _ in range(5)]
        assert [key["id"] for key in json.loads(run("keys", "list", "--json", data_dir=data_dir).stdout)] == ids


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
        monkeypatch.setattr(cli, "START_WAIT_S", 0.1)
        data_dir.mkdir(mode=0o700)
        with ServerLock(data_dir):
            result = run("streams", "list", data_dir=data_dir)
        assert (result.exit_code, "without an admin API" in result.stderr) == (EXIT_FAILED, True)


class TestStreams:
    def test_they_are_listed_and_kicked(self, server: Streams, data_dir: Path) -> None:
        server.live["alice"] = Summary("alice", "7k2m9xq4ct")
        listed = run("streams", "list", data_dir=data_dir)
        assert re.search(r"alice .*1920x1080 +60 +6000 .*192\.0\.2\.1 +7k2m9xq4ct", listed.stdout)
        (stream,) = json.loads(run("streams", "list", "--json", data_dir=data_dir).stdout)
        assert (stream["name"], stream["viewers"]) == ("alice", {"hls": 3})
        assert run("streams", "kick", "alice", data_dir=data_dir).exit_code == 0
        assert server.live == {}
        assert "Nobody is live" in run("streams", "list", data_dir=data_dir).stderr
        gone = run("streams", "kick", "alice", data_dir=data_dir)
        assert (gone.exit_code, "no stream named alice is live" in gone.stderr) == (EXIT_NOT_FOUND, True)

    def test_without_a_server_there_is_nobody_to_ask(self, data_dir: Path) -> None:
        result = run("streams", "list", data_dir=data_dir)
        assert (result.exit_code, "no server runs on data directory" in result.stderr) == (EXIT_FAILED, True)


class TestUsers:
    @pytest.mark.parametrize("has_server", [True, False])
    def test_they_are_listed_suspended_and_restored(
        self, data_dir: Path, has_server: bool, request: pytest.FixtureRequest
    ) -> None:
        streams = request.getfixturevalue("server") if has_server else None
        key = issue(data_dir)
        issue(data_dir, "bob")
        if streams is not None:
            streams.live["alice"] = Summary("alice", key["id"])
        suspended = run("users", "suspend", "alice", "--reason", "abuse", data_dir=data_dir)
        assert (suspended.exit_code, "streamd users restore alice" in suspended.stdout) == (0, True)
        if streams is not None:
            assert streams.live == {}
        listed = run("users", "list", data_dir=data_dir)
        assert re.search(r"alice +suspended .* abuse\s", listed.stdout)
        assert re.search(r"bob +active", listed.stdout)
        (user,) = json.loads(run("users", "list", "--state", "suspended", "--json", data_dir=data_dir).stdout)
        assert (user["name"], user["suspend_reason"]) == ("alice", "abuse")
        restored = json.loads(run("users", "restore", "alice", "--json", data_dir=data_dir).stdout)
        assert (restored["name"], restored["state"]) == ("alice", "active")

    def test_who_is_not_there_is_said(self, data_dir: Path) -> None:
        result = run("users", "suspend", "nobody", data_dir=data_dir)
        assert (result.exit_code, "no user is named nobody" in result.stderr) == (EXIT_NOT_FOUND, True)
        assert "There are no such users" in run("users", "list", data_dir=data_dir).stderr

    def test_long_lists_are_fetched_whole(
        self, server: Streams, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("streamd.admin_client.PAGE_LIMIT_MAX", 2)
        names = ["alice", "bob", "carol", "dave", "erin"]
        for name in names:
            issue(data_dir, name)
        assert [user["name"] for user in json.loads(run("users", "list", "--json", data_dir=data_dir).stdout)] == names


class TestAudit:
    @pytest.mark.parametrize("has_server", [True, False])
    def test_the_latest_rows_come_first_and_page_by_page(
        self, data_dir: Path, has_server: bool, request: pytest.FixtureRequest
    ) -> None:
        if has_server:
            request.getfixturevalue("server")
        key = issue(data_dir)
        run("keys", "revoke", key["id"], "--reason", "leaked", data_dir=data_dir)
        first = run("audit", "--limit", "2", data_dir=data_dir)
        actor = "admin" if has_server else "cli"
        assert re.search(rf"^3 .* {actor} .* key\.revoked +alice +{key['id']} .* 1 +leaked", first.stdout, re.MULTILINE)
        assert "user.created" not in first.stdout
        assert "streamd audit --after 2" in first.stderr
        rest = run("audit", "--after", "2", data_dir=data_dir)
        assert re.search(r"^1 .* user\.created", rest.stdout, re.MULTILINE)
        assert "older rows" not in rest.stderr
        page = json.loads(run("audit", "--json", data_dir=data_dir).stdout)
        assert [row["sequence"] for row in page["entries"]] == [3, 2, 1]
        assert page["next_after"] is None
        assert key["stream_key"] not in first.output + rest.output + json.dumps(page)

    def test_an_empty_log_is_said(self, data_dir: Path) -> None:
        assert "has no rows" in run("audit", data_dir=data_dir).stderr
        assert "no rows before number 7" in run("audit", "--after", "7", data_dir=data_dir).stderr


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("keys", "issue", "A b"), "2 to 64 small letters"),
            (("keys", "issue", "alice", "--expires", "soon"), "write a number and a unit"),
            (("keys", "issue", "alice", "--expires", "0s"), "in the past"),
            (("keys", "issue", "alice", "--label", "x" * 101), "101 characters"),
            (("keys", "rotate", "0000000000", "--overlap", "31d"), "30 days"),
            (("keys", "revoke", "nonsense"), "not a key id"),
            (("keys", "revoke"), "Missing argument"),
            (("streams", "kick", "../x"), "2 to 64 small letters"),
            (("users", "suspend", "../x"), "2 to 64 small letters"),
            (("audit", "--limit", "0"), "not in the range"),
            (("nonsense",), "No such command"),
        ],
    )
    def test_what_was_typed_wrong_is_said_without_a_traceback(
        self, data_dir: Path, arguments: tuple[str, ...], says: str
    ) -> None:
        result = run(*arguments, data_dir=data_dir) if len(arguments) > 1 else run(*arguments)
        assert (result.exit_code, says in result.stderr) == (EXIT_USAGE, True)
        assert "Traceback" not in result.output

    @pytest.mark.parametrize("text", ["90s", "10m", "12h", "30d", "2w", "1h30m"])
    def test_durations_are_written_as_people_do(self, data_dir: Path, text: str) -> None:
        issue(data_dir, "alice", "--expires", text)

    def test_a_data_directory_that_cannot_be_is_one_line(self, data_dir: Path) -> None:
        data_dir.touch()
        result = run("keys", "list", data_dir=data_dir / "x")
        assert (result.exit_code, result.stderr.count("\n")) == (EXIT_USAGE, 1)

    def test_a_damaged_database_is_one_clear_line(self, data_dir: Path) -> None:
        data_dir.mkdir()
        (data_dir / "streamd.db").write_bytes(b"nonsense" * 1000)
        result = run("keys", "list", data_dir=data_dir)
        assert result.exit_code == EXIT_FAILED
        assert "damaged or not a database" in result.stderr.splitlines()[-1]


class TestConfig:
    def test_check_tells_every_fault_with_its_place(self, tmp_path: Path) -> None:
        file = tmp_path / "bad.toml"
        file.write_text('[rtmp]\nlisten = "1935"\n[hls]\nlow_latency = 1\n')
        result = run("config", "check", str(file))
        assert result.exit_code == EXIT_USAGE
        assert [line.partition(" rtmp")[0].partition(" hls")[0] for line in result.stderr.splitlines()] == [
            f"streamd: {file}:2:",
            f"streamd: {file}:4:",
        ]

    def test_check_says_so_where_all_is_well(self, tmp_path: Path) -> None:
        file = tmp_path / "good.toml"
        file.write_text("[hls]\nlow_latency = false\n")
        assert run("config", "check", str(file)).output == f"{file}: no faults\n"

    def test_show_masks_secrets(self, data_dir: Path) -> None:
        env = {"STREAMD_ADMIN__TOKEN": "t0ken-t0ken-t0ken-t0ken", "STREAMD_HLS__PART_TARGET_MS": "333"}
        result = run("config", "show", data_dir=data_dir, env=env)
        assert result.exit_code == 0
        assert "part_target_ms = 333" in result.stdout
        assert f'data_dir = "{data_dir}"' in result.stdout
        assert "t0ken" not in result.output


class TestServeAndDemo:
    def test_serve_runs_the_server_with_the_configuration_and_its_exit_code(
        self, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Config] = []

        def fake_run(config: Config) -> int:
            seen.append(config)
            return 7

        monkeypatch.setattr("streamd.server.run", fake_run)
        assert run("serve", data_dir=data_dir).exit_code == 7
        assert seen[0].data_dir == data_dir

    def test_a_faulty_configuration_starts_nothing(self, data_dir: Path) -> None:
        result = run("serve", data_dir=data_dir, env={"STREAMD_RTMP__LISTEN": "x"})
        assert (result.exit_code, "STREAMD_RTMP__LISTEN: rtmp.listen" in result.stderr) == (EXIT_USAGE, True)

    def test_demo_is_given_its_options(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[float | None, bool]] = []

        def fake_demo(duration_s: float | None, *, open_browser: bool) -> int:
            seen.append((duration_s, open_browser))
            return 0

        monkeypatch.setattr("streamd.demo.run_demo", fake_demo)
        assert run("demo").exit_code == 0
        assert run("demo", "--duration", "5", "--no-browser").exit_code == 0
        assert seen == [(None, True), (5.0, False)]
