"""How much of the loop's time one peer may take.

Bytes and messages do not say what a step costs: a record of some bytes can be a long computation. The step itself is
measured instead, and whoever takes more than their share is not read for a while. What one step can take is bounded
before it, by the parsers; this bounds how often it comes again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoopTimeLimit:
    """A share of the loop's time, as a token bucket."""

    seconds_per_second: float
    """What comes back each second; below 1."""
    burst_s: float
    """What may be taken at once after a time of rest, seconds."""
    overdue_s: float
    """A peer that has been over its share without a rest for as long is closed, seconds."""


# Addresses whose budget is not full, 200 bytes each. Past it the least lately asked for is forgotten: an attacker with
# more of them is bounded by what all peers together may take.
ADDRESSES_MAX = 4096


class LoopTimeBudget:
    """The time of the loop that one peer, or all peers of one address, have left.

    Args:
        limit: Their share.
        now: Loop time, seconds.
    """

    __slots__ = ("_left_s", "_limit", "_over_since", "_settled_at", "spent_s")

    def __init__(self, limit: LoopTimeLimit, now: float) -> None:
        self._limit = limit
        self._left_s = limit.burst_s
        self._settled_at = now
        # When the debt began from which there has been no rest; negative where there is none.
        self._over_since = -1.0
        self.spent_s = 0.0
        """All that was taken, seconds."""

    def spend(self, now: float, step_s: float) -> float:
        """Take the time of one step.

        Args:
            now: Loop time at the step's end, seconds.
            step_s: What the step took, seconds.

        Returns:
            For how long not to read this peer, seconds; 0 while it keeps to its share.
        """
        self._settle(now)
        self.spent_s += step_s
        self._left_s -= step_s
        if self._left_s < 0.0 and self._over_since < 0.0:
            self._over_since = now
        return self.pause_s

    def is_overdue(self, now: float) -> bool:
        """Whether it has been over its share for longer than any honest peer is."""
        self._settle(now)
        return self._over_since >= 0.0 and now - self._over_since > self._limit.overdue_s

    def is_rested(self, now: float) -> bool:
        """Whether nothing of what was taken is still to come back: a new budget would be the same."""
        self._settle(now)
        return self._left_s >= self._limit.burst_s

    @property
    def left_s(self) -> float:
        """What may be taken before it has to pause, as of the last step, seconds; negative for a debt."""
        return self._left_s

    def has_debt(self, now: float) -> bool:
        """Whether more was taken than has come back by now."""
        self._settle(now)
        return self._left_s < 0.0

    @property
    def pause_s(self) -> float:
        """How long it takes until the debt has come back, seconds; 0 without a debt."""
        if self._left_s >= 0.0:
            return 0.0
        return -self._left_s / self._limit.seconds_per_second

    def _settle(self, now: float) -> None:
        limit = self._limit
        if now > self._settled_at:
            self._left_s = min(limit.burst_s, self._left_s + (now - self._settled_at) * limit.seconds_per_second)
            self._settled_at = now
        if self._left_s >= limit.burst_s / 2:
            # A peer that is paused comes back to zero each time, and goes on from there: that is no rest.
            self._over_since = -1.0


class AddressBudgets:
    """The budgets of addresses, each as long as it is not full.

    Args:
        limit: The share of each.
    """

    def __init__(self, limit: LoopTimeLimit) -> None:
        self._limit = limit
        # In the order in which they were asked for.
        self._budgets: dict[str, LoopTimeBudget] = {}

    def __len__(self) -> int:
        """Budgets kept."""
        return len(self._budgets)

    def of(self, source: str, now: float) -> LoopTimeBudget:
        """The budget of an address.

        Args:
            source: As whom the address is counted.
            now: Loop time, seconds.
        """
        budget = self._budgets.pop(source, None) or LoopTimeBudget(self._limit, now)
        self._budgets[source] = budget
        # Two out for one in, as long as there are full ones: those are as good as new.
        for _ in range(2):
            oldest = next(iter(self._budgets))
            if oldest != source and (len(self._budgets) > ADDRESSES_MAX or self._budgets[oldest].is_rested(now)):
                del self._budgets[oldest]
        return budget
