"""Locked channels on a real server: tokens of every kind of key, real players, and an end that cuts."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import av
import jwt
import pytest

from streamd.services.playback.playback_key import generate, jwk_of
from streamd.services.playback.verifying_key import Algorithm
from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until
from tests.support.ticketed_crowd import TicketedCrowd

if TYPE_CHECKING:
    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration


def lock(server: LiveServer, playback: object = "signed") -> None:
    server.admin("PATCH", "/api/v1/users/demo", {"playback": playback})


def token_of(server: LiveServer, **claims: Any) -> dict[str, Any]:
    made: dict[str, Any] = server.admin("POST", "/api/v1/playback-tokens", {"channel": "demo", **claims})
    return made


def ticket_of(server: LiveServer, playlist: str) -> str:
    status, _, body = server.get(playlist)
    assert status == 200, body
    found = re.search(rb"^(~[^/]+)/", body, re.MULTILINE)
    assert found is not None
    return found[1].decode()


def assert_nothing_is_told(server: LiveServer, *secrets: str) -> None:
    """No token and no ticket stands in the log or in the metrics."""
    for text in (server.log_text(), server.admin_get("/metrics"), server.admin_get("/api/v1/audit?limit=1000")):
        for secret in secrets:
            for part in secret.split("."):
                if len(part) > 12:
                    assert part not in text


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256", "HS256"])
def test_a_token_of_ones_own_key(live_server: LiveServer, algorithm: str) -> None:
    with publish(live_server.rtmp_url, live_server.issue_key("demo")):
        live_server.wait_until_playable("demo")
        lock(live_server)
        made = live_server.admin("POST", "/api/v1/playback-keys", {"algorithm": algorithm})
        claims = {"sub": "demo", "exp": int(time.time()) + 600, "iat": int(time.time())}  # noqa: TID251
        token = jwt.encode(claims, made["private_key"], algorithm=algorithm, headers={"kid": made["id"]})
        assert live_server.get("/live/demo/index.m3u8")[0] == 401
        ticket = ticket_of(live_server, f"/live/demo/index.m3u8?token={token}")
        assert live_server.get(f"/live/demo/{ticket}/main.m3u8")[0] == 200
        published = json.loads(live_server.get("/.well-known/streamd/jwks.json")[2])["keys"]
        assert [key["kid"] for key in published] == ([] if algorithm == "HS256" else [made["id"]])
        if published:
            key = jwt.PyJWK(published[0])
            assert jwt.decode(token, key, algorithms=[algorithm])["sub"] == "demo"
        live_server.admin("DELETE", f"/api/v1/playback-keys/{made['id']}")
        assert live_server.get(f"/live/demo/{ticket}/main.m3u8")[0] == 403
        assert_nothing_is_told(live_server, token, ticket)
        if algorithm == "HS256":
            assert_nothing_is_told(live_server, made["private_key"])


class TestPlayers:
    """Players that know nothing of tokens play, from the one address."""

    def test_ffmpeg_and_pyav(self, live_server: LiveServer) -> None:
        with publish(live_server.rtmp_url, live_server.issue_key("demo")):
            live_server.wait_until_playable("demo")
            lock(live_server)
            made = token_of(live_server)
            for path in (made["playlist"], made["playlist"].replace("/index.m3u8", ".flv"),
                         made["playlist"].replace("/index.m3u8", ".mp4")):  # fmt: skip
                url = live_server.http_url + path
                done = subprocess.run(
                    ["ffmpeg", "-v", "error", "-i", url, "-t", "2", "-f", "null", "-"],
                    timeout=PATIENCE_S, capture_output=True, check=False,
                )  # fmt: skip
                assert done.returncode == 0, done.stderr
                with av.open(url, timeout=PATIENCE_S) as container:
                    frames = 0
                    for _ in container.decode(video=0):
                        frames += 1
                        if frames == 20:
                            break
                    assert frames == 20
            assert_nothing_is_told(live_server, made["token"])


def test_what_a_stranger_may_know(live_server: LiveServer) -> None:
    with publish(live_server.rtmp_url, live_server.issue_key("demo")):
        live_server.wait_until_playable("demo")
        lock(live_server)
        assert live_server.admin("GET", "/api/v1/users/demo")["playback"] == "signed"
        for path in ("/api/v1/streams/demo", "/api/v1/streams"):
            shown = json.loads(live_server.get(path)[2])
            shown = shown["streams"][0] if "streams" in shown else shown
            assert (shown["playback"], shown["variants"], shown["push_codecs"], shown["poster"]) == (
                "signed", [], None, None,
            )  # fmt: skip
        assert live_server.get("/live/demo/poster.jpg")[0] == 401
        page = live_server.get("/watch/demo")
        assert page[0] == 401
        assert page[1]["referrer-policy"] == "no-referrer"
        assert live_server.get("/embed/demo")[0] == 401
        made = token_of(live_server)
        assert live_server.get(f"/live/demo/poster.jpg?token={made['token']}")[0] == 200
        status, headers, body = live_server.get(made["watch"])
        assert (status, headers["referrer-policy"], headers["cache-control"]) == (200, "no-referrer", "no-store")
        assert made["token"].encode() not in body
        found = re.search(rb'data-ticket="([^"]+)"', body)
        assert found is not None
        assert live_server.get(f"/live/demo/~{found[1].decode()}/main.m3u8")[0] == 200


def test_revoked_and_expired_while_somebody_watches(live_server: LiveServer) -> None:
    with publish(live_server.rtmp_url, live_server.issue_key("demo")):
        live_server.wait_until_playable("demo")
        lock(live_server)
        for kind, value in (("jti", "j1"), ("uid", "alice"), ("channel", "demo")):
            made = token_of(
                live_server, jti="j1" if kind == "jti" else f"j-{kind}", uid="alice" if kind == "uid" else "bob"
            )
            ticket = ticket_of(live_server, made["playlist"])
            with subprocess.Popen(
                ["curl", "-s", "-o", "/dev/null", f"{live_server.http_url}/live/{ticket}/demo.flv"]
            ) as following:
                wait_until(lambda: viewers(live_server) == 1, PATIENCE_S, "a viewer")
                began = time.monotonic()  # noqa: TID251
                done = live_server.admin("POST", "/api/v1/playback/revoke", {kind: value, "reason": "abuse"})
                assert done["ended"] >= 1
                assert live_server.get(f"/live/demo/{ticket}/main.m3u8")[0] == 403
                following.wait(PATIENCE_S)
                assert time.monotonic() - began < 5  # noqa: TID251
            assert live_server.get(made["playlist"])[0] == 403
            time.sleep(1.1)
        made = token_of(live_server, ttl_s=3)
        ticket = ticket_of(live_server, made["playlist"])
        subprocess.run(
            ["curl", "-s", "-o", "/dev/null", f"{live_server.http_url}/live/{ticket}/demo.flv"],
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert live_server.get(f"/live/demo/{ticket}/main.m3u8")[0] == 403
        actions = [row["action"] for row in live_server.admin("GET", "/api/v1/audit?limit=1000")["entries"]]
        assert actions.count("playback.revoked") == 3


def test_all_who_watch_a_channel_are_dark_when_it_is_withdrawn(live_server: LiveServer) -> None:
    """As many as watch at once in ``bench/locked.py`` are 500."""
    with publish(live_server.rtmp_url, live_server.issue_key("demo")):
        live_server.wait_until_playable("demo")
        lock(live_server)
        tickets = [ticket_of(live_server, token_of(live_server)["playlist"]) for _ in range(40)]
        with TicketedCrowd(live_server, "demo").watching(tickets) as crowd:
            seen = crowd.see(
                lambda: live_server.admin("POST", "/api/v1/playback/revoke", {"channel": "demo"}), aftermath_s=1.0
            )
        assert seen.done["ended"] == len(tickets)
        assert (seen.late_bytes, seen.followed_on, seen.unrefused) == (0, 0, 0)


def viewers(server: LiveServer) -> int:
    shown = json.loads(server.get("/api/v1/streams/demo")[2])
    return int(shown.get("viewers", 0))


def curl(*arguments: str) -> str:
    return subprocess.run(
        ["curl", "-s", *arguments], timeout=PATIENCE_S, capture_output=True, check=True, encoding="utf-8"
    ).stdout


def typed(server: LiveServer, page: str, password: str) -> str:
    """The answer, head and all, to a password that was typed into a page."""
    return curl("-i", "-d", urllib.parse.urlencode({"password": password}), server.http_url + page)


def test_a_password(live_server: LiveServer) -> None:
    with publish(live_server.rtmp_url, live_server.issue_key("demo")):
        live_server.wait_until_playable("demo")
        lock(live_server, {"policy": "password", "password": "open sesame"})
        assert live_server.get("/live/demo/index.m3u8")[0] == 401
        status, headers, body = live_server.get("/watch/demo")
        assert status == 401
        assert b'type="password"' in body
        assert "form-action 'self'" in headers["content-security-policy"]
        answer = ""
        for word, expected in (("wrong", "403"), ("open sesame", "303")):
            answer = typed(live_server, "/watch/demo", word)
            assert answer.startswith(f"HTTP/1.1 {expected}"), answer
            assert ("Set-Cookie" in answer) == (expected == "303")
        cookie = re.search(r"Set-Cookie: (streamd-demo=[^;]+); HttpOnly; Max-Age=\d+; Path=/; SameSite=Lax", answer)
        assert cookie is not None, answer
        found = re.search(
            r'data-ticket="([^"]+)"', curl("-H", f"Cookie: {cookie[1]}", live_server.http_url + "/watch/demo")
        )
        assert found is not None
        assert live_server.get(f"/live/demo/~{found[1]}/main.m3u8")[0] == 200
        assert "sesame" not in live_server.log_text()
        lock(live_server, {"policy": "password", "password": " another one "})
        assert live_server.get(f"/live/demo/~{found[1]}/main.m3u8")[0] == 403
        twice = curl("-i", "-d", "password=another+one&password=+another+one+", f"{live_server.http_url}/watch/demo")
        assert twice.startswith("HTTP/1.1 403")
        # Nobody trims it, neither where it is decided nor where it is typed.
        assert typed(live_server, "/watch/demo", "another one").startswith("HTTP/1.1 403")
        assert typed(live_server, "/watch/demo", " another one ").startswith("HTTP/1.1 303")


def test_it_holds_after_a_restart(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        server.issue_key("demo")
        lock(server)
        made = token_of(server, jti="gone")
        server.admin("POST", "/api/v1/playback/revoke", {"jti": "gone"})
        good = token_of(server)
    with run_server(tmp_path) as server:
        assert server.get("/live/demo/index.m3u8")[0] == 401
        assert server.get(made["playlist"])[0] == 403
        # It is not live.
        assert server.get(good["playlist"])[0] == 404


def test_commands(live_server: LiveServer) -> None:
    live_server.issue_key("demo")
    assert "locked" in live_server.command("playback", "lock", "demo", "--signed")
    shown = json.loads(live_server.command("playback", "keys", "new", "--label", "site", "--json"))
    assert "PRIVATE KEY" in shown["private_key"]
    assert shown["id"] in live_server.command("playback", "keys", "list")
    rotated = json.loads(live_server.command("playback", "keys", "rotate", shown["id"], "--overlap", "1h", "--json"))
    assert rotated["id"] != shown["id"]
    made = json.loads(live_server.command("playback", "token", "demo", "--expires", "5m", "--uid", "bob", "--json"))
    assert live_server.get(made["playlist"])[0] == 404
    assert "Withdrawn" in live_server.command("playback", "revoke", "--uid", "bob")
    assert live_server.get(made["playlist"])[0] == 403
    assert "deleted" in live_server.command("playback", "keys", "delete", shown["id"])
    assert "Everybody" in live_server.command("playback", "unlock", "demo")
    assert live_server.get("/live/demo/index.m3u8")[0] == 404


class Issuer(http.server.BaseHTTPRequestHandler):
    """Publishes a key set, or is down."""

    keys: ClassVar[list[dict[str, Any]]] = []
    is_down = False

    def do_GET(self) -> None:
        body = json.dumps({"keys": self.keys}).encode()
        self.send_response(500 if self.is_down else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


def test_the_keys_of_an_issuer(tmp_path: Path) -> None:
    def sign(kid: str, private: str) -> str:
        claims = {"sub": "demo", "exp": int(time.time()) + 600, "iss": "https://issuer.example"}  # noqa: TID251
        return jwt.encode(claims, private, algorithm="ES256", headers={"kid": kid})

    made = {kid: generate(kid, Algorithm.ES256) for kid in ("first", "second")}
    Issuer.keys, Issuer.is_down = [jwk for jwk in [jwk_of(made["first"][0])] if jwk], False
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Issuer) as issuer:
        threading.Thread(target=issuer.serve_forever, daemon=True).start()
        options = {
            "playback__policy": "signed",
            "playback__issuer": "https://issuer.example",
            "playback__jwks_url": f"http://127.0.0.1:{issuer.server_port}/jwks.json",
            "webhooks__allow_networks": "127.0.0.0/8",
        }
        with run_server(tmp_path, **options) as server:
            path = "/live/demo/index.m3u8?token="
            # Nobody is live: who is let in learns that.
            first = sign("first", made["first"][1])
            wait_until(lambda: server.get(path + first)[0] == 404, PATIENCE_S, "the issuer's key")
            second = sign("second", made["second"][1])
            assert server.get(path + second)[0] == 403
            Issuer.keys = [jwk for jwk in [jwk_of(made["second"][0])] if jwk] + Issuer.keys
            wait_until(lambda: server.get(path + second)[0] == 404, PATIENCE_S, "the issuer's new key")
            Issuer.is_down = True
            assert server.get(path + first)[0] == 404
        issuer.shutdown()


def test_a_recording_is_locked_as_its_channel(tmp_path: Path) -> None:
    with run_server(tmp_path, recording__mode="all", recording__min_free_bytes=0, dvr__window_s=600) as server:
        with publish(server.rtmp_url, server.issue_key("demo")):
            server.wait_until_playable("demo")
            lock(server)
            wait_until(lambda: any(each["duration_s"] > 4 for each in recordings(server)), PATIENCE_S, "a recording")
            (recording,) = recordings(server)
            live = token_of(server)
            past = f"/live/demo/dvr/index.m3u8?token={live['token']}"
            assert server.get("/live/demo/dvr/index.m3u8")[0] == 401
            wait_until(lambda: server.get(past)[0] == 200, PATIENCE_S, "the past")
            assert server.get(past.replace(live["token"], token_of(server, dvr=False)["token"]))[0] == 403
        wait_until(lambda: recordings(server)[0]["state"] == "ready", PATIENCE_S, "its end")
        at = f"/vod/{recording['id']}"
        made = token_of(server, channel=recording["id"])
        for path in (f"{at}/index.m3u8", f"{at}/main.m3u8", f"{at}.mp4", f"{at}/index.m3u8?token={live['token']}"):
            assert server.get(path)[0] in (401, 403), path
        assert server.get(f"/watch/vod/{recording['id']}")[0] == 401
        status, headers, body = server.get(made["playlist"])
        assert (status, headers["cache-control"][:7]) == (200, "private")
        ticket = re.findall(rb"^(~[^/]+)/", body, re.MULTILINE)[0].decode()
        text = server.get(f"{at}/{ticket}/main.m3u8")[2].decode()
        media = re.findall(r"^main/\d+\.m4s$", text, re.MULTILINE)[0]
        assert server.get(f"{at}/{ticket}/{media}")[0] == 200
        assert server.get(f"{at}/{media}")[0] == 401
        page = server.get(made["watch"])
        assert page[0] == 200
        assert b'data-ticket="' in page[2]
        with av.open(server.http_url + made["playlist"], timeout=PATIENCE_S) as container:
            assert next(container.decode(video=0)) is not None
        server.admin("POST", "/api/v1/playback/revoke", {"jti": made["jti"]})
        assert server.get(f"{at}/{ticket}/{media}")[0] == 403
        # What is withdrawn of a channel is withdrawn of its recordings.
        time.sleep(1.1)
        other = token_of(server, channel=recording["id"])
        ticket = re.findall(rb"^(~[^/]+)/", server.get(other["playlist"])[2], re.MULTILINE)[0].decode()
        assert server.get(f"{at}/{ticket}/{media}")[0] == 200
        assert server.admin("POST", "/api/v1/playback/revoke", {"channel": "demo"})["ended"] >= 1
        assert server.get(f"{at}/{ticket}/{media}")[0] == 403
        assert server.get(other["playlist"])[0] == 403
        # One recording is not as its channel.
        assert "Everybody" in server.command("playback", "unlock", recording["id"])
        assert server.get(f"{at}/index.m3u8")[0] == 200
        assert server.get(f"{at}/{media}")[0] == 200
        assert recordings(server)[0]["playback"] == "public"
        assert server.get("/live/demo/index.m3u8")[0] == 401
        changed = server.admin("PATCH", f"/api/v1/recordings/{recording['id']}", {"playback": None, "title": "A"})
        assert (changed["playback"], changed["title"]) == (None, "A")
        assert server.get(f"{at}/index.m3u8")[0] == 401
        assert "locked" in server.command("playback", "lock", recording["id"], "--hook")
        server.admin("DELETE", f"/api/v1/recordings/{recording['id']}")
        assert server.get(f"{at}/index.m3u8")[0] == 410


def test_a_recording_and_a_clip_of_a_channel_with_a_password(tmp_path: Path) -> None:
    with run_server(tmp_path, recording__mode="all", recording__min_free_bytes=0) as server:
        with publish(server.rtmp_url, server.issue_key("demo")):
            wait_until(lambda: any(each["duration_s"] > 6 for each in recordings(server)), PATIENCE_S, "a recording")
        wait_until(lambda: recordings(server)[0]["state"] == "ready", PATIENCE_S, "its end")
        recording = recordings(server)[0]["id"]
        clip = server.admin("POST", "/api/v1/clips", {"recording": recording, "last_s": 3})["id"]
        lock(server, {"policy": "password", "password": "open sesame"})
        for page, at in ((f"/watch/vod/{recording}", f"/vod/{recording}"), (f"/clip/{clip}", f"/vod/{clip}")):
            status, _, body = server.get(page)
            assert status == 401
            assert b'type="password"' in body
            assert page.startswith("/watch") or recording.encode() not in body
            assert typed(server, page, "wrong").startswith("HTTP/1.1 403")
            answer = typed(server, page, "open sesame")
            assert answer.startswith("HTTP/1.1 303"), answer
            assert re.search(r"^Location: " + page.rpartition("/")[2], answer, re.MULTILINE)
            cookie = re.search(r"^Set-Cookie: ([^;]+);", answer, re.MULTILINE)
            assert cookie is not None
            found = re.search(r'data-ticket="([^"]+)"', curl("-H", f"Cookie: {cookie[1]}", server.http_url + page))
            assert found is not None
            assert server.get(f"{at}/~{found[1]}/index.m3u8")[0] == 200
            assert server.get(f"{at}/index.m3u8")[0] == 401
        assert typed(server, "/watch/vod/rec_1", "open sesame").startswith("HTTP/1.1 404")


def recordings(server: LiveServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.admin("GET", "/api/v1/recordings")["recordings"]
    return found
