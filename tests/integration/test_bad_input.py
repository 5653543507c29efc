"""What is no encoder, or stops being one: a clean close within a time limit, one line in the log, nobody else hurt."""

from __future__ import annotations

import random
import ssl
from typing import TYPE_CHECKING

import pytest

from streamd.clock import SystemClock
from tests.support import clients, playback
from tests.support.captures import C0_C1_BYTES, HANDSHAKE_BYTES, Capture, ReplayingClient
from tests.support.clients import Picture
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

# The defaults are for people on bad networks; these are for a test that waits for each.
HANDSHAKE_TIMEOUT_S = 2
PUBLISH_TIMEOUT_S = 2
MEDIA_TIMEOUT_S = 2
# What is not RTMP at all is closed without waiting.
AT_ONCE_S = 0

OBS = Capture.load("obs")


class Bystander:
    """A channel that is live while the others misbehave.

    Args:
        server: Where it is live.
        client: Its encoder.
    """

    NAME = "bystander"

    def __init__(self, server: LiveServer, client: clients.Client) -> None:
        self.server = server
        self._client = client

    def assert_unaffected(self) -> None:
        followed = playback.follow(self.server.playlist_url(self.NAME), 1.0, 10.0)
        assert self._client.is_running, self._client.output
        assert not followed.ended
        assert followed.gaps == []
        assert followed.faults == []
        assert followed.discontinuities == 0


@pytest.fixture(scope="module")
def bystander(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bystander]:
    limits = {
        "limits__handshake_timeout_s": HANDSHAKE_TIMEOUT_S,
        "limits__publish_timeout_s": PUBLISH_TIMEOUT_S,
        "limits__media_timeout_s": MEDIA_TIMEOUT_S,
    }
    with run_server(tmp_path_factory.mktemp("server"), **limits) as server:
        command = clients.pyav(server.rtmp_url, server.issue_key(Bystander.NAME), 600, Picture())
        with clients.running(command) as client:
            server.wait_until_playable(Bystander.NAME)
            yield Bystander(server, client)


def closing_lines(server: LiveServer) -> list[str]:
    """Log lines about connections that have ended."""
    return [line for line in server.log_text().splitlines() if '"connection.closed' in line]


def tls_client_hello() -> bytes:
    """The first flight of a TLS client, as OBS sends it to an rtmps:// address on this port."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def say(data: bytes) -> Callable[[ReplayingClient], None]:
    return lambda client: client.send(data)


def handshake_then(data: bytes) -> Callable[[ReplayingClient], None]:
    def behave(client: ReplayingClient) -> None:
        client.handshake()
        client.send(data)

    return behave


def go_live_then(media_bytes: int, data: bytes = b"") -> Callable[[ReplayingClient], None]:
    def behave(client: ReplayingClient) -> None:
        client.log_in()
        client.send_media(media_bytes)
        client.send(data)

    return behave


# onMetaData is the first message after publish, 422 bytes with its header.
INSIDE_METADATA = 200
AFTER_METADATA = 12 + 410
# A message of type 9 that declares 16 MiB - 1, on a chunk stream of its own.
HUGE_MESSAGE = bytes.fromhex("05 000000 ffffff 09 01000000")
# A type 3 chunk on a chunk stream that nothing was sent on before.
ORPHAN_CHUNK = bytes([0xC0 | 17]) + bytes(64)

MISBEHAVIOURS: list[tuple[str, Callable[[ReplayingClient], None], float]] = [
    ("garbage", say(random.Random(1935).randbytes(4096)), AT_ONCE_S),
    ("TLS", say(tls_client_hello()), AT_ONCE_S),
    ("HTTP", say(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), AT_ONCE_S),
    ("silence", say(b""), HANDSHAKE_TIMEOUT_S),
    ("stops inside C1", say(OBS.data[:700]), HANDSHAKE_TIMEOUT_S),
    ("stops after C1", say(OBS.data[:C0_C1_BYTES]), HANDSHAKE_TIMEOUT_S),
    ("stops after the handshake", handshake_then(b""), HANDSHAKE_TIMEOUT_S),
    ("stops inside connect", handshake_then(OBS.data[HANDSHAKE_BYTES:][:60]), HANDSHAKE_TIMEOUT_S),
    ("stops before publish", handshake_then(OBS.data[HANDSHAKE_BYTES:][:300]), PUBLISH_TIMEOUT_S),
    ("garbage after the handshake", handshake_then(ORPHAN_CHUNK), AT_ONCE_S),
    ("stops before any media", go_live_then(0), MEDIA_TIMEOUT_S),
    ("stops inside a message", go_live_then(INSIDE_METADATA), MEDIA_TIMEOUT_S),
    ("stops inside the media", go_live_then(40_000), MEDIA_TIMEOUT_S),
    ("a message of 16 MiB", go_live_then(AFTER_METADATA, HUGE_MESSAGE), AT_ONCE_S),
]


@pytest.mark.parametrize(
    ("behave", "limit_s"),
    [pytest.param(behave, limit_s, id=name) for name, behave, limit_s in MISBEHAVIOURS],
)
def test_it_is_closed_in_time_with_one_line_and_nobody_else_is_hurt(
    bystander: Bystander, behave: Callable[[ReplayingClient], None], limit_s: float
) -> None:
    server = bystander.server
    lines_before = len(closing_lines(server))
    # A channel of its own: that of the one before may still wait for its broadcaster.
    capture = OBS.with_key(server.issue_key(f"eve{lines_before}"))
    clock = SystemClock()

    with ReplayingClient(server.rtmp_port, capture) as client:
        behave(client)
        started = clock.monotonic()
        client.read_to_end(limit_s + PATIENCE_S)
        assert clock.monotonic() - started >= limit_s - 1.0
    wait_until(lambda: len(closing_lines(server)) > lines_before, PATIENCE_S, "a line about the closed connection")

    (line,) = closing_lines(server)[lines_before:]
    assert '"reason"' in line
    assert capture.stream_key not in server.log_text()
    bystander.assert_unaffected()


def test_a_publisher_that_dies_leaves_one_line_and_nobody_else_is_hurt(bystander: Bystander) -> None:
    server = bystander.server
    lines_before = len(closing_lines(server))
    with ReplayingClient(server.rtmp_port, OBS.with_key(server.issue_key("mallory"))) as client:
        client.log_in()
        client.send_media(40_000)
    wait_until(lambda: len(closing_lines(server)) > lines_before, PATIENCE_S, "a line about the closed connection")
    assert len(closing_lines(server)) == lines_before + 1
    bystander.assert_unaffected()


BAD_KEYS = {
    "none": "",
    "no key's form": "hunter2",
    "half a key": "sk_",
    "a path": "../../etc/passwd",
    "a long one": "sk_" + 3000 * "x",
    "an unknown one": "sk_aaaaaaaaaa_" + 40 * "a",
    "not ASCII": "sk_schlüssel_ключ",
}


@pytest.mark.parametrize("stream_key", BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_key_that_opens_nothing_is_denied_in_words_and_closed(bystander: Bystander, stream_key: str) -> None:
    server = bystander.server
    lines_before = len(closing_lines(server))
    with ReplayingClient(server.rtmp_port, OBS.with_key(stream_key)) as client:
        with pytest.raises(AssertionError, match="closed the connection"):
            client.log_in()
        answer = client.received
    wait_until(lambda: len(closing_lines(server)) > lines_before, PATIENCE_S, "a line about the closed connection")

    assert b"NetStream.Publish.Denied" in answer
    assert (b"The stream key is not valid." if stream_key else b"No stream key was given.") in answer
    assert b"NetStream.Publish.Start" not in answer
    assert len(closing_lines(server)) == lines_before + 1
    assert not stream_key or stream_key not in server.log_text()
    bystander.assert_unaffected()


def test_a_good_key_with_a_query_goes_live(bystander: Bystander) -> None:
    server = bystander.server
    with ReplayingClient(server.rtmp_port, OBS.with_key(server.issue_key("carol") + "?bwtest=1")) as client:
        client.log_in()
    bystander.assert_unaffected()
