"""Work that one address may make for others: passwords that are hashed, questions to the operator's service.

A wrong answer costs whoever asks (``PlaybackGate.note_failure``); this bounds the right ones too, and those that are
under way, so that one address has no more than a share of what all may ask.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from streamd.services.keys.guessing import Budgets
from streamd.services.playback.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable


class Questions:
    """Counts the questions of addresses.

    Args:
        now: Reads the loop time, seconds.
        per_minute_max: Questions of one address in a row, and in each minute after them.
        per_source_max: Questions of one address that are under way.
        all_max: Questions of all that are under way.
    """

    def __init__(self, now: Callable[[], float], *, per_minute_max: int, per_source_max: int, all_max: int) -> None:
        self._now = now
        self._budgets = Budgets(per_minute_max)
        self._per_source_max = per_source_max
        self._all_max = all_max
        self._under_way: Counter[str] = Counter()
        self._count = 0

    def __len__(self) -> int:
        """Those that are under way."""
        return self._count

    def begin(self, source: str) -> None:
        """Count a question as under way, until ``end``.

        Args:
            source: The peer that asks (``source_of``).

        Raises:
            PlaybackRefusedError: It asks too often, or too many are under way; nothing was counted.
        """
        now = self._now()
        is_full = self._under_way.get(source, 0) >= self._per_source_max
        if is_full or not self._budgets.has_token(source, now):
            raise Refusal.TOO_OFTEN.error()
        if self._count >= self._all_max:
            raise Refusal.UNDECIDED.error()
        self._budgets.spend(source, now)
        self._under_way[source] += 1
        self._count += 1

    def end(self, source: str) -> None:
        """A question that was begun is answered, or given up."""
        self._count -= 1
        self._under_way[source] -= 1
        if not self._under_way[source]:
            del self._under_way[source]
