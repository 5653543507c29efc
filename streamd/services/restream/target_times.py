"""The timestamps that a target is sent: from 0 on with a connection, and forward whatever the publisher's do."""

from __future__ import annotations

# Interleaved frames of two tracks are less apart, and a hole this long is one of the network's: it stays as it is.
_AHEAD_MS_MAX = 10_000
_BEHIND_MS_MAX = 2_000
# What a frame that follows a leap is behind the last one, at least.
_FRAME_MS = 20


class TargetTimes:
    """The timestamps of one connection.

    A leap of the publisher's, or another publisher's own timestamps, become the time that has passed.
    """

    def __init__(self) -> None:
        self._offset_ms: int | None = None
        self._last_in_ms = 0
        self._last_out_ms = 0
        self._last_at = 0.0
        # By type of the tag: what came last of it.
        self._last_of: dict[int, int] = {}

    def begin(self) -> None:
        """Begin at 0 with the next frame: the connection is new."""
        self._offset_ms = None
        self._last_of.clear()

    def place(self, tag_type: int, timestamp_ms: int, now: float) -> int:
        """Give a frame its timestamp.

        Args:
            tag_type: Audio or video.
            timestamp_ms: The publisher's.
            now: Loop time, seconds.

        Returns:
            Milliseconds, never less than for the frame of this type before it.
        """
        if self._offset_ms is None:
            self._offset_ms = -timestamp_ms
        elif not -_BEHIND_MS_MAX <= timestamp_ms - self._last_in_ms <= _AHEAD_MS_MAX:
            passed_ms = max(_FRAME_MS, round((now - self._last_at) * 1000))
            self._offset_ms = self._last_out_ms + passed_ms - timestamp_ms
        placed_ms = max(timestamp_ms + self._offset_ms, self._last_of.get(tag_type, 0))
        self._last_in_ms, self._last_out_ms, self._last_at = timestamp_ms, placed_ms, now
        self._last_of[tag_type] = placed_ms
        return placed_ms
