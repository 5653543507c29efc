"""Acts of moderation that hold in this process first, and are in the store as soon as it can be written.

A full disk, or a database that is gone, is no reason for anything to stay on the air. So an act is done in memory
before the store is asked; one that the store does not take waits, here and in a journal, and is written when that is
possible.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from streamd.errors import StoreUnavailableError

# Read by the journal, which makes acts of its lines.
from streamd.services.audit.records import AuditEntry
from streamd.services.moderation.acts.block import Block
from streamd.services.moderation.acts.takedown import Takedown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.services.keys.act_journal import Journal

log = logging.getLogger(__name__)

# A moderator is told within this time, in seconds, whether it is written, as with a revocation.
STORE_WAIT_S = 3.0
# And for each block of a list so long besides: 10,000 take half a second where nothing else goes on.
BLOCK_WAIT_S = 0.001
# In the journal: a dozen takedowns with facts of 5,000 characters, or a thousand blocks.
JOURNAL_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class UnwrittenAct:
    """A takedown, or blocks that came together, as it is to be written; with its row of the audit log."""

    id: str
    entry: AuditEntry
    takedown: Takedown | None = None
    blocks: tuple[Block, ...] = ()


class ActStore(Protocol):
    """Writes acts."""

    async def write(self, act: UnwrittenAct, /) -> None:
        """Write an act with its row of the audit log, in one transaction; one that is there already is left alone.

        Raises:
            StoreUnavailableError: It could not be written.
        """


class ActWriter:
    """Writes acts, now or as soon as the store can.

    Args:
        store: Writes them.
        journal: Keeps what waits over a restart.
    """

    def __init__(self, store: ActStore, journal: Journal[UnwrittenAct]) -> None:
        self._store = store
        self._journal = journal
        self._waiting: dict[str, UnwrittenAct] = {}
        # In the journal's file, as far as is known.
        self._kept: set[str] = set()
        # An act that no try can write: a fault of ours, told in the log.
        self._lost: set[str] = set()
        self._attempts: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        """How many acts the store does not have yet."""
        return len(self._waiting)

    def open(self) -> Sequence[UnwrittenAct]:
        """The acts that the server before this one could not write; they are written from now on."""
        acts = self._journal.open()
        for act in acts:
            log.info("moderation.act_restored", extra={"act": act.id})
            self._waiting[act.id] = act
        self._kept = {act.id for act in acts}
        return acts

    def waits(self, act_id: str) -> bool:
        """Whether the store does not have an act yet."""
        return act_id in self._waiting or act_id in self._attempts or act_id in self._lost

    def waiting(self) -> Sequence[UnwrittenAct]:
        """The acts that wait, in the order in which they were done."""
        return tuple(self._waiting.values())

    async def write(self, act: UnwrittenAct) -> str:
        """Write an act, for as long as a moderator waits; it is written also where the caller leaves.

        Returns:
            Why the store does not have it yet; empty where it does.
        """
        self._waiting[act.id] = act
        task = self._begin(act)
        await asyncio.wait({task}, timeout=STORE_WAIT_S + len(act.blocks) * BLOCK_WAIT_S)
        if task.done():
            why = "" if (error := task.exception()) is None else str(error)
        else:
            why = "the key store does not answer"
        if not why:
            return ""
        log.warning("moderation.act_waiting", extra={"act": act.id, "reason": why})
        await self._save()
        if act.id not in self._waiting:
            # It was written while the journal was.
            return ""
        after = "also after a restart" if act.id in self._kept else "a restart before that forgets it"
        return f"it holds on this server, and is not in the key store yet: {why}. The server goes on trying, {after}"

    async def write_waiting(self) -> None:
        """Write what waits; called about once a second.

        Raises:
            StoreUnavailableError: The store still takes none.
        """
        for act in self.waiting():
            if act.id in self._attempts:
                continue
            task = self._begin(act)
            await asyncio.wait({task})
            if isinstance(error := task.exception(), StoreUnavailableError):
                raise error
            if error is not None:
                # No try will write it: it holds for as long as this process runs, and keeps no other act waiting.
                self._waiting.pop(act.id, None)
                self._lost.add(act.id)

    async def close(self) -> None:
        """Let the tries that are under way come to their end."""
        while self._attempts:
            await asyncio.wait({*self._attempts.values()})

    def _begin(self, act: UnwrittenAct) -> asyncio.Task[None]:
        task = self._attempts.get(act.id)
        if task is None:
            task = self._attempts[act.id] = asyncio.create_task(self._try(act))
            task.add_done_callback(lambda done: self._end(act.id, done))
        return task

    async def _try(self, act: UnwrittenAct) -> None:
        await self._store.write(act)
        self._waiting.pop(act.id, None)
        if act.id in self._kept:
            await self._save()

    async def _save(self) -> None:
        acts: Sequence[UnwrittenAct] = ()

        def waiting() -> Sequence[UnwrittenAct]:
            nonlocal acts
            acts = self.waiting()
            return acts

        if await self._journal.save(waiting):
            self._kept = {act.id for act in acts}

    def _end(self, act_id: str, task: asyncio.Task[None]) -> None:
        del self._attempts[act_id]
        # Read here for those whose caller has left.
        error = task.exception() if not task.cancelled() else None
        if error is not None and not isinstance(error, StoreUnavailableError):
            log.error("moderation.act_failed", exc_info=error, extra={"act": act_id})
