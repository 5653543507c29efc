from __future__ import annotations

import pytest

from streamd.media.intake.wait import Wait


def test_it_is_over_when_media_time_has_passed() -> None:
    wait = Wait(tags_max=100)
    assert [wait.is_over(ms, 1000) for ms in (500, 1000, 1499, 1500)] == [False, False, False, True]


@pytest.mark.parametrize("step_ms", [0, -20])
def test_it_is_over_after_so_many_tags_where_time_stands(step_ms: int) -> None:
    wait = Wait(tags_max=5)
    assert [wait.is_over(step_ms * count, 1000) for count in range(5)] == [False, False, False, False, True]


def test_it_is_counted_from_the_earliest_time() -> None:
    wait = Wait(tags_max=100)
    assert [wait.is_over(ms, 1000) for ms in (500, 0, 1000)] == [False, False, True]


def test_it_starts_again() -> None:
    wait = Wait(tags_max=3)
    wait.is_over(0, 1000)
    wait.is_over(0, 1000)
    wait.start()
    assert [wait.is_over(ms, 1000) for ms in (900, 1899, 1800)] == [False, False, True]
