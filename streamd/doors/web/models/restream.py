"""Targets, other servers that a broadcast is passed on to, as the ports have them. None has a stream key."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from streamd.doors.web.models.common import ApiModel, UserName
from streamd.services.keys.request import LABEL_LENGTH_MAX
from streamd.services.restream.place import STREAM_KEY_CHARS_MAX, URL_CHARS_MAX
from streamd.services.restream.target import ID_PATTERN, TargetState

if TYPE_CHECKING:
    from streamd.services.restream.service import Target as ServiceTarget

TargetId = Annotated[str, Field(pattern=f"^{ID_PATTERN}$", examples=["tgt_01kjmg3m00q8p4w6s2v0x9y7z5"])]
Url = Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX, examples=["rtmps://a.rtmps.youtube.com/live2"])]
StreamKey = Annotated[str, Field(min_length=1, max_length=STREAM_KEY_CHARS_MAX)]
Label = Annotated[str, Field(max_length=LABEL_LENGTH_MAX)]


class TargetOwnerPath(ApiModel):
    """The user in a path."""

    name: UserName


class TargetPath(ApiModel):
    """A user's target in a path."""

    name: UserName
    id: TargetId


class NewTarget(ApiModel):
    """A target that is to be added."""

    url: Url
    """``rtmp://HOST/APP`` or ``rtmps://HOST/APP``: the *server* that the service names for encoders."""
    stream_key: StreamKey
    """The stream key that the service gives. It is kept locked, and never shown again."""
    label: Label = ""
    """For people."""
    enabled: bool = True


class TargetChange(ApiModel):
    """What of a target is to be changed; what is left out stays."""

    url: Url | None = None
    stream_key: StreamKey | None = None
    label: Label | None = None
    enabled: bool | None = None


class RestreamTarget(ApiModel):
    """A target, and what has become of it in the broadcast that runs."""

    id: TargetId
    user: UserName
    url: str
    key_hint: str
    """The end of its stream key."""
    label: str
    enabled: bool
    created_at: datetime
    state: TargetState
    """``live`` means that the target's machine has acknowledged bytes in the last five seconds."""
    since: datetime | None
    """When it came to this state; null where no broadcast runs."""
    kbps: int
    """Acknowledged in the last seconds."""
    acked_bytes: int
    """Acknowledged in this broadcast."""
    dropped: int
    """Frames that were left out, as the target was slow."""
    attempts: int
    """Connections begun in this broadcast."""
    last_error: str
    """Why the last connection ended, or the target's own words; empty for none."""

    @classmethod
    def of(cls, target: ServiceTarget) -> RestreamTarget:
        """The answer about a target."""
        record, report = target.record, target.report
        return cls(
            id=record.target_id,
            user=record.user,
            url=record.place.url,
            key_hint=record.key_hint,
            label=record.label,
            enabled=record.is_enabled,
            created_at=record.created_at,
            state=report.state,
            since=report.since,
            kbps=report.kbps,
            acked_bytes=report.acked_bytes,
            dropped=report.dropped,
            attempts=report.attempts,
            last_error=report.last_error,
        )


class RestreamTargetList(ApiModel):
    """A user's targets, in the order in which they were made."""

    targets: list[RestreamTarget]


class OwnTargets(ApiModel):
    """A broadcaster's own targets, for their studio."""

    targets: list[RestreamTarget]
    targets_max: int
    """How many they may have."""


class TargetDeletion(ApiModel):
    """A target is deleted."""

    id: TargetId
