"""From which time of its media on a track is shown."""

from __future__ import annotations

import struct

from streamd.formats.cmaf.decode_times import inside, timescales, track_id_of
from streamd.formats.cmaf.edit_list import with_edit_lists


def box(kind: bytes, *content: bytes) -> bytes:
    inner = b"".join(content)
    return struct.pack(">I4s", len(inner) + 8, kind) + inner


def trak(number: int, timescale: int, *more: bytes) -> bytes:
    tkhd = box(b"tkhd", bytes(12), struct.pack(">I", number), bytes(68))
    mdhd = box(b"mdhd", bytes(12), struct.pack(">I", timescale), bytes(8))
    return box(b"trak", tkhd, *more, box(b"mdia", mdhd))


def header(*traks: bytes) -> bytes:
    return box(b"ftyp", b"iso6") + box(b"moov", box(b"mvhd", bytes(100)), *traks, box(b"mvex", bytes(8)))


def lists(data: bytes) -> dict[int, tuple[int, int, int, int]]:
    """By track id: count, duration, media time and rate of its edit list (8.6.6.2, version 1)."""
    found = {}
    for moov in inside(data, 0, len(data), b"moov"):
        for at, end in inside(data, *moov, b"trak"):
            for edts in inside(data, at, end, b"edts"):
                for elst, stop in inside(data, *edts, b"elst"):
                    assert data[elst] == 1
                    assert stop - elst == 28
                    found[track_id_of(data, at, end)] = struct.unpack_from(">IQqI", data, elst + 4)
    return found


def test_each_track_is_shown_from_its_time_on() -> None:
    plain = header(trak(1, 90_000), trak(2, 48_000))
    data = with_edit_lists(plain, {1: 900_000, 2: 480_000})
    assert lists(data) == {1: (1, 0, 900_000, 1 << 16), 2: (1, 0, 480_000, 1 << 16)}
    assert timescales(data) == timescales(plain)
    assert len(data) == len(plain) + 2 * 44
    assert data.endswith(box(b"mvex", bytes(8)))


def test_a_time_of_hours_has_64_bits() -> None:
    data = with_edit_lists(header(trak(1, 90_000)), {1: 90_000 * 86_400 * 365})
    assert lists(data)[1][2] == 90_000 * 86_400 * 365


def test_a_track_that_is_not_named_and_one_with_a_list_stay_as_they_are() -> None:
    listed = trak(2, 48_000, box(b"edts", bytes(4)))
    plain = header(trak(1, 90_000), listed)
    assert with_edit_lists(plain, {2: 5, 3: 5}) == plain


def test_what_is_no_header_stays_as_it_is() -> None:
    for data in (b"", b"moov", box(b"ftyp", b"iso6"), box(b"moov"), header(trak(1, 90_000))[:50], bytes(range(256))):
        assert with_edit_lists(data, {1: 5}) == data


def test_a_time_that_no_list_can_say_stays_unsaid() -> None:
    """A fragment's time has 64 bits, and a list's 63: what a damaged disk says is sent as it lies there."""
    plain = header(trak(1, 90_000))
    assert with_edit_lists(plain, {1: 2**63}) == plain
    assert lists(with_edit_lists(plain, {1: 2**63 - 1}))[1][2] == 2**63 - 1
