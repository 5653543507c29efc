"""The process that draws pictures from keyframes, kept for as long as pictures are asked for.

Decoding is where a publisher's bytes can do the most harm, so it happens outside of the server. The process costs some
0.2 s of processor time to start, and 45 MB while it is there. It names the layers that hold it in every answer
(``picture_worker``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.errors import PictureError
from streamd.media.picture import ANSWER, ORDER, ORDER_BYTES_MAX, PICTURE_BYTES_MAX, PictureKind
from streamd.media.pixels import PIXELS_BYTES_MAX
from streamd.media.storyboard import CellSize
from streamd.services.sandbox import Layer
from streamd.services.sandbox.worker_process import REST_S, REST_S_MAX, WorkerProcess

if TYPE_CHECKING:
    from asyncio import StreamReader
    from collections.abc import Mapping, Sequence

    from streamd.clock import Clock

__all__ = ["REST_S", "REST_S_MAX", "PictureProcess"]

# From an order to its answer; a keyframe of 8K takes under a second of a processor that has nothing else to do.
DRAW_TIMEOUT_S = 5.0
# The process ends after this time without an order: on many servers nobody looks at the list of channels for hours.
IDLE_TIMEOUT_S = 60.0
# A poster is of no cell's size.
NO_CELL = CellSize(0, 0)


class PictureProcess(WorkerProcess):
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
        super().__init__(
            command,
            environment,
            clock,
            name="picture_worker",
            answer_timeout_s=draw_timeout_s,
            idle_timeout_s=IDLE_TIMEOUT_S,
        )

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

    async def draw_pixels(self, cmaf_header: bytes, picture: bytes, box: CellSize) -> bytes | None:
        """Scale a keyframe, or a JPEG file, into a box, as values of pixels.

        Args:
            cmaf_header: ``ftyp`` and ``moov``; empty for a JPEG file.
            picture: ``moof`` and ``mdat`` with a keyframe in it, or the JPEG file.
            box: The largest size; each side at most ``picture.SIDE_PIXELS_MAX``.

        Returns:
            What ``pixels.draw_pixels`` says; None where nothing decodes.

        Raises:
            PictureError: As of ``draw``.
            PictureWorkerRestsError: Likewise.
        """
        return await self._order(PictureKind.PIXELS, box, cmaf_header, picture)

    async def _order(self, kind: PictureKind, size: CellSize, cmaf_header: bytes, fragment: bytes) -> bytes | None:
        if len(cmaf_header) + len(fragment) > ORDER_BYTES_MAX:
            raise PictureError(f"a keyframe of {len(fragment)} bytes is too long to be drawn")
        head = ORDER.pack(kind, size.width, size.height, len(cmaf_header), len(fragment))
        bytes_max = PIXELS_BYTES_MAX if kind is PictureKind.PIXELS else PICTURE_BYTES_MAX

        async def read(answers: StreamReader) -> bytes | None:
            layers, picture_bytes = ANSWER.unpack(await answers.readexactly(ANSWER.size))
            if picture_bytes > bytes_max:
                raise EOFError("an answer that is no picture")
            self._note_sandbox(Layer(layers))
            return await answers.readexactly(picture_bytes) or None

        return await self._ask((head, cmaf_header, fragment), read)
