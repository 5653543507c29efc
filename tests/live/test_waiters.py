from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from streamd.errors import LocalStateError
from streamd.live.waiters import Awaited, WaiterBudget, Waiters
from streamd.packager.reload import Position

if TYPE_CHECKING:
    from collections.abc import Coroutine


pytestmark = pytest.mark.asyncio


def at(msn: int, part: int) -> Awaited:
    return Awaited("main", Position(msn, part))


async def start(coroutine: Coroutine[object, object, bool]) -> asyncio.Task[bool]:
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    return task


class TestWaiting:
    async def test_a_waiter_wakes_when_its_position_is_reached(self) -> None:
        waiters = Waiters(WaiterBudget(10))
        task = await start(waiters.wait(at(5, 2), timeout_s=60))
        waiters.wake(lambda awaited: awaited == at(5, 1))
        await asyncio.sleep(0)
        assert not task.done()
        waiters.wake(lambda awaited: awaited == at(5, 2))
        assert await task

    async def test_all_waiters_of_all_reached_positions_wake_together(self) -> None:
        budget = WaiterBudget(100)
        waiters = Waiters(budget)
        tasks = [await start(waiters.wait(at(5, part), timeout_s=60)) for part in (0, 1, 2) for _ in range(10)]
        assert budget.waiting == 30
        waiters.wake(lambda awaited: awaited.variant == "main")
        assert await asyncio.gather(*tasks) == [True] * 30
        assert budget.waiting == 0

    async def test_a_wait_ends_after_its_time_with_nothing(self) -> None:
        budget = WaiterBudget(1)
        waiters = Waiters(budget)
        assert not await waiters.wait(at(1, 0), timeout_s=0.001)
        assert budget.waiting == 0
        asked: list[Awaited] = []

        def reached(awaited: Awaited) -> bool:
            asked.append(awaited)
            return True

        waiters.wake(reached)
        assert asked == []

    async def test_a_viewer_that_leaves_is_forgotten(self) -> None:
        budget = WaiterBudget(2)
        waiters = Waiters(budget)
        leaves = await start(waiters.wait(at(1, 0), timeout_s=60))
        stays = await start(waiters.wait(at(1, 0), timeout_s=60))
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        assert budget.waiting == 1
        waiters.wake(lambda _: True)
        assert await stays


class TestTheEnd:
    async def test_closing_wakes_everyone(self) -> None:
        waiters = Waiters(WaiterBudget(10))
        tasks = [await start(waiters.wait(at(msn, 0), timeout_s=60)) for msn in range(5)]
        waiters.close()
        assert await asyncio.gather(*tasks) == [True] * 5

    async def test_nobody_waits_on_closed_waiters(self) -> None:
        waiters = Waiters(WaiterBudget(10))
        waiters.close()
        with pytest.raises(LocalStateError):
            await waiters.wait(at(1, 0), timeout_s=1)


class TestBudget:
    async def test_one_more_than_the_budget_may_not_wait(self) -> None:
        budget = WaiterBudget(1)
        one, other = Waiters(budget), Waiters(budget)
        task = await start(one.wait(at(1, 0), timeout_s=60))
        assert not other.has_room
        with pytest.raises(LocalStateError):
            await other.wait(at(1, 0), timeout_s=1)
        one.close()
        assert await task
        assert other.has_room
