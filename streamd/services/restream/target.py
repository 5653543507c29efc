"""A target of restreaming, as it is kept and as it is shown."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from streamd.services.restream.place import RestreamPlace

ID_PREFIX = "tgt_"
ID_PATTERN = "tgt_[0-7][0-9a-hjkmnp-tv-z]{25}"
"""The prefix and a ULID."""


def is_target_id(text: str) -> bool:
    """Whether a text is an id that a target can have."""
    return re.fullmatch(ID_PATTERN, text) is not None


class TargetState(enum.StrEnum):
    """What becomes of a target."""

    OFF = "off"
    """It is switched off, for good or for this broadcast."""
    WAITING = "waiting"
    """It is on, and there is no broadcast."""
    CONNECTING = "connecting"
    LIVE = "live"
    """The target's machine has acknowledged bytes in the last seconds."""
    RECONNECTING = "reconnecting"
    """It was live or nearly, and is tried again."""
    REFUSED = "refused"
    """The target has said no, in words of its own; it is asked again all the same, less and less often."""
    FAILED = "failed"
    """It is not tried any more in this broadcast."""


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """A target as the store has it."""

    target_id: str
    user: str
    place: RestreamPlace
    stream_key: str = field(repr=False)
    """The secret; it goes to the target's server alone."""
    key_hint: str
    label: str
    is_enabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TargetReport:
    """What has become of a target in the broadcast that runs."""

    state: TargetState
    since: datetime | None = None
    """When it came to this state; None where no broadcast runs."""
    kbps: int = 0
    """Acknowledged in the last seconds."""
    acked_bytes: int = 0
    """Acknowledged in this broadcast, by the target's machine."""
    dropped: int = 0
    """Frames that were left out, as the target was slow."""
    attempts: int = 0
    """Connections begun in this broadcast."""
    last_error: str = ""
    """Why the last connection ended or was refused; empty for none."""
