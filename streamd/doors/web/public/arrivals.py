"""How a channel is for its viewers, and those who wait until it is another way: pages that are open before a stream is.

A page that asked every other second would be a thousand requests a second with two thousand who wait; one that asks
less often is late. So it asks once, and is answered when there is something to say. The server looks at the channels
twice a second, for all that wait, and wakes them a slice at a time: a crowd is answered within a second or
two, and the loop has its turn between.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from typing import TYPE_CHECKING, Self

from streamd.doors.delivery.answer import Absence
from streamd.services.live.waiters import WaiterBudget

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.doors.delivery.channels import PublicChannels

# Shorter than the 30 s after which proxies give up an answer that does not begin.
WAIT_S = 20.0
# A viewer plays so much later, at the most; a look takes a microsecond or two for each name.
LOOK_INTERVAL_S = 0.5
# Requests that wait, 20 KB each with their connections. One more is answered at once, and asks again by and by.
WAITING_MAX = 4096
# The same from one address: a school behind one. A page waits with one request, and only while it is looked at.
WAITING_PER_ADDRESS_MAX = 64
# Answering one takes 0.1 ms: the loop has its turn each 3 ms.
WAKE_SLICE = 32
WAKE_PAUSE_S = 0.001
# A publisher whose frames the kernel holds back (wake_threshold.py) is quiet for most of a second, and a network that
# stumbles for as long again.
QUIET_S = 2.0


class ChannelState(enum.StrEnum):
    """How a channel is, for who wants to watch it."""

    OFFLINE = "offline"
    STARTING = "starting"
    """Its publisher is connected, and nothing can be played yet."""
    LIVE = "live"
    WAITING = "waiting"
    """It is live, and nothing comes from its publisher: frozen, or gone and expected back."""
    GONE = "gone"
    """Taken down."""


def state_of(channels: PublicChannels, name: str, now: float) -> ChannelState:
    """How a channel is.

    Args:
        channels: The live channels.
        name: Of the channel.
        now: Loop time, seconds.
    """
    stream = channels.find(name)
    if stream is Absence.TAKEN_DOWN:
        return ChannelState.GONE
    if isinstance(stream, Absence) or not stream.is_live:
        return ChannelState.OFFLINE
    if stream.presentation is None:
        return ChannelState.STARTING
    return ChannelState.WAITING if now - stream.media_at > QUIET_S else ChannelState.LIVE


class Arrivals:
    """The requests that wait until a channel is another way than they know it.

    Args:
        look: Says how a channel is.
    """

    def __init__(self, look: Callable[[str], ChannelState]) -> None:
        self._look_at = look
        self._budget = WaiterBudget(WAITING_MAX, waiting_requests_per_address_max=WAITING_PER_ADDRESS_MAX)
        self._waiting: dict[tuple[str, ChannelState], dict[asyncio.Event, None]] = {}
        self._waking: list[asyncio.Event] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @classmethod
    def of(cls, channels: PublicChannels, clock: Clock) -> Self:
        """The requests that wait for these channels."""
        return cls(lambda name: state_of(channels, name, clock.monotonic()))

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._budget.waiting

    async def wait(self, name: str, known: ChannelState, source: str) -> None:
        """Return when a channel is another way, the time is over, or nobody more may wait.

        Args:
            name: Of the channel.
            known: How it is, as the asker knows it.
            source: The viewer's address, as it is counted (``address.source_of``).
        """
        if self._is_closed or self._look_at(name) is not known or not self._budget.may_wait(source):
            return
        woken, key = asyncio.Event(), (name, known)
        self._waiting.setdefault(key, {})[woken] = None
        self._budget.count_in(source)
        self._plan()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT_S):
                    await woken.wait()
        finally:
            self._budget.count_out(source)
            same = self._waiting.get(key)
            if same is not None:
                same.pop(woken, None)
                if not same:
                    del self._waiting[key]

    def look(self) -> None:
        """Line up those to wake whose channel is another way than they know it."""
        for key in [key for key in self._waiting if self._look_at(key[0]) is not key[1]]:
            self._line_up(self._waiting.pop(key))

    def close(self) -> None:
        """Wake everyone; nobody waits here again."""
        self._is_closed = True
        for waiting in self._waiting.values():
            self._line_up(waiting)
        self._waiting.clear()

    def _plan(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = asyncio.get_running_loop().call_later(LOOK_INTERVAL_S, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self.look()
        self._plan()

    def _line_up(self, woken: dict[asyncio.Event, None]) -> None:
        was_waking = bool(self._waking)
        self._waking.extend(woken)
        if self._waking and not was_waking:
            asyncio.get_running_loop().call_soon(self._wake_slice)

    def _wake_slice(self) -> None:
        for event in self._waking[:WAKE_SLICE]:
            event.set()
        del self._waking[:WAKE_SLICE]
        if self._waking:
            # Behind what those who are awake now are about to do.
            asyncio.get_running_loop().call_later(WAKE_PAUSE_S, self._wake_slice)
