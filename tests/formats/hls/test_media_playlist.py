from __future__ import annotations

from dataclasses import replace

import pytest

from streamd.formats.hls.attribute_list import unix_ms
from streamd.formats.hls.media_playlist import MediaPlaylist, Part, RenditionReport, Segment, render, skippable_segments
from tests.support.chunk_feeder import EPOCH
from tests.support.llhls_checker import PlaylistFollower, check_playlist

START_MS = unix_ms(EPOCH)


def segment(index: int, *, parts: bool = False, map_uri: str = "main/init1.mp4") -> Segment:
    """The two-second segment ``index``."""
    first = 4 * index
    return Segment(
        uri=f"main/seg{index}.m4s",
        duration_ticks=180_000,
        timescale=90_000,
        program_date_time_ms=START_MS + 2000 * index,
        map_uri=map_uri,
        parts=tuple(Part(f"main/part{first + k}.m4s", 45_000, k == 0) for k in range(4)) if parts else (),
    )


LOW_LATENCY = MediaPlaylist(
    target_duration_s=2,
    part_target_ms=500,
    media_sequence=10,
    discontinuity_sequence=3,
    segments=(segment(10), segment(11, parts=True)),
    open_segment=replace(segment(12), uri=None, duration_ticks=45_000, parts=(Part("main/part48.m4s", 45_000, True),)),
    preload_part_uri="main/part49.m4s",
)

LOW_LATENCY_TEXT = b"""\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.50000,HOLD-BACK=6.00000,CAN-SKIP-UNTIL=12.00000
#EXT-X-PART-INF:PART-TARGET=0.50000
#EXT-X-MEDIA-SEQUENCE:10
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXT-X-MAP:URI="main/init1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T12:00:20.000Z
#EXTINF:2.00000,
main/seg10.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T12:00:22.000Z
#EXT-X-PART:DURATION=0.50000,URI="main/part44.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50000,URI="main/part45.m4s"
#EXT-X-PART:DURATION=0.50000,URI="main/part46.m4s"
#EXT-X-PART:DURATION=0.50000,URI="main/part47.m4s"
#EXTINF:2.00000,
main/seg11.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-01-01T12:00:24.000Z
#EXT-X-PART:DURATION=0.50000,URI="main/part48.m4s",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="main/part49.m4s"
"""


class TestFullPlaylist:
    """rfc8216bis 4.4."""

    def test_a_low_latency_playlist_says_all_that_is_needed(self) -> None:
        assert render(LOW_LATENCY) == LOW_LATENCY_TEXT
        assert check_playlist(LOW_LATENCY_TEXT) == []

    def test_a_plain_playlist_knows_nothing_of_parts(self) -> None:
        plain = replace(LOW_LATENCY, part_target_ms=None, segments=(segment(10), segment(11)))
        plain = replace(plain, open_segment=None, preload_part_uri=None)
        text = render(plain)
        assert not any(word in text for word in (b"PART", b"SERVER-CONTROL", b"HINT", b"SKIP"))
        assert check_playlist(text) == []

    def test_the_end_is_told(self) -> None:
        ended = replace(LOW_LATENCY, open_segment=None, preload_part_uri=None, is_ended=True)
        assert render(ended).endswith(b"main/seg11.m4s\n#EXT-X-ENDLIST\n")
        assert check_playlist(render(ended)) == []

    def test_a_new_map_and_a_discontinuity_stand_before_their_segment(self) -> None:
        changed = replace(segment(12, map_uri="main/init2.mp4"), is_discontinuous=True)
        text = render(replace(LOW_LATENCY, segments=(*LOW_LATENCY.segments, changed), open_segment=None))
        assert b'seg11.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI="main/init2.mp4"\n' in text
        assert check_playlist(text) == []

    def test_a_coming_map_is_hinted(self) -> None:
        text = render(replace(LOW_LATENCY, preload_map_uri="main/init2.mp4"))
        assert b'#EXT-X-PRELOAD-HINT:TYPE=MAP,URI="main/init2.mp4"\n' in text
        assert check_playlist(text) == []

    @pytest.mark.parametrize(
        ("report", "line"),
        [
            (RenditionReport("low.m3u8", 12, 0), b'URI="low.m3u8",LAST-MSN=12,LAST-PART=0\n'),
            (RenditionReport("low.m3u8", 12, None), b'URI="low.m3u8",LAST-MSN=12\n'),
        ],
    )
    def test_other_renditions_are_reported(self, report: RenditionReport, line: bytes) -> None:
        text = render(replace(LOW_LATENCY, rendition_reports=(report,)))
        assert text.endswith(b"#EXT-X-RENDITION-REPORT:" + line)
        assert check_playlist(text) == []


class TestDeltaUpdate:
    """rfc8216bis 6.2.5.1."""

    @pytest.mark.parametrize(
        ("segments", "skipped"),
        [(1, 0), (5, 0), (6, 0), (7, 1), (8, 2), (16, 10)],
    )
    def test_what_lies_beyond_the_skip_boundary_is_skippable(self, segments: int, skipped: int) -> None:
        # Half a second is open behind them, so the seventh segment from the end begins 12.5 s before it.
        listed = tuple(segment(index) for index in range(segments))
        playlist = replace(LOW_LATENCY, media_sequence=0, segments=listed)
        assert skippable_segments(playlist) == skipped

    def test_the_last_segment_stays(self) -> None:
        playlist = replace(LOW_LATENCY, segments=(segment(10), segment(11)), open_segment=None, target_duration_s=0)
        assert skippable_segments(playlist) == 1

    def test_a_plain_playlist_skips_nothing(self) -> None:
        listed = tuple(segment(index) for index in range(20))
        assert skippable_segments(replace(LOW_LATENCY, part_target_ms=None, segments=listed)) == 0

    def test_a_delta_update_is_the_full_playlist_without_what_it_skips(self) -> None:
        listed = tuple(segment(index) for index in range(3, 12))
        playlist = replace(LOW_LATENCY, media_sequence=3, segments=listed)
        text = render(playlist, skippable_segments(playlist))
        assert b"#EXT-X-VERSION:9\n" in text
        assert b"#EXT-X-MEDIA-SEQUENCE:3\n" in text
        assert b"#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXT-X-PROGRAM-DATE-TIME" in text
        assert b"#EXT-X-MAP" not in text
        follower = PlaylistFollower()
        assert follower.reload(render(playlist)) == []
        full = follower.current
        assert full is not None
        assert follower.reload(text) == []
        assert follower.current is not None
        assert follower.current.segments == full.segments
        assert follower.current.open_segment == full.open_segment

    def test_a_map_that_changes_after_what_is_skipped_is_told(self) -> None:
        old = tuple(segment(index) for index in range(3, 6))
        new = tuple(segment(index, map_uri="main/init2.mp4") for index in range(6, 12))
        changed = (*old, replace(new[0], is_discontinuous=True), *new[1:])
        assert b'#EXT-X-MAP:URI="main/init2.mp4"' in render(replace(LOW_LATENCY, segments=changed), 3)
