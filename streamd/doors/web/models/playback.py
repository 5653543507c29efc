"""Who may watch, as the admin API has it: keys of tokens, tokens, policies and revocations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final, Self

from pydantic import Field, model_validator

from streamd.doors.web.models.common import ApiModel, Reason
from streamd.services.keys.request import LABEL_LENGTH_MAX, OVERLAP_S_MAX
from streamd.services.playback.claims import (
    COUNTRIES_MAX,
    ID_CHARS_MAX,
    NETWORKS_MAX,
    REFERRERS_MAX,
    TOKEN_S_MAX,
    VIEWERS_MAX,
)
from streamd.services.playback.policy import Policy
from streamd.services.playback.revocations import RevocationKind
from streamd.services.playback.verifying_key import KID_CHARS_MAX, Algorithm

if TYPE_CHECKING:
    from streamd.services.playback.records import PlaybackKeyRecord
    from streamd.services.playback.service import NewPlaybackKey, Revocation

Name = Annotated[str, Field(min_length=1, max_length=ID_CHARS_MAX)]
TTL_S_DEFAULT = 3600
NO_POLICIES: Final[Mapping[str, str]] = MappingProxyType({})


class PlaybackChange(ApiModel):
    """Who may watch a channel, with what that needs."""

    policy: Policy
    password: Annotated[str, Field(min_length=4, max_length=128)] | None = None
    """Of the channel, for the policy ``password``; null leaves the one that it has. Whoever watches by the one before
    is cut."""


class PlaybackKeyPath(ApiModel):
    """The playback key in a path."""

    id: Annotated[str, Field(pattern="^[!-.0-~]{1,128}$", examples=["pk_0a1b2c3d4e"])]


class PlaybackKeyRequest(ApiModel):
    """A key that is to be made, or whose public half is given."""

    algorithm: Algorithm = Algorithm.EDDSA
    label: Annotated[str, Field(max_length=LABEL_LENGTH_MAX)] = ""
    """Its purpose, in your words."""
    public_key: Annotated[str, Field(max_length=4096)] = ""
    """PEM of a public key whose private half stays with you. Empty: a key is made."""


class PlaybackRotateRequest(ApiModel):
    """How to replace a key."""

    overlap_s: Annotated[float, Field(ge=0, le=OVERLAP_S_MAX)] = 0
    """Seconds for which the old one is good for new tokens."""


class PlaybackKey(ApiModel):
    """A key that tokens are signed with, without its private half."""

    id: str
    """``kid`` of tokens."""
    algorithm: Algorithm
    label: str
    created_at: datetime
    created_by: str
    ends_at: datetime | None
    """From then on it is good for no new token; null: no end."""
    withdrawn_at: datetime | None
    """Since then nothing of it is good; null: it is not withdrawn."""
    replaced_by: str | None
    """The key that it was rotated to."""

    @classmethod
    def of(cls, record: PlaybackKeyRecord) -> Self:
        """The answer about a key."""
        return cls(
            id=record.kid,
            algorithm=record.algorithm,
            label=record.label,
            created_at=record.created_at,
            created_by=record.created_by,
            ends_at=record.ends_at,
            withdrawn_at=record.withdrawn_at,
            replaced_by=record.replaced_by or None,
        )


class NewPlaybackKeyAnswer(PlaybackKey):
    """A key that was made."""

    private_key: str | None
    """PEM of the private key (PKCS #8), or the secret of HS256, which signs as the text that it is. Shown here alone;
    null where you gave the public half."""

    @classmethod
    def of_new(cls, made: NewPlaybackKey) -> Self:
        """The answer to making a key."""
        return cls(**dict(PlaybackKey.of(made.record)), private_key=made.private or None)


class PlaybackKeyList(ApiModel):
    """The playback keys, in the order in which they were made."""

    keys: Sequence[PlaybackKey]


class PlaybackTokenRequest(ApiModel):
    """A token that the server is to sign; its claims."""

    channel: Annotated[str, Field(min_length=1, max_length=64)]
    """The channel, or the id of a recording (``sub``)."""
    ttl_s: Annotated[int, Field(ge=1, le=TOKEN_S_MAX)] = TTL_S_DEFAULT
    """Seconds for which it is good; then whoever watches by it is cut (``exp``)."""
    aud: Annotated[Sequence[str], Field(min_length=1, max_length=4)] = ("v", "t", "s")
    """What it is for: ``v`` video, ``t`` posters, ``s`` storyboards, ``c`` clips."""
    uid: Name | None = None
    """Who watches with it."""
    jti: Name | None = None
    """Its id, by which it can be withdrawn; one is made where it is left out."""
    max: Annotated[int, Field(ge=1, le=VIEWERS_MAX)] | None = None
    """Viewers at once."""
    ip: Annotated[list[str], Field(max_length=NETWORKS_MAX)] | None = None
    """Networks from which it is good, such as ``192.0.2.0/24``."""
    cc: Annotated[list[str], Field(max_length=COUNTRIES_MAX)] | None = None
    """Countries in which it is good, two letters."""
    ref: Annotated[list[str], Field(max_length=REFERRERS_MAX)] | None = None
    """Hosts of the pages that may show it."""
    dvr: bool | None = None
    """``false``: it opens nothing of the past."""


class PlaybackToken(ApiModel):
    """A token, and where to show it."""

    token: str
    jti: str
    expires_at: datetime
    playlist: str
    """Path of the playlist with the token."""
    watch: str
    """Path of the page with the token."""


class RevokeRequest(ApiModel):
    """What is to be withdrawn; one of them."""

    jti: Name | None = None
    """A token, for good."""
    uid: Name | None = None
    """What a viewer was given until now."""
    kid: Annotated[str, Field(min_length=1, max_length=KID_CHARS_MAX)] | None = None
    """A key, for good, and all that was signed with it. ``pk_server``: the tokens that the server has signed until
    now."""
    channel: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Whatever anybody was given for a channel or recording until now."""
    reason: Reason = ""
    """For the audit log, in your words."""

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if sum(each is not None for each in (self.jti, self.uid, self.kid, self.channel)) != 1:
            raise ValueError("jti, uid, kid or channel, and one of them")
        return self

    @property
    def named(self) -> tuple[RevocationKind, str]:
        """What is named, and its name."""
        return next((kind, value) for kind in RevocationKind if (value := getattr(self, kind.value)) is not None)


class RevocationAnswer(ApiModel):
    """A completed revocation: nothing more of it is watched on this server."""

    kind: RevocationKind
    value: str
    revoked_at: datetime
    ended: int
    """Viewers who were cut."""
    unwritten: str = ""
    """Why the store does not have it yet; empty where it does."""

    @classmethod
    def of(cls, done: Revocation) -> Self:
        """The answer to a revocation."""
        record = done.record
        return cls(
            kind=record.kind, value=record.value, revoked_at=record.at, ended=done.ended, unwritten=done.unwritten
        )
