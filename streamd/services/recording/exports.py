"""Exports: recordings as one progressive MP4, made by a confined process, one at a time, and kept for a day.

The process reads pipes and writes one file. Threads of the server put the recording's files into the pipes without
looking into them (``sendfile``), so that whatever bytes a publisher has sent meet no parser of the server's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
from asyncio.subprocess import DEVNULL
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from streamd.errors import ExportRefusedError, StoreUnavailableError
from streamd.services.recording.clip_file import runs_of
from streamd.services.recording.clip_records import ClipRendition
from streamd.services.recording.clip_times import ClipRange, same_time
from streamd.services.recording.export_records import Export, ExportState
from streamd.services.recording.folder import free_bytes, init_name, make_folder
from streamd.services.recording.playlist_file import parse_playlist
from streamd.services.recording.records import RecordingState
from streamd.services.recording.recovery import recorded_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from streamd.clock import Clock
    from streamd.services.recording.clip_file import Run
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.playlist_file import RecordedSegment
    from streamd.services.recording.recorder import Recorder
    from streamd.services.recording.records import RecordingRecord

log = logging.getLogger(__name__)

T = TypeVar("T")

# In the directory of recordings; no user has a dot first.
EXPORTS_NAME = ".exports"
# Exports that wait for their turn, and those that are remembered.
WAITING_MAX = 16
KEPT_MAX = 256
KEPT_S = 86_400.0
# The file has an index of 20 bytes a sample, at 77 samples a second; fragments have more for each.
ROOM_BYTES = 32 * 1024 * 1024
# Processor time: a recording of 12 hours takes some 40 s.
CPU_S_MIN = 60
CPU_S_PER_HOUR = 120
# What is put into a pipe in one call.
PIECE_BYTES = 1024 * 1024

_OPEN = frozenset({RecordingState.RECORDING, RecordingState.FINALIZING})
# What the worker says by its end (``export_worker``).
_FAULTS = {
    10: "its media cannot be written as MP4",
    11: "the disk does not take it",
    12: "it needs too much memory",
}


@dataclass(frozen=True, slots=True)
class _Source:
    """What goes into one pipe."""

    pieces: tuple[tuple[Path, int, int], ...]
    """Files, and the bytes of each: begin and end."""

    @property
    def size_bytes(self) -> int:
        return sum(stop - start for _, start, stop in self.pieces)


@dataclass(frozen=True, slots=True)
class _Plan:
    sources: tuple[_Source, ...]
    duration_s: float

    @property
    def size_bytes(self) -> int:
        return sum(source.size_bytes for source in self.sources)


@dataclass(frozen=True, slots=True)
class _Job:
    export: Export
    plan: _Plan


class Exports:
    """Makes exports.

    Args:
        recorder: Has the recordings.
        command: The worker and its first arguments.
        environment: Its whole environment.
        clock: For dates.
    """

    def __init__(
        self, recorder: Recorder, command: Sequence[str], environment: Mapping[str, str], clock: Clock
    ) -> None:
        self._recorder = recorder
        self._command = tuple(command)
        self._environment = dict(environment)
        self._clock = clock
        self._directory = recorder.options.directory / EXPORTS_NAME
        # A picture and its sound; each waits for the disk, and for the worker.
        self._threads = ThreadPoolExecutor(3, thread_name_prefix="export")
        # By the id of the recording; the one that was asked for last stands last.
        self._known: dict[str, Export] = {}
        self._waiting: dict[str, _Job] = {}
        self._running = ""
        self._task: asyncio.Task[None] | None = None
        self._worker: asyncio.subprocess.Process | None = None
        self._edits = recorder.index.edits
        self._look_due_at = clock.monotonic()
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False
        # Says to other servers that this one has exports in the directory.
        self._share: int | None = None

    async def open(self) -> None:
        """Remove what an earlier server has made: nobody knows of it any more.

        Of two servers on one directory of recordings, the second leaves what the first has made.
        """
        try:
            self._share = await self._do(partial(_share_folder, self._directory))
        except OSError as exc:
            # Exports of this server will say the same.
            log.warning("export.cleaning_failed", extra={"reason": exc.strerror or "the disk reports an error"})

    async def close(self) -> None:
        """Make no more."""
        self._is_closed = True
        for task in (self._task, self._looking):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._share is not None:
            os.close(self._share)
            self._share = None

    def find(self, recording_id: str) -> Export | None:
        """The export of a recording; None where there is none."""
        export = self._known.get(recording_id)
        if export is not None and export.state is ExportState.RUNNING:
            with contextlib.suppress(OSError):
                return replace(export, bytes=self._part(recording_id).stat().st_size)
        return export

    def file(self, recording_id: str) -> Path | None:
        """The file of an export that is ready; None where there is none."""
        export = self._known.get(recording_id)
        return self._file(recording_id) if export is not None and export.state is ExportState.READY else None

    async def make(self, record: RecordingRecord, variant: str, run: int) -> Export:
        """Begin to make an export, or say how far the same one has come; another one of the recording is forgotten.

        Args:
            record: The recording.
            variant: The rendition with the picture; empty for the first.
            run: Number of the piece under one CMAF header, from 0.

        Raises:
            ExportRefusedError: It cannot be made; the text says why.
        """
        if record.state is RecordingState.DELETED:
            raise ExportRefusedError("the recording is deleted")
        if record.state in _OPEN:
            raise ExportRefusedError("it is still being recorded: stop it first")
        if self._is_closed:
            raise ExportRefusedError("the server stops")
        known = self._known.get(record.id)
        if known is not None and known.state is not ExportState.FAILED:
            if (known.variant, known.run) == (variant, run):
                return known
            if known.state is not ExportState.READY:
                raise ExportRefusedError("another export of it is being made")
        if len(self._waiting) >= WAITING_MAX:
            raise ExportRefusedError(f"{WAITING_MAX} exports wait already")
        plan = await self._plan(record, variant, run)
        if record.id in self._waiting or record.id == self._running:
            return self._known[record.id]
        export = Export(record.id, variant, run, ExportState.WAITING, self._clock.now(), expected_bytes=plan.size_bytes)
        self._note(export)
        self._waiting[record.id] = _Job(export, plan)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return export

    def needs(self, recording_id: str) -> bool:
        """Whether the media of a recording is still to be read here."""
        return recording_id == self._running or recording_id in self._waiting

    async def forget(self, recording_id: str) -> None:
        """Forget an export, and remove its file; one that is being made ends."""
        self._known.pop(recording_id, None)
        self._waiting.pop(recording_id, None)
        if self._running == recording_id and self._worker is not None:
            with contextlib.suppress(ProcessLookupError):
                self._worker.kill()
        await self._do(lambda: self._file(recording_id).unlink(missing_ok=True))

    def look(self) -> None:
        """Remove what has been there for a day, or what is of a recording that is deleted; called once a second."""
        now = self._clock.monotonic()
        is_edited = self._edits != self._recorder.index.edits
        if not self._known or self._looking is not None or not (is_edited or now >= self._look_due_at):
            return
        self._edits = self._recorder.index.edits
        self._look_due_at = now + 60
        self._looking = asyncio.create_task(self._look())

    # -- inside -------------------------------------------------------------------------------------

    async def _look(self) -> None:
        try:
            known = tuple(self._known.values())
            existing = await self._recorder.index.existing([export.recording_id for export in known])
            for export in known:
                is_old = (self._clock.now() - export.asked_at).total_seconds() > KEPT_S
                is_done = export.state in (ExportState.READY, ExportState.FAILED)
                if (is_old and is_done) or export.recording_id not in existing:
                    await self.forget(export.recording_id)
        except (OSError, StoreUnavailableError) as exc:
            # The next look tries again.
            log.warning("export.cleaning_failed", extra={"reason": str(exc)})
        finally:
            self._looking = None

    async def _plan(self, record: RecordingRecord, variant: str, run: int) -> _Plan:
        folder = self._recorder.folder(record)
        try:
            plan = await self._do(partial(_find_sources, folder, variant, run))
            free = await self._do(partial(free_bytes, self._recorder.options.directory))
        except OSError:
            raise ExportRefusedError("the files of the recording are not on this server's disk") from None
        # It is written, and moved by its index; nothing of the reserve is taken.
        wanted = plan.size_bytes + ROOM_BYTES + self._recorder.options.writer.min_free_bytes
        if free < wanted:
            raise ExportRefusedError(
                f"the disk has {free >> 20} MiB free, and the file needs {plan.size_bytes >> 20} MiB beside what "
                "[recording] min_free_bytes keeps"
            )
        return plan

    async def _run(self) -> None:
        try:
            while self._waiting:
                recording_id = next(iter(self._waiting))
                job = self._waiting.pop(recording_id)
                self._running = recording_id
                try:
                    await self._make(job)
                finally:
                    self._running = ""
        finally:
            self._task = None

    async def _make(self, job: _Job) -> None:
        export = replace(job.export, state=ExportState.RUNNING)
        recording_id = export.recording_id
        self._note(export)
        began = self._clock.monotonic()
        part = self._part(recording_id)
        try:
            reason = await self._work(job, part)
            if not reason and recording_id in self._known:
                size_bytes = await self._do(partial(_finish, part, self._file(recording_id)))
                if recording_id not in self._known:
                    # It was forgotten in this moment, with a file that was not there yet.
                    await self._do(partial(_remove, self._file(recording_id)))
                    return
                self._note(replace(export, state=ExportState.READY, bytes=size_bytes))
                took_s = round(self._clock.monotonic() - began, 1)
                log.info(
                    "export.ready", extra={"recording_id": recording_id, "bytes": size_bytes, "duration_s": took_s}
                )
        except OSError as exc:
            reason = exc.strerror or "the disk reports an error"
        except Exception:
            # A fault of ours costs this export, and nothing else.
            log.exception("export.broken", extra={"recording_id": recording_id})
            reason = "internal error"
        finally:
            # Also where the server stops.
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        if reason and recording_id in self._known:
            self._note(replace(export, state=ExportState.FAILED, reason=reason))
            log.warning("export.failed", extra={"recording_id": recording_id, "reason": reason})

    async def _work(self, job: _Job, part: Path) -> str:
        """Have the worker write the file.

        Returns:
            Why it could not; empty where it did.

        Raises:
            OSError: The file cannot be made, or the worker not be started.
        """
        output = await self._do(partial(_make_file, part))
        pipes = [os.pipe() for _ in job.plan.sources]
        try:
            worker = self._worker = await self._start(job.plan, output, [reading for reading, _ in pipes])
        except BaseException:
            for _, writing in pipes:
                os.close(writing)
            raise
        finally:
            os.close(output)
            for reading, _ in pipes:
                os.close(reading)
        feeding = [
            asyncio.get_running_loop().run_in_executor(self._threads, _feed, source, writing)
            for source, (_, writing) in zip(job.plan.sources, pipes, strict=True)
        ]
        try:
            status = await worker.wait()
            fed = await asyncio.gather(*feeding)
        finally:
            self._worker = None
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            await asyncio.shield(worker.wait())
        if status == 0:
            return "" if all(fed) else "its media does not go on to its end"
        if status < 0:
            return f"the worker was ended by signal {-status}"
        return _FAULTS.get(status, "the worker failed")

    async def _start(self, plan: _Plan, output: int, inputs: Sequence[int]) -> asyncio.subprocess.Process:
        file_bytes = plan.size_bytes + ROOM_BYTES
        cpu_s = CPU_S_MIN + int(plan.duration_s * CPU_S_PER_HOUR / 3600)
        sound = inputs[1] if len(inputs) > 1 else None
        return await asyncio.create_subprocess_exec(
            *self._command,
            *map(str, (file_bytes, cpu_s, len(inputs))),
            *(() if sound is None else (str(sound),)),
            stdin=inputs[0],
            stdout=output,
            stderr=DEVNULL,
            env=self._environment,
            start_new_session=True,
            pass_fds=() if sound is None else (sound,),
        )

    def _note(self, export: Export) -> None:
        self._known.pop(export.recording_id, None)
        self._known[export.recording_id] = export
        while len(self._known) > KEPT_MAX:
            # Beyond what anybody waits for.
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._threads.submit(_remove, self._file(oldest))

    def _file(self, recording_id: str) -> Path:
        return self._directory / f"{recording_id}.mp4"

    def _part(self, recording_id: str) -> Path:
        return self._directory / f"{recording_id}.part"

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _find_sources(folder: RecordingFolder, variant: str, number: int) -> _Plan:
    """Find what a file is made of; in a thread that may wait for the disk.

    Raises:
        ExportRefusedError: There is no such piece.
        OSError: The recording cannot be read.
    """
    document = recorded_document(folder)
    if document is None:
        raise FileNotFoundError(folder.path)
    renditions = document.media.hls.renditions
    pictures = [each for each in renditions if not each.is_alternative]
    found = next((each for each in pictures if each.path == variant or not variant), None)
    if found is None:
        raise ExportRefusedError(f"there is no variant {variant}" if pictures else "nothing is recorded in it")
    main = parse_playlist(folder.playlist(found.path).read_text(errors="replace")).segments
    runs = runs_of(ClipRendition(found, 0, main, _header_bytes(folder, found.path, main)))
    if number >= len(runs):
        raise ExportRefusedError(f"it has {len(runs)} pieces, from 0: the encoder changed its tracks in between")
    run = runs[number]
    first = sum(len(each.segments) for each in runs[:number])
    sources = [_source(folder, found.path, run)]
    sound = next((each for each in renditions if each.is_alternative), None)
    if sound is not None:
        segments = parse_playlist(folder.playlist(sound.path).read_text(errors="replace")).segments
        begin, end = same_time(segments, main, ClipRange(first, first + len(run.segments), 0, 0, 0, 0))
        of_time = segments[begin:end]
        sound_runs = runs_of(ClipRendition(sound, 0, of_time, _header_bytes(folder, sound.path, of_time)))
        if sound_runs:
            sources.append(_source(folder, sound.path, max(sound_runs, key=lambda each: len(each.segments))))
    return _Plan(tuple(sources), sum(segment.duration_us for segment in run.segments) / 1e6)


def _header_bytes(folder: RecordingFolder, variant: str, segments: Sequence[RecordedSegment]) -> dict[int, int]:
    path = folder.variant(variant)
    return {
        number: (path / init_name(number)).stat().st_size
        for number in dict.fromkeys(segment.init_number for segment in segments)
    }


def _source(folder: RecordingFolder, variant: str, run: Run) -> _Source:
    """The files of a run, each once."""
    pieces: list[tuple[Path, int, int]] = []
    for piece in run.pieces:
        path = folder.variant(variant) / piece.name
        if pieces and pieces[-1][0] == path and pieces[-1][2] == piece.start:
            pieces[-1] = path, pieces[-1][1], piece.stop
        else:
            pieces.append((path, piece.start, piece.stop))
    if missing := next((path for path, _, _ in pieces if not path.exists()), None):
        raise FileNotFoundError(missing)
    return _Source(tuple(pieces))


def _feed(source: _Source, writing: int) -> bool:
    """Put files into a pipe, and close it.

    Returns:
        Whether all of it was put there.
    """
    try:
        for path, start, stop in source.pieces:
            with path.open("rb") as file:
                place = start
                while place < stop:
                    sent = os.sendfile(writing, file.fileno(), place, min(stop - place, PIECE_BYTES))
                    if not sent:
                        return False
                    place += sent
    except OSError:
        # The worker has ended, or the file is gone.
        return False
    finally:
        os.close(writing)
    return True


def _share_folder(path: Path) -> int:
    """Have the folder of exports, together with other servers; what is in it goes where there is no other.

    Returns:
        A descriptor, which says so to other servers for as long as it is open.

    Raises:
        OSError: The disk does not take it.
    """
    make_folder(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        is_alone = exc.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    else:
        is_alone = True
    if is_alone:
        for found in path.iterdir():
            _remove(found)
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return descriptor


def _remove(path: Path) -> None:
    """Remove a file; where the disk does not let us, the next server tries again."""
    with contextlib.suppress(OSError):
        path.unlink()


def _make_file(path: Path) -> int:
    make_folder(path.parent)
    path.unlink(missing_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _finish(part: Path, path: Path) -> int:
    """Have a file on the disk, under its name; its size."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
        size_bytes = os.fstat(file.fileno()).st_size
    part.replace(path)
    return size_bytes
