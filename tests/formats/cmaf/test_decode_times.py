from __future__ import annotations

import struct

import pytest

from streamd.formats.cmaf.box import box
from streamd.formats.cmaf.decode_times import BOXES_MAX, decode_times, timescales


def tkhd(track_id: int, version: int = 0) -> bytes:
    times = bytes(16 if version else 8)
    return box(b"tkhd", bytes([version, 0, 0, 3]), times, struct.pack(">I", track_id), bytes(60))


def mdhd(timescale: int, version: int = 0) -> bytes:
    times = bytes(16 if version else 8)
    return box(b"mdhd", bytes([version, 0, 0, 0]), times, struct.pack(">I", timescale), bytes(8))


def header(*tracks: tuple[int, int], version: int = 0) -> bytes:
    traks = [box(b"trak", tkhd(track_id, version), box(b"mdia", mdhd(scale, version))) for track_id, scale in tracks]
    return box(b"ftyp", b"cmf2") + box(b"moov", box(b"mvhd", bytes(100)), *traks)


def traf(track_id: int, ticks: int, version: int = 1) -> bytes:
    tfdt = box(b"tfdt", bytes([version, 0, 0, 0]), ticks.to_bytes(8 if version else 4, "big"))
    return box(b"traf", box(b"tfhd", bytes(4), struct.pack(">I", track_id)), tfdt, box(b"trun", bytes(8)))


class TestTimescales:
    """ISO/IEC 14496-12 sections 8.3.2 and 8.4.2."""

    @pytest.mark.parametrize("version", [0, 1])
    def test_are_found_by_track(self, version: int) -> None:
        assert timescales(header((1, 90_000), (2, 48_000), version=version)) == {1: 90_000, 2: 48_000}

    def test_of_something_else_are_none(self) -> None:
        whole = header((1, 90_000))
        assert timescales(b"") == timescales(b"ftyp") == timescales(bytes(64)) == {}
        assert all(timescales(whole[:length]) in ({}, {1: 90_000}) for length in range(len(whole)))
        assert timescales(header((0, 90_000), (2, 0))) == {}


class TestDecodeTimes:
    """ISO/IEC 14496-12 section 8.8.12."""

    @pytest.mark.parametrize("version", [0, 1])
    def test_say_where_they_stand(self, version: int) -> None:
        moof = box(b"moof", box(b"mfhd", bytes(8)), traf(1, 324_000_000, version), traf(2, 7, version))
        first, second = decode_times(moof)
        assert [(each.track_id, each.ticks) for each in (first, second)] == [(1, 324_000_000), (2, 7)]
        for each in (first, second):
            assert int.from_bytes(moof[each.offset : each.offset + each.size_bytes], "big") == each.ticks
            assert each.size_bytes == (8 if version else 4)

    def test_of_a_fragment_that_is_cut_off_are_none(self) -> None:
        moof = box(b"moof", traf(1, 5))
        assert all(decode_times(moof[:length]) == [] for length in range(len(moof)))

    def test_of_lying_lengths_are_none(self) -> None:
        moof = bytearray(box(b"moof", traf(1, 5)))
        for place in range(0, len(moof) - 4):
            changed = moof.copy()
            changed[place : place + 4] = b"\xff\xff\xff\xff"
            assert all(
                each.offset + each.size_bytes <= len(moof) and each.size_bytes in (4, 8)
                for each in decode_times(bytes(changed))
            )

    def test_are_looked_for_in_so_many_boxes(self) -> None:
        assert decode_times(box(b"moof", box(b"free") * BOXES_MAX, traf(1, 5))) == []
        assert len(decode_times(box(b"moof", traf(1, 5) * (BOXES_MAX + 10)))) == BOXES_MAX
