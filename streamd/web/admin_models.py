"""What goes over the wire of the admin API: requests that validate, answers that document themselves.

CONTRACT.md, Admin HTTP. The command line makes its answers with the same types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from streamd.keys.records import (
    USER_NAME,
    AuditRecord,
    IssuedKey,
    KeyRecord,
    KeyState,
    Page,
    RevokeResult,
    UserRecord,
    UserState,
)
from streamd.keys.request import (
    BITRATE_KBPS_RANGE,
    LABEL_LENGTH_MAX,
    OVERLAP_S_MAX,
    PAGE_LIMIT_MAX,
    PICTURE_PIXELS_RANGE,
    REASON_LENGTH_MAX,
)
from streamd.keys.stream_key import KEY_ID_ALPHABET, KEY_ID_LENGTH
from streamd.live.health import HealthCode, HealthStatus, Severity

if TYPE_CHECKING:
    from streamd.web.live_streams import StreamSummary

PAGE_LIMIT_DEFAULT = 100
# An address, a name, some words of a reason.
SEARCH_LENGTH_MAX = 100
# The largest running number of either database.
SEQUENCE_MAX = 2**63 - 1

KeyId = Annotated[str, Field(pattern=f"^[{KEY_ID_ALPHABET}]{{{KEY_ID_LENGTH}}}$", examples=["7k2m9xq4ct"])]
UserName = Annotated[str, Field(pattern=f"^{USER_NAME.pattern}$", examples=["alice"])]
Limit = Annotated[int, Field(ge=1, le=PAGE_LIMIT_MAX)]
Cursor = Annotated[int, Field(ge=0, le=SEQUENCE_MAX)]
Reason = Annotated[str, Field(max_length=REASON_LENGTH_MAX)]
Instant = Annotated[AwareDatetime, AfterValidator(lambda value: value.astimezone(UTC))]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, from_attributes=True)


# -- requests -----------------------------------------------------------------------------------


class KeyPath(_Model):
    """Which key a path is about."""

    id: KeyId


class UserPath(_Model):
    """Which user, or stream of that name, a path is about."""

    name: UserName


class IssueRequest(_Model):
    """A new stream key."""

    user: UserName
    """Whose it is; an unknown user is created."""
    label: Annotated[str, Field(max_length=LABEL_LENGTH_MAX)] = ""
    """What it is for, in your words."""
    expires_at: Instant | None = None
    """When it stops to work; null is never."""


class RotateRequest(_Model):
    """A new key in place of an old one."""

    overlap_s: Annotated[float, Field(ge=0, le=OVERLAP_S_MAX)] = 0
    """Seconds for which the old key goes on working; 0 kills it at once."""


class ReasonRequest(_Model):
    """Why something is revoked or kicked."""

    reason: Reason = ""
    """For the audit log, in your words."""


class UserLimits(_Model):
    """What a user may send; null is what the server's configuration allows everybody."""

    bitrate_kbps_max: Annotated[int, Field(ge=BITRATE_KBPS_RANGE[0], le=BITRATE_KBPS_RANGE[1])] | None = None
    """Kilobits a second, audio and video. A stream past it ends and says why, also one that runs already."""
    picture_pixels_max: Annotated[int, Field(ge=PICTURE_PIXELS_RANGE[0], le=PICTURE_PIXELS_RANGE[1])] | None = None
    """Width times height of a picture. Encoders pad: 1080p is 2088960. A stream with larger pictures ends and says
    why; one that runs already goes on until its encoder starts anew."""


class UserChange(_Model):
    """What is to be changed of a user; what is left out stays."""

    state: UserState | None = None
    limits: UserLimits | None = None
    """Of these, too, what is left out stays; null is the server's own limit again."""
    reason: Reason = ""
    """For the audit log, in your words."""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.state is None and self.limits is None:
            raise ValueError("state or limits, or both")
        return self


class KeyQuery(_Model):
    """Which keys to list."""

    user: UserName | None = None
    state: KeyState | None = None
    newest_first: bool = False
    """From the last issued back; else from the first on."""
    after: Cursor = 0
    """``next_after`` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class UserQuery(_Model):
    """Which users to list."""

    state: UserState | None = None
    after: Annotated[str, Field(pattern="^[a-z0-9_-]{0,64}$")] = ""
    """``next_after`` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class AuditQuery(_Model):
    """Which audit rows to list."""

    newest_first: bool = False
    """From the last row back; else from the first on."""
    search: Annotated[str, Field(max_length=SEARCH_LENGTH_MAX)] = ""
    """Only rows that have this text somewhere, whatever the case of its letters."""
    after: Cursor = 0
    """``next_after`` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


# -- answers ------------------------------------------------------------------------------------


class Key(_Model):
    """A stream key, without its secret."""

    id: str
    user: str
    label: str
    state: KeyState
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    last_used_address: str
    revoked_at: datetime | None
    revoked_by: str
    revoke_reason: str
    replaced_by: str | None
    """Id of the key it was rotated to."""

    @classmethod
    def of(cls, record: KeyRecord, state: KeyState) -> Self:
        """The key as it is now."""
        return cls(
            id=record.key_id,
            user=record.user,
            label=record.label,
            state=state,
            created_at=record.created_at,
            created_by=record.created_by,
            expires_at=record.expires_at,
            last_used_at=record.last_used_at,
            last_used_address=record.last_used_address,
            revoked_at=record.revoked_at,
            revoked_by=record.revoked_by,
            revoke_reason=record.revoke_reason,
            replaced_by=record.replaced_by,
        )


class NewKey(_Model):
    """A stream key at the only time when it is seen."""

    id: str
    user: str
    label: str
    state: KeyState
    stream_key: Annotated[str, Field(repr=False)]
    """What the broadcaster types; it cannot be shown again."""
    rtmp_url: str
    """What the broadcaster types as server."""
    created_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, issued: IssuedKey, rtmp_url: str) -> Self:
        """The answer to issuing and rotating."""
        record = issued.record
        return cls(
            id=record.key_id,
            user=record.user,
            label=record.label,
            state=KeyState.ACTIVE,
            stream_key=issued.stream_key.reveal(),
            rtmp_url=rtmp_url,
            created_at=record.created_at,
            expires_at=record.expires_at,
        )


class KeyPage(_Model):
    """Keys in the order they were issued, or from the last back."""

    keys: list[Key]
    next_after: int | None
    """``after`` of the next page; null on the last."""

    @classmethod
    def of(cls, page: Page[KeyRecord], state_of: Callable[[KeyRecord], KeyState]) -> Self:
        """The answer to a list of keys."""
        return cls(
            keys=[Key.of(record, state_of(record)) for record in page.items],
            next_after=page.items[-1].sequence if page.has_more else None,
        )


class Revocation(_Model):
    """A revocation that is done."""

    id: str
    revoked_at: datetime
    closed: list[str]
    """Names of the streams that it closed."""

    @classmethod
    def of(cls, result: RevokeResult) -> Self:
        """The answer to revoking."""
        return cls(id=result.key_id, revoked_at=result.revoked_at, closed=list(result.closed))


class User(_Model):
    """A user, who is also the channel of that name."""

    name: str
    state: UserState
    created_at: datetime
    suspended_at: datetime | None
    suspend_reason: str
    limits: UserLimits


class UserPage(_Model):
    """Users in the order of their names."""

    users: list[User]
    next_after: str | None
    """``after`` of the next page; null on the last."""

    @classmethod
    def of(cls, page: Page[UserRecord]) -> Self:
        """The answer to a list of users."""
        return cls(
            users=[User.model_validate(record) for record in page.items],
            next_after=page.items[-1].name if page.has_more else None,
        )


class AuditRow(_Model):
    """One row of the audit log."""

    sequence: int
    at: datetime
    actor: str
    address: str
    action: str
    user: str | None
    key_id: str | None
    stream: str | None
    reason: str
    count: int
    """How often; refused publishes that are alike are one row, written a minute after the first."""

    @classmethod
    def of(cls, record: AuditRecord) -> Self:
        """The row as it goes out."""
        entry = record.entry
        return cls(
            sequence=record.sequence,
            at=entry.at,
            actor=entry.actor,
            address=entry.address,
            action=entry.action,
            user=entry.user,
            key_id=entry.key_id,
            stream=entry.stream,
            reason=entry.reason,
            count=entry.count,
        )


class AuditPage(_Model):
    """Audit rows in the order they were written, or from the last back."""

    entries: list[AuditRow]
    next_after: int | None
    """``after`` of the next page; null on the last."""

    @classmethod
    def of(cls, page: Page[AuditRecord]) -> Self:
        """The answer to a list of audit rows."""
        return cls(
            entries=[AuditRow.of(record) for record in page.items],
            next_after=page.items[-1].sequence if page.has_more else None,
        )


class Finding(_Model):
    """One thing that is wrong with a live stream."""

    code: HealthCode
    """Stable: for programs."""
    severity: Severity
    """``error``: viewers do not see or hear it right; ``warning``: some may not; ``info``: they do not notice."""
    message: str
    """What is wrong, with what was measured."""
    advice: str
    """What the broadcaster should change, naming OBS's menu and field."""
    since: datetime


class StreamHealth(_Model):
    """How well a live stream arrives."""

    status: HealthStatus
    """``good``; ``ok``: the worst finding is a warning; ``bad``: there is an error; ``no_data``: nothing can be played
    yet, or the publisher is away."""
    findings: list[Finding]
    """The worst first."""


class Stream(_Model):
    """A live stream, as its operator sees it."""

    name: str
    key_id: str
    live_since: datetime
    publisher_address: str
    encoder: str
    """What the publisher's software calls itself."""
    codecs: list[str]
    """RFC 6381 codecs of its tracks."""
    width: int
    """Picture width in pixels; 0 without video."""
    height: int
    """Picture height in pixels; 0 without video."""
    bitrate_bps: float
    """Bits a second, over the last seconds."""
    frame_rate: float
    """Frames to a second of media, over the last seconds; 0 without video."""
    keyframe_interval_s: float | None
    """Seconds between the last two keyframes; null before there are two."""
    health: StreamHealth
    viewers: Mapping[str, int]
    """Viewers by protocol: ``hls``, ``flv``, ``mp4``."""
    tags_dropped: int
    """Media tags that were not carried, since it began."""
    timestamps_repaired: int
    """Since it began."""


class StreamList(_Model):
    """The streams that are live now, by name."""

    streams: list[Stream]

    @classmethod
    def of(cls, summaries: Iterable[StreamSummary]) -> Self:
        """The answer to a list of streams."""
        ordered = sorted(summaries, key=lambda summary: summary.name)
        return cls(streams=[Stream.model_validate(summary) for summary in ordered])


class HistorySample(_Model):
    """The server's own figures of some seconds."""

    at: datetime
    """The end of these seconds."""
    ingest_bps: float
    """Bits a second received over RTMP."""
    egress_bps: float
    """Bits a second sent to viewers."""
    streams: int
    """Live streams."""
    viewers: int
    """Over all protocols; over HLS an estimate."""
    part_delay_ms: float | None
    """What 95 % of the parts were not later than; null where there was no part."""
    cpu_percent: float | None
    """Of one core; null where the operating system does not tell."""
    memory_bytes: int | None
    """Resident memory of the process; null likewise."""


class HistoryAnswer(_Model):
    """The last hour, or as much of it as the server runs."""

    interval_s: float
    """From one sample to the next."""
    samples: list[HistorySample]
    """Oldest first."""


class NewSession(_Model):
    """A session of a console."""

    token: Annotated[str, Field(repr=False)]
    """To be shown in place of the admin token."""
    expires_at: datetime


class EndedSession(_Model):
    """A session that is over."""

    ended: bool


class Kick(_Model):
    """A kick that is done."""

    name: str
    kicked: bool
    """Whether it was live until then."""


class Health(_Model):
    """Whether the server is well."""

    status: str
    """``ok``, or what is wrong."""


class Problem(_Model):
    """An error. Spec: RFC 9457."""

    type: str = "about:blank"
    title: str
    """The HTTP status in words."""
    status: int
    detail: str
    """What is wrong with this request, and what to do."""
    errors: list[str] = []
    """Each fault of the body or query, with the field it is in."""
