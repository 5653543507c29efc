"""Channels that are in no list: watched by whoever knows their names, and told to nobody else."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import LiveServer, run_server

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def get(server: LiveServer, path: str) -> tuple[str, Any]:
    with urllib.request.urlopen(server.http_url + path) as answer:
        return answer.read().decode(errors="replace"), answer.headers


def listed(server: LiveServer) -> list[str]:
    return [stream["name"] for stream in json.loads(get(server, "/api/v1/streams")[0])["streams"]]


def assert_watchable(server: LiveServer, name: str) -> None:
    assert json.loads(get(server, f"/api/v1/streams/{name}")[0])["name"] == name
    for path in (f"/live/{name}/index.m3u8", f"/watch/{name}", f"/embed/{name}"):
        assert get(server, path)[0]


def test_a_channel_leaves_the_list_at_once_and_stays_out_after_a_restart(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        key = server.issue_key("alice")
        server.issue_key("bob")
        with publish(server.rtmp_url, key):
            server.wait_until_playable("alice")
            assert listed(server) == ["alice"]
            assert "in no list" in server.command("users", "unlist", "alice")
            assert listed(server) == []
            assert_watchable(server, "alice")
            assert get(server, "/watch/alice")[1]["X-Robots-Tag"] == "noindex"
            assert get(server, "/watch/bob")[1]["X-Robots-Tag"] is None
            assert "alice" not in get(server, "/")[0]
            assert [user["listed"] for user in server.admin("GET", "/api/v1/users")["users"]] == [False, True]
    with run_server(tmp_path) as server, publish(server.rtmp_url, key):
        server.wait_until_playable("alice")
        assert listed(server) == []
        assert_watchable(server, "alice")
        server.admin("PATCH", "/api/v1/users/alice", {"listed": True})
        assert listed(server) == ["alice"]


def test_a_server_without_a_list_tells_nobody_who_is_live(tmp_path: Path) -> None:
    with run_server(tmp_path, http__list="false") as server, publish(server.rtmp_url, server.issue_key("alice")):
        server.wait_until_playable("alice")
        assert listed(server) == []
        assert "not listed here" in get(server, "/")[0]
        assert_watchable(server, "alice")
        assert [stream["name"] for stream in server.admin("GET", "/api/v1/streams")["streams"]] == ["alice"]


def test_under_a_proxys_path_addresses_begin_with_it(tmp_path: Path) -> None:
    with run_server(tmp_path, http__trusted_proxies="127.0.0.0/8") as server:

        def asked(path: str, prefix: str) -> str:
            fields = {"X-Forwarded-Prefix": prefix, "Accept-Encoding": "identity"}
            request = urllib.request.Request(server.http_url + path, headers=fields)
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
                text: str = response.read().decode()
            return text

        with publish(server.rtmp_url, server.issue_key("alice")):
            server.wait_until_playable("alice")
            for prefix in ("/tv", "/other/place", ""):
                (listed,) = json.loads(asked("/api/v1/streams", prefix))["streams"]
                shown = json.loads(asked("/api/v1/streams/alice", prefix))
                for channel in (listed, shown):
                    assert channel["playlist"] == f"{prefix}/live/alice/index.m3u8"
                    assert channel["watch"] == f"{prefix}/watch/alice"
                assert f'content="{server.http_url}{prefix}/watch/alice"' in asked("/watch/alice", prefix)
            # What somebody slips in is no address.
            assert "evil" not in asked("/watch/alice", "//evil.example")
