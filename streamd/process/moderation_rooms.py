"""The rooms of moderation in one server: takedowns, cases, evidence, the machine's help, and the public's counts."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from streamd import __version__
from streamd.doors.outgoing.address_guard import AddressGuard
from streamd.doors.outgoing.http_sender import HttpSender
from streamd.process.assistance import MachineAssistance
from streamd.process.evidence_rooms import evidence_options, evidence_room
from streamd.process.moderation_options import moderation_options
from streamd.services.moderation.acts.enforcement import Enforcement
from streamd.services.moderation.acts.restrictions import Restrictions
from streamd.services.moderation.counts.public_counts import PublicCounts
from streamd.services.moderation.machine.desk import MachineDesk
from streamd.services.moderation.moderation import Moderation
from streamd.services.moderation.target import Targets

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from streamd.clock import Clock
    from streamd.process.config import Config
    from streamd.services.events.event import EventSink
    from streamd.services.events.sender import Sender
    from streamd.services.keys.bars import Bars
    from streamd.services.keys.key_store import KeyStore
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.metrics import Metrics
    from streamd.services.playback.countries import Countries
    from streamd.services.playback.gate import PlaybackGate
    from streamd.services.recording.clips import Clips
    from streamd.services.recording.past import Pasts
    from streamd.services.recording.recorder import Recorder
    from streamd.services.storage.object_storage import ObjectStorage

_EVERYWHERE: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class ModerationRooms:
    """Reports, decisions and the public's figures, where moderation is on.

    Args:
        config: All of the configuration.
        clock: For all times.
        metrics: Counted into.
        sender: Makes the requests to the assistant and to the authority for time stamps.
        store: The key store.
        bars: What may not publish.
        gate: What is not shown to whom.
        countries: Tells the country of an address.
        registry: The live streams.
        pasts: What viewers can go back to.
        recorder: Keeps broadcasts.
        clips: Pieces of them.
        storage: The bucket that has them; None for the disk.
        public_url: The viewers' URL of this server.
        tell: Gets the events.

    Attributes:
        targets: Finds what a text names.
        enforcement: Takedowns, blocks and orders.
        desk: Reports, cases and appeals.
        evidence: Keeps evidence of what is reported.
        assistance: The machine that looks at pictures; None where it is to look at nothing.
        counts: What the public can count; None where that is not published.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        metrics: Metrics,
        sender: Sender,
        store: KeyStore,
        *,
        bars: Bars,
        gate: PlaybackGate,
        countries: Callable[[], Countries],
        registry: LiveRegistry,
        pasts: Pasts,
        recorder: Recorder,
        clips: Clips,
        storage: ObjectStorage | None,
        public_url: Callable[[], str],
        tell: EventSink,
    ) -> None:
        database = store.database
        self.targets = targets = Targets(recorder.index, clips.index, store, public_url)
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
        self.desk = desk = Moderation(
            moderation_options(config), database, clock, targets=targets, viewers=registry, tell=tell
        )
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
        desk.cases.takedowns = Restrictions(self.enforcement.takedowns, self.enforcement.blocks)
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
        self.desk.options = moderation_options(config)
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
