"""Attribute values as playlists write them: decimals, quoted strings, dates.

Spec: rfc8216bis-22 section 4.2 (attribute lists) and 4.4.4.6 (EXT-X-PROGRAM-DATE-TIME).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

# Ten microseconds: no sample of a 48 kHz or 90 kHz track is shorter than a rounding step, and it is what
# Apple's own segmenter writes.
_DECIMALS = 5
_SCALE = 10**_DECIMALS

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def decimal_seconds(ticks: int, timescale: int) -> str:
    """Write a duration as a decimal-floating-point number of seconds, without passing through a float.

    Rounds half up at the fifth decimal, so a duration that is at most a whole number of
    milliseconds never reads as more than that.

    Args:
        ticks: Duration, ``>= 0``.
        timescale: Ticks a second.

    Spec: rfc8216bis 4.2, decimal-floating-point: digits and one dot, no sign and no exponent.
    """
    scaled = (2 * ticks * _SCALE + timescale) // (2 * timescale)
    return f"{scaled // _SCALE}.{scaled % _SCALE:0{_DECIMALS}d}"


def quoted_string(value: str) -> str:
    """Put a value in double quotes.

    Raises:
        ValueError: It holds a character that no quoted-string can carry.

    Spec: rfc8216bis 4.2: a quoted-string must not contain line feed, carriage return or double quote.
    """
    if any(forbidden in value for forbidden in '"\r\n'):
        raise ValueError("a quoted-string holds no double quote and no line break")
    return f'"{value}"'


def date_time_msec(unix_ms: int) -> str:
    """Write a date as ISO 8601 in UTC with milliseconds, for example ``2026-01-01T00:00:02.500Z``.

    Args:
        unix_ms: Milliseconds since 1970-01-01T00:00:00Z.
    """
    moment = _UNIX_EPOCH + timedelta(milliseconds=unix_ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def unix_ms(moment: datetime) -> int:
    """Milliseconds since 1970-01-01T00:00:00Z of an aware date, rounded down."""
    return (moment - _UNIX_EPOCH) // timedelta(milliseconds=1)
