"""When a target that was lost or has refused is tried again, and when no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
# Of a delay, either way: targets that went together are not asked together.
_SPREAD: Final = 0.2
# A connection that was live for so long has done well, and the next one begins with the first delay.
_DOES_WELL_S: Final = 10.0


class Pace:
    """The tries of one target in one broadcast.

    Args:
        now: Loop time, seconds.
        draw: Random numbers, from 0 up to 1.
        give_up_after_s: How long it is tried without being live; 0 for the whole broadcast.

    Attributes:
        attempts: Connections begun.
    """

    def __init__(self, now: float, draw: Callable[[], float], give_up_after_s: float) -> None:
        self.attempts = 0
        self._draw = draw
        self._give_up_after_s = give_up_after_s
        # In a row, since a connection did well.
        self._failures = 0
        self._retry_at = 0.0
        self._trying_since = now

    def is_due(self, now: float) -> bool:
        """Whether the next connection may be begun."""
        return now >= self._retry_at

    def note_loss(self, now: float, live_s: float | None) -> bool:
        """Note that a connection is over.

        Args:
            now: Loop time, seconds.
            live_s: How long it was live; None if it never was.

        Returns:
            Whether it is tried again.
        """
        if live_s is not None:
            self._trying_since = now
            if live_s >= _DOES_WELL_S:
                self._failures = 0
        delay_s = min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** min(self._failures, 10))
        self._failures += 1
        self._retry_at = now + delay_s * (1 + _SPREAD * (2 * self._draw() - 1))
        return not self._give_up_after_s or now - self._trying_since < self._give_up_after_s
