"""When operators' tokens were last used, on the way to the store: every request is a use, and not every one a write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.operators.records import OperatorRecord

# Uses of a token are written this often at the most.
USE_INTERVAL_S = 60.0


class TokenUses:
    """The last use of each token that the store does not know of yet. There are as many as operators.

    Args:
        clock: For the time of a use.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[str, datetime] = {}
        self._next_at: dict[str, float] = {}

    def note(self, name: str) -> None:
        """Take note that an operator's token, or a session of it, was used."""
        now = self._clock.monotonic()
        if now >= self._next_at.get(name, now):
            self._next_at[name] = now + USE_INTERVAL_S
            self._waiting[name] = self._clock.now()

    def take(self) -> Mapping[str, datetime]:
        """All waiting uses, by name; they are forgotten here."""
        uses, self._waiting = self._waiting, {}
        return uses

    def give_back(self, uses: Mapping[str, datetime]) -> None:
        """Keep uses that could not be written, for another try; those noted meanwhile are newer."""
        self._waiting = {**uses, **self._waiting}

    def forget(self, name: str) -> None:
        """Forget the uses of a token that is dead."""
        self._waiting.pop(name, None)
        self._next_at.pop(name, None)

    def within(self, record: OperatorRecord) -> OperatorRecord:
        """The record of an operator with a use that waits to be written."""
        return replace(record, last_used_at=self._waiting.get(record.name, record.last_used_at))
