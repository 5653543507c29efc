"""How much memory does a viewer cost that asks and reads nothing, over TLS and without?

Method: ``streamd serve`` as a process of its own, its time limits far away, with one stream of 2.5 Mb/s in real time
whose window is full. Each case opens its connections from many addresses, with receive buffers of 4 kB. It asks sixteen
times on each, which is more than the kernel takes, waits until after viewers of a pushed stream are set aside, reads
the server's memory, and closes them. Over TLS the client shakes hands and then drops OpenSSL's state, which only a
reader needs. Memory is the anonymous part of the resident set of the server's process, less its size before the case; a
second case would use memory that the first leaves to the allocator, so each case has a server of its own.

Left out: the kernel's memory, which ``net.ipv4.tcp_mem`` bounds. Media that only these viewers keep is in the figure,
spread over all of them.

    python -m bench.silent [--viewers 1000] [--ports plain,tls] [CASE …]
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import re
import resource
import select
import socket
import ssl
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import report
from bench.publishing import CLIP_S, make_clip
from tests.support.certificates import ONE
from tests.support.server import run_server
from tests.support.tag_publisher import TagPublisher, publishing, repeated

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.formats.flv.tag import FlvTag
    from tests.support.server import LiveServer

CHANNEL = "silent"
BITRATE_KBPS = 2500
# Two segments beyond what stays fetchable with the window below.
FILL_S = 20.0
WINDOW = {"hls__segment_target_ms": 1000, "hls__window_segments": 4}
FAR_AWAY_S = 3600
TIMEOUTS = ("head", "body", "idle", "write", "answer")
# As many connections from one source address as its share of TLS handshakes lets through in a second or two.
PER_ADDRESS = 100
OPENED_AT_ONCE = 8
# Seconds between two handshakes, so that the server's share of time for them is not used up.
HANDSHAKE_PACE_S = 0.004 * OPENED_AT_ONCE
RECEIVE_BUFFER_BYTES = 4096
TIMEOUT_S = 30.0
# Longer than a viewer of a pushed stream is set aside.
SETTLE_S = 15.0
# Seconds before the first reading, in which the server makes everything that it makes once.
WARM = 20
# A kernel takes up to 4 MB for one connection on loopback.
TIMES = 16
SPARE = 100
SEGMENT = re.compile(r"^main/seg.*$", re.MULTILINE)
STATIC = re.compile(r"/static/[0-9a-f]+/[a-z./_-]*hls[a-z./_-]*\.m?js")

CASES: dict[str, Callable[[LiveServer], str]] = {
    "idle": lambda _: "",
    "playlist": lambda _: f"/live/{CHANNEL}/main.m3u8",
    "segment": lambda server: f"/live/{CHANNEL}/" + last(SEGMENT, server, f"/live/{CHANNEL}/main.m3u8"),
    "flv": lambda _: f"/live/{CHANNEL}.flv",
    "mp4": lambda _: f"/live/{CHANNEL}.mp4",
    "page": lambda _: f"/watch/{CHANNEL}",
    "file": lambda server: last(STATIC, server, f"/watch/{CHANNEL}"),
    "json": lambda _: "/api/v1/streams",
}


class Client:
    """Opens connections that read nothing.

    Args:
        port: On loopback.
        is_tls: Connections use TLS.
    """

    def __init__(self, port: int, *, is_tls: bool) -> None:
        self._port = port
        self._context: ssl.SSLContext | None = None
        if is_tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        self._numbers = itertools.count()

    def open_many(self, request: bytes, count: int) -> list[socket.socket]:
        """Open several connections, some at a time: on a busy machine each waits for its turns."""
        with ThreadPoolExecutor(OPENED_AT_ONCE) as pool:
            return list(pool.map(self.open, [request] * count))

    def open(self, request: bytes) -> socket.socket:
        """Connect, shake hands over TLS, ask, and read nothing."""
        number = next(self._numbers) // PER_ADDRESS
        connection = socket.socket()
        connection.settimeout(TIMEOUT_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        connection.bind((f"127.3.{number // 250}.{1 + number % 250}", 0))
        connection.connect(("127.0.0.1", self._port))
        if self._context is not None:
            request = self._shake_hands(connection, self._context, request)
            time.sleep(HANDSHAKE_PACE_S)
        if request:
            connection.sendall(request)
        return connection

    @staticmethod
    def _shake_hands(connection: socket.socket, context: ssl.SSLContext, request: bytes) -> bytes:
        """Shake hands; return the encrypted request, behind the last bytes of the handshake."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        peer = context.wrap_bio(incoming, outgoing)
        while True:
            try:
                peer.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                said = connection.recv(16 * 1024)
                assert said, "the server closed in the handshake"
                incoming.write(said)
        if request:
            peer.write(request)
        return outgoing.read()


def main() -> None:
    """Measure the cases that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--ports", default="plain,tls", help="plain, tls or both")
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE", help=", ".join(CASES))
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clip = make_clip(BITRATE_KBPS, "1280x720")
    for port in arguments.ports.split(","):
        for name in arguments.cases:
            with tempfile.TemporaryDirectory() as directory:
                measure(Path(directory), name, arguments.viewers, clip, is_tls=port == "tls")


def measure(directory: Path, name: str, viewers: int, clip: list[FlvTag], *, is_tls: bool) -> None:
    """Measure one case on a server of its own, and report.

    Args:
        directory: For the server's files.
        name: The case's.
        viewers: Number of connections.
        clip: The broadcast.
        is_tls: Viewers come over HTTPS.
    """
    settings: dict[str, object] = {
        **{f"limits__viewer_{each}_timeout_s": FAR_AWAY_S for each in TIMEOUTS},
        "limits__viewer_connections_max": viewers + SPARE,
        "limits__viewer_connections_per_address_max": viewers + SPARE,
        **WINDOW,
    }
    if is_tls:
        cert, key = directory / "cert.pem", directory / "key.pem"
        cert.write_text(ONE.cert)
        key.write_text(ONE.key)
        settings |= {"http__tls_cert": cert, "http__tls_key": key}
    with run_server(directory, **settings) as server:
        publisher = TagPublisher(server.rtmp_port, server.issue_key(CHANNEL))
        with publisher, publishing(publisher, repeated(tuple(clip), CLIP_S * 1000)):
            server.wait_until_playable(CHANNEL)
            time.sleep(FILL_S)
            client = Client(server.http_port, is_tls=is_tls)
            silent = client.open_many(request_of(name, server), WARM)
            time.sleep(SETTLE_S)
            before = anonymous_bytes(server.process.pid)
            for start in range(0, viewers, PER_ADDRESS):
                silent += client.open_many(request_of(name, server), min(PER_ADDRESS, viewers - start))
            time.sleep(SETTLE_S)
            after = anonymous_bytes(server.process.pid)
            gone = len(closed_ones(silent[WARM:]))
            name = f"{name}, {'TLS' if is_tls else 'plain'}"
            report("silent", name, [(after - before) / viewers], "bytes a viewer", viewers=viewers, gone=gone)
            for connection in silent:
                connection.close()


def request_of(name: str, server: LiveServer) -> bytes:
    """The request of a case's viewers; empty if they only connect."""
    path = CASES[name](server)
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * TIMES if path else b""


def last(pattern: re.Pattern[str], server: LiveServer, page: str) -> str:
    """The last link of a page or a playlist."""
    found: list[str] = pattern.findall(server.get(page)[2].decode())
    return found[-1]


def anonymous_bytes(pid: int) -> int:
    """Memory of a process beside mapped files."""
    found = re.search(r"^Anonymous:\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def closed_ones(connections: list[socket.socket]) -> list[socket.socket]:
    """Connections that the server has closed or reset."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLRDHUP)
    closed = {descriptor for descriptor, event in poll.poll(0) if event}
    return [each for each in connections if each.fileno() in closed]


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
