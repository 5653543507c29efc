"""A crowd of low-latency HLS viewers, compact enough to run by the hundred beside the server that they watch.

Each has one connection, fetches every part as soon as it can, and checks that it missed none. Half of them reload the
playlist and then fetch the parts that are new in it, as hls.js does; half ask for the part that the preload hint names
before it is there, as Apple's players do. What they compare is shared: a part is kept once, as the first of them got
it.

Spec: rfc8216bis-22 sections 6.2.2, 6.2.5.2 and 6.3.7.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import cast

import httptools

from tests.support.patience import PATIENCE_S

# As Chromium, Firefox and a player that does not unpack send it.
ACCEPT_ENCODINGS = ("gzip, deflate, br, zstd", "gzip, deflate, br", "identity")

_PART = re.compile(r'^#EXT-X-PART:.*URI="([^"]+)"', re.MULTILINE)
_HINT = re.compile(r'^#EXT-X-PRELOAD-HINT:TYPE=PART,URI="([^"]+)"', re.MULTILINE)
_MAP = re.compile(r'^#EXT-X-MAP:URI="([^"]+)"', re.MULTILINE)
_MEDIA_SEQUENCE = re.compile(r"^#EXT-X-MEDIA-SEQUENCE:(\d+)", re.MULTILINE)
_NUMBER = re.compile(r"/part(\d+)\.")


@dataclass(frozen=True, slots=True)
class _Listing:
    """What a viewer needs of a media playlist."""

    parts: tuple[str, ...]
    hint: str
    init: str
    reload_query: str
    """The delivery directives that wait for the next part."""


@lru_cache(maxsize=64)
def _read(packed: bytes, coding: str) -> _Listing:
    """Read a media playlist; most viewers get the same bytes."""
    text = (gzip.decompress(packed) if coding == "gzip" else packed).decode()
    first, hint, init = _MEDIA_SEQUENCE.search(text), _HINT.search(text), _MAP.search(text)
    assert first is not None, text
    assert hint is not None, text
    assert init is not None, text
    msn = int(first[1]) + len(re.findall(r"^#EXTINF", text, re.MULTILINE))
    part = text.rpartition("#EXTINF")[2].count("#EXT-X-PART:")
    return _Listing(tuple(_PART.findall(text)), hint[1], init[1], f"?_HLS_msn={msn}&_HLS_part={part}")


def part_number(path: str) -> int:
    """The running number in the path of a part."""
    match = _NUMBER.search(path)
    assert match is not None, path
    return int(match[1])


class _Connection(asyncio.Protocol):
    """One request at a time over HTTP/1.1."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[tuple[int, str, bytes]] | None = None
        self._coding = ""
        self._pieces: list[bytes] = []

    async def get(self, path: str, accept_encoding: str) -> tuple[int, str, bytes]:
        """The status, Content-Encoding and content of an answer."""
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: {accept_encoding}\r\n\r\n"
        self._transport.write(request.encode())
        async with asyncio.timeout(PATIENCE_S):
            return await self._answered

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # -- asyncio.Protocol ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError("closed before the answer"))

    # -- what httptools calls -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._coding = ""
        self._pieces = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-encoding":
            self._coding = value.decode()

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result((self._parser.get_status_code(), self._coding, b"".join(self._pieces)))


@dataclass
class Crowd:
    """Viewers of one stream at one address, and what they got."""

    port: int
    """Where they ask, on 127.0.0.1, without TLS."""
    name: str
    """The channel."""
    viewers: int
    media: dict[str, bytes] = field(default_factory=dict)
    """Content of every part and init section, by path, as the first viewer got it."""
    arrived_s: dict[str, float] = field(default_factory=dict)
    """When the first viewer had it."""
    lags_s: list[float] = field(default_factory=list)
    """How much later than the first each viewer had each part that it waited for."""
    requests: Counter[str] = field(default_factory=Counter)
    """By kind, as the server's metrics name them."""
    asked: dict[str, set[str]] = field(default_factory=dict)
    """The different paths of each kind; of playlists those that wait."""
    faults: list[str] = field(default_factory=list)
    """What a viewer met that none should; the same for all."""
    finished: int = 0
    """Viewers that have every part from their first to the last."""
    last_part: int | None = None
    """Where everyone stops; None as long as the show goes on."""

    async def watch(self, seconds: float | None, ramp_s: float) -> None:
        """Let all of them watch.

        Args:
            seconds: From the first viewer to the last part; None for until somebody calls ``end``.
            ramp_s: They come within this time.
        """
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self.end)
        async with asyncio.TaskGroup() as group:
            for index in range(self.viewers):
                group.create_task(self._view(index, ramp_s * index / self.viewers))

    def end(self) -> None:
        """Let everyone stop at the newest part that anybody has asked for."""
        self.last_part = max((part_number(path) for path in self.asked.get("part", ())), default=0)

    async def _view(self, index: int, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        try:
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", self.port)
        except OSError as error:
            self.faults.append(f"connecting: {error}")
            return
        try:
            await _Viewer(self, connection, index).watch()
            self.finished += 1
        except (AssertionError, OSError, TimeoutError, httptools.HttpParserError) as error:
            self.faults.append(f"{type(error).__name__}: {error}")
        finally:
            connection.close()

    def check_media(self, path: str, content: bytes) -> float:
        """Compare with what others got.

        Returns:
            How much later this is than the first, seconds.
        """
        now = time.monotonic()
        first = self.media.setdefault(path, content)
        assert content == first, f"{path} is not the same for all"
        return now - self.arrived_s.setdefault(path, now)


class _Viewer:
    """One of them."""

    def __init__(self, crowd: Crowd, connection: _Connection, index: int) -> None:
        self._crowd = crowd
        self._connection = connection
        self._accept_encoding = ACCEPT_ENCODINGS[index % len(ACCEPT_ENCODINGS)]
        self._asks_early = index % 2 == 1
        self._root = f"/live/{crowd.name}/"
        self._parts: list[int] = []

    async def watch(self) -> None:
        _, multivariant = await self._get("multivariant", "index.m3u8")
        playlist = next(line for line in multivariant.decode().splitlines() if line and line[0] != "#")
        listing = await self._reload(playlist)
        await self._fetch("init", listing.init)
        # The newest part is where it starts; a player would start at PART-HOLD-BACK, with what is cached for long.
        await self._fetch("part", listing.parts[-1])
        self._parts.append(part_number(listing.parts[-1]))
        while self._crowd.last_part is None or self._parts[-1] < self._crowd.last_part:
            if self._asks_early:
                await self._fetch_part(listing.hint)
            listing = await self._reload(playlist + listing.reload_query)
            for path in listing.parts:
                if part_number(path) > self._parts[-1]:
                    await self._fetch_part(path)
        gaps = [pair for pair in pairwise(self._parts) if pair[1] - pair[0] != 1]
        assert not gaps, f"parts are missing: {gaps}"

    async def _reload(self, path: str) -> _Listing:
        coding, content = await self._get("playlist", path)
        return _read(content, coding)

    async def _fetch_part(self, path: str) -> None:
        self._crowd.lags_s.append(await self._fetch("part", path))
        self._parts.append(part_number(path))

    async def _fetch(self, kind: str, path: str) -> float:
        _, content = await self._get(kind, path)
        return self._crowd.check_media(path, content)

    async def _get(self, kind: str, path: str) -> tuple[str, bytes]:
        self._crowd.requests[kind] += 1
        if kind != "playlist" or "?" in path:
            self._crowd.asked.setdefault(kind, set()).add(path)
        # A playlist's copies differ by coding alone, which the multivariant one has as well.
        accept = "identity" if kind == "multivariant" else self._accept_encoding
        status, coding, content = await self._connection.get(self._root + path, accept)
        assert status == 200, f"{kind} {path}: status {status}"
        return coding, content
