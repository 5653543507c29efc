"""Which of a pushed stream's keyframes viewers begin with."""

from __future__ import annotations

# A recovery point is a start where there has been no better one for so long: as long as the longest keyframe interval
# that a playlist has room for. A joining viewer is sent no more than that.
WITHOUT_SYNC_MS = 10_000


class StartPoints:
    """Tells starts from other keyframes, as their encoder calls them.

    A decoder can begin with some of them; with a recovery point few can, and those show a picture that builds up for a
    while (``formats/codecs/random_access.py``). Viewers begin with the first kind where there is one.
    """

    __slots__ = ("_sync_ms",)

    def __init__(self) -> None:
        # Decode time of the last that a decoder can begin with; None before there was one.
        self._sync_ms: int | None = None

    def is_start(self, *, is_sync: bool, time_ms: int) -> bool:
        """Tell whether viewers begin with a keyframe; asked again, the answer is the same.

        Args:
            is_sync: A decoder can begin with it.
            time_ms: Its decode time, milliseconds.
        """
        if is_sync:
            self._sync_ms = time_ms
            return True
        return self._sync_ms is None or not 0 <= time_ms - self._sync_ms < WITHOUT_SYNC_MS
