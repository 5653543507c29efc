from __future__ import annotations

from streamd.services.restream.pace import Pace


class TestPace:
    def test_delays_double_up_to_a_minute(self) -> None:
        pace, now = Pace(0, lambda: 0.5, 0), 0.0
        for delay_s in (1, 2, 4, 8, 16, 32, 60, 60):
            assert pace.note_loss(now, None)
            assert not pace.is_due(now + delay_s - 0.01)
            now += delay_s
            assert pace.is_due(now)

    def test_a_connection_that_did_well_begins_anew(self) -> None:
        pace = Pace(0, lambda: 0.5, 0)
        for _ in range(5):
            pace.note_loss(0, 9.9)
        assert not pace.is_due(15)
        pace.note_loss(100, 10)
        assert pace.is_due(101)

    def test_it_is_given_up_after_so_long_without_being_live(self) -> None:
        pace = Pace(0, lambda: 0.5, 30)
        assert pace.note_loss(29, None)
        assert pace.note_loss(40, 5)
        assert pace.note_loss(69, None)
        assert not pace.note_loss(70, None)
