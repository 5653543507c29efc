from __future__ import annotations

import pytest

from streamd.media.intake.missing import ROLL_CALL_MS_MAX, RollCall
from tests.support.gate_media import OTHER_SOUND, PICTURE, SOUND

BOTH = [PICTURE, SOUND]


def called(start_ms: int = 0) -> RollCall:
    roll = RollCall()
    roll.begin(BOTH, start_ms)
    roll.find_missing(BOTH, start_ms)
    roll.end(start_ms)
    return roll


def call(roll: RollCall, timestamp_ms: int, *heard: tuple[object, int]) -> list[tuple[object, int]]:
    for key, at_ms in heard:
        roll.note(key, at_ms)  # type: ignore[arg-type]  # a key of a track
    missing = roll.find_missing(BOTH, timestamp_ms)
    roll.end(timestamp_ms)
    return list(missing)


class TestMissing:
    def test_nobody_is_where_all_were_heard(self) -> None:
        assert call(called(), 500, (PICTURE, 480), (SOUND, 490)) == []

    def test_a_track_is_from_the_roll_call_on_after_which_it_was_not_heard(self) -> None:
        roll = called()
        assert call(roll, 500, (PICTURE, 480), (SOUND, 100)) == []
        assert call(roll, 1000, (PICTURE, 990)) == [(SOUND, 500)]
        assert call(roll, 1500, (PICTURE, 1490)) == [(SOUND, 1000)]
        assert roll.heard_ms(SOUND) == 100

    def test_it_is_no_more_when_it_is_heard(self) -> None:
        roll = called()
        call(roll, 500, (PICTURE, 480))
        assert call(roll, 1000, (SOUND, 700), (PICTURE, 990)) == []
        assert call(roll, 1500, (PICTURE, 1490)) == [(SOUND, 500)]

    def test_it_is_no_more_when_something_stands_for_it(self) -> None:
        roll = called()
        call(roll, 500, (PICTURE, 480))
        roll.excuse(SOUND)
        assert call(roll, 900, (PICTURE, 890)) == [(SOUND, 400)]

    def test_who_is_not_expected_is_not_missed(self) -> None:
        roll = called()
        assert roll.find_missing([PICTURE], 700) == [(PICTURE, 700)]

    def test_a_track_that_wants_to_be_open_is_noted(self) -> None:
        roll = called()
        roll.note(OTHER_SOUND, 40)
        assert roll.heard_ms(OTHER_SOUND) == 40
        roll.forget(OTHER_SOUND)
        assert OTHER_SOUND not in roll.presences


class TestLeap:
    @pytest.mark.parametrize(
        ("to_ms", "is_leap"),
        [(1000, False), (ROLL_CALL_MS_MAX, False), (999 - 1000, True), (ROLL_CALL_MS_MAX + 1, True)],
    )
    def test_time_goes_on_or_leaps(self, to_ms: int, is_leap: bool) -> None:
        assert called().has_leapt(to_ms) is is_leap

    def test_behind_it_nobody_is_known_to_be_missing(self) -> None:
        roll = called()
        call(roll, 500, (PICTURE, 480))
        roll.note(PICTURE, 3_600_000)
        assert roll.has_leapt(3_600_000)
        assert roll.heard_ms(SOUND) is None
        assert roll.heard_ms(PICTURE) == 3_600_000
        assert roll.find_missing(BOTH, 3_600_000) == [(SOUND, 0)]
