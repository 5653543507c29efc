"""What peers can have written: the first lines about each, and how many more there were in metrics."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest

from streamd.services.bounds.peer_lines import STREAM_LINES_MAX
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until
from tests.support.socket_publisher import SocketPublisher

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

PER_ADDRESS = 10


def left_out(server: LiveServer) -> float:
    """How many lines were not written."""
    found = re.search(
        r'^streamd_limit_hits_total\{limit="log_lines_per_address_max"\} (\S+)$', server.admin_get("/metrics"), re.M
    )
    assert found is not None
    return float(found[1])


def test_publishing_and_saying_goodbye_again_and_again(tmp_path: Path) -> None:
    rounds = 2 * STREAM_LINES_MAX
    with run_server(tmp_path, limits__memory_bytes_max=64 * 1024**3, limits__publishes_per_minute_max=rounds) as server:
        stream_key = server.issue_key("alice")
        with SocketPublisher(server.rtmp_port) as publisher:
            for _ in range(rounds):
                assert publisher.publish(stream_key) == "NetStream.Publish.Start"
                publisher.say_goodbye()
                assert publisher.answer() == "NetStream.Unpublish.Success"
            # One more than the key may in a minute: told in words, and closed.
            publisher.ask_to_publish(stream_key)
            code, description = publisher.whole_answer()
            assert code == "NetStream.Publish.Rejected"
            assert "too often within a minute" in description
            publisher.wait_closed()
        assert len(server.log_events("publish.accepted")) == STREAM_LINES_MAX
        assert len(server.log_events("stream.ended")) <= STREAM_LINES_MAX
        assert left_out(server) >= rounds - STREAM_LINES_MAX
        # What the operator does is written whatever publishers do.
        key_id = str(server.log_events("publish.accepted")[0]["key_id"])
        server.admin("POST", f"/api/v1/keys/{key_id}/revoke", {"reason": "x"})
        server.wait_for_log("key.revoked", key_id=key_id)


def test_connections_that_say_nothing(tmp_path: Path) -> None:
    with run_server(tmp_path, limits__log_lines_per_address_max=PER_ADDRESS) as server:
        for _ in range(3 * PER_ADDRESS):
            socket.create_connection(("127.0.0.1", server.rtmp_port), PATIENCE_S).close()
        wait_until(lambda: left_out(server) >= 2 * PER_ADDRESS, PATIENCE_S, "the last of them")
        assert len(server.log_events("connection.closed_early")) == PER_ADDRESS
        socket.create_connection(("127.0.0.1", server.rtmp_port), PATIENCE_S, ("127.0.0.3", 0)).close()
        server.wait_for_log("connection.closed_early", peer="127.0.0.3")
