"""Webhooks and the publish hook of a real server, told to a real receiver and judged by the reference library."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.receiver import OTHER_SECRET, SECRET, run_receiver
from tests.support.server import run_server, wait_until
from tests.support.socket_publisher import SocketPublisher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.receiver import Receiver
    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

LOOPBACK = {"webhooks__allow_networks": "127.0.0.0/8"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with run_receiver() as receiver:
        yield receiver


def endpoints(*receivers: Receiver, secret: str = SECRET, **more: object) -> dict[str, str]:
    return {"webhooks__endpoints": json.dumps([{"url": r.url, "secret": secret, **more} for r in receivers])}


def hook(receiver: Receiver, **more: object) -> dict[str, object]:
    return {"publish_hook__url": receiver.url, "publish_hook__secret": OTHER_SECRET, **LOOPBACK, **more}


def metric(server: LiveServer, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", server.admin_get("/metrics"), re.MULTILINE)
    return float(found[1]) if found else 0.0


class TestWebhooks:
    def test_the_life_of_a_stream_and_its_key_is_told_in_order(self, tmp_path: Path, receiver: Receiver) -> None:
        with run_server(tmp_path, **LOOPBACK, **endpoints(receiver)) as server:
            stream_key = server.issue_key("alice", label="main")
            key_id = stream_key.split("_")[1]
            with SocketPublisher(server.rtmp_port) as publisher:
                publisher.go_live(stream_key)
                server.wait_until_playable("alice")
            wait_until(lambda: "stream.reconnecting" in receiver.types(), PATIENCE_S, "the loss is told")
            with SocketPublisher(server.rtmp_port) as publisher:
                publisher.go_live(stream_key)
                wait_until(lambda: "stream.resumed" in receiver.types(), PATIENCE_S, "the return is told")
                server.revoke(key_id, reason="leaked")
            wait_until(lambda: "key.revoked" in receiver.types(), PATIENCE_S, "the revocation is told")
            delivered = 'streamd_webhook_messages_total{result="delivered"}'
            wait_until(lambda: metric(server, delivered) == len(receiver.requests), PATIENCE_S, "all are counted")
        told = receiver.told()
        assert [event["type"] for event in told] == [
            "key.issued",
            "stream.started",
            "stream.reconnecting",
            "stream.resumed",
            "stream.ended",
            "key.revoked",
        ]
        assert {event["data"]["key_id"] for event in told} == {key_id}
        assert told[4]["data"]["reason"] == "key_died"
        assert (told[5]["data"]["reason"], told[5]["data"]["closed"]) == ("leaked", ["alice"])
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == len(told)
        assert stream_key.rpartition("_")[2] not in json.dumps(told)

    def test_a_receiver_that_hangs_delays_no_publish_and_no_revocation(
        self, tmp_path: Path, receiver: Receiver
    ) -> None:
        receiver.silence.clear()
        settings: dict[str, Any] = {**LOOPBACK, **endpoints(receiver), "webhooks__queue_max": 2}
        with run_server(tmp_path, **settings) as server:
            for name in ("bob", "carol", "dave"):
                server.issue_key(name)
            stream_key = server.issue_key("alice")
            with SocketPublisher(server.rtmp_port) as publisher:
                publisher.go_live(stream_key)
                server.wait_until_playable("alice")
                assert server.revoke(stream_key.split("_")[1])["closed"] == ["alice"]
            # One is on its way, two wait: of seven the others made room.
            assert metric(server, "streamd_webhook_messages_waiting") == 3
            assert metric(server, 'streamd_webhook_messages_total{result="dropped"}') == 4
            wait_until(lambda: receiver.requests, PATIENCE_S, "the one that is on its way")
            assert len(receiver.requests) == 1
        assert server.wait_for_log("webhook.lost")["messages"] == 3

    def test_what_the_stop_of_the_server_ends_is_told(self, tmp_path: Path, receiver: Receiver) -> None:
        settings = endpoints(receiver, events=["stream.ended"])
        with (
            run_server(tmp_path, (), ("--final",), **LOOPBACK, **settings) as server,
            SocketPublisher(server.rtmp_port) as publisher,
        ):
            publisher.go_live(server.issue_key("alice"))
            server.wait_until_playable("alice")
            assert server.stop() == 0
        (event,) = receiver.told()
        assert (event["type"], event["data"]["reason"]) == ("stream.ended", "server_stopped")

    def test_a_name_that_leads_to_us_is_not_asked(self, tmp_path: Path, receiver: Receiver) -> None:
        settings = {
            "webhooks__endpoints": json.dumps([{"url": f"http://localhost:{receiver.port}/", "secret": SECRET}])
        }
        with run_server(tmp_path, **settings) as server:
            server.issue_key("alice")
            record = server.wait_for_log("webhook.failing")
        assert "not on the internet" in record["reason"]
        assert receiver.requests == []


class TestPublishHook:
    def test_it_allows_and_forbids_before_anything_is_live(self, tmp_path: Path, receiver: Receiver) -> None:
        receiver.statuses = [403]
        with run_server(tmp_path, **hook(receiver)) as server:
            stream_key = server.issue_key("alice")
            with SocketPublisher(server.rtmp_port) as publisher:
                assert publisher.publish(stream_key) == "NetStream.Publish.Denied"
            assert server.admin("GET", "/api/v1/streams")["streams"] == []
            with SocketPublisher(server.rtmp_port) as publisher:
                assert publisher.publish(stream_key) == "NetStream.Publish.Start"
            with SocketPublisher(server.rtmp_port) as publisher:
                assert publisher.publish(stream_key + "x") == "NetStream.Publish.Denied"
        forbidden, _ = receiver.told(OTHER_SECRET)
        assert forbidden["type"] == "publish.requested"
        assert forbidden["data"] == {
            "stream": "alice",
            "user": "alice",
            "key_id": stream_key.split("_")[1],
            "address": "127.0.0.1",
            "encoder": "FMLE/3.0",
        }

    @pytest.mark.parametrize(
        ("on_failure", "code"), [("deny", "NetStream.Publish.Rejected"), ("allow", "NetStream.Publish.Start")]
    )
    def test_its_silence_means_what_the_operator_says(
        self, tmp_path: Path, receiver: Receiver, on_failure: str, code: str
    ) -> None:
        receiver.silence.clear()
        settings = hook(receiver, publish_hook__timeout_s=0.2, publish_hook__on_failure=on_failure)
        with run_server(tmp_path, **settings) as server:
            stream_key = server.issue_key("alice")
            with SocketPublisher(server.rtmp_port) as publisher:
                assert publisher.publish(stream_key) == code
            assert metric(server, 'streamd_publish_hook_answers_total{result="failed"}') == 1

    def test_a_key_that_is_revoked_while_it_thinks_opens_nothing(self, tmp_path: Path, receiver: Receiver) -> None:
        receiver.silence.clear()
        with run_server(tmp_path, **hook(receiver, publish_hook__timeout_s=10)) as server:
            stream_key = server.issue_key("alice")
            with SocketPublisher(server.rtmp_port) as publisher:
                publisher.ask_to_publish(stream_key)
                wait_until(lambda: receiver.requests, PATIENCE_S, "the question")
                server.revoke(stream_key.split("_")[1])
                receiver.silence.set()
                assert publisher.answer() == "NetStream.Publish.Denied"


@pytest.mark.parametrize("hook_format", ["streamd", "nginx-rtmp", "mediamtx"])
class TestHookThatDecides:
    SECRET = "hunter2-of-alice"

    def deciding(self, receiver: Receiver, hook_format: str, **more: object) -> dict[str, object]:
        secret = {} if hook_format == "streamd" else {"publish_hook__secret": ""}
        decides = {"publish_hook__decides": "true", "publish_hook__format": hook_format}
        return {**hook(receiver), **secret, **decides, "log__level": "debug", **more}

    def test_any_name_and_key_goes_live_by_its_word_alone_and_the_secret_is_nowhere(
        self, tmp_path: Path, receiver: Receiver, hook_format: str
    ) -> None:
        with run_server(tmp_path, **self.deciding(receiver, hook_format)) as server:
            shown = f"alice?user=alice&pass={self.SECRET}"
            with SocketPublisher(server.rtmp_port) as publisher:
                publisher.go_live(shown)
                server.wait_until_playable("alice")
                (stream,) = server.admin("GET", "/api/v1/streams")["streams"]
                assert stream["key_id"].startswith("hook_")
            # A connection that ended comes back to the same stream.
            with SocketPublisher(server.rtmp_port) as publisher:
                publisher.go_live(shown)
                server.wait_for_log("stream.resumed", stream="alice")
                server.admin("PATCH", "/api/v1/users/alice", {"state": "suspended"})
            with SocketPublisher(server.rtmp_port) as publisher:
                assert publisher.publish(shown) == "NetStream.Publish.Denied"
            with SocketPublisher(server.rtmp_port) as publisher:
                receiver.statuses = [403]
                assert publisher.publish(f"bob?pass={self.SECRET}") == "NetStream.Publish.Denied"
            assert len(receiver.requests) == 4
            said = server.log_text() + server.admin_get("/metrics") + server.admin_get("/api/v1/audit")
            assert self.SECRET not in said

    def test_its_channel_goes_on_in_the_next_server(self, tmp_path: Path, receiver: Receiver, hook_format: str) -> None:
        settings = self.deciding(receiver, hook_format)
        with run_server(tmp_path, **settings) as server, SocketPublisher(server.rtmp_port) as publisher:
            publisher.go_live(f"alice?pass={self.SECRET}")
            server.wait_until_playable("alice")
        with run_server(tmp_path, **settings) as server:
            server.wait_for_log("stream.restored", stream="alice")
            with SocketPublisher(server.rtmp_port) as publisher:
                publisher.go_live(f"alice?pass={self.SECRET}")
                server.wait_until_playable("alice")
                assert not server.log_events("stream.ended")

    def test_a_key_of_the_store_is_not_asked_for(self, tmp_path: Path, receiver: Receiver, hook_format: str) -> None:
        with run_server(tmp_path, **self.deciding(receiver, hook_format)) as server:
            key = server.issue_key("alice")
            receiver.statuses = [403]
            with SocketPublisher(server.rtmp_port) as publisher:
                assert publisher.publish(key) == "NetStream.Publish.Denied"


def test_a_redirect_of_a_hook_that_decides_names_the_channel(tmp_path: Path, receiver: Receiver) -> None:
    decides = {"publish_hook__decides": "true", "publish_hook__format": "nginx-rtmp", "publish_hook__secret": ""}
    receiver.statuses, receiver.headers = [302], {"Location": "rtmp://127.0.0.1/live/alice"}
    with run_server(tmp_path, **{**hook(receiver), **decides}) as server:
        with SocketPublisher(server.rtmp_port) as publisher:
            publisher.go_live("a-secret-of-alice")
            server.wait_until_playable("alice")
        assert "a-secret-of-alice" not in server.log_text()


def test_a_body_of_a_hook_that_decides_names_the_channel(tmp_path: Path, receiver: Receiver) -> None:
    receiver.statuses, receiver.bodies = [200], [b'{"channel": "alice"}']
    with run_server(tmp_path, **hook(receiver, publish_hook__decides="true")) as server:
        with SocketPublisher(server.rtmp_port) as publisher:
            publisher.go_live("a-secret-of-alice")
            server.wait_until_playable("alice")
        (request,) = receiver.requests
        assert request.verified(OTHER_SECRET)["data"]["name"] == "a-secret-of-alice"
