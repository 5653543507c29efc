"""The decode times of fragments, and where they stand: so that media from the middle of a stream can begin at 0.

ISO/IEC 14496-12 (2022) sections 8.3.2 (tkhd), 8.4.2 (mdhd), 8.8.7 (tfhd) and 8.8.12 (tfdt).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_BOX = struct.Struct(">I4s")
# Boxes of one level that are looked at: a moof has as many trafs as tracks, and a moov some boxes more.
BOXES_MAX = 64


@dataclass(frozen=True, slots=True)
class DecodeTime:
    """The ``baseMediaDecodeTime`` of a track in a fragment."""

    track_id: int
    offset: int
    """Of its first byte, from the beginning of the moof."""
    size_bytes: int
    """4 or 8."""
    ticks: int


def timescales(header: bytes) -> dict[int, int]:
    """The timescales of the tracks of a CMAF header, by track id.

    Args:
        header: ``ftyp`` and ``moov``; something else has none.
    """
    found: dict[int, int] = {}
    for moov in inside(header, 0, len(header), b"moov"):
        for trak in inside(header, *moov, b"trak"):
            track_id = track_id_of(header, *trak)
            for mdia in inside(header, *trak, b"mdia"):
                for at, end in inside(header, *mdia, b"mdhd"):
                    timescale = _field(header, at, end, 12, 20)
                    if track_id and timescale:
                        found[track_id] = timescale
    return found


def track_id_of(header: bytes, at: int, end: int) -> int:
    """The id of a track; 0 where it has none.

    Args:
        header: Of which it is a part.
        at: Where the content of its ``trak`` begins.
        end: Where it ends.
    """
    return next((_field(header, begin, stop, 12, 20) for begin, stop in inside(header, at, end, b"tkhd")), 0)


def decode_times(moof: bytes) -> list[DecodeTime]:
    """The decode times of a fragment.

    Args:
        moof: The whole box; something else has none.
    """
    found = []
    for inner in inside(moof, 0, len(moof), b"moof"):
        for traf in inside(moof, *inner, b"traf"):
            heads = [int.from_bytes(moof[at + 4 : at + 8], "big") for at, _ in inside(moof, *traf, b"tfhd")]
            for at, end in inside(moof, *traf, b"tfdt"):
                size_bytes = 8 if moof[at : at + 1] == b"\x01" else 4
                if heads and at + 4 + size_bytes <= end:
                    ticks = int.from_bytes(moof[at + 4 : at + 4 + size_bytes], "big")
                    found.append(DecodeTime(heads[0], at + 4, size_bytes, ticks))
    return found


def _field(data: bytes, at: int, end: int, offset: int, offset_of_64: int) -> int:
    """A 32-bit field behind two times, which have 64 bits each in version 1 of a box; 0 where the box is cut off."""
    place = at + (offset_of_64 if data[at : at + 1] == b"\x01" else offset)
    return int.from_bytes(data[place : place + 4], "big") if place + 4 <= end else 0


def inside(data: bytes, at: int, end: int, box_type: bytes) -> Iterator[tuple[int, int]]:
    """The contents of the boxes of a type between two places: begin and end."""
    for _ in range(BOXES_MAX):
        if at + _BOX.size > end:
            return
        length, found = _BOX.unpack_from(data, at)
        if length < _BOX.size or at + length > end:
            return
        if found == box_type:
            yield at + _BOX.size, at + length
        at += length
