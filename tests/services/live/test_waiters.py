from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from streamd.errors import LocalStateError
from streamd.media.packager.reload import PartNumber, Position
from streamd.services.live.waiters import (
    PART_COST,
    PLAYLIST_COST,
    WAKE_SLICE_COST,
    Awaited,
    Memo,
    WaiterBudget,
    Waiters,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine


pytestmark = pytest.mark.asyncio

PLAYLISTS_A_SLICE = WAKE_SLICE_COST // PLAYLIST_COST
PARTS_A_SLICE = WAKE_SLICE_COST // PART_COST


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

    async def test_each_source_wakes_in_its_turn_and_first_who_came_first(self) -> None:
        waiters = Waiters(WaiterBudget(100))
        woken: list[str] = []
        for name in ("crowd 1", "crowd 2", "crowd 3", "one 1", "crowd 4", "other 1", "one 2"):
            waiters.subscribe(at(5, 0), lambda _, name=name: woken.append(name), name.split()[0])  # type: ignore[misc]
        waiters.wake(lambda _: True)
        await asyncio.sleep(0)
        assert woken == ["crowd 1", "one 1", "other 1", "crowd 2", "one 2", "crowd 3", "crowd 4"]

    async def test_who_is_reached_while_others_wake_comes_behind_its_own(self) -> None:
        waiters = Waiters(WaiterBudget(100))
        woken: list[int] = []
        for number in range(4):
            waiters.subscribe(at(5, number // 2), lambda _, number=number: woken.append(number), "one")  # type: ignore[misc]
        waiters.wake(lambda awaited: awaited == at(5, 0))
        waiters.wake(lambda awaited: awaited == at(5, 1))
        await asyncio.sleep(0)
        assert woken == [0, 1, 2, 3]

    async def test_of_one_source_so_many_may_wait(self) -> None:
        refused: list[str] = []
        budget = WaiterBudget(
            3,
            lambda: refused.append("all"),
            waiting_requests_per_address_max=2,
            on_source_refused=lambda: refused.append("source"),
        )
        waiters = Waiters(budget)
        first = waiters.subscribe(at(5, 0), lambda _: None, "one")
        waiters.subscribe(at(5, 0), lambda _: None, "one")
        assert (budget.may_wait("one"), budget.may_wait("other")) == (False, True)
        assert refused == ["source"]
        waiters.subscribe(at(5, 0), lambda _: None, "other")
        assert not budget.may_wait("other")
        assert refused == ["source", "all"]
        first.cancel()
        assert budget.may_wait("one")
        waiters.wake(lambda _: True)
        await asyncio.sleep(0)
        assert budget.waiting == 0
        assert all(budget.may_wait(source) for source in ("one", "one", "other"))

    async def test_who_counts_for_nobody_is_held_to_the_bound_of_all_alone(self) -> None:
        budget = WaiterBudget(3, waiting_requests_per_address_max=1)
        waiters = Waiters(budget)
        for _ in range(3):
            assert budget.may_wait("")
            waiters.subscribe(at(5, 0), lambda _: None)
        assert not budget.may_wait("")

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


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class TestSubscriptions:
    async def test_it_is_called_once_from_the_loop(self) -> None:
        waiters = Waiters(WaiterBudget(10))
        woken: list[str] = []
        waiters.subscribe(at(5, 0), lambda _: woken.append("first"))
        waiters.subscribe(at(5, 0), lambda _: woken.append("second"))
        for _ in range(2):
            waiters.wake(lambda _: True)
        assert woken == []
        await turns(2)
        assert woken == ["first", "second"]

    async def test_a_cancelled_one_is_not_called_even_on_its_way(self) -> None:
        budget = WaiterBudget(10)
        waiters = Waiters(budget)
        woken: list[str] = []
        before, during, other = (
            waiters.subscribe(at(5, 0), lambda _, name=name: woken.append(name))  # type: ignore[misc]
            for name in ("before", "during", "other")
        )
        before.cancel()
        waiters.wake(lambda _: True)
        during.cancel()
        assert budget.waiting == 1
        await turns(2)
        assert woken == ["other"]
        for subscription in (before, during, other):
            subscription.cancel()
        assert budget.waiting == 0

    async def test_it_may_wait_again_from_its_call_though_there_is_no_more_room(self) -> None:
        budget = WaiterBudget(2)
        waiters = Waiters(budget)
        woken: list[Awaited] = []

        def wait_again(_: Memo) -> None:
            waiters.subscribe(at(6, 0), lambda _: woken.append(at(6, 0)))

        for _ in range(2):
            waiters.subscribe(at(5, 0), wait_again)
        waiters.wake(lambda awaited: awaited == at(5, 0))
        await turns(2)
        assert budget.waiting == 2
        waiters.wake(lambda awaited: awaited == at(6, 0))
        await turns(2)
        assert woken == [at(6, 0)] * 2

    @pytest.mark.parametrize(
        ("until", "slice_size"), [(Position(5, 0), PLAYLISTS_A_SLICE), (PartNumber(7), PARTS_A_SLICE)]
    )
    async def test_a_crowd_wakes_in_slices_and_others_run_between_them(
        self, until: Position | PartNumber, slice_size: int
    ) -> None:
        crowd = 3 * slice_size + 1
        waiters = Waiters(WaiterBudget(crowd))
        woken: list[int] = []
        for _ in range(crowd):
            waiters.subscribe(Awaited("main", until), lambda _: woken.append(1))
        waiters.wake(lambda _: True)
        seen = []
        for _ in range(6):
            await turns(1)
            seen.append(len(woken))
        assert seen[-1] == crowd
        assert all(0 <= after - before <= slice_size for before, after in pairwise([0, *seen]))

    async def test_a_slice_shares_what_one_of_it_found_out(self) -> None:
        waiters = Waiters(WaiterBudget(2 * PLAYLISTS_A_SLICE))
        asked: list[int] = []

        def ask(memo: Memo) -> None:
            if "answer" not in memo:
                asked.append(1)
                memo["answer"] = True

        for _ in range(2 * PLAYLISTS_A_SLICE):
            waiters.subscribe(at(5, 0), ask)
        waiters.wake(lambda _: True)
        await turns(4)
        assert len(asked) == 2

    async def test_one_that_fails_leaves_nobody_asleep(self) -> None:
        budget = WaiterBudget(10)
        waiters = Waiters(budget)
        woken: list[int] = []
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))

        def fail(_: Memo) -> None:
            raise ZeroDivisionError

        waiters.subscribe(at(5, 0), fail)
        waiters.subscribe(at(5, 0), lambda _: woken.append(1))
        waiters.wake(lambda _: True)
        await turns(3)
        assert woken == [1]
        assert [type(each) for each in faults] == [ZeroDivisionError]
        assert budget.waiting == 0


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
