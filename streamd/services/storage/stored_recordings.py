"""Recordings that lie in the bucket alone, for viewers: small files are brought to the disk, media is read in pieces.

Only files that a recording's document names are asked for, so that made-up names cost the bucket nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from streamd.errors import StorageError
from streamd.services.recording.documents import DOCUMENT_BYTES_MAX
from streamd.services.recording.folder import RecordingFolder, make_folder
from streamd.services.recording.recovery import recorded_document
from streamd.services.storage.bucket import PART_BYTES
from streamd.services.storage.faults import StorageFault, failure
from streamd.services.storage.left import is_inside
from streamd.services.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from concurrent.futures import Executor
    from pathlib import Path

    from streamd.clock import Clock
    from streamd.services.metrics import Metrics
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.storage.bucket import Bucket

T = TypeVar("T")

# Media is read a piece at a time, the next when the viewer has taken this one; with an answer in 20 ms, 50 Mb/s.
PIECE_BYTES = 128 * 1024
# Viewers who are sent media from the bucket at once: 128 MiB of pieces. One more is asked to come back.
READERS_MAX = 1024
# A piece that did not come is asked for again so often.
ATTEMPTS = 3
# Lists of files in memory; that of a recording of twelve hours with four renditions has 3,000, 1 MB.
LISTS_MAX = 32
# Recordings of which this machine's disk has nothing, and whose small files it keeps: up to some megabytes each.
BROUGHT_MAX = 256
# A missing object is not looked for again for this long, seconds.
ABSENT_S = 10.0
ABSENT_MAX = 1024
# A playlist of a day is 5 MB; what is brought to the disk is no larger than this, but for the document.
BROUGHT_BYTES_MAX = 64 * 1024 * 1024
# A file of a list: its path, its size and its hash.
_FILE_BYTES = 350
_MEDIA_SUFFIX = ".m4s"
_ENDS = ("events/recording-ended.json", "events/recording-failed.json")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that the bucket has."""

    bytes: int
    sha256: str


class StoredRecordings:
    """Reads recordings from the bucket.

    Args:
        bucket: The bucket that they are in.
        folder: The files of a recording on the disk.
        directory: For small files of recordings that this machine's disk does not have; emptied at the start.
        threads: Threads that may wait for the disk.
        clock: Measures what is remembered.
        metrics: Counted into.
    """

    def __init__(
        self,
        bucket: Bucket,
        folder: Callable[[RecordingRecord], RecordingFolder],
        directory: Path,
        threads: Executor,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._bucket = bucket
        self._folder = folder
        self._directory = directory
        self._threads = threads
        self._clock = clock
        self._metrics = metrics
        self._serve = bucket.options.serve
        # The one that was asked for last stands last.
        self._lists: OrderedDict[str, dict[str, StoredFile]] = OrderedDict()
        self._absent: dict[tuple[str, str], float] = {}
        # By id, the folders with brought files; the one that was asked for last stands last.
        self._brought: OrderedDict[str, RecordingFolder] = OrderedDict()
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, list[None]]] = {}
        self._readers = 0

    async def open(self) -> None:
        """Forget what an earlier server has brought."""
        await self._on_disk(partial(shutil.rmtree, self._directory, ignore_errors=True))

    def forget(self, recording_id: str) -> None:
        """Forget a recording that is deleted."""
        self._lists.pop(recording_id, None)
        folder = self._brought.pop(recording_id, None)
        if folder is not None:
            self._threads.submit(shutil.rmtree, folder.path, ignore_errors=True)

    @property
    def held_bytes(self) -> int:
        """Memory of pieces on their way to viewers, and of lists of files, bytes."""
        return self._readers * PIECE_BYTES + _FILE_BYTES * sum(map(len, self._lists.values()))

    async def size_bytes(self, record: RecordingRecord, path: str) -> int | None:
        """The size of a file of a recording; None where its document names no such file.

        Args:
            record: The recording.
            path: Under its folder, with slashes.

        Raises:
            StorageError: The bucket does not answer.
        """
        file = (await self._files(record)).get(path)
        return file.bytes if file is not None else None

    async def bring(self, record: RecordingRecord, is_wanted: Callable[[str], bool]) -> RecordingFolder | None:
        """Have small files of a recording on the disk: playlists, headers, pictures.

        Args:
            record: A recording of which this machine's disk lacks them.
            is_wanted: Says of a path under the folder of the recording whether it is to be there.

        Returns:
            The folder in which they are, with nothing else; None where the bucket does not have the recording.

        Raises:
            StorageError: The bucket does not answer, or the disk does not take it.
        """
        files = await self._files(record)
        folder = self._brought_folder(record)
        for path, file in files.items():
            if is_wanted(path) and not path.endswith(_MEDIA_SUFFIX) and file.bytes <= BROUGHT_BYTES_MAX:
                await self._once(folder, path, partial(self._bring, record, path, file.bytes, file.sha256))
        return folder if files else None

    def read(self, record: RecordingRecord, path: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        """Bytes of a media file, a piece at a time.

        Args:
            record: The recording.
            path: Under its folder.
            start: The first.
            stop: The one behind the last.

        Raises:
            StorageError: The bucket does not answer, or serves as many viewers as it may.
        """
        return self._read(record, path, start, stop)

    async def address(self, record: RecordingRecord, path: str) -> str | None:
        """Where a viewer may fetch a file from the bucket itself; None where we send it.

        Raises:
            StorageError: No address can be made.
        """
        if self._serve == "proxy":
            return None
        if self._serve == "redirect":
            return await self._bucket.signed_url(f"{record.path}/{path}")
        return f"{self._serve}/{record.path}/{path}"

    # -- inside ------------------------------------------------------------------------------------

    async def _read(self, record: RecordingRecord, path: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        if self._readers >= READERS_MAX:
            raise failure(StorageFault.BUSY, f"{READERS_MAX} viewers are being sent media from the bucket already")
        self._readers += 1
        try:
            for first in range(start, stop, PIECE_BYTES):
                piece = await self._piece(f"{record.path}/{path}", first, min(first + PIECE_BYTES, stop))
                self._metrics.storage.storage_read_bytes_total.inc(len(piece))
                yield piece
        finally:
            self._readers -= 1

    async def _piece(self, path: str, start: int, stop: int) -> bytes:
        for attempt in range(ATTEMPTS):
            try:
                return await self._bucket.read(path, start, stop)
            except StorageError as exc:
                self._metrics.storage.storage_failures_total.labels(exc.reason).inc()
                if exc.reason == StorageFault.WRONG_SECRET:
                    self._bucket.reopen()
                # A viewer has waited long enough for what did not come in time.
                if attempt == ATTEMPTS - 1 or exc.reason in (StorageFault.MISSING, StorageFault.TIMEOUT):
                    raise
        raise AssertionError("unreachable")

    async def _files(self, record: RecordingRecord) -> dict[str, StoredFile]:
        """The files that a recording's document names, by path."""
        known = self._lists.get(record.id)
        if known is None:
            known = await self._on_disk(partial(_list_of, self._folder(record)))
            if known is None:
                # The disk of this machine does not know it: another's does, or one that was lost.
                folder = self._brought_folder(record)
                for path in _ENDS:
                    if await self._once(folder, path, partial(self._bring, record, path, None, "")):
                        break
                known = await self._on_disk(partial(_list_of, folder))
            if known is None:
                return {}
            self._lists[record.id] = known
            while len(self._lists) > LISTS_MAX:
                self._lists.popitem(last=False)
        self._lists.move_to_end(record.id)
        return known

    def _brought_folder(self, record: RecordingRecord) -> RecordingFolder:
        """Where brought files of a recording are; those of the one that was asked for longest ago go."""
        folder = self._brought.setdefault(record.id, RecordingFolder(self._directory / record.id))
        self._brought.move_to_end(record.id)
        while len(self._brought) > BROUGHT_MAX:
            _, oldest = self._brought.popitem(last=False)
            self._threads.submit(shutil.rmtree, oldest.path, ignore_errors=True)
        return folder

    async def _once(self, folder: RecordingFolder, path: str, bring: Callable[[], Awaitable[bool]]) -> bool:
        """Bring one file for one viewer at a time: those behind find what the first has brought."""
        key = folder.id, path
        if self._clock.monotonic() - self._absent.get(key, float("-inf")) < ABSENT_S:
            return False
        lock, waiting = self._locks.setdefault(key, (asyncio.Lock(), []))
        waiting.append(None)
        try:
            async with lock:
                file = folder.path / path
                if await self._on_disk(file.is_file):
                    return True
                is_there = await bring()
        finally:
            waiting.pop()
            if not waiting:
                del self._locks[key]
        if not is_there:
            self._absent.pop(key, None)
            self._absent[key] = self._clock.monotonic()
            while len(self._absent) > ABSENT_MAX:
                del self._absent[next(iter(self._absent))]
        return is_there

    async def _bring(self, record: RecordingRecord, path: str, size_bytes: int | None, sha256: str) -> bool:
        name = f"{record.path}/{path}"
        if size_bytes is None:
            size_bytes = await self._bucket.size_bytes(name)
            if size_bytes is None or size_bytes > DOCUMENT_BYTES_MAX:
                return False
        pieces = [
            await self._bucket.read(name, start, min(start + PART_BYTES, size_bytes))
            for start in range(0, size_bytes, PART_BYTES)
        ]
        data = b"".join(pieces)
        if sha256 and (await self._on_disk(partial(hashlib.sha256, data))).hexdigest() != sha256:
            raise failure(StorageFault.DAMAGED)
        await self._on_disk(partial(_write, self._brought_folder(record).path / path, data))
        return True

    async def _on_disk(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as exc:
            raise failure(StorageFault.LOCAL_FILE) from exc


def _list_of(folder: RecordingFolder) -> dict[str, StoredFile] | None:
    document = recorded_document(folder)
    if document is None or not document.files:
        return None
    return {file.path: StoredFile(file.bytes, file.sha256) for file in document.files if is_inside(file.path)}


def _write(path: Path, data: bytes) -> None:
    make_folder(path.parent)
    replace_file(path, data)
