"""Object storage of one server: the bucket, what goes there, and what is served from there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from streamd.services.storage.backoff import Backoff
from streamd.services.storage.bucket import Bucket
from streamd.services.storage.local_copies import LocalCopies
from streamd.services.storage.removals import Removals
from streamd.services.storage.stored_recordings import StoredRecordings
from streamd.services.storage.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.services.events.event import EventSink
    from streamd.services.metrics import Metrics
    from streamd.services.recording.recorder import Recorder
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.storage.place import StorageOptions

# Threads that wait for the disk: what is read for the bucket keeps neither recordings nor viewers waiting.
THREADS = 2
# In the directory of recordings: small files of those that this machine's disk does not have. No user has a dot first.
BROUGHT_NAME = ".brought"


class ObjectStorage:
    """Keeps recordings in a bucket (``recording.elsewhere.Elsewhere``).

    Args:
        options: The bucket, and how it is used.
        recorder: Makes the recordings.
        clock: For dates and times.
        metrics: Counted into.
        tell: Receives events.
        draw: Random numbers from 0 to 1.
        is_needed: Says of an id whether the media of a recording is to stay on the disk for now.
        bucket: In place of the one that the options name, for tests.

    Attributes:
        stored: Recordings in the bucket, for viewers.
        uploads: Recordings on their way there.
    """

    is_there = True

    def __init__(
        self,
        options: StorageOptions,
        recorder: Recorder,
        clock: Clock,
        metrics: Metrics,
        *,
        tell: EventSink,
        draw: Callable[[], float],
        is_needed: Callable[[str], bool] = lambda _: False,
        bucket: Bucket | None = None,
    ) -> None:
        self._recorder = recorder
        self._bucket = bucket or Bucket(options)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="storage-disk")
        backoff = Backoff(clock, draw)
        self._removals = Removals(
            self._bucket, backoff, clock, metrics, lambda recording_id: self.uploads.stop(recording_id)
        )
        self.uploads = Uploads(
            self._bucket,
            recorder.folder,
            self._threads,
            clock,
            metrics,
            tell=tell,
            keep=recorder.books.keep,
            backoff=backoff,
            is_removed=self._removals.__contains__,
            on_stored=lambda record: self.copies.note_stored(record),
        )
        self.copies = LocalCopies(
            self.uploads, recorder.folder, recorder.index, self._threads, clock, options.keep_local_days, is_needed
        )
        brought = recorder.options.directory / BROUGHT_NAME
        self.stored = StoredRecordings(self._bucket, recorder.folder, brought, self._threads, clock, metrics)

    async def open(self) -> None:
        """Begin: what an earlier server left is found by the first look."""
        await self.stored.open()

    async def close(self) -> None:
        """End what is under way; the next server goes on with it."""
        await self.copies.close()
        await self._removals.close()
        await self.uploads.close()
        self._bucket.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def held_bytes(self) -> int:
        """Memory of media on its way from the bucket or to it, bytes."""
        return self.stored.held_bytes + self.uploads.held_bytes

    @property
    def delay(self) -> str:
        """The reason why the bucket has taken nothing for a while; empty where it does."""
        return self.uploads.delay

    def look(self) -> None:
        """Do what is due; called about once a second."""
        self.copies.look()
        self._removals.look()
        self.uploads.look(lambda: self._recorder.books.going)

    def has_ended(self, record: RecordingRecord) -> RecordingRecord:
        """Take a recording whose files are complete; it is uploading from here on, unless it has failed."""
        return self.uploads.has_ended(record)

    async def remove(self, record: RecordingRecord) -> bool:
        """Delete all objects of a recording; whether none is left."""
        self.stored.forget(record.id)
        return await self._removals.remove(record)

    async def make_room(self, record: RecordingRecord) -> bool:
        """Delete media on the disk that the bucket has (``LocalCopies.make_room``)."""
        return await self.copies.make_room(record)
