from __future__ import annotations

import pytest

from streamd.formats.hls.directives import Directives
from streamd.media.packager.reload import PlaylistEdge, Position, ReloadVerdict, decide_reload

AT_ONCE = ReloadVerdict.AT_ONCE
BAD_REQUEST = ReloadVerdict.BAD_REQUEST

# Segment 100 is complete and had four parts; two parts of segment 101 are listed. PART-TARGET is half a second, so the
# Advance Part Limit is six.
MIDDLE = PlaylistEdge(last_msn=100, last_segment_parts=4, open_parts=2, part_target_ms=500, is_ended=False)
# Segment 100 has just ended, and nothing of 101 is there.
BETWEEN = PlaylistEdge(last_msn=100, last_segment_parts=4, open_parts=0, part_target_ms=500, is_ended=False)
# Nothing yet of a playlist that begins with 101.
EMPTY = PlaylistEdge(last_msn=100, last_segment_parts=0, open_parts=0, part_target_ms=500, is_ended=False)
ENDED = PlaylistEdge(last_msn=100, last_segment_parts=4, open_parts=0, part_target_ms=500, is_ended=True)
PLAIN = PlaylistEdge(last_msn=100, last_segment_parts=4, open_parts=2, part_target_ms=None, is_ended=False)
LONG_PARTS = PlaylistEdge(last_msn=100, last_segment_parts=4, open_parts=2, part_target_ms=1000, is_ended=False)
# 3 / 0.35 is 8.57: the ninth part ahead exceeds it.
ODD_PARTS = PlaylistEdge(last_msn=100, last_segment_parts=4, open_parts=2, part_target_ms=350, is_ended=False)


class TestReloadDecision:
    """rfc8216bis 6.2.5.2."""

    @pytest.mark.parametrize(
        ("edge", "msn", "part", "decision"),
        [
            # Without directives, or with half of them.
            (MIDDLE, None, None, AT_ONCE),
            (MIDDLE, None, 0, BAD_REQUEST),
            # Whole segments.
            (MIDDLE, 0, None, AT_ONCE),
            (MIDDLE, 99, None, AT_ONCE),
            (MIDDLE, 100, None, AT_ONCE),
            (MIDDLE, 101, None, Position(101)),
            (MIDDLE, 102, None, Position(102)),
            (MIDDLE, 103, None, BAD_REQUEST),
            (MIDDLE, 2**64 - 1, None, BAD_REQUEST),
            (BETWEEN, 102, None, Position(102)),
            (BETWEEN, 103, None, BAD_REQUEST),
            (EMPTY, 101, None, Position(101)),
            (EMPTY, 102, None, Position(102)),
            (EMPTY, 103, None, BAD_REQUEST),
            # Parts of segments long complete, whatever the index.
            (MIDDLE, 0, 0, AT_ONCE),
            (MIDDLE, 99, 3, AT_ONCE),
            (MIDDLE, 99, 1000, AT_ONCE),
            # Parts of the last complete segment, and past its last: part 0 of the next.
            (MIDDLE, 100, 3, AT_ONCE),
            (MIDDLE, 100, 4, AT_ONCE),
            (MIDDLE, 100, 2**64 - 1, AT_ONCE),
            (BETWEEN, 100, 3, AT_ONCE),
            (BETWEEN, 100, 4, Position(100, 4)),
            (BETWEEN, 100, 1000, Position(100, 1000)),
            # Parts of the open segment.
            (MIDDLE, 101, 0, AT_ONCE),
            (MIDDLE, 101, 1, AT_ONCE),
            (MIDDLE, 101, 2, Position(101, 2)),
            (MIDDLE, 101, 7, Position(101, 7)),
            (MIDDLE, 101, 8, BAD_REQUEST),
            (MIDDLE, 101, 2**64 - 1, BAD_REQUEST),
            (BETWEEN, 101, 0, Position(101, 0)),
            (BETWEEN, 101, 5, Position(101, 5)),
            (BETWEEN, 101, 6, BAD_REQUEST),
            (EMPTY, 101, 0, Position(101, 0)),
            (EMPTY, 100, 0, Position(100, 0)),
            # Parts of the segment after the open one, which may begin with the next part.
            (MIDDLE, 102, 0, Position(102, 0)),
            (MIDDLE, 102, 5, Position(102, 5)),
            (MIDDLE, 102, 6, BAD_REQUEST),
            (MIDDLE, 103, 0, BAD_REQUEST),
            # The Advance Part Limit is three from parts of a second on, and 3 / PART-TARGET below.
            (LONG_PARTS, 101, 4, Position(101, 4)),
            (LONG_PARTS, 101, 5, BAD_REQUEST),
            (ODD_PARTS, 101, 9, Position(101, 9)),
            (ODD_PARTS, 101, 10, BAD_REQUEST),
            # Once the playlist has ended, and where blocking is not offered, directives are ignored.
            (ENDED, 101, None, AT_ONCE),
            (ENDED, 10**9, 10**9, AT_ONCE),
            (ENDED, None, 0, AT_ONCE),
            (PLAIN, 101, None, AT_ONCE),
            (PLAIN, None, 0, AT_ONCE),
        ],
    )
    def test_case(
        self, edge: PlaylistEdge, msn: int | None, part: int | None, decision: ReloadVerdict | Position
    ) -> None:
        assert decide_reload(Directives(msn=msn, part=part), edge) == decision

    def test_a_delta_update_is_decided_like_a_full_playlist(self) -> None:
        assert decide_reload(Directives(skip=True), MIDDLE) is AT_ONCE
        assert decide_reload(Directives(msn=101, part=2, skip=True), MIDDLE) == Position(101, 2)


class TestEdge:
    def test_a_part_past_the_end_of_its_segment_comes_with_the_first_part_of_the_next(self) -> None:
        waiting_for = Position(100, 4)
        assert not BETWEEN.contains(waiting_for)
        next_part = PlaylistEdge(100, 4, 1, 500, is_ended=False)
        assert next_part.contains(waiting_for)

    def test_a_segment_after_the_awaited_one_is_good_as_well(self) -> None:
        assert MIDDLE.contains(Position(7, 99))
        assert not MIDDLE.contains(Position(102, 0))
