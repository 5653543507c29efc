"""A bound for the loop's time that one peer may take.

Bytes and messages do not say what a step costs: a record of some bytes can be a long computation. The step itself is
measured instead, and a peer that takes more than its share is not read for a while. The parsers bound the length of one
step; this bounds how often steps come.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoopTimeLimit:
    """A share of the loop's time, as a token bucket."""

    seconds_per_second: float
    """Seconds that come back each second; below 1."""
    burst_s: float
    """Seconds that may be taken at once after a time of rest."""
    overdue_s: float
    """Seconds without a rest after which a peer over its share is closed."""


# Addresses whose budget is not full, 200 bytes each. Past it the budget asked for least lately is forgotten: the share
# of all peers together bounds an attacker with more addresses.
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
        # Loop time at which the debt began, if no rest came since; negative without a debt.
        self._over_since = -1.0
        self.spent_s = 0.0
        """Seconds taken in all."""

    def spend(self, now: float, step_s: float) -> float:
        """Take the time of one step.

        Args:
            now: Loop time at the step's end, seconds.
            step_s: Duration of the step, seconds.

        Returns:
            Seconds for which not to read this peer; 0 while it keeps to its share.
        """
        self._settle(now)
        self.spent_s += step_s
        self._left_s -= step_s
        if self._left_s < 0.0 and self._over_since < 0.0:
            self._over_since = now
        return self.pause_s

    def is_overdue(self, now: float) -> bool:
        """Whether it has been over its share for longer than any honest peer is."""
        if self._over_since < 0.0:
            # Nothing that comes back makes a debt.
            return False
        self._settle(now)
        return self._over_since >= 0.0 and now - self._over_since > self._limit.overdue_s

    def is_rested(self, now: float) -> bool:
        """Tell whether all seconds taken have come back: a new budget would be the same."""
        self._settle(now)
        return self._left_s >= self._limit.burst_s

    @property
    def left_s(self) -> float:
        """Seconds that may be taken before a pause, as of the last step; negative for a debt."""
        return self._left_s

    def has_debt(self, now: float) -> bool:
        """Whether more was taken than has come back by now."""
        self._settle(now)
        return self._left_s < 0.0

    @property
    def pause_s(self) -> float:
        """Seconds until the debt has come back; 0 without a debt."""
        if self._left_s >= 0.0:
            return 0.0
        return -self._left_s / self._limit.seconds_per_second

    def _settle(self, now: float) -> None:
        burst_s = self._limit.burst_s
        if now > self._settled_at:
            self._left_s = min(burst_s, self._left_s + (now - self._settled_at) * self._limit.seconds_per_second)
            self._settled_at = now
        if self._left_s >= burst_s / 2:
            # A paused peer comes back to zero each time and goes on from there, which is no rest.
            self._over_since = -1.0


class AddressBudgets:
    """The budgets of addresses, each as long as it is not full.

    Args:
        limit: The share of each.
    """

    def __init__(self, limit: LoopTimeLimit) -> None:
        self._limit = limit
        # Least lately asked for first.
        self._budgets: dict[str, LoopTimeBudget] = {}

    def __len__(self) -> int:
        """Budgets kept."""
        return len(self._budgets)

    def of(self, source: str, now: float) -> LoopTimeBudget:
        """The budget of an address.

        Args:
            source: The peer that the address is counted as.
            now: Loop time, seconds.
        """
        budget = self._budgets.pop(source, None) or LoopTimeBudget(self._limit, now)
        self._budgets[source] = budget
        # Two out for one in, as long as there are full ones: a full budget is as good as new.
        for _ in range(2):
            oldest = next(iter(self._budgets))
            if oldest != source and (len(self._budgets) > ADDRESSES_MAX or self._budgets[oldest].is_rested(now)):
                del self._budgets[oldest]
        return budget
