"""HAProxy as a TCP balancer before a real server: who connects through it is who limits and the log are about."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from tests.support import certificates, clients, fronts
from tests.support.clients import Picture
from tests.support.fronts import BALANCER_ADDRESS
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until
from tests.support.socket_publisher import SocketPublisher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fronts import Balancer
    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

STUDIO, VIEWER = "127.0.0.5", "127.0.0.6"
PER_ADDRESS = 3


@pytest.fixture(scope="module", params=["send-proxy", "send-proxy-v2"])
def behind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LiveServer, Balancer]]:
    directory = tmp_path_factory.mktemp("behind")
    cert, key = directory / "cert.pem", directory / "key.pem"
    cert.write_text(certificates.ONE.cert)
    key.write_text(certificates.ONE.key)
    settings: dict[str, object] = {
        "rtmp__tls_listen": "127.0.0.1:0",
        "rtmp__tls_cert": cert,
        "rtmp__tls_key": key,
        "rtmp__trusted_proxies": f"{BALANCER_ADDRESS}/32",
        "http__trusted_proxies": f"{BALANCER_ADDRESS}/32",
        "http__proxy_protocol": True,
        "limits__connections_per_address_max": PER_ADDRESS,
        "limits__viewer_connections_per_address_max": PER_ADDRESS,
    }
    with run_server(directory, **settings) as server:
        rtmps_port = int(server.log_events("server.started")[0]["rtmps"].rpartition(":")[2])
        with fronts.haproxy(server, rtmps_port, request.param) as balancer:
            yield server, balancer


def test_a_broadcaster_is_known_by_their_own_address(behind: tuple[LiveServer, Balancer]) -> None:
    server, balancer = behind
    with SocketPublisher(balancer.rtmp_port, STUDIO) as publisher:
        publisher.go_live(server.issue_key("alice"))
        server.wait_for_log("publish.accepted", stream="alice", peer=STUDIO)
        publisher.say_goodbye()
    server.wait_for_log("connection.closed", stream="alice", peer=STUDIO)


def test_rtmps_passes_through(behind: tuple[LiveServer, Balancer]) -> None:
    server, balancer = behind
    stream_key = server.issue_key("bob")
    with clients.running(
        clients.ffmpeg(f"rtmps://localhost:{balancer.rtmps_port}/live", stream_key, 2.0, Picture())
    ) as (client):
        assert client.finish(2.0 + PATIENCE_S) == 0
    server.wait_for_log("publish.accepted", stream="bob", peer="127.0.0.1")


def test_per_address_limits_are_about_people(behind: tuple[LiveServer, Balancer]) -> None:
    _, balancer = behind
    with contextlib.ExitStack() as stack:
        studio = [stack.enter_context(SocketPublisher(balancer.rtmp_port, STUDIO)) for _ in range(PER_ADDRESS)]
        for publisher in studio:
            # The place is taken when the server has answered.
            assert publisher.publish("sk_nobody") == "NetStream.Publish.Denied"
        one_more = stack.enter_context(SocketPublisher(balancer.rtmp_port, STUDIO))
        wait_until(one_more.is_closed, PATIENCE_S, "the end of one connection too many")
        neighbour = stack.enter_context(SocketPublisher(balancer.rtmp_port, "127.0.0.7"))
        assert neighbour.publish("sk_nobody") == "NetStream.Publish.Denied"


def test_viewers_are_counted_by_their_own_address(behind: tuple[LiveServer, Balancer]) -> None:
    _, balancer = behind
    with contextlib.ExitStack() as stack:

        def ask(address: str) -> int | None:
            viewer = http.client.HTTPConnection("127.0.0.1", balancer.http_port, PATIENCE_S, (address, 0))
            stack.callback(viewer.close)
            viewer.request("GET", "/live/nobody/index.m3u8")
            try:
                return viewer.getresponse().status
            except (ConnectionError, http.client.RemoteDisconnected):
                return None

        assert [ask(VIEWER) for _ in range(PER_ADDRESS + 1)] == [404] * PER_ADDRESS + [None]
        assert ask("127.0.0.8") == 404


def test_pages_behind_the_door_know_the_viewer(behind: tuple[LiveServer, Balancer]) -> None:
    server, balancer = behind
    viewer = http.client.HTTPConnection("127.0.0.1", balancer.http_port, PATIENCE_S, ("127.0.0.10", 0))
    viewer.request("GET", "/", headers={"X-Forwarded-For": "203.0.113.9"})
    assert viewer.getresponse().status == 200
    viewer.close()
    assert "203.0.113.9" not in server.log_text()


def test_a_client_of_its_own_cannot_choose_its_address(behind: tuple[LiveServer, Balancer]) -> None:
    server, _ = behind
    with socket.create_connection(("127.0.0.1", server.rtmp_port), PATIENCE_S, ("127.0.0.11", 0)) as client:
        client.sendall(b"PROXY TCP4 203.0.113.8 127.0.0.1 1 2\r\n")
        assert client.recv(100) == b""
    server.wait_for_log("connection.closed", peer="127.0.0.11")
    assert "203.0.113.8" not in server.log_text()


def test_the_balancer_without_a_header_is_told_of_and_closed(behind: tuple[LiveServer, Balancer]) -> None:
    server, _ = behind
    with socket.create_connection(("127.0.0.1", server.http_port), PATIENCE_S, (BALANCER_ADDRESS, 0)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert client.recv(100) == b""
    server.wait_for_log("proxy.header_missing", peer=BALANCER_ADDRESS)


def test_health_checks_are_the_balancers_own(behind: tuple[LiveServer, Balancer]) -> None:
    server, _ = behind
    # With a header, or it would not have become a connection at all.
    server.wait_for_log("connection.closed_early", peer=BALANCER_ADDRESS)


def test_https_passes_through_too(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text(certificates.ONE.cert)
    key.write_text(certificates.ONE.key)
    settings: dict[str, object] = {
        "http__tls_cert": cert,
        "http__tls_key": key,
        "http__trusted_proxies": f"{BALANCER_ADDRESS}/32",
        "http__proxy_protocol": True,
    }
    context = ssl.create_default_context(cafile=str(cert))
    with (
        run_server(tmp_path, **settings) as server,
        fronts.haproxy(server, server.rtmp_port, "send-proxy-v2") as balancer,
    ):
        viewer = http.client.HTTPSConnection("localhost", balancer.http_port, timeout=PATIENCE_S, context=context)
        viewer.request("GET", "/live/nobody/index.m3u8")
        assert viewer.getresponse().status == 404
        viewer.close()
