"""Blocks, of publishing and of viewing; in memory, and in the store.

A block holds here before the store is asked, as a takedown does. A list of them is imported in one act: all or none,
and what is live among them is dark when the call returns.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from streamd.errors import (
    BlockError,
    KeyRequestError,
    ModerationStateError,
    StoreUnavailableError,
    TakedownNotFoundError,
)
from streamd.services.audit.audit_log import entry_of
from streamd.services.audit.records import SERVER, AuditEntry
from streamd.services.events.event import Event, EventType
from streamd.services.keys.announce import Announce, alone
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.acts.act_writer import UnwrittenAct
from streamd.services.moderation.acts.block import Block, BlockKind, BlockScope, checked_block
from streamd.services.moderation.acts.block_words import facts_of, paths_of, row_of, territory_of
from streamd.services.moderation.acts.held_blocks import HeldBlocks
from streamd.services.moderation.acts.takedown import CacheFault
from streamd.services.moderation.ids import IdKind, new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.audit.records import Actor
    from streamd.services.events.event import EventSink, Value
    from streamd.services.keys.bars import Bars
    from streamd.services.moderation.acts.act_writer import ActWriter
    from streamd.services.moderation.acts.block_import import GivenBlock
    from streamd.services.moderation.acts.block_store import BlockStore
    from streamd.services.moderation.acts.purge import Purge
    from streamd.services.moderation.acts.takedowns import LiveStreams
    from streamd.services.playback.gate import PlaybackGate

log = logging.getLogger(__name__)

# 700 bytes each with their places: 70 MB. The lists that states publish have some ten thousand names.
BLOCKS_MAX: Final = 100_000
# A list is read and taken so many at a time, between which the loop serves others: a millisecond or two.
STEP: Final = 200
# Faults of a list that are told one by one.
FAULTS_MAX: Final = 100
# Names in an answer, of those that are live.
NAMES_MAX: Final = 1_000

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class BlockResult:
    """A block that was added, or was there already."""

    block: Block
    is_new: bool
    closed: tuple[str, ...] = ()
    """Names of the streams that were closed."""
    unwritten: str = ""
    """Why the store does not have it yet; empty where it does."""
    caches: tuple[CacheFault, ...] = ()
    nodes: Mapping[str, str] = field(default_factory=dict)
    """What became of it at the nodes of a cluster; empty for a server that is alone."""


@dataclass(frozen=True, slots=True)
class BlockImport:
    """A list that was taken, or looked at."""

    id: str
    """Of the import, in the audit log; empty for a look."""
    added: int
    """Blocks that are new."""
    known: int
    """Those that were there already."""
    faults: tuple[str, ...]
    """What is wrong with which line; with one, nothing was taken."""
    faulty: int
    """Lines with a fault."""
    live: tuple[str, ...]
    """Names of the channels that were live among them, ``NAMES_MAX`` at the most."""
    closed: int = 0
    """Streams that were closed."""
    unwritten: str = ""


class Blocks:
    """Adds and removes blocks.

    Args:
        store: The blocks.
        writer: Writes new ones.
        clock: For all times.
        bars: Who may not publish.
        gate: Says who may watch.
        streams: The live streams.
        knows_countries: Whether the country of an address can be told.
        purge: Tells caches in front.
        tell: Gets the events.

    Attributes:
        held: The blocks that hold here.
    """

    def __init__(
        self,
        store: BlockStore,
        writer: ActWriter,
        clock: Clock,
        *,
        bars: Bars,
        gate: PlaybackGate,
        streams: LiveStreams,
        knows_countries: Callable[[], bool],
        purge: Purge,
        tell: EventSink,
    ) -> None:
        self._store = store
        self._writer = writer
        self._clock = clock
        self._bars = bars
        self._gate = gate
        self._streams = streams
        self._knows_countries = knows_countries
        self._purge = purge
        self._tell = tell
        self._fingerprint: tuple[object, ...] = ()
        self.held = HeldBlocks(bars, gate)
        self._acts: set[asyncio.Task[Any]] = set()
        self.announce: Announce = alone
        """Tells the other nodes of a cluster of blocks."""

    async def start(self) -> None:
        """Have what was blocked be so, before any door opens.

        Raises:
            StoreUnavailableError: It cannot be read.
        """
        self._fingerprint = await self._store.fingerprint()
        for block in await self._store.all():
            self.held.hold(block)
        for act in self._writer.waiting():
            for block in act.blocks:
                self.held.hold(block)

    async def recheck(self) -> None:
        """Look for what another server on the same database has done.

        Raises:
            StoreUnavailableError: It cannot be read.
        """
        fingerprint = await self._store.fingerprint()
        if fingerprint == self._fingerprint:
            return
        changes = self.held.hash_changes
        found = {block.id: block for block in await self._store.all()}
        if changes != self.held.hash_changes:
            return
        self._fingerprint = fingerprint
        waiting = {block.id for act in self._writer.waiting() for block in act.blocks}
        # Acts of this server from now on are newer than the rows that were read.
        gone = self.held.missing_from(found.keys() | waiting)
        news = [block for block in found.values() if block.id not in self.held]
        await _in_steps(gone, self.held.release)
        await _in_steps(news, self.held.hold)
        if news:
            await self._darken(news)

    async def add(
        self,
        *,
        kind: str,
        value: str,
        scope: str = "",
        countries: Sequence[str] = (),
        until: datetime | None = None,
        order: str = "",
        reason: str = "",
        actor: Actor,
        allows_wide: bool = False,
    ) -> BlockResult:
        """Block something; it holds when this returns, and what is live of it is dark.

        Args:
            kind: A ``BlockKind``.
            value: What is named.
            scope: A ``BlockScope``; empty for ``publish``.
            countries: Where, for viewers; none for everywhere.
            until: When it ends by itself; None for never.
            order: The order that it follows.
            reason: In the actor's words.
            actor: Who.
            allows_wide: A network may be as wide as the world.

        Raises:
            BlockError: A part that cannot be.
            KeyRequestError: A reason that cannot be.
            ModerationStateError: The country of an address cannot be told here, or there are too many blocks.
        """
        now = self._clock.now()
        block = checked_block(
            block_id=new_id(IdKind.BLOCK, now),
            kind=kind,
            value=value,
            scope=scope,
            countries=countries,
            until=until,
            order=order,
            reason=reason,
            now=now,
            by=actor.name,
            allows_wide=allows_wide,
        )
        self._check_countries(block)
        known = self.held.known(block)
        if known is not None and known.until == block.until:
            return BlockResult(known, is_new=False)
        self._check_room(1)
        task: asyncio.Task[BlockResult] = asyncio.create_task(self._add(block, actor))
        return await asyncio.shield(self._kept(task))

    async def remove(self, block_id: str, *, actor: Actor, reason: str = "") -> Block:
        """End a block; returns it.

        Raises:
            TakedownNotFoundError: There is none with this id.
            StoreUnavailableError: It could not be written; the block holds.
        """
        block = self.held.find(block_id)
        if any(block_id in {each.id for each in act.blocks} for act in self._writer.waiting()):
            raise StoreUnavailableError("the key store does not have the block yet: it holds until it does")
        now = self._clock.now()
        with self.held.leaving(block_id):
            entry = entry_of(now, actor, "block.removed", **row_of(block, reason))
            removed = await self._store.remove({block_id: entry})
        self.held.release(block)
        if not removed:
            raise TakedownNotFoundError(f"there is no block {block_id}: somebody has removed it")
        log.info("block.removed", extra={"block": block_id, "kind": block.kind.value, "by": actor.name})
        self._tell(Event(EventType.BLOCK_REMOVED, now, facts_of(block) | {"by": actor.name, "reason": reason}))
        await self.announce("block", block_id, True)
        return block

    async def import_all(
        self,
        given: Iterable[GivenBlock],
        *,
        actor: Actor,
        only_checks: bool,
        allows_wide: bool = False,
        order: str = "",
        reason: str = "",
    ) -> BlockImport:
        """Take a list, all or none; what is live among it is dark when this returns.

        Args:
            given: Its lines.
            actor: Who.
            only_checks: Nothing is taken.
            allows_wide: A network may be as wide as the world.
            order: The order that all of them follow that name none.
            reason: Likewise.

        Raises:
            ModerationStateError: There are too many blocks.
        """
        now = self._clock.now()
        new: list[Block] = []
        faults: list[str] = []
        faulty = known = 0
        seen: dict[tuple[str, str, str, tuple[str, ...], str], Block] = {}
        for number, each in enumerate(given):
            if number % STEP == STEP - 1:
                await asyncio.sleep(0)
            try:
                if each.fault:
                    raise BlockError("line", each.fault)
                block = checked_block(
                    block_id=new_id(IdKind.BLOCK, now),
                    kind=each.kind,
                    value=each.value,
                    scope=each.scope,
                    countries=each.countries,
                    until=each.until,
                    order=each.order or order,
                    reason=each.reason or reason,
                    now=now,
                    by=actor.name,
                    allows_wide=allows_wide,
                )
                self._check_countries(block)
            except (BlockError, KeyRequestError, ModerationStateError) as exc:
                faulty += 1
                if len(faults) < FAULTS_MAX:
                    faults.append(f"line {each.line}: {exc}")
                continue
            # One that ends sooner is no block of this list: what it names would be free again then.
            if any(each is not None and each.covers(block) for each in (self.held.known(block), seen.get(block.place))):
                known += 1
                continue
            seen[block.place] = block
            new.append(block)
            self._check_room(len(new))
        # Ids of one millisecond are random in their order; a list keeps its own.
        for number, block_id in enumerate(sorted(block.id for block in new)):
            new[number] = replace(new[number], id=block_id)
            if number % STEP == STEP - 1:
                await asyncio.sleep(0)
        live = self._live_among(new)
        if faulty or only_checks or not new:
            return BlockImport("", len(new), known, tuple(faults), faulty, live[:NAMES_MAX])
        task = asyncio.create_task(self._import(new, known, live, actor, now, order or reason))
        return await asyncio.shield(self._kept(task))

    async def look(self) -> None:
        """End what has ended by itself; called about once a second.

        Raises:
            StoreUnavailableError: It could not be written, and is tried again.
        """
        now = self._clock.now()
        over = self.held.over(now)
        # They have said themselves that they end: that needs no store.
        await _in_steps(over, partial(self.held.release, forgets=False))
        for start in range(0, len(over), STEP):
            part = over[start : start + STEP]
            row = partial(entry_of, now, SERVER, "block.removed")
            removed = await self._store.remove({block.id: row(**row_of(block, "its time was over")) for block in part})
            for block in part:
                self.held.forget(block)
                if block.id in removed:
                    about = facts_of(block) | {"by": SERVER.name, "reason": "over"}
                    self._tell(Event(EventType.BLOCK_REMOVED, now, about))

    async def close(self) -> None:
        """Let the acts that are under way come to their end."""
        while self._acts:
            await asyncio.wait({*self._acts})

    # -- inside ---------------------------------------------------------------------------------

    async def _add(self, block: Block, actor: Actor) -> BlockResult:
        self.held.hold(block, tells=True)
        closed = await self._close_barred(block)
        entry = entry_of(block.added_at, actor, "block.added", **row_of(block, block.reason))
        unwritten, faults = await asyncio.gather(
            self._writer.write(UnwrittenAct(block.id, entry, blocks=(block,))), self._purge.tell(paths_of([block]))
        )
        log.info(
            "block.added",
            extra={
                "block": block.id,
                "kind": block.kind.value,
                "scope": block.scope.value,
                "by": actor.name,
                "closed": closed,
            },
        )
        told: dict[str, Value] = {"by": actor.name, "reason": block.reason, "closed": closed}
        self._tell(Event(EventType.BLOCK_ADDED, block.added_at, facts_of(block) | told))
        nodes = await self.announce("block", block.id, not unwritten)
        return BlockResult(block, is_new=True, closed=tuple(closed), unwritten=unwritten, caches=faults, nodes=nodes)

    async def _import(
        self, new: Sequence[Block], known: int, live: tuple[str, ...], actor: Actor, now: datetime, words: str
    ) -> BlockImport:
        # Live channels first, in one step: then the rest, in which nobody is.
        names = frozenset(live)
        live_ones = [block for block in new if block.value in names]
        for block in live_ones:
            self.held.hold(block)
        await _in_steps([block for block in new if block.value not in names], self.held.hold)
        closed = await self._darken(new)
        import_id = new[0].id
        entry = AuditEntry(
            now,
            actor.name,
            "block.imported",
            actor.address,
            reason=ActDetails(territorial_scope=territory_of(new)).text(words),
            count=len(new),
            subject=import_id,
        )
        unwritten = await self._writer.write(UnwrittenAct(import_id, entry, blocks=tuple(new)))
        await self._purge.tell(paths_of(live_ones))
        log.info("blocks.imported", extra={"blocks": len(new), "by": actor.name, "closed": closed[:NAMES_MAX]})
        told: dict[str, Value] = {"blocks": len(new), "known": known, "by": actor.name, "closed": closed[:NAMES_MAX]}
        self._tell(Event(EventType.BLOCKS_IMPORTED, now, told))
        await self.announce("block", import_id, not unwritten)
        return BlockImport(import_id, len(new), known, (), 0, live[:NAMES_MAX], len(closed), unwritten)

    async def _darken(self, added: Sequence[Block]) -> list[str]:
        """Close and cut what some blocks bar."""
        if any(block.scope is BlockScope.VIEW for block in added):
            self._gate.tell_blocked("")
        return await self._streams.close_barred(self._bars.bars)

    async def _close_barred(self, block: Block) -> list[str]:
        if block.scope is BlockScope.VIEW or block.kind is BlockKind.HASH:
            return []
        return await self._streams.close_barred(self._bars.bars)

    def _live_among(self, blocks: Sequence[Block]) -> tuple[str, ...]:
        names = {block.value for block in blocks if block.names_channel}
        live = [channel.name for channel in self._streams.channels()]
        return tuple(name for name in live if name in names) if names else ()

    def _kept(self, task: asyncio.Task[_Result]) -> asyncio.Task[_Result]:
        self._acts.add(task)
        task.add_done_callback(self._acts.discard)
        return task

    def _check_room(self, count: int) -> None:
        if len(self.held) + count > BLOCKS_MAX:
            raise ModerationStateError(f"{BLOCKS_MAX:,} blocks are kept at the most: remove some that are over")

    def _check_countries(self, block: Block) -> None:
        if (block.countries or block.kind is BlockKind.COUNTRY) and not self._knows_countries():
            raise ModerationStateError(
                "the country of an address cannot be told here: [playback] geoip_file has to name a database"
            )


async def _in_steps(blocks: Sequence[Block], do: Callable[[Block], object]) -> None:
    """Do something with many blocks; the loop serves others between ``STEP`` of them."""
    for number, block in enumerate(blocks):
        do(block)
        if number % STEP == STEP - 1:
            await asyncio.sleep(0)
