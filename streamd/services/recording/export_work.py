"""The worker that makes an export: a confined process that reads pipes and writes one file.

Threads put the recording's files into the pipes without looking into them (``sendfile``), so that whatever bytes a
publisher has sent meet no parser of the server's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from asyncio.subprocess import DEVNULL
from functools import partial
from typing import TYPE_CHECKING

from streamd.services.recording.folder import make_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from streamd.services.recording.export_plan import ExportPlan, ExportSource

# The file has an index of 20 bytes a sample, at 77 samples a second; fragments have more for each.
ROOM_BYTES = 32 * 1024 * 1024
# Processor time: a recording of 12 hours takes some 40 s.
CPU_S_MIN = 60
CPU_S_PER_HOUR = 120
# Bytes that are put into a pipe in one call.
PIECE_BYTES = 1024 * 1024

# Exit statuses of the worker (``export_worker``).
_FAULTS = {
    10: "its media cannot be written as MP4",
    11: "the disk does not take it",
    12: "it needs too much memory",
}


class ExportWork:
    """Has one worker at a time.

    Args:
        command: The worker and its first arguments.
        environment: Its whole environment.
        threads: Threads that wait for the disk, and for the worker: one a pipe, and one more.

    Attributes:
        command: As given.
        worker: The worker that runs; None for none.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], threads: Executor) -> None:
        self.command = tuple(command)
        self._environment = dict(environment)
        self._threads = threads
        self.worker: asyncio.subprocess.Process | None = None

    def end(self) -> None:
        """End the worker, if there is one."""
        if self.worker is not None:
            with contextlib.suppress(ProcessLookupError):
                self.worker.kill()

    async def make(self, plan: ExportPlan, part: Path) -> str:
        """Have the worker write the file.

        Returns:
            Why it could not; empty where it did.

        Raises:
            OSError: The file cannot be made, or the worker not be started.
        """
        output = await asyncio.get_running_loop().run_in_executor(self._threads, partial(_make_file, part))
        pipes: list[tuple[int, int]] = []
        try:
            # One by one, so that those that were made are closed where the next cannot be.
            pipes.extend(os.pipe() for _ in plan.sources)
            worker = self.worker = await self._start(plan, output, [reading for reading, _ in pipes])
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
            for source, (_, writing) in zip(plan.sources, pipes, strict=True)
        ]
        try:
            status = await worker.wait()
            fed = await asyncio.gather(*feeding)
        finally:
            self.worker = None
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            await asyncio.shield(worker.wait())
        if status == 0:
            return "" if all(fed) else "its media does not go on to its end"
        if status < 0:
            return f"the worker was ended by signal {-status}"
        return _FAULTS.get(status, "the worker failed")

    async def _start(self, plan: ExportPlan, output: int, inputs: Sequence[int]) -> asyncio.subprocess.Process:
        file_bytes = plan.size_bytes + ROOM_BYTES
        cpu_s = CPU_S_MIN + int(plan.duration_s * CPU_S_PER_HOUR / 3600)
        sound = inputs[1] if len(inputs) > 1 else None
        return await asyncio.create_subprocess_exec(
            *self.command,
            *map(str, (file_bytes, cpu_s, len(inputs))),
            *(() if sound is None else (str(sound),)),
            stdin=inputs[0],
            stdout=output,
            stderr=DEVNULL,
            env=self._environment,
            start_new_session=True,
            pass_fds=() if sound is None else (sound,),
        )


def _feed(source: ExportSource, writing: int) -> bool:
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


def _make_file(path: Path) -> int:
    make_folder(path.parent)
    path.unlink(missing_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
