"""Keys from another server, imported by the command line: encoders keep the key they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.publisher import publish
from tests.support.server import run_server
from tests.support.socket_publisher import SocketPublisher

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

SECRET = "Xk29sQm4Tz81LdRw"


def test_an_imported_key_goes_live_signs_in_and_is_revoked(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        said = server.command("keys", "import", "-", stdin=f"user,secret\nalice,{SECRET}\n")
        (key,) = server.admin("GET", "/api/v1/keys")["keys"]
        with publish(server.rtmp_url, SECRET):
            server.wait_until_playable("alice")
            assert server.admin("GET", "/api/v1/streams")["streams"][0]["key_id"] == key["id"]
            said += server.command("keys", "revoke", key["id"])
            assert "Stream alice was closed." in said
        with SocketPublisher(server.rtmp_port) as publisher:
            assert publisher.publish(SECRET) == "NetStream.Publish.Denied"
        assert server.admin("GET", "/api/v1/audit")["entries"][1]["action"] == "key.imported"
        assert SECRET not in said + server.log_text()
        server.wait_for_log("publish.refused", reason="revoked", key_id=key["id"])


def test_a_key_that_is_imported_into_the_store_works_in_the_next_server(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        server.command("keys", "import", "-", stdin=f"alice,{SECRET}")
    with run_server(tmp_path) as server, SocketPublisher(server.rtmp_port) as publisher:
        assert publisher.publish(SECRET) == "NetStream.Publish.Start"
