"""Broadcasts that are passed on: to nginx-rtmp that is killed, stopped and comes back, to ourselves, and to liars."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import pytest

from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

FAR_KEY = "far-secret-key-0123"
NGINX = """
load_module {module};
daemon off; master_process off; pid {home}/pid; error_log {home}/error.log info; worker_processes 1;
events {{ worker_connections 100; }}
rtmp {{ server {{ listen 127.0.0.1:{port};
  application live {{ live on; record all; record_path {home}/kept; record_unique on; }} }} }}
"""
MODULE = "/usr/lib/nginx/modules/ngx_rtmp_module.so"


class Nginx:
    """nginx with its RTMP module, which keeps what it is sent."""

    def __init__(self, home: Path) -> None:
        (home / "kept").mkdir()
        home.chmod(0o755)
        (home / "kept").chmod(0o777)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._home = home
        (home / "conf").write_text(NGINX.format(module=MODULE, home=home, port=self.port))
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["nginx", "-c", str(self._home / "conf"), "-e", str(self._home / "error.log")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def come_back(self) -> None:
        self.process = self._start()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(PATIENCE_S)

    def kept(self) -> list[Path]:
        return sorted((self._home / "kept").iterdir())


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    require("nginx")
    if not Path(MODULE).exists():
        pytest.skip("nginx has no RTMP module: apt install libnginx-mod-rtmp")
    home = tmp_path / "nginx"
    home.mkdir()
    nginx = Nginx(home)
    try:
        yield nginx
    finally:
        nginx.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with run_server(tmp_path, restream__allow_networks="127.0.0.0/8") as server:
        yield server


def targets_of(server: LiveServer) -> list[dict[str, Any]]:
    targets: list[dict[str, Any]] = server.admin("GET", "/api/v1/users/demo/targets")["targets"]
    return targets


def wait_for_state(server: LiveServer, state: str, number: int = 0) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        target = targets_of(server)[number]
        return target if target["state"] == state else None

    target: dict[str, Any] = wait_until(found, PATIENCE_S, f"target {number} is {state}")
    return target


def frames_of(path: Path) -> list[tuple[str, int, bool]]:
    with av.open(str(path)) as container:
        return [
            (packet.stream.type, packet.dts, packet.is_keyframe)
            for packet in container.demux()
            if packet.dts is not None and packet.size
        ]


def test_nginx_gets_the_broadcast_also_when_it_was_killed(server: LiveServer, nginx: Nginx) -> None:
    key = server.issue_key("demo")
    made = server.admin(
        "POST",
        "/api/v1/users/demo/targets",
        {"url": f"rtmp://127.0.0.1:{nginx.port}/live", "stream_key": FAR_KEY, "label": "far"},
    )
    assert made["state"] == "waiting"
    assert made["key_hint"] == "…0123"
    with publish(server.rtmp_url, key):
        live = wait_for_state(server, "live")
        assert live["attempts"] == 1
        nginx.kill()
        lost = wait_for_state(server, "reconnecting")
        assert lost["last_error"]
        nginx.come_back()
        again = wait_for_state(server, "live")
        assert again["acked_bytes"] > live["acked_bytes"]
        stopped = server.admin("POST", f"/api/v1/users/demo/targets/{made['id']}/stop")
        assert stopped["state"] == "off"
    nginx.close()
    for path in nginx.kept():
        frames = frames_of(path)
        assert frames[0] == ("video", 0, True), "it begins with a keyframe, at 0"
        for kind in ("video", "audio"):
            times = [time for each, time, _ in frames if each == kind]
            assert times == sorted(times)
    assert len(nginx.kept()) == 2
    assert FAR_KEY not in server.log_text()
    assert FAR_KEY.encode() not in b"".join(path.read_bytes() for path in server.data_dir.glob("streamd.db*"))
    events = [record["event"] for record in map(json.loads, server.log_text().splitlines()) if "event" in record]
    assert [event for event in events if event.startswith("target.")] == ["target.live", "target.lost", "target.live"]


def test_targets_that_hang_lie_or_refuse_take_nobody_along(server: LiveServer, tmp_path: Path) -> None:
    with contextlib.ExitStack() as cleanup:
        far_home = tmp_path / "far"
        far_home.mkdir()
        far = cleanup.enter_context(run_server(far_home))
        far_key = far.issue_key("far")
        silent, junk = (
            cleanup.enter_context(socket.create_server(("127.0.0.1", 0))),
            cleanup.enter_context(socket.create_server(("127.0.0.1", 0))),
        )
        threading.Thread(target=_talk_junk, args=(junk,), daemon=True).start()
        key = server.issue_key("demo")
        places = [
            (far.rtmp_url, far_key),
            (far.rtmp_url, "sk_0000000000_wrong-secret-of-nobody-000000000"),
            (f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live", FAR_KEY),
            (f"rtmp://127.0.0.1:{junk.getsockname()[1]}/live", FAR_KEY),
            (f"rtmps://127.0.0.1:{far.rtmp_port}/live", FAR_KEY),
        ]
        for url, stream_key in places:
            server.admin("POST", "/api/v1/users/demo/targets", {"url": url, "stream_key": stream_key})
        with publish(server.rtmp_url, key):
            wait_for_state(server, "live")
            refused = wait_for_state(server, "refused", 1)
            assert "not valid" in refused["last_error"]
            wait_until(lambda: "no answer" in targets_of(server)[2]["last_error"], PATIENCE_S, "the silent one is left")
            assert "does not speak RTMP" in targets_of(server)[3]["last_error"]
            assert targets_of(server)[4]["last_error"]
            assert targets_of(server)[0]["state"] == "live"
            (stream,) = far.admin("GET", "/api/v1/streams")["streams"]
            assert stream["encoder"].startswith("FMLE/3.0 (compatible; streamd/")
            (own,) = server.admin("GET", "/api/v1/streams")["streams"]
            assert own["codecs"] == stream["codecs"]
        far.wait_for_log("stream.ended", reason="goodbye")
        text = server.log_text()
        assert FAR_KEY not in text
        assert far_key not in text
        assert "Traceback" not in text


def _talk_junk(listener: socket.socket) -> None:
    """Say much that is no RTMP to whoever comes."""
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n" * 400_000)
