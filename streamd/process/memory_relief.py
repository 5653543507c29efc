"""The relief when memory is short: nothing new begins, and past the ceiling connections go.

Strangers first, then viewers, who come back; publishers only where that is not enough and the process is well past its
ceiling (``services/bounds/memory_accounts.py``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from streamd.services.bounds.memory_accounts import Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.process.resources import MemoryCeiling
    from streamd.services.bounds.memory_accounts import MemoryAccounts

log = logging.getLogger(__name__)

# Memory that was let go shows in the size of the process when the sockets are closed and the heap has been looked
# through: until then nobody else goes.
REST_S = 5.0
# A broadcast is worth more than what a process is over its ceiling by for a moment; the ceiling leaves a fifth of the
# machine.
PUBLISHERS_FROM = 1.1


class MemoryRelief:
    """Looks at the size of the process and at the accounts, and lets go of connections.

    Args:
        ceiling: Knows the size, and what it may be.
        accounts: Know who holds what.
        give_back: Gives what is free back to the machine, so that it counts no more.
        now: Reads the loop time, seconds.
    """

    def __init__(
        self,
        ceiling: MemoryCeiling,
        accounts: MemoryAccounts,
        *,
        give_back: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        self._ceiling = ceiling
        self._accounts = accounts
        self._give_back = give_back
        self._now = now
        self._rests_until = 0.0
        self._is_short = False

    def look(self) -> None:
        """Do what is to be done; called about once a second."""
        self._ceiling.look()
        self._accounts.look()
        self._tell()
        if self._ceiling.excess_bytes <= 0 or self._now() < self._rests_until:
            return
        self._rests_until = self._now() + REST_S
        # Memory that is free, and only not given back, is no reason to close anybody's connection.
        self._give_back()
        self._ceiling.look()
        excess_bytes = self._ceiling.excess_bytes
        if excess_bytes > 0:
            is_far = self._ceiling.used_bytes > self._ceiling.ceiling_bytes * PUBLISHERS_FROM
            self._accounts.shed(excess_bytes, Standing.PUBLISHER if is_far else Standing.VIEWER)

    def _tell(self) -> None:
        was_short, self._is_short = self._is_short, self._ceiling.is_full
        if self._is_short != was_short:
            event, level = ("memory.short", logging.WARNING) if self._is_short else ("memory.eased", logging.INFO)
            used, ceiling = self._ceiling.used_bytes, self._ceiling.ceiling_bytes
            log.log(level, event, extra={"used_bytes": used, "ceiling_bytes": ceiling})
