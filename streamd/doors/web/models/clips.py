"""Clips, as both ports have them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from streamd.doors.web.models.common import PAGE_LIMIT_DEFAULT, ApiModel, Limit, UserName
from streamd.doors.web.models.recordings import TITLE_LENGTH_MAX, RecordingId
from streamd.services.recording.clip_records import ClipState
from streamd.services.recording.clip_times import ClipTimes

if TYPE_CHECKING:
    from streamd.services.recording.clip_records import Clip
    from streamd.services.recording.clip_times import Moment
    from streamd.services.store.page import Page

# Ten thousand years; a recording of a year has 3e7.
SECONDS_MAX = 3e11
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

ClipId = Annotated[
    str, Field(pattern="^clip_[0-7][0-9a-hjkmnp-tv-z]{25}$", examples=["clip_01kjmg3m00q8p4w6s2v0x9y7z5"])
]


def _instant(text: str) -> str:
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError(text)
        # A time that is out of its range, or of years that no clock has, is none.
        datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("seconds of the recording, or a time as RFC 3339 has it: 2026-03-01T12:00:00.000Z") from None
    return text.upper()


Seconds = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-SECONDS_MAX, le=SECONDS_MAX)]
Time = Seconds | Annotated[str, Field(strict=True, max_length=40), AfterValidator(_instant)]


class ClipPath(ApiModel):
    """The clip in a path."""

    id: ClipId


class ClipQuery(ApiModel):
    """Which clips to list."""

    user: UserName | None = None
    recording: RecordingId | None = None
    state: ClipState | None = ClipState.READY
    before: Annotated[str, Field(pattern="^(clip_[0-9a-z]{26})?$")] = ""
    """``next_before`` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class ClipRequest(ApiModel):
    """What a clip is to be: a piece of a broadcast that is being recorded (`stream`), or of a recording."""

    stream: UserName | None = None
    recording: RecordingId | None = None
    start: Time | None = None
    """Seconds from the beginning of the recording, or an instant as RFC 3339 has it: that of the picture which a viewer
    sees, as EXT-X-PROGRAM-DATE-TIME tells their player."""
    end: Time | None = None
    """Likewise, behind `start`."""
    last_s: Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=SECONDS_MAX)] | None = None
    """In place of both: so many seconds up to now, or to the end."""
    title: Annotated[str, Field(max_length=TITLE_LENGTH_MAX)] = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.stream is None) == (self.recording is None):
            raise ValueError("either stream or recording")
        has_ends = self.start is not None, self.end is not None
        if (self.last_s is None) != all(has_ends) or any(has_ends) != all(has_ends):
            raise ValueError("either start and end, or last_s")
        return self

    @property
    def times(self) -> ClipTimes:
        """The times that are asked for."""
        if self.last_s is not None:
            # A part of a millisecond is one.
            return ClipTimes(last_ms=max(1, round(self.last_s * 1000)))
        assert self.start is not None
        assert self.end is not None
        return ClipTimes(_moment(self.start), _moment(self.end))


class ClipChange(ApiModel):
    """What to change of a clip."""

    title: Annotated[str, Field(max_length=TITLE_LENGTH_MAX)]
    """Empty: none."""


class ClipFacts(ApiModel):
    """A clip, as everybody may know it."""

    id: str
    user: str
    state: ClipState
    title: str
    created_at: datetime
    started_at: datetime
    """When its first picture was taken."""
    start: float
    """As it was asked for, seconds from the beginning of the recording."""
    end: float
    start_actual: float
    """Where its first segment begins: at `start` or before, as a clip is whole segments."""
    end_actual: float
    """Where its last segment ends: at `end` or behind, or where what was recorded ends."""
    duration_s: float
    playlist: str
    """Path of its HLS playlist on the public port."""
    mp4: str
    """Path of all of it as one MP4."""
    watch: str
    """Path of its page."""

    @classmethod
    def facts_of(cls, clip: Clip, root: str = "") -> dict[str, object]:
        """The fields by their names.

        Args:
            clip: The clip.
            root: Path of the server on its site, without a slash at the end.
        """
        return {
            "id": clip.id,
            "user": clip.user,
            "state": clip.state,
            "title": clip.title,
            "created_at": clip.created_at,
            "started_at": clip.began_at,
            "start": clip.start_ms / 1000,
            "end": clip.end_ms / 1000,
            "start_actual": clip.start_actual_ms / 1000,
            "end_actual": clip.end_actual_ms / 1000,
            "duration_s": clip.duration_ms / 1000,
            "playlist": f"{root}/vod/{clip.id}/index.m3u8",
            "mp4": f"{root}/vod/{clip.id}.mp4",
            "watch": f"{root}/clip/{clip.id}",
        }

    @classmethod
    def of(cls, clip: Clip, root: str = "") -> Self:
        """The answer about a clip, whose addresses begin with ``root``."""
        return cls.model_validate(cls.facts_of(clip, root))


class ClipShown(ClipFacts):
    """A clip, as operators have it."""

    recording: str
    """Id of its recording, which no rule deletes while the clip is there."""
    created_by: str
    reason: str
    """Why it was deleted."""
    bytes: int

    @classmethod
    def of(cls, clip: Clip, root: str = "") -> Self:
        """The answer about a clip, whose addresses begin with ``root``."""
        return cls.model_validate(
            cls.facts_of(clip, root)
            | {
                "recording": clip.recording_id,
                "created_by": clip.created_by,
                "reason": clip.reason,
                "bytes": clip.size_bytes,
            }
        )


class OwnClipsQuery(ApiModel):
    """Which of a broadcaster's clips to list."""

    before: Annotated[str, Field(pattern="^(clip_[0-9a-z]{26})?$")] = ""
    """``next_before`` of the page before."""


class OwnClips(ApiModel):
    """A broadcaster's clips, the newest first."""

    clips: list[ClipFacts]
    next_before: str | None
    """``before`` of the next page; null on the last."""
    may_make: bool
    """Broadcasters may make some."""
    max_s: int
    """The longest, seconds."""


class ClipPage(ApiModel):
    """Clips, the newest first."""

    clips: list[ClipShown]
    next_before: str | None
    """``before`` of the next page; null on the last."""

    @classmethod
    def of(cls, page: Page[Clip]) -> Self:
        """The answer to a list of clips."""
        return cls(
            clips=[ClipShown.of(clip) for clip in page.items],
            next_before=page.items[-1].id if page.has_more else None,
        )


def _moment(time: float | str) -> Moment:
    return datetime.fromisoformat(time) if isinstance(time, str) else round(time * 1000)
