from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamd.services.restream.target_times import TargetTimes


class TestTargetTimes:
    def test_a_connection_begins_at_zero(self) -> None:
        times = TargetTimes()
        assert [times.place(9, 123_456 + ms, ms / 1000) for ms in (0, 40, 80)] == [0, 40, 80]
        times.begin()
        assert times.place(9, 200_000, 99.0) == 0

    def test_another_publishers_times_go_on_by_the_time_that_has_passed(self) -> None:
        times = TargetTimes()
        times.place(9, 3_600_000, 10.0)
        assert times.place(9, 3_600_040, 10.04) == 40
        assert times.place(9, 5, 13.04) == 3040
        assert times.place(9, 45, 13.08) == 3080

    def test_sound_behind_a_picture_stays_where_it_is(self) -> None:
        times = TargetTimes()
        assert times.place(9, 1000, 0.0) == 0
        assert times.place(8, 1100, 0.0) == 100
        assert times.place(9, 1040, 0.0) == 40

    @given(st.lists(st.tuples(st.sampled_from([8, 9]), st.integers(-(2**33), 2**33)), max_size=30))
    def test_times_of_a_track_never_step_back(self, frames: list[tuple[int, int]]) -> None:
        times = TargetTimes()
        last = {8: 0, 9: 0}
        for step, (tag_type, ms) in enumerate(frames):
            placed = times.place(tag_type, ms, step / 10)
            assert placed >= last[tag_type]
            last[tag_type] = placed
