"""The window without a playlist; what viewers find of it is in ``test_rendition.py``."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from streamd.errors import LocalStateError, MediaLimitError
from streamd.media.packager import window as module
from streamd.media.packager.named_bytes import BytesKind
from streamd.media.packager.numbering import Numbering
from streamd.media.packager.window import Window
from tests.support.chunk_feeder import AUDIO, EPOCH, HEADER, VIDEO, ChunkFeeder

NUMBERING = Numbering(msn=1000, part_number=10_000, discontinuity_sequence=7)


def window(segments: int = 3, *, opening_bytes_max: int = 10**9, is_continuing: bool = False) -> Window:
    made = Window(2, segments, opening_bytes_max, NUMBERING, EPOCH, is_continuing=is_continuing)
    made.set_header(HEADER, (VIDEO, AUDIO))
    return made


def fill(made: Window, feeder: ChunkFeeder, *seconds: float) -> None:
    """Add whole segments."""
    for length in seconds:
        for chunk in feeder.segment(round(length * feeder.timescale)):
            made.add(chunk)
        made.end_segment()


class TestSegments:
    def test_parts_become_a_segment_when_it_ends(self) -> None:
        made, feeder = window(), ChunkFeeder()
        for chunk in feeder.segment(180_000):
            made.add(chunk)
        assert made.open is not None
        assert (made.next_msn, made.next_part_number, len(made.open.chunks)) == (1000, 10_004, 4)
        assert made.segment(1000) is None
        ended = made.end_segment()
        assert list(made.listed) == [ended]
        assert (made.next_msn, made.listed_us) == (1001, 2_000_000)
        assert made.end_segment() is None
        found = made.segment(1000)
        assert found is not None
        assert (found.kind, found.name, found.has_video) == (BytesKind.SEGMENT, "seg1000", True)
        assert found.buffers == tuple(chunk.content.join() for chunk in feeder.chunks)

    def test_there_is_none_to_end_between_two(self) -> None:
        assert window().end_segment() is None

    def test_a_part_of_any_segment_is_found(self) -> None:
        made, feeder = window(), ChunkFeeder()
        fill(made, feeder, 2, 2)
        made.add(next(feeder.segment(45_000)))
        for number in (10_000, 10_005, 10_008):
            found = made.part(number)
            assert found is not None
            assert found.name == f"part{number}"
            assert found.buffers == (feeder.chunks[number - 10_000].content.join(),)
            assert made.part(number) is found
        assert made.part(10_009) is None

    def test_what_has_left_the_playlist_stays_for_its_own_time_and_a_playlists(self) -> None:
        made, feeder = window(), ChunkFeeder()
        fill(made, feeder, 2, 2, 2, 2)
        assert [segment.msn for segment in made.listed] == [1001, 1002, 1003]
        # It left at 8 s; the longest playlist was 8 s for a moment, and it lasts 2 s.
        fill(made, feeder, 2, 2, 2, 2, 2)
        assert made.segment(1000) is not None
        fill(made, feeder, 2)
        assert made.segment(1000) is None
        assert made.part(10_003) is None

    def test_a_playlist_is_never_shorter_than_three_target_durations(self) -> None:
        made = window(segments=1)
        fill(made, ChunkFeeder(), *[1] * 10)
        assert made.listed_us == 6_000_000

    def test_a_part_needs_a_header_and_a_segment_of_its_timescale(self) -> None:
        first, second = ChunkFeeder().segment(90_000)
        with pytest.raises(LocalStateError):
            Window(2, 3, 10**9, NUMBERING, EPOCH).add(first)
        made = window()
        with pytest.raises(LocalStateError):
            made.add(second)
        made.add(first)
        with pytest.raises(LocalStateError):
            made.add(replace(second, timescale=48_000))


class TestBytes:
    def test_what_has_left_the_playlist_goes_first(self) -> None:
        made, feeder = window(opening_bytes_max=4 * 4 * (1000 + 512) + 100), ChunkFeeder(payload_bytes=1000)
        fill(made, feeder, *[2] * 10)
        assert made.segments_lost == 0
        assert made.held_bytes <= 4 * 4 * 1512 + 100
        assert len(made.listed) == 3

    def test_listed_segments_go_too_before_it_is_too_much(self) -> None:
        made, feeder = window(opening_bytes_max=2 * 4 * (1000 + 512) + 100), ChunkFeeder(payload_bytes=1000)
        fill(made, feeder, *[2] * 10)
        assert made.segments_lost > 0
        assert len(made.listed) == 2

    def test_the_open_segment_has_a_bound_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "OPEN_SEGMENT_BYTES_MAX", 5000)
        made = window(opening_bytes_max=100)
        chunks = list(ChunkFeeder(payload_bytes=1000).segment(90_000 * 2))
        for chunk in chunks[:3]:
            made.add(chunk)
        with pytest.raises(MediaLimitError):
            made.add(chunks[3])


class TestHeaders:
    def test_the_same_again_is_no_change(self) -> None:
        made = window()
        assert not made.set_header(bytes(HEADER), (VIDEO, AUDIO))
        assert made.set_header(b"other", (AUDIO,))

    def test_it_is_named_by_the_segment_that_it_is_for(self) -> None:
        made = window()
        made.add(next(ChunkFeeder().segment(45_000)))
        made.set_header(b"other", (AUDIO,))
        assert made.header is not None
        assert (made.header.number, made.header.content.name, made.header.content.has_video) == (
            1001,
            "init1001",
            False,
        )

    def test_it_goes_with_its_last_segment(self) -> None:
        made, feeder = window(), ChunkFeeder()
        fill(made, feeder, 2)
        made.set_header(b"other", (VIDEO,))
        assert made.init(1000) is not None
        fill(made, feeder, *[2] * 12)
        assert made.init(1000) is None
        assert made.init(1001) is not None


class TestDiscontinuities:
    @pytest.mark.parametrize("is_continuing", [False, True])
    def test_the_first_segment_is_one_where_others_were_before(self, is_continuing: bool) -> None:
        made = window(is_continuing=is_continuing)
        fill(made, ChunkFeeder(), 2)
        assert made.listed[0].is_discontinuous == is_continuing

    def test_they_are_counted_as_they_leave(self) -> None:
        made, feeder = window(), ChunkFeeder()
        fill(made, feeder, 2)
        for chunk in feeder.segment(180_000, is_discontinuous=True):
            made.add(chunk)
        made.end_segment()
        assert made.next_numbering() == Numbering(1002, 10_008, 7 + 1 + 1)
        assert made.used_until_s == made.next_numbering().seconds
        fill(made, feeder, 2, 2, 2)
        assert made.discontinuity_sequence == 8
        assert made.next_numbering().discontinuity_sequence == 9

    def test_dates_go_on_behind_them_and_never_back(self) -> None:
        made, feeder = window(), ChunkFeeder()
        fill(made, feeder, 2)
        (chunk,) = feeder.segment(45_000, is_discontinuous=True)
        made.add(chunk, EPOCH - timedelta(hours=1))
        assert made.open is not None
        assert made.open.program_date_time_ms == made.listed[0].end_date_time_ms
