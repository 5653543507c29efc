from __future__ import annotations

from typing import TYPE_CHECKING, cast

from streamd.doors.delivery.transport_viewer import BATCH_BYTES, PIECE_BYTES, TransportViewer

if TYPE_CHECKING:
    import asyncio


class Transport:
    """Takes so many bytes, and keeps the rest."""

    def __init__(self) -> None:
        self.room = 1 << 40
        self.sent = b""
        self.waiting = b""
        self.writes: list[int] = []

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def write(self, data: bytes) -> None:
        self.writes.append(len(data))
        self.waiting += data
        self.take(self.room)

    def writelines(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def take(self, room: int) -> None:
        taken, self.waiting = self.waiting[:room], self.waiting[room:]
        self.sent += taken
        self.room = room - len(taken)


class Seat:
    def __init__(self) -> None:
        self.transport = Transport()
        self.ends = 0
        self.viewer = TransportViewer(cast("asyncio.Transport", self.transport), self._end)

    def _end(self) -> None:
        self.ends += 1


def test_who_takes_everything_is_sent_each_piece_at_once() -> None:
    seat = Seat()
    for _ in range(3):
        seat.viewer.write(b"piece")
    assert seat.transport.writes == [5, 5, 5]
    assert (seat.viewer.buffered_bytes(), seat.viewer.held_bytes, seat.viewer.written_bytes) == (0, 0, 15)


def test_what_is_not_taken_waits_behind_one_piece() -> None:
    seat = Seat()
    seat.transport.room = 2
    for _ in range(1000):
        seat.viewer.write(b"piece")
    assert seat.transport.writes == [5]
    assert seat.viewer.buffered_bytes() == 5000 - 2
    assert seat.viewer.held_bytes == 999 * PIECE_BYTES


def test_what_is_offered_is_sent_or_waits_or_is_left_out() -> None:
    seat = Seat()
    assert seat.viewer.offer(b"whole", 10) == 0
    seat.transport.room = 1
    assert seat.viewer.offer(b"begun", 10) == 0
    assert seat.viewer.offer(b"waits", 10) == 4
    assert seat.viewer.offer(b"waits", 10) == 9
    assert seat.viewer.offer(b"never", 10) == 14
    assert (seat.viewer.buffered_bytes(), seat.viewer.written_bytes) == (14, 20)
    seat.transport.take(100)
    seat.viewer.flush()
    assert seat.transport.sent == b"wholebegunwaitswaits"


def test_it_goes_on_in_batches_as_the_kernel_takes_them() -> None:
    seat = Seat()
    seat.transport.room = 0
    pieces = [bytes([number]) * 10_000 for number in range(100)]
    for piece in pieces:
        seat.viewer.write(piece)
    seat.viewer.flush()
    assert seat.transport.writes == [10_000]
    seat.transport.take(200_000)
    seat.viewer.flush()
    # One batch more than there was room for.
    assert max(seat.transport.writes) <= BATCH_BYTES + 10_000
    assert 0 < len(seat.transport.waiting) <= BATCH_BYTES + 10_000
    seat.transport.take(1 << 40)
    seat.viewer.flush()
    assert seat.transport.sent == b"".join(pieces)
    assert (seat.viewer.buffered_bytes(), seat.viewer.held_bytes) == (0, 0)


def test_a_stream_that_ends_says_so_once() -> None:
    seat = Seat()
    seat.transport.room = 0
    seat.viewer.write(b"one")
    seat.viewer.write(b"two")
    seat.viewer.close()
    assert seat.ends == 1
    assert seat.viewer.buffered_bytes() == 6


def test_who_is_dropped_has_what_was_begun() -> None:
    seat = Seat()
    seat.transport.room = 1
    seat.viewer.write(b"one")
    seat.viewer.write(b"two")
    seat.viewer.drop()
    assert seat.ends == 1
    assert seat.viewer.buffered_bytes() == 2
    seat.transport.take(10)
    seat.viewer.flush()
    assert seat.transport.sent == b"one"
