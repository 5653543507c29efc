"""The playlist of hours that are past, whole and as a delta update.

rfc8216bis-22 sections 6.2.2 and 6.2.5.1.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import replace

import pytest

from streamd.formats.hls.directives import Directives
from streamd.media.packager.reload import Position, ReloadVerdict, decide_reload
from streamd.services.recording.past_playlist import _FILE_BYTES, _SEGMENT_BYTES, PastPlaylist
from streamd.services.recording.playlist_file import RecordedSegment

FIRST_MSN = 1000
SEGMENTS_A_FILE = 30
AT_MS = 1_772_366_400_000


def segment(number: int, *, init_number: int = 0, is_discontinuous: bool = False) -> RecordedSegment:
    """The segment of two seconds with a number, of which a media file has thirty."""
    file_number, place = divmod(number, SEGMENTS_A_FILE)
    return RecordedSegment(
        file_number, place * 1000, 1000, 2_000_000, AT_MS + 2000 * number, init_number, is_discontinuous
    )


def past_of(count: int, window_s: int = 7200, *discontinuities: int) -> PastPlaylist:
    """A past of so many segments."""
    past = PastPlaylist("rec_1/main/", window_s * 1_000_000, FIRST_MSN)
    past.target_duration_s = 2
    for number in range(count):
        past.add(segment(number, is_discontinuous=number in discontinuities))
    return past


def text_of(past: PastPlaylist) -> str:
    return b"".join(past.full().unpacked()).decode()


def msns(text: str, skipped: int = 0) -> range:
    """The Media Sequence Numbers of the segments that a playlist has."""
    found = re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)
    assert found is not None
    first = int(found[1])
    return range(first + skipped, first + skipped + text.count("#EXTINF"))


def dates_ms(text: str) -> list[int]:
    """Which segments these are, by their dates as players have them, as numbers."""
    numbers: list[int] = []
    for lines in text.split("#EXTINF:")[:-1]:
        dated = re.findall(r"PROGRAM-DATE-TIME:2026-03-01T(\d\d):(\d\d):(\d\d)", lines)
        if dated:
            ((hours, minutes, seconds),) = dated
            numbers.append((int(hours) - 12) * 1800 + int(minutes) * 30 + int(seconds) // 2)
        else:
            # 4.4.4.6: without a date, it is where the one before ends.
            assert "#EXT-X-DISCONTINUITY\n" not in lines
            numbers.append(numbers[-1] + 1)
    return numbers


class TestFull:
    """All of the window."""

    @pytest.mark.parametrize("count", [0, 1, 29, 30, 31, 36, 37, 500, 3600])
    def test_has_each_segment_once_and_in_order(self, count: int) -> None:
        text = text_of(past_of(count))
        assert dates_ms(text) == list(range(count))
        assert msns(text) == range(FIRST_MSN, FIRST_MSN + count)

    @pytest.mark.parametrize("count", [1, 31, 500])
    def test_the_compressed_form_is_one_gzip_member_of_the_same_text(self, count: int) -> None:
        full = past_of(count).full()
        text = b"".join(full.unpacked())
        assert gzip.decompress(full.gzipped()) == text
        assert full.size_bytes == len(text)

    def test_whole_files_leave_that_lie_before_the_window(self) -> None:
        past = past_of(3000, 600)
        text = text_of(past)
        listed = dates_ms(text)
        assert 300 <= len(listed) <= 300 + SEGMENTS_A_FILE
        assert listed[-1] == 2999
        assert msns(text) == range(FIRST_MSN + listed[0], FIRST_MSN + 3000)
        assert past.first_file == listed[0] // SEGMENTS_A_FILE
        assert past.held_bytes < 20_000
        # What has left is not counted, and nothing is counted twice.
        deflated = sum(len(file.piece.deflated) + _FILE_BYTES for file in past._files)
        assert past.held_bytes == deflated + len(past._recent) * _SEGMENT_BYTES

    def test_what_is_older_is_dated_where_its_date_does_not_follow(self) -> None:
        past = past_of(10)
        for number in range(10, 60):
            # Three seconds are lost behind the tenth, and two milliseconds at most are rounding.
            late_ms = (3000 if number > 10 else 0) + number % 3
            past.add(replace(segment(number), program_date_time_ms=AT_MS + 2000 * number + late_ms))
        old = text_of(past).partition("000001.m4s")[0]
        dates = re.findall(r"PROGRAM-DATE-TIME:2026-03-01T12:00:(\d\d\.\d{3})Z", old)
        assert dates[:2] == ["00.000", "25.002"]
        assert len(re.findall("#EXT-X-PROGRAM-DATE-TIME", text_of(past))) == 2 + 30

    def test_a_playlist_whose_beginning_has_left_names_its_header(self) -> None:
        text = text_of(past_of(3000, 600))
        assert text.index("#EXT-X-MAP") < text.index("#EXTINF")

    def test_discontinuities_that_have_left_are_counted(self) -> None:
        text = text_of(past_of(3000, 600, 0, 100, 2000, 2900))
        # That of the first segment says nothing, and stands nowhere.
        assert "#EXT-X-DISCONTINUITY-SEQUENCE:2\n" in text
        assert text.count("#EXT-X-DISCONTINUITY\n") == 1

    def test_the_end_is_said(self) -> None:
        past = past_of(3)
        past.is_ended = True
        assert text_of(past).endswith("#EXT-X-ENDLIST\n")
        assert decide_reload(Directives(msn=FIRST_MSN + 9), past.edge) is ReloadVerdict.AT_ONCE


class TestDelta:
    """What is newer than the Skip Boundary, which lies six target durations back."""

    @pytest.mark.parametrize("count", [8, 30, 36, 37, 100, 3000])
    def test_has_the_newest_segments_and_says_how_many_it_skips(self, count: int) -> None:
        past = past_of(count)
        delta = past.delta()
        assert delta is not None
        text = delta.decode()
        found = re.search(r"#EXT-X-SKIP:SKIPPED-SEGMENTS=(\d+)\n", text)
        assert found is not None
        listed = dates_ms(text)
        assert msns(text, int(found[1])) == range(FIRST_MSN + listed[0], FIRST_MSN + count)
        assert listed == list(range(count - 6, count))
        assert "CAN-SKIP-UNTIL=12.00000" in text

    @pytest.mark.parametrize("count", [0, 1, 6, 7])
    def test_is_none_where_nothing_may_be_skipped(self, count: int) -> None:
        past = past_of(count)
        assert (past.delta() is None) == (count < 7)

    def test_of_twelve_hours_is_a_packet(self) -> None:
        past = past_of(12 * 1800 + 100, 12 * 3600)
        delta = past.delta()
        assert delta is not None
        assert len(gzip.compress(delta)) < 3000
        assert past.full().size_bytes > 1_000_000
        assert past.held_bytes < 1_000_000

    def test_a_new_header_is_named_and_one_that_is_known_is_not(self) -> None:
        past = past_of(25)
        for number in range(25, 28):
            past.add(segment(number, init_number=1, is_discontinuous=True))
        delta = past.delta()
        assert delta is not None
        assert delta.decode().count("#EXT-X-MAP") == 1
        assert 'URI="rec_1/main/init1.mp4"' in delta.decode()


class TestReload:
    """6.2.5.2: whole segments can be waited for."""

    def test_the_next_segment_is_waited_for(self) -> None:
        past = past_of(10)
        last = FIRST_MSN + 9
        assert decide_reload(Directives(msn=last), past.edge) is ReloadVerdict.AT_ONCE
        assert decide_reload(Directives(msn=last + 1), past.edge) == Position(last + 1)
        assert decide_reload(Directives(msn=last + 3), past.edge) is ReloadVerdict.BAD_REQUEST
