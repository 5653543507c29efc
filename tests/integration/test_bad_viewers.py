"""Viewers who are none: a right answer or a closed connection, bounded memory, and nobody else hurt."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import clients, playback
from tests.support.clients import Picture
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

NAME = "bystander"
# What a server of this size may keep after all that was asked of it: allocators round, and the stream goes on.
LEFT_BYTES_MAX = 24 * 1024 * 1024
MANY_NAMES = 100_000
MANY_RELOADS = 10_000
# Requests in one write; the server answers in order.
PIPELINED = 100
SLOW_READERS = 40
# Takes one answer of a megabyte off nobody's hands.
RECEIVE_BUFFER_BYTES = 4096


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with run_server(tmp_path_factory.mktemp("server")) as running:
        command = clients.pyav(running.rtmp_url, running.issue_key(NAME), 600, Picture(video_kbps=2000))
        with clients.running(command):
            running.wait_until_playable(NAME)
            yield running


@pytest.fixture(autouse=True)
def others_are_untouched(server: LiveServer) -> Iterator[None]:
    """After every test the stream plays on, and the server is no bigger than before."""
    before = resident_bytes(server)
    yield
    followed = playback.follow(server.playlist_url(NAME), 1.0, 10.0)
    assert not followed.ended
    assert followed.gaps == []
    assert followed.faults == []
    wait_until(
        lambda: resident_bytes(server) - before < LEFT_BYTES_MAX,
        PATIENCE_S,
        f"memory back at {before} + {LEFT_BYTES_MAX}",
    )


def resident_bytes(server: LiveServer) -> int:
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def last_request(target: str, *fields: str, method: str = "GET") -> bytes:
    """One after which the server closes."""
    return request(target, "Connection: close", *fields, method=method)


def request(target: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {target} HTTP/1.1", "Host: x", *fields, "", "")).encode("latin-1")


@contextlib.contextmanager
def connected(server: LiveServer, receive_buffer_bytes: int | None = None) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        if receive_buffer_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        connection.settimeout(PATIENCE_S)
        connection.connect(("127.0.0.1", server.http_port))
        yield connection


def statuses(server: LiveServer, data: bytes) -> list[int]:
    """What is answered to some bytes on one connection, until the server closes it."""
    with connected(server) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        received = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65_536):
                received += piece
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received)]


def segment_path(server: LiveServer) -> str:
    playlist = server.get(f"/live/{NAME}/main.m3u8")[2].decode()
    return f"/live/{NAME}/{re.findall('^main/seg.*$', playlist, re.MULTILINE)[-1]}"


PLAYLIST = f"/live/{NAME}/main.m3u8"
NOT_FOUND = {
    "dots": f"/live/../live/{NAME}/main.m3u8",
    "dots to a file": "/live/../../../../etc/passwd",
    "encoded dots": "/live/%2e%2e/%2e%2e/etc/passwd",
    "twice encoded dots": "/live/%252e%252e/etc/passwd",
    "backslashes": "/live/..\\..\\etc\\passwd",
    "an encoded slash": f"/live%2F{NAME}%2Fmain.m3u8",
    "an encoded NUL": f"{PLAYLIST}%00",
    "an encoded NUL before the end": f"/live/{NAME}%00/main.m3u8",
    "an encoded line end": f"{PLAYLIST}%0d%0aX:%20y",
    "overlong UTF-8": "/live/%c0%ae%c0%ae/main.m3u8",
    "a negative number": f"/live/{NAME}/main/seg-1.m4s",
    "an endless number": f"/live/{NAME}/main/seg{'9' * 150}.m4s",
    "other digits": f"/live/{NAME}/main/seg%D9%A1.m4s",
    "a static file's folder": "/static/../streamd.db",
    "an encoded way out of the static files": "/static/%2e%2e/%2e%2e/__init__.py",
}
BAD_REQUESTS = {
    "no number": "?_HLS_msn=now",
    "a negative number": "?_HLS_msn=-1",
    "a number beyond 64 bits": f"?_HLS_msn={2**64}",
    "a number of 7,000 digits": f"?_HLS_msn={'9' * 7000}",
    "a part of nothing": "?_HLS_part=0",
    "a repeated number": "?_HLS_msn=1&_HLS_msn=1",
    "a repeated part": "?_HLS_msn=1&_HLS_part=0&_HLS_part=1",
    "a repeated skip": "?_HLS_skip=YES&_HLS_skip=YES",
    "an unknown skip": "?_HLS_skip=NO",
    "far ahead": f"?_HLS_msn={2**64 - 1}",
    "an absurd part": f"?_HLS_msn=1&_HLS_part={'9' * 30}",
}


class TestAnswers:
    @pytest.mark.parametrize("target", NOT_FOUND.values(), ids=NOT_FOUND)
    def test_path_tricks_find_nothing(self, server: LiveServer, target: str) -> None:
        assert statuses(server, last_request(target)) == [404]

    def test_a_nul_in_the_target_is_no_request(self, server: LiveServer) -> None:
        assert statuses(server, last_request(f"{PLAYLIST}\0")) == [400]

    @pytest.mark.parametrize("query", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
    def test_absurd_directives_are_refused_at_once(self, server: LiveServer, query: str) -> None:
        assert statuses(server, last_request(PLAYLIST + query)) == [400]

    @pytest.mark.parametrize(
        ("value", "status"),
        [
            ("bytes=99999999-", 416),
            ("bytes=99999999999999999999999999-", 200),
            ("bytes=-0", 416),
            ("bytes=0-99999999999", 206),
            ("bytes=5-1", 200),
            ("bytes=" + ",".join(["0-1"] * 1000), 200),
            ("bytes=--1", 200),
        ],
    )
    def test_ranges_beyond_the_end_and_beyond_sense(self, server: LiveServer, value: str, status: int) -> None:
        assert statuses(server, last_request(segment_path(server), f"Range: {value}")) == [status]

    @pytest.mark.parametrize(
        "fields",
        [
            pytest.param([f"X: {'a' * 65_536}"], id="one of 64 kB"),
            pytest.param([f"X-{n}: {'a' * 1000}" for n in range(64)], id="64 kB together"),
            pytest.param([f"X-{n}: y" for n in range(10_000)], id="10,000"),
        ],
    )
    @pytest.mark.parametrize("target", [PLAYLIST, "/api/v1/streams"])
    def test_too_many_header_fields(self, server: LiveServer, target: str, fields: list[str]) -> None:
        # The answer can be lost: the server closes while the rest of the head is still on its way.
        assert statuses(server, last_request(target, *fields)) in ([431], [])

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "PURGE"])
    def test_methods_nobody_asked_for(self, server: LiveServer, method: str) -> None:
        assert statuses(server, last_request(PLAYLIST, "Content-Length: 0", method=method)) == [405]

    def test_a_smuggled_request_is_not_answered(self, server: LiveServer) -> None:
        inner = request("/live/smuggled/main.m3u8")
        for framing in (
            ("Content-Length: 0", "Transfer-Encoding: chunked"),
            ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
            ("Transfer-Encoding: xchunked",),
            (f"Content-Length: {len(inner)}", "Content-Length: 0"),
            ("Content-Length: 0x10",),
        ):
            assert statuses(server, last_request(PLAYLIST, *framing) + b"0\r\n\r\n" + inner) == [400]


class TestCrowds:
    def test_polling_a_great_many_unknown_names(self, server: LiveServer) -> None:
        numbers = iter(range(MANY_NAMES))
        with connected(server) as connection:
            answers = connection.makefile("rb")
            while some := list(itertools.islice(numbers, PIPELINED)):
                connection.sendall(b"".join(request(f"/live/nobody{n}/main.m3u8", method="HEAD") for n in some))
                for _ in some:
                    assert answers.readline() == b"HTTP/1.1 404 Not Found\r\n"
                    while answers.readline() != b"\r\n":
                        pass

    def test_blocked_reloads_of_what_never_was_do_not_block(self, server: LiveServer) -> None:
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(connected(server)) for _ in range(1000)]
            for round_number in range(MANY_RELOADS // len(connections)):
                for connection in connections:
                    connection.sendall(
                        request(f"/live/never/main.m3u8?_HLS_msn={round_number + 1}&_HLS_part=0", method="HEAD")
                    )
                for connection in connections:
                    assert connection.recv(65_536).startswith(b"HTTP/1.1 404 ")

    def test_a_great_many_who_wait_for_the_same_part_and_leave(self, server: LiveServer) -> None:
        playlist = server.get(PLAYLIST)[2].decode()
        first = re.search("#EXT-X-MEDIA-SEQUENCE:([0-9]+)", playlist)
        assert first is not None
        msn = int(first[1]) + playlist.count("#EXTINF") + 1
        with contextlib.ExitStack() as stack:
            for _ in range(1000):
                stack.enter_context(connected(server)).sendall(request(f"{PLAYLIST}?_HLS_msn={msn}"))
        files = server.open_files()
        wait_until(lambda: server.open_files() <= max(files - 900, 100), PATIENCE_S, "closing of the connections")


class TestSlowReaders:
    def test_readers_that_never_read_hold_one_answer_each(self, server: LiveServer) -> None:
        segment = segment_path(server)
        before = resident_bytes(server)
        with contextlib.ExitStack() as stack:
            for _ in range(SLOW_READERS):
                connection = stack.enter_context(connected(server, RECEIVE_BUFFER_BYTES))
                # 50 answers of half a megabyte are asked for; the first is all that is prepared.
                connection.sendall(request(segment) * 50)
            self.watch(server, before)

    def test_a_reader_that_takes_a_byte_now_and_then_does_too(self, server: LiveServer) -> None:
        segment = segment_path(server)
        before = resident_bytes(server)
        with contextlib.ExitStack() as stack:
            readers = [stack.enter_context(connected(server, RECEIVE_BUFFER_BYTES)) for _ in range(SLOW_READERS)]
            for connection in readers:
                connection.sendall(request(segment) * 50)
            for _ in range(3):
                self.watch(server, before)
                for connection in readers:
                    assert len(connection.recv(1)) == 1

    def test_pushed_streams_that_nobody_reads_are_bounded(self, server: LiveServer) -> None:
        before = resident_bytes(server)
        with contextlib.ExitStack() as stack:
            for extension in ("flv", "mp4"):
                for _ in range(SLOW_READERS // 2):
                    connection = stack.enter_context(connected(server, RECEIVE_BUFFER_BYTES))
                    connection.sendall(request(f"/live/{NAME}.{extension}"))
            self.watch(server, before)

    def watch(self, server: LiveServer, before: int) -> None:
        """Others play for a second, and what slow readers hold is not the server's."""
        followed = playback.follow(server.playlist_url(NAME), 1.0, 10.0)
        assert followed.gaps == []
        assert resident_bytes(server) - before < LEFT_BYTES_MAX
