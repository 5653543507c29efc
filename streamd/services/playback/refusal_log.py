"""Refusals, counted, with one line of the log for all of a second: a flood of wrong tokens fills nothing."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.errors import PlaybackRefusedError
    from streamd.services.playback.refusal import Refusal

log = logging.getLogger(__name__)

LINE_INTERVAL_S: Final = 1.0


class RefusalLog:
    """Counts refusals, and has the log tell of them.

    Args:
        clock: Measures the time between lines.
        count: Told the word of each refusal, for metrics.
    """

    def __init__(self, clock: Clock, count: Callable[[str], None]) -> None:
        self._clock = clock
        self._count = count
        # As many words as there are refusals.
        self._untold: Counter[str] = Counter()
        self._told_at = float("-inf")

    def refused(self, refusal: Refusal) -> PlaybackRefusedError:
        """The error of a refusal, counted."""
        return self.noted(refusal.error())

    def noted(self, error: PlaybackRefusedError) -> PlaybackRefusedError:
        """Count a refusal, and have the log tell of it."""
        self._count(error.reason)
        self._untold[error.reason] += 1
        self.tell()
        return error

    def tell(self) -> None:
        """Say in the log what was refused since the last line, at most one line a second; called once a second."""
        now = self._clock.monotonic()
        if self._untold and now - self._told_at >= LINE_INTERVAL_S:
            self._told_at = now
            log.info("playback.refused", extra={"refused": dict(self._untold)})
            self._untold.clear()
