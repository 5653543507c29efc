"""The process that looks at pictures, kept while there are pictures to look at.

It costs a second or two of a processor to start, for its lists and models, and 170 MB while it is there; where it reads
words, 500 MB.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from streamd.errors import PictureError
from streamd.media.pixels import PIXELS_BYTES_MAX, SIZE
from streamd.services.moderation.machine.sight import LENGTH, LOOK, SAID_BYTES_MAX, Look, Ready, SightOptions, Wanted
from streamd.services.sandbox.worker_process import WorkerProcess

if TYPE_CHECKING:
    from asyncio import StreamReader
    from asyncio.subprocess import Process
    from collections.abc import Mapping, Sequence

    from streamd.clock import Clock

log = logging.getLogger(__name__)

# Words of a picture that is full of them take two seconds of a processor that has nothing else to do.
LOOK_TIMEOUT_S = 20.0
# A million hashes, a classifier and the models of words: five seconds, on such a processor.
START_TIMEOUT_S = 60.0
# It ends after this time without a picture: its memory is worth more than its start.
IDLE_TIMEOUT_S = 120.0


class SightProcess(WorkerProcess):
    """Looks at one picture at a time.

    Args:
        command: The worker and its arguments.
        environment: Its whole environment; ours is not inherited, and no secret belongs there.
        clock: Measures the rest of a worker that failed.
        options: What pictures are compared with and scored by.
        look_timeout_s: How long a picture may take.

    Attributes:
        ready: What the process said when it began last; None before it has begun.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        clock: Clock,
        options: SightOptions,
        look_timeout_s: float = LOOK_TIMEOUT_S,
    ) -> None:
        super().__init__(
            command,
            environment,
            clock,
            name="sight_worker",
            answer_timeout_s=look_timeout_s,
            idle_timeout_s=IDLE_TIMEOUT_S,
        )
        self._options = options
        self._is_outdated = False
        self.ready: Ready | None = None

    @property
    def options(self) -> SightOptions:
        """What pictures are compared with and scored by, from the next picture on."""
        return self._options

    @options.setter
    def options(self, options: SightOptions) -> None:
        self._is_outdated = self._is_outdated or options != self._options
        self._options = options

    def reload(self) -> None:
        """Have its lists and models be read again before the next picture: files have changed."""
        self._is_outdated = True

    async def look(self, pixels: bytes, wanted: Wanted) -> Look:
        """Look at a picture.

        Args:
            pixels: What ``pixels.draw_pixels`` says.
            wanted: What is looked for beside its fingerprint.

        Raises:
            PictureError: The process did not start, died, took too long or answered nonsense; or these are no pixels.
            PictureWorkerRestsError: It failed several times in a row, and is not started yet.
        """
        if len(pixels) < SIZE.size or len(pixels) > PIXELS_BYTES_MAX:
            raise PictureError(f"{len(pixels)} bytes are no pixels")
        width, height = SIZE.unpack(pixels[: SIZE.size])
        if len(pixels) != SIZE.size + width * height * 3:
            raise PictureError(f"{len(pixels)} bytes are no {width} x {height} pixels")

        async def read(answers: StreamReader) -> Look:
            return Look.parse(await _said(answers))

        return await self._ask((LOOK.pack(wanted), pixels), read)

    async def _running(self) -> Process:
        if self._is_outdated:
            await self._stop()
        return await super()._running()

    async def _prepare(self, process: Process) -> None:
        self._is_outdated = False
        async with asyncio.timeout(START_TIMEOUT_S):
            ready = await self._exchange(process, (self._options.order(),), self._read_ready)
        self._note_sandbox(ready.layers)
        self._tell(ready)
        self.ready = ready

    @staticmethod
    async def _read_ready(answers: StreamReader) -> Ready:
        return Ready.parse(await _said(answers))

    def _tell(self, ready: Ready) -> None:
        """Log what it has and has not, where that is news."""
        if ready == self.ready:
            return
        for part, fault in (
            ("hashes", ready.hash_fault),
            ("classifier", ready.classifier_fault),
            ("words", ready.words_fault),
        ):
            if fault:
                log.warning("sight.missing", extra={"part": part, "reason": fault})
        for each in ready.lists:
            level = logging.WARNING if each.faults or each.bad_lines else logging.INFO
            extra = {
                "list": each.name,
                "hashes": each.hashes,
                "bad_lines": each.bad_lines,
                "faults": "; ".join(each.faults),
            }
            log.log(level, "hash_list.read", extra=extra)


async def _said(answers: StreamReader) -> bytes:
    """A JSON object as the process says it.

    Raises:
        EOFError: It ends before, or is too long.
    """
    (length,) = LENGTH.unpack(await answers.readexactly(LENGTH.size))
    if length > SAID_BYTES_MAX:
        raise EOFError("an answer that is too long")
    return await answers.readexactly(length)
