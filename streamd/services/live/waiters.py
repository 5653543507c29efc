"""Requests that wait for a part or a segment that is not there yet.

A waiting request is one small object under its part or segment; when that comes, all of them wake, a slice at a time,
so that ten thousand do not hold the loop, and each address in its turn, so that a thousand of one do not keep another's
waiting. A stream that is not live keeps no requests, and their number is bounded.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from streamd.errors import LocalStateError
from streamd.media.packager.reload import PartNumber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streamd.media.packager.reload import Position

# Waking one viewer is a write to a socket: 15 µs for a playlist, 60 µs for a part of 150 kB, most of it the kernel's.
# A slice holds the loop for about 3 ms. Shorter ones would let the first who woke fetch their parts before the last
# have woken, and all of it takes the same time in the end.
WAKE_SLICE_COST = 192
PLAYLIST_COST = 1
PART_COST = 4

Memo = dict[object, object]
"""Results that the requests of one slice share: no state changes between one of them and the next."""


class Awaited(NamedTuple):
    """The position that a request waits for."""

    variant: str
    """Name of the rendition."""
    until: Position | PartNumber
    """The place in it that must be there."""


class WaiterBudget:
    """A bound for the waiting requests of the whole server.

    Args:
        waiting_requests_max: The bound; a request beyond it is refused, which costs a player one retry.
        on_refused: Called for each that is.
        waiting_requests_per_address_max: The same for the requests of one source.
        on_source_refused: Called for each that is refused by that.
    """

    def __init__(
        self,
        waiting_requests_max: int,
        on_refused: Callable[[], None] = lambda: None,
        *,
        waiting_requests_per_address_max: int = sys.maxsize,
        on_source_refused: Callable[[], None] = lambda: None,
    ) -> None:
        self.waiting_requests_max = waiting_requests_max
        self.waiting_requests_per_address_max = waiting_requests_per_address_max
        self.waiting = 0
        self.on_refused = on_refused
        self.on_source_refused = on_source_refused
        self._by_source: Counter[str] = Counter()

    def may_wait(self, source: str) -> bool:
        """Whether one more request may wait; a refusal is counted.

        Args:
            source: The peer that it counts for; empty for none.
        """
        if self.waiting >= self.waiting_requests_max:
            self.on_refused()
            return False
        if source and self._by_source[source] >= self.waiting_requests_per_address_max:
            self.on_source_refused()
            return False
        return True

    def count_in(self, source: str) -> None:
        """Count a request that waits."""
        self.waiting += 1
        self._by_source[source] += 1

    def count_out(self, source: str) -> None:
        """Count a request that waits no more."""
        self.waiting -= 1
        left = self._by_source[source] - 1
        if left:
            self._by_source[source] = left
        else:
            del self._by_source[source]


class Subscription:
    """One request that waits; made by ``Waiters.subscribe``.

    Attributes:
        source: The peer that it counts for.
        cost: Cost of waking it, in ``WAKE_SLICE_COST``.
    """

    __slots__ = ("_awaited", "_on_wake", "_waiters", "cost", "source")

    def __init__(self, waiters: Waiters, awaited: Awaited, on_wake: Callable[[Memo], None], source: str) -> None:
        self.source = source
        self._waiters = waiters
        self._awaited = awaited
        self._on_wake: Callable[[Memo], None] | None = on_wake
        self.cost = PART_COST if isinstance(awaited.until, PartNumber) else PLAYLIST_COST

    def cancel(self) -> None:
        """Stop waiting; the callback is not called any more. Again, or after the wake, changes nothing."""
        if self._on_wake is not None:
            self._on_wake = None
            self._waiters._forget(self, self._awaited)

    def _wake(self, memo: Memo) -> None:
        on_wake = self._on_wake
        if on_wake is not None:
            self._on_wake = None
            on_wake(memo)


class Waiters:
    """The requests that wait for coming parts and segments of a live stream.

    Args:
        budget: Shared by all streams of the server.
    """

    def __init__(self, budget: WaiterBudget) -> None:
        self.budget = budget
        # The inner dictionaries are ordered sets: the first that came wakes first.
        self._by_awaited: dict[Awaited, dict[Subscription, None]] = {}
        # By source, the last first; sources in the order in which their turn comes.
        self._waking: dict[str, list[Subscription]] = {}
        self._is_closed = False

    @property
    def has_room(self) -> bool:
        """Whether one more request may wait."""
        return self.budget.waiting < self.budget.waiting_requests_max

    @property
    def has_waiting(self) -> bool:
        """Whether any request waits."""
        return bool(self._by_awaited)

    def subscribe(self, awaited: Awaited, on_wake: Callable[[Memo], None], source: str = "") -> Subscription:
        """Call ``on_wake`` once, when ``awaited`` is there or the stream has ended.

        Args:
            awaited: The position to wait for.
            on_wake: Called from the loop, never from here. It asks again what to answer, because a stream that ended
                wakes its waiters too. It may leave its result in the memo for the next of its slice.
            source: The peer that the request counts for.

        Returns:
            A handle to cancel it. There is no time limit here: the caller watches its own.

        Raises:
            LocalStateError: The waiters are closed, or there is no room; ask ``has_room`` first.
        """
        if self._is_closed or not self.has_room:
            raise LocalStateError("no request may wait here")
        subscription = Subscription(self, awaited, on_wake, source)
        waiting = self._by_awaited.get(awaited)
        if waiting is None:
            waiting = self._by_awaited[awaited] = {}
        waiting[subscription] = None
        self.budget.count_in(source)
        return subscription

    async def wait(self, awaited: Awaited, timeout_s: float, source: str = "") -> bool:
        """Wait until ``awaited`` is there or the stream has ended.

        Args:
            awaited: The position to wait for.
            timeout_s: Seconds, after which the wait is over without a result.
            source: The peer that the request counts for.

        Returns:
            Whether the wait ended in time. The caller asks again what to answer, as in ``subscribe``.

        Raises:
            LocalStateError: As ``subscribe``.
        """
        woken = asyncio.Event()
        subscription = self.subscribe(awaited, lambda _: woken.set(), source)
        try:
            async with asyncio.timeout(timeout_s):
                await woken.wait()
        except TimeoutError:
            return False
        finally:
            subscription.cancel()
        return True

    def wake(self, is_reached: Callable[[Awaited], bool]) -> None:
        """Wake every request whose position ``is_reached`` says is there."""
        if not self._by_awaited:
            return
        was_waking = bool(self._waking)
        # A handful of keys at most: all players wait for the next part or two.
        for awaited in [each for each in self._by_awaited if is_reached(each)]:
            self._line_up(self._by_awaited.pop(awaited))
        if self._waking and not was_waking:
            asyncio.get_running_loop().call_soon(self._wake_slice)

    @property
    def is_closed(self) -> bool:
        """No request may wait here any more."""
        return self._is_closed

    def close(self) -> None:
        """Wake all requests; none may wait here again."""
        self._is_closed = True
        self.wake(lambda _: True)

    def _line_up(self, woken: Iterable[Subscription]) -> None:
        by_source: dict[str, list[Subscription]] = {}
        for subscription in woken:
            by_source.setdefault(subscription.source, []).append(subscription)
        for source, first_to_last in by_source.items():
            first_to_last.reverse()
            self._waking[source] = first_to_last + self._waking.get(source, [])

    def _wake_slice(self) -> None:
        waking = self._waking
        memo: Memo = {}
        cost = 0
        try:
            while waking and cost < WAKE_SLICE_COST:
                source, last_to_first = next(iter(waking.items()))
                subscription = last_to_first.pop()
                if not last_to_first:
                    del waking[source]
                elif len(waking) > 1:
                    # Behind the others.
                    del waking[source]
                    waking[source] = last_to_first
                cost += subscription.cost
                if subscription._on_wake is not None:
                    self.budget.count_out(source)
                subscription._wake(memo)
        finally:
            # One request whose answer is a fault of ours does not keep the others asleep.
            if waking:
                asyncio.get_running_loop().call_soon(self._wake_slice)

    def _forget(self, subscription: Subscription, awaited: Awaited) -> None:
        """Count a cancelled subscription out; one that is about to wake is passed over then."""
        self.budget.count_out(subscription.source)
        waiting = self._by_awaited.get(awaited)
        if waiting is not None:
            waiting.pop(subscription, None)
            if not waiting:
                del self._by_awaited[awaited]
