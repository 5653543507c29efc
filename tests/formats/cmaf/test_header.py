from __future__ import annotations

import pytest

from streamd.formats.cmaf.box import box
from streamd.formats.cmaf.header import boxes, write_header

TKHD = box(b"tkhd", bytes(84))
MVHD = box(b"mvhd", bytes(100))
TREX = box(b"mvex", box(b"trex", bytes(24)))
EDTS = box(b"edts", box(b"elst", bytes(20)))
UDTA = box(b"udta", box(b"meta", bytes(12)))


def movie(*tracks: bytes) -> bytes:
    return box(b"ftyp", b"mp42", bytes(4)) + box(b"moov", MVHD, *tracks, TREX, UDTA) + box(b"mdat", b"x")


class TestWriteHeader:
    """ISO/IEC 23000-19 section 7.3."""

    def test_one_track_is_cmaf(self) -> None:
        ((ftyp, brands), (moov, content)) = boxes(write_header(movie(box(b"trak", TKHD)), [0]))
        assert (ftyp, moov) == (b"ftyp", b"moov")
        assert brands == b"iso6" + bytes(4) + b"iso6mp41cmfc"
        assert content == MVHD + box(b"trak", TKHD) + TREX

    def test_several_tracks_do_not_claim_to_be(self) -> None:
        ((_, brands), _) = boxes(write_header(movie(box(b"trak", TKHD), box(b"trak", TKHD)), [0, 0]))
        assert brands == b"iso6" + bytes(4) + b"iso6mp41"

    def test_edit_lists_and_user_data_are_left_out(self) -> None:
        trak = box(b"trak", TKHD, EDTS, box(b"mdia", bytes(8)), UDTA)
        (_, (_, content)) = boxes(write_header(movie(trak), [0]))
        assert content == MVHD + box(b"trak", TKHD, box(b"mdia", bytes(8))) + TREX

    def test_what_we_wrote_is_written_the_same_again(self) -> None:
        once = write_header(movie(box(b"trak", TKHD, EDTS)), [1280])
        assert write_header(once, [1280]) == once

    def test_tracks_say_how_wide_they_are_shown(self) -> None:
        """ISO/IEC 14496-12 section 8.3.2: width and height, the last fields of tkhd, are 16.16."""
        sized = box(b"tkhd", bytes(76) + (720 << 16).to_bytes(4, "big") + (576 << 16).to_bytes(4, "big"))
        (_, (_, content)) = boxes(write_header(movie(box(b"trak", sized), box(b"trak", TKHD)), [1024, 0]))
        first, second = (next(boxes(track))[1] for box_type, track in boxes(content) if box_type == b"trak")
        assert first == bytes(76) + (1024 << 16).to_bytes(4, "big") + (576 << 16).to_bytes(4, "big")
        assert second == bytes(84)


@pytest.mark.parametrize("data", [b"\x00\x00\x00", box(b"free", b"x")[:-1], b"\x00\x00\x00\x00free"])
def test_boxes_that_do_not_fit_are_our_own_fault(data: bytes) -> None:
    with pytest.raises(AssertionError):
        list(boxes(data))
