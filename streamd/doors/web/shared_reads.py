"""Reads of a store for people who are strangers to it: the same is asked once for all, and little at once.

A page that a thousand viewers have open asks a thousand times for the same list; somebody who makes names up asks for
a thousand different ones. Neither keeps a publisher's key from being looked up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from streamd.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from streamd.clock import Clock

Key = TypeVar("Key", bound="Hashable")
Value = TypeVar("Value")

# An answer holds for a moment: a list changes when a broadcast begins or ends.
HOLDS_S = 1.0
# Answers that are kept. A page of a list is some kilobytes.
KEPT_MAX = 256
# Reads that are under way at once.
AT_ONCE_MAX = 16


class SharedReads(Generic[Key, Value]):
    """Reads that are shared by all who ask for the same.

    Args:
        read: Asks the store.
        revision: A number that moves when an answer from before may be wrong.
        clock: Measures the age of an answer.
    """

    def __init__(self, read: Callable[[Key], Awaitable[Value]], revision: Callable[[], int], clock: Clock) -> None:
        self._read = read
        self._revision = revision
        self._clock = clock
        self._kept: dict[Key, tuple[float, int, Value]] = {}
        self._under_way: dict[tuple[Key, int], asyncio.Task[Value]] = {}

    async def get(self, key: Key) -> Value:
        """Ask, or repeat what was answered a moment ago.

        Raises:
            StoreUnavailableError: The store does not answer, or is asked too much.
        """
        revision = self._revision()
        known = self._kept.get(key)
        if known is not None and known[1] == revision and self._clock.monotonic() - known[0] <= HOLDS_S:
            return known[2]
        task = self._under_way.get((key, revision))
        if task is None:
            if len(self._under_way) >= AT_ONCE_MAX:
                raise StoreUnavailableError(f"{AT_ONCE_MAX} reads are under way already")
            task = self._under_way[key, revision] = asyncio.create_task(self._ask(key, revision))
            task.add_done_callback(lambda done: self._end(key, revision, done))
        # A reader who leaves takes the answer from nobody else.
        return await asyncio.shield(task)

    async def _ask(self, key: Key, revision: int) -> Value:
        value = await self._read(key)
        self._kept.pop(key, None)
        while len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = self._clock.monotonic(), revision, value
        return value

    def _end(self, key: Key, revision: int, task: asyncio.Task[Value]) -> None:
        del self._under_way[key, revision]
        if not task.cancelled():
            # It is read: all who asked may have left.
            task.exception()
