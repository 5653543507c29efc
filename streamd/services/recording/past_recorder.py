"""Recordings for the past of live streams alone: of broadcasts that nobody records.

They are files like those of any recording, in a directory of their own. No index names them; what left the window is
removed while they go on, and all of them once their past is over. A broadcast that is recorded has its past in its
recording, and none here.
"""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from streamd.errors import RecordingError
from streamd.services.recording.disk_sync import DiskSync
from streamd.services.recording.documents import RecordingDocument, RecordingStatus, read_document
from streamd.services.recording.folder import RecordingFolder, claim_folder, folder_name, remove_folder
from streamd.services.recording.past import FILES_BEHIND
from streamd.services.recording.recording import Recording
from streamd.services.recording.recording_id import new_recording_id
from streamd.services.recording.recording_output import RecordingOutput
from streamd.services.recording.recording_writer import RecordingWriter
from streamd.services.recording.recovery import recover
from streamd.services.recording.space_look import SpaceLook

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streamd.clock import Clock
    from streamd.services.live.outputs import Output, OutputContext
    from streamd.services.live.waiters import WaiterBudget
    from streamd.services.recording.past import Pasts
    from streamd.services.recording.recording_writer import WriterOptions

log = logging.getLogger(__name__)

T = TypeVar("T")

# In the directory of recordings. No user has such a name, so that it is no recording's.
DIRECTORY_NAME = ".past"
THREADS = 2
# Space for one that is tried again: a minute at a usual bit rate.
SPACE_BYTES_MIN = 16 * 1024 * 1024


@dataclass
class _Left:
    """The files that an earlier server has left of a broadcast."""

    writer: RecordingWriter
    document: RecordingDocument
    folder: RecordingFolder


class PastRecorder:
    """Records broadcasts for their past.

    Args:
        directory: The folder of the recordings.
        writer: Bounds of the files.
        pasts: The past of every stream.
        clock: For dates and durations.
        is_recorded: Says whether a channel's broadcasts are recorded anyway.
    """

    def __init__(
        self, directory: Path, writer: WriterOptions, pasts: Pasts, clock: Clock, is_recorded: Callable[[str], bool]
    ) -> None:
        self._directory = directory / DIRECTORY_NAME
        self._options = _options(writer)
        self._pasts = pasts
        self._clock = clock
        self._is_recorded = is_recorded
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="past")
        self._disk_sync = DiskSync(lambda: self._options.fsync_s)
        self._space = SpaceLook(self._pool, clock)
        self._outputs: dict[str, RecordingOutput] = {}
        # Those that are written or whose past is not over, by id, and what an earlier server left, by channel.
        self._recordings: dict[str, Recording] = {}
        self._writers: dict[str, RecordingWriter] = {}
        self._left: dict[str, _Left] = {}
        self._removing: set[asyncio.Task[None]] = set()

    def configure(self, writer: WriterOptions) -> None:
        """Take other bounds, for what begins from now on."""
        self._options = _options(writer)

    async def open(self) -> None:
        """Find what an earlier server has left."""
        try:
            found = await self._run(self._find)
        except OSError as exc:
            log.warning("past.unreadable", extra={"reason": exc.strerror or "the disk reports an error"})
            return
        for left in found:
            older = self._left.pop(left.document.channel, None)
            if older is not None:
                self._remove(older.writer)
            self._left[left.document.channel] = left

    def complete_left(self) -> None:
        """Remove what no broadcast goes on with; called once the live streams are restored."""
        for left in self._left.values():
            self._remove(left.writer)
        self._left.clear()

    async def close(self) -> None:
        """Write what waits, and leave what goes on to the next server."""
        await self._space.close()
        for recording in self._recordings.values():
            recording.leave()
        for recording in tuple(self._recordings.values()):
            await recording.wait()
        await self._disk_sync.close()
        for writer in (*self._writers.values(), *(left.writer for left in self._left.values())):
            writer.close()
            writer.release()
        await asyncio.gather(*self._removing, return_exceptions=True)
        self._pool.shutdown()

    def output(self, context: OutputContext) -> Output:
        """Make the output of a broadcast; it takes no part while nothing is recorded here."""
        name = context.name
        left = self._left.pop(name, None)
        continued = None
        if left is not None and context.record is not None and self._pasts.window_s:
            continued = self._go_on(left, context.budget)
        elif left is not None:
            self._remove(left.writer)
        self._outputs = {other: output for other, output in self._outputs.items() if not output.is_ended}
        output = self._outputs[name] = RecordingOutput(
            context,
            partial(self._begin, name, context.budget),
            partial(self._is_wanted, name),
            lambda: self._space.has_found,
            continued,
        )
        output.name = "past"
        return output

    def look(self) -> None:
        """Remove what has left its window, and what is over; called about once a second."""
        if any(output.fault for output in self._outputs.values()):
            self._space.look(self._directory, self._options.min_free_bytes + SPACE_BYTES_MIN)
        for recording in tuple(self._recordings.values()):
            past = recording.past
            if past is not None and recording.id in self._pasts:
                if not recording.is_over:
                    for variant, playlist in past.playlists.items():
                        recording.cut(variant, playlist.first_file - FILES_BEHIND)
            elif recording.is_complete:
                del self._recordings[recording.id]
                self._remove(self._writers.pop(recording.id))

    @property
    def held_bytes(self) -> int:
        """Media that waits for the disk and that no broadcast has in its account any more, bytes."""
        return sum(recording.queued_bytes for recording in self._recordings.values() if recording.is_over)

    # -- inside -------------------------------------------------------------------------------------

    def _is_wanted(self, name: str) -> bool:
        return self._pasts.window_s > 0 and not self._is_recorded(name)

    def _begin(self, name: str, budget: WaiterBudget) -> Recording:
        now = self._clock.now()
        recording_id = new_recording_id(now)
        folder = RecordingFolder(self._directory / folder_name(name, recording_id, now))
        document = RecordingDocument(recording_id, name, now, RecordingStatus.STARTED)
        return self._add(RecordingWriter(folder, document, self._options), document, folder, budget)

    def _go_on(self, left: _Left, budget: WaiterBudget) -> Recording:
        log.info("past.taken_up", extra={"stream": left.document.channel, "recording_id": left.folder.id})
        return self._add(left.writer, left.document, left.folder, budget)

    def _add(
        self, writer: RecordingWriter, document: RecordingDocument, folder: RecordingFolder, budget: WaiterBudget
    ) -> Recording:
        began = self._clock.now() if writer.has_gap else document.recording_started_at
        recording = Recording(
            folder.id,
            document.channel,
            writer,
            self._pool,
            self._clock,
            lambda _: None,
            self._all_queued_bytes,
            self._disk_sync,
        )
        recording.attach(self._pasts.begin(document.channel, folder, began, budget))
        self._recordings[folder.id] = recording
        # It is this server's for as long as somebody goes back in it.
        self._writers[folder.id] = writer
        return recording

    def _all_queued_bytes(self) -> int:
        return sum(recording.queued_bytes for recording in self._recordings.values())

    def _find(self) -> list[_Left]:
        found: list[_Left] = []
        for started in sorted(self._directory.glob("*/*/*/*/*/events/recording-started.json")):
            folder = RecordingFolder(started.parent.parent)
            document = read_document(folder.started)
            try:
                writer = recover(folder, self._options) if document is not None else None
            except RecordingError:
                # Another server on this directory writes it, or has viewers who go back in it.
                continue
            except OSError:
                writer = None
            if writer is None or document is None:
                self._remove_unreadable(folder)
            else:
                found.append(_Left(writer, document, folder))
        return found

    def _remove_unreadable(self, folder: RecordingFolder) -> None:
        """Remove a folder that cannot be gone on with, unless it is another server's."""
        try:
            claim = claim_folder(folder.path)
        except (RecordingError, OSError):
            return
        try:
            remove_folder(folder.path)
        finally:
            os.close(claim)

    def _remove(self, writer: RecordingWriter) -> None:
        """Remove the folder of a recording that nothing is written to any more."""
        folder = writer.folder

        def work() -> None:
            try:
                writer.close()
                remove_folder(folder.path)
            finally:
                writer.release()

        async def remove() -> None:
            try:
                await self._run(work)
            except OSError as exc:
                reason = exc.strerror or "the disk reports an error"
                log.warning("past.files_left", extra={"recording_id": folder.id, "reason": reason})

        task = asyncio.create_task(remove())
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _options(writer: WriterOptions) -> WriterOptions:
    return replace(writer, hash_file=None, keeps_claim=True)
