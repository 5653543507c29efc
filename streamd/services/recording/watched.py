"""The recordings that somebody is watching."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamd.clock import Clock

# A recording of which media was sent is being watched for this long, seconds: a player that has its buffer full asks
# again within it.
WATCHED_S = 60.0
# Recordings that are being watched; those that were asked for longest ago are left out.
WATCHED_MAX = 4096


class Watched:
    """Remembers which recordings were sent to somebody a moment ago.

    Args:
        clock: Measures the moment.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # When each was asked for last, the longest ago first.
        self._at: dict[str, float] = {}

    def note(self, recording_id: str) -> None:
        """Note that media of a recording is being sent."""
        self._at.pop(recording_id, None)
        self._at[recording_id] = self._clock.monotonic()
        if len(self._at) > WATCHED_MAX:
            del self._at[next(iter(self._at))]

    def __contains__(self, recording_id: object) -> bool:
        """Say whether somebody is watching it."""
        return self._clock.monotonic() - self._at.get(str(recording_id), float("-inf")) <= WATCHED_S
