"""Missing tracks: those of the open ones that have had no frame for a while, by the clock of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamd.media.intake.track import TrackKey

# How often it is looked whether every track still sends, in tags: half a second of video alone.
ROLL_CALL_TAGS = 16
# As many slides take less; more is a leap of the publisher's clock.
ROLL_CALL_MS_MAX = 60_000


class Presence:
    """When a track had its last frame, and since when it has had none.

    Args:
        kind: Of the track.

    Attributes:
        kind: Of the track, ``TagType``.
        heard_ms: When its last frame was; None before the first, and after a leap of time.
        is_new: That was since the last roll call.
        missing_since_ms: The roll call since which there was none; None where there was one.
        passes: Its frames pass by their first bytes alone.
    """

    __slots__ = ("heard_ms", "is_new", "kind", "missing_since_ms", "passes")

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.heard_ms: int | None = None
        self.is_new = False
        self.missing_since_ms: int | None = None
        self.passes = False

    def note(self, timestamp_ms: int) -> None:
        """Take note of a frame."""
        self.heard_ms = timestamp_ms
        self.is_new = True

    def forget(self) -> None:
        """Take what was before the last roll call for unknown: time has leapt."""
        self.missing_since_ms = None
        if not self.is_new:
            self.heard_ms = None


class RollCall:
    """Calls the roll of the tracks.

    Attributes:
        presences: Of the tracks that are open, and of those that want to be.
    """

    def __init__(self) -> None:
        self.presences: dict[TrackKey, Presence] = {}
        self._at_ms = 0

    def begin(self, keys: Iterable[TrackKey], timestamp_ms: int) -> None:
        """Take these tracks, and no others, for present at a time."""
        self._at_ms = timestamp_ms
        self.presences = {key: Presence(int(key[0])) for key in keys}
        for presence in self.presences.values():
            presence.note(timestamp_ms)

    def note(self, key: TrackKey, timestamp_ms: int) -> None:
        """Take note of a frame of a track, open or not."""
        presence = self.presences.get(key)
        if presence is None:
            presence = self.presences[key] = Presence(int(key[0]))
        presence.note(timestamp_ms)

    def forget(self, key: TrackKey) -> None:
        """Know nothing more of a track."""
        self.presences.pop(key, None)

    def heard_ms(self, key: TrackKey) -> int | None:
        """When a track had its last frame; None where that is not known."""
        return self.presences[key].heard_ms

    def has_leapt(self, timestamp_ms: int) -> bool:
        """Say whether time has leapt since the last roll call; then nobody is known to be missing.

        So it is where two tracks have clocks of their own.
        """
        if 0 <= timestamp_ms - self._at_ms <= ROLL_CALL_MS_MAX:
            return False
        for presence in self.presences.values():
            presence.forget()
        self._at_ms = timestamp_ms
        return True

    def find_missing(self, expected: Iterable[TrackKey], timestamp_ms: int) -> list[tuple[TrackKey, int]]:
        """List the tracks that had no frame since the last roll call.

        Args:
            expected: The tracks of which that is asked.
            timestamp_ms: Of the tag at which the roll is called.

        Returns:
            The tracks, and for how many milliseconds each is missing, short of the time between two roll calls.
        """
        for presence in self.presences.values():
            if presence.is_new:
                presence.missing_since_ms = None
        missing: list[tuple[TrackKey, int]] = []
        for key in expected:
            presence = self.presences[key]
            if presence.is_new:
                continue
            since_ms = presence.missing_since_ms
            if since_ms is None:
                since_ms = presence.missing_since_ms = self._at_ms
            missing.append((key, timestamp_ms - since_ms))
        return missing

    def excuse(self, key: TrackKey) -> None:
        """Take a track for present: something stands for it."""
        self.presences[key].missing_since_ms = None

    def end(self, timestamp_ms: int) -> None:
        """Let the time up to the next roll call begin."""
        for presence in self.presences.values():
            presence.is_new = False
        self._at_ms = timestamp_ms
