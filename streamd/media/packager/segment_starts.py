"""When segments start in the renditions of one stream, so that they start at the same times.

Spec: rfc8216bis-22 section 6.2.4.
"""

from __future__ import annotations

from collections import deque

# A keyframe this much before the segment target still starts a segment: better 1 % short than a GOP
# too long.
SEGMENT_TOLERANCE_MS = 20
# Starts of segments that are remembered for renditions that lag behind: some ten seconds.
STARTS_KEPT = 8


class SegmentStarts:
    """The times at which segments have started.

    There is no leader: which variant's keyframe comes first is the publisher's affair. Whoever starts a segment says
    so here, and the others start theirs with the keyframe that belongs to it: the one that is shown at the same time,
    for encoders reorder pictures differently.
    """

    def __init__(self) -> None:
        # Milliseconds, in the order in which they came up; more than any track lags behind another.
        self._starts_ms: deque[int] = deque(maxlen=STARTS_KEPT)

    def add(self, time_ms: int) -> None:
        """Note that a segment starts."""
        if not self._is_known(time_ms):
            self._starts_ms.append(time_ms)

    def since_last(self, time_ms: int) -> int | None:
        """Return how long before ``time_ms`` the last segment started: 0 for right then, ``None`` for never."""
        if self._is_known(time_ms):
            return 0
        earlier = [start_ms for start_ms in self._starts_ms if start_ms < time_ms]
        return time_ms - max(earlier) if earlier else None

    def has_between(self, after_ms: int, until_ms: int) -> bool:
        """Say whether a segment starts after one time and not after another."""
        return any(after_ms < start_ms <= until_ms for start_ms in self._starts_ms)

    def _is_known(self, time_ms: int) -> bool:
        return any(abs(time_ms - start_ms) <= SEGMENT_TOLERANCE_MS for start_ms in self._starts_ms)
