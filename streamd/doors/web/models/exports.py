"""Exports of recordings, as the admin API has them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from streamd.doors.web.models.common import ApiModel
from streamd.services.recording.export_records import ExportState

if TYPE_CHECKING:
    from streamd.services.recording.export_records import Export

RUNS_MAX = 100_000


class ExportRequest(ApiModel):
    """Which piece of a recording is to be one file."""

    variant: Annotated[str, Field(pattern="^[a-z0-9_-]{0,64}$")] = ""
    """The quality; empty for the first."""
    run: Annotated[int, Field(ge=0, le=RUNS_MAX)] = 0
    """Of a recording in which the encoder changed its tracks, the piece, from 0."""


class ExportShown(ApiModel):
    """The export of a recording."""

    recording: str
    variant: str
    run: int
    state: ExportState
    reason: str
    """Why it failed."""
    asked_at: datetime
    bytes: int
    """Of the file so far."""
    expected_bytes: int
    """What it will have, about."""
    file: str | None
    """Path of the MP4, once it is ready; for a day, or until the server stops."""

    @classmethod
    def of(cls, export: Export) -> Self:
        """The answer about an export."""
        return cls(
            recording=export.recording_id,
            variant=export.variant,
            run=export.run,
            state=export.state,
            reason=export.reason,
            asked_at=export.asked_at,
            bytes=export.bytes,
            expected_bytes=export.expected_bytes,
            file=f"/api/v1/recordings/{export.recording_id}/export.mp4" if export.state is ExportState.READY else None,
        )
