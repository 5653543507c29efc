from __future__ import annotations

from streamd.formats.cmaf.box import box


class TestBox:
    """ISO/IEC 14496-12 section 4.2.2."""

    def test_size_counts_the_header_and_the_content(self) -> None:
        assert box(b"free", b"ab", b"c") == bytes.fromhex("0000000b") + b"freeabc"

    def test_a_box_may_be_empty(self) -> None:
        assert box(b"free") == bytes.fromhex("00000008") + b"free"
