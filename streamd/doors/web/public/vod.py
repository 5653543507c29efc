"""Recordings for viewers: playlists and media files below ``/vod/{id}``, and all of it as one MP4.

A recording lies on disk as it is sent, so that a request reads a file and computes no media; what the disk does not
have any more is read from the bucket, or fetched there by the viewer. A private recording
answers as if there were none; one that is deleted, and one of a user who is suspended, answer with 410, and what is
being sent of them ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from aiohttp import hdrs, web

from streamd.doors.delivery.byte_range import UnsatisfiableRangeError, byte_range
from streamd.doors.delivery.decide import accepts_gzip
from streamd.doors.delivery.entrance import ticketed
from streamd.doors.web.public.recorded_playlists import RecordedPlaylists, Span
from streamd.doors.web.public.web_entrance import TICKET_FIELD, visitor_of
from streamd.doors.web.slices import UNSENT_BYTES_MAX, slices
from streamd.errors import StorageError, StoreUnavailableError
from streamd.services.playback.claims import Audience
from streamd.services.recording.folder import INDEX_NAME, PLAYLIST_NAME, STORYBOARD_NAME, THUMBNAIL_NAME
from streamd.services.recording.recording_id import is_recording_id
from streamd.services.recording.records import RecordingState, Visibility
from streamd.services.storage.faults import StorageFault

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from pathlib import Path
    from typing import TypeVar

    from streamd.clock import Clock
    from streamd.doors.web.public.media import MediaTimeouts
    from streamd.doors.web.public.recorded_playlists import ServedPlaylist
    from streamd.doors.web.public.web_entrance import WebEntrance
    from streamd.services.metrics import Metrics
    from streamd.services.playback.viewing import Viewing
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.recorder import Recorder
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.storage.stored_recordings import StoredRecordings

    Editor: TypeAlias = Callable[[AsyncGenerator[bytes | memoryview], int], AsyncGenerator[bytes | memoryview]]
    T = TypeVar("T")

VIEWING: Final[web.RequestKey[Viewing | None]] = web.RequestKey("viewing")
"""In a request: by what its viewer was let in; None where everybody may see the recording."""
PLAYLIST_TYPE: Final = "application/vnd.apple.mpegurl"
MP4_TYPE: Final = "video/mp4"
# A file is read and sent a piece at a time; the next piece is read when the viewer has taken this one. A viewer that
# reads nothing makes us hold one.
PIECE_BYTES: Final = 48 * 1024
# What the index has said of a recording holds for a moment: a player asks for a segment every other second.
KNOWN_S: Final = 1.0
KNOWN_MAX: Final = 1024
# The index is asked for so many recordings at once: who tries thousands of ids keeps nobody's key from being looked up.
LOOK_UPS_MAX: Final = 32

# Players ask again after this where the bucket does not answer, seconds.
RETRY_AFTER_S: Final = "5"

_OPEN: Final = frozenset({RecordingState.RECORDING, RecordingState.FINALIZING})
PUBLIC_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}
# A playlist of a recording that goes on changes with every segment. One that is complete may be deleted, so that
# caches forget it soon.
OPEN_CACHE: Final = "max-age=1"
_ENDED_CACHE: Final = "max-age=60"
_MEDIA_NAME: Final = re.compile(r"\d{6,9}\.m4s|init\d{1,9}\.mp4")
_VARIANT_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")


class VodRoutes:
    """The routes of recordings.

    Args:
        recorder: Knows the recordings.
        is_taken_down: Says whether a channel is dark.
        is_hidden: Says whether a recording was taken down by itself.
        clock: Measures for how long an answer of the index holds.
        metrics: Counted into.
        timeouts: Times after which a viewer's connection is closed; asked for with each answer.
        stored: Recordings in the bucket; None where there is none.
        entrance: Asks who may watch; None: everybody.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        is_taken_down: Callable[[str], bool],
        is_hidden: Callable[[str], bool] = lambda _: False,
        clock: Clock,
        metrics: Metrics,
        timeouts: Callable[[], MediaTimeouts],
        stored: StoredRecordings | None = None,
        entrance: WebEntrance | None = None,
    ) -> None:
        self._entrance = entrance
        self._recorder = recorder
        self._stored = stored
        self._is_taken_down = is_taken_down
        self._is_hidden = is_hidden
        self._clock = clock
        self._metrics = metrics
        self._timeouts = timeouts
        self._playlists = RecordedPlaylists(recorder.read)
        self._known: dict[str, tuple[float, RecordingRecord | None]] = {}
        self._edits = recorder.index.edits
        # Under way, by the id and by what had been edited when they began.
        self._look_ups: dict[tuple[str, int], asyncio.Task[RecordingRecord | None]] = {}

    @property
    def held_bytes(self) -> int:
        """Memory of what is kept for viewers to come, bytes."""
        return self._playlists.held_bytes

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the public application."""
        add = app.router.add_get
        add("/vod/~{ticket}/{id}.mp4", self._get_mp4)
        add("/vod/{id}.mp4", self._get_mp4)
        # With a viewer's ticket, before names that could be taken for one.
        for at in ("/vod/{id}/~{ticket}", "/vod/{id}"):
            add(f"{at}/{INDEX_NAME}", self._get_index)
            add(f"{at}/{{variant}}.m3u8", self._get_playlist)
            add(f"{at}/{{variant}}/{{file}}", self._get_file)
        add("/api/v1/recordings/{id}", self._describe)

    async def find(self, recording_id: str) -> RecordingRecord | HTTPStatus:
        """A recording that the public may see, or why there is none."""
        if not is_recording_id(recording_id):
            return HTTPStatus.NOT_FOUND
        if self._edits != self._recorder.index.edits:
            # What somebody has deleted or made private is so at once.
            self._edits = self._recorder.index.edits
            self._known.clear()
        known_at, record = self._known.get(recording_id, (float("-inf"), None))
        if self._clock.monotonic() - known_at > KNOWN_S:
            try:
                record = await self._look_up(recording_id)
            except StoreUnavailableError:
                return HTTPStatus.SERVICE_UNAVAILABLE
        if record is None or record.visibility is Visibility.PRIVATE:
            return HTTPStatus.NOT_FOUND
        if record.state is RecordingState.DELETED or self._is_taken_down(record.user) or self._is_hidden(record.id):
            return HTTPStatus.GONE
        return record

    async def seen(self, request: web.Request, wanted: Audience = Audience.VIDEO) -> RecordingRecord | HTTPStatus:
        """The recording that a request is for, which its viewer may see, or why there is none.

        Args:
            request: The request, with the id in its path.
            wanted: What of it is asked for.

        Raises:
            PlaybackRefusedError: There is one, and the viewer may not see it.
        """
        record = await self.find(request.match_info["id"])
        if not isinstance(record, HTTPStatus):
            await self.let_in(request, record, wanted)
        return record

    async def let_in(self, request: web.Request, record: RecordingRecord, wanted: Audience = Audience.VIDEO) -> None:
        """Let the viewer of a request see a recording.

        Raises:
            PlaybackRefusedError: They may not.
        """
        if self._entrance is not None:
            watches = request.path.endswith(".m3u8")
            # Of a clip, its own id is in the path.
            part = request.match_info.get("id", "")
            request[VIEWING] = await self._entrance.let_in(
                request, record.id, wanted, owner=record.user, part=part, watches=watches
            )

    async def _look_up(self, recording_id: str) -> RecordingRecord | None:
        """Ask the index, once for all who ask for the same.

        Raises:
            StoreUnavailableError: It could not be asked, or is asked too much.
        """
        key = recording_id, self._recorder.index.edits
        task = self._look_ups.get(key)
        if task is None:
            if len(self._look_ups) >= LOOK_UPS_MAX:
                raise StoreUnavailableError(f"{LOOK_UPS_MAX} recordings are being looked up already")
            task = self._look_ups[key] = asyncio.create_task(self._ask(recording_id))
            task.add_done_callback(lambda done: self._end_look_up(key, done))
        return await asyncio.shield(task)

    async def _ask(self, recording_id: str) -> RecordingRecord | None:
        edits = self._recorder.index.edits
        record = await self._recorder.index.find(recording_id)
        if edits == self._recorder.index.edits:
            self._known.pop(recording_id, None)
            while len(self._known) >= KNOWN_MAX:
                del self._known[next(iter(self._known))]
            self._known[recording_id] = self._clock.monotonic(), record
        return record

    def _end_look_up(self, key: tuple[str, int], task: asyncio.Task[RecordingRecord | None]) -> None:
        del self._look_ups[key]
        if not task.cancelled():
            # It is read: all who asked may have left.
            task.exception()

    # -- handlers ---------------------------------------------------------------------------------

    async def _describe(self, request: web.Request) -> web.StreamResponse:
        """What viewers may know of a recording."""
        record = await self.find(request.match_info["id"])
        if isinstance(record, HTTPStatus):
            return absent(record)
        self.check_blocked(request, record)
        is_locked = is_for_some = self._is_locked(record)
        at = f"/vod/{record.id}"
        if is_locked and self._entrance is not None and (ticket := request.headers.get(TICKET_FIELD, "")):
            visitor = visitor_of(request)
            gate = self._entrance.gate
            gate.enter(record.id, ticket, Audience.VIDEO, visitor.address, watches=False, owner=record.user)
            is_locked, at = False, f"{at}/~{ticket}"
        thumbnails = self._recorder.folder(record).thumbnails
        drawn = await self._recorder.read(
            lambda: {name for name in (THUMBNAIL_NAME, STORYBOARD_NAME) if (thumbnails / name).exists()}
        )
        facts = {
            "id": record.id,
            "user": record.user,
            "state": record.state,
            "title": record.title,
            "started_at": record.started_at.isoformat(timespec="milliseconds"),
            "duration_s": record.duration_ms / 1000,
            "playlist": f"/vod/{record.id}/{INDEX_NAME}",
            "mp4": f"/vod/{record.id}.mp4",
            "watch": f"/watch/vod/{record.id}",
            # Of a recording that has ended, and whose pictures are drawn.
            "poster": f"{at}/poster.jpg" if THUMBNAIL_NAME in drawn and not is_locked else None,
            "storyboard": f"{at}/{STORYBOARD_NAME}" if STORYBOARD_NAME in drawn and not is_locked else None,
        }
        # A cache in front must not give a stranger what a viewer was told.
        age = OPEN_CACHE if is_locked == is_for_some else "no-store"
        caching: dict[str, str] = {hdrs.CACHE_CONTROL: age, hdrs.VARY: TICKET_FIELD}
        return web.json_response(facts, headers={**PUBLIC_HEADERS, **caching})

    async def _get_index(self, request: web.Request) -> web.StreamResponse:
        """The multivariant playlist; its media playlists are named as the contract has them."""
        record = await self.seen(request)
        if isinstance(record, HTTPStatus):
            return absent(record)

        async def read(folder: RecordingFolder) -> str:
            return await self._recorder.read(lambda: folder.index.read_text(errors="replace"))

        try:
            text = await self._on_disk(record, read, _is_index)
        except (OSError, StorageError) as exc:
            return _unreadable(exc)
        viewing = request.get(VIEWING)
        text = text.replace(f"/{PLAYLIST_NAME}", ".m3u8")
        if viewing is not None and "ticket" not in request.match_info:
            text = ticketed(text.encode(), viewing).decode()
        return _playlist(text, record, is_locked=viewing is not None)

    async def _get_playlist(self, request: web.Request) -> web.StreamResponse:
        """The media playlist of a variant."""
        record = await self.seen(request)
        variant = request.match_info["variant"]
        if isinstance(record, HTTPStatus):
            return absent(record)
        if not _VARIANT_NAME.fullmatch(variant):
            return absent(HTTPStatus.NOT_FOUND)

        async def find(folder: RecordingFolder) -> ServedPlaylist:
            is_over = record.state not in _OPEN
            return await self._playlists.find(folder.playlist(variant), f"{variant}/", is_over=is_over)

        try:
            playlist = await self._on_disk(record, find, partial(_is_small_file_of, variant))
        except (OSError, StorageError) as exc:
            return _unreadable(exc)
        return await self._send_playlist(request, playlist, record)

    async def _get_file(self, request: web.Request) -> web.StreamResponse:
        """A media file, a CMAF header, or a playlist as it lies beside them."""
        record = await self.seen(request)
        variant, name = request.match_info["variant"], request.match_info["file"]
        if isinstance(record, HTTPStatus):
            return absent(record)
        is_playlist = name == PLAYLIST_NAME
        if not _VARIANT_NAME.fullmatch(variant) or not (is_playlist or _MEDIA_NAME.fullmatch(name)):
            return absent(HTTPStatus.NOT_FOUND)
        path = self._recorder.folder(record).variant(variant) / name
        try:
            size_bytes = await self._recorder.read(lambda: path.stat().st_size)
        except FileNotFoundError:
            try:
                stored_bytes, address = await self._in_bucket(record, f"media/hls/{variant}/{name}")
            except StorageError as exc:
                return _unreadable(exc)
            if stored_bytes is None:
                return absent(HTTPStatus.NOT_FOUND)
            if address is not None:
                self._recorder.watched.note(record.id)
                return _elsewhere(address, is_locked=request.get(VIEWING) is not None)
            size_bytes = stored_bytes
        except OSError:
            return absent(HTTPStatus.NOT_FOUND)
        media_type = PLAYLIST_TYPE if is_playlist else MP4_TYPE
        return await self.send(request, [Span(path, 0, size_bytes)], media_type, record)

    async def _get_mp4(self, request: web.Request) -> web.StreamResponse:
        """The CMAF header and all media of a variant, one behind the other: a fragmented MP4."""
        record = await self.seen(request)
        variant = request.query.get("variant", "main")
        if isinstance(record, HTTPStatus):
            return absent(record)
        if not _VARIANT_NAME.fullmatch(variant):
            return absent(HTTPStatus.NOT_FOUND)

        async def find(folder: RecordingFolder) -> tuple[tuple[Span, ...], ...]:
            return await self._playlists.runs(folder.playlist(variant))

        try:
            runs = await self._on_disk(record, find, partial(_is_small_file_of, variant))
        except (OSError, StorageError) as exc:
            return _unreadable(exc)
        chosen = request.query.get("run", "0" if len(runs) == 1 else "")
        if not (chosen.isascii() and chosen.isdigit() and len(chosen) < 7 and int(chosen) < len(runs)):
            # One file has one CMAF header.
            detail = f"The encoder changed its tracks: ask for one of the {len(runs)} pieces with ?run=0 and up."
            return absent(HTTPStatus.NOT_FOUND if not runs else HTTPStatus.CONFLICT, detail if runs else "")
        name = f"{record.user} {record.started_at:%Y-%m-%d %H.%M}.mp4"
        disposition: dict[str, str] = {hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"'}
        return await self.send(request, runs[int(chosen)], MP4_TYPE, record, disposition)

    # -- inside -------------------------------------------------------------------------------------

    async def _on_disk(
        self,
        record: RecordingRecord,
        ask: Callable[[RecordingFolder], Awaitable[T]],
        is_needed: Callable[[str], bool],
    ) -> T:
        """Ask the small files of a recording, brought from the bucket where this machine's disk lacks them.

        Raises:
            OSError: They cannot be read, or there are none.
            StorageError: The bucket does not give them.
        """
        try:
            return await ask(self._recorder.folder(record))
        except FileNotFoundError:
            folder = None
            if self._stored is not None and record.state not in _OPEN:
                folder = await self._stored.bring(record, is_needed)
            if folder is None:
                raise
        return await ask(folder)

    async def _in_bucket(self, record: RecordingRecord, path: str) -> tuple[int | None, str | None]:
        """The size of a file that the disk does not have, and where the viewer may fetch it; None for neither.

        Raises:
            StorageError: The bucket does not answer.
        """
        if self._stored is None or record.state in _OPEN:
            return None, None
        size_bytes = await self._stored.size_bytes(record, path)
        return size_bytes, await self._stored.address(record, path) if size_bytes is not None else None

    async def send(
        self,
        request: web.Request,
        spans: Sequence[Span],
        media_type: str,
        record: RecordingRecord,
        more: dict[str, str] | None = None,
        *,
        tag: str = "",
        is_gone: Callable[[], Awaitable[bool]] | None = None,
        edit: Editor | None = None,
    ) -> web.StreamResponse:
        """Send bytes of files, or the range of them that is asked for.

        Args:
            request: The request.
            spans: What there is, one behind the other.
            media_type: Its content type.
            record: The recording that it is of.
            more: Header fields.
            tag: Names what it is, where that is not all of the recording.
            is_gone: Says whether it may be seen no more; None for what is asked of the recording.
            edit: Changes the bytes, from a place on; None for none.
        """
        size_bytes = sum(span.stop - span.start for span in spans)
        # A piece of a recording stays as it is, also where the recording goes on.
        is_open = record.state in _OPEN and not tag
        headers = {
            **PUBLIC_HEADERS,
            **(more or {}),
            hdrs.CONTENT_TYPE: media_type,
            hdrs.ACCEPT_RANGES: "bytes",
            hdrs.CACHE_CONTROL: _caching(record, is_locked=request.get(VIEWING) is not None),
        }
        if not is_open:
            headers[hdrs.ETAG] = f'"{size_bytes:x}-{(tag or record.id)[-8:]}{"-0" if edit is not None else ""}"'
        start, stop, status = 0, size_bytes, HTTPStatus.OK
        condition = request.headers.get(hdrs.IF_RANGE, "")
        if request.method == "GET" and (not condition or condition == headers.get(hdrs.ETAG)):
            try:
                asked = byte_range(request.headers.get(hdrs.RANGE, ""), size_bytes)
            except UnsatisfiableRangeError:
                return absent(
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, more={hdrs.CONTENT_RANGE: f"bytes */{size_bytes}"}
                )
            if asked is not None:
                (start, stop), status = asked, HTTPStatus.PARTIAL_CONTENT
                headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{stop - 1}/{size_bytes}"
        read: list[bytes | memoryview] = []
        async with contextlib.aclosing(self._pieces(record, spans, start, stop)) as pieces:
            if self._stored is not None and request.method == "GET":
                # A bucket that does not answer is told of as long as something can be told; the first piece may be a
                # header, which the disk has.
                try:
                    read = [piece async for piece in _first(2, pieces)]
                except (OSError, StorageError) as exc:
                    return _unreadable(exc)
            response = web.StreamResponse(status=status, headers=headers)
            response.content_length = stop - start
            all_pieces = _behind(read, pieces)
            edited = edit(all_pieces, start) if edit is not None else all_pieces
            return await self._stream(request, response, edited, record, is_gone)

    async def _send_playlist(
        self, request: web.Request, playlist: ServedPlaylist, record: RecordingRecord
    ) -> web.StreamResponse:
        """Send a media playlist, compressed where that is accepted."""
        headers = {
            **PUBLIC_HEADERS,
            hdrs.CONTENT_TYPE: PLAYLIST_TYPE,
            hdrs.CACHE_CONTROL: _caching(record, is_locked=request.get(VIEWING) is not None),
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
        }
        is_packed = accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, ""))
        if is_packed:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        response = web.StreamResponse(headers=headers)
        response.content_length = len(playlist.gzipped) if is_packed else playlist.size_bytes

        async def pieces() -> AsyncGenerator[bytes | memoryview]:
            for piece in slices(playlist.gzipped) if is_packed else playlist.unpacked(PIECE_BYTES):
                yield piece

        return await self._stream(request, response, pieces(), record)

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        pieces: AsyncGenerator[bytes | memoryview],
        record: RecordingRecord,
        is_gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> web.StreamResponse:
        """Send an answer a piece at a time, for as long as its recording may be seen."""
        edits = self._recorder.index.edits
        viewing = request.get(VIEWING)
        blocks = self._blocks()
        self._metrics.http_responses_total.labels("vod", str(response.status)).inc()
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        write_timeout_s = self._timeouts().viewer_write_timeout_s
        try:
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    if edits != self._recorder.index.edits or self._is_taken_down(record.user):
                        edits = self._recorder.index.edits
                        if await (is_gone() if is_gone is not None else self._is_gone(record)):
                            raise OSError("the recording may not be seen any more")
                    if blocks != (blocks := self._blocks()) and self._is_blocked(request, record):
                        raise OSError("it may not be shown there any more")
                    if viewing is not None and not viewing.lasts():
                        raise OSError("the viewer may not watch any more")
                    if viewing is None and self._is_locked(record):
                        raise OSError("not everybody may watch any more")
                    # A viewer that takes no bytes is closed; a slow one is served at its pace.
                    async with asyncio.timeout(write_timeout_s):
                        await response.write(piece)
                    self._recorder.watched.note(record.id)
                    self._metrics.http_egress_bytes_total.inc(len(piece))
            await response.write_eof()
        except (TimeoutError, OSError, StorageError):
            # The viewer is gone, or the file, or the bucket: with a length that was promised, only the end of the
            # connection says so.
            if request.transport is not None:
                request.transport.abort()
        return response

    def _is_locked(self, record: RecordingRecord) -> bool:
        """Whether somebody has to show something to see a recording."""
        return self._entrance is not None and self._entrance.gate.is_locked(record.id, record.user)

    def check_blocked(self, request: web.Request, record: RecordingRecord) -> None:
        """See that a recording, or the clip of it that a request is for, may be shown to an address.

        Raises:
            PlaybackRefusedError: It may not.
        """
        if self._entrance is not None:
            part = request.match_info.get("id", "")
            self._entrance.gate.check_blocked(visitor_of(request).address, record.id, record.user, part)

    def _blocks(self) -> int:
        """What was blocked so far, counted."""
        return self._entrance.gate.view_blocks.epoch if self._entrance is not None else 0

    def _is_blocked(self, request: web.Request, record: RecordingRecord) -> bool:
        """Whether a recording, or the clip of it that a request is for, may not be shown to its viewer."""
        assert self._entrance is not None, "something was blocked"
        part = request.match_info.get("id", "")
        return self._entrance.gate.is_blocked(visitor_of(request).address, record.id, record.user, part)

    async def _is_gone(self, record: RecordingRecord) -> bool:
        """Whether a recording that is being sent may be seen no more."""
        if self._is_taken_down(record.user):
            return True
        found = await self.find(record.id)
        # An index that does not answer takes nothing from anybody.
        return isinstance(found, HTTPStatus) and found is not HTTPStatus.SERVICE_UNAVAILABLE

    async def _pieces(
        self, record: RecordingRecord, spans: Sequence[Span], start: int, stop: int
    ) -> AsyncGenerator[bytes | memoryview]:
        """Read bytes of files that stand one behind the other.

        Raises:
            OSError: A file cannot be read, or is shorter than it was.
            StorageError: The bucket does not give what the disk does not have.
        """
        place = 0
        for span in spans:
            length = span.stop - span.start
            first, last = max(start - place, 0), min(stop - place, length)
            place += length
            if first >= last:
                continue
            try:
                opened = await self._recorder.read(partial(_open, span.path))
            except FileNotFoundError:
                if self._stored is None:
                    raise
                # The folders of a variant and of its recording are named alike, here and in the bucket.
                path = f"media/hls/{span.path.parent.name}/{span.path.name}"
                stored = self._stored.read(record, path, span.start + first, span.start + last)
                async with contextlib.aclosing(stored):
                    async for read in stored:
                        for piece in slices(read, PIECE_BYTES):
                            yield piece
                continue
            with opened as file:
                file.seek(span.start + first)
                left = last - first
                while left:
                    data = await self._recorder.read(partial(file.read, min(left, PIECE_BYTES)))
                    if not data:
                        raise OSError("the file is shorter than it was")
                    left -= len(data)
                    yield data


async def _first(count: int, pieces: AsyncGenerator[bytes | memoryview]) -> AsyncGenerator[bytes | memoryview]:
    """So many pieces, if there are as many."""
    for _ in range(count):
        try:
            yield await anext(pieces)
        except StopAsyncIteration:
            return


async def _behind(
    first: Sequence[bytes | memoryview], rest: AsyncGenerator[bytes | memoryview]
) -> AsyncGenerator[bytes | memoryview]:
    """All pieces, of which the first were read already."""
    async with contextlib.aclosing(rest):
        for piece in first:
            yield piece
        async for piece in rest:
            yield piece


def _is_index(path: str) -> bool:
    return path == f"media/hls/{INDEX_NAME}"


def _is_small_file_of(variant: str, path: str) -> bool:
    """Whether a file of a recording is a variant's playlist, or one of its CMAF headers."""
    return path.startswith(f"media/hls/{variant}/") and path.endswith((".m3u8", ".mp4"))


def _elsewhere(address: str, *, is_locked: bool) -> web.Response:
    """Where a viewer finds it; the address holds for minutes, and caches forget it before.

    It opens the media to whoever has it: what not everybody may see is in no cache at all.
    """
    caching: dict[str, str] = {hdrs.CACHE_CONTROL: "no-store" if is_locked else _ENDED_CACHE}
    return web.Response(status=HTTPStatus.FOUND, headers={**PUBLIC_HEADERS, hdrs.LOCATION: address, **caching})


def _unreadable(exc: Exception) -> web.Response:
    """The answer where a recording's files are not to be had."""
    if isinstance(exc, StorageError) and exc.reason != StorageFault.MISSING:
        more: dict[str, str] = {hdrs.RETRY_AFTER: RETRY_AFTER_S}
        return absent(HTTPStatus.SERVICE_UNAVAILABLE, "This recording cannot be read at the moment.", more)
    return absent(HTTPStatus.NOT_FOUND)


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _caching(record: RecordingRecord, *, is_locked: bool) -> str:
    """For how long an answer may be kept, and where: what not everybody may see is kept by its viewer alone."""
    age = OPEN_CACHE if record.state in _OPEN else _ENDED_CACHE
    return f"private, {age}" if is_locked else age


def _playlist(text: str, record: RecordingRecord, *, is_locked: bool) -> web.Response:
    caching = _caching(record, is_locked=is_locked)
    response = web.Response(
        text=text, content_type=PLAYLIST_TYPE, headers={**PUBLIC_HEADERS, hdrs.CACHE_CONTROL: caching}
    )
    response.enable_compression()
    return response


def absent(status: HTTPStatus, detail: str = "", more: dict[str, str] | None = None) -> web.Response:
    """The answer where nothing of a recording can be sent.

    Args:
        status: Why.
        detail: In words; empty for the usual ones.
        more: Header fields.
    """
    told = {
        HTTPStatus.NOT_FOUND: "There is no such recording.",
        HTTPStatus.GONE: "This recording has been taken down.",
        HTTPStatus.SERVICE_UNAVAILABLE: "Recordings cannot be looked up at the moment.",
    }
    return web.json_response(
        {"title": status.phrase, "status": status.value, "detail": detail or told.get(status, status.phrase)},
        status=status,
        headers={**PUBLIC_HEADERS, hdrs.CACHE_CONTROL: OPEN_CACHE, **(more or {})},
        content_type="application/problem+json",
    )
