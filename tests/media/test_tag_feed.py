from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.formats.flv.tag import FlvReader, FlvTag, TagType
from streamd.formats.payload import HEAD_BYTES, SLAB_BYTES
from streamd.media import tag_feed
from streamd.media.tag_feed import MARKER, READ_BYTES, TagFeed
from tests.support.gate import in_slabs

MARKER_BYTES = 11 + len(MARKER) + 4
SIZES = [1, HEAD_BYTES, 300, READ_BYTES - 11, READ_BYTES, READ_BYTES + 1, 3 * READ_BYTES, SLAB_BYTES, SLAB_BYTES * 3]


def tags_of(sizes: list[int]) -> list[FlvTag]:
    return [
        FlvTag(TagType.VIDEO, 10**12, bytes((index + at) % 251 for at in range(size)))
        for index, size in enumerate(sizes)
    ]


def reads(feed: TagFeed, size: int = READ_BYTES) -> list[bytes]:
    return list(iter(lambda: feed.read(size), b""))


def read_back(pieces: list[bytes]) -> list[tuple[int, int, bytes]]:
    return [(tag.tag_type, tag.timestamp_ms, bytes(tag.payload)) for tag in FlvReader().receive_data(b"".join(pieces))]


def markers(*numbers: int) -> list[tuple[int, int, bytes]]:
    return [(TagType.SCRIPT, number, MARKER) for number in numbers]


class TestStream:
    def test_begins_with_a_marker_the_headers_and_more_markers(self) -> None:
        header = FlvTag(TagType.AUDIO, 500, b"\xaf\x00\x11\x90")
        feed = TagFeed([header])
        assert read_back(reads(feed)) == [
            *markers(0),
            (TagType.AUDIO, 1, header.payload),
            (TagType.SCRIPT, 2, MARKER + bytes(32)),
            *markers(3),
        ]
        assert feed.marker_number == 3

    @pytest.mark.parametrize("size", [4, 5000])
    def test_the_marker_behind_the_headers_is_all_that_probing_needs_beyond_them(self, size: int) -> None:
        feed = TagFeed([FlvTag(TagType.AUDIO, 0, bytes(size))])
        first, header, marker, last = (len(payload) for _, _, payload in read_back(reads(feed)))
        # Whether the header counts as a packet or not.
        assert first + header < feed.probe_bytes <= first + marker
        assert last == len(MARKER)

    @given(
        st.lists(st.lists(st.sampled_from(SIZES), max_size=5), max_size=4),
        st.sampled_from([1 << 20, READ_BYTES, 1000]),
        st.booleans(),
    )
    def test_is_that_of_the_tags_numbered_with_a_marker_behind_each_batch(
        self, batches: list[list[int]], size: int, is_in_slabs: bool
    ) -> None:
        feed = TagFeed([])
        pieces = reads(feed)
        expected = read_back(pieces)
        number = 3
        for sizes in batches:
            tags = tags_of(sizes)
            assert feed.put(in_slabs(tags) if is_in_slabs else tags) == number
            pieces += reads(feed, size)
            expected += [(tag.tag_type, number + at, bytes(tag.payload)) for at, tag in enumerate(tags)]
            number += len(tags)
            expected += markers(number)
            number += 1
        assert read_back(pieces) == expected

    def test_is_at_its_end_when_all_is_read(self) -> None:
        feed = TagFeed([])
        reads(feed)
        assert feed.read(1) == b""

    def test_numbers_start_again_before_they_are_negative_timestamps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tag_feed, "_NUMBERS_END", 7)
        feed = TagFeed([])
        numbers = [feed.put(tags_of([1, 1])) for _ in range(3)]
        assert numbers == [3, 0, 3]


class TestReads:
    @given(st.lists(st.sampled_from(SIZES), min_size=1, max_size=6), st.booleans())
    def test_a_marker_is_a_read_of_its_own(self, sizes: list[int], is_in_slabs: bool) -> None:
        feed = TagFeed([])
        assert [len(piece) for piece in reads(feed)[1:]] == [MARKER_BYTES, MARKER_BYTES + 32, MARKER_BYTES]
        tags = tags_of(sizes)
        feed.put(in_slabs(tags) if is_in_slabs else tags)
        pieces = reads(feed)
        assert len(pieces[-1]) == MARKER_BYTES
        assert pieces[-1][11:-4] == MARKER
        assert all(MARKER not in piece for piece in pieces[:-1])

    def test_a_large_frame_is_not_read_with_its_header(self) -> None:
        feed = TagFeed([])
        reads(feed)
        feed.put(in_slabs(tags_of([3 * READ_BYTES])))
        assert [len(piece) for piece in reads(feed, 1 << 20)] == [
            11 + HEAD_BYTES,
            3 * READ_BYTES - HEAD_BYTES,
            4,
            MARKER_BYTES,
        ]

    def test_small_frames_come_many_at_once(self) -> None:
        feed = TagFeed([])
        reads(feed)
        feed.put(in_slabs(tags_of([300] * 30)))
        assert len(reads(feed)) == -(-30 * 315 // READ_BYTES) + 1


class TestPayloads:
    def test_are_kept_until_they_are_read_and_no_longer(self) -> None:
        (tag,) = in_slabs(tags_of([5 * READ_BYTES]))
        feed = TagFeed([])
        reads(feed)
        # Asserting keeps what it looks at.
        before = sys.getrefcount(tag.payload)
        feed.put([tag])
        kept = sys.getrefcount(tag.payload)
        reads(feed)
        after = sys.getrefcount(tag.payload)
        assert (kept - before, after - before) == (1, 0)
