"""Requests that wait for a part or a segment that is not there yet.

A waiting request is one future under the position it waits for; when the position comes, all of
them wake at once. Nothing is kept for a stream that is not live, and the number of
waiting requests is bounded.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streamd.errors import LocalStateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Position = tuple[int, int]
"""``(media sequence number, part index)``, compared in that order."""


class WaiterBudget:
    """How many requests may wait in the whole server.

    Args:
        waiting_max: The bound; a request beyond it is refused, which costs a player one retry.
    """

    def __init__(self, waiting_max: int) -> None:
        self.waiting_max = waiting_max
        self.waiting = 0


class Waiters:
    """The requests that wait for positions of one rendition.

    Args:
        budget: Shared by all renditions of the server.
    """

    def __init__(self, budget: WaiterBudget) -> None:
        self._budget = budget
        self._by_position: dict[Position, dict[asyncio.Future[None], None]] = {}
        self._is_closed = False

    @property
    def has_room(self) -> bool:
        """Whether one more request may wait."""
        return self._budget.waiting < self._budget.waiting_max

    async def wait(self, position: Position, timeout_s: float) -> bool:
        """Wait until ``position`` is there or the stream has ended.

        Args:
            position: What is waited for.
            timeout_s: Seconds, after which the wait is over with nothing.

        Returns:
            Whether the wait ended in time. The caller asks again what to answer, because a stream
            that ended wakes its waiters too.

        Raises:
            LocalStateError: The waiters are closed, or there is no room; ask ``has_room`` first.
        """
        if self._is_closed or not self.has_room:
            raise LocalStateError("no request may wait here")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._by_position.setdefault(position, {})[future] = None
        self._budget.waiting += 1
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return False
        finally:
            self._budget.waiting -= 1
            if (waiting := self._by_position.get(position)) is not None:
                waiting.pop(future, None)
                if not waiting:
                    del self._by_position[position]
        return True

    def wake(self, reached: Callable[[Position], bool]) -> None:
        """Wake every request whose position ``reached`` says is there."""
        # A handful of positions at most: all players wait for the next part or two.
        for position in [p for p in self._by_position if reached(p)]:
            _wake_all(self._by_position.pop(position))

    def close(self) -> None:
        """Wake everyone; nobody may wait here again."""
        self._is_closed = True
        self.wake(lambda _: True)


def _wake_all(waiting: Iterable[asyncio.Future[None]]) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(None)
