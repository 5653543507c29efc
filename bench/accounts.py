"""Does the server's account hold all the memory that peers make it hold?

Method: ``streamd serve`` as a process of its own, its time limits far away, with one stream that plays. Each case loads
a server of its own in the way of an attack, waits, and compares the growth of the account (``streamd_held_bytes`` of
all standings) with the growth of the anonymous part of the resident set.

Left out: memory that the process needs without peers, and the kernel's memory.

    python -m bench.accounts [CASE …]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import resource
import socket
import ssl
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.figures import report
from bench.publishing import CLIP_S, make_clip
from bench.silent import (
    BITRATE_KBPS,
    CASES,
    CHANNEL,
    FAR_AWAY_S,
    FILL_S,
    HANDSHAKE_PACE_S,
    TIMEOUTS,
    WINDOW,
    Client,
    anonymous_bytes,
    request_of,
)
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.formats.rtmp.message import MessageType
from tests.hostile.attacker import LOGIN
from tests.support import rtmp_wire
from tests.support.certificates import ONE
from tests.support.flv_media import h264_only
from tests.support.server import run_server
from tests.support.tag_publisher import TagPublisher, publishing, repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.support.server import LiveServer

HELD = re.compile(r"^streamd_held_bytes\{[^}]*\} (\S+)$", re.MULTILINE)
MB = 1024 * 1024
CHUNK_SIZE = 65_536
SET_CHUNK_SIZE = rtmp_wire.control(MessageType.SET_CHUNK_SIZE, CHUNK_SIZE.to_bytes(4, "big"))
# The account asks 2,000 connections a second.
SETTLE_S = 12.0
# Seconds before the first reading, in which the server makes everything that it makes once.
WARM = 20
# Connections from one address: as many as the RTMP door lets in, and below the share of handshakes.
PER_ADDRESS = 50
TIMEOUT_S = 30.0
# Streams whose pictures are asked for.
HALL = 30
HALL_MS = 3000


class Case(NamedTuple):
    """A way to load a server."""

    times: int
    """How often it is done."""
    load: Callable[[Loader], object]
    is_tls: bool = False
    settle_s: float = SETTLE_S
    settings: Mapping[str, object] = {}
    """Of the server, beside those of all cases."""
    prepare: Callable[[Loader], object] = lambda _: None
    """Done once, before memory is read."""
    is_paused: bool = False
    """The broadcast sends nothing more from here on: what waits for its next segment waits."""


class Loader:
    """Loads one server, and keeps its connections open.

    Args:
        server: The server.
        clip: What is broadcast.
        is_tls: Viewers come over HTTPS.
        stack: Closes everything.
    """

    def __init__(self, server: LiveServer, clip: Sequence[FlvTag], *, is_tls: bool, stack: ExitStack) -> None:
        self.server = server
        self._clip = clip
        self._viewers = Client(server.http_port, is_tls=is_tls)
        self._encoders: Client | None = None
        self._number = 0
        self._hall: list[str] = []
        self._stack = stack
        self._opened = 0
        self._requests: dict[str, bytes] = {}

    def say(self, data: bytes) -> None:
        """Open an RTMP connection and say something."""
        source = f"127.4.0.{1 + self._opened // PER_ADDRESS}"
        self._opened += 1
        connection = socket.create_connection(
            ("127.0.0.1", self.server.rtmp_port), TIMEOUT_S, source_address=(source, 0)
        )
        self._stack.enter_context(connection)
        connection.sendall(data)

    @property
    def _rtmps_port(self) -> int:
        return int(self.server.rtmps_url.rpartition(":")[2].partition("/")[0])

    def say_over_tls(self, data: bytes) -> None:
        """Open an RTMPS connection and say something."""
        if self._encoders is None:
            self._encoders = Client(self._rtmps_port, is_tls=True)
        self._stack.enter_context(self._encoders.open(data))

    def greet(self, port: int) -> None:
        """Begin a TLS handshake: the server has answered, and waits."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        outgoing = ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
        source = f"127.5.0.{1 + self._opened // PER_ADDRESS}"
        self._opened += 1
        connection = socket.create_connection(("127.0.0.1", port), TIMEOUT_S, source_address=(source, 0))
        self._stack.enter_context(connection)
        connection.sendall(outgoing.read())
        time.sleep(HANDSHAKE_PACE_S)

    def greet_viewers_port(self) -> None:
        """Begin a handshake for HTTPS."""
        self.greet(self.server.http_port)

    def greet_encoders_port(self) -> None:
        """Begin a handshake for RTMPS."""
        self.greet(self._rtmps_port)

    def reload_blocked(self, head: str = "") -> None:
        """Ask for a playlist with the segment behind the next, which does not come."""
        if "blocked" not in self._requests:
            playlist = self.server.get(f"/live/{CHANNEL}/main.m3u8")[2].decode()
            first = int(re.findall(r"MEDIA-SEQUENCE:(\d+)", playlist)[0])
            msn = first + len(re.findall(r"^main/seg", playlist, re.MULTILINE)) + 1
            path = f"/live/{CHANNEL}/main.m3u8?_HLS_msn={msn}"
            self._requests["blocked"] = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode()
        self.ask(self._requests["blocked"])

    def tell_webhooks(self) -> None:
        """Suspend a user or restore them, of which an endpoint is told that does not answer."""
        self._number += 1
        state = "suspended" if self._number % 2 else "active"
        self.server.admin("PATCH", "/api/v1/users/told", {"state": state, "reason": "bench"})

    def hear_of_webhooks(self) -> None:
        """Have a user, and the key store's cache full of what their changes leave there."""
        self.server.issue_key("told")
        for _ in range(1500):
            self.tell_webhooks()

    def fill_hall(self) -> None:
        """Have streams whose pictures can be asked for, and which send no more."""
        clip = [tag for tag in self._clip if tag.timestamp_ms < HALL_MS]
        for number in range(HALL):
            publisher = self._stack.enter_context(
                TagPublisher(self.server.rtmp_port, self.server.issue_key(f"hall{number}"))
            )
            publisher.send(clip)
            self._hall.append(f"hall{number}")
        for name in self._hall:
            self.server.wait_until_playable(name)
            # A part that is asked for is put together, and stays so; its frames were counted there before.
            playlist = self.server.get(f"/live/{name}/main.m3u8")[2].decode()
            for part in re.findall(r'URI="(main/part\d+\.m4s)"', playlist):
                self.server.get(f"/live/{name}/{part}")
        for _ in range(HALL // 2):
            # The pipe to the worker has its room for keyframes by then.
            self.look_at_poster()

    def look_at_poster(self) -> None:
        """Ask for the picture of the next stream."""
        name = self._hall[self._number % HALL]
        self._number += 1
        assert self.server.get(f"/live/{name}/poster.jpg")[0] == 200

    def ask(self, request: bytes) -> None:
        """Open a viewer's connection and ask."""
        self._stack.enter_context(self._viewers.open(request))

    def watch(self, name: str) -> None:
        """Ask for what a case of ``bench.silent`` does."""
        if name not in self._requests:
            self._requests[name] = request_of(name, self.server)
        self.ask(self._requests[name])

    def publish(self) -> TagPublisher:
        """Open a connection that publishes."""
        self._opened += 1
        key = self.server.issue_key(f"publisher{self._opened}")
        return self._stack.enter_context(TagPublisher(self.server.rtmp_port, key))

    def hold_messages(self) -> None:
        """A publisher with two messages of almost 7 MB under way."""
        publisher = self.publish()
        for stream in (6, 7):
            body = rtmp_wire.message(9, bytes(7 * MB), chunk_stream_id=stream, chunk_size=CHUNK_SIZE)
            # Up to the end of a chunk: its first header has 12 bytes, the others one.
            publisher.send_raw(body[: 11 + 100 * (CHUNK_SIZE + 1)])

    def change_headers(self) -> None:
        """A publisher whose every GOP has another header, 60 kB long, as often as a publisher may."""
        publisher = self.publish()
        clip = h264_only(seconds=2, gop=10)
        header = next(tag for tag in clip if bytes(tag.payload)[:2] == b"\x17\x00")
        frames = [tag for tag in clip if tag is not header and tag.tag_type is TagType.VIDEO]
        for change in range(20):
            padded = replace(header, payload=bytes(header.payload) + change.to_bytes(4, "big") + bytes(60_000))
            publisher.send([padded, *(moved(tag, change * 2000) for tag in frames)])
            time.sleep(0.3)

    def refuse_headers(self) -> None:
        """A publisher whose headers are all different and all invalid."""
        publisher = self.publish()
        publisher.send(
            FlvTag(TagType.VIDEO, 0, b"\x17\x00\x00\x00\x00" + number.to_bytes(4, "big") + bytes(60_000))
            for number in range(200)
        )


def moved(tag: FlvTag, time_ms: int) -> FlvTag:
    """A tag, later."""
    return replace(tag, timestamp_ms=tag.timestamp_ms + time_ms)


def post(size: int) -> bytes:
    """Half of a request with a body."""
    fields = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n"
    return f"POST /studio/session HTTP/1.1\r\n{fields}\r\n".encode() + b"{" * (size // 2)


def watching(name: str) -> Callable[[Loader], object]:
    """Ask for what a case of ``bench.silent`` does."""
    return lambda loader: loader.watch(name)


LONG_HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 7000 + b"\r\nX-More: " + b"x" * 7000
# As aiohttp gets it: a head that the media door does not read.
NOT_PLAIN = "Expect: 100-continue\r\n"
LOGGED_IN = rtmp_wire.SIMPLE_HANDSHAKE + LOGIN + SET_CHUNK_SIZE
UNFINISHED = LOGGED_IN + rtmp_wire.chunk(0, 6, bytes(50_000), length=60_000, message_stream_id=0)

HALF_A_HANDSHAKE = rtmp_wire.SIMPLE_HANDSHAKE[:3000]
# In chunks as small as may be, of as many chunk streams as a stranger may have: 3,500 bytes of each in turn.
INTERLEAVED = (
    rtmp_wire.SIMPLE_HANDSHAKE
    + LOGIN
    + b"".join(rtmp_wire.chunk(0, stream, bytes(128), length=4_000, message_stream_id=0) for stream in range(4, 17))
    + b"".join(rtmp_wire.chunk(3, stream, bytes(128)) for stream in range(4, 17)) * 27
)
BLOCKED = {"hls__segment_target_ms": 10_000, "hls__window_segments": 4}
RTMPS = {"rtmp__tls_listen": "127.0.0.1:0"}
# A port on which nobody answers is refused at once, and tried again later.
DEAF_ENDPOINT = {
    "webhooks__endpoints": json.dumps([{"url": "http://127.0.0.1:9/", "secret": "whsec_" + "A" * 32}]),
    "webhooks__allow_networks": "127.0.0.0/8",
    "webhooks__queue_max": 5000,
}

CASES_OF_ACCOUNT: dict[str, Case] = {
    "RTMP, silent": Case(900, lambda loader: loader.say(b"")),
    "RTMP, unfinished handshakes": Case(900, lambda loader: loader.say(HALF_A_HANDSHAKE)),
    "RTMP, logged in": Case(1000, lambda loader: loader.say(LOGGED_IN)),
    "RTMP, messages in turn": Case(500, lambda loader: loader.say(INTERLEAVED)),
    "RTMP, unfinished messages of strangers": Case(500, lambda loader: loader.say(UNFINISHED)),
    "RTMP, unfinished messages of publishers": Case(10, Loader.hold_messages),
    "RTMPS, handshakes": Case(900, Loader.greet_encoders_port, True, settings=RTMPS),
    "RTMPS, logged in": Case(500, lambda loader: loader.say_over_tls(LOGGED_IN), True, settings=RTMPS),
    "RTMPS, unfinished messages of strangers": Case(
        500, lambda loader: loader.say_over_tls(UNFINISHED), True, settings=RTMPS
    ),
    "RTMP, headers that change": Case(6, Loader.change_headers),
    "RTMP, headers that are refused": Case(10, Loader.refuse_headers),
    "HTTP, silent": Case(2000, lambda loader: loader.ask(b"")),
    "HTTP, unfinished heads": Case(1000, lambda loader: loader.ask(LONG_HEAD)),
    "HTTP, unfinished bodies": Case(1000, lambda loader: loader.ask(post(20_000))),
    # The thin door answers three thousand at once; what aiohttp answers takes its time.
    **{f"HTTP, {name}": Case(3000, watching(name)) for name in ("playlist", "segment", "flv", "mp4")},
    **{f"HTTP, {name}": Case(1000, watching(name)) for name in ("page", "file", "json")},
    **{f"HTTPS, {name}": Case(1000, watching(name), is_tls=True) for name in CASES},
    "HTTPS, unfinished bodies": Case(500, lambda loader: loader.ask(post(20_000)), is_tls=True),
    "HTTPS, handshakes": Case(900, Loader.greet_viewers_port, True),
    "HTTP, blocked reloads": Case(3000, Loader.reload_blocked, settings=BLOCKED, is_paused=True, settle_s=5.0),
    "HTTPS, blocked reloads": Case(1000, Loader.reload_blocked, True, settings=BLOCKED, is_paused=True, settle_s=5.0),
    "HTTP, blocked reloads of aiohttp": Case(
        1000, lambda loader: loader.reload_blocked(NOT_PLAIN), settings=BLOCKED, is_paused=True, settle_s=5.0
    ),
    "webhooks that wait": Case(
        2000,
        Loader.tell_webhooks,
        settings=DEAF_ENDPOINT,
        prepare=Loader.hear_of_webhooks,
        is_paused=True,
    ),
    "posters": Case(HALL // 2, Loader.look_at_poster, prepare=Loader.fill_hall, is_paused=True),
}


def main() -> None:
    """Measure the cases that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="*", default=list(CASES_OF_ACCOUNT), metavar="CASE")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clip = make_clip(BITRATE_KBPS, "1280x720")
    for name in parser.parse_args().cases:
        with tempfile.TemporaryDirectory() as directory:
            measure(Path(directory), name, CASES_OF_ACCOUNT[name], clip)


def measure(directory: Path, name: str, case: Case, clip: Sequence[FlvTag]) -> None:
    """Load a server, compare, and report."""
    settings: dict[str, object] = {
        **{f"limits__viewer_{each}_timeout_s": FAR_AWAY_S for each in TIMEOUTS},
        **{f"limits__{each}_timeout_s": FAR_AWAY_S for each in ("handshake", "publish", "media")},
        "limits__viewer_connections_per_address_max": 10_000,
        "limits__requests_per_second_max": 10_000,
        "limits__connections_per_address_max": 1000,
        "limits__tls_handshakes_per_address_max": 1000,
        "limits__tls_handshake_timeout_s": 300,
        **WINDOW,
    }
    if case.is_tls:
        cert, key = directory / "cert.pem", directory / "key.pem"
        cert.write_text(ONE.cert)
        key.write_text(ONE.key)
        settings |= {"http__tls_cert": cert, "http__tls_key": key}
        if "rtmp__tls_listen" in case.settings:
            settings |= {"rtmp__tls_cert": cert, "rtmp__tls_key": key}
    settings |= case.settings
    with run_server(directory, **settings) as server, ExitStack() as stack:
        publisher = stack.enter_context(TagPublisher(server.rtmp_port, server.issue_key(CHANNEL)))
        broadcast = ExitStack()
        stack.enter_context(broadcast)
        broadcast.enter_context(publishing(publisher, repeated(tuple(clip), CLIP_S * 1000)))
        server.wait_until_playable(CHANNEL)
        time.sleep(FILL_S)
        loader = Loader(server, clip, is_tls=case.is_tls, stack=stack)
        case.prepare(loader)
        if case.is_paused:
            broadcast.close()
        for _ in range(min(WARM, case.times // 10)):
            case.load(loader)
        time.sleep(case.settle_s)
        before, counted_before = anonymous_bytes(server.process.pid), held_bytes(server)
        for _ in range(case.times):
            case.load(loader)
        time.sleep(case.settle_s)
        grown = anonymous_bytes(server.process.pid) - before
        counted = held_bytes(server) - counted_before
    report(
        "accounts",
        name,
        [counted / grown if grown else 0.0],
        "of what memory has grown by",
        times=case.times,
        grown_bytes_each=round(grown / case.times),
        counted_bytes_each=round(counted / case.times),
    )


def held_bytes(server: LiveServer) -> float:
    """The sum of the process' account."""
    return sum(map(float, HELD.findall(server.admin_get("/metrics"))))


if __name__ == "__main__":
    main()
