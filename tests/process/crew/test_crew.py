"""The worker processes: started, watched, and started again where one dies or hangs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from typing import Any

import pytest

from streamd.process.crew import link as lines
from streamd.process.crew.crew import SILENT_S_MAX, START_S_MAX, Crew
from streamd.process.crew.link import Link

pytestmark = pytest.mark.asyncio


class FakeProcess:
    """A worker's process, and the worker's end of its line."""

    def __init__(self, pid: int, sock: socket.socket) -> None:
        self.pid = pid
        self.sock = sock
        self.signals: list[int] = []
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def send_signal(self, number: int, /) -> None:
        self.signals.append(number)
        if number == signal.SIGKILL:
            self.die(-number)

    async def wait(self) -> int:
        return await self._code

    def die(self, code: int) -> None:
        if not self._code.done():
            self._code.set_result(code)

    def say(self, **message: object) -> None:
        self.sock.send(json.dumps(message).encode())

    def get_ready(self) -> None:
        self.say(do="join")
        self.say(do="ready")

    def next_file(self) -> bytes:
        """What lies in the file that came with the next message."""
        _, files, _, _ = socket.recv_fds(self.sock, 65536, 4)
        return lines.read_file(files[0], 100)


class House:
    def __init__(self, count: int = 2) -> None:
        self.now = 0.0
        self.processes: list[FakeProcess] = []
        self.numbers: list[int] = []
        self.welcomed: list[int] = []
        self.slept: list[float] = []
        self.changed = asyncio.Event()
        self.wake = asyncio.Event()
        self.crew = Crew(
            count,
            self._spawn,
            self._welcome,
            now=lambda: self.now,
            later=lambda _seconds, _call: None,
            sleep=self._sleep,
        )

    async def _spawn(self, number: int) -> tuple[FakeProcess, socket.socket]:
        ours, theirs = lines.pair()
        process = FakeProcess(1000 + len(self.processes), theirs)
        self.processes.append(process)
        self.numbers.append(number)
        self.changed.set()
        return process, ours

    def _welcome(self, number: int, _: Link) -> None:
        self.welcomed.append(number)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.changed.set()
        await self.wake.wait()
        self.wake.clear()

    async def until(self, condition: Any) -> None:
        """Let the loop run until something is so."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110  # the loop alone says when
                await asyncio.sleep(0)

    async def start(self) -> None:
        starting = asyncio.ensure_future(self.crew.start())
        await self.until(lambda: len(self.processes) == 1)
        self.processes[0].get_ready()
        await self.until(lambda: len(self.processes) == 2)
        self.processes[1].get_ready()
        assert await starting is None

    async def end(self) -> None:
        self.crew.begin_stop()
        for process in self.processes:
            process.die(0)
        await self.crew.stop()
        for process in self.processes:
            process.sock.close()


async def test_the_first_is_ready_before_the_others_are_started() -> None:
    house = House(3)
    starting = asyncio.ensure_future(house.crew.start())
    await house.until(lambda: house.processes)
    for _ in range(20):
        await asyncio.sleep(0)
    assert house.numbers == [0]
    house.processes[0].get_ready()
    await house.until(lambda: len(house.processes) == 3)
    assert house.numbers == house.welcomed == [0, 1, 2]
    for process in house.processes[1:]:
        process.get_ready()
    assert await starting is None
    assert house.crew.look()
    assert house.crew.pids() == {0: 1000, 1: 1001, 2: 1002}
    await house.end()


async def test_one_that_cannot_start_ends_the_start_with_its_exit_code() -> None:
    house = House()
    starting = asyncio.ensure_future(house.crew.start())
    await house.until(lambda: house.processes)
    house.processes[0].die(2)
    assert await starting == 2
    assert house.numbers == [0]
    await house.end()


async def test_one_that_dies_is_started_again_at_once_and_then_later() -> None:
    house = House()
    await house.start()
    house.processes[1].die(-9)
    await house.until(lambda: len(house.processes) == 3)
    assert house.numbers == [0, 1, 1]
    assert not house.crew.look()
    house.processes[2].get_ready()
    await house.until(house.crew.look)
    assert house.slept == []
    house.processes[2].die(1)
    await house.until(lambda: house.slept == [1.0])
    assert house.crew.pids() == {0: 1000}
    house.wake.set()
    await house.until(lambda: len(house.processes) == 4)
    await house.end()


async def test_a_broadcaster_goes_to_the_worker_with_the_fewest_that_is_ready() -> None:
    house = House()
    await house.start()
    for number in range(4):
        assert house.crew.hand_over({"do": "take", "door": "rtmp"}, lines.as_file(str(number).encode()))
    assert [house.processes[0].next_file(), house.processes[1].next_file()] == [b"0", b"1"]
    house.processes[0].say(do="load", connections=9, taken=2)
    house.processes[1].say(do="load", connections=2, taken=2)
    await house.until(lambda: house.crew.loads.expected() == {0: 9, 1: 2})
    assert house.crew.hand_over({"do": "take", "door": "rtmp"}, lines.as_file(b"4"))
    house.processes[1].next_file()
    assert house.processes[1].next_file() == b"4"
    house.processes[1].die(-9)
    await house.until(lambda: house.crew.loads.expected() == {0: 9})
    assert house.crew.hand_over({"do": "take", "door": "rtmp"}, lines.as_file(b"5"))
    house.processes[0].next_file()
    assert house.processes[0].next_file() == b"5"
    await house.end()


async def test_without_a_worker_nobody_takes_a_broadcaster() -> None:
    house = House()
    file = lines.as_file(b"x")
    assert not house.crew.hand_over({"do": "take", "door": "rtmp"}, file)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


async def test_one_whose_loop_stands_still_is_killed_and_started_again() -> None:
    house = House()
    await house.start()
    house.now = SILENT_S_MAX
    assert house.crew.look()
    house.processes[0].say(do="load", connections=5, taken=0)
    await house.until(lambda: house.crew.loads.expected()[0] == 5)
    house.now += 1.0
    house.crew.look()
    assert house.processes[0].signals == []
    assert house.processes[1].signals == [signal.SIGKILL]
    await house.until(lambda: house.numbers == [0, 1, 1])
    await house.end()


async def test_one_that_does_not_get_ready_has_more_time_and_is_killed_too() -> None:
    house = House()
    starting = asyncio.ensure_future(house.crew.start())
    await house.until(lambda: house.processes)
    house.now = START_S_MAX
    assert not house.crew.look()
    assert house.processes[0].signals == []
    house.now += 1.0
    house.crew.look()
    assert await starting == -signal.SIGKILL
    await house.end()


async def test_the_end_waits_for_all_and_tells_the_worst() -> None:
    house = House()
    await house.start()
    house.crew.begin_stop()
    house.crew.signal_all(signal.SIGTERM)
    stopping = asyncio.ensure_future(house.crew.stop())
    assert [process.signals for process in house.processes] == [[signal.SIGTERM]] * 2
    house.processes[0].die(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not stopping.done()
    house.processes[1].die(3)
    assert await stopping == 3
    assert house.numbers == [0, 1]
    for process in house.processes:
        process.sock.close()


async def test_one_that_waits_to_be_started_again_is_not_waited_for_at_the_end() -> None:
    house = House()
    await house.start()
    for place in (1, 2):
        await house.until(lambda place=place: len(house.processes) > place)
        house.processes[place].die(1)
    await house.until(lambda: house.slept)
    house.processes[0].die(0)
    house.crew.begin_stop()
    assert await house.crew.stop() in (0, 1)
    for process in house.processes:
        process.sock.close()
