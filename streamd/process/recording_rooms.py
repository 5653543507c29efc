"""The rooms that keep broadcasts, in one server: recordings, the past of streams, clips, exports and the bucket."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

from streamd.process.options import clip_options, recorder_options, storage_options, storyboard_options
from streamd.process.workers.commands import EXPORT_COMMAND, HASH_COMMAND, PICTURE_COMMAND, worker_environment
from streamd.services.posters.picture_process import PictureProcess
from streamd.services.recording.clip_index import ClipIndex
from streamd.services.recording.clips import Clips
from streamd.services.recording.exports import Exports
from streamd.services.recording.hash_process import HashProcess
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.past import Pasts
from streamd.services.recording.past_recorder import PastRecorder
from streamd.services.recording.recorder import Recorder
from streamd.services.recording.storyboarder import Storyboarder

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from streamd.clock import Clock
    from streamd.process.config import Config
    from streamd.services.events.event import EventSink
    from streamd.services.live.outputs import Output, OutputContext
    from streamd.services.metrics import Metrics
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.storage.object_storage import ObjectStorage
    from streamd.services.store.database import Database


class RecordingRooms:
    """Recordings, and all that is made of them.

    Args:
        config: All of the configuration.
        clock: For all times.
        metrics: Counted into.
        database: The key store's.
        is_listed: Whether a channel is in lists.
        on_deleted: Called with the id of a recording that is deleted.
        tell: Gets the events.

    Attributes:
        pasts: The past of live streams, for viewers who go back.
        recorder: Keeps the broadcasts that are to be kept.
        past_recorder: Keeps the others as far as viewers go back.
        clips: Pieces of recordings, under names of their own.
        exports: Makes one file of a recording.
        storyboarder: Draws pictures of recordings.
        storage: The bucket for recordings; None where they stay on the disk.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        metrics: Metrics,
        database: Database,
        *,
        is_listed: Callable[[str], bool],
        on_deleted: Callable[[str], None],
        tell: EventSink,
    ) -> None:
        self.pasts = Pasts(config.dvr.window_s, clock)
        self.recorder = recorder = Recorder(
            recorder_options(config),
            RecordingIndex(database),
            clock,
            tell=tell,
            is_listed=is_listed,
            on_ended=lambda record: self.storyboarder.note_ended(record),
            metrics=metrics,
            pasts=self.pasts,
            hasher=HashProcess(HASH_COMMAND, worker_environment(os.environ)),
        )
        drop_past = recorder.retention.on_deleted

        def forget(recording: str) -> None:
            drop_past(recording)
            on_deleted(recording)

        recorder.retention.on_deleted = forget
        self.past_recorder = PastRecorder(
            config.recordings_dir,
            recorder_options(config).writer,
            self.pasts,
            clock,
            is_recorded=recorder.is_recorded,
        )
        self.clips = Clips(
            clip_options(config),
            recorder=recorder,
            index=ClipIndex(database, recorder.index),
            clock=clock,
            tell=tell,
        )
        self.exports = Exports(recorder, EXPORT_COMMAND, worker_environment(os.environ), clock)
        self.storyboarder = Storyboarder(
            storyboard_options(config),
            index=recorder.index,
            folder=recorder.folder,
            read=recorder.read,
            # Of its own: the poster of a live channel does not wait for a recording's pictures.
            artist=PictureProcess(PICTURE_COMMAND, worker_environment(os.environ), clock),
            clock=clock,
            on_done=self._note_drawn,
        )
        self.storage: ObjectStorage | None = None
        if (bucket := storage_options(config)) is not None:
            from streamd.services.storage.object_storage import ObjectStorage

            self.storage = ObjectStorage(
                bucket,
                recorder,
                clock,
                metrics,
                tell=tell,
                draw=random.random,
                is_needed=self._is_media_needed,
            )
            recorder.attach(self.storage)

    @property
    def outputs(self) -> tuple[Callable[[OutputContext], Output], ...]:
        """Makers of the outputs that record a stream."""
        return (self.recorder.output, self.past_recorder.output)

    @property
    def held_bytes(self) -> int:
        """Memory that all of them hold."""
        held = self.recorder.held_bytes + self.clips.held_bytes + self.past_recorder.held_bytes + self.pasts.held_bytes
        return held + (self.storage.held_bytes if self.storage is not None else 0)

    async def open(self, resources: AsyncExitStack) -> None:
        """Open the folders and the bucket.

        Args:
            resources: Closes all of it, the last first; also where this raises.
        """
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

    def complete_left(self) -> None:
        """Complete the recordings that an earlier server has left, but for those whose streams go on."""
        self.recorder.complete_left()
        self.past_recorder.complete_left()

    def configure(self, config: Config) -> None:
        """Take from a configuration that was read again what can be taken while they run."""
        self.recorder.configure(recorder_options(config))
        self.clips.options = clip_options(config)
        self.past_recorder.configure(recorder_options(config).writer)
        self.pasts.window_s = config.dvr.window_s
        self.storyboarder.options = storyboard_options(config)

    def look(self) -> None:
        """Do what is due once a second."""
        self.recorder.look()
        self.exports.look()
        self.past_recorder.look()
        if self.storage is not None:
            self.storage.look()

    def _is_media_needed(self, recording_id: str) -> bool:
        """Whether something is made of the media of a recording, which the disk has until then."""
        return self.storyboarder.needs(recording_id) or self.exports.needs(recording_id)

    def _note_drawn(self, record: RecordingRecord) -> None:
        """Have the bucket get the pictures of a recording, whose media the disk need not keep for them any more."""
        if self.storage is not None:
            self.storage.uploads.add(record)
