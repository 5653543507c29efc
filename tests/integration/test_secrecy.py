"""A whole session, with the stream key in every place that a person could put it: nothing that comes out shows it."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.services.obs.test_ladder import OBS_32
from tests.support import clients
from tests.support.clients import KEY_SHOWN_AS, Picture
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

PUBLISH_SECONDS = 3.0


class Session:
    """Asks one server for this and that, and keeps all that comes out of it, by where it came from.

    Where ``STREAM_KEY`` stands in what is asked, the key is sent: so it is in no report of a test that fails.
    """

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self._stream_key = server.issue_key("alice")
        self._outputs: dict[str, str] = {}

    def fill(self, text: str) -> str:
        return text.replace(KEY_SHOWN_AS, self._stream_key)

    def publish(self, server_url: str, name: str, seconds: float) -> contextlib.AbstractContextManager[clients.Client]:
        return clients.running(clients.ffmpeg(self.fill(server_url), self.fill(name), seconds, Picture()))

    def admin(self, method: str, path: str, body: str = "", **headers: str) -> None:
        fields = {"Authorization": f"Bearer {self.server.admin_token}", "Content_Type": "application/json"} | headers
        self._call(self.server.admin_port, method, path, body, **fields)

    def public(self, method: str, path: str, body: str = "", **headers: str) -> None:
        self._call(self.server.http_port, method, path, body, **headers)

    def _call(self, port: int, method: str, path: str, body: str, **headers: str) -> None:
        """Ask over HTTP, and keep status, headers and body."""
        fields = {name.replace("_", "-"): self.fill(value) for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, self.fill(path), body=self.fill(body) or None, headers=fields)
            response = connection.getresponse()
            said = f"{response.status} {response.reason}\n{response.headers}"
            self._keep(f"{method} {path} {body} {headers}", said + response.read().decode(errors="replace"))

    def run(self, command_line: str) -> None:
        """Run a command of ours, and keep what it prints."""
        arguments = [self.fill(argument) for argument in command_line.split()]
        command = [sys.executable, "-m", "streamd", *arguments, "--data-dir", str(self.server.data_dir)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=self.server.env)
        except subprocess.TimeoutExpired:
            # The original exception names the command line, and so the key.
            raise AssertionError(f"streamd {command_line} does not end") from None
        self._keep(f"streamd {command_line}", done.stdout + done.stderr)

    def _keep(self, place: str, text: str) -> None:
        self._outputs[f"{len(self._outputs)}: {place}"] = text

    def assert_nothing_shows_the_key(self) -> None:
        self._keep("the log", self.server.log_text())
        secret = self._stream_key.rpartition("_")[2]
        found = [place for place, text in self._outputs.items() if secret in text]
        assert not found, f"the secret of the stream key came out of {found}"


def test_a_key_in_every_wrong_place_comes_out_of_none(tmp_path: Path) -> None:
    with run_server(tmp_path, log__level="debug") as server:
        session = Session(server)
        for server_url, name in (
            (server.rtmp_url, "STREAM_KEY?bandwidthtest=true"),
            (f"{server.rtmp_url}/STREAM_KEY", ""),
        ):
            with session.publish(server_url, name, PUBLISH_SECONDS) as client:
                server.wait_until_playable("alice")
                for path in ("/metrics", "/api/v1/streams", "/api/v1/streams/alice"):
                    session.admin("GET", path)
                for path in ("/", "/watch/alice", "/api/v1/streams", "/live/alice/index.m3u8", "/live/alice/main.m3u8"):
                    session.public("GET", path)
                session.run("streams list")
                assert client.finish(PUBLISH_SECONDS + PATIENCE_S) == 0

        for wrong in ("STREAM_KEYx", "live/STREAM_KEYx", "x-STREAM_KEY"):
            with session.publish(server.rtmp_url, wrong, 1) as client:
                assert client.finish(PATIENCE_S) != 0

        obs = json.dumps(OBS_32 | {"authentication": KEY_SHOWN_AS})
        session.public("POST", "/api/v1/obs/config", obs, Content_Type="application/json")
        session.public("POST", "/api/v1/obs/config", obs[:-1], Content_Type="application/json")
        for path in ("/live/{}/index.m3u8", "/live/{}.flv", "/watch/{}", "/?key={}", "/api/v1/streams/{}"):
            session.public("GET", path.format(KEY_SHOWN_AS))
        session.public("GET", "/", X_Request_Id=KEY_SHOWN_AS, Referer="http://h/STREAM_KEY", User_Agent=KEY_SHOWN_AS)

        for path in (
            "/api/v1/keys/{}",
            "/api/v1/keys?user={}",
            "/api/v1/streams/{}",
            "/api/v1/users/{}",
            "/{}",
            "/?{}",
        ):
            session.admin("GET", path.format(KEY_SHOWN_AS), X_Request_Id=KEY_SHOWN_AS)
        session.admin("GET", "/api/v1/keys?STREAM_KEY=1")
        session.admin("GET", "/api/v1/keys", Authorization="Bearer STREAM_KEY")
        session.admin("POST", "/api/v1/keys", '{"user": "STREAM_KEY"}')
        session.admin("POST", "/api/v1/keys", '{"STREAM_KEY": "alice"}')
        session.admin("POST", "/api/v1/keys/STREAM_KEY/revoke", "{}")
        for command_line in ("keys list", "streams kick STREAM_KEY", "obs-config alice", "keys revoke STREAM_KEY"):
            session.run(command_line)
        session.admin("GET", "/api/v1/audit")
        session.admin("GET", "/metrics")

        session.assert_nothing_shows_the_key()
        # The session was one: the log tells of all of it.
        for event in ("publish.accepted", "stream.ended", "publish.refused", "obs_config.sent", "key.revoked"):
            assert server.log_events(event), event
