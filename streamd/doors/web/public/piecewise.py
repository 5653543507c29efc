"""Answers that are sent a piece at a time: for as long as what they are of may be seen by who asked for it.

A file is read and sent a piece at a time; the next piece is read when the viewer has taken this one. A viewer that
reads nothing makes us hold one, and is closed after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from streamd.doors.delivery.byte_range import byte_range
from streamd.doors.web.public.web_entrance import visitor_of
from streamd.doors.web.slices import UNSENT_BYTES_MAX
from streamd.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from typing import BinaryIO, TypeAlias

    from streamd.doors.web.public.media import MediaTimeouts
    from streamd.doors.web.public.recorded_playlists import Reader
    from streamd.doors.web.public.web_entrance import WebEntrance
    from streamd.services.metrics import Metrics
    from streamd.services.playback.viewing import Viewing
    from streamd.services.recording.watched import Watched

    Pieces: TypeAlias = AsyncGenerator[bytes | memoryview]

VIEWING: Final[web.RequestKey[Viewing | None]] = web.RequestKey("viewing")
"""In a request: by what its viewer was let in; None where everybody may see what it is for."""
PLAYLIST_TYPE: Final = "application/vnd.apple.mpegurl"
MP4_TYPE: Final = "video/mp4"
PIECE_BYTES: Final = 48 * 1024


class PiecewiseAnswers:
    """Sends answers a piece at a time.

    Args:
        kind: The word for them in metrics.
        metrics: Counted into.
        timeouts: Times after which a viewer's connection is closed; asked for with each answer.
        watched: Told of each recording of which something is sent.
        entrance: Asks who may watch; None: everybody.
    """

    def __init__(
        self,
        kind: str,
        metrics: Metrics,
        timeouts: Callable[[], MediaTimeouts],
        watched: Watched,
        entrance: WebEntrance | None,
    ) -> None:
        self._kind = kind
        self._metrics = metrics
        self._timeouts = timeouts
        self._watched = watched
        self._gate = entrance.gate if entrance is not None else None

    async def send(
        self,
        request: web.Request,
        response: web.StreamResponse,
        pieces: Pieces,
        *,
        recording_id: str,
        owner: str,
        locked: tuple[str, str],
        is_gone: Callable[[], Awaitable[bool]],
    ) -> web.StreamResponse:
        """Send an answer.

        Args:
            request: The request; the name in its path may be blocked by itself, as that of a clip.
            response: The head of the answer, with its length.
            pieces: Its body; closed in every case.
            recording_id: The recording that it is of.
            owner: The channel of that.
            locked: What is asked of the gate: the name that may be locked, and its owner's; empty for none.
            is_gone: Says before each piece whether nobody may see it any more.
        """
        # Earlier blocks are looked at with the first piece: there may be many since the viewer was let in.
        viewing, blocks = request.get(VIEWING), 0
        self._metrics.viewing.http_responses_total.labels(self._kind, str(response.status)).inc()
        async with contextlib.aclosing(pieces):
            await response.prepare(request)
            if request.method == "HEAD":
                return response
            if request.transport is not None:
                request.transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
            write_timeout_s = self._timeouts().viewer_write_timeout_s
            try:
                async for piece in pieces:
                    if await is_gone():
                        raise OSError("it may not be seen any more")
                    if blocks != (blocks := self._blocks()) and self._is_blocked(request, recording_id, owner):
                        raise OSError("it may not be shown there any more")
                    if viewing is not None and not viewing.lasts():
                        raise OSError("the viewer may not watch any more")
                    if viewing is None and self._gate is not None and self._gate.is_locked(*locked):
                        raise OSError("not everybody may watch any more")
                    # A viewer that takes no bytes is closed; a slow one is served at its pace.
                    async with asyncio.timeout(write_timeout_s):
                        await response.write(piece)
                    self._watched.note(recording_id)
                    self._metrics.viewing.http_egress_bytes_total.inc(len(piece))
                await response.write_eof()
            except (TimeoutError, OSError, StorageError):
                # The viewer is gone, or the file, or the bucket: with a length that was promised, only the end of the
                # connection says so.
                if request.transport is not None:
                    request.transport.abort()
        return response

    def _blocks(self) -> int:
        """What was blocked so far, counted."""
        return self._gate.view_blocks.epoch if self._gate is not None else 0

    def _is_blocked(self, request: web.Request, recording_id: str, owner: str) -> bool:
        assert self._gate is not None, "something was blocked"
        part = request.match_info.get("id", "")
        return self._gate.is_blocked(visitor_of(request).address, recording_id, owner, part)


def answered_range(request: web.Request, size_bytes: int, headers: dict[str, str]) -> tuple[int, int, HTTPStatus]:
    """The part of a file or text that is to be sent, and with which status.

    Args:
        request: The request.
        size_bytes: Of all of it.
        headers: Of the answer; ``Content-Range`` is added to it. What has no ``ETag`` there is sent whole to who asks
            with ``If-Range`` (RFC 9110 13.1.5).

    Returns:
        The first byte, the one behind the last, and the status.

    Raises:
        UnsatisfiableRangeError: It has none of what is asked for.
    """
    condition = request.headers.get(hdrs.IF_RANGE, "")
    if request.method == "GET" and (not condition or condition == headers.get(hdrs.ETAG)):
        asked = byte_range(request.headers.get(hdrs.RANGE, ""), size_bytes)
        if asked is not None:
            start, stop = asked
            headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{stop - 1}/{size_bytes}"
            return start, stop, HTTPStatus.PARTIAL_CONTENT
    return 0, size_bytes, HTTPStatus.OK


async def file_pieces(read: Reader, file: BinaryIO, start: int, stop: int) -> Pieces:
    """Bytes of an open file.

    Args:
        read: Does what waits for the disk.
        file: The file; whoever opened it closes it.
        start: The first byte.
        stop: The one behind the last.

    Raises:
        OSError: It cannot be read, or is shorter.
    """
    file.seek(start)
    left = stop - start
    while left:
        data = await read(partial(file.read, min(left, PIECE_BYTES)))
        if not data:
            raise OSError("the file is shorter than it was")
        left -= len(data)
        yield data
