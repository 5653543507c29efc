from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.formats.codecs.captions import UNITS_READ_MAX, find_captions
from streamd.formats.codecs.codec import AV1, H264, HEVC
from tests.support.captions import HI_608, PADDING_608, caption_message, h264_captions

SLICE = b"\x00\x00\x00\x05\x65\x88\x84\x00\x10"


def unit(data: bytes, length_bytes: int = 4) -> bytes:
    return len(data).to_bytes(length_bytes, "big") + data


class TestFinding:
    """A/53 part 4, 6.2.3, in H.264 D.1.6."""

    @pytest.mark.parametrize(
        ("packets", "channels"),
        [
            ([HI_608], {"CC1"}),
            ([(1, 0xC8, 0x49)], {"CC3"}),
            ([PADDING_608] * 2 + [(3, 0x21, 0x48), (2, 0x49, 0)], {"SERVICE1"}),
            ([HI_608, (3, 0x21, 0x48)], {"CC1", "SERVICE1"}),
            ([PADDING_608, (1, 0x80, 0x80), (2, 0, 0)], set()),
            ([], set()),
        ],
    )
    def test_channels_with_text(self, packets: list[tuple[int, int, int]], channels: set[str]) -> None:
        captions = h264_captions(packets)
        for frame in (captions + SLICE, SLICE + captions, b"head" + SLICE + captions):
            at = 4 if frame.startswith(b"head") else 0
            assert find_captions(H264, frame, at) == channels

    def test_packets_that_are_not_valid_are_none(self) -> None:
        assert not find_captions(H264, unit(b"\x06" + caption_message([HI_608], is_valid=False) + b"\x80"), 0)

    def test_behind_other_messages_and_with_escaped_bytes(self) -> None:
        other = b"\x05\x05\x00\x00\x03\x00\x00\x03\x01"
        assert find_captions(H264, unit(b"\x06" + other + caption_message([HI_608]) + b"\x80"), 0) == {"CC1"}

    def test_in_hevc(self) -> None:
        for kind in (39, 40):
            frame = unit(bytes((kind << 1, 1)) + caption_message([HI_608]) + b"\x80")
            assert find_captions(HEVC, frame, 0) == {"CC1"}
        assert not find_captions(HEVC, unit(b"\x02\x01" + caption_message([HI_608])), 0)

    def test_lengths_of_two_bytes(self) -> None:
        frame = unit(b"\x06" + caption_message([HI_608]) + b"\x80", 2)
        assert find_captions(H264, frame, 0, 2) == {"CC1"}

    @pytest.mark.parametrize(
        ("codec", "frame"),
        [
            (H264, b""),
            (H264, SLICE),
            (H264, unit(b"\x06")),
            (H264, unit(b"\x06\x04\xff\xff")),
            (H264, unit(b"\x06\x04\x09\xb5\x00\x31GA94\x03")),
            (H264, unit(b"\x09") * (UNITS_READ_MAX + 1) + h264_captions([HI_608])),
            (AV1, h264_captions([HI_608])),
        ],
    )
    def test_where_there_are_none(self, codec: str, frame: bytes) -> None:
        assert find_captions(codec, frame, 0) == set()

    def test_cut_off_it_is_no_fault(self) -> None:
        frame = h264_captions([HI_608, (3, 0x21, 0x48)])
        for end in range(len(frame)):
            assert find_captions(H264, frame[:end], 0) <= {"CC1", "SERVICE1"}


@given(st.sampled_from([H264, HEVC]), st.binary(max_size=300))
def test_any_bytes_have_an_answer(codec: str, data: bytes) -> None:
    assert find_captions(codec, data, 0) <= {"CC1", "CC3", "SERVICE1"}
