"""Builds the rooms of evidence and of the public's counts, where moderation is on."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from streamd.process.workers.commands import PICTURE_COMMAND, worker_environment
from streamd.services.moderation.evidence.cases import EvidenceCases
from streamd.services.moderation.evidence.maker import PICTURE_S, EvidenceMaker
from streamd.services.moderation.evidence.room import THREADS, EvidenceRoom
from streamd.services.moderation.evidence.shelf import EvidenceOptions, EvidenceShelf
from streamd.services.moderation.evidence.sources import EvidenceSources
from streamd.services.moderation.evidence.store import EvidenceStore
from streamd.services.moderation.evidence.timestamping import TimeStamper
from streamd.services.posters.picture_process import PictureProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.process.config import Config
    from streamd.services.events.sender import Sender
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.metrics import Metrics
    from streamd.services.recording.clips import Clips
    from streamd.services.recording.past import Pasts
    from streamd.services.recording.recorder import Recorder
    from streamd.services.storage.object_storage import ObjectStorage
    from streamd.services.store.database import Database

# In the data directory.
EVIDENCE_NAME = "evidence"


def evidence_options(config: Config) -> EvidenceOptions:
    """How much evidence is kept, and for how long."""
    moderation = config.moderation
    return EvidenceOptions(moderation.evidence_s, moderation.evidence_keep_days, config.limits.evidence_bytes_max)


def evidence_room(
    config: Config,
    clock: Clock,
    metrics: Metrics,
    sender: Sender,
    database: Database,
    *,
    registry: LiveRegistry,
    pasts: Pasts,
    recorder: Recorder,
    clips: Clips,
    storage: ObjectStorage | None,
    on_kept: Callable[[], object],
) -> EvidenceRoom:
    """Build the room; it begins to work when it is opened.

    Args:
        config: All of the configuration.
        clock: Where time comes from.
        metrics: Counted into.
        sender: Asks the authority for stamps.
        database: Has the index, and the cases.
        registry: The live streams.
        pasts: What viewers can go back to.
        recorder: Has the recordings.
        clips: Has the clips.
        storage: The bucket for recordings; None where they stay on the disk.
        on_kept: Called when a piece is whole.
    """
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="evidence")
    sources = EvidenceSources(
        registry,
        pasts,
        recorder.index,
        recorder.recording_of,
        recorder.folder,
        clips.index,
        pool,
        storage.stored if storage is not None else None,
    )
    shelf = EvidenceShelf(
        evidence_options(config),
        config.data_dir / EVIDENCE_NAME,
        EvidenceStore(database),
        clock,
        pool,
        cases=EvidenceCases(database),
        stamper=TimeStamper(config.moderation.timestamp_url, sender),
    )
    # Of its own: a keyframe that holds it up for two seconds holds up no poster, and none of them holds this up.
    artist = PictureProcess(PICTURE_COMMAND, worker_environment(os.environ), clock, PICTURE_S)
    metrics.moderation.evidence_bytes.set_function(lambda: shelf.total_bytes)
    return EvidenceRoom(
        shelf,
        EvidenceMaker(shelf, sources, artist, clock),
        sources,
        clock,
        pool,
        count=lambda result: metrics.moderation.evidence_total.labels(result).inc(),
        on_kept=on_kept,
    )
