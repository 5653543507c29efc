"""A recording on its way into one MP4."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime


class ExportState(enum.StrEnum):
    """The state of an export."""

    WAITING = "waiting"
    """Another one is being made."""
    RUNNING = "running"
    READY = "ready"
    """The file can be fetched, for a day."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Export:
    """One export."""

    recording_id: str
    variant: str
    run: int
    """Number of the piece of the recording under one CMAF header, from 0."""
    state: ExportState
    asked_at: datetime
    reason: str = ""
    """The reason why it failed."""
    bytes: int = 0
    """Size of the file so far."""
    expected_bytes: int = 0
    """The size that the file will have, about."""
