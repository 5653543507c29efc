"""Timestamps of RTMP: 32 bits of milliseconds on the wire, integers without end inside.

Spec: RTMP 1.0 (2012) section 4.
"""

from __future__ import annotations

_WRAP_MS = 2**32


def unwrap(previous_ms: int, wire_ms: int) -> int:
    """Extend a 32-bit wire timestamp to an integer that never wraps.

    Serial number arithmetic: the result is the value congruent to ``wire_ms`` that lies
    nearest ``previous_ms``, so a step back of up to 2**31 ms stays a step back.

    Args:
        previous_ms: Last unwrapped timestamp of this chunk stream, milliseconds.
        wire_ms: Timestamp as sent, milliseconds, ``0 <= wire_ms < 2**32``.

    Returns:
        Unwrapped timestamp in milliseconds; may be below ``previous_ms``, and below 0.

    Spec: RTMP 1.0 section 4; RFC 1982.
    """
    step_ms = (wire_ms - previous_ms) % _WRAP_MS
    if step_ms >= _WRAP_MS // 2:
        step_ms -= _WRAP_MS
    return previous_ms + step_ms
