"""Media sequence numbers, part numbers and discontinuity sequences that never go back.

Spec: rfc8216bis-22 sections 4.4.3.2, 4.4.3.3 and 6.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from streamd.clock import EPOCH_2020

# The running part count begins at ten times the media sequence number: parts are 100 ms long or longer.
PARTS_PER_SECOND_MAX = 10


@dataclass(frozen=True, slots=True)
class Numbering:
    """The start of a rendition's counts: none of them ever goes back, so no name is used twice."""

    msn: int
    """Media Sequence Number of the next segment."""
    part_number: int
    """Running count of the next part."""
    discontinuity_sequence: int
    """EXT-X-DISCONTINUITY-SEQUENCE of the next segment."""

    @classmethod
    def at(cls, now: datetime) -> Numbering:
        """Begin from the wall clock, which outlives a restart of the server.

        Segments are a second long or longer on average, so seconds since 2020 stay ahead of their count.
        Discontinuities are counted from 0: players keep arrays indexed by that sequence, and hls.js 1.7.4
        walks them from 0, which stops the page for seconds at 217 million.

        Args:
            now: Wall time, aware.
        """
        seconds = max(0, (now - EPOCH_2020) // timedelta(seconds=1))
        return cls(seconds, seconds * PARTS_PER_SECOND_MAX, 0)

    @property
    def seconds(self) -> int:
        """The seconds since 2020 from which on ``at`` begins no earlier than this, but for its discontinuities."""
        return max(self.msn, -(-self.part_number // PARTS_PER_SECOND_MAX))

    def no_earlier_than(self, previous: Numbering) -> Numbering:
        """Begin after ``previous`` as well, even if the wall clock stepped meanwhile."""
        return Numbering(
            max(self.msn, previous.msn),
            max(self.part_number, previous.part_number),
            max(self.discontinuity_sequence, previous.discontinuity_sequence),
        )
