"""Revocation as one act, over real sockets: when the call is answered, all of it is done."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import select
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from streamd.services.keys.stream_key import StreamKey
from tests.support.flv_media import h264_aac
from tests.support.patience import PATIENCE_S
from tests.support.server import wait_until
from tests.support.socket_publisher import SocketPublisher, answer_to_publish

if TYPE_CHECKING:
    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

STARTED, DENIED = "NetStream.Publish.Start", "NetStream.Publish.Denied"
# For which no answer comes while the publisher is silent.
BLOCKED_S = 0.3
# Keys that die by themselves are looked for twice a second.
SWEEP_S = 0.5
LATE_S = 2.0


def id_of(stream_key: str) -> str:
    key = StreamKey.parse(stream_key)
    assert key is not None
    return key.key_id


def audit(server: LiveServer) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = server.admin("GET", "/api/v1/audit?limit=1000")["entries"]
    return rows


def suspend(server: LiveServer, name: str, state: str = "suspended") -> dict[str, Any]:
    user: dict[str, Any] = server.admin("PATCH", f"/api/v1/users/{name}", {"state": state, "reason": "test"})
    return user


def playlist(server: LiveServer) -> str:
    return server.get("/live/alice/main.m3u8")[2].decode()


def request(server: LiveServer, path: str) -> socket.socket:
    """A viewer's connection with a request sent on it."""
    viewer = socket.create_connection(("127.0.0.1", server.http_port), PATIENCE_S)
    viewer.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return viewer


def response(viewer: socket.socket) -> tuple[int, bytes]:
    """Status and body of its answer."""
    with http.client.HTTPResponse(viewer) as answer:
        answer.begin()
        return answer.status, answer.read()


def blocked_paths(server: LiveServer) -> list[str]:
    """Requests that wait for as long as the publisher is silent: the next part, in a playlist and by its name."""
    text = playlist(server)
    first = re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)
    hint = re.search(r'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="([^"]+)"', text)
    assert first is not None
    assert hint is not None
    msn = int(first[1]) + len(re.findall(r"^#EXTINF", text, re.MULTILINE))
    parts = text.rpartition("#EXTINF")[2].count("#EXT-X-PART:")
    return [
        f"/live/alice/main.m3u8?_HLS_msn={msn}&_HLS_part={parts}",
        f"/live/alice/main.m3u8?_HLS_msn={msn}",
        f"/live/alice/{hint[1]}",
    ]


class TestRevoke:
    def test_when_it_is_answered_all_of_it_is_done(self, live_server: LiveServer) -> None:
        stream_key = live_server.issue_key("alice")
        key_id = id_of(stream_key)
        with SocketPublisher(live_server.rtmp_port) as publisher, contextlib.ExitStack() as viewers:
            publisher.go_live(stream_key)
            live_server.wait_until_playable("alice")
            wait_until(lambda: playlist(live_server).count("#EXTINF") == 2, PATIENCE_S, "all that was sent")
            waiting = [viewers.enter_context(request(live_server, path)) for path in blocked_paths(live_server)]
            assert select.select(waiting, [], [], BLOCKED_S)[0] == []
            pushed = [viewers.enter_context(request(live_server, f"/live/alice.{kind}")) for kind in ("flv", "mp4")]
            wait_until(lambda: len(select.select(pushed, [], [], 0)[0]) == len(pushed), PATIENCE_S, "media")
            assert not publisher.is_closed()

            answer = live_server.revoke(key_id, "leaked")

            assert publisher.is_closed()
            by_msn_and_part, by_msn, part = [response(viewer) for viewer in waiting]
            for status, body in (by_msn_and_part, by_msn):
                assert (status, b"#EXT-X-ENDLIST" in body) == (200, True)
            for viewer in pushed:
                status, body = response(viewer)  # which ends with the connection, or in time-out
                assert (status, len(body) > 1000) == (200, True)
            # The last part may have been cut short by the end, or there was nothing left for one.
            assert part[0] in (200, 404)
            assert "#EXT-X-ENDLIST" in playlist(live_server)
            assert json.loads(live_server.get("/api/v1/streams")[2]) == {"streams": []}
            assert answer_to_publish(live_server.rtmp_port, stream_key) == DENIED

        assert (answer["id"], answer["closed"]) == (key_id, ["alice"])
        (revoked,) = [row for row in audit(live_server) if row["action"] == "key.revoked"]
        assert (revoked["key_id"], revoked["user"], revoked["reason"]) == (key_id, "alice", "leaked")
        (closed,) = [row for row in audit(live_server) if row["action"] == "stream.closed"]
        assert (closed["key_id"], closed["stream"], closed["reason"]) == (key_id, "alice", "revoked")
        assert live_server.revoke(key_id, "again") == answer
        assert [row["action"] for row in audit(live_server)].count("key.revoked") == 1

    def test_an_encoder_that_comes_back_is_refused_each_time_and_another_key_is_not(
        self, live_server: LiveServer
    ) -> None:
        dead, good = live_server.issue_key("alice"), live_server.issue_key("alice")
        with SocketPublisher(live_server.rtmp_port) as publisher:
            publisher.go_live(dead)
            live_server.revoke(id_of(dead))
            publisher.wait_closed()
        assert {answer_to_publish(live_server.rtmp_port, dead) for _ in range(25)} == {DENIED}
        # OBS retries 25 times within hours; these came at once, and the last of them were not even looked up.
        reasons = [record["reason"] for record in live_server.log_events("publish.refused")]
        assert reasons == ["revoked"] * 20
        assert 'streamd_publish_denied_total{reason="rate_limited"} 5.0' in live_server.admin_get("/metrics")
        with SocketPublisher(live_server.rtmp_port) as publisher:
            assert publisher.publish(good) == STARTED

    def test_a_revocation_of_a_key_that_is_not_live_closes_nothing(self, live_server: LiveServer) -> None:
        idle, live = live_server.issue_key("alice"), live_server.issue_key("alice")
        with SocketPublisher(live_server.rtmp_port) as publisher:
            publisher.go_live(live)
            assert live_server.revoke(id_of(idle))["closed"] == []
            assert not publisher.is_closed()

    def test_many_publishers_and_their_revocations_at_the_same_time(self, live_server: LiveServer) -> None:
        users = [f"user{number}" for number in range(20)]
        keys = {user: live_server.issue_key(user) for user in users}

        def race(user: str) -> None:
            with SocketPublisher(live_server.rtmp_port) as publisher:
                if publisher.publish(keys[user]) == STARTED:
                    publisher.wait_closed()

        with ThreadPoolExecutor(len(users) * 2) as pool:
            races = [pool.submit(race, user) for user in users]
            revocations = [pool.submit(live_server.revoke, id_of(keys[user])) for user in users]
            assert {revocation.result(PATIENCE_S)["id"] for revocation in revocations} == {*map(id_of, keys.values())}
            for outcome in races:
                outcome.result(PATIENCE_S)
        assert live_server.admin("GET", "/api/v1/streams") == {"streams": []}


class TestSuspend:
    def test_every_key_is_dead_and_the_channel_gone_until_it_is_restored(self, live_server: LiveServer) -> None:
        keys = [live_server.issue_key("alice") for _ in range(2)]
        with SocketPublisher(live_server.rtmp_port) as publisher:
            publisher.go_live(keys[0])
            live_server.wait_until_playable("alice")
            paths = ["index.m3u8", "main.m3u8", *re.findall(r'"(main/[^"]+)"', playlist(live_server))[:2]]
            assert {live_server.get(f"/live/alice/{path}")[0] for path in paths} == {200}
            assert suspend(live_server, "alice")["state"] == "suspended"
            assert publisher.is_closed()
        assert {live_server.get(f"/live/alice/{path}")[0] for path in paths} == {410}
        assert {answer_to_publish(live_server.rtmp_port, key) for key in keys} == {DENIED}
        assert live_server.get("/live/bob/index.m3u8")[0] == 404
        assert suspend(live_server, "alice", "active")["state"] == "active"
        for key in keys:
            with SocketPublisher(live_server.rtmp_port) as publisher:
                publisher.go_live(key)
                live_server.wait_until_playable("alice")
                publisher.say_goodbye()
                live_server.wait_for_log("stream.ended", key_id=id_of(key), reason="goodbye")


class TestKick:
    def test_the_stream_is_closed_and_the_key_stays_good(self, live_server: LiveServer) -> None:
        stream_key = live_server.issue_key("alice")
        with SocketPublisher(live_server.rtmp_port) as publisher:
            publisher.go_live(stream_key)
            live_server.wait_until_playable("alice")
            assert live_server.admin("POST", "/api/v1/streams/alice/kick", {"reason": "test"})["kicked"] is True
            assert publisher.is_closed()
            assert "#EXT-X-ENDLIST" in playlist(live_server)
        with SocketPublisher(live_server.rtmp_port) as publisher:
            assert publisher.publish(stream_key) == STARTED
        assert "stream.kicked" in [row["action"] for row in audit(live_server)]


class TestWhatDiesByItself:
    def test_in_a_rotations_overlap_both_keys_work_and_then_the_old_one_is_closed(
        self, live_server: LiveServer
    ) -> None:
        old = live_server.issue_key("alice")
        with SocketPublisher(live_server.rtmp_port) as publisher:
            publisher.go_live(old)
            new = live_server.admin("POST", f"/api/v1/keys/{id_of(old)}/rotate", {"overlap_s": 1.5})["stream_key"]
            # The channel is live, which only a key that works is told.
            with publisher.sending():
                answers = {answer_to_publish(live_server.rtmp_port, key) for key in (old, new)}
            assert answers == {"NetStream.Publish.BadName"}
            assert not publisher.is_closed()
            publisher.wait_closed()
        assert live_server.log_events("stream.closed")[0]["reason"] == "expired"
        assert answer_to_publish(live_server.rtmp_port, old) == DENIED
        assert answer_to_publish(live_server.rtmp_port, new) == STARTED

    def test_a_rotation_without_overlap_closes_at_once(self, live_server: LiveServer) -> None:
        old = live_server.issue_key("alice")
        with SocketPublisher(live_server.rtmp_port) as publisher:
            publisher.go_live(old)
            new = live_server.admin("POST", f"/api/v1/keys/{id_of(old)}/rotate")["stream_key"]
            assert publisher.is_closed()
        assert answer_to_publish(live_server.rtmp_port, new) == STARTED

    def test_expiry_closes_a_running_stream_on_time(self, live_server: LiveServer) -> None:
        expires_at = datetime.now(UTC) + timedelta(seconds=2)
        stream_key = live_server.issue_key("alice", expires_at=expires_at.isoformat())
        with SocketPublisher(live_server.rtmp_port) as publisher:
            publisher.go_live(stream_key)
            publisher.wait_closed()
            closed_at = datetime.now(UTC)
        assert timedelta(0) <= closed_at - expires_at < timedelta(seconds=SWEEP_S + LATE_S)
        assert answer_to_publish(live_server.rtmp_port, stream_key) == DENIED


class TestGuessing:
    def test_a_noisy_address_is_refused_without_a_look_up_and_its_good_keys_get_in(
        self, live_server: LiveServer
    ) -> None:
        stream_key = live_server.issue_key("alice")
        codes = {answer_to_publish(live_server.rtmp_port, StreamKey.generate().reveal()) for _ in range(70)}
        assert codes == {DENIED}
        metrics = live_server.admin_get("/metrics")
        refused = re.search(r'streamd_publish_denied_total\{reason="rate_limited"\} (\d+)', metrics)
        assert refused is not None
        assert int(refused[1]) >= 5
        with SocketPublisher(live_server.rtmp_port) as publisher:
            publisher.go_live(stream_key)
            publisher.send(h264_aac(seconds=1))
        assert answer_to_publish(live_server.rtmp_port, StreamKey.generate().reveal(), "127.0.0.2") == DENIED
