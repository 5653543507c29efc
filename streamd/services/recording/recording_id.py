"""The id of a recording: ``rec_`` and a ULID, which sorts by time and cannot be guessed. A clip's has ``clip_``.

Spec: https://github.com/ulid/spec (48 bits of milliseconds, 80 random bits, Crockford's base 32).
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

from streamd.formats.hls.attribute_list import unix_ms

PREFIX = "rec_"
CLIP_PREFIX = "clip_"
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26
_RANDOM_BITS = 80
_FORM = re.compile(rf"{PREFIX}[0-7][{_DIGITS}]{{{_LENGTH - 1}}}")
_CLIP_FORM = re.compile(rf"{CLIP_PREFIX}[0-7][{_DIGITS}]{{{_LENGTH - 1}}}")


def new_recording_id(now: datetime) -> str:
    """Make the id of a recording that begins now.

    Args:
        now: Aware; ids sort by it, to the millisecond.
    """
    return PREFIX + _ulid(now)


def new_clip_id(now: datetime) -> str:
    """Make the id of a clip.

    Args:
        now: As of ``new_recording_id``.
    """
    return CLIP_PREFIX + _ulid(now)


def is_clip_id(text: str) -> bool:
    """Say whether a text has the form of a clip's id."""
    return _CLIP_FORM.fullmatch(text) is not None


def started_at(recording_id: str) -> datetime:
    """When the recording with an id began, in UTC."""
    value = 0
    for digit in recording_id.removeprefix(PREFIX):
        value = value << 5 | _DIGITS.index(digit)
    return datetime.fromtimestamp((value >> _RANDOM_BITS) / 1000, UTC)


def is_recording_id(text: str) -> bool:
    """Say whether a text has the form of an id; one that has it names no file outside of its folder."""
    return _FORM.fullmatch(text) is not None


def _ulid(now: datetime) -> str:
    value = unix_ms(now) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return "".join(_DIGITS[value >> 5 * place & 31] for place in reversed(range(_LENGTH)))
