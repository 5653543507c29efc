"""So many at once, and so many more a second: a bound for acts of a peer that are counted and not measured."""

from __future__ import annotations


class Allowance:
    """The rest of one peer's allowance.

    Args:
        per_second: Acts that come back each second.
        at_once_max: Acts allowed at once after a time of rest.
        now: Loop time, seconds.
    """

    __slots__ = ("_at_once_max", "_left", "_per_second", "_settled_at")

    def __init__(self, per_second: float, at_once_max: int, now: float) -> None:
        self._per_second = per_second
        self._at_once_max = at_once_max
        self._left = float(at_once_max)
        self._settled_at = now

    def left(self, now: float) -> int:
        """Return how many may be taken now.

        Args:
            now: Loop time, seconds.
        """
        self._settle(now)
        return int(self._left)

    def take(self, now: float, count: int = 1) -> bool:
        """Take some, if so many are left.

        Args:
            now: Loop time, seconds.
            count: How many.

        Returns:
            Whether so many were left; if not, none is taken.
        """
        self._settle(now)
        if self._left < count:
            return False
        self._left -= count
        return True

    def take_all(self, now: float) -> int:
        """Take all that are left, in whole ones; return how many.

        Args:
            now: Loop time, seconds.
        """
        count = self.left(now)
        self._left -= count
        return count

    def _settle(self, now: float) -> None:
        if now > self._settled_at:
            self._left = min(self._at_once_max, self._left + (now - self._settled_at) * self._per_second)
            self._settled_at = now
