"""Recordings for viewers: playlists and media files below ``/vod/{id}``, and all of it as one MP4.

A recording lies on disk as it is sent, so that a request reads a file and computes no media; what the disk does not
have any more is read from the bucket, or fetched there by the viewer. A private recording
answers as if there were none; one that is deleted, and one of a user who is suspended, answer with 410, and what is
being sent of them ends.
"""

from __future__ import annotations

import contextlib
import re
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias

from aiohttp import hdrs, web

from streamd.doors.delivery.byte_range import UnsatisfiableRangeError
from streamd.doors.delivery.decide import accepts_gzip
from streamd.doors.delivery.entrance import ticketed
from streamd.doors.web.models.recordings import RecordingFacts, RecordingPath
from streamd.doors.web.openapi import Operation
from streamd.doors.web.public.forwarded import root_of
from streamd.doors.web.public.piecewise import (
    MP4_TYPE,
    PIECE_BYTES,
    PLAYLIST_TYPE,
    VIEWING,
    PiecewiseAnswers,
    answered_range,
)
from streamd.doors.web.public.recorded_bytes import OPEN, RecordedBytes
from streamd.doors.web.public.recorded_playlists import RecordedPlaylists, Span
from streamd.doors.web.public.recording_finder import RecordingFinder
from streamd.doors.web.public.web_entrance import TICKET_FIELD, visitor_of
from streamd.doors.web.slices import slices
from streamd.errors import StorageError
from streamd.services.playback.claims import Audience
from streamd.services.recording.folder import (
    INDEX_NAME,
    PLAYLIST_NAME,
    STORYBOARD_NAME,
    THUMBNAIL_NAME,
    THUMBNAILS_PATH,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from streamd.clock import Clock
    from streamd.doors.web.public.media import MediaTimeouts
    from streamd.doors.web.public.piecewise import Pieces
    from streamd.doors.web.public.recorded_playlists import ServedPlaylist
    from streamd.doors.web.public.web_entrance import WebEntrance
    from streamd.services.metrics import Metrics
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.recorder import Recorder
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.storage.stored_recordings import StoredRecordings

    Editor: TypeAlias = Callable[[Pieces, int], Pieces]

# Players ask again after this where the bucket does not answer, seconds.
RETRY_AFTER_S: Final = "5"

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
        root: Path of the viewers' URL of this server, without a slash at the end: addresses begin with it.
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
        root: str = "",
    ) -> None:
        self._root = root
        self._entrance = entrance
        self._recorder = recorder
        self._playlists = RecordedPlaylists(recorder.read)
        self._bytes = RecordedBytes(recorder, stored)
        self._finder = RecordingFinder(recorder.index, clock, is_taken_down, is_hidden)
        self._answers = PiecewiseAnswers("vod", metrics, timeouts, recorder.watched, entrance)

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
        add("/api/v1/recordings/{id}", self.get_recording)

    def operations(self) -> list[Operation]:
        """Its calls, with input, answer and errors."""
        return [
            Operation(
                "GET", "/api/v1/recordings/{id}", self.get_recording, RecordingFacts,
                path_model=RecordingPath, problems=(410, 503), plain_problems=(451,), needs_token=False,
            )
        ]  # fmt: skip

    def root_of(self, request: web.Request) -> str:
        """The path at which whoever asks reaches the server, without a slash at the end."""
        return root_of(request, self._root)

    async def find(self, recording_id: str) -> RecordingRecord | HTTPStatus:
        """A recording that the public may see, or why there is none."""
        return await self._finder.find(recording_id)

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

    # -- handlers ---------------------------------------------------------------------------------

    async def get_recording(self, request: web.Request) -> web.StreamResponse:
        """Show a recording: its title and length, and where it and its pictures are found."""
        record = await self.find(request.match_info["id"])
        if isinstance(record, HTTPStatus):
            return absent(record)
        self.check_blocked(request, record)
        is_locked = is_for_some = self._is_locked(record)
        root = self.root_of(request)
        at = f"{root}/vod/{record.id}"
        if is_locked and self._entrance is not None and (ticket := request.headers.get(TICKET_FIELD, "")):
            visitor = visitor_of(request)
            gate = self._entrance.gate
            gate.enter(record.id, ticket, Audience.VIDEO, visitor.address, watches=False, owner=record.user)
            is_locked, at = False, f"{at}/~{ticket}"
        drawn = {name for name in (THUMBNAIL_NAME, STORYBOARD_NAME) if await self._has_picture(record, name)}
        facts = {
            "id": record.id,
            "user": record.user,
            "state": record.state,
            "title": record.title,
            "started_at": record.started_at.isoformat(timespec="milliseconds"),
            "duration_s": record.duration_ms / 1000,
            "playlist": f"{root}/vod/{record.id}/{INDEX_NAME}",
            "mp4": f"{root}/vod/{record.id}.mp4",
            "watch": f"{root}/watch/vod/{record.id}",
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
            text = await self._bytes.ask_small(record, read, _is_index)
        except (OSError, StorageError) as exc:
            return unreadable(exc)
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
            is_over = record.state not in OPEN
            return await self._playlists.find(folder.playlist(variant), f"{variant}/", is_over=is_over)

        try:
            playlist = await self._bytes.ask_small(record, find, partial(_is_small_file_of, variant))
        except (OSError, StorageError) as exc:
            return unreadable(exc)
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
                stored_bytes, address = await self._bytes.in_bucket(record, f"media/hls/{variant}/{name}")
            except StorageError as exc:
                return unreadable(exc)
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
        """The CMAF header and all media of a variant, one behind the other: a fragmented MP4.

        A recording has the times of the live stream; the header has players show it from 0 on.
        """
        record = await self.seen(request)
        variant = request.query.get("variant", "main")
        if isinstance(record, HTTPStatus):
            return absent(record)
        if not _VARIANT_NAME.fullmatch(variant):
            return absent(HTTPStatus.NOT_FOUND)

        async def find(folder: RecordingFolder) -> tuple[tuple[Span, ...], ...]:
            return await self._playlists.runs(folder.playlist(variant))

        try:
            runs = await self._bytes.ask_small(record, find, partial(_is_small_file_of, variant))
        except (OSError, StorageError) as exc:
            return unreadable(exc)
        chosen = request.query.get("run", "0" if len(runs) == 1 else "")
        if not (chosen.isascii() and chosen.isdigit() and len(chosen) < 7 and int(chosen) < len(runs)):
            # One file has one CMAF header.
            detail = f"The encoder changed its tracks: ask for one of the {len(runs)} pieces with ?run=0 and up."
            return absent(HTTPStatus.NOT_FOUND if not runs else HTTPStatus.CONFLICT, detail if runs else "")
        name = f"{record.user} {record.started_at:%Y-%m-%d %H.%M}.mp4"
        disposition: dict[str, str] = {hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"'}
        try:
            spans = await self._bytes.from_zero(record, runs[int(chosen)])
        except (OSError, StorageError) as exc:
            return unreadable(exc)
        return await self.send(request, spans, MP4_TYPE, record, disposition)

    # -- inside -------------------------------------------------------------------------------------

    async def picture(self, record: RecordingRecord, name: str) -> Span:
        """A picture of a recording, brought from the bucket where the disk has nothing of it.

        Raises:
            OSError: There is none.
            StorageError: The bucket does not give it.
        """

        async def find(folder: RecordingFolder) -> Span:
            path = folder.thumbnails / name
            return Span(path, 0, await self._recorder.read(lambda: path.stat().st_size))

        return await self._bytes.ask_small(record, find, f"{THUMBNAILS_PATH}/{name}".__eq__)

    async def from_zero(self, record: RecordingRecord, spans: Sequence[Span]) -> Sequence[Span | bytes]:
        """A CMAF header and media, shown from 0 on (``RecordedBytes.from_zero``)."""
        return await self._bytes.from_zero(record, spans)

    async def send(
        self,
        request: web.Request,
        spans: Sequence[Span | bytes],
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
            spans: What there is, one behind the other: ranges of files, and bytes.
            media_type: Its content type.
            record: The recording that it is of.
            more: Header fields.
            tag: Names what it is, where that is not all of the recording.
            is_gone: Says whether it may be seen no more; None for what is asked of the recording.
            edit: Changes the bytes, from a place on; None for none.
        """
        size_bytes = sum(map(len, spans))
        is_edited = edit is not None or any(isinstance(span, bytes) for span in spans)
        # A piece of a recording stays as it is, also where the recording goes on.
        is_open = record.state in OPEN and not tag
        headers = {
            **PUBLIC_HEADERS,
            **(more or {}),
            hdrs.CONTENT_TYPE: media_type,
            hdrs.ACCEPT_RANGES: "bytes",
            hdrs.CACHE_CONTROL: _caching(record, is_locked=request.get(VIEWING) is not None),
        }
        if not is_open:
            headers[hdrs.ETAG] = f'"{size_bytes:x}-{(tag or record.id)[-8:]}{"-0" if is_edited else ""}"'
        try:
            start, stop, status = answered_range(request, size_bytes, headers)
        except UnsatisfiableRangeError:
            return absent(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, more={hdrs.CONTENT_RANGE: f"bytes */{size_bytes}"}
            )
        read: list[bytes | memoryview] = []
        async with contextlib.aclosing(self._bytes.pieces(record, spans, start, stop)) as pieces:
            if self._bytes.may_be_away and request.method == "GET":
                # A bucket that does not answer is told of as long as something can be told; the first piece may be a
                # header, which the disk has.
                try:
                    read = [piece async for piece in _first(2, pieces)]
                except (OSError, StorageError) as exc:
                    return unreadable(exc)
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
        pieces: Pieces,
        record: RecordingRecord,
        is_gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> web.StreamResponse:
        """Send an answer a piece at a time, for as long as its recording may be seen."""
        return await self._answers.send(
            request,
            response,
            pieces,
            recording_id=record.id,
            owner=record.user,
            locked=(record.id, record.user),
            is_gone=self._finder.watch(record, is_gone),
        )

    async def _has_picture(self, record: RecordingRecord, name: str) -> bool:
        """Whether there is a picture; a bucket that does not answer has none now."""
        try:
            await self.picture(record, name)
        except (OSError, StorageError):
            return False
        return True

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


def unreadable(exc: Exception) -> web.Response:
    """The answer where a recording's files are not to be had."""
    if isinstance(exc, StorageError) and not exc.is_missing:
        more: dict[str, str] = {hdrs.RETRY_AFTER: RETRY_AFTER_S}
        return absent(HTTPStatus.SERVICE_UNAVAILABLE, "This recording cannot be read at the moment.", more)
    return absent(HTTPStatus.NOT_FOUND)


def _caching(record: RecordingRecord, *, is_locked: bool) -> str:
    """For how long an answer may be kept, and where: what not everybody may see is kept by its viewer alone."""
    age = OPEN_CACHE if record.state in OPEN else _ENDED_CACHE
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
