"""Closed captions as encoders put them into pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from streamd.formats.flv.tag import FlvTag, TagType
from tests.support.flv_media import is_sequence_header

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


def with_lines(tags: Iterable[FlvTag]) -> Iterator[FlvTag]:
    """The same media with captions in every frame of H.264: a line in two seconds, rolled up (CTA-608 Annex B)."""
    pairs = _lines()
    for tag in tags:
        if tag.tag_type == TagType.VIDEO and not is_sequence_header(tag):
            one, two = next(pairs)
            unit = h264_captions([(0, _with_parity(one), _with_parity(two))])
            body = bytes(tag.payload)
            tag = replace(tag, payload=body[:5] + unit + body[5:])
        yield tag


def _lines() -> Iterator[tuple[int, int]]:
    while True:
        # Roll-up of two rows, a new row, the last row; each command twice.
        for command in ((0x14, 0x25), (0x14, 0x2D), (0x14, 0x70)):
            yield from (command, command)
        yield from ((ord(one), ord(two)) for one, two in ("HE", "LL", "O ", "AG", "AI", "N "))
        yield from ((0, 0),) * 48


def _with_parity(byte: int) -> int:
    return byte if byte.bit_count() % 2 else byte | 0x80
