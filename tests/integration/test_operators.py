"""Operators over real sockets and processes: commands, tokens, event streams, a restart and a crash."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.roles import MAY_WHERE_THERE_ARE, A, M, O, R, may
from tests.support.server import run_server, wait_until
from tests.support.socket_publisher import SocketPublisher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration


def call(server: LiveServer, token: str, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        server.admin_url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as exc:
        return exc.code, json.load(exc)


def add(server: LiveServer, name: str, role: str) -> str:
    """An operator, by the command line."""
    said = server.command("operators", "add", name, "--role", role)
    (token,) = re.findall(r"so_\w{10}_\w{32}", said)
    server.secrets.add(token.rpartition("_")[2])
    return str(token)


def sign_in(server: LiveServer, token: str) -> str:
    status, session = call(server, token, "POST", "/api/v1/session", {})
    assert status == 201
    server.secrets.add(session["token"])
    return str(session["token"])


@contextlib.contextmanager
def listening(server: LiveServer, token: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", server.admin_port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {token}"})
        with connection.getresponse() as response:
            assert response.status == 200
            assert response.readline().startswith(b"event:")
            yield response


def test_a_revocation_by_the_command_line_ends_all_that_hangs_on_the_token(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        token = add(server, "carol", "operator")
        session = sign_in(server, token)
        with listening(server, token) as first, listening(server, session) as second:
            server.command("operators", "revoke", "carol", "--reason", "left")
            for shown in (token, session):
                assert call(server, shown, "GET", "/api/v1/streams")[0] == 401
            for stream in (first, second):
                # To its end: no time-out comes.
                stream.read()
        assert "The audit log is whole" in server.command("audit", "verify")


def test_a_revocation_on_the_store_reaches_a_server_that_shares_it(tmp_path: Path) -> None:
    """As that of another server does, or of a command where the admin API is switched off."""
    with run_server(tmp_path) as server:
        token = add(server, "carol", "operator")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        here, server.data_dir = server.data_dir, elsewhere
        server.env["STREAMD_KEYS__DATABASE_URL"] = f"sqlite+aiosqlite:///{here / 'streamd.db'}"
        with listening(server, sign_in(server, token)) as stream:
            assert "no server to ask" in server.command("operators", "revoke", "carol")
            stream.read()
        server.data_dir = here
        assert call(server, token, "GET", "/api/v1/streams")[0] == 401


def test_every_call_of_a_server_with_all_it_has_is_open_to_just_the_roles_that_may(tmp_path: Path) -> None:
    with run_server(tmp_path, recording__mode="asked", moderation__enabled="true") as server:
        document = server.admin("GET", "/openapi.json")
        calls = [
            (method.upper(), path)
            for path, methods in document["paths"].items()
            for method, described in methods.items()
            if described.get("security") != [] and not path.endswith(("/events", "/metrics"))
        ]
        missing = {*MAY_WHERE_THERE_ARE} - {f"{method} {path}" for method, path in calls}
        assert not missing
        for role in (A, O, M, R):
            token = add(server, f"a-{role}", role)
            for method, path in calls:
                # Nothing that exists: whoever may is told so.
                filled = re.sub(r"\{\w+\}", "nothing", path.replace("{name}", "nobody"))
                status, answer = call(server, token, method, filled, None if method == "GET" else {})
                is_refused = status == 403 and "this is for the role" in answer["detail"]
                assert is_refused is not may(role, f"{method} {path}"), f"{role} {method} {path}: {status} {answer}"


def test_sessions_outlive_a_restart_and_roles_hold_in_the_next_server(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        moderator = add(server, "mia", "moderator")
        session = sign_in(server, moderator)
        place = server.listening()
    with run_server(tmp_path, **place) as server:
        status, who = call(server, session, "GET", "/api/v1/session")
        assert (status, who["name"], who["role"]) == (200, "mia", "moderator")
        status, refusal = call(server, session, "POST", "/api/v1/keys", {"user": "alice"})
        assert (status, refusal["detail"]) == (403, "this is for the role admin or operator; mia is moderator")


def test_what_was_noted_of_the_log_before_a_crash_proves_it_after(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        add(server, "carol", "operator")
        anchor = server.data_dir / "audit-anchor.json"
        wait_until(lambda: anchor.exists() and json.loads(anchor.read_text())["sequence"] == 1, 30, "the anchor")
        server.issue_key("alice")
        server.kill()
    with run_server(tmp_path) as server:
        server.issue_key("bob")
        verdict = json.loads(server.command("audit", "verify", "--json").partition("\n}")[0] + "\n}")
        assert verdict["ok"]
        assert verdict["rows"] >= 5
        assert server.log_events("audit.shortened") == []


def test_who_has_a_stream_recorded_is_in_the_log_by_name(tmp_path: Path) -> None:
    with run_server(tmp_path, recording__mode="asked", recording__min_free_bytes=0) as server:
        token, key = add(server, "carol", "operator"), server.issue_key("alice")
        with SocketPublisher(server.rtmp_port) as publisher:
            publisher.go_live(key)
            server.wait_until_playable("alice")
            for action, row in (("start", "recording.wanted"), ("stop", "recording.unwanted")):
                assert call(server, token, "POST", "/api/v1/streams/alice/record", {"action": action})[0] == 200
                newest = server.admin("GET", "/api/v1/audit?newest_first=true&limit=5")["entries"]
                assert (row, "carol", "alice") in [(each["action"], each["actor"], each["stream"]) for each in newest]
