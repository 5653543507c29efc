"""The bytes of recordings: from this machine's disk, or from the bucket where the disk has them not any more."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from streamd.doors.web.public.piecewise import PIECE_BYTES, file_pieces
from streamd.doors.web.slices import slices
from streamd.formats.cmaf.decode_times import decode_times, timescales
from streamd.formats.cmaf.edit_list import with_edit_lists
from streamd.services.recording.records import RecordingState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from streamd.doors.web.public.recorded_playlists import Span
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.recorder import Recorder
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.storage.stored_recordings import StoredRecordings

T = TypeVar("T")

OPEN: Final = frozenset({RecordingState.RECORDING, RecordingState.FINALIZING})
# A CMAF header of ours has a kilobyte, and the description of a part some; of longer ones the times stay as they are.
HEADER_BYTES_MAX: Final = 64 * 1024
_MOOF_BYTES_MAX: Final = 64 * 1024


class RecordedBytes:
    """Reads recordings for viewers.

    Args:
        recorder: Knows where they are, and reads them in threads.
        stored: Recordings in the bucket; None where there is none.
    """

    def __init__(self, recorder: Recorder, stored: StoredRecordings | None) -> None:
        self._recorder = recorder
        self._stored = stored

    @property
    def may_be_away(self) -> bool:
        """Whether reading may fail because of a bucket."""
        return self._stored is not None

    async def ask_small(
        self,
        record: RecordingRecord,
        ask: Callable[[RecordingFolder], Awaitable[T]],
        is_needed: Callable[[str], bool],
    ) -> T:
        """Ask the small files of a recording, brought from the bucket where this machine's disk lacks them.

        Args:
            record: The recording.
            ask: Asks a folder.
            is_needed: Says of a path under the folder whether it is to be there.

        Raises:
            OSError: They cannot be read, or there are none.
            StorageError: The bucket does not give them.
        """
        try:
            return await ask(self._recorder.folder(record))
        except FileNotFoundError:
            folder = None
            if self._stored is not None and record.state not in OPEN:
                folder = await self._stored.bring(record, is_needed)
            if folder is None:
                raise
        return await ask(folder)

    async def in_bucket(self, record: RecordingRecord, path: str) -> tuple[int | None, str | None]:
        """The size of a file that the disk does not have, and where the viewer may fetch it; None for neither.

        Raises:
            StorageError: The bucket does not answer.
        """
        if self._stored is None or record.state in OPEN:
            return None, None
        size_bytes = await self._stored.size_bytes(record, path)
        return size_bytes, await self._stored.address(record, path) if size_bytes is not None else None

    async def pieces(
        self, record: RecordingRecord, spans: Sequence[Span | bytes], start: int, stop: int
    ) -> AsyncGenerator[bytes | memoryview]:
        """Bytes of what stands one behind the other: ranges of files, and bytes that are in memory.

        Args:
            record: The recording that they are of.
            spans: All of it.
            start: The first byte.
            stop: The one behind the last.

        Raises:
            OSError: A file cannot be read, or is shorter than it was.
            StorageError: The bucket does not give what the disk does not have.
        """
        place = 0
        for span in spans:
            length = len(span)
            first, last = max(start - place, 0), min(stop - place, length)
            place += length
            if first >= last:
                continue
            if isinstance(span, bytes):
                yield span[first:last]
                continue
            async with contextlib.aclosing(self._of_span(record, span, first, last)) as found:
                async for piece in found:
                    yield piece

    async def from_zero(self, record: RecordingRecord, spans: Sequence[Span]) -> Sequence[Span | bytes]:
        """A CMAF header and media behind it, with a header by which players show it from 0 on.

        Args:
            record: The recording.
            spans: The header, and the media; as they are where they are something else.

        Raises:
            OSError: They cannot be read.
            StorageError: The bucket does not give them.
        """
        if len(spans) < 2 or len(spans[0]) > HEADER_BYTES_MAX:
            return spans
        header = await self._read(record, spans[0], len(spans[0]))
        head = await self._read(record, spans[1], 8)
        moof = await self._read(record, spans[1], min(int.from_bytes(head[:4], "big"), _MOOF_BYTES_MAX))
        scales = timescales(header)
        began = min(
            (Fraction(time.ticks, scales[time.track_id]) for time in decode_times(moof) if time.track_id in scales),
            default=None,
        )
        if began is None:
            return spans
        # Both tracks are shown from the same instant on, and keep their distance.
        media_times = {track_id: round(began * timescale) for track_id, timescale in scales.items()}
        return [with_edit_lists(header, media_times), *spans[1:]]

    async def _read(self, record: RecordingRecord, span: Span, size_bytes: int) -> bytes:
        """The first bytes of a span."""
        stop = min(size_bytes, len(span))
        async with contextlib.aclosing(self._of_span(record, span, 0, stop)) as found:
            return b"".join([bytes(piece) async for piece in found])

    async def _of_span(
        self, record: RecordingRecord, span: Span, first: int, last: int
    ) -> AsyncGenerator[bytes | memoryview]:
        if first >= last:
            return
        try:
            opened = await self._recorder.read(partial(_open, span.path))
        except FileNotFoundError:
            if self._stored is None:
                raise
            # The folders of a variant and of its recording are named alike, here and in the bucket.
            path = f"media/hls/{span.path.parent.name}/{span.path.name}"
            async with contextlib.aclosing(
                self._stored.read(record, path, span.start + first, span.start + last)
            ) as stored:
                async for read in stored:
                    for part in slices(read, PIECE_BYTES):
                        yield part
            return
        with opened as file:
            async with contextlib.aclosing(
                file_pieces(self._recorder.read, file, span.start + first, span.start + last)
            ) as pieces:
                async for piece in pieces:
                    yield piece


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
