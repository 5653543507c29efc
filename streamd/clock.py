"""The one place that reads the time: loop time for timeouts, wall time for dates, processor time for costs.

Everything that needs time is handed a ``Clock``, so tests pass a ``ManualClock`` and never wait.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

# Media sequence numbers count seconds since this moment, so that they fit a double and
# never go backwards across restarts.
EPOCH_2020 = datetime(2020, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Where time comes from."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps; only differences mean anything."""

    def now(self) -> datetime:
        """Wall time, aware, UTC."""

    def cpu(self) -> float:
        """Processor time that this thread has used, seconds; only differences mean anything.

        The cost of a step is measured by this clock and not by ``monotonic``, which also runs while another program has
        the processor or another thread the interpreter: no peer is to blame for that.
        """


class SystemClock:
    """The machine's clocks. ``monotonic`` is the clock of asyncio's and uvloop's ``loop.time``."""

    # Each stream asks for the time some ten times a second, so nothing is wrapped around this clock or the next.
    monotonic = staticmethod(time.monotonic)

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        return datetime.now(UTC)

    # CLOCK_THREAD_CPUTIME_ID, half a microsecond to read; it is read twice for each read of a socket.
    cpu = staticmethod(time.thread_time)


class ManualClock:
    """A clock that stands still until a test moves it.

    Args:
        start: Wall time at which it stands.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 1000.0
        self._cpu = 50.0

    def monotonic(self) -> float:
        """Seconds advanced so far, from an arbitrary start."""
        return self._monotonic

    def now(self) -> datetime:
        """Wall time, aware, UTC."""
        return self._now

    def cpu(self) -> float:
        """Seconds worked so far, from an arbitrary start."""
        return self._cpu

    def work(self, seconds: float) -> None:
        """Use the processor for ``seconds``, within a moment of loop time."""
        self._cpu += seconds

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by ``seconds``."""
        self._monotonic += seconds
        self._now += timedelta(seconds=seconds)

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock alone, as NTP or an operator does."""
        self._now += timedelta(seconds=seconds)
