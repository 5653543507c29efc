"""Stream keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field

from streamd.doors.web.models.common import (
    PAGE_LIMIT_DEFAULT,
    SEQUENCE_MAX,
    ApiModel,
    Cursor,
    Instant,
    KeyId,
    Limit,
    UserName,
)
from streamd.doors.web.models.nodes import DoneOnNodes
from streamd.services.keys.foreign_key import KEYS_MAX, ImportOutcome
from streamd.services.keys.records import (
    DeleteResult,
    IssuedKey,
    KeyRecord,
    KeyState,
    RevokeResult,
    RotatedKey,
    UserState,
)
from streamd.services.keys.request import LABEL_LENGTH_MAX, OVERLAP_S_MAX

if TYPE_CHECKING:
    from streamd.services.keys.foreign_key import ImportedAs
    from streamd.services.store.page import Page


class KeyPath(ApiModel):
    """The key in a path."""

    id: KeyId


class IssueRequest(ApiModel):
    """A new stream key."""

    user: UserName
    """Its user; an unknown user is created."""
    label: Annotated[str, Field(max_length=LABEL_LENGTH_MAX)] = ""
    """Its purpose, in your words."""
    expires_at: Instant | None = None
    """Time when it stops to work; null is never."""


class ForeignKey(ApiModel):
    """A key of another service, which its encoder keeps."""

    user: str
    """Its user; an unknown user is created."""
    secret: Annotated[str | None, Field(repr=False)] = None
    """What the encoder shows as its stream key, up to a `?`."""
    secret_sha256: Annotated[str | None, Field(repr=False)] = None
    """SHA-256 of it in 64 hexadecimal digits, in place of the secret. Whether such a secret is strong enough cannot be
    seen."""
    label: str = ""
    """Its purpose, in your words."""
    expires_at: Instant | None = None
    """Time when it stops to work; null is never."""
    line: Annotated[int, Field(ge=0, le=SEQUENCE_MAX)] = 0
    """Its line in your file, for the words about its faults; 0 for its place in the list."""


class ImportRequest(ApiModel):
    """Keys that exist elsewhere; all are imported or none."""

    keys: Annotated[list[ForeignKey], Field(min_length=1, max_length=KEYS_MAX)]
    allow_weak: bool = False
    """Take secrets, too, that are short enough to be guessed."""
    check_only: bool = False
    """Answer what would be, and write nothing."""


class ImportedKey(ApiModel):
    """A key after its import."""

    id: str
    user: str
    outcome: ImportOutcome
    """``imported``; or ``known``: it was there before, and stays as it is."""


class Import(ApiModel):
    """A completed import."""

    imported: int
    """Keys that are new."""
    known: int
    """Keys that were there before, and stay as they are; a revoked one stays revoked."""
    keys: list[ImportedKey]
    """In the order of the request."""

    @classmethod
    def of(cls, results: Sequence[ImportedAs]) -> Self:
        """The answer to an import."""
        new = len({result.key_id for result in results if result.outcome is ImportOutcome.IMPORTED})
        every = len({result.key_id for result in results})
        return cls(
            imported=new,
            known=every - new,
            keys=[ImportedKey(id=result.key_id, user=result.user, outcome=result.outcome) for result in results],
        )


class RotateRequest(ApiModel):
    """A new key in place of an old one."""

    overlap_s: Annotated[float, Field(ge=0, le=OVERLAP_S_MAX)] = 0
    """Seconds for which the old key goes on working; 0 kills it at once."""


class KeyQuery(ApiModel):
    """Which keys to list."""

    user: UserName | None = None
    state: KeyState | None = None
    search: Annotated[str, Field(max_length=100)] = ""
    """Only keys that have this text in their id, their label or the name of their user."""
    newest_first: bool = False
    """From the last issued back; else from the first on."""
    after: Cursor = 0
    """``next_after`` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class Key(ApiModel):
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


class NewKey(ApiModel):
    """A new stream key, which is shown only this once."""

    id: str
    user: str
    label: str
    state: KeyState
    user_state: UserState
    """The state of its user: no key of a suspended user opens a stream."""
    stream_key: Annotated[str, Field(repr=False)]
    """The stream key that the broadcaster types; it cannot be shown again."""
    rtmp_url: str
    """The server that the broadcaster types; plain RTMP where that is on, for it works with every encoder."""
    rtmp_urls: list[str]
    """All that the broadcaster could type, RTMPS first."""
    created_at: datetime
    expires_at: datetime | None
    replaces: str | None = None
    """Of a rotation: id of the old key."""
    replaced_works_until: datetime | None = None
    """Of a rotation: when the old key stops to work, or stopped."""
    closed: Sequence[str] = ()
    """Of a rotation: names of the streams that ran on the old key and were closed with it."""

    @classmethod
    def of(cls, issued: IssuedKey, rtmp_urls: Sequence[str]) -> Self:
        """The answer to issuing and rotating."""
        record = issued.record
        replaced = issued.replaced if isinstance(issued, RotatedKey) else None
        return cls(
            id=record.key_id,
            user=record.user,
            label=record.label,
            state=KeyState.ACTIVE,
            stream_key=issued.stream_key.reveal(),
            user_state=issued.user_state,
            rtmp_url=rtmp_urls[-1],
            rtmp_urls=list(rtmp_urls),
            created_at=record.created_at,
            expires_at=record.expires_at,
            replaces=replaced.key_id if replaced is not None else None,
            replaced_works_until=(replaced.revoked_at or replaced.expires_at) if replaced is not None else None,
            closed=issued.closed if isinstance(issued, RotatedKey) else (),
        )


class KeyPage(ApiModel):
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


class KeyDeletion(ApiModel):
    """A completed deletion of a key."""

    id: str
    closed: list[str]
    """Names of the streams that it closed."""

    @classmethod
    def of(cls, result: DeleteResult) -> Self:
        """The answer to deleting a key."""
        return cls(id=result.name, closed=list(result.closed))


class Revocation(DoneOnNodes):
    """A revocation: the key is refused, and what ran on it is closed."""

    id: str
    revoked_at: datetime
    reason: str
    """Why; of a key that was revoked before, as it was said then."""
    closed: list[str]
    """Names of the streams that it closed."""
    unwritten: str = ""
    """The facts that the key store does not have yet, the reason, and the consequence, with the status 202. Else
    empty."""

    @classmethod
    def of(cls, result: RevokeResult) -> Self:
        """The answer to revoking."""
        return cls(
            id=result.key_id,
            revoked_at=result.revoked_at,
            reason=result.reason,
            closed=list(result.closed),
            unwritten=result.unwritten,
            nodes=result.nodes,
        )
