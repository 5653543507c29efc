"""The tags that the gate has dropped, and the tracks that it does not carry."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from streamd.media.intake.actions import Drop, TagDropReason

if TYPE_CHECKING:
    from streamd.media.intake.track import TrackKey

# Tracks of which it is kept in mind why they are not carried; health tells of a few.
REFUSALS_MAX = 64


class DropBook:
    """Counts what is dropped.

    Attributes:
        counts: How many tags, or tracks of tags, were dropped, by reason.
        refusals: Why the tracks that cannot be carried are not, until they have a good sequence header.
    """

    def __init__(self) -> None:
        self.counts: Counter[TagDropReason] = Counter()
        self.refusals: dict[TrackKey, Drop] = {}

    def drop(self, reason: TagDropReason, detail: str = "", limit: str = "") -> Drop:
        """Drop a tag."""
        self.counts[reason] += 1
        return Drop(reason, detail, limit)

    def refuse(self, key: TrackKey, reason: TagDropReason, detail: str, limit: str = "") -> Drop:
        """Drop what cannot be carried of a track, and keep in mind why."""
        drop = self.drop(reason, detail, limit)
        if key in self.refusals or len(self.refusals) < REFUSALS_MAX:
            self.refusals[key] = drop
        return drop

    def carry(self, key: TrackKey) -> None:
        """Forget why a track was not carried: it is now."""
        self.refusals.pop(key, None)
