"""Recordings for viewers: playlists and media files below ``/vod/{id}``, and all of it as one MP4.

A recording lies on disk as it is sent, so that a request reads a file and computes no media. A private recording, one
that is deleted and one of a user who is taken down are told from none by their status alone.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from streamd.doors.delivery.byte_range import UnsatisfiableRangeError, byte_range
from streamd.doors.web.slices import UNSENT_BYTES_MAX
from streamd.errors import StoreUnavailableError
from streamd.services.recording.folder import INDEX_NAME, PLAYLIST_NAME, init_name, media_name
from streamd.services.recording.playlist_file import RecordedPlaylist, parse_playlist
from streamd.services.recording.recording_id import is_recording_id
from streamd.services.recording.records import RecordingState, Visibility

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from streamd.clock import Clock
    from streamd.doors.web.public.media import MediaTimeouts
    from streamd.services.metrics import Metrics
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.recorder import Recorder
    from streamd.services.recording.records import RecordingRecord

PLAYLIST_TYPE: Final = "application/vnd.apple.mpegurl"
MP4_TYPE: Final = "video/mp4"
# A file is read and sent a piece at a time; the next piece is read when the viewer has taken this one. A viewer that
# reads nothing makes us hold one.
PIECE_BYTES: Final = 48 * 1024
# What the index has said of a recording holds for a moment: a player asks for a segment every other second.
KNOWN_S: Final = 1.0
KNOWN_MAX: Final = 1024

_OPEN: Final = frozenset({RecordingState.RECORDING, RecordingState.FINALIZING})
_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}
# A playlist of a recording that goes on changes with every segment. One that is complete may be deleted, so that
# caches forget it soon.
_OPEN_CACHE: Final = "max-age=1"
_ENDED_CACHE: Final = "max-age=60"
_MEDIA_NAME: Final = re.compile(r"\d{6,9}\.m4s|init\d{1,9}\.mp4")
_VARIANT_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class _Span:
    """Bytes of a file."""

    path: Path
    start: int
    stop: int


class VodRoutes:
    """The routes of recordings.

    Args:
        recorder: Knows the recordings.
        is_taken_down: Says whether a channel's user is suspended.
        clock: Measures for how long an answer of the index holds.
        metrics: Counted into.
        timeouts: Times after which a viewer's connection is closed; asked for with each answer.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        is_taken_down: Callable[[str], bool],
        clock: Clock,
        metrics: Metrics,
        timeouts: Callable[[], MediaTimeouts],
    ) -> None:
        self._recorder = recorder
        self._is_taken_down = is_taken_down
        self._clock = clock
        self._metrics = metrics
        self._timeouts = timeouts
        self._known: dict[str, tuple[float, RecordingRecord | None]] = {}

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the public application."""
        add = app.router.add_get
        add("/vod/{id}.mp4", self._get_mp4)
        add(f"/vod/{{id}}/{INDEX_NAME}", self._get_index)
        add("/vod/{id}/{variant}.m3u8", self._get_playlist)
        add("/vod/{id}/{variant}/{file}", self._get_file)
        add("/api/v1/recordings/{id}", self._describe)

    async def find(self, recording_id: str) -> RecordingRecord | HTTPStatus:
        """A recording that the public may see, or why there is none."""
        if not is_recording_id(recording_id):
            return HTTPStatus.NOT_FOUND
        now = self._clock.monotonic()
        known_at, record = self._known.get(recording_id, (float("-inf"), None))
        if now - known_at > KNOWN_S:
            try:
                record = await self._recorder.index.find(recording_id)
            except StoreUnavailableError:
                return HTTPStatus.SERVICE_UNAVAILABLE
            while len(self._known) >= KNOWN_MAX:
                del self._known[next(iter(self._known))]
            self._known[recording_id] = now, record
        if record is None or record.visibility is Visibility.PRIVATE:
            return HTTPStatus.NOT_FOUND
        if record.state is RecordingState.DELETED or self._is_taken_down(record.user):
            return HTTPStatus.GONE
        return record

    # -- handlers ---------------------------------------------------------------------------------

    async def _describe(self, request: web.Request) -> web.StreamResponse:
        """What viewers may know of a recording."""
        record = await self.find(request.match_info["id"])
        if isinstance(record, HTTPStatus):
            return _absent(record)
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
        }
        return web.json_response(facts, headers={**_HEADERS, hdrs.CACHE_CONTROL: _OPEN_CACHE})

    async def _get_index(self, request: web.Request) -> web.StreamResponse:
        """The multivariant playlist; its media playlists are named as the contract has them."""
        record = await self.find(request.match_info["id"])
        if isinstance(record, HTTPStatus):
            return _absent(record)
        try:
            text = await asyncio.to_thread(self._recorder.folder(record).index.read_text)
        except OSError:
            return _absent(HTTPStatus.NOT_FOUND)
        return _playlist(text.replace(f"/{PLAYLIST_NAME}", ".m3u8"), record)

    async def _get_playlist(self, request: web.Request) -> web.StreamResponse:
        """The media playlist of a variant."""
        record = await self.find(request.match_info["id"])
        variant = request.match_info["variant"]
        if isinstance(record, HTTPStatus):
            return _absent(record)
        if not _VARIANT_NAME.fullmatch(variant):
            return _absent(HTTPStatus.NOT_FOUND)
        path = self._recorder.folder(record).playlist(variant)
        try:
            text = await asyncio.to_thread(_with_prefix, path, f"{variant}/")
        except OSError:
            return _absent(HTTPStatus.NOT_FOUND)
        return _playlist(text, record)

    async def _get_file(self, request: web.Request) -> web.StreamResponse:
        """A media file, a CMAF header, or a playlist as it lies beside them."""
        record = await self.find(request.match_info["id"])
        variant, name = request.match_info["variant"], request.match_info["file"]
        if isinstance(record, HTTPStatus):
            return _absent(record)
        is_playlist = name == PLAYLIST_NAME
        if not _VARIANT_NAME.fullmatch(variant) or not (is_playlist or _MEDIA_NAME.fullmatch(name)):
            return _absent(HTTPStatus.NOT_FOUND)
        path = self._recorder.folder(record).variant(variant) / name
        try:
            size_bytes = await asyncio.to_thread(lambda: path.stat().st_size)
        except OSError:
            return _absent(HTTPStatus.NOT_FOUND)
        media_type = PLAYLIST_TYPE if is_playlist else MP4_TYPE
        return await self._send(request, [_Span(path, 0, size_bytes)], media_type, record)

    async def _get_mp4(self, request: web.Request) -> web.StreamResponse:
        """The CMAF header and all media of a variant, one behind the other: a fragmented MP4."""
        record = await self.find(request.match_info["id"])
        variant = request.query.get("variant", "main")
        if isinstance(record, HTTPStatus):
            return _absent(record)
        if not _VARIANT_NAME.fullmatch(variant):
            return _absent(HTTPStatus.NOT_FOUND)
        try:
            runs = await asyncio.to_thread(_runs, self._recorder.folder(record), variant)
        except OSError:
            return _absent(HTTPStatus.NOT_FOUND)
        chosen = request.query.get("run", "0" if len(runs) == 1 else "")
        if not (chosen.isascii() and chosen.isdigit() and len(chosen) < 7 and int(chosen) < len(runs)):
            # One file has one CMAF header.
            detail = f"The encoder changed its tracks: ask for one of the {len(runs)} pieces with ?run=0 and up."
            return _absent(HTTPStatus.NOT_FOUND if not runs else HTTPStatus.CONFLICT, detail if runs else "")
        name = f"{record.user} {record.started_at:%Y-%m-%d %H.%M}.mp4"
        disposition: dict[str, str] = {hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"'}
        return await self._send(request, runs[int(chosen)], MP4_TYPE, record, disposition)

    # -- inside -------------------------------------------------------------------------------------

    async def _send(
        self,
        request: web.Request,
        spans: Sequence[_Span],
        media_type: str,
        record: RecordingRecord,
        more: dict[str, str] | None = None,
    ) -> web.StreamResponse:
        """Send bytes of files, or the range of them that is asked for."""
        size_bytes = sum(span.stop - span.start for span in spans)
        is_open = record.state in _OPEN
        headers = {
            **_HEADERS,
            **(more or {}),
            hdrs.CONTENT_TYPE: media_type,
            hdrs.ACCEPT_RANGES: "bytes",
            hdrs.CACHE_CONTROL: _OPEN_CACHE if is_open else _ENDED_CACHE,
        }
        if not is_open:
            headers[hdrs.ETAG] = f'"{size_bytes:x}-{record.id[-8:]}"'
        start, stop, status = 0, size_bytes, HTTPStatus.OK
        condition = request.headers.get(hdrs.IF_RANGE, "")
        if request.method == "GET" and (not condition or condition == headers.get(hdrs.ETAG)):
            try:
                asked = byte_range(request.headers.get(hdrs.RANGE, ""), size_bytes)
            except UnsatisfiableRangeError:
                return _absent(
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, more={hdrs.CONTENT_RANGE: f"bytes */{size_bytes}"}
                )
            if asked is not None:
                (start, stop), status = asked, HTTPStatus.PARTIAL_CONTENT
                headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{stop - 1}/{size_bytes}"
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = stop - start
        self._metrics.http_responses_total.labels("vod", str(status.value)).inc()
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        write_timeout_s = self._timeouts().viewer_write_timeout_s
        try:
            async for piece in _pieces(spans, start, stop):
                # A viewer that takes no bytes is closed; a slow one is served at its pace.
                async with asyncio.timeout(write_timeout_s):
                    await response.write(piece)
                self._metrics.http_egress_bytes_total.inc(len(piece))
            await response.write_eof()
        except (TimeoutError, OSError):
            # The viewer is gone, or the file: with a length that was promised, only the connection's end says so.
            if request.transport is not None:
                request.transport.abort()
        return response


async def _pieces(spans: Sequence[_Span], start: int, stop: int) -> AsyncIterator[bytes]:
    """Read bytes of files that stand one behind the other.

    Raises:
        OSError: A file cannot be read, or is shorter than it was.
    """
    place = 0
    for span in spans:
        length = span.stop - span.start
        first, last = max(start - place, 0), min(stop - place, length)
        place += length
        if first >= last:
            continue
        with await asyncio.to_thread(span.path.open, "rb") as file:
            await asyncio.to_thread(file.seek, span.start + first)
            left = last - first
            while left:
                piece = await asyncio.to_thread(file.read, min(left, PIECE_BYTES))
                if not piece:
                    raise OSError("the file is shorter than it was")
                left -= len(piece)
                yield piece


def _runs(folder: RecordingFolder, variant: str) -> list[list[_Span]]:
    """The spans of each run of media under one CMAF header.

    Raises:
        OSError: There is no such variant.
    """
    playlist = parse_playlist(folder.playlist(variant).read_text(errors="replace"))
    path = folder.variant(variant)
    runs: list[list[_Span]] = []
    ends = _file_ends(playlist)
    seen = -1
    init = -1
    for segment in playlist.segments:
        if segment.init_number != init:
            init = segment.init_number
            header = path / init_name(init)
            runs.append([_Span(header, 0, header.stat().st_size)])
        if segment.file_number != seen:
            seen = segment.file_number
            runs[-1].append(_Span(path / media_name(seen), 0, ends[seen]))
    return runs


def _file_ends(playlist: RecordedPlaylist) -> dict[int, int]:
    ends: dict[int, int] = {}
    for segment in playlist.segments:
        ends[segment.file_number] = segment.end
    return ends


def _with_prefix(path: Path, prefix: str) -> str:
    """A media playlist as it is read from the folder above: its lines are ours, so that a look at each is enough."""
    text = path.read_text(errors="replace")
    text = re.sub(r"^(\d{6,9}\.m4s)$", rf"{prefix}\1", text, flags=re.MULTILINE)
    return text.replace('URI="init', f'URI="{prefix}init')


def _playlist(text: str, record: RecordingRecord) -> web.Response:
    caching = _OPEN_CACHE if record.state in _OPEN else _ENDED_CACHE
    response = web.Response(text=text, content_type=PLAYLIST_TYPE, headers={**_HEADERS, hdrs.CACHE_CONTROL: caching})
    response.enable_compression()
    return response


def _absent(status: HTTPStatus, detail: str = "", more: dict[str, str] | None = None) -> web.Response:
    told = {
        HTTPStatus.NOT_FOUND: "There is no such recording.",
        HTTPStatus.GONE: "This recording has been taken down.",
        HTTPStatus.SERVICE_UNAVAILABLE: "Recordings cannot be looked up at the moment.",
    }
    return web.json_response(
        {"title": status.phrase, "status": status.value, "detail": detail or told.get(status, status.phrase)},
        status=status,
        headers={**_HEADERS, hdrs.CACHE_CONTROL: _OPEN_CACHE, **(more or {})},
        content_type="application/problem+json",
    )
