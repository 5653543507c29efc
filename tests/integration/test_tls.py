"""RTMPS and HTTPS over real sockets, with a certificate that is renewed while the server runs."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from tests.support import certificates
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def write(pem: certificates.Pem, directory: Path) -> dict[str, object]:
    """Write a certificate and its key; return the settings of ``[rtmp]`` and ``[http]`` that name them."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    cert.write_text(pem.cert)
    key.write_text(pem.key)
    names = {"tls_cert": cert, "tls_key": key}
    return {f"{section}__{name}": path for section in ("rtmp", "http") for name, path in names.items()}


def test_rtmps_in_and_https_out(tmp_path: Path) -> None:
    settings = write(certificates.ONE, tmp_path)
    with run_server(tmp_path, rtmp__tls_listen="127.0.0.1:0", **settings) as server:
        with publish(server.rtmps_url, server.issue_key("alice")) as publisher:
            assert server.http_url.startswith("https://")
            server.wait_until_playable("alice")
            assert b"#EXT-X-PART:" in server.get("/live/alice/main.m3u8")[2]
            assert publisher.stop() == 0
        server.wait_for_log("stream.ended", reason="goodbye")


def test_a_renewed_certificate_serves_the_next_connection(tmp_path: Path) -> None:
    settings = write(certificates.ONE, tmp_path)
    with run_server(tmp_path, rtmp__tls_listen="127.0.0.1:0", **settings) as server:
        ports = {"http": server.http_port, "rtmps": int(server.rtmps_url.split(":")[2].split("/")[0])}

        def served() -> set[str]:
            return {ssl.get_server_certificate(("127.0.0.1", port)).strip() for port in ports.values()}

        assert served() == {certificates.ONE.cert.strip()}
        write(certificates.TWO, tmp_path)
        assert server.tls is not None
        server.tls.load_verify_locations(cadata=certificates.TWO.cert)
        wait_until(lambda: served() == {certificates.TWO.cert.strip()}, 10, "the new certificate")


def test_a_certificate_that_does_not_load_is_one_clear_line(tmp_path: Path) -> None:
    settings = write(certificates.Pem(certificates.ONE.cert, certificates.TWO.key), tmp_path)
    with (
        pytest.raises(AssertionError, match="the server ended with 2") as ended,
        run_server(tmp_path, rtmp__tls_listen="127.0.0.1:0", **settings),
    ):
        pass
    assert "certificate does not load" in str(ended.value)
    assert "Traceback" not in str(ended.value)
