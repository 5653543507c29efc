"""Watches the event loop: how late it is, and what it was doing when it stood still.

Everything runs on one loop, so whatever holds it up holds up every stream. A timer on the loop notes how late it is
called; a thread beside it sees when that note grows old, and writes down where the loop is at that moment, which
nobody could say afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Callable

from streamd.clock import Clock
from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

BEAT_S = 0.25
# As long as two parts: viewers have noticed. Below it, the metric tells.
BLOCKED_S = 1.0


class LoopWatch:
    """Measures one event loop; made and started on it.

    Args:
        clock: Loop time.
        metrics: Lateness is counted into.
        on_beat: Called on the loop with each beat, for who wants to know that it lives.
    """

    def __init__(self, clock: Clock, metrics: Metrics, on_beat: Callable[[], None]) -> None:
        self._clock = clock
        self._lag = metrics.process.loop_lag_seconds
        self._on_beat = on_beat
        self._beat_at = clock.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._loop_thread_id = threading.get_ident()
        self._stopped = threading.Event()
        self._is_told = False

    def start(self) -> None:
        """Begin to watch."""
        self._beat_at = self._clock.monotonic()
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self.beat)
        threading.Thread(target=self._watch, name="loop-watch", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()

    def beat(self) -> None:
        """Note how late we are; the loop's timer calls it."""
        now = self._clock.monotonic()
        lag_s = max(0.0, now - self._beat_at - BEAT_S)
        self._beat_at = now
        self._lag.observe(lag_s)
        if lag_s >= BLOCKED_S:
            log.warning("loop.blocked", extra={"blocked_s": round(lag_s, 3)})
        self._is_told = False
        self._on_beat()
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self.beat)

    def look(self) -> None:
        """Tell once of a loop that stands still; the thread calls it."""
        late_s = self._clock.monotonic() - self._beat_at - BEAT_S
        if late_s < BLOCKED_S or self._is_told:
            return
        self._is_told = True
        frame = sys._current_frames().get(self._loop_thread_id)
        # Files, lines and source text; no values, and so no secrets.
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        log.warning("loop.blocking", extra={"late_s": round(late_s, 3), "stack": stack})

    def _watch(self) -> None:
        while not self._stopped.wait(BEAT_S):
            self.look()
