from __future__ import annotations

import asyncio

import pytest

from streamd.clock import ManualClock
from streamd.doors.web.shared_reads import AT_ONCE_MAX, HOLDS_S, KEPT_MAX, SharedReads
from streamd.errors import StoreUnavailableError

pytestmark = pytest.mark.asyncio


class House:
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.revision = 0
        self.asked: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.fault: Exception | None = None
        self.reads = SharedReads(self.read, lambda: self.revision, self.clock)

    async def read(self, key: str) -> str:
        self.asked.append(key)
        await self.answers.wait()
        if self.fault is not None:
            raise self.fault
        return f"{key} {len(self.asked)}"


async def test_the_same_is_asked_once_for_all_and_for_a_moment() -> None:
    house = House()
    house.answers.clear()
    asking = [asyncio.create_task(house.reads.get("a")) for _ in range(100)]
    await asyncio.sleep(0)
    house.answers.set()
    assert set(await asyncio.gather(*asking)) == {"a 1"}
    assert await house.reads.get("a") == "a 1"
    house.clock.advance(HOLDS_S + 0.1)
    assert await house.reads.get("a") == "a 2"
    assert await house.reads.get("b") == "b 3"


async def test_what_is_changed_is_read_anew_at_once() -> None:
    house = House()
    assert await house.reads.get("a") == "a 1"
    house.revision += 1
    assert await house.reads.get("a") == "a 2"


async def test_an_answer_from_before_a_change_is_given_to_nobody_after_it() -> None:
    house = House()
    house.answers.clear()
    before = asyncio.create_task(house.reads.get("a"))
    await asyncio.sleep(0)
    house.revision += 1
    after = asyncio.create_task(house.reads.get("a"))
    await asyncio.sleep(0)
    house.answers.set()
    await asyncio.gather(before, after)
    assert house.asked == ["a", "a"]


async def test_little_is_asked_at_once() -> None:
    house = House()
    house.answers.clear()
    asking = [asyncio.create_task(house.reads.get(f"a{number}")) for number in range(AT_ONCE_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailableError):
        await house.reads.get("one more")
    # Who asks for what is under way costs nothing.
    asking.append(asyncio.create_task(house.reads.get("a0")))
    house.answers.set()
    await asyncio.gather(*asking)
    assert len(house.asked) == AT_ONCE_MAX
    assert await house.reads.get("one more")


async def test_few_answers_are_kept() -> None:
    house = House()
    for number in range(KEPT_MAX + 1):
        await house.reads.get(str(number))
    asked = len(house.asked)
    await house.reads.get(str(KEPT_MAX))
    assert len(house.asked) == asked
    await house.reads.get("0")
    assert len(house.asked) == asked + 1, "the oldest is forgotten"


async def test_a_fault_is_told_to_all_and_kept_for_nobody() -> None:
    house = House()
    house.fault = StoreUnavailableError("away")
    told = await asyncio.gather(house.reads.get("a"), house.reads.get("a"), return_exceptions=True)
    assert all(isinstance(each, StoreUnavailableError) for each in told)
    assert house.asked == ["a"]
    house.fault = None
    assert await house.reads.get("a") == "a 2"


async def test_whoever_leaves_takes_the_answer_from_nobody() -> None:
    house = House()
    house.answers.clear()
    leaving = asyncio.create_task(house.reads.get("a"))
    staying = asyncio.create_task(house.reads.get("a"))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    house.answers.set()
    assert await staying == "a 1"
