"""Recordings, as the admin API has them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from streamd.doors.web.models.common import PAGE_LIMIT_DEFAULT, ApiModel, Limit, Reason, UserName
from streamd.services.recording.records import RecordingRecord, RecordingState, Visibility
from streamd.services.store.page import Page

TITLE_LENGTH_MAX = 200

RecordingId = Annotated[
    str, Field(pattern="^rec_[0-7][0-9a-hjkmnp-tv-z]{25}$", examples=["rec_01kjmg3m00q8p4w6s2v0x9y7z5"])
]


class RecordingPath(ApiModel):
    """The recording in a path."""

    id: RecordingId


class RecordingQuery(ApiModel):
    """Which recordings to list."""

    user: UserName | None = None
    state: RecordingState | None = None
    """All but deleted ones where it is left out."""
    before: Annotated[str, Field(pattern="^(rec_[0-9a-z]{26})?$")] = ""
    """``next_before`` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class RecordingChange(ApiModel):
    """Changes of a recording; fields that are left out stay."""

    title: Annotated[str, Field(max_length=TITLE_LENGTH_MAX)] | None = None
    visibility: Visibility | None = None
    keep: bool | None = None
    """No rule deletes it: not its age, and no want of space."""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.title is None and self.visibility is None and self.keep is None:
            raise ValueError("title, visibility or keep")
        return self


class RecordRequest(ApiModel):
    """What is asked of the recording of a live stream."""

    action: Literal["start", "stop"]
    """``start`` records from the next segment on; ``stop`` completes the recording, and none begins in this
    broadcast."""


class RecordAnswer(ApiModel):
    """The recording of a live stream."""

    name: str
    recording_id: str | None
    """The recording that goes on; null where none does, or where it begins with the next segment."""


class Recording(ApiModel):
    """A recording."""

    id: str
    user: str
    state: RecordingState
    reason: str
    """Why it failed, or was deleted."""
    title: str
    visibility: Visibility
    keep: bool
    started_at: datetime
    ended_at: datetime | None
    duration_s: float
    bytes: int
    """Of its media."""
    path: str
    """Its folder under the directory of recordings."""
    playlist: str
    """Path of its playlist on the public port."""

    @classmethod
    def of(cls, record: RecordingRecord) -> Self:
        """The answer about a recording."""
        return cls(
            id=record.id,
            user=record.user,
            state=record.state,
            reason=record.reason,
            title=record.title,
            visibility=record.visibility,
            keep=record.is_kept,
            started_at=record.started_at,
            ended_at=record.ended_at,
            duration_s=record.duration_ms / 1000,
            bytes=record.size_bytes,
            path=record.path,
            playlist=f"/vod/{record.id}/index.m3u8",
        )


class RecordingPage(ApiModel):
    """Recordings, the newest first."""

    recordings: list[Recording]
    next_before: str | None
    """``before`` of the next page; null on the last."""

    @classmethod
    def of(cls, page: Page[RecordingRecord]) -> Self:
        """The answer to a list of recordings."""
        return cls(
            recordings=[Recording.of(record) for record in page.items],
            next_before=page.items[-1].id if page.has_more else None,
        )


class DeleteQuery(ApiModel):
    """Why a recording is deleted."""

    reason: Reason = ""
    """For the audit log, in your words."""
