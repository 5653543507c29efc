"""Turns and shares, on a loop that is run by hand: nothing here takes time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamd.clock import ManualClock
from streamd.doors.ingest.read_turns import (
    OPENING_S,
    PAUSE_S_MAX,
    READ_BYTES_MAX,
    RESTS_TURN_S,
    STRANGERS_TLS_BYTES_MAX,
    STRANGERS_TURN_S,
    WAIT_S,
    Hold,
    LoopShares,
    ReadTurns,
)
from streamd.formats.rtmp.connection_options import LOGIN_READ_BYTES_MAX
from tests.support.ingest import RecordingTransport
from tests.support.timers import ManualTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.doors.ingest.read_turns import Reading

GENEROUS = LoopShares(
    loop_ms_per_stranger_max=1000,
    loop_ms_per_address_max=1000,
    loop_ms_of_strangers_max=1000,
    loop_ms_per_publisher_max=1000,
)


class Loop:
    """Turns and timers, each run when a test says so."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._soon: list[Callable[[], None]] = []
        self._timers: list[ManualTimer] = []

    def call_soon(self, callback: Callable[[], None], /) -> None:
        self._soon.append(callback)

    def call_at(self, when: float, callback: Callable[[], None], /) -> ManualTimer:
        timer = ManualTimer(when, callback)
        self._timers.append(timer)
        return timer

    @property
    def has_more(self) -> bool:
        return bool(self._soon)

    def turn(self) -> None:
        """One turn: what was to be called soon, and the timers whose time has come."""
        soon, self._soon = self._soon, []
        for callback in soon:
            callback()
        now = self._clock.monotonic()
        due = [timer for timer in self._timers if timer.when <= now]
        self._timers = [timer for timer in self._timers if timer.when > now]
        for timer in due:
            if not timer.is_cancelled:
                timer.callback()

    def run(self, seconds: float) -> None:
        """Turn until so much time has passed."""
        for _ in range(round(seconds / WAIT_S) + 1):
            while self._soon:
                self.turn()
            self._clock.advance(WAIT_S)
            self.turn()


class Peer:
    """A connection whose every read costs so much."""

    def __init__(self, room: Room, address: str, cost_s: float) -> None:
        self._room = room
        self.cost_s = cost_s
        self.transport = RecordingTransport(address)
        self.received: list[bytes] = []
        # That a read takes; the default is all at once.
        self.steps_left = 1
        self.reading: Reading = room.turns.open(self.transport, address, self._step)

    def _step(self, nbytes: int) -> bool:
        self.received.append(bytes(self._room.turns.buffer[:nbytes]))
        self._room.clock.work(self.cost_s)
        self.steps_left = max(0, self.steps_left - 1)
        return self.steps_left > 0

    def send(self, data: bytes = b"x") -> bool:
        """Have the loop read this; it does not where it was told not to."""
        if not self.is_read:
            return False
        buffer = self.reading.get_buffer()
        nbytes = min(len(data), len(buffer))
        buffer[:nbytes] = data[:nbytes]
        self.reading.read(nbytes)
        return True

    @property
    def is_read(self) -> bool:
        return not self.transport.reading or self.transport.reading[-1]


class Room:
    def __init__(self, shares: LoopShares = GENEROUS) -> None:
        self.clock = ManualClock()
        self.loop = Loop(self.clock)
        self.turns = ReadTurns(shares, clock=self.clock, timers=self.loop)

    def peer(self, address: str = "192.0.2.1", cost_s: float = 0.0) -> Peer:
        return Peer(self, address, cost_s)

    def publisher(self, cost_s: float = 0.0) -> Peer:
        peer = self.peer(cost_s=cost_s)
        peer.reading.admit()
        return peer


class TestTurns:
    @pytest.mark.parametrize("buffers", [1, 40])
    def test_after_a_full_buffer_the_others_have_their_turn(self, buffers: int) -> None:
        room = Room()
        flood, other = room.publisher(), room.publisher()
        for _ in range(buffers):
            # uvloop would go on reading the same socket, were it not told to stop.
            assert flood.send(bytes(READ_BYTES_MAX))
            assert not flood.send(bytes(READ_BYTES_MAX))
            assert other.send()
            room.loop.turn()
        assert len(flood.received) == len(other.received) == buffers

    def test_less_than_a_buffer_costs_no_turn(self) -> None:
        room = Room()
        peer = room.publisher()
        assert peer.send(bytes(READ_BYTES_MAX - 1))
        assert peer.send(b"x")
        assert not peer.transport.reading

    def test_strangers_are_read_in_small_pieces(self) -> None:
        room = Room()
        peer = room.peer()
        assert peer.send(bytes(READ_BYTES_MAX))
        assert len(peer.received[0]) == LOGIN_READ_BYTES_MAX
        assert not peer.is_read
        room.loop.turn()
        peer.reading.admit()
        assert peer.send(bytes(READ_BYTES_MAX))
        assert len(peer.received[1]) == READ_BYTES_MAX

    def test_what_strangers_send_past_their_part_of_a_turn_is_kept_in_order(self) -> None:
        room = Room()
        peers = [room.peer(f"192.0.2.{number}", cost_s=STRANGERS_TURN_S / 2) for number in range(10)]
        for number, peer in enumerate(peers):
            peer.send(b"%d" % number)
        assert [len(peer.received) for peer in peers] == [1, 1] + 8 * [0]
        assert [peer.is_read for peer in peers] == [True, True] + 8 * [False]
        assert peers[-1].reading.kept_bytes == 1
        for turns in range(1, 5):
            room.loop.turn()
            assert sum(len(peer.received) for peer in peers) == 2 + 2 * turns
        room.loop.turn()
        assert [peer.received for peer in peers] == [[b"%d" % number] for number in range(10)]
        assert all(peer.is_read for peer in peers)
        assert peers[-1].reading.kept_bytes == 0

    def test_a_publisher_is_read_whatever_strangers_have_taken(self) -> None:
        room = Room()
        stranger, publisher = room.peer(cost_s=10 * STRANGERS_TURN_S), room.publisher()
        stranger.send()
        for _ in range(5):
            assert publisher.send()
        assert len(publisher.received) == 5

    def test_an_idle_loop_is_not_called_again(self) -> None:
        room = Room()
        peer = room.peer()
        peer.send()
        room.loop.turn()
        room.loop.turn()
        assert not room.loop.has_more


class TestRests:
    """A read that is a lot of work is done in steps."""

    def test_the_others_are_read_between_two_steps_and_it_is_not(self) -> None:
        room = Room()
        flood, other = room.publisher(), room.publisher()
        flood.steps_left = 16
        flood.send()
        for step in range(1, 16):
            assert len(flood.received) == step
            assert not flood.is_read
            assert other.send()
            room.loop.turn()
        assert len(flood.received) == 16
        assert flood.received[1:] == [b""] * 15
        assert flood.is_read
        assert not room.loop.has_more

    def test_many_of_them_share_the_time_of_a_turn(self) -> None:
        room = Room()
        floods = [room.publisher(cost_s=RESTS_TURN_S / 4) for _ in range(20)]
        for flood in floods:
            flood.steps_left = 5
            flood.send()
        steps: list[int] = []
        while room.loop.has_more:
            began = room.clock.cpu()
            room.loop.turn()
            assert room.clock.cpu() - began <= RESTS_TURN_S + RESTS_TURN_S / 4
            steps = [len(flood.received) for flood in floods]
            # In turns: nobody is a step behind another's next.
            assert max(steps) - min(steps) <= 1
        assert steps == [5] * 20

    def test_its_steps_are_charged_and_wait_for_the_share(self) -> None:
        room = Room(LoopShares(loop_ms_per_publisher_max=100))
        flood = room.publisher(cost_s=0.2)
        flood.steps_left = 100
        flood.send()
        for _ in range(20):
            room.loop.turn()
        # Half a second at once, and then a tenth of each second.
        assert len(flood.received) == 3
        room.loop.run(10.0)
        assert 6 <= len(flood.received) <= 9
        assert flood.reading.has_had_its_share

    def test_those_of_a_stranger_are_of_the_strangers_time(self) -> None:
        room = Room()
        strangers = [room.peer(f"192.0.2.{number}", cost_s=STRANGERS_TURN_S / 2) for number in range(4)]
        for stranger in strangers:
            stranger.steps_left = 4
            stranger.send()
        while room.loop.has_more:
            began = room.clock.cpu()
            room.loop.turn()
            assert room.clock.cpu() - began <= 1.5 * STRANGERS_TURN_S
        room.loop.run(1.0)
        assert [len(stranger.received) for stranger in strangers] == [4] * 4
        assert all(stranger.is_read for stranger in strangers)

    def test_nothing_more_is_done_for_one_that_is_closed(self) -> None:
        room = Room()
        flood = room.publisher()
        flood.steps_left = 5
        flood.send()
        flood.reading.close()
        room.loop.turn()
        room.loop.turn()
        assert len(flood.received) == 1

    def test_a_fault_in_one_leaves_the_others_theirs(self, caplog: pytest.LogCaptureFixture) -> None:
        room = Room()
        first, second = room.publisher(), room.publisher()
        for peer in (first, second):
            peer.steps_left = 3
            peer.send()

        def work(seconds: float) -> None:
            pass

        def fail(seconds: float) -> None:
            room.clock.work = work  # type: ignore[method-assign]
            raise ZeroDivisionError(seconds)

        room.clock.work = fail  # type: ignore[method-assign]
        while room.loop.has_more:
            room.loop.turn()
        assert [record.message for record in caplog.records] == ["reading.failed"]
        assert len(second.received) == 3


class TestShares:
    def test_a_connection_past_its_share_waits_until_it_has_come_back(self) -> None:
        room = Room(LoopShares(loop_ms_per_publisher_max=100))
        peer = room.publisher(cost_s=0.6)
        peer.send()
        assert peer.transport.reading == [False]
        assert peer.reading.has_had_its_share
        room.loop.run(0.9)
        assert peer.reading.has_had_its_share
        room.loop.run(0.2)
        assert peer.transport.reading == [False, True]
        assert peer.reading.resumed_at == pytest.approx(room.clock.monotonic(), abs=0.25)

    def test_no_pause_is_longer_than_a_peer_may_be_silent(self) -> None:
        room = Room(LoopShares(loop_ms_per_publisher_max=100))
        peer = room.publisher(cost_s=60.0)
        peer.send()
        room.loop.run(PAUSE_S_MAX + 0.1)
        assert peer.is_read
        assert peer.send()
        assert not peer.is_read

    def test_the_processor_time_of_others_is_nobodys_debt(self) -> None:
        room = Room(LoopShares(loop_ms_per_publisher_max=100))
        peer = room.publisher()
        for _ in range(100):
            room.clock.work(5.0)
            peer.send()
        assert peer.is_read

    def test_connections_of_an_address_share_and_another_address_does_not(self) -> None:
        room = Room(
            LoopShares(loop_ms_per_stranger_max=1000, loop_ms_per_address_max=50, loop_ms_of_strangers_max=1000)
        )
        first, second = room.peer(cost_s=0.26), room.peer()
        first.send()
        room.loop.turn()
        second.send()
        other = room.peer("198.51.100.1")
        room.loop.turn()
        other.send()
        assert [first.is_read, second.is_read, other.is_read] == [False, False, True]

    def test_a_new_connection_brings_no_new_share(self) -> None:
        room = Room(
            LoopShares(loop_ms_per_stranger_max=1000, loop_ms_per_address_max=50, loop_ms_of_strangers_max=1000)
        )
        peers = [room.peer(cost_s=0.13)]
        for _ in range(2):
            peers[-1].send()
            peers[-1].reading.close()
            room.loop.turn()
            peers.append(room.peer(cost_s=0.13))
        peers[-1].send()
        assert not peers[-1].is_read

    def test_the_connections_that_an_address_opens_are_charged(self) -> None:
        shares = LoopShares()
        room = Room(shares)
        opened = 0
        for _ in range(10_000):
            room.clock.advance(0.001)
            opened += room.turns.take_opening("192.0.2.1")
        limit = shares.address
        most = (limit.burst_s + 10 * limit.seconds_per_second) / OPENING_S
        assert 0.9 * most <= opened <= most + 1
        # Others have theirs, and it has some again after a while.
        assert room.turns.take_opening("198.51.100.1")
        room.clock.advance(1.0)
        assert room.turns.take_opening("192.0.2.1")

    def test_what_a_neighbour_sends_keeps_nobody_behind_the_same_address_from_connecting(self) -> None:
        room = Room()
        room.turns.configure(
            LoopShares(loop_ms_per_stranger_max=1000, loop_ms_per_address_max=50, loop_ms_of_strangers_max=1000)
        )
        peer = room.peer(cost_s=0.26)
        peer.send()
        assert not peer.is_read
        assert room.turns.take_opening("192.0.2.1")

    def test_fifty_eight_strangers_take_no_more_than_all_strangers_may(self) -> None:
        shares = LoopShares()
        room = Room(shares)
        peers = [room.peer(f"192.0.2.{number}", cost_s=0.002) for number in range(58)]
        started = room.clock.cpu()
        seconds = 20
        for _ in range(seconds * 50):
            for peer in peers:
                peer.send(bytes(LOGIN_READ_BYTES_MAX))
            while room.loop.has_more:
                room.loop.turn()
            room.clock.advance(0.02)
            room.loop.turn()
        limit = shares.strangers
        most = limit.burst_s + seconds * limit.seconds_per_second
        # A turn's time goes past the share before it is known.
        assert most / 2 < room.clock.cpu() - started < 1.2 * most

    def test_a_login_passes_before_a_flood(self) -> None:
        room = Room()
        room.turns.configure(
            LoopShares(loop_ms_per_stranger_max=1000, loop_ms_per_address_max=1000, loop_ms_of_strangers_max=100)
        )
        flood = [room.peer(f"192.0.2.{number}", cost_s=0.01) for number in range(64)]
        for _ in range(50):
            for peer in flood:
                peer.send()
            room.loop.turn()
        login = room.peer("198.51.100.1", cost_s=0.001)
        login.send(b"1")
        assert not login.received
        waited = 0
        while not login.received:
            room.loop.run(WAIT_S)
            waited += 1
            assert waited < PAUSE_S_MAX / WAIT_S
        before = sum(len(peer.received) for peer in flood)
        for number in range(10):
            while not login.is_read:
                room.loop.run(WAIT_S)
            login.send(b"%d" % number)
        assert len(login.received) >= 10
        assert sum(len(peer.received) for peer in flood) - before < 64

    def test_one_that_stays_over_its_share_is_overdue(self) -> None:
        room = Room(LoopShares(loop_ms_per_publisher_max=100, loop_overdue_s=10.0))
        peer = room.publisher(cost_s=0.7)
        overdue_at = None
        for second in range(30):
            peer.send()
            if peer.reading.is_overdue(room.clock.monotonic()):
                overdue_at = second
                break
            room.loop.run(1.0)
        assert overdue_at is not None
        assert overdue_at >= 10


class TestReasonsToWait:
    def test_reading_goes_on_when_the_last_reason_is_gone(self) -> None:
        room = Room(LoopShares(loop_ms_per_publisher_max=100))
        peer = room.publisher(cost_s=0.6)
        peer.reading.hold(Hold.VERDICT)
        peer.reading.spend(0.6)
        assert peer.transport.reading == [False]
        peer.reading.release(Hold.VERDICT)
        assert peer.transport.reading == [False]
        room.loop.run(2.0)
        assert peer.transport.reading == [False, True]
        peer.reading.release(Hold.VERDICT)
        assert peer.transport.reading == [False, True]

    def test_a_closed_connection_is_asked_nothing(self) -> None:
        room = Room(LoopShares(loop_ms_per_publisher_max=100))
        peer = room.publisher(cost_s=0.6)
        peer.send()
        peer.reading.close()
        room.loop.run(2.0)
        assert peer.transport.reading == [False]
        assert len(peer.received) == 1

    def test_a_closing_transport_is_not_paused(self) -> None:
        room = Room()
        peer = room.publisher()
        peer.transport.close()
        peer.reading.hold(Hold.VERDICT)
        peer.reading.release(Hold.VERDICT)
        assert peer.transport.reading == []

    def test_a_fault_in_one_leaves_the_others_their_turn(self, caplog: pytest.LogCaptureFixture) -> None:
        room = Room()
        room.peer("192.0.2.1", cost_s=STRANGERS_TURN_S).send()
        first, second = room.peer("192.0.2.2"), room.peer("192.0.2.3")
        first.send()
        second.send()

        def fail(seconds: float) -> None:
            raise ZeroDivisionError(seconds)

        room.clock.work = fail  # type: ignore[method-assign]
        room.loop.turn()
        assert [record.message for record in caplog.records] == ["reading.failed", "reading.failed"]
        assert (len(first.received), len(second.received)) == (1, 1)


class TlsTransport(RecordingTransport):
    """As the loops' TLS transports, which read ahead of their protocol."""

    def __init__(self) -> None:
        super().__init__()
        self.read_ahead: list[int | None] = []

    def set_read_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.read_ahead.append(high)


class TestTls:
    """What is not deciphered yet is the loop's to read, and costs time that no step shows."""

    def open(self) -> tuple[TlsTransport, Reading]:
        transport = TlsTransport()
        return transport, Room().turns.open(transport, "192.0.2.1", lambda _: False)

    def test_little_is_read_ahead_of_a_stranger_and_nothing_while_it_waits(self) -> None:
        transport, reading = self.open()
        reading.hold(Hold.VERDICT)
        reading.hold(Hold.TURN)
        reading.release(Hold.TURN)
        assert transport.read_ahead == [STRANGERS_TLS_BYTES_MAX, 0]
        reading.release(Hold.VERDICT)
        assert transport.read_ahead == [STRANGERS_TLS_BYTES_MAX, 0, STRANGERS_TLS_BYTES_MAX]

    def test_a_publisher_has_what_the_loop_has_for_all(self) -> None:
        transport, reading = self.open()
        reading.hold(Hold.VERDICT)
        reading.admit()
        assert transport.read_ahead == [STRANGERS_TLS_BYTES_MAX, 0]
        reading.release(Hold.VERDICT)
        reading.admit()
        assert transport.read_ahead == [STRANGERS_TLS_BYTES_MAX, 0, None]


def test_a_closed_listener_lets_nobody_on() -> None:
    room = Room(LoopShares(loop_ms_per_publisher_max=100))
    peer = room.publisher(cost_s=0.6)
    peer.send()
    room.turns.close()
    room.loop.run(3.0)
    assert not peer.is_read
