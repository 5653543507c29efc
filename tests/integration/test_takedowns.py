"""Takedowns, blocks and orders on a real server: a whole channel dark by one act, over a kill, and lit by one."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

GERMAN, FRENCH = "203.0.113.9", "198.51.100.9"
STATEMENT = {
    "decision_ground": "ILLEGAL_CONTENT",
    "illegal_content_legal_ground": "Penal code, section 131",
    "illegal_content_explanation": "It shows somebody being hurt.",
    "decision_facts": "Seen live.",
    "category": "VIOLENCE",
}


def status_from(server: LiveServer, path: str, address: str = "") -> int:
    request = urllib.request.Request(server.http_url + path, headers={"X-Forwarded-For": address} if address else {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def listed_from(server: LiveServer, address: str) -> list[str]:
    """The channels that are listed where an address is."""
    headers = {"X-Forwarded-For": address} if address else {}
    request = urllib.request.Request(f"{server.http_url}/api/v1/streams", headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        return [stream["name"] for stream in json.load(response)["streams"]]


def settings(tmp_path: Path) -> dict[str, Any]:
    """Moderation, recordings and the past, behind a proxy, with a database of countries."""
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test-Country", languages=["en"])
    writer.insert_network(IPSet(["203.0.113.0/24"]), {"country": {"iso_code": "DE"}})
    writer.insert_network(IPSet(["198.51.100.0/24"]), {"country": {"iso_code": "FR"}})
    writer.to_db_file(str(tmp_path / "countries.mmdb"))
    return {
        "moderation__enabled": "true",
        "recording__mode": "all",
        "dvr__window_s": 600,
        "playback__geoip_file": str(tmp_path / "countries.mmdb"),
        "http__trusted_proxies": "127.0.0.0/8",
    }


def test_a_whole_channel_is_dark_over_a_kill_and_lit_by_one_act(tmp_path: Path) -> None:
    options = settings(tmp_path)
    with run_server(tmp_path, **options) as server:
        key = server.issue_key("demo")
        with publish(server.rtmp_url, key):
            server.wait_until_playable("demo")
            wait_until(lambda: server.get("/live/demo/dvr/index.m3u8")[0] == 200, PATIENCE_S, "a past")
            (recording,) = server.admin("GET", "/api/v1/recordings")["recordings"]
            dark = [
                "/live/demo/index.m3u8", "/live/demo/main.m3u8", "/live/demo.flv", "/live/demo/poster.jpg",
                "/live/demo/dvr/index.m3u8", f"/vod/{recording['id']}/index.m3u8", "/api/v1/streams/demo",
                "/api/v1/streams/demo/recordings",
            ]  # fmt: skip
            body = {"target": "http://localhost/watch/demo?t=4", **STATEMENT}
            done = server.admin("POST", "/api/v1/takedowns", body)
            assert done["closed"] == ["demo"]
            # It was dark before it was answered.
            assert {path: status_from(server, path) for path in dark} == dict.fromkeys(dark, 410)
        server.kill()
    with run_server(tmp_path, **options) as server:
        assert {path: status_from(server, path) for path in dark} == dict.fromkeys(dark, 410)
        # The encoder comes back, and is refused.
        with publish(server.rtmp_url, key):
            server.wait_for_log("publish.refused")
        assert "stays dark" not in server.command("takedown", done["id"], "--restore", "--reason", "an error")
        assert status_from(server, f"/vod/{recording['id']}/index.m3u8") == 200
        with publish(server.rtmp_url, key):
            server.wait_until_playable("demo")
            said = server.command("takedown", "demo", "--ground", "illegal", "--reason", "It hurts somebody.")
            assert "Stream demo was closed." in said
            assert "channel demo is dark" in said
        actions = [row["action"] for row in server.admin("GET", "/api/v1/audit?limit=1000")["entries"]]
        told = [action for action in actions if action.startswith("takedown.")]
        assert told == ["takedown.made", "takedown.restored", "takedown.made"]


def test_an_order_in_one_country_and_a_list_of_names(tmp_path: Path) -> None:
    with run_server(tmp_path, **settings(tmp_path)) as server:
        with publish(server.rtmp_url, server.issue_key("demo")):
            server.wait_until_playable("demo")
            order = {
                "authority": "State media authority",
                "reference": "7/26",
                "legal_basis": "Regulation (EU) 2021/784",
                "urls": ["http://localhost/watch/demo"],
                "territorial_scope": ["DE"],
            }
            done = server.admin("POST", "/api/v1/orders", order)
            assert done["effects"][0]["effect"] == "blocked"
            assert done["deadline"] is not None
            for path in ("/live/demo/index.m3u8", "/live/demo.mp4", "/live/demo/poster.jpg"):
                assert status_from(server, path, GERMAN) == 451
            assert status_from(server, "/live/demo/index.m3u8", FRENCH) == 200
            # A takedown for a country holds there, and is no longer listed there; the channel goes on.
            body = {"target": "demo", **STATEMENT, "territorial_scope": ["FR"]}
            taken_down = server.admin("POST", "/api/v1/takedowns", body)
            assert taken_down["closed"] == []
            assert status_from(server, "/live/demo/index.m3u8", FRENCH) == 451
            assert server.get("/live/demo/index.m3u8")[0] == 200
            assert [listed_from(server, address) for address in (GERMAN, FRENCH, "")] == [[], [], ["demo"]]
            server.admin("POST", f"/api/v1/takedowns/{taken_down['id']}/restore", {})
            assert status_from(server, "/live/demo/index.m3u8", FRENCH) == 200
            names = "\n".join(f"name{number:05}" for number in range(9_999)) + "\ndemo\n"
            (tmp_path / "names.csv").write_text(names)
            said = server.command("blocks", "import", str(tmp_path / "names.csv"), "--dry-run")
            assert "10000 would be blocked, 0 are already; 1 of them are live." in said
            assert server.get("/live/demo/index.m3u8")[0] == 200
            said = server.command("blocks", "import", str(tmp_path / "names.csv"), "--reason", "list 4")
            assert "10000 are blocked, 0 were already; 1 streams were closed." in said
            assert server.get("/live/demo/index.m3u8")[0] == 410
        assert "name00042" in server.command("blocks", "list", "--search", "name00042")
