"""The time limits of sending to a viewer: are bytes taken at all, and is one answer taken in time?

No clock is read here: the door's sweep says how late it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamd.doors.delivery.answer import Answer

# An answer that takes longer than this is of media that has left most playlists: the viewer alone keeps it.
PINNED_AFTER_S = 20.0


class Uptake:
    """A viewer's pace with the bytes that wait for it; one object from the first byte that waits to the last.

    Args:
        now: Loop time, seconds.
        written_bytes: Bytes that waited when this began.

    Attributes:
        answer: The answer that it is sent; None of a pushed stream.
        pinned_bytes: Memory that this viewer alone keeps by taking so long.
    """

    __slots__ = ("_began_at", "_progress_at", "_taken_bytes", "_written_bytes", "answer", "pinned_bytes")

    def __init__(self, now: float, written_bytes: int) -> None:
        self._began_at = self._progress_at = now
        self._written_bytes = written_bytes
        self._taken_bytes = 0
        self.answer: Answer | None = None
        self.pinned_bytes = 0

    def note(self, now: float, unsent_bytes: int, written_bytes: int | None = None) -> None:
        """Note the bytes that have been taken.

        Args:
            now: Loop time, seconds.
            unsent_bytes: Bytes that wait now.
            written_bytes: Bytes that it was written in all; None where nothing was added since the beginning.
        """
        taken_bytes = (self._written_bytes if written_bytes is None else written_bytes) - unsent_bytes
        if taken_bytes > self._taken_bytes or not unsent_bytes:
            self._taken_bytes = taken_bytes
            self._progress_at = now

    def is_stalled(self, now: float, write_timeout_s: float) -> bool:
        """Whether nothing has been taken for too long."""
        return now - self._progress_at >= write_timeout_s

    def is_slow(self, now: float, answer_timeout_s: float) -> bool:
        """Whether it has taken too long in all; a pushed stream has no such bound."""
        return now - self._began_at >= answer_timeout_s

    def is_old(self, now: float) -> bool:
        """Whether the media of the answer has left most playlists."""
        return self.answer is not None and now - self._began_at >= PINNED_AFTER_S
