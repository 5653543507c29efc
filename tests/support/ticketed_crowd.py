"""Many viewers of one locked channel, each with a ticket and a connection of its own, that are watched go dark.

Half follow HTTP-FLV, half wait for a playlist of low latency. What the server has written until a moment is in the
kernel's buffers then, as the loopback interface delivers at once: all beyond that was written later.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import re
import socket
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import LiveServer

_RECEIVED_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Darkness:
    """What became of a crowd by an act of the operator's."""

    act_s: float
    """For how long the act was waited for."""
    done: Any
    """Its answer."""
    late_bytes: int
    """Bytes that the server wrote to viewers after it had answered the operator, their ends aside."""
    followed_on: int
    """Viewers of HTTP-FLV whose connection was still open a while later."""
    unrefused: int
    """Viewers who waited, and were told something else than 403."""


class TicketedCrowd:
    """The viewers; ``watching`` makes them.

    Args:
        server: With a stream that goes on.
        name: Of the stream, which is signed.
    """

    def __init__(self, server: LiveServer, name: str) -> None:
        self._server = server
        self._name = name
        self._following: list[socket.socket] = []
        self._waiting: list[tuple[socket.socket, str]] = []

    @contextlib.contextmanager
    def watching(self, tickets: list[str]) -> Iterator[TicketedCrowd]:
        """Have one viewer for each ticket watch until the block is left."""
        try:
            for number, ticket in enumerate(tickets):
                if number % 2:
                    path = f"/live/{self._name}/{ticket}/main.m3u8"
                    self._waiting.append((self._ask(path), path))
                else:
                    self._following.append(self._ask(f"/live/{ticket}/{self._name}.flv"))
            for viewer, _ in self._waiting:
                _read_answer(viewer)
            for viewer in self._following:
                viewer.setblocking(False)
            yield self
        finally:
            for viewer in self._viewers():
                viewer.close()

    def see(self, act: Any, *, aftermath_s: float) -> Darkness:
        """See what becomes of them by an act.

        Args:
            act: Returns when the operator has the answer.
            aftermath_s: For how long to look for what comes later, seconds.
        """
        self._wait_for_media()
        for viewer in self._following:
            assert _drain(viewer), "a viewer who follows has media"
        began = time.monotonic()  # the wire's time
        done = act()
        act_s = time.monotonic() - began
        written = {viewer: _unread(viewer) for viewer in self._viewers()}
        late_bytes = unrefused = 0
        for viewer, _ in self._waiting:
            viewer.setblocking(False)
            told = _drain(viewer)
            unrefused += not told.startswith(b"HTTP/1.1 403 ")
            late_bytes += max(0, len(told) - written[viewer])
        for viewer in self._following:
            late_bytes += max(0, len(_drain(viewer)) - written[viewer])
        time.sleep(aftermath_s)
        late_bytes += sum(len(_drain(viewer)) for viewer in self._viewers())
        followed_on = sum(not _is_ended(viewer) for viewer in self._following)
        return Darkness(act_s, done, late_bytes, followed_on, unrefused)

    def _viewers(self) -> list[socket.socket]:
        return [*self._following, *(viewer for viewer, _ in self._waiting)]

    def _ask(self, path: str) -> socket.socket:
        viewer = socket.create_connection(("127.0.0.1", self._server.http_port), timeout=PATIENCE_S)
        viewer.sendall(_request(path))
        return viewer

    def _wait_for_media(self) -> None:
        """Have those who wait ask for what is not there yet; whoever has an answer meanwhile asks again."""
        asking = self._waiting
        while asking:
            for viewer, path in asking:
                viewer.sendall(_request(f"{path}?_HLS_msn={self._next_msn(viewer, path)}"))
            time.sleep(0.05)
            asking = [(viewer, path) for viewer, path in self._waiting if _unread(viewer)]
            for viewer, _ in asking:
                _read_answer(viewer)

    def _next_msn(self, viewer: socket.socket, path: str) -> int:
        viewer.sendall(_request(path))
        text = _read_answer(viewer)
        first = re.search(rb"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)
        assert first is not None, text
        return int(first[1]) + len(re.findall(rb"^#EXTINF", text, re.MULTILINE)) + 1


def _request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: crowd\r\nUser-Agent: crowd\r\n\r\n".encode()


def _read_answer(viewer: socket.socket) -> bytes:
    """An answer with its whole body."""
    told = b""
    while (found := re.match(rb"(?s)(HTTP/1\.1 200 .*?\r\n\r\n)", told)) is None:
        told += viewer.recv(65_536)
        assert not told or told.startswith(b"HTTP/1.1 200 "[: len(told)]), told
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", found[1])
    assert length is not None, told
    while len(told) < found.end() + int(length[1]):
        told += viewer.recv(65_536)
    return told[found.end() :]


def _unread(viewer: socket.socket) -> int:
    """Bytes that the kernel has for a viewer."""
    count = array.array("i", [0])
    fcntl.ioctl(viewer, termios.FIONREAD, count)
    return count[0]


def _drain(viewer: socket.socket) -> bytes:
    """What is there of a viewer's bytes."""
    told = []
    with contextlib.suppress(BlockingIOError, ConnectionResetError):
        while data := viewer.recv(_RECEIVED_AT_ONCE):
            told.append(data)
    return b"".join(told)


def _is_ended(viewer: socket.socket) -> bool:
    try:
        return viewer.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
