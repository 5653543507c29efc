from __future__ import annotations

from http import HTTPStatus

import pytest

from streamd.doors.delivery.answer import Answer
from streamd.doors.delivery.uptake import PINNED_AFTER_S, Uptake

WRITE_TIMEOUT_S = 15
ANSWER_TIMEOUT_S = 120


class TestStalled:
    def test_a_viewer_that_takes_nothing(self) -> None:
        uptake = Uptake(100, 1000)
        for now, is_stalled in ((100, False), (114.9, False), (115, True)):
            uptake.note(now, 1000)
            assert uptake.is_stalled(now, WRITE_TIMEOUT_S) is is_stalled

    def test_each_byte_taken_gives_it_the_time_again(self) -> None:
        uptake = Uptake(100, 1000)
        for step in range(1, 10):
            uptake.note(100 + 14 * step, 1000 - step)
            assert not uptake.is_stalled(100 + 14 * step, WRITE_TIMEOUT_S)

    def test_the_same_count_twice_gives_it_none(self) -> None:
        uptake = Uptake(100, 1000)
        uptake.note(110, 900)
        uptake.note(120, 900)
        assert uptake.is_stalled(125, WRITE_TIMEOUT_S)

    def test_a_viewer_of_a_pushed_stream_that_takes_as_much_as_is_added(self) -> None:
        uptake = Uptake(100, 0)
        for step in range(1, 10):
            uptake.note(100 + 14 * step, 1000, 1000 + step)
            assert not uptake.is_stalled(100 + 14 * step, WRITE_TIMEOUT_S)

    def test_a_viewer_of_a_pushed_stream_that_takes_nothing_of_what_is_added(self) -> None:
        uptake = Uptake(100, 0)
        for step in range(1, 4):
            uptake.note(100 + 5 * step, 1000 * step, 1000 * step)
        assert uptake.is_stalled(115, WRITE_TIMEOUT_S)

    def test_a_viewer_for_whom_nothing_waits_has_nothing_to_take(self) -> None:
        uptake = Uptake(100, 0)
        uptake.note(200, 0)
        assert not uptake.is_stalled(200, WRITE_TIMEOUT_S)


class TestSlow:
    def test_bytes_taken_do_not_lengthen_the_time_of_an_answer(self) -> None:
        uptake = Uptake(100, 1000)
        for now in range(110, 221, 10):
            uptake.note(now, 1000 - now)
        assert not uptake.is_slow(219.9, ANSWER_TIMEOUT_S)
        assert uptake.is_slow(220, ANSWER_TIMEOUT_S)
        assert not uptake.is_stalled(220, WRITE_TIMEOUT_S)


class TestOld:
    @pytest.mark.parametrize(("later_s", "is_old"), [(PINNED_AFTER_S - 0.1, False), (PINNED_AFTER_S, True)])
    def test_an_answer_grows_old(self, later_s: float, is_old: bool) -> None:
        uptake = Uptake(100, 1000)
        uptake.answer = Answer(HTTPStatus.OK, (), (b"media",))
        assert uptake.is_old(100 + later_s) is is_old

    def test_a_pushed_stream_does_not(self) -> None:
        assert not Uptake(100, 1000).is_old(100 + 10 * PINNED_AFTER_S)
