from __future__ import annotations

import pytest

from streamd.formats.cmaf.box import FRAGMENT_BOXES_MAX, box, first_fragment_bytes


class TestBox:
    """ISO/IEC 14496-12 section 4.2.2."""

    def test_size_counts_the_header_and_the_content(self) -> None:
        assert box(b"free", b"ab", b"c") == bytes.fromhex("0000000b") + b"freeabc"

    def test_a_box_may_be_empty(self) -> None:
        assert box(b"free") == bytes.fromhex("00000008") + b"free"


class TestTheFirstFragment:
    """ISO/IEC 14496-12 section 8.8.4."""

    def length_of(self, data: bytes, size_bytes: int | None = None) -> int:
        return first_fragment_bytes(
            lambda at, count: data[at : at + count], len(data) if size_bytes is None else size_bytes
        )

    def test_ends_with_its_media(self) -> None:
        first = box(b"styp", b"cmfs") + box(b"moof", b"head") + box(b"mdat", b"media")
        assert self.length_of(first + box(b"moof") + box(b"mdat")) == len(first)

    def test_is_not_there_where_it_is_cut_off(self) -> None:
        data = box(b"moof", b"head") + box(b"mdat", b"media")
        assert [self.length_of(data[:length]) for length in range(len(data))] == [0] * len(data)
        assert self.length_of(data, len(data) - 1) == 0

    @pytest.mark.parametrize(
        "data",
        [
            b"\x00\x00\x00\x00mdat" + bytes(100),
            b"\x00\x00\x00\x01mdat" + bytes(100),
            b"\x00\x00\x00\x07moof" + bytes(100),
            b"\xff\xff\xff\xffmoof" + bytes(100),
            box(b"free") * FRAGMENT_BOXES_MAX + box(b"mdat"),
        ],
        ids=["to the end", "64 bits", "short", "long", "many"],
    )
    def test_is_not_looked_for_without_a_bound(self, data: bytes) -> None:
        assert self.length_of(data) == 0
