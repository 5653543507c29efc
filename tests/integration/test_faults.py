"""The machine fails around a running server: what it holds goes on, what is new is refused, and it heals by itself."""

from __future__ import annotations

import contextlib
import http.client
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamd.clock import SystemClock
from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until
from tests.support.small_disk import small_disk
from tests.support.socket_publisher import SocketPublisher, answer_to_publish
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import LiveServer
    from tests.support.small_disk import SmallDisk

pytestmark = pytest.mark.integration

STARTED, DENIED, REJECTED = (f"NetStream.Publish.{word}" for word in ("Start", "Denied", "Rejected"))


class Viewer:
    """A viewer with one connection, which he keeps."""

    def __init__(self, server: LiveServer) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=PATIENCE_S)
        self._connection.connect()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> str | None:
        """What is answered on that connection; None where the server has closed it."""
        sock = self._connection.sock
        try:
            self._connection.request("GET", path)
            with self._connection.getresponse() as response:
                text = response.read().decode()
                # http.client would connect anew without a word.
                return text if self._connection.sock is sock else None
        except (OSError, http.client.HTTPException):
            return None

    def last_part(self) -> int:
        text = self.get("/live/alice/main.m3u8")
        assert text is not None, "the connection was closed"
        assert "#EXT-X-ENDLIST" not in text
        return max(int(number) for number in re.findall(r"part(\d+)\.m4s", text))

    def watch(self, parts: int = 3) -> None:
        """Watch until there are so many parts more."""
        until = self.last_part() + parts
        wait_until(lambda: self.last_part() >= until, PATIENCE_S, f"{parts} parts")


@contextlib.contextmanager
def limited(server: LiveServer, what: int, to: int) -> Iterator[None]:
    """Take something from a server that runs, for the block."""
    before = resource.prlimit(server.process.pid, what)
    resource.prlimit(server.process.pid, what, (to, before[1]))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, what, before)


@contextlib.contextmanager
def filled(disk: SmallDisk) -> Iterator[None]:
    """Leave no block of a disk free for the block."""
    disk.fill()
    try:
        yield
    finally:
        disk.clear()


def test_files_that_may_not_grow(live_server: LiveServer) -> None:
    check_that_a_full_disk_is_survived(live_server, limited(live_server, resource.RLIMIT_FSIZE, 1))


def test_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=8) as disk:
        with run_server(disk.path) as server:
            check_that_a_full_disk_is_survived(server, filled(disk))
        # Nor does one start there; it says why in a line.
        disk.fill()
        again = [sys.executable, "-m", "streamd", "serve", "--data-dir", str(server.data_dir)]
        refused = subprocess.run(again, env=server.env, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert "disk is full" in refused.stderr


def check_that_a_full_disk_is_survived(server: LiveServer, full: contextlib.AbstractContextManager[None]) -> None:
    """Every write fails that makes a file longer: of the database, of its journal, and of the server's own log."""
    alice, bob = server.issue_key("alice"), server.issue_key("bob")
    with publish(server.rtmp_url, alice):
        server.wait_until_playable("alice")
        with Viewer(server) as viewer, full:
            with pytest.raises(urllib.error.HTTPError) as refused:
                server.issue_key("carol")
            with refused.value as answer:
                assert answer.code == 503
            viewer.watch()
            # Reading needs no room: who has a good key is let in.
            assert answer_to_publish(server.rtmp_port, bob) == STARTED
        assert server.issue_key("carol")
        used = f"/api/v1/keys/{bob.split('_')[1]}"
        wait_until(lambda: server.admin("GET", used)["last_used_at"], PATIENCE_S, "the last use, written later")
        assert server.revoke(alice.split("_")[1])["closed"] == ["alice"]


def test_few_file_descriptors_are_shared_so_that_encoders_and_the_store_have_theirs(tmp_path: Path) -> None:
    require("prlimit")
    with (
        run_server(tmp_path, ["prlimit", "--nofile=200"]) as server,
        publish(server.rtmp_url, server.issue_key("alice")),
    ):
        assert server.log_events("descriptors.short")
        server.wait_until_playable("alice")
        with contextlib.ExitStack() as stack:
            viewers = [stack.enter_context(Viewer(server)) for _ in range(200)]
            served = [viewer for viewer in viewers if viewer.get("/live/alice/main.m3u8")]
            assert 10 < len(served) < 100
            assert answer_to_publish(server.rtmp_port, server.issue_key("bob")) == STARTED
            served[0].watch()

        def is_served() -> bool:
            with Viewer(server) as viewer:
                return viewer.get("/") is not None

        wait_until(is_served, PATIENCE_S, "room for viewers")


def test_with_no_file_descriptor_left_what_is_open_goes_on_and_accepting_resumes(live_server: LiveServer) -> None:
    server, clock = live_server, SystemClock()
    descriptors = Path(f"/proc/{server.process.pid}/fd")

    def cpu_s() -> float:
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    with publish(server.rtmp_url, server.issue_key("alice")), Viewer(server) as viewer, contextlib.ExitStack() as stack:
        server.wait_until_playable("alice")
        viewer.watch(1)
        with limited(server, resource.RLIMIT_NOFILE, len(list(descriptors.iterdir()))):
            started_at, cpu_before = clock.monotonic(), cpu_s()
            for port in [server.rtmp_port, server.http_port] * 10:
                stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
            viewer.watch(6)
            # A loop that is told again and again of what it cannot accept would take all of a core.
            assert cpu_s() - cpu_before < 0.5 * (clock.monotonic() - started_at)
        assert answer_to_publish(server.rtmp_port, server.issue_key("bob")) == STARTED
        with Viewer(server) as another:
            another.watch(1)


def test_memory_above_its_ceiling_refuses_new_streams_and_lets_old_ones_go_on(tmp_path: Path) -> None:
    config = tmp_path / "streamd.toml"
    config.write_text("")
    with run_server(tmp_path, config=config) as server:
        alice, bob = server.issue_key("alice"), server.issue_key("bob")
        with publish(server.rtmp_url, alice) as publisher:
            server.wait_until_playable("alice")
            config.write_text("[limits]\nmemory_bytes_max = 1_000_000\n")
            server.process.send_signal(signal.SIGHUP)
            server.wait_for_log("memory.short")
            assert answer_to_publish(server.rtmp_port, bob) == REJECTED
            with Viewer(server) as viewer:
                viewer.watch()
            publisher.kill()
        server.wait_for_log("stream.reconnecting")
        with publish(server.rtmp_url, alice):
            server.wait_for_log("stream.resumed")
            config.write_text("")
            server.process.send_signal(signal.SIGHUP)
            server.wait_for_log("memory.eased")
            assert answer_to_publish(server.rtmp_port, bob) == STARTED


def test_a_loop_that_stands_still_is_told_of(live_server: LiveServer) -> None:
    live_server.process.send_signal(signal.SIGSTOP)
    # As long as it takes to be told of; what stands still is the server, not the test's own loop.
    threading.Event().wait(2.5)
    live_server.process.send_signal(signal.SIGCONT)
    assert live_server.wait_for_log("loop.blocked")["blocked_s"] > 1
    assert re.search(r"^streamd_loop_lag_seconds_count \d+", live_server.admin_get("/metrics"), re.MULTILINE)


def test_sighup_takes_what_can_be_taken_and_says_what_cannot(tmp_path: Path) -> None:
    config = tmp_path / "streamd.toml"
    config.write_text("")
    with run_server(tmp_path, config=config) as server:
        alice, bob = server.issue_key("alice"), server.issue_key("bob")
        with SocketPublisher(server.rtmp_port) as publisher:
            assert publisher.publish(alice) == STARTED
            config.write_text(
                """
                [http]
                public_url = "https://live.example.org"
                [limits]
                streams_max = 1
                [log]
                level = "debug"
                """
            )
            server.process.send_signal(signal.SIGHUP)
            assert server.wait_for_log("config.reloaded")["changed"] == ["log.level", "limits.streams_max"]
            assert server.wait_for_log("config.restart_needed")["not_changed"] == ["http.public_url"]
            assert answer_to_publish(server.rtmp_port, bob) == REJECTED

            config.write_text("[limits]\nstreams_max = -1\n")
            server.process.send_signal(signal.SIGHUP)
            (fault,) = server.wait_for_log("config.refused")["faults"]
            assert "limits.streams_max" in fault
            assert not publisher.is_closed()
            # It is full of streams, which is told, and answers.
            assert not server.is_ready()


class TestSigterm:
    """Of a server that is told to end its broadcasts; how a stop bridges is in test_stop.py."""

    def test_publishers_are_told_and_viewers_are_served_the_end(self, tmp_path: Path) -> None:
        with (
            run_server(tmp_path, (), ("--final",)) as server,
            SocketPublisher(server.rtmp_port) as publisher,
            Viewer(server) as viewer,
            Viewer(server) as waiting,
        ):
            publisher.go_live(server.issue_key("alice"))
            server.wait_until_playable("alice")
            msn = viewer.get("/live/alice/main.m3u8")
            assert msn is not None
            last = max(int(number) for number in re.findall(r"seg(\d+)\.m4s", msn))
            answers: list[str | None] = []
            thread = threading.Thread(
                target=lambda: answers.append(waiting.get(f"/live/alice/main.m3u8?_HLS_msn={last + 2}"))
            )
            thread.start()
            wait_until(
                lambda: re.search(r"^streamd_requests_waiting 1\.0", server.admin_get("/metrics"), re.MULTILINE),
                PATIENCE_S,
                "a request that waits",
            )
            server.process.send_signal(signal.SIGTERM)
            publisher.wait_closed()
            thread.join()
            # Who waited is answered, and in the time of grace every segment of the playlist is there to fetch.
            (playlist,) = answers
            assert playlist is not None
            assert "#EXT-X-ENDLIST" in playlist
            for segment in re.findall(r"^(\S*seg\d+\.m4s)$", playlist, re.MULTILINE):
                assert server.get(f"/live/alice/{segment}")[0] == 200
            assert server.process.wait(PATIENCE_S) == 0

    def test_a_second_one_does_not_wait_for_viewers(self, tmp_path: Path) -> None:
        with run_server(
            tmp_path, (), ("--final",), hls__segment_target_ms=10_000, limits__drain_timeout_s=300
        ) as server:
            with SocketPublisher(server.rtmp_port) as publisher:
                publisher.go_live(server.issue_key("alice"), seconds=12)
                server.wait_until_playable("alice")
                server.process.send_signal(signal.SIGTERM)
                publisher.wait_closed()
            server.process.send_signal(signal.SIGTERM)
            # Ten seconds are what viewers would have been given.
            assert server.process.wait(8) == 0


def test_a_killed_server_starts_again_with_its_keys_its_audit_log_and_on_its_ports(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        alice, bob = server.issue_key("alice"), server.issue_key("bob")
        server.revoke(bob.split("_")[1])
        with publish(server.rtmp_url, alice) as publisher, Viewer(server) as viewer:
            server.wait_until_playable("alice")
            viewer.watch(1)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            assert publisher.wait() != 0
    ports = {
        f"{section}__listen": f"127.0.0.1:{port}"
        for section, port in (("rtmp", server.rtmp_port), ("http", server.http_port), ("admin", server.admin_port))
    }
    with run_server(tmp_path, **ports) as again:
        assert answer_to_publish(again.rtmp_port, bob) == DENIED
        with publish(again.rtmp_url, alice), Viewer(again) as viewer:
            again.wait_until_playable("alice")
            viewer.watch(1)
        actions = [row["action"] for row in again.admin("GET", "/api/v1/audit")["entries"]]
        assert actions.count("key.issued") == 2
        assert "key.revoked" in actions
