"""What peers can have written: the first lines about each, and how many more there were in metrics."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until

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


def test_connections_that_say_nothing(tmp_path: Path) -> None:
    with run_server(tmp_path, limits__log_lines_per_address_max=PER_ADDRESS) as server:
        for _ in range(3 * PER_ADDRESS):
            socket.create_connection(("127.0.0.1", server.rtmp_port), PATIENCE_S).close()
        wait_until(lambda: left_out(server) >= 2 * PER_ADDRESS, PATIENCE_S, "the last of them")
        assert len(server.log_events("connection.closed_early")) == PER_ADDRESS
        socket.create_connection(("127.0.0.1", server.rtmp_port), PATIENCE_S, ("127.0.0.3", 0)).close()
        server.wait_for_log("connection.closed_early", peer="127.0.0.3")
