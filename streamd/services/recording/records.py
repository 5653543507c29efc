"""The facts of a recording, as the index has them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

# The rules that delete, as the reason of a deletion names them.
RETENTION_RULES = frozenset({"keep_days", "max_bytes", "min_free_bytes"})


class RecordingMode(enum.StrEnum):
    """The broadcasts that are recorded."""

    OFF = "off"
    ASKED = "asked"
    """Those for which somebody asks."""
    ALL = "all"


class RecordingState(enum.StrEnum):
    """The state of a recording."""

    RECORDING = "recording"
    """Media is added to it."""
    FINALIZING = "finalizing"
    """Its broadcast is over, and its files are completed."""
    UPLOADING = "uploading"
    """Its files are complete, and on their way to the bucket; it can be played."""
    READY = "ready"
    """It is complete."""
    PARTIAL = "partial"
    """It is complete but for media that a crash has cost."""
    FAILED = "failed"
    """It ended by a fault; what was written before can be played."""
    DELETED = "deleted"
    """Its files are gone."""


class Visibility(enum.StrEnum):
    """The viewers who may find and see a recording."""

    PUBLIC = "public"
    """Everybody; it is listed on its channel's page."""
    UNLISTED = "unlisted"
    """Everybody with its address."""
    PRIVATE = "private"
    """Its owner and operators."""


@dataclass(frozen=True, slots=True)
class RecordingRecord:
    """One recording."""

    id: str
    user: str
    """Name of the user, which is the channel's."""
    state: RecordingState
    started_at: datetime
    path: str
    """Its folder under the directory of recordings, with slashes."""
    reason: str = ""
    """The reason why it failed, or was deleted."""
    ended_at: datetime | None = None
    duration_ms: int = 0
    size_bytes: int = 0
    title: str = ""
    visibility: Visibility = Visibility.PUBLIC
    is_kept: bool = False
    """It is pinned: no rule deletes it."""


@dataclass(frozen=True, slots=True)
class RecordingFilter:
    """The recordings that are asked for; all that is said must hold."""

    user: str = ""
    state: RecordingState | None = None
    """None for all but deleted ones."""
    visibility: Visibility | None = None
