from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.services.recording.playlist_file import (
    RecordedPlaylist,
    RecordedSegment,
    parse_playlist,
    render_playlist,
)

SEGMENTS = (
    RecordedSegment(0, 0, 1000, 2_000_000, 1_772_366_400_000, 0),
    RecordedSegment(0, 1000, 500, 1_001_010, 1_772_366_402_000, 0),
    RecordedSegment(1, 0, 700, 2_000_000, 1_772_366_403_001, 1, is_discontinuous=True),
)
PLAYLIST = RecordedPlaylist(2, SEGMENTS, is_ended=True)


def test_a_playlist_is_what_any_player_reads() -> None:
    assert render_playlist(PLAYLIST) == (
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:0\n"
        '#EXT-X-MAP:URI="init0.mp4"\n'
        "#EXT-X-PROGRAM-DATE-TIME:2026-03-01T12:00:00.000Z\n#EXTINF:2.00000,\n#EXT-X-BYTERANGE:1000@0\n000000.m4s\n"
        "#EXT-X-PROGRAM-DATE-TIME:2026-03-01T12:00:02.000Z\n#EXTINF:1.00101,\n#EXT-X-BYTERANGE:500@1000\n000000.m4s\n"
        '#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="init1.mp4"\n'
        "#EXT-X-PROGRAM-DATE-TIME:2026-03-01T12:00:03.001Z\n#EXTINF:2.00000,\n#EXT-X-BYTERANGE:700@0\n000001.m4s\n"
        "#EXT-X-ENDLIST\n"
    )


def test_names_have_a_prefix_where_the_playlist_lies_beside_the_folder() -> None:
    text = render_playlist(PLAYLIST, "main/")
    assert text.count("\nmain/00000") == 3
    assert text.count('URI="main/init') == 2


def test_what_is_written_is_read_again() -> None:
    assert parse_playlist(render_playlist(PLAYLIST)) == PLAYLIST


def test_one_that_goes_on_is_an_event() -> None:
    open_playlist = RecordedPlaylist(2, SEGMENTS)
    text = render_playlist(open_playlist)
    assert "#EXT-X-PLAYLIST-TYPE:EVENT\n" in text
    assert "ENDLIST" not in text
    assert parse_playlist(text) == open_playlist


@given(st.integers(0, len(render_playlist(PLAYLIST))))
def test_cut_off_anywhere_it_has_the_segments_that_are_whole(length: int) -> None:
    found = parse_playlist(render_playlist(PLAYLIST)[:length]).segments
    assert found == SEGMENTS[: len(found)]
    assert len(found) == render_playlist(PLAYLIST)[:length].count(".m4s\n")


@given(st.text())
def test_other_texts_hold_nothing(text: str) -> None:
    assert parse_playlist(text).segments == ()


@pytest.mark.parametrize(
    "line",
    [
        "#EXT-X-BYTERANGE:10",
        "#EXT-X-BYTERANGE:-1@0",
        "#EXTINF:1e309,",
        "#EXTINF:nan,",
        "../../../etc/passwd",
        "#EXT-X-PROGRAM-DATE-TIME:2026-13-01T12:00:00.000Z",
        '#EXT-X-MAP:URI="../init0.mp4"',
    ],
)
def test_a_line_that_is_not_ours_is_passed_over(line: str) -> None:
    text = render_playlist(PLAYLIST).replace("#EXT-X-MEDIA-SEQUENCE:0\n", f"#EXT-X-MEDIA-SEQUENCE:0\n{line}\n")
    assert parse_playlist(text) == PLAYLIST


def test_bit_rates_are_of_its_segments() -> None:
    peak, average = PLAYLIST.bit_rates()
    assert average == -(-2200 * 8 * 1_000_000 // 5_001_010)
    assert peak >= average
    assert RecordedPlaylist(2).bit_rates() == (0, 0)
