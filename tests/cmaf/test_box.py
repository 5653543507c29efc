from __future__ import annotations

import pytest

from streamd.cmaf.box import box, box_header, full_box


class TestBox:
    """ISO/IEC 14496-12 section 4.2.2."""

    def test_size_counts_the_header_and_the_content(self) -> None:
        assert box(b"free", b"ab", b"c") == bytes.fromhex("0000000b") + b"freeabc"

    def test_a_box_may_be_empty(self) -> None:
        assert box(b"free") == bytes.fromhex("00000008") + b"free"

    def test_the_header_alone_announces_content_that_follows(self) -> None:
        assert box_header(b"mdat", 3) + b"abc" == box(b"mdat", b"abc")

    def test_a_full_box_packs_version_and_flags_into_four_bytes(self) -> None:
        assert full_box(b"tfhd", 1, 0x020008, b"x") == bytes.fromhex("0000000d 74666864 01 020008 78")

    def test_a_size_that_needs_64_bits_is_our_own_fault(self) -> None:
        with pytest.raises(AssertionError):
            box_header(b"mdat", 2**32 - 8)
