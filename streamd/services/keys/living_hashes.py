"""The hashes of living keys, read from the store before their keys show themselves.

A right secret gets in however many wrong ones come from the same address (guessing.py), for which its hash must be
known. Hashes are read in the background: a server with a million keys opens its doors meanwhile, and takes the hashes
of the keys used lately.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from streamd.errors import StoreUnavailableError

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.services.keys.guessing import GuessGuard
    from streamd.services.keys.key_store import KeyStore

log = logging.getLogger(__name__)

# A start waits for so long: ten thousand keys are read by then. Those of a million take a second and more.
START_WAIT_S = 0.5
# Rows between two turns of the others: 1,000 take about 2 ms of the loop.
ROWS_AT_ONCE = 1000
# Keys that another process has issued, taken in at one look. More at once wait for the next.
ISSUED_ELSEWHERE_MAX = 1000
# Users whose suspension has ended, whose keys are read at one look. More wait for the next.
USERS_AT_ONCE_MAX = 100


class LivingHashes:
    """Keeps the guard against guessing informed of the living keys.

    Args:
        store: Where they are.
        clock: Says which have expired.
        guard: Takes the hashes, and tells how many it holds.
    """

    def __init__(self, store: KeyStore, clock: Clock, guard: GuessGuard) -> None:
        self._store = store
        self._clock = clock
        self._guard = guard
        self._reading: asyncio.Task[None] | None = None
        # Of the newest key that was seen; None until all were read once.
        self._sequence: int | None = None
        # In the order in which their keys came alive again.
        self._users: dict[str, None] = {}

    async def start(self) -> None:
        """Begin to read them, and wait for it a moment; the rest is read while the server runs."""
        self._reading = asyncio.create_task(self._read())
        await asyncio.wait({self._reading}, timeout=START_WAIT_S)

    def note_restored(self, user: str) -> None:
        """Take note that a user's keys live again; they are read at the next look."""
        self._users[user] = None

    async def look(self) -> None:
        """Read keys that another process has issued since the last look, and keys that live again.

        Raises:
            StoreUnavailableError: The store cannot be asked.
        """
        if self._reading is not None and not self._reading.done():
            return
        if self._sequence is None:
            # The store could not be read at the start.
            await self._read()
            return
        now = self._clock.now()
        for key in await self._store.hashes_issued(after=self._sequence, now=now, limit=ISSUED_ELSEWHERE_MAX):
            self._guard.remember(key.key_id, key.secret_hash)
            self._sequence = max(self._sequence, key.sequence)
        for user in list(self._users)[:USERS_AT_ONCE_MAX]:
            async for rows in self._store.living_hashes(now=now, limit=ROWS_AT_ONCE, at_once=ROWS_AT_ONCE, user=user):
                for key in rows:
                    self._guard.remember(key.key_id, key.secret_hash)
            self._users.pop(user, None)

    async def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            newest = await self._store.newest_key_sequence()
            async for rows in self._store.living_hashes(
                now=self._clock.now(), limit=self._guard.hashes_max, at_once=ROWS_AT_ONCE
            ):
                for key in rows:
                    self._guard.learn(key.key_id, key.secret_hash)
                await asyncio.sleep(0)
            self._sequence = newest
        except StoreUnavailableError as exc:
            log.warning("hashes.unread", extra={"reason": str(exc)})
        except Exception:
            log.exception("hashes.unread")
