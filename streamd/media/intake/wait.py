"""How long something is waited for: by media time, or by tags where that stands."""

from __future__ import annotations


class Wait:
    """A wait for a track or for a keyframe.

    Args:
        tags_max: How many tags it may last, whatever their timestamps say.
    """

    def __init__(self, tags_max: int) -> None:
        self._tags_max = tags_max
        self._tags = 0
        self._start_ms: int | None = None

    def start(self) -> None:
        """Let a wait begin with the next tag."""
        self._tags = 0
        self._start_ms = None

    def is_over(self, timestamp_ms: int, wait_ms: int) -> bool:
        """Count a tag as waiting, and say whether that is enough.

        Args:
            timestamp_ms: Of the tag.
            wait_ms: The media time that may pass.
        """
        self._tags += 1
        if self._start_ms is None or timestamp_ms < self._start_ms:
            self._start_ms = timestamp_ms
        return timestamp_ms - self._start_ms >= wait_ms or self._tags >= self._tags_max
