"""The recordings of a server: which broadcasts are recorded, and what becomes of a recording.

Files are written by threads of its own; the index follows in the background, and catches up when the database was away.
A recording that a server left unfinished is taken up by the next one: within the reconnect window its broadcast goes on
in it, and after that it is completed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from streamd.errors import RecordingError, RecordingOffError, StoreUnavailableError
from streamd.services.audit.records import AuditEntry
from streamd.services.events.event import unheard
from streamd.services.metrics import Metrics
from streamd.services.recording.bookkeeper import Bookkeeper
from streamd.services.recording.disk_sync import DiskSync
from streamd.services.recording.documents import RecordingDocument, RecordingStatus
from streamd.services.recording.folder import FolderTakenError, RecordingFolder, folder_name
from streamd.services.recording.past import Pasts
from streamd.services.recording.recording import Recording
from streamd.services.recording.recording_id import new_recording_id, started_at
from streamd.services.recording.recording_output import RecordingOutput
from streamd.services.recording.recording_writer import RecordingWriter, WriterOptions
from streamd.services.recording.records import (
    RecordingFilter,
    RecordingMode,
    RecordingRecord,
    RecordingState,
    Visibility,
)
from streamd.services.recording.recovery import recorded_document, recover
from streamd.services.recording.retention import Retention, RetentionOptions
from streamd.services.recording.space_look import SpaceLook
from streamd.services.recording.verify import record_of
from streamd.services.recording.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from streamd.clock import Clock
    from streamd.services.audit.records import Actor
    from streamd.services.events.event import EventSink
    from streamd.services.live.outputs import Output, OutputContext
    from streamd.services.live.waiters import WaiterBudget
    from streamd.services.recording.elsewhere import Elsewhere
    from streamd.services.recording.hash_process import HashProcess
    from streamd.services.recording.index import RecordingIndex

log = logging.getLogger(__name__)

T = TypeVar("T")

# Threads that wait for the disk, so that a stream on a slow moment of it does not hold up all others.
THREADS = 2
# Threads that read for viewers: a slow disk with many of them keeps neither recordings nor anything else waiting.
READERS = 4
# Between two looks for recordings whose time is over, seconds.
RETENTION_S = 60.0
# Space for a recording that is tried again: a minute at a usual bit rate.
SPACE_BYTES_MIN = 16 * 1024 * 1024
# Recordings that are taken up at a start are looked for a page at a time.
_PAGE = 200


@dataclass(frozen=True, slots=True)
class RecorderOptions:
    """The broadcasts that are recorded, and where."""

    mode: RecordingMode
    directory: Path
    writer: WriterOptions = field(default_factory=WriterOptions)
    retention: RetentionOptions = field(default_factory=RetentionOptions)


class Recorder:
    """Records the broadcasts of a server.

    Args:
        options: The broadcasts that are recorded, and where.
        index: The index of all recordings.
        clock: For dates and durations.
        tell: Receives the events of recordings.
        is_listed: Says whether a channel is in the public list.
        on_ended: Called with each recording that has ended, and whose files are closed.
        metrics: Counted into.
        pasts: The past of live streams, which is read from recordings; None for none.
        hasher: Hashes complete files; None: they are hashed in this process.

    Attributes:
        options: As given, or as they were read again.
        index: As given.
        retention: Deletes recordings.
        books: Tells the index.
        watched: Those that somebody is watching: no rule deletes them.
        pasts: As given.
    """

    def __init__(
        self,
        options: RecorderOptions,
        index: RecordingIndex,
        clock: Clock,
        *,
        tell: EventSink = unheard,
        is_listed: Callable[[str], bool] = lambda _: True,
        on_ended: Callable[[RecordingRecord], None] = lambda _: None,
        metrics: Metrics | None = None,
        pasts: Pasts | None = None,
        hasher: HashProcess | None = None,
    ) -> None:
        self.index = index
        self.options = options
        metrics = metrics if metrics is not None else Metrics()
        self.books = Bookkeeper(index, clock, metrics, tell, on_ended)
        self._clock = clock
        self._is_listed = is_listed
        self._hasher = hasher
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="recording")
        self._disk_sync = DiskSync(lambda: self.options.writer.fsync_s)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="recording-reader")
        self._outputs: dict[str, RecordingOutput] = {}
        # Recordings that are written, by id, and those that an earlier server left, by channel.
        self._going: dict[str, Recording] = {}
        self._left: dict[str, Recording] = {}
        self._wishes: dict[str, bool] = {}
        self.watched = Watched(clock)
        self.retention = Retention(index, self.folder, clock, tell, self.watched.__contains__)
        self.pasts = pasts if pasts is not None else Pasts(0, clock)
        self.retention.on_deleted = self.pasts.drop
        self._retention_due_at = clock.monotonic()
        self._retention_task: asyncio.Task[None] | None = None
        self._space = SpaceLook(self._pool, clock)
        metrics.recordings.recordings_going.set_function(lambda: len(self._going))
        metrics.recordings.recording_waiting_bytes.set_function(self._all_queued_bytes)

    def attach(self, elsewhere: Elsewhere) -> None:
        """Have recordings kept elsewhere, too; called before it is opened."""
        self.books.elsewhere = self.retention.elsewhere = elsewhere

    def configure(self, options: RecorderOptions) -> None:
        """Take other options, for recordings that begin from now on; the directory stays."""
        self.options = replace(options, directory=self.options.directory)

    # -- start and stop ----------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up what an earlier server left unfinished.

        Raises:
            StoreUnavailableError: The index cannot be read.
        """
        self._wishes = await self.index.wishes()
        unfinished: list[RecordingRecord] = []
        # All are found before one is taken up, for that changes their states.
        for state in (RecordingState.RECORDING, RecordingState.FINALIZING):
            before = ""
            while True:
                page = await self.index.page(RecordingFilter(state=state), before=before, limit=_PAGE)
                unfinished += page.items
                if not page.has_more:
                    break
                before = page.items[-1].id
        if not self.books.elsewhere.is_there:
            await self._settle()
        # Of two of a channel, the newer is the one of the broadcast that may go on.
        for record in sorted(unfinished, key=lambda each: each.id):
            await self._take_up(record)

    async def _settle(self) -> None:
        """Have recordings on their way to a bucket be as their documents have them: there is no bucket any more."""
        found = RecordingFilter(state=RecordingState.UPLOADING)
        before = ""
        while True:
            page = await self.index.page(found, before=before, limit=_PAGE)
            for record in page.items:
                folder = self.folder(record)
                with contextlib.suppress(OSError):
                    document = await asyncio.get_running_loop().run_in_executor(self._pool, recorded_document, folder)
                    if document is not None:
                        self.books.keep(record_of(document, folder, self.options.directory))
            if not page.has_more:
                return
            before = page.items[-1].id

    def complete_left(self) -> None:
        """Complete the recordings that no broadcast goes on with; called once the live streams are restored."""
        for recording in self._left.values():
            recording.finish()
        self._left.clear()

    async def close(self) -> None:
        """Write what waits, and leave the recordings that go on to the next server."""
        if self._retention_task is not None:
            self._retention_task.cancel()
            await asyncio.gather(self._retention_task, return_exceptions=True)
        await self._space.close()
        for recording in self._going.values():
            recording.leave()
        for recording in tuple(self._going.values()):
            await recording.wait()
        await self._disk_sync.close()
        await self.books.close()
        self._pool.shutdown()
        if self._hasher is not None:
            self._hasher.close()
        self._readers.shutdown(wait=False, cancel_futures=True)

    def look(self) -> None:
        """Do what is due; called about once a second."""
        now = self._clock.monotonic()
        self.books.look()
        self.pasts.look()
        if any(output.fault for output in self._outputs.values()):
            self._space.look(self.options.directory, self.options.writer.min_free_bytes + SPACE_BYTES_MIN)
        if now < self._retention_due_at or self._retention_task is not None:
            return
        self._retention_due_at = now + RETENTION_S
        self._retention_task = asyncio.create_task(self._retain())

    async def _retain(self) -> None:
        try:
            await self.retention.apply(self.options.retention)
        except StoreUnavailableError as exc:
            log.warning("recording.retention_failed", extra={"reason": str(exc)})
        finally:
            self._retention_task = None

    # -- what is recorded --------------------------------------------------------------------------

    def output(self, context: OutputContext) -> Output:
        """Make the output of a broadcast; it takes no part while nothing is recorded."""
        name = context.name
        left = self._left.pop(name, None) if context.record is not None else None
        if left is not None:
            # Players know the numbers of what is lost.
            began = self._clock.now() if left.has_gap else started_at(left.id)
            left.attach(self.pasts.begin(name, left.folder, began, context.budget))
        self._outputs = {other: output for other, output in self._outputs.items() if not output.is_ended}
        output = self._outputs[name] = RecordingOutput(
            context,
            partial(self._begin, name, context.budget),
            partial(self.is_recorded, name),
            lambda: self._space.has_found,
            left,
            lambda: self.books.elsewhere.delay,
        )
        return output

    def ask(self, name: str, *, is_wanted: bool) -> None:
        """Record a broadcast from its next segment on, or complete its recording and begin no other in it.

        Raises:
            RecordingOffError: It is to be recorded, and recording is off.
            RecordingError: It is not live.
        """
        output = self._outputs.get(name)
        if output is None or output.is_ended:
            raise RecordingError(f"{name} is not live")
        if is_wanted and not self.may_record(name):
            raise RecordingOffError("recording is off: set [recording] mode to asked or all, or record for the user")
        output.ask(is_wanted=is_wanted)

    def is_recorded(self, name: str) -> bool:
        """Whether a channel's broadcasts are recorded, where nobody asks for one."""
        return self._wishes.get(name, self.options.mode is RecordingMode.ALL)

    def may_record(self, name: str) -> bool:
        """Whether a broadcast of a channel may be recorded at all."""
        return self.options.mode is not RecordingMode.OFF or self._wishes.get(name, False)

    @property
    def wishes(self) -> Mapping[str, bool]:
        """Users for whom it is decided whether they are recorded."""
        return self._wishes

    async def wish(self, user: str, *, record: bool | None, entry: AuditEntry) -> None:
        """Decide whether a user's broadcasts are recorded, for recordings that begin from now on.

        Args:
            user: Name of the user.
            record: None leaves it to the configuration.
            entry: The row of the audit log that tells of it.

        Raises:
            UserNotFoundError: There is no such user.
            StoreUnavailableError: It could not be written.
        """
        await self.index.set_wish(user, record=record, entry=entry)
        if record is None:
            self._wishes.pop(user, None)
        else:
            self._wishes[user] = record

    async def forget_user(self, user: str, actor: Actor, reason: str) -> None:
        """Delete all recordings of a user who is deleted, whose streams are closed.

        In one step nobody finds any of them: a disk or a bucket that takes long for the files of one, or a server that
        ends before it has removed them all, leaves none to be seen.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        going = [recording for recording in self._going.values() if recording.name == user]
        for recording in going:
            recording.finish()
        self.pasts.drop_all_of(user)
        await self.books.flush()
        entry = AuditEntry(
            self._clock.now(), actor.name, "recording.deleted", actor.address, user=user, stream=user, reason=reason
        )
        # The name is free: what begins under it from here on is somebody else's.
        ids = await self.index.forget_user(user, entry)
        self._wishes.pop(user, None)
        for recording in going:
            # None of them is written here any more.
            await recording.wait()
        for recording_id in ids:
            record = await self.index.find(recording_id)
            if record is not None:
                await self.retention.remove_noted(record, reason)

    def recording_of(self, name: str) -> str:
        """The id of the recording that a channel's broadcast goes into now; empty where it is not recorded."""
        output = self._outputs.get(name)
        return output.recording.id if output is not None and output.recording is not None else ""

    @property
    def going(self) -> Iterable[Recording]:
        """The recordings that are written."""
        return self._going.values()

    @property
    def held_bytes(self) -> int:
        """Media that waits for the disk and that no broadcast has in its account any more, bytes."""
        return sum(recording.queued_bytes for recording in self._going.values() if recording.is_over)

    def folder(self, record: RecordingRecord) -> RecordingFolder:
        """The files of a recording."""
        return RecordingFolder(self.options.directory / record.path)

    async def read(self, work: Callable[[], T]) -> T:
        """Do work that reads files of recordings for a viewer, in a thread.

        Raises:
            OSError: As the work raises it.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    # -- inside -------------------------------------------------------------------------------------

    def _begin(self, name: str, budget: WaiterBudget) -> Recording:
        now = self._clock.now()
        recording_id = new_recording_id(now)
        record = RecordingRecord(
            id=recording_id,
            user=name,
            state=RecordingState.RECORDING,
            started_at=now,
            path=folder_name(name, recording_id, now),
            # Recordings of an unlisted channel are found as the channel is: by their address.
            visibility=Visibility.PUBLIC if self._is_listed(name) else Visibility.UNLISTED,
        )
        document = RecordingDocument(
            recording_id=recording_id,
            channel=name,
            recording_started_at=now,
            recording_status=RecordingStatus.STARTED,
        )
        recording = self._add(record, RecordingWriter(self.folder(record), document, self._writer_options))
        recording.attach(self.pasts.begin(name, recording.folder, now, budget))
        self.books.note_started(record)
        return recording

    def _add(self, record: RecordingRecord, writer: RecordingWriter) -> Recording:
        recording = Recording(
            record.id,
            record.user,
            writer,
            self._pool,
            self._clock,
            self._note_change,
            self._all_queued_bytes,
            self._disk_sync,
        )
        self._going[record.id] = recording
        self.books.open(recording, record)
        return recording

    @property
    def _writer_options(self) -> WriterOptions:
        options = self.options.writer
        return replace(options, hash_file=self._hasher.file_sha256) if self._hasher is not None else options

    def _all_queued_bytes(self) -> int:
        return sum(recording.queued_bytes for recording in self._going.values())

    async def _take_up(self, record: RecordingRecord) -> None:
        folder = self.folder(record)
        loop = asyncio.get_running_loop()
        try:
            document = await loop.run_in_executor(self._pool, recorded_document, folder)
            if document is not None and document.recording_status is not RecordingStatus.STARTED:
                # It was complete, and the database was away.
                self.books.note_end(record_of(document, folder, self.options.directory))
                return
            writer = await loop.run_in_executor(self._pool, recover, folder, self._writer_options)
        except FolderTakenError:
            log.warning("recording.taken", extra={"stream": record.user, "recording_id": record.id})
            return
        except OSError as exc:
            reason = exc.strerror or "the disk reports an error"
            self.books.note_end(replace(record, state=RecordingState.FAILED, reason=reason, ended_at=self._clock.now()))
            return
        if writer is None and self.index.is_shared:
            # It is on the disk of another server.
            return
        if writer is None:
            reason = "its files are gone"
            self.books.note_end(replace(record, state=RecordingState.FAILED, reason=reason, ended_at=self._clock.now()))
            return
        recording = self._add(record, writer)
        log.info("recording.taken_up", extra={"stream": record.user, "recording_id": record.id})
        older = self._left.pop(record.user, None)
        if older is not None:
            older.finish()
        if record.state is RecordingState.RECORDING:
            self._left[record.user] = recording
        else:
            recording.finish()

    def _note_change(self, recording: Recording) -> None:
        if recording.is_complete:
            self._going.pop(recording.id, None)
        self.books.note_change(recording)
