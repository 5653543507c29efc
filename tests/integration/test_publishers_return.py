"""Publishers over real sockets: the same key on another connection, keys in odd places, and last words that arrive."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from streamd.clock import SystemClock
from tests.integration.test_tls import write
from tests.support import certificates
from tests.support.flv_media import h264_aac
from tests.support.server import run_server
from tests.support.socket_publisher import SocketPublisher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

STARTED, BUSY, DENIED, REJECTED = (f"NetStream.Publish.{name}" for name in ("Start", "BadName", "Denied", "Rejected"))
# Until a second connection of a silent publisher's key is let in, and what a loaded machine takes.
TAKE_OVER_S = 2.0
SLACK_S = 2.0


LOOP_TIME = SystemClock().monotonic


class House:
    """A server with RTMP and RTMPS."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.rtmps_port = int(server.rtmps_url.split(":")[2].split("/")[0])
        self.trust = ssl.create_default_context(cadata=certificates.ONE.cert)

    def connect(self, *, over_tls: bool = False, app: str = "live") -> SocketPublisher:
        if over_tls:
            return SocketPublisher(self.rtmps_port, app=app, tls=self.trust)
        return SocketPublisher(self.server.rtmp_port, app=app)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("server")
    settings = write(certificates.ONE, directory)
    with run_server(directory, rtmp__tls_listen="127.0.0.1:0", **settings) as server:
        yield House(server)


both_ways = pytest.mark.parametrize("over_tls", [False, True], ids=["rtmp", "rtmps"])


class TestTheSameKeyAgain:
    @both_ways
    def test_takes_over_a_connection_that_has_fallen_silent(self, house: House, over_tls: bool) -> None:
        user = f"silent{over_tls:d}"
        key = house.server.issue_key(user)
        with house.connect(over_tls=over_tls) as first, house.connect(over_tls=over_tls) as second:
            first.go_live(key)
            house.server.wait_until_playable(user)
            fell_silent_at = LOOP_TIME()
            assert second.publish(key) == STARTED
            assert TAKE_OVER_S - 0.5 < LOOP_TIME() - fell_silent_at < TAKE_OVER_S + SLACK_S
            code, description = first.whole_answer()
            assert (code, "has come back on another one" in description) == (REJECTED, True)
            second.send(h264_aac(seconds=3))
            assert house.server.get(f"/live/{user}/main.m3u8")[0] == 200

    @both_ways
    def test_is_refused_while_the_first_sends(self, house: House, over_tls: bool) -> None:
        key = house.server.issue_key(f"sender{over_tls:d}")
        with house.connect(over_tls=over_tls) as first, house.connect(over_tls=over_tls) as second:
            first.go_live(key)
            with first.sending():
                assert second.publish(key) == BUSY
                refused = house.server.wait_for_log("publish.refused", reason="busy", user=f"sender{over_tls:d}")
                assert refused["key_id"] == key.split("_")[1]
            first.say_goodbye()


class TestTheKey:
    @pytest.mark.parametrize(
        ("app", "name"),
        [
            ("KEY", ""),
            ("KEY?user=", ""),
            ("live?x=1/KEY", ""),
            ("live", "\xa0\u201cKEY\u201d\ufeff"),
            ("live", "alice?key=KEY"),
        ],
    )
    def test_is_taken_where_it_stands(self, house: House, app: str, name: str) -> None:
        key = house.server.issue_key("anywhere")
        with house.connect(app=app.replace("KEY", key)) as publisher:
            assert publisher.publish(name.replace("KEY", key)) == STARTED
            publisher.say_goodbye()
        assert key not in house.server.log_text()

    def test_that_was_not_given_is_not_called_wrong(self, house: House) -> None:
        with house.connect() as publisher:
            publisher.ask_to_publish("")
            code, description = publisher.whole_answer()
        assert (code, description.startswith("No stream key was given")) == (DENIED, True)
        house.server.wait_for_log("publish.refused", reason="missing")


class TestLastWords:
    @both_ways
    def test_of_a_publisher_that_sends_on_arrive_and_the_socket_is_closed(
        self,
        house: House,
        over_tls: bool,
    ) -> None:
        user = f"cut{over_tls:d}"
        key = house.server.issue_key(user)
        with house.connect(over_tls=over_tls) as publisher:
            publisher.go_live(key)
            with publisher.sending(50_000):
                began_at = LOOP_TIME()
                house.server.admin("POST", f"/api/v1/keys/{key.split('_')[1]}/revoke", {"reason": "test"})
                assert LOOP_TIME() - began_at < 1 + SLACK_S
                assert publisher.answer() == DENIED
            publisher.wait_closed()

    def test_say_that_the_bit_rate_was_too_high(self, tmp_path: Path) -> None:
        with run_server(tmp_path, limits__bitrate_kbps_max=100) as server, SocketPublisher(server.rtmp_port) as fast:
            fast.go_live(server.issue_key("fast"))
            with fast.sending(20_000):
                code, description = fast.whole_answer()
        assert code == REJECTED
        assert "kb/s, 100 are allowed" in description
