"""The order of reading: turns of the loop, and shares of its time.

A step is what one read of a connection costs: taking it from the kernel, TLS, and all that its bytes make us do, in
processor time. Each connection, each address and all strangers together have a share of the loop's time
(``LoopTimeBudget``); whoever is over it is not read until that has come back, and the kernel has the peer wait. Nobody
is read twice while others have not been read once: uvloop would read one socket up to 32 times in a row. A read that is
a lot of work is done in steps: between two of them the others have their turn, and nothing more is read meanwhile.

Strangers, who have shown no good key, are read in small pieces, and in one turn of the loop so much time is theirs and
no more. Bytes that were read past it are kept until a later turn, in which those come first whose address has taken
least: the login of an encoder passes before a flood.
"""

from __future__ import annotations

import enum
import heapq
import logging
import math
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Protocol

from streamd.formats.rtmp.connection_options import LOGIN_READ_BYTES_MAX
from streamd.limits import DEFAULT
from streamd.services.bounds.loop_time import AddressBudgets, LoopTimeBudget, LoopTimeLimit

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.doors.ingest.wake_threshold import Timer

log = logging.getLogger(__name__)

# The most that is read at once: as much as uvloop reads for others, and what half a second has at 4 Mb/s.
READ_BYTES_MAX = 256 * 1024
# Under TLS the loop reads ahead of us what is not deciphered yet: 64 kB at once, and of a stranger no more than this
# waits for it to be.
STRANGERS_TLS_BYTES_MAX = 32 * 1024
# Seconds of a read that are not measured: the loop's way to the socket and back.
READ_S = 20e-6
# Seconds of a connection that is opened and closed without a word: 180 us, uncompiled. An address has 250 of them a
# second at the default share, and five times as many after a rest.
OPENING_S = 200e-6
# A publisher's steps are added up to so much before its share is asked: most take some hundred microseconds.
PUBLISHERS_UNCOUNTED_S = 0.005
# Of one turn of the loop, for all strangers. A frame of video lasts 16 ms or more: nobody who waits for one notices.
STRANGERS_TURN_S = 0.010
# Of one turn of the loop, for what is left of publishers' reads. It is less than a frame lasts, and the step that is
# under way when it is over, 256 messages, takes as long once more at the most.
RESTS_TURN_S = 0.010
# A pause is no longer, however large the debt: the peer is heard of again before any time limit of media.
PAUSE_S_MAX = 5.0
# While all strangers together are over their share, those who wait are looked at so often.
WAIT_S = 0.02
# A share saves up for so long: what is there for a login, a first keyframe or a reconnect of a studio after a rest.
BURST_SECONDS = 5.0

# The same for each read: compiled, they are numbers of C.
_READ_S = READ_S
_PUBLISHERS_UNCOUNTED_S = PUBLISHERS_UNCOUNTED_S


@dataclass(frozen=True, slots=True)
class LoopShares:
    """Shares of the loop's time, milliseconds in a second. The reasons stand in the configuration's ``[limits]``."""

    loop_ms_per_stranger_max: int = DEFAULT.loop_ms_per_stranger_max
    """Of a connection before its publish is accepted."""
    loop_ms_per_address_max: int = DEFAULT.loop_ms_per_address_max
    """Of all strangers of an address."""
    loop_ms_of_strangers_max: int = DEFAULT.loop_ms_of_strangers_max
    """Of all strangers."""
    loop_ms_per_publisher_max: int = DEFAULT.loop_ms_per_publisher_max
    """Of a connection whose publish was accepted."""
    loop_overdue_s: float = DEFAULT.loop_overdue_s
    """Seconds for which a publisher may be over its share, and half of them for a stranger, whose login has time limits
    that are hardly longer."""

    @property
    def stranger(self) -> LoopTimeLimit:
        """As a budget is told."""
        return _limit(self.loop_ms_per_stranger_max, self.loop_overdue_s / 2)

    @property
    def address(self) -> LoopTimeLimit:
        """As a budget is told; an address is not closed."""
        return _limit(self.loop_ms_per_address_max, math.inf)

    @property
    def strangers(self) -> LoopTimeLimit:
        """As a budget is told."""
        return _limit(self.loop_ms_of_strangers_max, math.inf)

    @property
    def publisher(self) -> LoopTimeLimit:
        """As a budget is told."""
        return _limit(self.loop_ms_per_publisher_max, self.loop_overdue_s)


def _limit(ms_per_second: int, overdue_s: float) -> LoopTimeLimit:
    seconds = ms_per_second / 1000
    return LoopTimeLimit(seconds, seconds * BURST_SECONDS, overdue_s)


class Timers(Protocol):
    """The part of an ``asyncio.AbstractEventLoop`` that is needed."""

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        """Call back at a loop time."""

    def call_soon(self, callback: Callable[[], None], /) -> object:
        """Call back in the next turn."""


class Hold(enum.IntFlag):
    """Why a connection is not read."""

    VERDICT = 1
    """Its publish is being decided."""
    TURN = 2
    """It had its turn."""
    SHARE = 4
    """It, its address or all strangers had their share."""
    REST = 8
    """The bytes of a read are not done with."""


class Reading:
    """When one connection is read.

    Args:
        turns: Of its listener.
        transport: The connection.
        address: Budget of its address, which it shares.
        step: Does what a read makes us do; its bytes stand at the begin of ``ReadTurns.buffer``. Says whether that is
            not all: then it is called again, with 0 bytes.
        now: Loop time, seconds.

    Attributes:
        resumed_at: Loop time at which it was last let on after it had had its share, seconds; for ever ago at first.
    """

    __slots__ = (
        "_address",
        "_budget",
        "_cpu",
        "_has_rest",
        "_holds",
        "_is_in_line",
        "_is_waiting",
        "_kept",
        "_offered",
        "_set_read_ahead",
        "_since",
        "_step",
        "_transport",
        "_turns",
        "_uncounted_s",
        "is_closed",
        "is_stranger",
        "resumed_at",
    )

    def __init__(
        self,
        turns: ReadTurns,
        transport: asyncio.Transport,
        address: LoopTimeBudget,
        step: Callable[[int], bool],
        now: float,
    ) -> None:
        self._turns = turns
        self._cpu = turns.cpu
        self._transport = transport
        self._address = address
        self._step = step
        self._budget = LoopTimeBudget(turns.shares.stranger, now)
        self._holds = Hold(0)
        # Whether its listener has it among those that wait for their share.
        self._is_waiting = False
        # Whether what was read is not done with, and whether its listener has it among those of whom that is so.
        self._has_rest = False
        self._is_in_line = False
        # Reads past the strangers' part of a turn.
        self._kept = b""
        self._offered = LOGIN_READ_BYTES_MAX
        self._since = 0.0
        self._uncounted_s = 0.0
        # TLS transports alone have it.
        self._set_read_ahead: Callable[..., None] | None = getattr(transport, "set_read_buffer_limits", None)
        self.is_stranger = True
        self._read_ahead()
        self.is_closed = False
        self.resumed_at = -math.inf

    def get_buffer(self) -> memoryview:
        """Say where to read to. The step begins here: under TLS the loop deciphers next."""
        turns = self._turns
        self._since = self._cpu()
        # A view and not the bytes: the loop's TLS reads to slices of it.
        if self.is_stranger:
            self._offered = LOGIN_READ_BYTES_MAX
            return turns.small_view
        self._offered = READ_BYTES_MAX
        return turns.view

    def read(self, nbytes: int) -> None:
        """Do what a read makes us do, or keep it for a later turn."""
        turns = self._turns
        if nbytes >= self._offered:
            # There is more, most likely.
            self.hold(Hold.TURN)
            turns.wait_for_turn(self)
        if not self.is_stranger:
            if self._step(nbytes):
                self.go_on_later()
            # As in ``_count_step``, without a call for each read.
            self._uncounted_s += self._cpu() - self._since + _READ_S
            if self._uncounted_s >= _PUBLISHERS_UNCOUNTED_S:
                self._count_step(0.0)
            return
        if turns.is_strangers_turn_over:
            self._kept += bytes(turns.view[:nbytes])
            self._wait(0.0)
        elif self._step(nbytes):
            self.go_on_later()
        self.spend(turns.cpu() - self._since + READ_S)

    def _count_step(self, step_s: float) -> None:
        """Take the time of a publisher's step from its share, some steps at once."""
        self._uncounted_s += step_s
        if self._uncounted_s >= _PUBLISHERS_UNCOUNTED_S:
            step_s, self._uncounted_s = self._uncounted_s, 0.0
            self.spend(step_s)

    def go_on_later(self) -> None:
        """Do the rest of what was read when the others had their turn, and read nothing meanwhile."""
        self._has_rest = True
        self.hold(Hold.REST)
        if not self._is_in_line:
            self._is_in_line = True
            self._turns.wait_with_rest(self)

    def do_rest(self) -> None:
        """Do a step of the rest of what was read."""
        turns = self._turns
        self._is_in_line = False
        # Of one that waits for its share it is done when that has come back.
        if self.is_closed or self._is_waiting or not self._has_rest:
            return
        if not self.is_stranger:
            since = turns.cpu()
            self._do(0)
            self._count_step(turns.cpu() - since)
        elif turns.is_strangers_turn_over:
            self._wait(0.0)
        else:
            since = turns.cpu()
            self._do(0)
            self.spend(turns.cpu() - since)

    def _do(self, nbytes: int) -> None:
        self._has_rest = False
        if self._step(nbytes):
            self.go_on_later()
        else:
            self.release(Hold.REST)

    def go_on(self) -> None:
        """Do what was kept, and be read again."""
        turns = self._turns
        self._is_waiting = False
        self.resumed_at = turns.clock.monotonic()
        if self._kept:
            kept, self._kept = self._kept, b""
            self._since = turns.cpu()
            turns.view[: len(kept)] = kept
            self._do(len(kept))
            self.spend(turns.cpu() - self._since)
        elif self._has_rest:
            if self.is_stranger:
                # There is time for it in this turn, or it would not be let on.
                self.do_rest()
            else:
                self.go_on_later()
        if not self._is_waiting:
            self.release(Hold.SHARE)

    def spend(self, step_s: float) -> None:
        """Take the time of a step from the shares, and have the connection wait if it is over one."""
        now = self._turns.clock.monotonic()
        pause_s = self._budget.spend(now, step_s)
        if self.is_stranger:
            pause_s = max(pause_s, self._address.spend(now, step_s))
            if self._turns.spend_strangers(now, step_s) > 0.0:
                pause_s = max(pause_s, WAIT_S)
        if pause_s > 0.0:
            self._wait(min(pause_s, PAUSE_S_MAX))

    def _wait(self, pause_s: float) -> None:
        if not self._is_waiting and not self.is_closed:
            self._is_waiting = True
            self.hold(Hold.SHARE)
            self._turns.wait_for_share(self, pause_s)

    def admit(self) -> None:
        """Go on as a publisher: its key is good."""
        if not self.is_stranger:
            return
        self.is_stranger = False
        if not self._holds:
            self._read_ahead()
        self._budget = LoopTimeBudget(self._turns.shares.publisher, self._turns.clock.monotonic())

    def _read_ahead(self) -> None:
        """Have TLS read ahead of us again."""
        if self._set_read_ahead is not None:
            self._set_read_ahead(high=STRANGERS_TLS_BYTES_MAX if self.is_stranger else None)

    def hold(self, reason: Hold) -> None:
        """Do not read on, for one reason more."""
        if not self._holds and not self._transport.is_closing():
            self._transport.pause_reading()
            if self._set_read_ahead is not None:
                # Else TLS would go on taking records from the kernel, one by one if the peer sends them so.
                self._set_read_ahead(high=0)
        self._holds |= reason

    def release(self, reason: Hold) -> None:
        """Read on, unless there is another reason not to."""
        if not self._holds & reason:
            return
        self._holds &= ~reason
        if not self._holds and not self.is_closed and not self._transport.is_closing():
            self._transport.resume_reading()
            self._read_ahead()

    def close(self) -> None:
        """Be read no more."""
        self.is_closed = True
        self._has_rest = False
        self._kept = b""

    @property
    def has_had_its_share(self) -> bool:
        """Whether it waits for its share to come back, or for that of its address or of all strangers."""
        return bool(self._holds & Hold.SHARE)

    @property
    def claim_s(self) -> float:
        """The time that its address has left, seconds: the most comes first."""
        return self._address.left_s

    @property
    def kept_bytes(self) -> int:
        """Bytes that were read and wait for their turn."""
        return len(self._kept)

    def is_overdue(self, now: float) -> bool:
        """Whether it has been over its own share for longer than any honest peer is."""
        return self._budget.is_overdue(now)


class ReadTurns:
    """The turns of all connections of a listener.

    Args:
        shares: Of the loop's time.
        clock: Says what a step costs, and when it is.
        timers: The loop.

    Attributes:
        shares: For connections that come from now on.
        buffer: The loop reads into it. All connections share it: bytes are taken out of it at once, and so it
            stays in the processor's cache.
        cpu: Processor time that was used, seconds.
        view: All of it.
        small_view: Offered to strangers.
    """

    def __init__(self, shares: LoopShares, *, clock: Clock, timers: Timers) -> None:
        self.shares = shares
        self.clock = clock
        self.cpu = clock.cpu
        self.buffer = bytearray(READ_BYTES_MAX)
        self.view = memoryview(self.buffer)
        self.small_view = self.view[:LOGIN_READ_BYTES_MAX]
        self._timers = timers
        self._strangers = LoopTimeBudget(shares.strangers, clock.monotonic())
        self._addresses = AddressBudgets(shares.address)
        # Apart: a neighbour who has sent too much behind the same address keeps no broadcaster from connecting.
        self._openings = AddressBudgets(shares.address)
        # Those that had their turn; and what strangers have taken of this one.
        self._had_their_turn: list[Reading] = []
        self._is_turn_ending = False
        self._turn_s = 0.0
        # Those of whose reads something is left.
        self._with_rest: deque[Reading] = deque()
        # By when their pause is over; then by what their address has left. The number keeps equals in order.
        self._pausing: list[tuple[float, int, Reading]] = []
        self._ready: list[tuple[float, int, Reading]] = []
        self._numbers = count()
        self._timer: Timer | None = None
        self._timer_at = math.inf

    def configure(self, shares: LoopShares) -> None:
        """Take other shares, for connections that come from now on."""
        self.shares = shares
        self._strangers = LoopTimeBudget(shares.strangers, self.clock.monotonic())
        self._addresses = AddressBudgets(shares.address)
        self._openings = AddressBudgets(shares.address)

    def open(self, transport: asyncio.Transport, source: str, step: Callable[[int], bool]) -> Reading:
        """Take turns with one connection more.

        Args:
            transport: The connection.
            source: As whom its address is counted (``source_of``).
            step: Does what a read makes us do, as ``Reading`` says; it is given the number of bytes at the begin of
                ``buffer``.
        """
        now = self.clock.monotonic()
        return Reading(self, transport, self._addresses.of(source, now), step, now)

    def take_opening(self, source: str) -> bool:
        """Charge an address for one connection more, if it has not opened its share of them.

        Args:
            source: As whom the address is counted (``source_of``).

        Returns:
            Whether it may have it. One that it may not have is not charged: or it would not come back for long.
        """
        now = self.clock.monotonic()
        budget = self._openings.of(source, now)
        if budget.has_debt(now):
            return False
        budget.spend(now, OPENING_S)
        self._strangers.spend(now, OPENING_S)
        return True

    @property
    def is_strangers_turn_over(self) -> bool:
        """Whether strangers have had their time of this turn, or of all."""
        return self._turn_s >= STRANGERS_TURN_S or self._strangers.has_debt(self.clock.monotonic())

    def spend_strangers(self, now: float, step_s: float) -> float:
        """Take a step's time from what all strangers have; returns for how long none should be read, seconds."""
        self._turn_s += step_s
        self._end_turn_soon()
        return self._strangers.spend(now, step_s)

    def wait_for_turn(self, reading: Reading) -> None:
        """Have a connection read again when the others had their turn."""
        self._had_their_turn.append(reading)
        self._end_turn_soon()

    def wait_with_rest(self, reading: Reading) -> None:
        """Have a connection do the rest of a read when the others had their turn."""
        self._with_rest.append(reading)
        self._end_turn_soon()

    def wait_for_share(self, reading: Reading, pause_s: float) -> None:
        """Have a connection read again after a pause, when it is its turn."""
        due = self.clock.monotonic() + pause_s
        heapq.heappush(self._pausing, (due, next(self._numbers), reading))
        self._set_timer(due)

    def close(self) -> None:
        """Read nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pausing.clear()
        self._ready.clear()
        self._had_their_turn.clear()
        self._with_rest.clear()

    def _end_turn_soon(self) -> None:
        if not self._is_turn_ending:
            self._is_turn_ending = True
            self._timers.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._is_turn_ending = False
        self._turn_s = 0.0
        had_their_turn, self._had_their_turn = self._had_their_turn, []
        for reading in had_their_turn:
            reading.release(Hold.TURN)
        self._let_on()
        self._do_rests()

    def _do_rests(self) -> None:
        """Have each of those do a step of whose reads something is left, while there is time for it in this turn."""
        since = self.cpu()
        for _ in range(len(self._with_rest)):
            try:
                self._with_rest.popleft().do_rest()
            except Exception:
                # As below.
                log.exception("reading.failed")
            if self.cpu() - since >= RESTS_TURN_S:
                break
        if self._with_rest:
            self._end_turn_soon()

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._timers.call_at(when, self._run_timer), when

    def _run_timer(self) -> None:
        self._timer = None
        self._let_on()

    def _let_on(self) -> None:
        """Have those go on whose pause is over: publishers all, strangers while there is time for them."""
        now = self.clock.monotonic()
        while self._pausing and self._pausing[0][0] <= now:
            _, number, reading = heapq.heappop(self._pausing)
            # Publishers go before every stranger.
            claim_s = reading.claim_s if reading.is_stranger else math.inf
            heapq.heappush(self._ready, (-claim_s, number, reading))
        while self._ready:
            reading = self._ready[0][2]
            if reading.is_stranger and self.is_strangers_turn_over:
                break
            heapq.heappop(self._ready)
            if reading.is_closed:
                continue
            if reading.is_stranger:
                # Its cost is not known yet; the number that is let on in one turn is bounded so.
                self._turn_s += READ_S
                self._end_turn_soon()
            try:
                reading.go_on()
            except Exception:
                # A fault in one connection must not keep the others waiting.
                log.exception("reading.failed")
        if self._ready and not self._strangers.has_debt(now):
            self._end_turn_soon()
        elif self._ready:
            self._set_timer(now + max(WAIT_S, min(self._strangers.pause_s, PAUSE_S_MAX)))
        elif self._pausing:
            self._set_timer(self._pausing[0][0])
