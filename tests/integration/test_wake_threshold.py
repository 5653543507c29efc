"""The wake threshold on a socket of the kernel's: what wakes, and what does not."""

from __future__ import annotations

import asyncio
import select
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from streamd.doors.ingest.wake_threshold import (
    BETWEEN_MESSAGES_BYTES,
    LARGE_PICTURES_MIN,
    WAKE_BYTES_MAX,
    WakeClock,
    WakeThreshold,
    unread_bytes,
)
from streamd.formats.flv.tag import FlvTag, TagType
from tests.support.patience import PATIENCE_S
from tests.support.server import wait_until
from tests.support.timers import ManualTimers

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="SO_RCVLOWAT wakes a poll on Linux alone"),
]


class SocketTransport(asyncio.Transport):
    """A transport that says what is under it."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__({"socket": connection})


class Room:
    """A publisher's socket and the server's, of which the loop polls one."""

    def __init__(self, publisher: socket.socket, server: socket.socket) -> None:
        self.publisher, self.server = publisher, server
        self.timers = ManualTimers()
        self.threshold = WakeThreshold(SocketTransport(server), WakeClock(self.timers))
        self._poll = select.poll()
        self._poll.register(server, select.POLLIN)

    def hold(self) -> None:
        pictures = [FlvTag(TagType.VIDEO, 0, bytes(BETWEEN_MESSAGES_BYTES))] * LARGE_PICTURES_MIN
        self.threshold.wait_for_media([*pictures], 0, 400)

    def send(self, size: int) -> None:
        """Send so much, and wait until the kernel has it on our side."""
        there = unread_bytes(self.server) + size
        self.publisher.sendall(bytes(size))
        wait_until(lambda: unread_bytes(self.server) == there, PATIENCE_S, "what was sent")

    def wakes(self, timeout_s: float = 0.0) -> bool:
        return bool(self._poll.poll(timeout_s * 1000))


@pytest.fixture
def room() -> Iterator[Room]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as publisher,
        listener.accept()[0] as server,
    ):
        room = Room(publisher, server)
        yield room
        room.threshold.close()


def test_media_that_is_held_does_not_wake_until_the_picture_that_is_awaited(room: Room) -> None:
    room.hold()
    room.send(50_000)
    assert not room.wakes()
    room.timers.run()
    assert not room.wakes()
    room.send(BETWEEN_MESSAGES_BYTES)
    assert room.wakes(PATIENCE_S)


def test_what_is_held_is_taken_where_that_picture_does_not_come(room: Room) -> None:
    room.hold()
    room.send(50_000)
    room.timers.run_until(101.0)
    assert room.wakes(PATIENCE_S)


def test_a_good_deal_of_media_wakes(room: Room) -> None:
    room.hold()
    room.publisher.settimeout(PATIENCE_S)
    # The kernel may say so before all is there: a buffer that gets full wakes, too.
    room.publisher.sendall(bytes(WAKE_BYTES_MAX))
    assert room.wakes(PATIENCE_S)


def test_the_end_of_the_connection_wakes_at_once(room: Room) -> None:
    room.hold()
    room.send(500)
    room.publisher.shutdown(socket.SHUT_WR)
    assert room.wakes(PATIENCE_S)
