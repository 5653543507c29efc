"""Peak and average segment bit rate, for BANDWIDTH and AVERAGE-BANDWIDTH.

Spec: rfc8216bis-22 section 4.4.6.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from streamd.media.packager.presentation_state import BitRateState

_US = 1_000_000


class SegmentBitRate:
    """Measures the segments of one rendition.

    4.4.6.2: the peak segment bit rate is "the largest bit rate of any contiguous set of segments whose total
    duration is between 0.5 and 1.5 times the target duration".

    Args:
        target_duration_s: The target duration, seconds.
        segments_max: Segments of a set at most, however short they are.
    """

    def __init__(self, target_duration_s: int, segments_max: int) -> None:
        self._shortest_us = target_duration_s * _US // 2
        self._longest_us = target_duration_s * _US * 3 // 2
        self._recent: deque[tuple[int, int]] = deque(maxlen=segments_max)
        self._total_bits = 0
        self._total_us = 0
        self._peak = 0

    def add(self, size_bytes: int, duration_us: int) -> None:
        """Count one more segment, and every set of segments that ends with it."""
        self._recent.append((size_bytes * 8, duration_us))
        self._total_bits += size_bytes * 8
        self._total_us += duration_us
        set_bits = set_us = 0
        for bits, us in reversed(self._recent):
            set_bits += bits
            set_us += us
            if set_us > self._longest_us:
                break
            if set_us >= self._shortest_us:
                self._peak = max(self._peak, -(-set_bits * _US // set_us))

    @property
    def state(self) -> BitRateState:
        """What is counted, for another node."""
        return BitRateState(self._total_bits, self._total_us, self._peak)

    def restore(self, state: BitRateState, recent: Iterable[tuple[int, int]]) -> None:
        """Go on with what another node has counted.

        Args:
            state: Its counts.
            recent: Size in bytes and duration in microseconds of the last segments, as far as sets of them go back.
        """
        self._total_bits, self._total_us, self._peak = state.total_bits, state.total_us, state.peak
        self._recent.extend((size_bytes * 8, duration_us) for size_bytes, duration_us in recent)

    @property
    def average(self) -> int:
        """Average of all segments, rounded up; 0 before the first."""
        return -(-self._total_bits * _US // self._total_us) if self._total_us else 0

    @property
    def peak(self) -> int:
        """The highest so far; the average if no set of segments is long enough to count."""
        return max(self._peak, self.average)
