"""How far apart the frames of a track are, from which the end of the newest one is predicted."""

from __future__ import annotations

# Intervals that must agree before the end of a frame is predicted. A wrong prediction is absorbed by the first sample
# of the next run, so a few are enough.
STEADY_INTERVALS = 4


class FrameInterval:
    """The interval from one frame to the next, as long as it is one.

    Args:
        frame_ticks: The interval where it is known beforehand (counted audio), else 0.
        tolerance_ticks: How far an interval on the wire may be from it.
        ticks_max: Longer than this is a pause, not an interval.

    Attributes:
        ticks: The interval; 0 where it is not known.
        has_begun: Whether there has been a frame.
        end: Where the newest frame is expected to end; meaningless before the first.
    """

    __slots__ = ("_anchor", "_last", "_steps", "_ticks_max", "_tolerance_ticks", "end", "has_begun", "ticks")

    def __init__(self, frame_ticks: int, tolerance_ticks: int, ticks_max: int) -> None:
        self._tolerance_ticks = tolerance_ticks
        self._ticks_max = ticks_max
        self.has_begun = False
        self._last = 0
        self.end = 0
        # The interval is the mean of this many steps since the anchor: exact, where a single one is rounded.
        self._anchor = 0
        self._steps = STEADY_INTERVALS if frame_ticks else 0
        self.ticks = frame_ticks

    def is_steady(self) -> bool:
        """Whether the next frame may be expected one interval after the last."""
        return self._steps >= STEADY_INTERVALS

    def ticks_min(self) -> int:
        """The least that the true interval can be: the mean is off by up to one rounding over all steps."""
        return self.ticks - self._tolerance_ticks // self._steps if self._steps else 0

    def add(self, dts_ticks: int) -> None:
        """Take note of a frame.

        Args:
            dts_ticks: Its decode time, above that of the one before.
        """
        last, self._last = self._last, dts_ticks
        step = dts_ticks - last
        if not self.has_begun:
            self.has_begun = True
            self._anchor = dts_ticks - self._steps * self.ticks
        elif abs(step - self.ticks) <= self._tolerance_ticks:
            self._steps += 1
            self.ticks = (dts_ticks - self._anchor) // self._steps
        elif step <= self._ticks_max:
            self._anchor, self._steps, self.ticks = last, 1, step
        else:
            # A pause, which says nothing of the frames after it.
            self._anchor, self._steps = dts_ticks, 0
        self.end = dts_ticks + self.ticks
