"""What moderators' decisions do: takedowns, blocks and orders, built together, and restored before any door opens."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from streamd.errors import StoreUnavailableError
from streamd.services.keys.act_journal import Journal
from streamd.services.keys.bars import Held
from streamd.services.moderation.acts.act_store import DatabaseActs
from streamd.services.moderation.acts.act_writer import JOURNAL_BYTES, ActWriter, UnwrittenAct
from streamd.services.moderation.acts.block_store import BlockStore
from streamd.services.moderation.acts.blocks import Blocks
from streamd.services.moderation.acts.dark import Dark
from streamd.services.moderation.acts.orders import Orders
from streamd.services.moderation.acts.purge import Purge
from streamd.services.moderation.acts.takedown_store import TakedownStore
from streamd.services.moderation.acts.takedowns import Takedowns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from streamd.clock import Clock
    from streamd.services.events.event import EventSink
    from streamd.services.keys.bars import Bars
    from streamd.services.moderation.acts.purge import PurgeSender
    from streamd.services.moderation.acts.takedowns import LiveStreams
    from streamd.services.moderation.target import Targets
    from streamd.services.playback.gate import PlaybackGate
    from streamd.services.store.database import Database

log = logging.getLogger(__name__)

# In the data directory.
JOURNAL_NAME: Final = "unwritten-moderation.jsonl"
# An act of another server on the same database holds here after this, seconds.
RECHECK_S: Final = 2.0


class Enforcement:
    """The rooms of takedowns, blocks and orders.

    Args:
        database: The key store's.
        clock: For all times.
        targets: Finds what a text names.
        bars: Who may not publish, and which channels are dark.
        gate: Says who may watch.
        streams: The live streams.
        knows_countries: Whether the country of an address can be told.
        country_of: Tells it.
        on_change: Called when something is dark, or is no more.
        purge_sender: Makes requests to caches in front.
        purge_urls: The caches.
        data_dir: Keeps what the store does not have yet.
        tell: Gets the events.

    Attributes:
        targets: As given.
        hidden: The recordings and clips that are dark by themselves.
        takedowns: Takes down and restores.
        blocks: Adds and removes blocks.
        orders: Carries orders out.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        targets: Targets,
        bars: Bars,
        gate: PlaybackGate,
        streams: LiveStreams,
        knows_countries: Callable[[], bool],
        country_of: Callable[[str], str],
        on_change: Callable[[], None],
        purge_sender: PurgeSender,
        purge_urls: Callable[[], Sequence[str]],
        data_dir: Path,
        tell: EventSink,
    ) -> None:
        self._clock = clock
        self._bars = bars
        self._streams = streams
        self._is_shared = not database.is_sqlite
        self.targets = targets
        self.hidden = Held()
        self._purge = Purge(purge_sender, purge_urls)
        self._writer = ActWriter(DatabaseActs(database), Journal(data_dir / JOURNAL_NAME, UnwrittenAct, JOURNAL_BYTES))
        bars.know_countries(country_of)
        self.takedowns = Takedowns(
            TakedownStore(database),
            self._writer,
            clock,
            dark=Dark(bars, self.hidden, gate, knows_countries),
            bars=bars,
            gate=gate,
            streams=streams,
            on_change=on_change,
            purge=self._purge,
            paths_of=targets.paths_of,
            tell=tell,
        )
        self.blocks = Blocks(
            BlockStore(database),
            self._writer,
            clock,
            bars=bars,
            gate=gate,
            streams=streams,
            knows_countries=knows_countries,
            purge=self._purge,
            tell=tell,
        )
        self.orders = Orders(database, targets, self.takedowns, self.blocks, clock, tell)
        self._rechecked_at = clock.monotonic()
        self._looking: asyncio.Task[None] | None = None

    @property
    def unwritten(self) -> int:
        """How many acts the store does not have yet."""
        return len(self._writer) + len(self.orders)

    async def start(self) -> None:
        """Have what was dark be dark, and close what a server before this one left open of it.

        Called once the live streams are restored, and before any door opens.

        Raises:
            StoreUnavailableError: The store cannot be read.
        """
        self._writer.open()
        await self.takedowns.start()
        await self.blocks.start()
        await self._streams.close_barred(self._bars.bars)

    def tick(self) -> None:
        """Begin what is due; called about once a second."""
        self._purge.tick()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def close(self) -> None:
        """Let acts come to their end."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self.takedowns.close()
        await self.blocks.close()
        await self._writer.close()
        await self._purge.close()

    async def _look(self) -> None:
        """Write what waits, end what is over, and read what another server has done."""
        try:
            await self._writer.write_waiting()
            await self.orders.write_waiting()
            await self.blocks.look()
            now = self._clock.monotonic()
            if self._is_shared and now - self._rechecked_at >= RECHECK_S:
                self._rechecked_at = now
                await self.takedowns.recheck()
                await self.blocks.recheck()
            await self.takedowns.look()
        except StoreUnavailableError as exc:
            log.debug("moderation.unread", extra={"reason": str(exc)})
