"""Delivery directives, the query string with which a player reloads a media playlist.

Spec: rfc8216bis-22 section 6.2.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import DirectiveError

_MSN = "_HLS_msn"
_PART = "_HLS_part"
_SKIP = "_HLS_skip"

# 4.2: a decimal-integer is "in the range from 0 to 2^64-1", which is twenty digits.
_DIGITS_MAX = 20
_INTEGER_MAX = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Directives:
    """The delivery directives of one request."""

    msn: int | None = None
    """``_HLS_msn``: hold the request until this media sequence number is in the playlist."""
    part: int | None = None
    """``_HLS_part``: Part Index in segment ``msn`` to wait for. Whether it may stand alone is the reload decision's."""
    skip: bool = False
    """``_HLS_skip``: a delta update is welcome. ``v2`` adds date ranges, of which our playlists have none."""


NO_DIRECTIVES = Directives()


def parse_directives(query: str) -> Directives:
    """Read the directives from a raw query string; parameters that are not directives are ignored.

    Names and values are compared as sent: no character of a directive needs percent-encoding.

    Args:
        query: The part of the request target behind ``?``.

    Raises:
        DirectiveError: A directive is repeated, empty, or not a value it can have.
    """
    if "_HLS_" not in query:
        return NO_DIRECTIVES
    values: dict[str, str] = {}
    for parameter in query.split("&"):
        name, _, value = parameter.partition("=")
        if name not in (_MSN, _PART, _SKIP):
            continue
        if name in values:
            raise DirectiveError(f"{name} is repeated")
        values[name] = value
    skip = values.get(_SKIP)
    if skip not in (None, "YES", "v2"):
        raise DirectiveError(f"{_SKIP} is neither YES nor v2")
    return Directives(
        msn=_decimal_integer(_MSN, values.get(_MSN)),
        part=_decimal_integer(_PART, values.get(_PART)),
        skip=skip is not None,
    )


def _decimal_integer(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    # str.isdigit alone takes digits of every script.
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise DirectiveError(f"{name} is not a decimal integer")
    value = int(text)
    if value > _INTEGER_MAX:
        raise DirectiveError(f"{name} is above 2^64-1")
    return value
