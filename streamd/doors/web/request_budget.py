"""How many requests one address may have answered by aiohttp.

A page, a file or JSON costs 0.2 to 0.5 ms, in which nobody else is served: whoever asks for as many as their line
carries would take all of the loop's time. Past its share an address is answered 429 and its connection is closed; what
comes next from it is refused before it is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.json_api import raw_problem
from streamd.formats.address import source_of

if TYPE_CHECKING:
    from streamd.clock import Clock

# Addresses with fewer tokens than all: about 150 bytes each, 5 MB. Past it the least lately seen is forgotten, and has
# all its tokens again.
SOURCES_MAX = 32_768
# What may come at once after a quiet time, in seconds of what may come steadily: a hall of people opens the page.
BURST_S = 20.0
# A player asks for its media over the connections which brought the page: ten such requests count as one.
MEDIA_COST = 0.1
RETRY_AFTER_S = 2
DETAIL = "ask more slowly"


class RequestBudget:
    """Tokens by address: one for each request.

    Kept as ``keys.guessing.Budgets`` are: one number for each address, the time at which it has all tokens again.

    Args:
        per_second: Requests of one address (IPv6: of one /64) that may come steadily.
        clock: For the seconds.
        burst_s: What may come at once after a quiet time, in seconds of what may come steadily.
    """

    def __init__(self, per_second: float, clock: Clock, burst_s: float = BURST_S) -> None:
        self._clock = clock
        self._burst_s = burst_s
        self._full_at: dict[str, float] = {}
        self.raw_refusal = raw_problem(429, DETAIL, {"Retry-After": str(RETRY_AFTER_S)})
        """The whole answer to a connection that is not read."""
        self.configure(per_second)

    def configure(self, per_second: float) -> None:
        """Take another share; what was spent and is not back yet stays spent."""
        self._token_s = 1.0 / per_second

    def __len__(self) -> int:
        """Addresses kept."""
        return len(self._full_at)

    def is_overdrawn(self, address: str) -> bool:
        """Whether an address has no token left."""
        now = self._clock.monotonic()
        return self._full_at.get(source_of(address), now) - now > self._burst_s - self._token_s

    def spend(self, address: str, cost: float = 1.0) -> bool:
        """Take what a request costs.

        Args:
            address: IP address of who asks.
            cost: Tokens.

        Returns:
            Whether it was there; an empty budget stays empty, and fills as before.
        """
        now, source = self._clock.monotonic(), source_of(address)
        full_at = max(self._full_at.pop(source, now), now)
        has_token = full_at - now <= self._burst_s - self._token_s
        self._keep(source, full_at + cost * self._token_s if has_token else full_at, now)
        return has_token

    def queue(self, address: str, wait_max_s: float) -> float | None:
        """Take what a request costs, ahead of time where it is not there.

        Args:
            address: IP address of who asks.
            wait_max_s: For how long it may wait, seconds.

        Returns:
            For how long it has to wait, seconds; None where that is too long, and nothing is taken.
        """
        now, source = self._clock.monotonic(), source_of(address)
        full_at = max(self._full_at.pop(source, now), now)
        wait_s = max(0.0, full_at - now - self._burst_s + self._token_s)
        is_in_time = wait_s <= wait_max_s
        self._keep(source, full_at + self._token_s if is_in_time else full_at, now)
        return wait_s if is_in_time else None

    def _keep(self, source: str, full_at: float, now: float) -> None:
        self._full_at[source] = full_at
        # Two out for one in: those that have all their tokens again are gone before they are in the way.
        for _ in range(2):
            oldest = next(iter(self._full_at))
            if len(self._full_at) > SOURCES_MAX or self._full_at[oldest] <= now:
                del self._full_at[oldest]
                if not self._full_at:
                    break
