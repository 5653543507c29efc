"""Exports: recordings as one progressive MP4, made by a confined process, one at a time, and kept for a day."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from streamd.errors import ExportRefusedError, StoreUnavailableError
from streamd.services.recording.export_folder import ExportFolder
from streamd.services.recording.export_plan import ExportPlan, find_sources
from streamd.services.recording.export_records import Export, ExportState
from streamd.services.recording.export_work import ROOM_BYTES, ExportWork
from streamd.services.recording.folder import free_bytes
from streamd.services.recording.records import RecordingState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from streamd.clock import Clock
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
_OPEN = frozenset({RecordingState.RECORDING, RecordingState.FINALIZING})


@dataclass(frozen=True, slots=True)
class _Job:
    export: Export
    plan: ExportPlan


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
        self._clock = clock
        self._folder = ExportFolder(recorder.options.directory / EXPORTS_NAME)
        # A picture and its sound; each waits for the disk, and for the worker.
        self._threads = ThreadPoolExecutor(3, thread_name_prefix="export")
        self._work = ExportWork(command, environment, self._threads)
        # By the id of the recording; the one that was asked for last stands last.
        self._known: dict[str, Export] = {}
        self._waiting: dict[str, _Job] = {}
        self._running = ""
        self._task: asyncio.Task[None] | None = None
        self._edits = recorder.index.edits
        self._look_due_at = clock.monotonic()
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False

    async def open(self) -> None:
        """Remove what an earlier server has made: nobody knows of it any more.

        Of two servers on one directory of recordings, each leaves what the other has made.
        """
        try:
            await self._do(self._folder.open)
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
        self._folder.close()

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
        if self._running == recording_id:
            self._work.end()
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

    async def _plan(self, record: RecordingRecord, variant: str, run: int) -> ExportPlan:
        folder = self._recorder.folder(record)
        try:
            plan = await self._do(partial(find_sources, folder, variant, run))
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
            await self._do(self._folder.open)
            reason = await self._work.make(job.plan, part)
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

    def _note(self, export: Export) -> None:
        self._known.pop(export.recording_id, None)
        self._known[export.recording_id] = export
        while len(self._known) > KEPT_MAX:
            # Beyond what anybody waits for.
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._threads.submit(_remove, self._file(oldest))

    def _file(self, recording_id: str) -> Path:
        return self._folder.path / f"{recording_id}.mp4"

    def _part(self, recording_id: str) -> Path:
        return self._folder.path / f"{recording_id}.part"

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _remove(path: Path) -> None:
    """Remove a file; where the disk does not let us, the next server tries again."""
    with contextlib.suppress(OSError):
        path.unlink()


def _finish(part: Path, path: Path) -> int:
    """Have a file on the disk, under its name; its size."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
        size_bytes = os.fstat(file.fileno()).st_size
    part.replace(path)
    return size_bytes
