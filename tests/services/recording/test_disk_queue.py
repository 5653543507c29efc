"""Steps that wait for the disk, done in order by a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import pytest_asyncio

from streamd.services.recording.disk_queue import DiskQueue

pytestmark = pytest.mark.asyncio


class Disk:
    """Notes what is done, and waits where a test says so."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.done: list[str] = []
        self.failures: list[BaseException] = []
        self.is_free = threading.Event()
        self.is_free.set()
        self.queue = DiskQueue(self.pool, lambda: self.done.append("behind"), self.failures.append)

    def step(self, name: str) -> None:
        self.is_free.wait(10)
        self.done.append(name)

    def put(self, name: str) -> None:
        self.queue.put(lambda: self.step(name), 10)


@pytest_asyncio.fixture
async def disk() -> AsyncIterator[Disk]:
    made = Disk()
    yield made
    made.is_free.set()
    made.pool.shutdown()


async def test_steps_are_done_in_order_with_something_behind_each(disk: Disk) -> None:
    for name in "abc":
        disk.put(name)
    await disk.queue.drained()
    assert disk.done == ["a", "behind", "b", "behind", "c", "behind"]
    assert disk.queue.queued_bytes == 0


async def test_nothing_is_waited_for_where_nothing_waits(disk: Disk) -> None:
    await disk.queue.drained()
    disk.put("a")
    await disk.queue.drained()
    await disk.queue.drained()
    assert disk.done == ["a", "behind"]


async def test_what_comes_while_a_thread_is_at_work_is_done_too(disk: Disk) -> None:
    disk.is_free.clear()
    disk.put("a")
    waiting = [asyncio.create_task(disk.queue.drained()) for _ in range(2)]
    await asyncio.sleep(0)
    disk.put("b")
    assert disk.queue.queued_bytes == 20
    disk.is_free.set()
    await asyncio.gather(*waiting)
    assert disk.done == ["a", "behind", "b", "behind"]


async def test_a_thread_goes_to_others_between(disk: Disk) -> None:
    other = DiskQueue(disk.pool, lambda: None, disk.failures.append)
    disk.is_free.clear()
    disk.put("a")
    other.put(lambda: disk.step("other"), 1)
    disk.put("b")
    disk.is_free.set()
    await disk.queue.drained()
    await other.drained()
    assert [name for name in disk.done if name != "behind"] in (["a", "other", "b"], ["a", "b", "other"])
    assert disk.queue.queued_bytes == other.queued_bytes == 0


async def test_a_failure_is_told_of_and_ends_it(disk: Disk) -> None:
    def fail() -> None:
        disk.is_free.wait(10)
        raise OSError(28, "No space left on device")

    disk.is_free.clear()
    disk.queue.put(fail, 10)
    disk.put("behind it")
    disk.is_free.set()
    await disk.queue.drained()
    disk.put("later")
    await disk.queue.drained()
    assert [str(exc) for exc in disk.failures] == ["[Errno 28] No space left on device"]
    assert disk.done == []
    assert disk.queue.queued_bytes == 0


async def test_what_waits_can_be_dropped(disk: Disk) -> None:
    disk.is_free.clear()
    disk.put("a")
    disk.put("b")
    disk.queue.drop()
    disk.put("c")
    disk.is_free.set()
    await disk.queue.drained()
    assert "b" not in disk.done
    assert "c" not in disk.done
    assert disk.queue.queued_bytes == 0
