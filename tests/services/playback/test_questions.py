"""What one address may make others work."""

from __future__ import annotations

import pytest

from streamd.clock import ManualClock
from streamd.errors import PlaybackRefusedError
from streamd.services.playback.questions import Questions


class House:
    def __init__(self, *, per_minute_max: int = 1000) -> None:
        self.clock = ManualClock()
        self.questions = Questions(self.clock.monotonic, per_minute_max=per_minute_max, per_source_max=2, all_max=3)

    def refused(self, source: str) -> str:
        with pytest.raises(PlaybackRefusedError) as refused:
            self.questions.begin(source)
        return refused.value.reason


def test_as_many_of_one_and_of_all_as_may_be_under_way() -> None:
    house = House()
    for source in ("a", "a", "b"):
        house.questions.begin(source)
    assert house.refused("a") == "too_often"
    assert house.refused("c") == "undecided"
    house.questions.end("a")
    house.questions.begin("c")
    house.questions.end("b")
    house.questions.begin("a")
    assert len(house.questions) == 3


def test_so_many_a_minute() -> None:
    house = House(per_minute_max=6)
    for _ in range(6):
        house.questions.begin("a")
        house.questions.end("a")
    assert house.refused("a") == "too_often"
    house.questions.begin("b")
    house.clock.advance(10)
    house.questions.begin("a")


def test_nothing_is_kept_of_whom_was_answered_or_refused() -> None:
    house = House(per_minute_max=1)
    for source in ("a", "b"):
        house.questions.begin(source)
        house.questions.end(source)
        assert house.refused(source) == "too_often"
    assert len(house.questions) == 0
    assert not house.questions._under_way
