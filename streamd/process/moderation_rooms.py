"""The rooms of moderation in one server: takedowns, cases, evidence, the machine's help, and the public's counts."""

from __future__ import annotations

import logging
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from streamd import __version__
from streamd.doors.outgoing.address_guard import AddressGuard
from streamd.doors.outgoing.http_sender import HttpSender
from streamd.process.assistance import MachineAssistance
from streamd.process.evidence_rooms import evidence_options, evidence_room
from streamd.process.options import moderation_options
from streamd.services.moderation.acts.enforcement import Enforcement
from streamd.services.moderation.acts.takedown_store import TakedownStore
from streamd.services.moderation.counts.public_counts import PublicCounts
from streamd.services.moderation.machine.desk import MachineDesk
from streamd.services.moderation.moderation import Moderation

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from streamd.clock import Clock
    from streamd.process.config import Config
    from streamd.services.events.event import EventSink
    from streamd.services.events.sender import Sender
    from streamd.services.keys.bars import Bars
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.metrics import Metrics
    from streamd.services.moderation.options import ModerationOptions
    from streamd.services.moderation.target import Targets
    from streamd.services.playback.countries import Countries
    from streamd.services.playback.gate import PlaybackGate
    from streamd.services.recording.clips import Clips
    from streamd.services.recording.past import Pasts
    from streamd.services.recording.recorder import Recorder
    from streamd.services.storage.object_storage import ObjectStorage
    from streamd.services.store.database import Database

log = logging.getLogger(__name__)

_EVERYWHERE: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class ModerationRooms:
    """Reports, decisions and the public's figures, where moderation is on.

    Args:
        config: All of the configuration.
        options: What of it moderation goes by.
        clock: For all times.
        metrics: Counted into.
        sender: Makes the requests to the assistant and to the authority for time stamps.
        database: The key store's.
        bars: What may not publish.
        gate: What is not shown to whom.
        countries: Tells the country of an address.
        registry: The live streams.
        pasts: What viewers can go back to.
        recorder: Keeps broadcasts.
        clips: Pieces of them.
        storage: The bucket that has them; None for the disk.
        targets: Finds what a text names.
        tell: Gets the events.

    Attributes:
        targets: As given.
        enforcement: Takedowns, blocks and orders.
        desk: Reports, cases and appeals.
        evidence: Keeps evidence of what is reported.
        assistance: The machine that looks at pictures; None where it is to look at nothing.
        counts: What the public can count; None where that is not published.
    """

    def __init__(
        self,
        config: Config,
        options: ModerationOptions,
        clock: Clock,
        metrics: Metrics,
        sender: Sender,
        database: Database,
        *,
        bars: Bars,
        gate: PlaybackGate,
        countries: Callable[[], Countries],
        registry: LiveRegistry,
        pasts: Pasts,
        recorder: Recorder,
        clips: Clips,
        storage: ObjectStorage | None,
        targets: Targets,
        tell: EventSink,
    ) -> None:
        self.targets = targets
        # A cache in front is near, and named by the operator alone.
        self._purge_sender = HttpSender(AddressGuard(_EVERYWHERE), f"streamd/{__version__}")
        self.enforcement = Enforcement(
            database,
            clock,
            targets=targets,
            bars=bars,
            gate=gate,
            streams=registry,
            knows_countries=lambda: countries().is_known,
            country_of=lambda address: countries().of(address),
            on_change=recorder.index.note_edit,
            purge_sender=self._purge_sender,
            purge_urls=lambda: self.desk.options.purge_urls,
            data_dir=config.data_dir,
            tell=tell,
        )
        self.desk = desk = Moderation(options, database, clock, targets=targets, viewers=registry, tell=tell)
        self.evidence = evidence_room(
            config, clock, metrics, sender, database,
            registry=registry, pasts=pasts, recorder=recorder, clips=clips, storage=storage, on_kept=desk.note_change,
        )  # fmt: skip
        self.assistance: MachineAssistance | None = None
        if MachineAssistance.is_wanted(config):
            self.assistance = MachineAssistance(
                config, database, clock, metrics, sender, registry,
                desk=MachineDesk(database, desk.cases, desk.reports.store, desk.follow_ups, clock),
                pictures=self.evidence,
                blocks=self.enforcement.blocks.held,
            )  # fmt: skip
        self.counts = PublicCounts(database, clock) if config.moderation.transparency else None
        # Each is built with those that it asks, and these two are asked behind a report or a decision.
        desk.cases.takedowns = self.enforcement.takedowns
        desk.follow_ups.evidence = self.enforcement.takedowns.evidence = self.evidence
        if self.assistance is not None:
            desk.follow_ups.assistance = desk.cases.assistance = self.assistance.assistance

    async def open(self, resources: AsyncExitStack) -> None:
        """Know what holds, and begin to work.

        Args:
            resources: Closes all of it, the last first; also where this raises.

        Raises:
            StoreUnavailableError: The store cannot be read.
        """
        await self._purge_sender.start()
        resources.push_async_callback(self._purge_sender.close)
        resources.push_async_callback(self.enforcement.close)
        await self.enforcement.start()
        await self.evidence.open()
        resources.push_async_callback(self.evidence.close)
        if self.counts is not None:
            resources.push_async_callback(self.counts.close)
        if self.assistance is not None:
            # Behind the reports, which have it look at things until they are closed.
            resources.push_async_callback(self.assistance.close)
        # Before the takedowns: a decision that is under way takes something down.
        resources.push_async_callback(self.desk.close)
        await self.desk.start()
        if self.assistance is not None:
            await self.assistance.start()
            resources.push_async_callback(self.assistance.rest)

    def configure(self, config: Config) -> None:
        """Take from a configuration that was read again what can be taken while they run."""
        # Switched on or off, it is with the next start.
        self.desk.options = moderation_options(config) or self.desk.options
        self.evidence.shelf.options = evidence_options(config)
        self.evidence.shelf.stamper.url = config.moderation.timestamp_url
        if self.assistance is not None:
            self.assistance.configure(config)

    async def look(self) -> None:
        """Do what is due; called about once a second."""
        self.enforcement.tick()
        await self.desk.look()
        self.evidence.look()
        if self.counts is not None:
            self.counts.look()
        if self.assistance is not None:
            self.assistance.tick()


async def warn_of_what_is_shown_again(database: Database) -> None:
    """Say so where moderation is off and something was taken down: nothing keeps it dark.

    Raises:
        StoreUnavailableError: The store cannot be read.
    """
    if standing := await TakedownStore(database).count_standing():
        detail = "what was taken down is shown: [moderation] enabled = true keeps it dark"
        log.warning("moderation.off", extra={"takedowns": standing, "detail": detail})
