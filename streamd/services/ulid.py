"""A ULID, which sorts by time and cannot be guessed: the ids of recordings, clips, cases and reports are made of one.

Spec: https://github.com/ulid/spec (48 bits of milliseconds, 80 random bits, Crockford's base 32).
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from streamd.formats.hls.attribute_list import unix_ms

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 26
_RANDOM_BITS = 80
# The pattern of one: the first digit holds the three highest of 128 bits.
PATTERN = rf"[0-7][{DIGITS}]{{{LENGTH - 1}}}"


def new_ulid(now: datetime) -> str:
    """Draw one, in small letters.

    Args:
        now: Aware; they sort by it, to the millisecond.
    """
    value = unix_ms(now) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return "".join(DIGITS[value >> 5 * place & 31] for place in reversed(range(LENGTH)))


def time_of(ulid: str) -> datetime:
    """When one was drawn, in UTC."""
    value = 0
    for digit in ulid:
        value = value << 5 | DIGITS.index(digit)
    return datetime.fromtimestamp((value >> _RANDOM_BITS) / 1000, UTC)
