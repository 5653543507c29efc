"""When a worker that died is started again: at once as a rule, later where it dies again and again."""

from __future__ import annotations

# A worker that lived so long died of something else than its start.
STEADY_S = 60.0
FIRST_DELAY_S = 1.0
# Its streams are back on other workers by then, and an operator sees a line every half a minute.
DELAY_S_MAX = 30.0


class Restarts:
    """Of one worker."""

    def __init__(self) -> None:
        self._failures = 0
        self._started_at: float | None = None

    def note_started(self, now: float) -> None:
        """It was started."""
        self._started_at = now

    def delay_s(self, now: float) -> float:
        """It died; tell for how long to wait until it is started again, seconds.

        Args:
            now: Loop time.
        """
        if self._started_at is not None and now - self._started_at >= STEADY_S:
            self._failures = 0
        self._failures += 1
        if self._failures == 1:
            return 0.0
        # Sooner than it overflows, the exponent is bounded.
        return min(DELAY_S_MAX, FIRST_DELAY_S * float(2 ** min(self._failures - 2, 10)))
