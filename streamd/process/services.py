"""The parts of floor 2: the key store and the deciders over keys, the live streams, and the receivers of events.

Built once, in the order in which they know each other; opened and closed by the server. The sockets and HTTP
above them are in ``doors.py``.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.doors.outgoing.hook_formats import HookWords
from streamd.doors.outgoing.http_sender import HttpSender
from streamd.process.log import choose_lines
from streamd.process.machine import Machine
from streamd.process.moderation_rooms import ModerationRooms, warn_of_what_is_shown_again
from streamd.process.options import (
    clip_options,
    gate_options,
    hook_options,
    moderation_options,
    outbox_options,
    peer_line_limits,
    playback_hook_options,
    recorder_options,
    storage_options,
    storyboard_options,
    stream_options,
    verifier_options,
    webhook_endpoints,
)
from streamd.process.workers.export_worker import WORKER_COMMAND as EXPORT_COMMAND
from streamd.process.workers.picture_worker import WORKER_COMMAND, worker_environment
from streamd.services.audit.address_eraser import AddressEraser
from streamd.services.audit.anchor import ANCHOR_NAME, AuditAnchor
from streamd.services.bounds.peer_lines import PeerLines
from streamd.services.events.event import unheard
from streamd.services.events.webhooks import Webhooks
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
from streamd.services.moderation.target import Targets
from streamd.services.operators.service import OperatorService
from streamd.services.playback.countries import Countries
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.hook import ViewerHook
from streamd.services.playback.key_set import RemoteKeySet
from streamd.services.playback.passwords import Passwords
from streamd.services.playback.playback_store import PlaybackStore
from streamd.services.playback.service import PlaybackService
from streamd.services.posters.picture_process import PictureProcess
from streamd.services.posters.posters import Posters
from streamd.services.recording.clip_index import ClipIndex
from streamd.services.recording.clips import Clips
from streamd.services.recording.exports import Exports
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.past import Pasts
from streamd.services.recording.past_recorder import PastRecorder
from streamd.services.recording.recorder import Recorder
from streamd.services.recording.storyboarder import Storyboarder
from streamd.services.storage.object_storage import ObjectStorage

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.doors.web.live_streams import LiveStreams
    from streamd.process.cluster import ClusterRoom
    from streamd.process.config import Config
    from streamd.process.crew.place import WorkerPlace
    from streamd.process.crew.roll import Roll
    from streamd.services.events.event import Event
    from streamd.services.live.stream_options import StreamOptions
    from streamd.services.recording.records import RecordingRecord

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
        pasts: What viewers can go back to.
        recorder: Keeps of them what is to be kept.
        clips: Pieces of what was kept, under names of their own.
        past_recorder: Keeps of the others what is gone back to.
        storage: The bucket for what is kept; None where it stays on the disk.
        exports: Makes one file of what was kept.
        storyboarder: Draws pictures of what was kept.
        gate: Asked over each publish whose key is good; None where nobody is.
        decider: Decides over each publish in place of the keys; None where the keys do.
        playback: The acts on who may watch, and their gate.
        viewer_hook: Asked over viewers with the policy ``hook``.
        passwords: Checks those of channels.
        previews: Lets operators look at streams without being counted.
        history: The last minutes of the figures, for the console.
        posters: Draws pictures of live channels; None where it is switched off.
        targets: Finds what a text names.
        cluster: This node among others; None where it is alone.
        workers: What is known of the other workers of this server; None where there are none.
        streams: The live streams, those of other workers included.
        moderation: What is reported, decided and shown to the public; None where it is switched off.
    """

    def __init__(self, config: Config, clock: Clock, sender: HttpSender, seat: WorkerPlace | None = None) -> None:
        self.clock = clock
        self._config = config
        own_name = seat.own_name if seat is not None else str
        self.metrics = metrics = Metrics()
        self.previews = Previews(clock)
        self.machine = Machine(config, clock, metrics)
        self.lines = PeerLines(peer_line_limits(config), now=clock.monotonic, count_limit=metrics.count_limit)
        self._webhooks = Webhooks(
            webhook_endpoints(config), sender=sender, clock=clock, metrics=metrics, options=outbox_options(config)
        )
        tell = self._webhooks.tell if config.webhooks.endpoints else unheard
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
        metrics.acts_waiting.set_function(lambda: len(takedowns))
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
        self._countries = Countries(Path(file) if (file := config.playback.geoip_file) else None)
        gate = PlaybackGate(
            clock,
            gate_options(config),
            self._countries,
            lambda reason: metrics.playback_refusals_total.labels(reason).inc(),
        )
        self.passwords = Passwords(clock.monotonic)
        self.playback = PlaybackService(
            PlaybackStore(self._store.database),
            gate,
            clock,
            self.passwords,
            RemoteKeySet(config.playback.jwks_url, sender, clock, gate.keys),
        )
        self.viewer_hook = ViewerHook(playback_hook_options(config), sender, clock, gate.revocations.channel_epoch)
        limits = config.limits
        self._budget = WaiterBudget(
            limits.waiting_requests_max,
            on_refused=metrics.limit_hits_total.labels("waiting_requests_max").inc,
            waiting_requests_per_address_max=limits.waiting_requests_per_address_max,
            on_source_refused=metrics.limit_hits_total.labels("waiting_requests_per_address_max").inc,
        )
        metrics.requests_waiting.set_function(lambda: self._budget.waiting)
        self.pasts = Pasts(config.dvr.window_s, clock)
        self.recorder = Recorder(
            recorder_options(config),
            RecordingIndex(self._store.database),
            clock,
            tell=tell,
            is_listed=self.verifier.admissions.is_listed,
            on_ended=lambda record: self.storyboarder.note_ended(record),
            metrics=metrics,
            pasts=self.pasts,
        )
        drop_past = self.recorder.retention.on_deleted

        def on_deleted(recording: str) -> None:
            drop_past(recording)
            self.playback.forget_soon(recording)

        self.recorder.retention.on_deleted = on_deleted
        self.past_recorder = PastRecorder(
            config.recordings_dir,
            recorder_options(config).writer,
            self.pasts,
            clock,
            is_recorded=self.recorder.is_recorded,
        )
        self.clips = Clips(
            clip_options(config),
            recorder=self.recorder,
            index=ClipIndex(self._store.database, self.recorder.index),
            clock=clock,
            tell=tell,
        )
        self.exports = Exports(self.recorder, EXPORT_COMMAND, worker_environment(os.environ), clock)
        self.storyboarder = Storyboarder(
            storyboard_options(config),
            index=self.recorder.index,
            folder=self.recorder.folder,
            read=self.recorder.read,
            # Of its own: who watches a live channel's poster does not wait for a recording's pictures.
            artist=PictureProcess(WORKER_COMMAND, worker_environment(os.environ), clock),
            clock=clock,
            on_done=self._note_drawn,
        )
        self.storage: ObjectStorage | None = None
        if (bucket := storage_options(config)) is not None:
            self.storage = ObjectStorage(
                bucket,
                self.recorder,
                clock,
                metrics,
                tell=tell,
                draw=random.random,
                is_needed=self._is_media_needed,
            )
            self.recorder.attach(self.storage)
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
        metrics.media_held_bytes.set_function(lambda: self.registry.held_bytes)
        self.verifier.admissions.attach(self.registry)
        self.targets = Targets(self.recorder.index, self.clips.index, self._store, lambda: self._config.public_url)
        self.moderation: ModerationRooms | None = None
        if (options := moderation_options(config)) is not None:
            self.moderation = rooms = ModerationRooms(
                config, options, clock, metrics, sender, self._store.database,
                bars=self.verifier.admissions.bars, gate=gate, countries=lambda: self._countries,
                registry=self.registry, pasts=self.pasts, recorder=self.recorder, clips=self.clips,
                storage=self.storage, targets=self.targets, tell=tell,
            )  # fmt: skip
            metrics.acts_waiting.set_function(lambda: len(takedowns) + rooms.enforcement.unwritten)
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
        pictures = PictureProcess(WORKER_COMMAND, worker_environment(os.environ), clock)
        self.posters = Posters(pictures, clock, metrics) if config.http.posters else None
        self._channel_metrics = ChannelMetrics(
            self.registry.summaries, channels_max=limits.channel_metrics_max, count_limit=metrics.count_limit
        )
        if config.metrics.per_channel:
            metrics.registry.register(self._channel_metrics)
        self.machine.accounts.add_store(lambda: self._webhooks.held_bytes)
        self.machine.accounts.add_store(lambda: self.recorder.held_bytes)
        self.machine.accounts.add_store(lambda: self.clips.held_bytes)
        self.machine.accounts.add_store(lambda: self.past_recorder.held_bytes)
        self.machine.accounts.add_store(lambda: self.pasts.held_bytes)
        if self.storage is not None:
            storage = self.storage
            self.machine.accounts.add_store(lambda: storage.held_bytes)
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
        self._countries.open()
        resources.callback(self._countries.close)
        resources.push_async_callback(self.playback.close)
        await self.playback.start()
        resources.push_async_callback(self.key_sweeper.close)
        resources.push_async_callback(self.keys.close)
        await self.operators.start()
        resources.push_async_callback(self.operators.close)
        resources.callback(choose_lines(self.lines))
        self._webhooks.start()
        resources.push_async_callback(self._webhooks.close, WEBHOOK_DRAIN_S)
        if self.posters is not None:
            resources.push_async_callback(self.posters.close)
        await self.recorder.open()
        resources.push_async_callback(self.recorder.close)
        await self.past_recorder.open()
        resources.push_async_callback(self.past_recorder.close)
        if self.storage is not None:
            await self.storage.open()
            resources.push_async_callback(self.storage.close)
        await self.exports.open()
        resources.push_async_callback(self.exports.close)
        self.storyboarder.start()
        resources.push_async_callback(self.storyboarder.close)
        left = self._restart_record.load()
        if self.cluster is not None:
            # What this node has left stands in the directory, and may be another's by now.
            left = replace(left, streams=())
        self.registry.restore(left, self._restart_record.last_alive_at())
        for stream in self.registry.live():
            # A stream that waits for its publisher ends with its key, too, also where that died while no server ran.
            self.verifier.admissions.add(stream.broadcaster.admission)
        self.recorder.complete_left()
        self.past_recorder.complete_left()
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
        self.recorder.configure(recorder_options(config))
        self.clips.options = clip_options(config)
        self.past_recorder.configure(recorder_options(config).writer)
        self.pasts.window_s = config.dvr.window_s
        self.storyboarder.options = storyboard_options(config)
        self.playback.configure(gate_options(config), config.playback.jwks_url)
        self.viewer_hook.options = playback_hook_options(config)
        if self.moderation is not None:
            self.moderation.configure(config)
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
        """The options of live streams, with what records them."""
        options = stream_options(config)
        outputs = (*options.outputs, self.recorder.output, self.past_recorder.output)
        if self.cluster is not None:
            from streamd.services.cluster.feed import FeedOutput

            outputs = (*outputs, FeedOutput)
        return replace(options, outputs=outputs)

    def _note_stream(self, event: Event) -> None:
        """Tell of a stream, and have it remembered as one that can be reported."""
        if self.moderation is not None:
            self.moderation.desk.subjects.note(event)
        if self._config.webhooks.endpoints:
            self._webhooks.tell(event)

    def _is_media_needed(self, recording_id: str) -> bool:
        """Whether something is made of the media of a recording, which the disk has until then."""
        return self.storyboarder.needs(recording_id) or self.exports.needs(recording_id)

    def _note_drawn(self, record: RecordingRecord) -> None:
        """Have the bucket get the pictures of a recording, whose media the disk need not keep for them any more."""
        if self.storage is not None:
            self.storage.uploads.add(record)

    async def sweep(self) -> None:
        """Do what is due once a second."""
        await self.registry.sweep()
        if self.cluster is not None:
            self.cluster.look()
        self.recorder.look()
        self.exports.look()
        self.past_recorder.look()
        if self.storage is not None:
            self.storage.look()
        self.playback.tick()
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
