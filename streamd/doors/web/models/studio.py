"""The broadcaster's own channel."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated

from pydantic import Field

from streamd.doors.web.models.common import ApiModel
from streamd.doors.web.models.streams import StreamFigures
from streamd.doors.web.models.users import UserLimits

# Longer than any key: who pastes something else is told that it is none.
SHOWN_KEY_LENGTH_MAX = 200


class KeyShown(ApiModel):
    """What a broadcaster signs in with."""

    stream_key: Annotated[str, Field(max_length=SHOWN_KEY_LENGTH_MAX, repr=False)]


class OwnAttempt(ApiModel):
    """An attempt to publish with the key of this session (``keys.attempts.Attempt``)."""

    at: datetime
    address: str
    result: str
    detail: str
    count: int
    ended_at: datetime | None


class LiveState(enum.StrEnum):
    """Whether the channel is live, and by whom."""

    OFFLINE = "offline"
    LIVE = "live"
    LIVE_WITH_OTHER_KEY = "live_with_other_key"
    """Another key of the same user opened the stream."""


class StudioState(ApiModel):
    """All that the page shows."""

    channel: str
    rtmp_url: str
    limits: UserLimits
    state: LiveState
    stream: StreamFigures | None
    attempts: list[OwnAttempt]
    """The newest first."""
