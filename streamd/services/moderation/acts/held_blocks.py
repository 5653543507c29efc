"""The blocks that hold in this process: found by id, by place and by channel, and at the gates that ask them."""

from __future__ import annotations

import ipaddress
from bisect import bisect_left, insort
from contextlib import contextmanager
from typing import TYPE_CHECKING

from streamd.errors import TakedownNotFoundError
from streamd.services.keys.bars import Held
from streamd.services.moderation.acts.block import Block, BlockKind, BlockScope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from streamd.services.keys.bars import Bars
    from streamd.services.playback.gate import PlaybackGate


class HeldBlocks:
    """Blocks in memory.

    Args:
        bars: Asked over each publish.
        gate: Asked over each viewer.
    """

    def __init__(self, bars: Bars, gate: PlaybackGate) -> None:
        self._bars = bars
        self._gate = gate
        self._blocks: dict[str, Block] = {}
        # In the order of the ids, which is that of a list's pages.
        self._ids: list[str] = []
        self._places: dict[tuple[str, str, str, tuple[str, ...], str], str] = {}
        # Those that are being removed: an equal block meanwhile is one of its own.
        self._leaving: set[str] = set()
        self._of_channel = Held()
        # Those that end by themselves.
        self._ending: dict[str, datetime] = {}
        self._changes = 0

    def __len__(self) -> int:
        """How many hold."""
        return len(self._blocks)

    @property
    def hash_changes(self) -> int:
        """Counts changes of any block: an earlier list of ``hashes`` may be old."""
        return self._changes

    def hashes(self) -> frozenset[str]:
        """The PDQ hashes that are blocked, 64 hexadecimal digits each."""
        return frozenset(block.value for block in self._blocks.values() if block.kind is BlockKind.HASH)

    def find(self, block_id: str) -> Block:
        """One block.

        Raises:
            TakedownNotFoundError: There is none with this id.
        """
        block = self._blocks.get(block_id)
        if block is None:
            raise TakedownNotFoundError(f"there is no block {block_id}")
        return block

    def page(
        self,
        *,
        kind: BlockKind | None = None,
        scope: BlockScope | None = None,
        search: str = "",
        before: str = "",
        limit: int,
    ) -> tuple[list[Block], bool]:
        """Blocks that hold, the newest first.

        Args:
            kind: Only of this kind.
            scope: Only with this scope.
            search: Only those that have this text in their value, order or reason.
            before: Only those that are older than the one of this id; empty for all.
            limit: How many at most.

        Returns:
            The blocks, and whether there are more.
        """
        found: list[Block] = []
        last = bisect_left(self._ids, before) if before else len(self._ids)
        for at in range(last - 1, -1, -1):
            block = self._blocks[self._ids[at]]
            if (kind is not None and block.kind is not kind) or (scope is not None and block.scope is not scope):
                continue
            if search and not any(search in text for text in (block.value, block.order, block.reason)):
                continue
            if len(found) == limit:
                return found, True
            found.append(block)
        return found, False

    def of_channel(self, channel: str) -> list[Block]:
        """The blocks of a channel, the oldest first."""
        return [self._blocks[block_id] for block_id in sorted(self._of_channel.holders(channel))]

    def known(self, block: Block) -> Block | None:
        """The block that holds in the same place; None where there is none, or where it is being removed."""
        block_id = self._places.get(block.place, "")
        return None if block_id in self._leaving else self._blocks.get(block_id)

    @contextmanager
    def leaving(self, block_id: str) -> Iterator[None]:
        """Have an equal block, which comes while this one is being removed, be a new one."""
        self._leaving.add(block_id)
        try:
            yield
        finally:
            self._leaving.discard(block_id)

    def over(self, now: datetime) -> list[Block]:
        """Blocks whose own end has come."""
        return [self._blocks[block_id] for block_id, until in self._ending.items() if until <= now]

    def missing_from(self, ids: Collection[str]) -> list[Block]:
        """Blocks whose ids are not among some."""
        return [block for block in self._blocks.values() if block.id not in ids]

    def __contains__(self, block_id: object) -> bool:
        """Tell whether a block holds, by id."""
        return block_id in self._blocks

    def hold(self, block: Block, *, tells: bool = False) -> None:
        """Have a block hold from this step on.

        Args:
            block: Which.
            tells: Viewers are cut now; without, the caller does that for many at once.
        """
        self._changes += 1
        if block.id not in self._blocks:
            insort(self._ids, block.id)
        if block.names_channel:
            self._of_channel.add(block.value, block.id)
        self._blocks[block.id] = block
        self._places[block.place] = block.id
        if block.until is not None:
            self._ending[block.id] = block.until
        if block.scope is BlockScope.VIEW:
            self._gate.block(block.view, block.id, tells=tells)
            return
        match block.kind:
            case BlockKind.CHANNEL | BlockKind.USER:
                self._bars.channels.add(block.value, block.id)
            case BlockKind.KEY:
                self._bars.keys.add(block.value, block.id)
            case BlockKind.NETWORK:
                self._bars.networks.add(ipaddress.ip_network(block.value), block.id)
            case BlockKind.COUNTRY:
                self._bars.countries.add(block.value, block.id)
            case BlockKind.HASH:
                # The machine asks for them.
                pass

    def release(self, block: Block, *, forgets: bool = True) -> None:
        """Have a block hold no more.

        Args:
            block: Which.
            forgets: It is in no list any more; without, ``forget`` follows when the store knows.
        """
        self._changes += 1
        if forgets:
            self.forget(block)
        if block.scope is BlockScope.VIEW:
            self._gate.unblock(block.view, block.id)
            return
        match block.kind:
            case BlockKind.CHANNEL | BlockKind.USER:
                self._bars.channels.remove(block.value, block.id)
            case BlockKind.KEY:
                self._bars.keys.remove(block.value, block.id)
            case BlockKind.NETWORK:
                self._bars.networks.remove(ipaddress.ip_network(block.value), block.id)
            case BlockKind.COUNTRY:
                self._bars.countries.remove(block.value, block.id)
            case BlockKind.HASH:
                pass

    def forget(self, block: Block) -> None:
        """Have a block, which does not hold any more, in no list."""
        if self._blocks.pop(block.id, None) is not None:
            del self._ids[bisect_left(self._ids, block.id)]
        self._of_channel.remove(block.value, block.id)
        self._ending.pop(block.id, None)
        if self._places.get(block.place) == block.id:
            del self._places[block.place]
