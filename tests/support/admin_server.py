"""The admin API on a listener, in a thread with a loop of its own: for callers that block."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry

from streamd.clock import SystemClock
from streamd.doors.outgoing.address_guard import AddressGuard
from streamd.doors.outgoing.http_sender import HttpSender
from streamd.doors.web.admin.api import admin_app
from streamd.doors.web.admin.cases import CaseDesk
from streamd.doors.web.admin.clips import ClipDesk
from streamd.doors.web.admin.evidence import EvidenceDesk
from streamd.doors.web.admin.exports import ExportDesk
from streamd.doors.web.admin.findings import FindingDesk
from streamd.doors.web.admin.playback import PlaybackDesk
from streamd.doors.web.admin.recordings import RecordingDesk
from streamd.doors.web.admin.restream import RestreamDesk
from streamd.doors.web.admin.takedowns import TakedownDesk
from streamd.doors.web.admin.targets import TargetDesk
from streamd.doors.web.live_streams import LiveStreams
from streamd.process.workers.commands import EXPORT_COMMAND, worker_environment
from streamd.services.events.event import unheard
from streamd.services.keys.admission import StreamCloser
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.service import KeyService
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.metrics import Metrics
from streamd.services.moderation.acts import takedowns
from streamd.services.moderation.acts.enforcement import Enforcement
from streamd.services.moderation.categories import Category
from streamd.services.moderation.evidence.cases import EvidenceCases
from streamd.services.moderation.evidence.shelf import EvidenceOptions, EvidenceShelf
from streamd.services.moderation.evidence.store import EvidenceStore
from streamd.services.moderation.evidence.timestamping import TimeStamper
from streamd.services.moderation.machine.findings_store import FindingsStore
from streamd.services.moderation.moderation import Moderation
from streamd.services.moderation.options import ModerationOptions
from streamd.services.moderation.target import Target, TargetKind, Targets
from streamd.services.operators.service import OperatorService
from streamd.services.playback.countries import Countries
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.gate_options import GateOptions
from streamd.services.playback.key_set import RemoteKeySet
from streamd.services.playback.passwords import Passwords
from streamd.services.playback.playback_store import PlaybackStore
from streamd.services.playback.service import PlaybackService
from streamd.services.recording.clip_index import ClipIndex
from streamd.services.recording.clips import ClipOptions, Clips
from streamd.services.recording.exports import Exports
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.records import RecordingMode
from tests.support.assistance import assistance_of
from tests.support.console import console_of
from tests.support.exhibits import exhibit
from tests.support.output_context import output_context
from tests.support.patience import PATIENCE_S
from tests.support.ports import port_of
from tests.support.restream import restream_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from streamd.services.recording.records import RecordingRecord


# What somebody has reported, once.
REPORTED = Target(TargetKind.CHANNEL, "erin", "erin")


class _Nobody:
    """Watches nothing."""

    def viewers_of(self, channel: str) -> int | None:
        del channel
        return None


class ClosableStreams(LiveStreams, StreamCloser, takedowns.LiveStreams, Protocol):
    """What is live, for the API to list and for dead keys to close."""


@contextlib.contextmanager
def run_admin_server(
    directory: Path,
    streams: ClosableStreams,
    token: str,
    rtmp_url: str,
    recordings: Sequence[RecordingRecord] = (),
    *,
    is_reported: bool = False,
    is_shown: bool = False,
) -> Iterator[tuple[str, int]]:
    """Serve until the block is left.

    Args:
        directory: Where the key store is made.
        streams: The live streams.
        token: The admin token.
        rtmp_url: What broadcasters type as server.
        recordings: What the index of recordings has.
        is_reported: Somebody has reported ``REPORTED``.
        is_shown: There is something of everything: what ``exhibit`` makes, and a broadcast of Alice's to record.

    Yields:
        Host and port.
    """
    started, stopped = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    addresses: list[tuple[str, int]] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        store, clock = KeyStore(f"sqlite+aiosqlite:///{directory / 'streamd.db'}"), SystemClock()
        await store.start()
        verifier = KeyVerifier(store, clock)
        verifier.admissions.attach(streams)
        keys = KeyService(store, clock, verifier)
        operators = OperatorService(store.database, clock)
        await operators.start()
        index = RecordingIndex(store.database)
        for recording in recordings:
            await index.save(recording)
        mode = RecordingMode.ASKED if is_shown else RecordingMode.OFF
        recorder = Recorder(RecorderOptions(mode, directory / "recordings"), index, clock)
        if is_shown:
            recorder.output(output_context(clock=clock))
        clips = Clips(
            ClipOptions(), recorder=recorder, index=ClipIndex(store.database, index), clock=clock, tell=unheard
        )
        exports = Exports(recorder, EXPORT_COMMAND, worker_environment(os.environ), clock)
        shelf = EvidenceShelf(
            EvidenceOptions(), directory / "evidence", EvidenceStore(store.database), clock,
            pool := ThreadPoolExecutor(1),
            cases=EvidenceCases(store.database),
            stamper=TimeStamper("", HttpSender(AddressGuard(), "test")),
        )  # fmt: skip
        gate = PlaybackGate(clock, GateOptions(), Countries(None))
        key_set = RemoteKeySet("", HttpSender(AddressGuard(), "test"), clock, gate.keys)
        playback = PlaybackService(PlaybackStore(store.database), gate, clock, Passwords(clock.monotonic), key_set)
        await playback.start()
        enforcement = Enforcement(
            store.database,
            clock,
            targets=Targets(index, clips.index, store, lambda: "http://localhost"),
            bars=verifier.admissions.bars,
            gate=gate,
            streams=streams,
            knows_countries=lambda: True,
            country_of=lambda _: "",
            on_change=index.note_edit,
            purge_sender=HttpSender(AddressGuard(), "test"),
            purge_urls=lambda: (),
            data_dir=directory,
            tell=unheard,
        )
        await enforcement.start()
        moderation = Moderation(
            ModerationOptions(), store.database, clock, targets=enforcement.targets, viewers=_Nobody(), tell=unheard
        )
        moderation.cases.takedowns = enforcement.takedowns
        await moderation.start()
        if is_reported:
            await moderation.reports.file(
                REPORTED, Category.VIOLENCE, explanation="He hits a person.", address="192.0.2.9", viewers=40
            )
        if is_shown:
            await exhibit(moderation, FindingsStore(store.database), shelf, clock)
        runner = web.AppRunner(
            admin_app(
                keys=keys,
                streams=streams,
                metrics=Metrics().registry if is_shown else CollectorRegistry(),
                token=token,
                rtmp_urls=(rtmp_url,),
                console=console_of(keys, streams, operators=operators),
                operators=operators,
                recordings=RecordingDesk(recorder, clock),
                playback=PlaybackDesk(playback, clock),
                more=(
                    *ClipDesk(clips, recorder).operations(),
                    *ExportDesk(exports, recorder).operations(),
                    *CaseDesk(moderation, enforcement.targets).operations(),
                    *TargetDesk(enforcement.targets).operations(),
                    *TakedownDesk(enforcement).operations(),
                    *EvidenceDesk(shelf).operations(),
                    *FindingDesk(assistance_of(store, clock)).operations(),
                    *RestreamDesk(restream_of(store.database, clock)).operations(),
                ),
                port=port_of("admin"),
                clock=clock,
                preview_ticket=lambda _: "a-ticket-of-a-minute",
            )
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        addresses.append(runner.addresses[0][:2])
        started.set()
        await stopped.wait()
        await runner.cleanup()
        await moderation.close()
        await enforcement.close()
        await exports.close()
        pool.shutdown()
        await recorder.close()
        await playback.close()
        await store.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(PATIENCE_S)
    try:
        yield addresses[0]
    finally:
        loops[0].call_soon_threadsafe(stopped.set)
        thread.join(PATIENCE_S)
