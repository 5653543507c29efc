from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from streamd.doors.web import turns
from streamd.doors.web.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.asyncio


class Clock:
    """The loop's, which moves when somebody takes time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = asyncio.get_running_loop().time()
        self.done: list[tuple[int, str]] = []
        self.step = 0
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self)

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.due = callback

    def run_step(self) -> None:
        self.step += 1
        due = self.due
        del self.due
        due()

    def work(self, name: str, seconds: float) -> Callable[[], None]:
        def take() -> None:
            self.now += seconds
            self.done.append((self.step, name))

        return take


async def test_a_step_of_the_loop_has_a_slice_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, line = Clock(monkeypatch), Turns()
    for name in "abcde":
        line.wait(clock.work(name, turns.SLICE_S * 0.6))
    for _ in range(3):
        clock.run_step()
    assert clock.done == [(1, "a"), (1, "b"), (2, "c"), (2, "d"), (3, "e")]
    assert not hasattr(clock, "due")


async def test_who_waits_again_has_their_turn_behind_the_others_and_in_another_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, line = Clock(monkeypatch), Turns()
    first = clock.work("a", 0)

    def again() -> None:
        first()
        line.wait(clock.work("a2", 0))

    line.wait(again)
    line.wait(clock.work("b", 0))
    clock.run_step()
    clock.run_step()
    assert clock.done == [(1, "a"), (1, "b"), (2, "a2")]
