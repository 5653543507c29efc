"""An RTMP peer that asks and never reads is closed, with TLS before it and without; nobody else notices."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from tests.support import certificates, rtmp_wire
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server
from tests.support.socket_publisher import login

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = [
    pytest.mark.integration,
    pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"]),
]

# Long ones, so that no read has too many, with long answers: that there is no such method.
QUESTION = rtmp_wire.command("whatever", 9, None, "x" * 60)
# None of these may be what closes it.
GENEROUS = {
    "limits__publish_timeout_s": 600,
    "limits__media_timeout_s": 600,
    "limits__loop_overdue_s": 600,
    "limits__loop_ms_per_stranger_max": 1000,
    "limits__loop_ms_per_address_max": 1000,
    "limits__loop_ms_of_strangers_max": 1000,
    "limits__loop_ms_per_publisher_max": 1000,
    "limits__messages_per_second_max": 1_000_000,
}


@contextlib.contextmanager
def connected(tmp_path: Path, *, is_tls: bool) -> Iterator[tuple[LiveServer, socket.socket]]:
    """A server, and a peer that has logged in."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text(certificates.ONE.cert)
    key.write_text(certificates.ONE.key)
    settings = {"rtmp__tls_listen": "127.0.0.1:0", "rtmp__tls_cert": cert, "rtmp__tls_key": key}
    with run_server(tmp_path, **settings, **GENEROUS) as server, contextlib.ExitStack() as stack:
        port = server.rtmp_port
        if is_tls:
            port = int(server.log_events("server.started")[0]["rtmps"].rpartition(":")[2])
        peer = stack.enter_context(socket.socket())
        # So that the server's answers are soon too many.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(PATIENCE_S)
        peer.connect(("127.0.0.1", port))
        if is_tls:
            context = ssl.create_default_context(cafile=str(cert))
            peer = stack.enter_context(context.wrap_socket(peer, server_hostname="localhost"))
        peer.sendall(login("live"))
        yield server, peer


def ask(peer: socket.socket) -> None:
    """Ask until the server has closed the connection, and read nothing."""
    with contextlib.suppress(OSError):
        while True:
            peer.sendall(QUESTION * 32)


def test_a_publisher_that_does_not_read_its_answers(tmp_path: Path, *, is_tls: bool) -> None:
    with connected(tmp_path, is_tls=is_tls) as (server, peer):
        peer.sendall(rtmp_wire.command("publish", 3, None, server.issue_key("alice"), "live", message_stream_id=1))
        server.wait_for_log("publish.accepted", stream="alice")
        ask(peer)
        record = server.wait_for_log("connection.closed", peer="127.0.0.1")
        assert record["reason"] == "peer does not read its answers"
        assert 'streamd_limit_hits_total{limit="unsent_answers_bytes_max"} 1.0' in server.admin_get("/metrics")


def test_a_stranger_has_no_more_questions_than_a_login(tmp_path: Path, *, is_tls: bool) -> None:
    with connected(tmp_path, is_tls=is_tls) as (server, peer):
        ask(peer)
        record = server.wait_for_log("connection.closed", peer="127.0.0.1")
        assert "messages before a publish was accepted" in record["reason"]
        assert 'streamd_limit_hits_total{limit="pending_messages_max"} 1.0' in server.admin_get("/metrics")
