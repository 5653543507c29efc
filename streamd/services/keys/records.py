"""The records of the key service and its store: users and their keys."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from streamd.services.keys.stream_key import StreamKey

# A user has one channel, named like the user.
USER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{1,63}")


class KeyState(enum.StrEnum):
    """The state of a key at a moment, apart from its user's state."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class UserState(enum.StrEnum):
    """Whether a user may broadcast."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class PublishLimits:
    """A user's limits; None is the limit of the server's configuration."""

    bitrate_kbps_max: int | None = None
    """Kilobits a second, audio and video."""
    picture_pixels_max: int | None = None
    """Width times height of a picture."""

    def or_else(self, everybody: PublishLimits) -> PublishLimits:
        """The same, with the server's limits in place of missing ones."""
        return PublishLimits(
            self.bitrate_kbps_max or everybody.bitrate_kbps_max,
            self.picture_pixels_max or everybody.picture_pixels_max,
        )


SERVER_LIMITS = PublishLimits()
"""The limits of a user without limits of their own."""


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user, who is also the channel of that name."""

    name: str
    state: UserState
    created_at: datetime
    suspended_at: datetime | None = None
    suspend_reason: str = ""
    limits: PublishLimits = SERVER_LIMITS
    listed: bool = True
    """Whether the public list of channels has this one; an unlisted one is watched by whoever knows its name."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """Everything about a stream key but its secret."""

    sequence: int
    """Running number in the store, from 1: the cursor of a list."""
    key_id: str
    user: str
    label: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    """Time when it stops to work; None is never."""
    revoked_at: datetime | None = None
    revoke_reason: str = ""
    revoked_by: str = ""
    replaced_by: str | None = None
    """Id of the key it was rotated to."""
    closed_streams: tuple[str, ...] = ()
    """Names of the streams that its revocation closed."""
    last_used_at: datetime | None = None
    """Time when it last opened a stream."""
    last_used_address: str = ""

    def state_at(self, now: datetime) -> KeyState:
        """The key's state at ``now``; a key is dead from the instant it expires."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyState.EXPIRED
        return KeyState.ACTIVE


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key at the one moment when its secret is known."""

    record: KeyRecord
    stream_key: StreamKey
    user_state: UserState = UserState.ACTIVE
    """The state of its user: no key of a suspended user opens a stream."""


@dataclass(frozen=True, slots=True)
class RotatedKey(IssuedKey):
    """A key in place of another."""

    replaced: KeyRecord | None = None
    """The other, as it is now."""
    closed: tuple[str, ...] = ()
    """Names of the streams that ran on it and were closed."""


@dataclass(frozen=True, slots=True)
class RevokeResult:
    """A revocation: the key is refused, and what ran on it is closed."""

    key_id: str
    revoked_at: datetime
    closed: tuple[str, ...]
    """Names of the streams that it closed; the same when asked again."""
    reason: str = ""
    """Why, as it was said the first time."""
    unwritten: str = ""
    """The facts that the store does not have yet, the reason, and the consequence; empty where it has all."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """What became of it at the nodes of a cluster; empty for a server that is alone."""


@dataclass(frozen=True, slots=True)
class SuspendResult:
    """A suspension: the user's keys are refused, and what ran on them is closed."""

    name: str
    suspended_at: datetime
    reason: str
    """Why, as it was said the first time."""
    closed: tuple[str, ...]
    """Names of the streams that this call closed."""
    user: UserRecord | None = None
    """The user as the store has them; None where it could not be written."""
    unwritten: str = ""
    """As of ``RevokeResult``."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Likewise."""


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """A completed deletion."""

    name: str
    """Id of the key, or name of the user."""
    keys: tuple[str, ...]
    """Ids of the keys that are gone, in their order."""
    closed: tuple[str, ...]
    """Names of the streams that it closed."""


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """The row of a key and the state of its user, read together, which decide over a publish."""

    key_id: str
    user: str
    secret_hash: bytes
    expires_at: datetime | None
    is_revoked: bool
    is_suspended: bool
    """The user is suspended."""
    limits: PublishLimits = SERVER_LIMITS
    """The user's limits."""


@dataclass(frozen=True, slots=True)
class LivingKey:
    """The facts by which a living key is recognised without the store."""

    sequence: int
    """Running number in the store."""
    key_id: str
    secret_hash: bytes


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A use of a key, which opened a stream."""

    at: datetime
    address: str
    """IP address of the publisher."""
