"""How much of the room for evidence one reporter may have filled: a few addresses must not leave none for the others.

Beyond their share their reports are taken, and a picture and the facts are kept; media is kept of what others report.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

# Of all the room that evidence has, for one reporter in a day: 1 GiB of 20, which is fifty pieces of thirty seconds of
# 6 Mb/s.
SHARE: Final = 20
DAY_S: Final = 86_400.0
# Reporters that are remembered, those who reported last; 200 bytes each. Whoever has more addresses has other bounds:
# a piece a minute of a case, and eight in all.
REPORTERS_MAX: Final = 4096


class Shares:
    """What was kept for whom lately."""

    def __init__(self) -> None:
        # The time at which their day began, and the bytes since.
        self._spent: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        """How many reporters are remembered."""
        return len(self._spent)

    def is_spent(self, reporter: str, bytes_max: int, now: float) -> bool:
        """Whether a reporter has had their share.

        Args:
            reporter: As reports know them.
            bytes_max: The room of all evidence.
            now: Loop time.
        """
        began, size_bytes = self._spent.get(reporter, (now, 0))
        return now - began < DAY_S and size_bytes >= bytes_max // SHARE

    def spend(self, reporter: str, size_bytes: int, now: float) -> None:
        """Note what was kept for a reporter."""
        began, before = self._spent.pop(reporter, (now, 0))
        if now - began >= DAY_S:
            began, before = now, 0
        self._spent[reporter] = began, before + size_bytes
        if len(self._spent) > REPORTERS_MAX:
            self._spent.popitem(last=False)
