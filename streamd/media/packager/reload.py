"""The reload decision: a request for a media playlist is answered at once, waits, or is refused.

Spec: rfc8216bis-22 section 6.2.5.2.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from streamd.formats.hls.directives import Directives

# 6.2.5.2: "greater than the Media Sequence Number of the last Media Segment in the current Playlist plus two".
MSN_ADVANCE_MAX = 2
# 6.2.5.2: "The Advance Part Limit is three divided by the Part Target Duration if the Part Target Duration is
# less than one second, or three otherwise."
PART_ADVANCE_MS = 3000
PART_ADVANCE_MAX = 3


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a media playlist that a request can wait for."""

    msn: int
    """Media Sequence Number."""
    part: int | None = None
    """Part Index in that segment, from 0; ``None`` is the whole segment."""


@dataclass(frozen=True, slots=True)
class PartNumber:
    """The part that the preload hint names, which a request can wait for."""

    number: int
    """Running count of the part in its rendition."""


@dataclass(frozen=True, slots=True)
class PlaylistEdge:
    """The edge of a media playlist, with the facts that the reload decision needs."""

    last_msn: int
    """Media Sequence Number of the last complete segment; one below the first before there is one."""
    last_segment_parts: int
    """Parts that segment had."""
    open_parts: int
    """Parts listed of the segment after it, which is being written."""
    part_target_ms: int | None
    """PART-TARGET, milliseconds; ``None`` if the playlist does not offer blocking reload."""
    is_ended: bool
    """The playlist has EXT-X-ENDLIST."""

    def contains(self, position: Position) -> bool:
        """Say whether a playlist with this edge contains a position or a later one.

        A Part Index past the last part of a complete segment is the first part of the next:
        6.2.5.2 has the server treat such a request "as one for Part Index 0 of the following Parent Segment".
        """
        msn, part = position.msn, position.part
        if part is None or msn < self.last_msn:
            return msn <= self.last_msn
        if msn == self.last_msn:
            return part < self.last_segment_parts or self.open_parts > 0
        return msn == self.last_msn + 1 and part < self.open_parts


class ReloadVerdict(enum.Enum):
    """A reload decision that needs no waiting."""

    AT_ONCE = "answer with the playlist as it stands"
    BAD_REQUEST = "answer 400"


def decide_reload(directives: Directives, edge: PlaylistEdge) -> ReloadVerdict | Position:
    """Decide how to answer a request for a media playlist.

    Args:
        directives: Of the request.
        edge: How far the playlist has come.

    Returns:
        A verdict, or the position that the answer must wait for. The caller answers 503 after three target durations.

    Spec: rfc8216bis 6.2.5.2.
    """
    if edge.is_ended or edge.part_target_ms is None:
        # A playlist with EXT-X-ENDLIST will not change, and one that does not offer blocking reload knows no
        # directives: both ignore them.
        return ReloadVerdict.AT_ONCE
    if directives.msn is None:
        return ReloadVerdict.AT_ONCE if directives.part is None else ReloadVerdict.BAD_REQUEST
    position = Position(directives.msn, directives.part)
    if edge.contains(position):
        # Also a segment that left the playlist long ago: the reader gets the whole playlist and finds its place.
        return ReloadVerdict.AT_ONCE
    if position.msn > edge.last_msn + MSN_ADVANCE_MAX:
        return ReloadVerdict.BAD_REQUEST
    if position.part is not None and _is_beyond_advance_part_limit(position.msn, position.part, edge):
        return ReloadVerdict.BAD_REQUEST
    return position


def _is_beyond_advance_part_limit(msn: int, part: int, edge: PlaylistEdge) -> bool:
    """Say whether a part not yet listed lies further ahead of the last one than the Advance Part Limit."""
    assert edge.part_target_ms is not None
    if msn == edge.last_msn + 1:
        advance = part - edge.open_parts + 1
    elif msn > edge.last_msn + 1:
        # The open segment may end with the part that is listed last, so no more than these can be counted.
        advance = part + 1
    else:
        # A position past the end of a complete segment is the next part, whatever its index.
        return False
    if edge.part_target_ms < 1000:
        return advance * edge.part_target_ms > PART_ADVANCE_MS
    return advance > PART_ADVANCE_MAX
