"""Playback keys and revocations, as the store has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from streamd.services.playback.revocations import RevocationKind
    from streamd.services.playback.verifying_key import Algorithm, VerifyingKey


@dataclass(frozen=True, slots=True)
class PlaybackKeyRecord:
    """A key of the operator's, without its private half."""

    key: VerifyingKey
    label: str
    created_at: datetime
    created_by: str
    ends_at: datetime | None = None
    """From then on it is good for no new token."""
    withdrawn_at: datetime | None = None
    """Since then nothing of it is good."""
    replaced_by: str = ""
    """Id of the key that it was rotated to."""

    @property
    def kid(self) -> str:
        """Its id."""
        return self.key.kid

    @property
    def algorithm(self) -> Algorithm:
        """How tokens are signed with it."""
        return self.key.algorithm

    def is_good(self, now: datetime) -> bool:
        """Whether new tokens of it are taken."""
        return self.withdrawn_at is None and (self.ends_at is None or now < self.ends_at)


@dataclass(frozen=True, slots=True)
class RevocationRecord:
    """Something that was withdrawn."""

    kind: RevocationKind
    value: str
    at: datetime
    sequence: int = 0
    """Its number in the store; 0 before it has one."""
