from __future__ import annotations

import asyncio

import pytest

from streamd.doors.delivery.answer import MediaRequest
from streamd.doors.delivery.held_request import HeldRequest
from streamd.doors.delivery.lookup import Blocked
from streamd.doors.delivery.media_path import MediaKind, MediaPath
from streamd.media.packager.reload import Position
from streamd.services.live.waiters import Awaited, Memo, WaiterBudget, Waiters

pytestmark = pytest.mark.asyncio

REQUEST = MediaRequest("GET", MediaPath("demo", MediaKind.PLAYLIST, "main"), "_HLS_msn=5")
NEXT = Awaited("main", Position(5))


class Hold:
    def __init__(self) -> None:
        self.budget = WaiterBudget(10, waiting_requests_per_address_max=1)
        self.waiters = Waiters(self.budget)
        self.woken: list[Memo] = []
        self.held = HeldRequest(REQUEST, "192.0.2.1", now=100, timeout_s=6)
        self.wait()

    def wait(self) -> None:
        self.held.wait(Blocked(self.waiters, NEXT, 6), self.woken.append)

    async def wake(self) -> None:
        self.waiters.wake(NEXT.__eq__)
        for _ in range(2):
            await asyncio.sleep(0)


async def test_its_time_runs_from_when_it_was_asked() -> None:
    held = HeldRequest(REQUEST, "", now=100, timeout_s=6)
    assert (held.since, held.deadline) == (100, 106)


async def test_it_wakes_once_when_the_awaited_is_there() -> None:
    hold = Hold()
    await hold.wake()
    await hold.wake()
    assert len(hold.woken) == 1
    assert hold.budget.waiting == 0


async def test_it_counts_for_its_source_for_as_long_as_it_waits() -> None:
    hold = Hold()
    assert not hold.budget.may_wait("192.0.2.1")
    assert hold.budget.may_wait("192.0.2.2")
    hold.held.leave()
    assert hold.budget.may_wait("192.0.2.1")


async def test_one_that_has_left_does_not_wake_and_may_leave_again() -> None:
    hold = Hold()
    hold.held.leave()
    hold.held.leave()
    await hold.wake()
    assert hold.woken == []
    assert hold.budget.waiting == 0


async def test_one_that_woke_too_early_waits_again_within_the_same_time() -> None:
    hold = Hold()
    await hold.wake()
    hold.wait()
    assert hold.budget.waiting == 1
    assert hold.held.deadline == 106
    await hold.wake()
    assert len(hold.woken) == 2
