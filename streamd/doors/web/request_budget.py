"""A bound for the requests of one address that aiohttp answers.

A page, a file or JSON holds the loop for 0.2 to 0.5 ms: a peer that fills its line with requests would take all of the
loop's time. Past its share an address is answered 429 and its connection is closed; its next connections are refused
before they are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.json_api import raw_problem
from streamd.formats.address import source_of

if TYPE_CHECKING:
    from streamd.clock import Clock

# Addresses with fewer tokens than all: about 150 bytes each, 5 MB. Past it the address seen least lately is forgotten,
# and has all its tokens again.
SOURCES_MAX = 32_768
# Requests at once after a quiet time, in seconds of the steady rate: a hall of people opens the page.
BURST_S = 20.0
# A player asks for its media over the connections which brought the page: ten such requests count as one.
MEDIA_COST = 0.1
RETRY_AFTER_S = 2
DETAIL = "ask more slowly"


class RequestBudget:
    """Tokens by address: one for each request.

    Kept as ``keys.guessing.Budgets`` are: one number for each address, the time at which it has all tokens again.

    Args:
        per_second: Steady rate of requests of one address (IPv6: of one /64).
        clock: For the seconds.
        burst_s: Requests at once after a quiet time, in seconds of the steady rate.
    """

    def __init__(self, per_second: float, clock: Clock, burst_s: float = BURST_S) -> None:
        self._clock = clock
        self._burst_s = burst_s
        self._full_at: dict[str, float] = {}
        self.raw_refusal = raw_problem(429, DETAIL, {"Retry-After": str(RETRY_AFTER_S)})
        """The whole answer to a connection that is not read."""
        self.configure(per_second)

    def configure(self, per_second: float) -> None:
        """Take another share; spent tokens stay spent."""
        self._token_s = 1.0 / per_second

    def __len__(self) -> int:
        """Addresses kept."""
        return len(self._full_at)

    def is_overdrawn(self, address: str) -> bool:
        """Tell whether an address has no token left."""
        now = self._clock.monotonic()
        return self._full_at.get(source_of(address), now) - now > self._burst_s - self._token_s

    def spend(self, address: str, cost: float = 1.0) -> bool:
        """Take what a request costs.

        Args:
            address: IP address of the peer.
            cost: Tokens.

        Returns:
            Whether the tokens were there; an empty budget stays empty, and fills as before.
        """
        now, source = self._clock.monotonic(), source_of(address)
        full_at = max(self._full_at.pop(source, now), now)
        has_token = full_at - now <= self._burst_s - self._token_s
        self._keep(source, full_at + cost * self._token_s if has_token else full_at, now)
        return has_token

    def queue(self, address: str, wait_max_s: float) -> float | None:
        """Take the tokens of a request, ahead of time if too few are left.

        Args:
            address: IP address of the peer.
            wait_max_s: Seconds that it may wait.

        Returns:
            Seconds that it has to wait; None if that is too long, and no token is taken.
        """
        now, source = self._clock.monotonic(), source_of(address)
        full_at = max(self._full_at.pop(source, now), now)
        wait_s = max(0.0, full_at - now - self._burst_s + self._token_s)
        is_in_time = wait_s <= wait_max_s
        self._keep(source, full_at + self._token_s if is_in_time else full_at, now)
        return wait_s if is_in_time else None

    def _keep(self, source: str, full_at: float, now: float) -> None:
        self._full_at[source] = full_at
        # Two out for one in: addresses with all their tokens again leave before they are in the way.
        for _ in range(2):
            oldest = next(iter(self._full_at))
            if len(self._full_at) > SOURCES_MAX or self._full_at[oldest] <= now:
                del self._full_at[oldest]
                if not self._full_at:
                    break
