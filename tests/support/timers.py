"""A loop's timers, by hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class ManualTimer:
    """One of them."""

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when, self.callback = when, callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class ManualTimers:
    """A loop's timers, of which one runs at a time.

    Attributes:
        now: Loop time, seconds; a test moves it.
    """

    def __init__(self) -> None:
        self.now = 100.0
        self._timer: ManualTimer | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> ManualTimer:
        assert self.due is None
        self._timer = ManualTimer(when, callback)
        return self._timer

    @property
    def due(self) -> float | None:
        """When the next one calls back; None where there is none."""
        return self._timer.when if self._timer is not None and not self._timer.is_cancelled else None

    def run(self) -> None:
        """Have the next one call back, in its time or as late as it is."""
        timer, self._timer = self._timer, None
        assert timer is not None
        assert not timer.is_cancelled
        self.now = max(self.now, timer.when)
        timer.callback()

    def run_until(self, when: float) -> None:
        """Have all call back in their time up to then."""
        while self.due is not None and self.due <= when:
            self.run()
        self.now = when


class TurnTimers(ManualTimers):
    """A loop whose turns are the running loop's, and whose timers are run by hand."""

    def call_soon(self, callback: Callable[[], None], /) -> None:
        asyncio.get_running_loop().call_soon(callback)
