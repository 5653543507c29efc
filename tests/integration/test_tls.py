"""RTMPS and HTTPS over real sockets, with a certificate that is renewed while the server runs."""

from __future__ import annotations

import dataclasses
import ssl
from typing import TYPE_CHECKING

import av
import pytest

from tests.support import certificates, clients
from tests.support.clients import Picture
from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

PUBLISH_SECONDS = 2.0


def write(pem: certificates.Pem, directory: Path) -> dict[str, object]:
    """Write a certificate and its key; return the settings of ``[rtmp]`` and ``[http]`` that name them."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    cert.write_text(pem.cert)
    key.write_text(pem.key)
    names = {"tls_cert": cert, "tls_key": key}
    return {f"{section}__{name}": path for section in ("rtmp", "http") for name, path in names.items()}


def publish_with_ffmpeg(server: LiveServer, stream_key: str, trusted: Path) -> tuple[int, str]:
    """Publish with the ffmpeg command, which checks the certificate; return its exit code and what it printed."""
    command = clients.ffmpeg(server.rtmps_url, stream_key, PUBLISH_SECONDS, Picture())
    *arguments, url = command.argv
    command = dataclasses.replace(command, argv=(*arguments, "-tls_verify", "1", "-ca_file", str(trusted), url))
    with clients.running(command) as client:
        return client.finish(PUBLISH_SECONDS + PATIENCE_S), client.output


def is_trusted_by_pyav(server: LiveServer, trusted: Path) -> bool:
    """Say whether PyAV's RTMPS client gets past TLS, where it checks the certificate: it does when it plays."""
    options = {"tls_verify": "1", "ca_file": str(trusted)}
    try:
        av.open(f"{server.rtmps_url}/anything", format="flv", options=options, timeout=PATIENCE_S)
    except PermissionError:
        return True  # Nobody plays over RTMP, says the server.
    except OSError:
        return False
    raise AssertionError("somebody plays over RTMP")


def test_ffmpeg_publishes_over_rtmps_and_checks_the_certificate(tmp_path: Path) -> None:
    settings = write(certificates.ONE, tmp_path)
    with run_server(tmp_path, rtmp__tls_listen="127.0.0.1:0", **settings) as server:
        code, output = publish_with_ffmpeg(server, server.issue_key("alice"), tmp_path / "cert.pem")
        assert code == 0, output
        ended = server.wait_for_log("stream.ended", stream="alice")
        assert (ended["reason"], ended["parts"] > 0) == ("goodbye", True)


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

        old, new = tmp_path / "old.pem", tmp_path / "cert.pem"
        old.write_text(certificates.ONE.cert)
        stream_key = server.issue_key("alice")
        assert (is_trusted_by_pyav(server, new), is_trusted_by_pyav(server, old)) == (True, False)
        assert publish_with_ffmpeg(server, stream_key, old)[0] != 0
        code, output = publish_with_ffmpeg(server, stream_key, new)
        assert code == 0, output


def test_a_certificate_that_does_not_load_is_one_clear_line(tmp_path: Path) -> None:
    settings = write(certificates.Pem(certificates.ONE.cert, certificates.TWO.key), tmp_path)
    with (
        pytest.raises(AssertionError, match="the server ended with 2") as ended,
        run_server(tmp_path, rtmp__tls_listen="127.0.0.1:0", **settings),
    ):
        pass
    assert "certificate does not load" in str(ended.value)
    assert "Traceback" not in str(ended.value)
