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
from tests.support.socket_publisher import LOGIN

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

QUESTIONS = rtmp_wire.command("_checkbw", 9, None) * 200


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
def test_a_peer_that_does_not_read_its_answers(tmp_path: Path, *, is_tls: bool) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text(certificates.ONE.cert)
    key.write_text(certificates.ONE.key)
    settings = {
        "rtmp__tls_listen": "127.0.0.1:0",
        "rtmp__tls_cert": cert,
        "rtmp__tls_key": key,
        # None of these may be what closes it.
        "limits__publish_timeout_s": 600,
        "limits__loop_overdue_s": 600,
        "limits__loop_ms_per_stranger_max": 1000,
        "limits__loop_ms_per_address_max": 1000,
        "limits__loop_ms_of_strangers_max": 1000,
        "limits__messages_per_second_max": 1_000_000,
    }
    with run_server(tmp_path, **settings) as server, contextlib.ExitStack() as stack:
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
        peer.sendall(LOGIN)
        with contextlib.suppress(OSError):
            while True:
                peer.sendall(QUESTIONS)
        record = server.wait_for_log("connection.closed", peer="127.0.0.1")
        assert record["reason"] == "peer does not read its answers"
        assert 'streamd_limit_hits_total{limit="unsent_answers_bytes_max"} 1.0' in server.admin_get("/metrics")
