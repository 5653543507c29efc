"""One byte range of a representation, as a Range field asks for it.

Spec: RFC 9110 sections 14.1.2 (byte ranges), 14.2 (Range) and 15.5.17 (416).
"""

from __future__ import annotations

import re

# 14.1.2, one range; nineteen digits are more than any of our resources has bytes.
_BYTE_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*", re.ASCII | re.IGNORECASE)


class UnsatisfiableRangeError(ValueError):
    """The range begins behind the last byte."""


def byte_range(field: str, size_bytes: int) -> tuple[int, int] | None:
    """Read a Range field.

    Args:
        field: Its value.
        size_bytes: Of the representation.

    Returns:
        The first byte, and the one behind the last. None where the field is to be ignored: it is invalid, or asks for
        several ranges, which may be answered with the whole (14.2).

    Raises:
        UnsatisfiableRangeError: Answer with 416.
    """
    match = _BYTE_RANGE.fullmatch(field)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last) + 1, size_bytes) if last else size_bytes
        if last and int(last) < start:
            return None
    else:
        start, stop = max(0, size_bytes - int(last)), size_bytes
    if start >= size_bytes:
        raise UnsatisfiableRangeError
    return start, stop
