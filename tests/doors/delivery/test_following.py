from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from streamd.clock import ManualClock
from streamd.doors.delivery.following import Following
from streamd.services.live.fanout import Fanout
from streamd.services.metrics import Metrics
from tests.support.doors import Frame, PlainWriter

if TYPE_CHECKING:
    import asyncio


class Transport:
    def __init__(self) -> None:
        self.sent = b""

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        self.sent += data


class Seat:
    def __init__(self) -> None:
        self.fanout = Fanout("flv", clock=ManualClock(), metrics=Metrics())
        self.fanout.start(PlainWriter())
        self.fanout.receive([Frame(b"key", 100, is_keyframe=True)])
        self.transport = Transport()
        self.ends = 0
        self.following = Following(self.fanout, cast("asyncio.Transport", self.transport), self._end)

    def _end(self) -> None:
        self.ends += 1


@pytest.fixture
def seat() -> Seat:
    return Seat()


def test_it_is_sent_nothing_before_it_begins(seat: Seat) -> None:
    assert (seat.transport.sent, seat.fanout.viewers) == (b"", 0)


def test_it_begins_with_the_last_keyframe_and_follows(seat: Seat) -> None:
    seat.following.begin()
    seat.fanout.receive([Frame(b"next", 200, is_keyframe=False)])
    assert seat.transport.sent == b"headkeynext"
    assert seat.following.viewer.written_bytes == 11


def test_one_that_leaves_is_sent_no_more_and_may_leave_again(seat: Seat) -> None:
    seat.following.begin()
    seat.following.leave()
    seat.following.leave()
    seat.fanout.receive([Frame(b"next", 200, is_keyframe=False)])
    assert (seat.transport.sent, seat.fanout.viewers, seat.ends) == (b"headkey", 0, 0)


def test_the_end_of_the_stream_is_told_once(seat: Seat) -> None:
    seat.following.begin()
    seat.fanout.end()
    seat.following.leave()
    seat.following.begin()
    assert (seat.ends, seat.fanout.viewers) == (1, 0)
