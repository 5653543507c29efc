"""The parts of floor 2: the key store and the deciders over keys, the live streams, and the receivers of events.

Built once, in the order in which they know each other; opened and closed by the server. The sockets and HTTP
above them are in ``doors.py``.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from streamd.doors.outgoing.hook_formats import HookWords
from streamd.doors.outgoing.http_sender import HttpSender
from streamd.process.log import choose_lines
from streamd.process.machine import Machine
from streamd.process.options import (
    hook_options,
    peer_line_limits,
    stream_options,
    verifier_options,
)
from streamd.process.playback_rooms import PlaybackRooms
from streamd.process.recording_rooms import RecordingRooms
from streamd.process.restream_rooms import RestreamRooms
from streamd.process.shown_again import warn_of_what_is_shown_again
from streamd.process.workers.commands import PICTURE_COMMAND, worker_environment
from streamd.services.audit.address_eraser import AddressEraser
from streamd.services.audit.anchor import ANCHOR_NAME, AuditAnchor
from streamd.services.bounds.peer_lines import PeerLines
from streamd.services.events.event import unheard
from streamd.services.history import History
from streamd.services.keys.act_journal import ActJournal
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.publish_decider import PublishDecider
from streamd.services.keys.publish_hook import PublishHook
from streamd.services.keys.service import KeyService
from streamd.services.keys.sweeper import KeySweeper
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.live.channel_metrics import ChannelMetrics
from streamd.services.live.previews import Previews
from streamd.services.live.registry import LiveRegistry
from streamd.services.live.restart_record import RestartRecordFile
from streamd.services.live.waiters import WaiterBudget
from streamd.services.metrics import Metrics
from streamd.services.operators.service import OperatorService
from streamd.services.posters.picture_process import PictureProcess
from streamd.services.posters.posters import Posters

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.doors.web.live_streams import LiveStreams
    from streamd.process.cluster import ClusterRoom
    from streamd.process.config import Config
    from streamd.process.crew.place import WorkerPlace
    from streamd.process.crew.roll import Roll
    from streamd.process.moderation_rooms import ModerationRooms
    from streamd.services.events.event import Event, EventSink
    from streamd.services.events.webhooks import Webhooks
    from streamd.services.live.stream_options import StreamOptions

# The last events, the end of every stream, are told in this time or not at all: a moment for endpoints that answer.
WEBHOOK_DRAIN_S = 3.0
# In the data directory.
RESTART_RECORD_NAME = "live-streams.json"
ACTS_NAME = "unwritten-acts.jsonl"


class Services:
    """Floor 2 of one server.

    Args:
        config: All of the configuration.
        clock: Where time comes from.
        sender: Makes the requests of webhooks and hooks, and for key sets.
        seat: Its place among the workers of one server; None for a server that is one process.

    Attributes:
        clock: As given.
        metrics: The counts of all of them.
        machine: Their share of the machine.
        lines: Bounds what the log says about peers.
        verifier: Decides over stream keys.
        keys: The acts of operators on keys and users.
        operators: The people who act through the admin API; ``run`` it.
        key_sweeper: Ends what expired or was killed elsewhere; ``run`` it.
        registry: The live streams.
        recordings: Keep of them what is to be kept.
        gate: Asked over each publish whose key is good; None where nobody is.
        decider: Decides over each publish in place of the keys; None where the keys do.
        playback: Decide who may watch.
        previews: Lets operators look at streams without being counted.
        history: The last minutes of the figures, for the console.
        posters: Draws pictures of live channels; None where it is switched off.
        cluster: This node among others; None where it is alone.
        workers: What is known of the other workers of this server; None where there are none.
        streams: The live streams, those of other workers included.
        moderation: What is reported, decided and shown to the public; None where it is switched off.
        restream: Passes broadcasts on to other servers; None where it is switched off.
    """

    def __init__(self, config: Config, clock: Clock, sender: HttpSender, seat: WorkerPlace | None = None) -> None:
        self.clock = clock
        self._config = config
        own_name = seat.own_name if seat is not None else str
        self.metrics = metrics = Metrics()
        self.previews = Previews(clock)
        self.machine = Machine(config, clock, metrics)
        self.lines = PeerLines(peer_line_limits(config), now=clock.monotonic, count_limit=metrics.count_limit)
        self._webhooks: Webhooks | None = None
        tell: EventSink = unheard
        if config.webhooks.endpoints:
            from streamd.process.webhook_receivers import make_webhooks

            self._webhooks = webhooks = make_webhooks(config, sender, clock, metrics)
            tell = webhooks.tell
            self.machine.accounts.add_store(lambda: webhooks.held_bytes)
        tell_of_streams = tell if not config.moderation.enabled else self._note_stream
        hook = hook_options(config)
        self._store = KeyStore(config.database_url)
        self.verifier = KeyVerifier(self._store, clock, verifier_options(config))
        self.gate: PublishHook | None = None
        self.decider: PublishDecider | None = None
        if hook is not None and hook.decides:
            self.decider = PublishDecider(
                hook,
                HookWords(hook.format),
                verifier_options(config),
                sender=sender,
                store=self._store,
                verifier=self.verifier,
                clock=clock,
                metrics=metrics,
            )
        elif hook is not None:
            self.gate = PublishHook(hook, sender=sender, clock=clock, metrics=metrics)
        self.keys = KeyService(
            self._store, clock, self.verifier, tell=tell, journal=ActJournal(config.data_dir / own_name(ACTS_NAME))
        )
        takedowns = self.keys.takedowns
        metrics.publishing.acts_waiting.set_function(lambda: len(takedowns))
        self._eraser = AddressEraser(self._store.database, clock, config.privacy.keep_addresses_days)
        self.operators = OperatorService(self._store.database, clock)
        self.key_sweeper = KeySweeper(
            self._store,
            clock,
            self.verifier,
            tell=tell,
            write_acts=takedowns.write_waiting,
            eraser=self._eraser,
            anchor=AuditAnchor(self._store.database, clock, config.data_dir / own_name(ANCHOR_NAME)),
        )
        self.playback = PlaybackRooms(config, clock, metrics, sender, self._store.database)
        limits = config.limits
        self._budget = WaiterBudget(
            limits.waiting_requests_max,
            on_refused=metrics.limit_hits_total.labels("waiting_requests_max").inc,
            waiting_requests_per_address_max=limits.waiting_requests_per_address_max,
            on_source_refused=metrics.limit_hits_total.labels("waiting_requests_per_address_max").inc,
        )
        metrics.viewing.requests_waiting.set_function(lambda: self._budget.waiting)
        self.recordings = RecordingRooms(
            config,
            clock,
            metrics,
            self._store.database,
            is_listed=self.verifier.admissions.is_listed,
            on_deleted=self.playback.service.forget_soon,
            tell=tell,
        )
        self.cluster: ClusterRoom | None = None
        claims: dict[str, Any] = {}
        if seat is not None:
            self.cluster = seat.room(config, clock, metrics)
            claims["ask_for_name"] = self.cluster.claim
        elif config.cluster.nats_url.get_secret_value():
            # A server that is alone loads none of it.
            from streamd.process import cluster

            self.cluster = cluster.ClusterRoom(config, clock, metrics)
            claims["ask_for_name"] = self.cluster.claim
        self.restream: RestreamRooms | None = None
        if config.restream.targets_per_user_max:
            self.restream = RestreamRooms(config, clock, metrics, self._store.database, tell=tell)
        self.registry = LiveRegistry(
            options=self._stream_options(config),
            clock=clock,
            metrics=metrics,
            budget=self._budget,
            streams_max=limits.streams_max,
            reconnect_window_s=config.live.reconnect_window_s,
            is_admissible=self.verifier.admissions.may_publish,
            tell=tell_of_streams,
            take_place=self.machine.memory.admit,
            **claims,
        )
        metrics.streams.media_held_bytes.set_function(lambda: self.registry.held_bytes)
        self.verifier.admissions.attach(self.registry)
        kept = self.recordings
        self.moderation: ModerationRooms | None = None
        if config.moderation.enabled:
            from streamd.process.moderation_rooms import ModerationRooms

            self.moderation = rooms = ModerationRooms(
                config, clock, metrics, sender, self._store,
                bars=self.verifier.admissions.bars, gate=self.playback.gate, countries=lambda: self.playback.countries,
                registry=self.registry, pasts=kept.pasts, recorder=kept.recorder, clips=kept.clips,
                storage=kept.storage, public_url=lambda: self._config.public_url, tell=tell,
            )  # fmt: skip
            metrics.publishing.acts_waiting.set_function(lambda: len(takedowns) + rooms.enforcement.unwritten)
            self.machine.accounts.add_store(lambda: rooms.evidence.held_bytes)
        if self.cluster is not None:
            from streamd.process.cluster_truth import ClusterTruth

            truth = ClusterTruth(
                self._store, self.verifier, lambda: self.moderation.enforcement if self.moderation is not None else None
            )
            self.cluster.attach(self.registry, truth, self._budget)
            self.keys.announce = self.cluster.node.tell
            if self.moderation is not None:
                enforcement = self.moderation.enforcement
                enforcement.takedowns.announce = enforcement.blocks.announce = self.cluster.node.tell
            self.machine.accounts.add_store(lambda: self.cluster.node.edges.held_bytes if self.cluster else 0)
        self.workers: Roll | None = None
        self.streams: LiveStreams = self.registry
        if seat is not None and self.cluster is not None:
            self.streams = self.workers = seat.roll(self.registry, self.cluster, metrics)
        self._restart_record = RestartRecordFile(config.data_dir / own_name(RESTART_RECORD_NAME))
        self._stopped_at: datetime | None = None
        self.history = History(metrics, clock)
        pictures = PictureProcess(PICTURE_COMMAND, worker_environment(os.environ), clock)
        self.posters = Posters(pictures, clock, metrics) if config.http.posters else None
        self._channel_metrics = ChannelMetrics(
            self.registry.summaries, channels_max=limits.channel_metrics_max, count_limit=metrics.count_limit
        )
        if config.metrics.per_channel:
            metrics.registry.register(self._channel_metrics)
        self.machine.accounts.add_store(lambda: kept.held_bytes)
        if self.posters is not None:
            posters = self.posters
            self.machine.accounts.add_store(lambda: posters.held_bytes)

    async def open(self, resources: AsyncExitStack) -> None:
        """Open the key store, go on with the streams of the server before this one, and begin to tell.

        Args:
            resources: Closes all of it, the last first; also where this raises.

        Raises:
            StoreUnavailableError: The key store is unusable.
        """
        await self._store.start()
        resources.push_async_callback(self._store.close)
        await self.verifier.start()
        await self.playback.open(resources)
        resources.push_async_callback(self.key_sweeper.close)
        resources.push_async_callback(self.keys.close)
        await self.operators.start()
        resources.push_async_callback(self.operators.close)
        resources.callback(choose_lines(self.lines))
        if self._webhooks is not None:
            self._webhooks.start()
            resources.push_async_callback(self._webhooks.close, WEBHOOK_DRAIN_S)
        if self.posters is not None:
            resources.push_async_callback(self.posters.close)
        if self.restream is not None:
            await self.restream.open(resources)
        await self.recordings.open(resources)
        left = self._restart_record.load()
        if self.cluster is not None:
            # What this node has left stands in the directory, and may be another's by now.
            left = replace(left, streams=())
        self.registry.restore(left, self._restart_record.last_alive_at())
        for stream in self.registry.live():
            # A stream that waits for its publisher ends with its key, too, also where that died while no server ran.
            self.verifier.admissions.add(stream.broadcaster.admission)
        self.recordings.complete_left()
        await self.keys.takedowns.start()
        if self.moderation is not None:
            await self.moderation.open(resources)
        else:
            await warn_of_what_is_shown_again(self._store.database)
        if self.cluster is not None:
            await self.cluster.open(resources)

    def configure(self, config: Config) -> None:
        """Take from a configuration that was read again what can be taken while they run."""
        limits = config.limits
        self._config = config
        self.machine.configure(config)
        self._budget.waiting_requests_max = limits.waiting_requests_max
        self._budget.waiting_requests_per_address_max = limits.waiting_requests_per_address_max
        self._channel_metrics.channels_max = limits.channel_metrics_max
        self.verifier.configure(verifier_options(config))
        self.recordings.configure(config)
        self.playback.configure(config)
        if self.moderation is not None:
            self.moderation.configure(config)
        if self.restream is not None:
            self.restream.configure(config)
        self._eraser.configure(config.privacy.keep_addresses_days)
        if self.decider is not None:
            self.decider.configure(verifier_options(config))
        self.registry.configure(
            self._stream_options(config),
            streams_max=limits.streams_max,
            reconnect_window_s=config.live.reconnect_window_s,
        )
        self.lines.configure(peer_line_limits(config))

    def _stream_options(self, config: Config) -> StreamOptions:
        """The options of live streams, with what records them and what passes them on."""
        options = stream_options(config)
        outputs = [*options.outputs, *self.recordings.outputs]
        if self.restream is not None:
            outputs.append(self.restream.service.output)
        if self.cluster is not None:
            from streamd.services.cluster.feed import FeedOutput

            outputs.append(FeedOutput)
        return replace(options, outputs=tuple(outputs))

    def _note_stream(self, event: Event) -> None:
        """Tell of a stream, and have it remembered as one that can be reported."""
        if self.moderation is not None:
            self.moderation.desk.subjects.note(event)
        if self._webhooks is not None:
            self._webhooks.tell(event)

    async def sweep(self) -> None:
        """Do what is due once a second."""
        await self.registry.sweep()
        if self.cluster is not None:
            self.cluster.look()
        self.recordings.look()
        self.playback.service.tick()
        if self.moderation is not None:
            await self.moderation.look()
        await self.save_restart_record()
        self.history.tick()
        self.machine.look()
        self.lines.tell()

    async def save_restart_record(self) -> None:
        """Keep for the next server what it has to know of the live streams."""
        await self._restart_record.save(replace(self.registry.record(), stopped_at=self._stopped_at))

    def note_stopping(self) -> None:
        """Have the next server know since when the streams have waited for it."""
        self._stopped_at = self.clock.now()
