"""Two clients of a live playlist: a player of parts, with delta updates and hinted parts, and a player of segments.

All that they are given is kept, with what ``tests.support.llhls_checker`` finds wrong with it.
"""

from __future__ import annotations

import gzip
import http.client
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamd.clock import SystemClock
from tests.support.llhls_checker import CheckedPlaylist, PlaylistFollower, parse_playlist
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from tests.support.server import LiveServer

CLOCK = SystemClock()


@dataclass
class Reload:
    """One reload of a playlist, or the part that came beside it."""

    query: str
    text: bytes
    headers: dict[str, str]
    parsed: CheckedPlaylist
    violations: list[str]


@dataclass
class Hinted:
    """A part that was asked for before it was there."""

    uri: str
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Followed:
    """All that the two players of one broadcast were given."""

    url: str
    by_parts: list[Reload] = field(default_factory=list)
    by_segments: list[Reload] = field(default_factory=list)
    hinted: list[Hinted] = field(default_factory=list)

    @property
    def reloads(self) -> list[Reload]:
        return self.by_parts + self.by_segments


class Player:
    """One client with its connection.

    Args:
        server: Where it asks.
        name: The channel.
        follower: What it has seen so far, of a server before this one.
    """

    def __init__(self, server: LiveServer, name: str, follower: PlaylistFollower | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=PATIENCE_S)
        self._name = name
        self._follower = follower or PlaylistFollower()

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, resource: str, accept_encoding: str = "") -> tuple[int, dict[str, str], bytes]:
        headers = {"Accept-Encoding": accept_encoding} if accept_encoding else {}
        self._connection.putrequest("GET", f"/live/{self._name}/{resource}", skip_accept_encoding=True)
        for name, value in headers.items():
            self._connection.putheader(name, value)
        self._connection.endheaders()
        response = self._connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.headers.items()}, response.read()

    def reload(self, query: str, accept_encoding: str) -> Reload:
        status, headers, body = self.get("main.m3u8" + (f"?{query}" if query else ""), accept_encoding)
        assert status == 200, (query, status, body)
        assert (headers.get("content-encoding") == "gzip") == (accept_encoding == "gzip")
        text = gzip.decompress(body) if accept_encoding == "gzip" else body
        # Parsed once more: the follower fills in what a delta update skips.
        return Reload(query, text, headers, parse_playlist(text), self._follower.reload(text))


def next_position(playlist: CheckedPlaylist) -> tuple[int, int]:
    """The media sequence number and the part index that come next."""
    return playlist.last_msn + 1, len(playlist.open_segment.parts) if playlist.open_segment is not None else 0


def follow(server: LiveServer, name: str, seconds_max: float) -> Callable[[], Followed]:
    """Follow a broadcast with both players, in threads of their own, until it ends.

    Args:
        server: Where it is.
        name: Its channel.
        seconds_max: A broadcast that has not ended by then has not been told to viewers, or hangs.

    Returns:
        Waits for the end, and returns what they were given.
    """
    followed = Followed(server.playlist_url(name, "main"))
    begun = CLOCK.monotonic()

    def is_over(playlist: CheckedPlaylist) -> bool:
        assert CLOCK.monotonic() - begun < seconds_max, f"{name} does not end"
        return playlist.is_ended

    def fetch_hinted(fetcher: Player, uri: str) -> None:
        followed.hinted.append(Hinted(uri, *fetcher.get(uri)))

    def play_parts() -> None:
        with Player(server, name) as player, Player(server, name) as fetcher, ThreadPoolExecutor(1) as beside:
            followed.by_parts.append(player.reload("", ""))
            for skip, encoding in itertools.cycle(itertools.product(("", "&_HLS_skip=YES"), ("", "gzip"))):
                playlist = followed.by_parts[-1].parsed
                if is_over(playlist):
                    return
                msn, part = next_position(playlist)
                fetching = beside.submit(fetch_hinted, fetcher, playlist.hints["PART"])
                followed.by_parts.append(player.reload(f"_HLS_msn={msn}&_HLS_part={part}{skip}", encoding))
                fetching.result()

    def play_segments() -> None:
        with Player(server, name) as player:
            followed.by_segments.append(player.reload("", "gzip"))
            while not is_over(playlist := followed.by_segments[-1].parsed):
                followed.by_segments.append(player.reload(f"_HLS_msn={playlist.last_msn + 1}&_HLS_skip=v2", "gzip"))

    players = ThreadPoolExecutor(2)
    futures = [players.submit(play_parts), players.submit(play_segments)]

    def finish() -> Followed:
        with players:
            for future in futures:
                future.result()
        return followed

    return finish
