"""The process that draws pictures from keyframes, kept for as long as pictures are asked for.

Decoding is where a publisher's bytes can do the most harm, so it happens outside of the server: a crash, an endless
loop or a hunger for memory ends one process, which is started anew for the next picture. A thread would share all of
that with every stream. It costs some 0.2 s of processor time to start, and 45 MB while it is there. The process
confines itself (``picture_worker``), and names the layers that hold it in every answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import TYPE_CHECKING

from streamd.errors import PictureError, PictureWorkerRestsError
from streamd.media.picture import ANSWER, ORDER, ORDER_BYTES_MAX, PICTURE_BYTES_MAX, PictureKind
from streamd.media.storyboard import CellSize
from streamd.services.sandbox import Layer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamd.clock import Clock

log = logging.getLogger(__name__)

# From an order to its answer; a keyframe of 8K takes under a second of a processor that has nothing else to do.
DRAW_TIMEOUT_S = 5.0
# The process ends after this time without an order: on many servers nobody looks at the list of channels for hours.
IDLE_TIMEOUT_S = 60.0
# A worker that fails is replaced at once, for the picture may have been to blame. A worker that fails again and again
# rests, twice as long each time, until a picture succeeds: a start takes 0.2 s of a processor.
REST_S = 1.0
REST_S_MAX = 60.0
# A poster is of no cell's size.
NO_CELL = CellSize(0, 0)


class PictureProcess:
    """Draws one picture at a time.

    Args:
        command: The worker and its arguments.
        environment: Its whole environment; ours is not inherited, and no secret belongs there.
        clock: Measures the rest of a worker that failed.
        draw_timeout_s: How long a picture may take.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        clock: Clock,
        draw_timeout_s: float = DRAW_TIMEOUT_S,
    ) -> None:
        self._command = tuple(command)
        self._environment = dict(environment)
        self._clock = clock
        self._draw_timeout_s = draw_timeout_s
        self._failures = 0
        self._rests_until = 0.0
        self._layers: Layer | None = None
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def draw(self, cmaf_header: bytes, fragment: bytes) -> bytes | None:
        """Draw the picture of a keyframe.

        Args:
            cmaf_header: ``ftyp`` and ``moov``.
            fragment: ``moof`` and ``mdat`` with a keyframe in it.

        Returns:
            A JPEG file, or None where nothing decodes.

        Raises:
            PictureError: The process did not start, died, took too long or answered nonsense; or the keyframe is longer
                than any that is drawn.
            PictureWorkerRestsError: It failed several times in a row, and is not started yet.
        """
        return await self._order(PictureKind.POSTER, NO_CELL, cmaf_header, fragment)

    async def draw_cell(self, cmaf_header: bytes, fragment: bytes, size: CellSize) -> bytes | None:
        """Draw a keyframe as a cell of a storyboard.

        Args:
            cmaf_header: ``ftyp`` and ``moov``.
            fragment: ``moof`` and ``mdat`` with a keyframe in it.
            size: Of the cell.

        Returns:
            Its pixels, ``size.bytes``; None where nothing decodes.

        Raises:
            PictureError: As of ``draw``.
            PictureWorkerRestsError: Likewise.
        """
        cell = await self._order(PictureKind.CELL, size, cmaf_header, fragment)
        return cell if cell is not None and len(cell) == size.bytes else None

    async def draw_sheet(self, cells: bytes, size: CellSize) -> bytes | None:
        """Draw cells side by side.

        Args:
            cells: One behind the other, at most ``storyboard.CELLS_MAX``.
            size: Of each.

        Returns:
            A JPEG file; None where there is none.

        Raises:
            PictureError: As of ``draw``.
            PictureWorkerRestsError: Likewise.
        """
        return await self._order(PictureKind.SHEET, size, b"", cells)

    async def _order(self, kind: PictureKind, size: CellSize, cmaf_header: bytes, fragment: bytes) -> bytes | None:
        if len(cmaf_header) + len(fragment) > ORDER_BYTES_MAX:
            raise PictureError(f"a keyframe of {len(fragment)} bytes is too long to be drawn")
        head = ORDER.pack(kind, size.width, size.height, len(cmaf_header), len(fragment))
        async with self._turn:
            if (rest_s := self._rests_until - self._clock.monotonic()) > 0:
                raise PictureWorkerRestsError(rest_s)
            if self._idle_timer is not None:
                self._idle_timer.cancel()
            try:
                async with asyncio.timeout(self._draw_timeout_s):
                    picture = await self._ask(head, cmaf_header, fragment)
            except (OSError, EOFError, TimeoutError) as exc:
                await self._stop()
                self._note_failure()
                raise PictureError(f"no picture from the worker: {str(exc) or type(exc).__name__}") from exc
            except asyncio.CancelledError:
                await self._stop()
                raise
            self._failures = 0
            self._idle_timer = asyncio.get_running_loop().call_later(IDLE_TIMEOUT_S, self._end_idle)
            return picture

    async def close(self) -> None:
        """End the process."""
        async with self._turn:
            await self._stop()

    async def _ask(self, *order: bytes) -> bytes | None:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=self._environment, start_new_session=True
            )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.writelines(order)
        await process.stdin.drain()
        layers, picture_bytes = ANSWER.unpack(await process.stdout.readexactly(ANSWER.size))
        if picture_bytes > PICTURE_BYTES_MAX:
            raise EOFError("an answer that is no picture")
        self._note_sandbox(Layer(layers))
        return await process.stdout.readexactly(picture_bytes) or None

    def _note_failure(self) -> None:
        self._failures += 1
        if self._failures > 1:
            rest_s = min(REST_S * 2 ** (self._failures - 2), REST_S_MAX)
            self._rests_until = self._clock.monotonic() + rest_s

    def _note_sandbox(self, layers: Layer) -> None:
        """Log once the layers that hold the worker on this machine."""
        if layers == self._layers:
            return
        self._layers = layers
        missing = ~layers
        level = logging.WARNING if missing & (Layer.CALLS | Layer.FILES) else logging.INFO
        log.log(level, "picture_worker.locked", extra={"layers": layers.words, "missing": missing.words})

    def _end_idle(self) -> None:
        if not self._turn.locked():
            self._stopping = asyncio.ensure_future(self.close())

    async def _stop(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()
        # The failed write is handled already; Pythons before 3.11.5 log it when nothing awaits it.
        with contextlib.suppress(OSError):
            await process.stdin.wait_closed()
