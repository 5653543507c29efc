"""When a bucket that failed is asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock

FIRST_S = 1.0
# A bucket that comes back after an hour is found within a minute.
LAST_S = 60.0


class Backoff:
    """Doubles the time between attempts, for the bucket as a whole: what fails for one recording fails for all.

    Args:
        clock: Measures it.
        draw: A number from 0 to 1: servers that share a bucket do not come back to it together.
    """

    def __init__(self, clock: Clock, draw: Callable[[], float]) -> None:
        self._clock = clock
        self._draw = draw
        self._wait_s = 0.0
        self._due_at = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether it may be asked."""
        return self._clock.monotonic() >= self._due_at

    @property
    def has_failed(self) -> bool:
        """Whether the newest attempt failed: then one more is made at a time."""
        return self._wait_s > 0

    def note_success(self) -> None:
        """It answers."""
        self._wait_s = 0.0
        self._due_at = float("-inf")

    def note_failure(self) -> None:
        """It does not."""
        self._wait_s = min(max(2 * self._wait_s, FIRST_S), LAST_S)
        self._due_at = self._clock.monotonic() + self._wait_s * (0.5 + self._draw() / 2)
