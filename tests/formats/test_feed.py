from __future__ import annotations

import contextlib
import itertools
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import FeedError
from streamd.formats.feed import (
    BODY_BYTES_MAX,
    HELLO_BYTES_MAX,
    STATE_BYTES_MAX,
    Body,
    End,
    FeedReader,
    Hello,
    Part,
    Ping,
    Record,
    SegmentEnd,
    State,
    encode,
    head_of,
)

HELLO = Hello("anna", "a", 7)
PART = Part(1, 10_001, -5, 45_000, 90_000, True, True, False, 1000, 1_790_000_000_000, b"moof mdat")
RECORDS: list[Record] = [
    HELLO,
    Ping(),
    State(b'{"renditions":[]}'),
    Body(0, 10_000, b"bytes"),
    PART,
    SegmentEnd(1, 1000),
    State(b""),
    End("ended"),
]
WHOLE = b"".join(map(encode, RECORDS))


def framed(kind: int, rest: bytes, size: int | None = None) -> bytes:
    return struct.pack(">BI", kind, len(rest) if size is None else size) + rest


def after_hello() -> FeedReader:
    reader = FeedReader("anna")
    reader.receive(encode(HELLO))
    return reader


class TestReading:
    def test_whole_and_byte_by_byte_are_the_same(self) -> None:
        assert FeedReader("anna").receive(WHOLE) == RECORDS
        reader = FeedReader("anna")
        read: list[Record] = []
        for index in range(len(WHOLE)):
            read += reader.receive(WHOLE[index : index + 1])
        assert read == RECORDS
        assert reader.held_bytes == 0

    @given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
    def test_pieces_of_any_size_are_the_same(self, cuts: list[int]) -> None:
        at = [0, *sorted(cuts), len(WHOLE)]
        reader = FeedReader("anna", 7)
        read: list[Record] = []
        for start, end in itertools.pairwise(at):
            read += reader.receive(WHOLE[start:end])
        assert read == RECORDS

    def test_the_content_stands_behind_the_head(self) -> None:
        assert head_of(PART) + PART.content == encode(PART)
        assert head_of(Ping()) == encode(Ping())

    @given(st.binary(max_size=200))
    def test_any_bytes_are_records_or_an_error(self, data: bytes) -> None:
        for reader in (FeedReader("anna"), after_hello()):
            with contextlib.suppress(FeedError):
                reader.receive(data)

    @given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
    def test_one_wrong_byte_is_records_or_an_error(self, at: int, value: int) -> None:
        data = bytearray(WHOLE)
        data[at] = value
        with contextlib.suppress(FeedError):
            FeedReader("anna").receive(bytes(data))

    @given(
        st.builds(
            Part,
            rendition=st.integers(0, 127),
            number=st.sampled_from([0, 1, 2**48 - 1]),
            start_ticks=st.sampled_from([0, -1, 2**50 - 1, 1 - 2**50]),
            duration_ticks=st.sampled_from([0, 1, 60]),
            timescale=st.sampled_from([1, 90_000, 2**24]),
            is_independent=st.booleans(),
            starts_segment=st.booleans(),
            is_discontinuous=st.booleans(),
            msn=st.sampled_from([0, 2**48 - 1]),
            program_date_time_ms=st.sampled_from([0, -1, 2**48 - 1]),
            content=st.binary(max_size=20),
        )
    )
    def test_a_part_at_the_edges_comes_back(self, part: Part) -> None:
        reader = after_hello()
        reader.receive(encode(State(b"")))
        assert reader.receive(encode(part)) == [part]


class TestOrder:
    @pytest.mark.parametrize("record", RECORDS[1:])
    def test_the_greeting_comes_first(self, record: Record) -> None:
        with pytest.raises(FeedError, match="greeting"):
            FeedReader("anna").receive(encode(record))

    def test_and_only_once(self) -> None:
        with pytest.raises(FeedError, match="greeting"):
            after_hello().receive(encode(HELLO))

    @pytest.mark.parametrize("record", [PART, Body(0, 1, b""), SegmentEnd(0, 1)])
    def test_no_media_comes_before_the_state(self, record: Record) -> None:
        with pytest.raises(FeedError, match="before the state"):
            after_hello().receive(encode(record))

    def test_nothing_comes_behind_the_end(self) -> None:
        with pytest.raises(FeedError, match="behind the end"):
            after_hello().receive(encode(End("ended")) + encode(Ping()))


class TestLies:
    @pytest.mark.parametrize(
        ("kind", "size"),
        [(1, HELLO_BYTES_MAX), (2, STATE_BYTES_MAX), (3, BODY_BYTES_MAX + 9), (6, 64), (7, 0)],
    )
    def test_a_length_beyond_the_bound_is_refused_before_anything_is_held(self, kind: int, size: int) -> None:
        reader = FeedReader("anna") if kind == 1 else after_hello()
        if kind == 3:
            reader.receive(encode(State(b"")))
        assert reader.receive(framed(kind, b"", size)) == [] or size == 0
        other = FeedReader("anna") if kind == 1 else after_hello()
        if kind == 3:
            other.receive(encode(State(b"")))
        with pytest.raises(FeedError, match="are allowed"):
            other.receive(framed(kind, b"", size + 1))

    @pytest.mark.parametrize("length", [0, 8, 43])
    def test_a_record_that_is_shorter_than_its_fields(self, length: int) -> None:
        reader = after_hello()
        reader.receive(encode(State(b"")))
        with pytest.raises(FeedError, match="too short"):
            reader.receive(framed(4, bytes(length)))

    def test_an_unknown_kind(self) -> None:
        with pytest.raises(FeedError, match="unknown kind 9"):
            after_hello().receive(framed(9, b""))

    @pytest.mark.parametrize(
        "hello",
        [
            {"version": 2, "name": "anna", "node": "a", "epoch": 7},
            {"version": 1, "name": "anna", "node": "a", "epoch": -1},
            {"version": 1, "name": "anna", "node": "a", "epoch": True},
            {"version": 1, "name": "anna", "node": "a", "epoch": 2**48},
            {"version": 1, "name": "anna", "node": 5, "epoch": 1},
            {"version": 1, "node": "a", "epoch": 1},
            [],
            None,
        ],
    )
    def test_a_greeting_that_is_none(self, hello: object) -> None:
        with pytest.raises(FeedError, match="greeting"):
            FeedReader("anna").receive(framed(1, json.dumps(hello).encode()))

    def test_a_greeting_that_is_no_json(self) -> None:
        for text in (b"\xff", b"[" * 1000, b""):
            with pytest.raises(FeedError, match="not JSON"):
                FeedReader("anna").receive(framed(1, text))

    def test_another_channel(self) -> None:
        with pytest.raises(FeedError, match="another channel"):
            FeedReader("berta").receive(encode(HELLO))

    def test_an_epoch_that_runs_back(self) -> None:
        assert FeedReader("anna", 7).receive(encode(HELLO)) == [HELLO]
        with pytest.raises(FeedError, match="epoch 7, and 8"):
            FeedReader("anna", 8).receive(encode(HELLO))

    @pytest.mark.parametrize(
        "fields",
        [
            (128, 0, 0, 0, 0, 1, 0, 0),
            (0, 8, 0, 0, 0, 1, 0, 0),
            (0, 0, 2**48, 0, 0, 1, 0, 0),
            (0, 0, 0, 2**50, 0, 1, 0, 0),
            (0, 0, 0, 0, 61, 1, 0, 0),
            (0, 0, 0, 0, 0, 0, 0, 0),
            (0, 0, 0, 0, 0, 2**24 + 1, 0, 0),
            (0, 0, 0, 0, 0, 1, 2**48, 0),
            (0, 0, 0, 0, 0, 1, 0, 2**48),
        ],
    )
    def test_a_part_with_numbers_that_cannot_be(self, fields: tuple[int, ...]) -> None:
        reader = after_hello()
        reader.receive(encode(State(b"")))
        with pytest.raises(FeedError, match="cannot be"):
            reader.receive(framed(4, struct.pack(">BBQqQIQq", *fields)))

    @pytest.mark.parametrize(
        "record", [Body(128, 1, b""), Body(0, 2**48, b""), SegmentEnd(128, 1), SegmentEnd(0, 2**48)]
    )
    def test_numbers_that_cannot_be(self, record: Record) -> None:
        reader = after_hello()
        reader.receive(encode(State(b"")))
        with pytest.raises(FeedError, match="cannot be"):
            reader.receive(encode(record))

    def test_a_reason_that_is_no_word(self) -> None:
        with pytest.raises(FeedError, match="cannot be"):
            after_hello().receive(framed(6, b"a\r\nb"))
