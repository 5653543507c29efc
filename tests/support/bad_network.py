"""A bad network between a player and a server: a TCP proxy that delays, stalls and throttles.

What TCP makes of loss is what an application sees of it: nothing for a while, then all of it. So packets are not
dropped here; a direction stands still instead, for as long as a retransmission timer takes, and then goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamd.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CLOCK = SystemClock()
# A read is the unit that is delayed: small enough for a slow link to share itself between connections.
READ_BYTES = 8 * 1024
# What is on its way on one connection; more makes the sender wait, as a full window does. 0.1 s of 10 Mb/s.
QUEUE_READS_MAX = 16


@dataclass(frozen=True, slots=True)
class Conditions:
    """How bad it is."""

    delay_s: float = 0.0
    """One way; a round trip is twice this."""
    jitter_s: float = 0.0
    """Added to the delay, from nothing to this. Bytes stay in order."""
    bits_per_second: float | None = None
    """From the server to the player, all connections together."""
    stall_every_s: float | None = None
    """On average, how often the way from the server to the player stands still."""
    stall_s: float = 0.0
    """For how long it does."""


GOOD = Conditions()


class BadNetwork:
    """The proxy. What passes through is subject to ``conditions`` as they are at that moment.

    Args:
        server_port: Where connections go, on the loopback interface.
        seed: Of the jitter and the stalls.

    Attributes:
        conditions: May be changed at any time.
        port: Where players connect, once it runs.
        stalls: How often it has stood still.
    """

    def __init__(self, server_port: int, seed: int = 1) -> None:
        self.conditions = GOOD
        self.port = 0
        self.stalls = 0
        self._server_port = server_port
        self._random = random.Random(seed)
        self._link_free_at = 0.0
        self._stalled_until = 0.0
        self._next_stall_at = 0.0
        self._connections: set[asyncio.Task[None]] = set()

    def stall(self, seconds: float) -> None:
        """Let the way from the server to the player stand still from now on."""
        self._stalled_until = CLOCK.monotonic() + seconds
        self.stalls += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[BadNetwork]:
        """Accept players until the block is left."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError):
                await self._connect(reader, writer)
        except asyncio.CancelledError:
            # The block is left: the player has nothing to wait for.
            return
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        up = asyncio.create_task(self._carry(reader, server_writer, is_down=False))
        try:
            await self._carry(server_reader, writer, is_down=True)
        finally:
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
            server_writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_down: bool) -> None:
        """Carry one direction of a connection until its end."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUE_READS_MAX)
        filling = asyncio.create_task(self._fill(queue, reader, is_down=is_down))
        try:
            while True:
                due_at, data = await queue.get()
                await _sleep_until(due_at)
                if is_down:
                    await _sleep_until(self._stalled_until)
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)

    async def _fill(
        self, queue: asyncio.Queue[tuple[float, bytes]], reader: asyncio.StreamReader, *, is_down: bool
    ) -> None:
        last_due_at = 0.0
        data = b"-"
        while data:
            try:
                data = await reader.read(READ_BYTES)
            except ConnectionError:
                data = b""
            # In order, whatever the jitter says.
            last_due_at = max(last_due_at, self._due_at(len(data), is_down=is_down))
            await queue.put((last_due_at, data))

    def _due_at(self, size_bytes: int, *, is_down: bool) -> float:
        """When bytes that are sent now are there."""
        now = CLOCK.monotonic()
        conditions = self.conditions
        sent_at = now
        if is_down:
            if conditions.bits_per_second is not None:
                sent_at = self._link_free_at = (
                    max(now, self._link_free_at) + 8 * size_bytes / conditions.bits_per_second
                )
            if conditions.stall_every_s is not None and now >= self._next_stall_at:
                if self._next_stall_at:
                    self.stall(conditions.stall_s)
                self._next_stall_at = now + self._random.uniform(0.5, 1.5) * conditions.stall_every_s
        return sent_at + conditions.delay_s + self._random.uniform(0, conditions.jitter_s)


async def _sleep_until(at: float) -> None:
    wait_s = at - CLOCK.monotonic()
    if wait_s > 0:
        await asyncio.sleep(wait_s)
