from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.formats.codecs.codec import AV1, H264, HEVC, VP9
from streamd.formats.codecs.random_access import UNITS_READ_MAX, can_start, is_start, unit_length_bytes
from streamd.formats.payload import SLAB_BYTES, PayloadLog


def units(*parts: bytes, length_bytes: int = 4) -> bytes:
    return b"".join(len(part).to_bytes(length_bytes, "big") + part for part in parts)


# H.264: access unit delimiter, parameter sets, a message, slices of an IDR picture and of another one.
AUD, SPS, PPS, SEI, IDR, SLICE = (bytes((0x60 | kind, 0x80, 1, 2)) for kind in (9, 7, 8, 6, 5, 1))
# AV1: temporal delimiter and sequence header; a shown keyframe, a hidden one, an inter frame, one shown again.
DELIMITER, SEQUENCE = b"\x12\x00", b"\x0a\x03\x01\x02\x03"


def frame(first: int, *, obu: int = 6) -> bytes:
    return bytes((obu << 3 | 2, 2, first, 0))


TABLE = [
    ("IDR", H264, units(IDR), True),
    ("IDR behind other units", H264, units(AUD, SPS, PPS, SEI * 300, IDR), True),
    ("recovery point", H264, units(AUD, SPS, PPS, SEI, SLICE), False),
    ("slice of a partition", H264, units(bytes((0x62, 1))), False),
    ("IDR behind a slice", H264, units(SLICE, IDR), False),
    *(
        (f"HEVC NAL type {kind}", HEVC, units(bytes((32 << 1, 1)), bytes((kind << 1, 1, 9))), 16 <= kind < 24)
        for kind in (0, 1, 8, 9, 15, 16, 19, 20, 21, 23, 24, 31)
    ),
    ("AV1 keyframe", AV1, DELIMITER + SEQUENCE + frame(0x10), True),
    ("AV1 keyframe in a header of its own", AV1, SEQUENCE + frame(0x10, obu=3), True),
    ("AV1 keyframe shown later", AV1, SEQUENCE + frame(0x00), False),
    ("AV1 inter frame", AV1, DELIMITER + frame(0x30), False),
    ("AV1 intra-only frame", AV1, frame(0x50), False),
    ("AV1 switch frame", AV1, frame(0x70), False),
    ("AV1 frame shown again", AV1, frame(0x80, obu=3), False),
    ("AV1 with an extension and without a size", AV1, b"\x34\x00\x10", True),
    ("AV1 inter with an extension and without a size", AV1, b"\x34\x00\x30", False),
    ("VP9 keyframe", VP9, b"\x82\x49", True),
    ("VP9 inter frame", VP9, b"\x86\x00", False),
    ("VP9 frame shown again", VP9, b"\x88\x00", False),
    ("VP9 keyframe of profile 3", VP9, b"\xb0\x24", True),
    ("VP9 inter frame of profile 3", VP9, b"\xb2\x00", False),
    *((f"{codec}, nothing to be read", codec, data, True) for codec in (H264, HEVC, AV1) for data in (b"", b"\x00")),
    ("zeros", H264, bytes(30), True),
    ("nothing but messages", H264, units(*[SEI] * (UNITS_READ_MAX + 1), SLICE), True),
    ("a length beyond the end", H264, units(SEI)[:-2], True),
    ("another codec", "vp08", b"\xff", True),
]


@pytest.mark.parametrize(("codec", "picture", "is_start"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
class TestCanStart:
    def test_of_bytes(self, codec: str, picture: bytes, is_start: bool) -> None:
        assert can_start(codec, b"head" + picture, 4) is is_start

    def test_of_a_payload_that_lies_in_two_slabs(self, codec: str, picture: bytes, is_start: bool) -> None:
        for cut in (0, 1, 3, 5, 8):
            log = PayloadLog()
            log.append(bytes(SLAB_BYTES), 0, SLAB_BYTES - 4 - cut, SLAB_BYTES)
            data = b"head" + picture
            assert can_start(codec, log.append(data, 0, len(data), len(data)), 4) is is_start


@pytest.mark.parametrize("length_bytes", [1, 2, 4])
def test_lengths_of_units_are_as_the_record_says(length_bytes: int) -> None:
    record = bytes.fromhex("01640028") + bytes((0xFC | length_bytes - 1,)) + b"\xe1"
    assert unit_length_bytes(H264, record) == length_bytes
    assert unit_length_bytes(HEVC, bytes(21) + bytes((length_bytes - 1,)) + b"\x00") == length_bytes
    assert can_start(H264, units(AUD, IDR, length_bytes=length_bytes), 0, length_bytes)
    assert not can_start(H264, units(AUD, SLICE, length_bytes=length_bytes), 0, length_bytes)


@given(st.sampled_from([H264, HEVC, AV1, VP9]), st.binary(max_size=200))
def test_any_bytes_have_an_answer(codec: str, data: bytes) -> None:
    assert can_start(codec, data, 0) in (True, False)


@pytest.mark.parametrize(
    ("codec", "picture", "is_known"),
    [
        (H264, units(AUD, SPS, PPS, IDR), True),
        (H264, units(AUD, SLICE), False),
        (H264, b"", False),
        (HEVC, units(bytes((19 << 1, 1, 9))), True),
        (HEVC, units(bytes((21 << 1, 1, 9))), True),
        (HEVC, units(bytes((1 << 1, 1, 9))), False),
        (HEVC, units(bytes((32 << 1, 1))), False),
        (AV1, DELIMITER + SEQUENCE + frame(0x10), False),
        (VP9, b"\x82\x49", False),
    ],
)
def test_a_start_whatever_it_is_called_is_one_that_says_so(codec: str, picture: bytes, is_known: bool) -> None:
    assert is_start(codec, picture, 0) is is_known
