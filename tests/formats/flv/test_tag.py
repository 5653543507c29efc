from __future__ import annotations

import pytest

from streamd.errors import FlvError
from streamd.formats.flv.tag import (
    PREVIOUS_TAG_SIZE_BYTES,
    TAG_HEADER_BYTES,
    FlvReader,
    FlvTag,
    TagType,
    flv_header,
    previous_tag_size,
    serialise,
    tag_header,
)
from tests.support.delivery import deliver

AUDIO = FlvTag(TagType.AUDIO, 0, b"\xaf\x00\x11\x90")
VIDEO = FlvTag(TagType.VIDEO, 0x0102_0304, b"\x17\x01\x00\x00\x00" + b"v" * 300)
EMPTY = FlvTag(TagType.AUDIO, 40, b"")
STREAM = flv_header(has_video=True, has_audio=True) + b"".join(map(serialise, (AUDIO, VIDEO, EMPTY)))


class TestHeader:
    """FLV 10.1 E.2."""

    @pytest.mark.parametrize(
        ("has_video", "has_audio", "flags"), [(True, True, 5), (True, False, 1), (False, True, 4), (False, False, 0)]
    )
    def test_flags_say_which_tags_come(self, has_video: bool, has_audio: bool, flags: int) -> None:
        header = flv_header(has_video=has_video, has_audio=has_audio)
        assert header == b"FLV\x01" + bytes([flags]) + b"\x00\x00\x00\x09" + b"\x00\x00\x00\x00"

    def test_longer_header_is_skipped(self) -> None:
        longer = b"FLV\x01\x05\x00\x00\x00\x0bxx" + bytes(4) + serialise(AUDIO)
        assert FlvReader().receive_data(longer) == [AUDIO]

    @pytest.mark.parametrize("data", [b"F", b"FLV\x01", STREAM[:12]])
    def test_not_enough_bytes_give_nothing(self, data: bytes) -> None:
        assert FlvReader().receive_data(data) == []

    @pytest.mark.parametrize(
        "data", [b"\x03", b"GET / HTTP/1.1\r\n", b"FLX", b"FLV\x01\x05\x00\x00\x00\x08", b"FLV\x01\x05\x7f\xff\xff\xff"]
    )
    def test_other_formats_are_an_error(self, data: bytes) -> None:
        with pytest.raises(FlvError):
            FlvReader().receive_data(data)


class TestTag:
    """FLV 10.1 E.4.1."""

    def test_layout(self) -> None:
        assert serialise(FlvTag(9, 0x0102_0304, b"ab")) == (
            b"\x09\x00\x00\x02\x02\x03\x04\x01\x00\x00\x00ab\x00\x00\x00\x0d"
        )

    @pytest.mark.parametrize(
        ("timestamp_ms", "wire_ms"),
        [
            (0, 0),
            (2**24 - 1, 2**24 - 1),
            (2**24, 2**24),
            (2**31 - 1, 2**31 - 1),
            (2**31, 2**31),
            (2**32 - 1, 2**32 - 1),
            (2**32, 0),
            (2**32 + 40, 40),
            (-40, 2**32 - 40),
        ],
    )
    def test_timestamp_keeps_its_low_32_bits(self, timestamp_ms: int, wire_ms: int) -> None:
        data = flv_header(has_video=True, has_audio=False) + serialise(FlvTag(9, timestamp_ms, b"x"))
        assert FlvReader().receive_data(data) == [FlvTag(9, wire_ms, b"x")]

    def test_pieces_make_the_whole(self) -> None:
        size = len(VIDEO.payload)
        pieces = tag_header(VIDEO.tag_type, VIDEO.timestamp_ms, size) + bytes(VIDEO.payload) + previous_tag_size(size)
        assert pieces == serialise(VIDEO)
        assert len(pieces) == TAG_HEADER_BYTES + size + PREVIOUS_TAG_SIZE_BYTES

    def test_largest_data_size_fits(self) -> None:
        assert tag_header(9, 0, 2**24 - 1)[1:4] == b"\xff\xff\xff"


class TestReader:
    def test_every_delivery_gives_the_same_tags(self) -> None:
        tags = deliver(lambda: FlvReader().receive_data, STREAM, trailing=b"\x09\x00")
        assert tags == [AUDIO, VIDEO, EMPTY]

    def test_previous_tag_size_is_not_believed(self) -> None:
        wrong = STREAM[: 13 + 11 + len(AUDIO.payload)] + b"\xff\xff\xff\xff" + serialise(VIDEO)
        assert FlvReader().receive_data(wrong) == [AUDIO, VIDEO]

    def test_tag_above_the_limit_is_an_error_before_it_is_buffered(self) -> None:
        reader = FlvReader(tag_bytes_max=100)
        header = flv_header(has_video=True, has_audio=False) + tag_header(9, 0, 101)
        with pytest.raises(FlvError, match="101 bytes, 100 allowed"):
            reader.receive_data(header)

    def test_encrypted_tag_is_an_error(self) -> None:
        data = flv_header(has_video=True, has_audio=False) + serialise(FlvTag(9 | 0x20, 0, b"x"))
        with pytest.raises(FlvError, match="encrypted"):
            FlvReader().receive_data(data)
