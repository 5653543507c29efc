from __future__ import annotations

from pathlib import Path

import pytest

from streamd.clock import ManualClock
from streamd.process import resources
from streamd.process.resources import (
    DESCRIPTORS_RESERVED,
    STREAM_BYTES,
    STREAM_FILLS_S,
    MemoryCeiling,
    memory_total_bytes,
    memory_used_bytes,
    share_descriptors,
)

CEILING = 10 * STREAM_BYTES


@pytest.mark.parametrize(
    ("descriptors", "expected"),
    [
        (-1, (2000, 20_000, 512, 1000)),
        (1_000_000, (2000, 20_000, 512, 1000)),
        (20_000, (2000, 20_000 - DESCRIPTORS_RESERVED - 2000 - 512 - 1000, 512, 1000)),
        (1024, (448, 270, 89, 89)),
        (DESCRIPTORS_RESERVED, (1, 1, 0, 0)),
        (3, (1, 1, 0, 0)),
    ],
)
def test_connections_leave_descriptors_for_everything_else(
    descriptors: int, expected: tuple[int, int, int, int]
) -> None:
    assert share_descriptors(2000, 20_000, 512, 1000, descriptors) == expected


@pytest.mark.parametrize(("text", "expected"), [("4096\n", 4096), ("max\n", None), (None, None)])
def test_a_container_may_have_less_memory_than_its_machine(
    text: str | None, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "memory.max"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(resources, "_CGROUP_LIMIT", file)
    total = memory_total_bytes()
    assert total == expected if expected else total > memory_used_bytes()


class TestMemoryCeiling:
    @staticmethod
    def ceiling(used: list[int], clock: ManualClock | None = None) -> MemoryCeiling:
        return MemoryCeiling(CEILING, now=(clock or ManualClock()).monotonic, used_bytes=lambda: used[0])

    def test_admits_while_there_is_room(self) -> None:
        assert self.ceiling([0]).admit()

    def test_refuses_above_it_and_admits_again_below(self) -> None:
        used = [CEILING]
        ceiling = self.ceiling(used)
        assert not ceiling.admit()
        used[0] = CEILING // 2
        assert not ceiling.admit(), "it is looked at once a second"
        ceiling.look()
        assert ceiling.admit()

    def test_those_who_come_at_once_count_with_what_they_will_take(self) -> None:
        clock = ManualClock()
        ceiling = self.ceiling([0], clock)
        assert [ceiling.admit() is not None for _ in range(12)] == [True] * 10 + [False] * 2
        clock.advance(STREAM_FILLS_S)
        assert ceiling.admit(), "what the ten took is in the size of the process by now"

    def test_the_place_of_what_is_over_is_given_back_once(self) -> None:
        ceiling = self.ceiling([0])
        places = [place for _ in range(10) if (place := ceiling.admit()) is not None]
        assert len(places) == 10
        assert ceiling.admit() is None
        for _ in range(2):
            places[0].release()
        assert [ceiling.admit() is not None for _ in range(2)] == [True, False]

    def test_who_comes_and_goes_keeps_no_place(self) -> None:
        ceiling = self.ceiling([0])
        for _ in range(1000):
            place = ceiling.admit()
            assert place is not None
            place.release()
        assert ceiling.admit()

    def test_a_place_that_has_been_taken_is_not_given_back_twice(self) -> None:
        """Its memory is in the size of the process: what ends then shows there."""
        clock = ManualClock()
        ceiling = self.ceiling([0], clock)
        old = ceiling.admit()
        assert old is not None
        clock.advance(STREAM_FILLS_S)
        assert [ceiling.admit() is not None for _ in range(10)] == [True] * 10
        old.release()
        assert ceiling.admit() is None

    def test_none_given_is_a_share_of_what_there_is(self) -> None:
        assert 0 < MemoryCeiling(0, now=ManualClock().monotonic).ceiling_bytes < memory_total_bytes()
