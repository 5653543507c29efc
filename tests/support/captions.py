"""Closed captions as encoders put them into pictures."""

from __future__ import annotations

from collections.abc import Sequence

# cc_type 0 with odd parity: "HI" in the first channel of CEA-608.
HI_608 = (0, 0xC8, 0x49)
PADDING_608 = (0, 0x80, 0x80)


def caption_message(packets: Sequence[tuple[int, int, int]], *, is_valid: bool = True) -> bytes:
    """A user data message: cc_type and two bytes of each packet."""
    triples = b"".join(bytes((0xF8 | (4 if is_valid else 0) | kind, one, two)) for kind, one, two in packets)
    body = b"\xb5\x00\x31GA94\x03" + bytes((0x40 | len(packets), 0xFF)) + triples + b"\xff"
    return bytes((4, len(body))) + body


def h264_captions(packets: Sequence[tuple[int, int, int]]) -> bytes:
    """A NAL unit with captions, behind the four bytes of its length."""
    unit = b"\x06" + caption_message(packets) + b"\x80"
    return len(unit).to_bytes(4, "big") + unit
