"""The broadcaster's own channel."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated

from pydantic import Field

from streamd.doors.web.models.common import ApiModel
from streamd.doors.web.models.streams import StreamFigures
from streamd.doors.web.models.users import UserLimits

# Longer than any key, so a wrong paste gets the answer that it is no key.
SHOWN_KEY_LENGTH_MAX = 200


class KeyShown(ApiModel):
    """The sign-in of a broadcaster."""

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
    """The channel's state, and the key that opened it."""

    OFFLINE = "offline"
    LIVE = "live"
    LIVE_WITH_OTHER_KEY = "live_with_other_key"
    """Another key of the same user opened the stream."""


class StudioState(ApiModel):
    """The content of the page."""

    channel: str
    rtmp_url: str
    limits: UserLimits
    state: LiveState
    stream: StreamFigures | None
    decisions: int = 0
    """Takedowns and blocks of the channel that hold; `decisions` tells of them."""
    targets_max: int = 0
    """Other servers that the broadcasts may be passed on to; 0 where restreaming is off."""
    attempts: list[OwnAttempt]
    """The newest first."""
