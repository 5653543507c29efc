"""The facts of a clip, as the index has them: some segments of a recording, under a name of their own."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from streamd.services.recording.documents import RecordedRendition
from streamd.services.recording.playlist_file import RecordedSegment


class ClipState(enum.StrEnum):
    """The state of a clip."""

    READY = "ready"
    """It can be watched, from the moment at which it is made."""
    DELETED = "deleted"
    """It is gone, with its recording or by itself."""


VIEWER = "viewer"
"""The maker of viewers' clips, in the index and the audit log."""


class ClipMaker(enum.StrEnum):
    """The kind of people who may make clips (``[clips] who``); a kind includes all before it."""

    OFF = "off"
    OPERATORS = "operators"
    BROADCASTERS = "broadcasters"
    VIEWERS = "viewers"

    def may(self, asker: ClipMaker) -> bool:
        """Whether somebody of a kind may make clips where this is set."""
        order = tuple(ClipMaker)
        return order.index(self) >= order.index(asker)


@dataclass(frozen=True, slots=True)
class ClipRendition:
    """A rendition of a clip."""

    facts: RecordedRendition
    target_duration_s: int
    segments: tuple[RecordedSegment, ...]
    header_bytes: dict[int, int]
    """Sizes of the CMAF headers, by their numbers."""


@dataclass(frozen=True, slots=True)
class ClipMedia:
    """The media of a clip: all that its playlists say, so that nobody has to read those of the recording."""

    renditions: tuple[ClipRendition, ...] = ()


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip."""

    id: str
    recording_id: str
    user: str
    """Name of the user, which is the channel's."""
    state: ClipState
    title: str
    created_at: datetime
    created_by: str
    """The actor, as the audit log names them."""
    start_ms: int
    """Milliseconds from the beginning of the recording, as it was asked for."""
    end_ms: int
    start_actual_ms: int
    """Beginning of its first segment."""
    end_actual_ms: int
    began_at: datetime
    """Time at which its first picture was taken."""
    size_bytes: int
    media: ClipMedia
    reason: str = ""
    """The reason why it was deleted."""

    @property
    def duration_ms(self) -> int:
        """Length of its segments, milliseconds."""
        return self.end_actual_ms - self.start_actual_ms


@dataclass(frozen=True, slots=True)
class ClipFilter:
    """The clips that are asked for; all that is said must hold."""

    user: str = ""
    recording_id: str = ""
    state: ClipState | None = ClipState.READY
    """None for all."""


MEDIA = TypeAdapter(ClipMedia)
