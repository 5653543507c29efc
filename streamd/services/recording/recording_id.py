"""The id of a recording: ``rec_`` and a ULID. A clip's has ``clip_``."""

from __future__ import annotations

import re
from datetime import datetime

from streamd.services.ulid import PATTERN, new_ulid, time_of

PREFIX = "rec_"
CLIP_PREFIX = "clip_"
_FORM = re.compile(PREFIX + PATTERN)
_CLIP_FORM = re.compile(CLIP_PREFIX + PATTERN)


def new_recording_id(now: datetime) -> str:
    """Make the id of a recording that begins now.

    Args:
        now: Aware; ids sort by it, to the millisecond.
    """
    return PREFIX + new_ulid(now)


def new_clip_id(now: datetime) -> str:
    """Make the id of a clip.

    Args:
        now: As of ``new_recording_id``.
    """
    return CLIP_PREFIX + new_ulid(now)


def is_clip_id(text: str) -> bool:
    """Say whether a text has the form of a clip's id."""
    return _CLIP_FORM.fullmatch(text) is not None


def started_at(recording_id: str) -> datetime:
    """When the recording with an id began, in UTC."""
    return time_of(recording_id.removeprefix(PREFIX))


def is_recording_id(text: str) -> bool:
    """Say whether a text has the form of an id; one that has it names no file outside of its folder."""
    return _FORM.fullmatch(text) is not None
