"""The worker processes: started, watched, and started again where one dies or hangs."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from streamd.process.crew.link import Link, close_all
from streamd.process.crew.load import Loads
from streamd.process.crew.restarts import Restarts
from streamd.process.crew.switchboard import Switchboard

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from streamd.process.crew.link import Message

log = logging.getLogger(__name__)

# A worker says each second how much it has to do. One whose loop stands still for so long is no use to its viewers.
SILENT_S_MAX = 30.0
# A worker opens a store and restores streams before it is ready.
START_S_MAX = 120.0


class WorkerProcess(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def send_signal(self, number: int, /) -> None:
        """Send it a signal."""

    async def wait(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""


@dataclass(slots=True)
class _Member:
    number: int
    restarts: Restarts = field(default_factory=Restarts)
    process: WorkerProcess | None = None
    link: Link | None = None
    is_ready: bool = False
    heard_at: float = 0.0


class Crew:
    """All workers of one server.

    Args:
        count: How many.
        spawn: Starts one, and returns our end of its line.
        welcome: Tells one, as the first words on its line, who it is.
        now: Loop time.
        later: Calls a function after so many seconds.
        sleep: Waits for so many seconds.

    Attributes:
        loads: Who gets the next broadcaster.
        switchboard: Their lines.
    """

    def __init__(
        self,
        count: int,
        spawn: Callable[[int], Awaitable[tuple[WorkerProcess, socket.socket]]],
        welcome: Callable[[int, Link], None],
        *,
        now: Callable[[], float],
        later: Callable[[float, Callable[[], object]], object],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.loads = Loads()
        self.switchboard = Switchboard(later)
        self._members = [_Member(number) for number in range(count)]
        self._spawn = spawn
        self._welcome = welcome
        self._now = now
        self._sleep = sleep
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False
        # A result is set as each is ready for the first time, or the exit code of one that never was.
        self._first: dict[int, asyncio.Future[int | None]] = {}
        self._exit_codes: dict[int, int] = {}

    async def start(self) -> int | None:
        """Start all, the first one before the others: it makes what they all use.

        Returns:
            None when all are ready; the exit code of one that cannot start, with which the server ends.
        """
        for numbers in (range(1), range(1, len(self._members))):
            for number in numbers:
                first = self._first[number] = asyncio.get_running_loop().create_future()
                task = asyncio.create_task(self._keep(self._members[number]))
                task.add_done_callback(partial(_pass_on_fault, first))
                self._tasks.append(task)
            for number in numbers:
                code = await self._first[number]
                if code is not None:
                    return code
        return None

    def pids(self) -> dict[int, int]:
        """Process ids by number, of those that run."""
        return {each.number: each.process.pid for each in self._members if each.process is not None}

    def hand_over(self, message: Message, file: int) -> bool:
        """Give a broadcaster's connection to the worker with the fewest.

        Args:
            message: What it is.
            file: Its descriptor, closed here.

        Returns:
            Whether somebody took it.
        """
        number = self.loads.choose()
        link = self._members[number].link if number is not None else None
        if link is None:
            close_all((file,))
            return False
        return link.send(message, (file,))

    def look(self) -> bool:
        """End workers that hang; called about once a second. Returns whether all are well."""
        now = self._now()
        for each in self._members:
            if each.process is not None and now - each.heard_at > (SILENT_S_MAX if each.is_ready else START_S_MAX):
                log.error("worker.silent", extra={"worker": each.number, "seconds": round(now - each.heard_at)})
                self.kill(each.number)
        return all(each.is_ready for each in self._members)

    def kill(self, number: int) -> None:
        """End a worker that hangs, at once; another is started in its place."""
        self._signal(self._members[number], signal.SIGKILL)

    def signal_all(self, number: int) -> None:
        """Send all workers a signal."""
        for each in self._members:
            self._signal(each, number)

    async def stop(self) -> int:
        """Wait for the end of all, which have been told to end; none is started again.

        Returns:
            0 if all ended well, else one of the exit codes.
        """
        self._is_stopping = True
        for number, task in enumerate(self._tasks):
            if self._members[number].process is None:
                # It waits to be started again.
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return next((code for code in self._exit_codes.values() if code), 0)

    def begin_stop(self) -> None:
        """From now on a worker that ends is not started again."""
        self._is_stopping = True

    @staticmethod
    def _signal(member: _Member, number: int) -> None:
        if member.process is not None:
            try:
                member.process.send_signal(number)
            except ProcessLookupError:
                # It has just ended.
                return

    async def _keep(self, member: _Member) -> None:
        """Have a worker run, for as long as the server does."""
        first = self._first[member.number]
        while True:
            started_at = member.heard_at = self._now()
            process, sock = await self._spawn(member.number)
            member.process = process
            member.restarts.note_started(started_at)
            link = member.link = self._link(member, sock)
            link.begin()
            self._welcome(member.number, link)
            code = await process.wait()
            self._forget(member)
            self._exit_codes[member.number] = code
            if not first.done():
                # It has said why.
                first.set_result(code or 1)
                return
            if self._is_over():
                return
            delay_s = member.restarts.delay_s(self._now())
            log.error(
                "worker.died",
                extra={"worker": member.number, "pid": process.pid, "exit_code": code, "starts_again_in_s": delay_s},
            )
            if delay_s:
                await self._sleep(delay_s)
            if self._is_over():
                return

    def _is_over(self) -> bool:
        return self._is_stopping

    def _link(self, member: _Member, sock: socket.socket) -> Link:
        def hear(message: Message, files: list[int]) -> None:
            member.heard_at = self._now()
            self._hear(member, message, files)

        return Link(sock, hear)

    def _hear(self, member: _Member, message: Message, files: list[int]) -> None:
        number = member.number
        left = files
        match message:
            case {"do": "join"}:
                assert member.link is not None, "it has just spoken"
                self.switchboard.join(number, member.link)
            case {"do": "ready"}:
                member.is_ready = True
                self.loads.add(number)
                first = self._first[number]
                if not first.done():
                    first.set_result(None)
            case {"do": "load", "connections": int(connections), "taken": int(taken)}:
                self.loads.note(number, connections, taken)
            case _:
                left = self.switchboard.hear(number, message, files)
        close_all(left)

    def _forget(self, member: _Member) -> None:
        member.process = None
        member.is_ready = False
        self.loads.remove(member.number)
        self.switchboard.leave(member.number)
        if member.link is not None:
            member.link.close()
            member.link = None


def _pass_on_fault(first: asyncio.Future[int | None], task: asyncio.Task[None]) -> None:
    """Have a worker that could not be started at all end the start of the server."""
    if not task.cancelled() and (fault := task.exception()) is not None:
        log.error("worker.failed", exc_info=fault)
        if not first.done():
            first.set_result(1)
