"""A recorder whose recordings go to a bucket in memory, which can be told to fail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.store import MemoryStore

from streamd.clock import ManualClock
from streamd.services.metrics import Metrics
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.records import RecordingMode
from streamd.services.recording.retention import RetentionOptions
from streamd.services.recording.verify import find_recordings
from streamd.services.storage.bucket import Bucket
from streamd.services.storage.faults import StorageFault, failure
from streamd.services.storage.object_storage import ObjectStorage
from streamd.services.storage.place import Place, StorageOptions
from tests.support.recordings import MAIN, RECORDING_ID, STARTED_AT, append, folder_in, new_writer

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.services.events.event import Event
    from streamd.services.keys.key_store import KeyStore
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.records import RecordingRecord

PLACE = Place.parse("s3://bucket/prefix")


class BadBucket(Bucket):
    """A bucket in memory.

    Args:
        options: As a server has them.

    Attributes:
        fault: What it does in place of anything; None where it works.
        put_paths: What it has taken, in order.
        reads: What was read, in order.
        gate: Puts wait for it, where there is one.
        under_way: Puts that have begun and not ended; the most of them at once.
    """

    def __init__(self, options: StorageOptions, memory: MemoryStore | None = None) -> None:
        self.memory = memory or MemoryStore()
        super().__init__(options, store=self.memory)
        self.fault: StorageFault | None = None
        self.put_paths: list[str] = []
        self.reads: list[tuple[str, int, int]] = []
        self.gate: asyncio.Event | None = None
        self.under_way = self.under_way_max = 0

    def _check(self) -> None:
        if self.fault is not None:
            raise failure(self.fault)

    async def put_file(self, path: str, file: Path) -> tuple[int, str]:
        self._check()
        self.under_way += 1
        self.under_way_max = max(self.under_way, self.under_way_max)
        try:
            if self.gate is not None:
                await self.gate.wait()
            sent = await super().put_file(path, file)
        finally:
            self.under_way -= 1
        self.put_paths.append(path)
        return sent

    async def size_bytes(self, path: str) -> int | None:
        self._check()
        return await super().size_bytes(path)

    async def read(self, path: str, start: int, stop: int) -> bytes:
        self.reads.append((path, start, stop))
        self._check()
        return await super().read(path, start, stop)

    async def delete_under(self, folder: str) -> None:
        self._check()
        await super().delete_under(folder)

    def names(self) -> set[str]:
        """Of all objects that it has."""
        import obstore

        return {found["path"] for page in obstore.list(self.memory) for found in page}

    def content(self, name: str) -> bytes:
        """Of one object."""
        import obstore

        return bytes(obstore.get(self.memory, name).bytes())


@dataclass
class StorageRoom:
    """A server's recordings, its bucket, and the time."""

    store: KeyStore
    directory: Path
    keep_local_days: int | None = 0
    serve: str = "proxy"
    clock: ManualClock = field(default_factory=lambda: ManualClock(STARTED_AT))
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.options = StorageOptions(PLACE, keep_local_days=self.keep_local_days, serve=self.serve)
        self.bucket = BadBucket(self.options)
        self.begin()

    def begin(self) -> None:
        """A server begins, on what one before it has left."""
        put_paths = self.bucket.put_paths
        self.bucket = BadBucket(self.options, self.bucket.memory)
        self.bucket.put_paths = put_paths
        self.recorder = Recorder(
            RecorderOptions(
                RecordingMode.ALL, self.directory, retention=RetentionOptions(keep_days=0, min_free_bytes=0)
            ),
            RecordingIndex(self.store.database),
            self.clock,
            tell=self.events.append,
        )
        self.metrics = Metrics()
        self.storage = ObjectStorage(
            self.bucket.options,
            self.recorder,
            self.clock,
            self.metrics,
            tell=self.events.append,
            draw=lambda: 1.0,
            bucket=self.bucket,
        )
        self.recorder.attach(self.storage)

    async def end(self) -> None:
        """The server stops."""
        await self.storage.close()
        await self.recorder.close()

    def write(
        self, recording_id: str = RECORDING_ID, *, segments: int = 3, is_over: bool = True, content: bytes = b"media"
    ) -> RecordingFolder:
        """Have a recording of Alice's on the disk, a media file a segment."""
        folder = folder_in(self.directory, recording_id)
        writer = new_writer(folder)
        writer.set_header(MAIN, b"ftyp+moov", 2)
        for number in range(segments):
            append(writer, content * (number + 1), seconds=60, at_ms=60_000 * number)
        if is_over:
            writer.finish(STARTED_AT + timedelta(minutes=segments))
        writer.close()
        return folder

    async def record(self, recording_id: str = RECORDING_ID) -> RecordingRecord:
        """What the index has of it; entered first, as the documents have it, where it does not know it."""
        found = await self.recorder.index.find(recording_id)
        if found is None:
            (found,) = [each for each in find_recordings(self.directory) if each.id == recording_id]
            await self.recorder.index.save(found)
        return found

    async def settle(self) -> None:
        """Wait until nothing is under way, and the index knows."""
        for _ in range(50):
            await self.storage.copies.idle()
            await self.storage.uploads.idle()
            if self.recorder.books.is_behind:
                await asyncio.sleep(0)
        while self.recorder.books.is_behind:  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0)

    async def look(self, seconds: float = 0) -> None:
        """The look of a server, after a time; what it begins is over then."""
        self.clock.advance(seconds)
        self.storage.look()
        await self.settle()

    def failures(self) -> dict[str, float]:
        """How often the bucket has failed, by the reason."""
        return {
            sample.labels["reason"]: sample.value
            for family in self.metrics.storage.storage_failures_total.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        }


def named(folder: RecordingFolder) -> dict[str, bytes]:
    """What a bucket is to have of a recording: every file but what the server notes for itself."""
    found = {
        path.relative_to(folder.path).as_posix(): path.read_bytes()
        for path in folder.path.rglob("*")
        if path.is_file() and path.suffix != ".jsonl"
    }
    root = folder.path.parents[4]
    return {f"prefix/{folder.path.relative_to(root).as_posix()}/{path}": data for path, data in found.items()}
