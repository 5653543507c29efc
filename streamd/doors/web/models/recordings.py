"""Recordings, as the admin API has them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from streamd.doors.web.models.common import PAGE_LIMIT_DEFAULT, ApiModel, Limit, Reason, UserName
from streamd.doors.web.models.playback import NO_POLICIES, PlaybackChange
from streamd.services.playback.policy import Policy
from streamd.services.recording.records import (
    RETENTION_RULES,
    RecordingMode,
    RecordingState,
    Visibility,
)

if TYPE_CHECKING:
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.store.page import Page

TITLE_LENGTH_MAX = 200

RecordingId = Annotated[
    str, Field(pattern="^rec_[0-7][0-9a-hjkmnp-tv-z]{25}$", examples=["rec_01kjmg3m00q8p4w6s2v0x9y7z5"])
]
Before = Annotated[str, Field(pattern="^(rec_[0-9a-z]{26})?$")]


class RecordingPath(ApiModel):
    """The recording in a path."""

    id: RecordingId


class RecordingQuery(ApiModel):
    """Which recordings to list."""

    user: UserName | None = None
    state: RecordingState | None = None
    """All but deleted ones where it is left out."""
    before: Before = ""
    """``next_before`` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class RecordingChange(ApiModel):
    """Changes of a recording; fields that are left out stay."""

    title: Annotated[str, Field(max_length=TITLE_LENGTH_MAX)] | None = None
    visibility: Visibility | None = None
    keep: bool | None = None
    """No rule deletes it: not its age, and no want of space."""
    playback: Policy | PlaybackChange | None = None
    """Who may watch it and its clips; null: as its channel. Whoever watches without what is needed from now on is
    cut."""
    reason: Reason = ""
    """For the audit log, in your words."""

    @property
    def changes_record(self) -> bool:
        """Whether anything but who may watch is changed."""
        return self.title is not None or self.visibility is not None or self.keep is not None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        # Of playback null is a change too.
        if not self.changes_record and "playback" not in self.model_fields_set:
            raise ValueError("title, visibility, keep or playback")
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
    playback: Policy | None = None
    """Who may watch it; null: as its channel."""

    @classmethod
    def of(cls, record: RecordingRecord, policies: Mapping[str, str] = NO_POLICIES) -> Self:
        """The answer about a recording.

        Args:
            record: The recording.
            policies: Who may watch those for which that is decided, by id.
        """
        policy = policies.get(record.id)
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
            playback=None if policy is None else Policy(policy),
        )


class RecordingPage(ApiModel):
    """Recordings, the newest first."""

    recordings: list[Recording]
    next_before: str | None
    """``before`` of the next page; null on the last."""
    mode: RecordingMode
    """Which broadcasts are recorded, where nothing else is decided for a user."""

    @classmethod
    def of(cls, page: Page[RecordingRecord], mode: RecordingMode, policies: Mapping[str, str] = NO_POLICIES) -> Self:
        """The answer to a list of recordings."""
        return cls(
            recordings=[Recording.of(record, policies) for record in page.items],
            next_before=page.items[-1].id if page.has_more else None,
            mode=mode,
        )


class ChannelRecordingsQuery(ApiModel):
    """Which recordings of a channel to list."""

    before: Before = ""
    """``next_before`` of the page before."""


class ChannelRecording(ApiModel):
    """A recording, as everybody may see it."""

    id: str
    state: Literal["recording", "finalizing", "uploading", "ready", "partial", "failed"]
    """``recording``: it goes on, and can be watched from its beginning. ``partial``: a crash has cost some of it.
    ``failed``: it ended early."""
    title: str
    """Empty where nobody has given it one."""
    started_at: datetime
    duration_s: float
    playlist: str
    """Address of the HLS multivariant playlist."""
    mp4: str
    """Address of all of it as one file."""
    watch: str
    """Address of its page."""


class RecordingFacts(ChannelRecording):
    """A recording with its pictures, as everybody may see it."""

    user: str
    poster: str | None
    """Address of a picture; null where none is drawn yet, and to strangers of a recording that not everybody may
    watch."""
    storyboard: str | None
    """Address of its storyboard, WebVTT; null likewise."""


class ChannelRecordings(ApiModel):
    """The public recordings of a channel, the newest first."""

    recordings: list[ChannelRecording]
    next_before: str | None
    """``before`` of the next page; null on the last."""

    @classmethod
    def of(cls, page: Page[RecordingRecord], root: str = "") -> Self:
        """The answer to a list of a channel's recordings; what failed before its first second is left out.

        Args:
            page: A piece of the list.
            root: Path of the server on its site, without a slash at the end.
        """
        seen = [record for record in page.items if record.state is not RecordingState.FAILED or record.duration_ms]
        return cls(
            recordings=[
                ChannelRecording.model_validate(
                    {
                        "id": record.id,
                        "state": record.state.value,
                        "title": record.title,
                        "started_at": record.started_at,
                        "duration_s": record.duration_ms / 1000,
                        "playlist": f"{root}/vod/{record.id}/index.m3u8",
                        "mp4": f"{root}/vod/{record.id}.mp4",
                        "watch": f"{root}/watch/vod/{record.id}",
                    }
                )
                for record in seen
            ],
            next_before=page.items[-1].id if page.has_more else None,
        )


class OwnRecordingsQuery(ApiModel):
    """Which of a broadcaster's recordings to list."""

    state: RecordingState | None = None
    """All but deleted ones where it is left out."""
    before: Before = ""
    """``next_before`` of the page before."""


class OwnRecordingChange(ApiModel):
    """Changes of a recording by its broadcaster; fields that are left out stay."""

    title: Annotated[str, Field(max_length=TITLE_LENGTH_MAX)] | None = None
    visibility: Visibility | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.title is None and self.visibility is None:
            raise ValueError("title or visibility")
        return self


class OwnRecording(ApiModel):
    """A recording, as its broadcaster sees it."""

    id: str
    state: RecordingState
    reason: str
    """Why it failed, or by which rule of the server it was deleted; the words of an operator are not here."""
    title: str
    visibility: Visibility
    keep: bool
    """An operator has pinned it: no rule deletes it."""
    started_at: datetime
    duration_s: float
    bytes: int

    @classmethod
    def of(cls, record: RecordingRecord) -> Self:
        """The answer about a recording."""
        is_told = record.state is not RecordingState.DELETED or record.reason in RETENTION_RULES
        return cls(
            id=record.id,
            state=record.state,
            reason=record.reason if is_told else "",
            title=record.title,
            visibility=record.visibility,
            keep=record.is_kept,
            started_at=record.started_at,
            duration_s=record.duration_ms / 1000,
            bytes=record.size_bytes if record.state is not RecordingState.DELETED else 0,
        )


class OwnRecordings(ApiModel):
    """A broadcaster's recordings, the newest first."""

    recordings: list[OwnRecording]
    next_before: str | None
    """``before`` of the next page; null on the last."""
    is_recorded: bool
    """Whether broadcasts of this channel are recorded by themselves."""
    is_off: bool
    """Recording is off for this channel: nobody can ask for it either."""


class DeleteQuery(ApiModel):
    """Why a recording is deleted."""

    reason: Reason = ""
    """For the audit log, in your words."""
